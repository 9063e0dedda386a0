// Some of a data set's samples, as a set of its own.

/// The samples of another source that were chosen, numbered from 0 in the order given.
package struct SelectedSamples: SampleSource {
    private let source: any SampleSource
    private let samples: [Int]

    /// - Parameter samples: numbers in `source`.
    package init(_ samples: [Int], of source: any SampleSource) {
        self.source = source
        self.samples = samples
    }

    package var count: Int { samples.count }
    package var classNames: [String] { source.classNames }

    package func label(of sample: Int) throws(DatasetError) -> Int { try source.label(of: samples[sample]) }

    package func name(of sample: Int) throws(DatasetError) -> String { try source.name(of: samples[sample]) }

    package func byteCount(of sample: Int) throws(DatasetError) -> Int { try source.byteCount(of: samples[sample]) }

    package func read(_ sample: Int) throws(DatasetError) -> SampleContent { try source.read(samples[sample]) }
}
