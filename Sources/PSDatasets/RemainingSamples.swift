// A data set without some of its samples.

/// What is left of a split when some samples are left out, in the same order.
package struct RemainingSamples: SampleSource {
    private let base: any SampleSource
    /// The numbers of those that are left.
    private let kept: [Int]

    package init(_ base: any SampleSource, without excluded: Set<Int>) {
        self.base = base
        kept = (0..<base.count).filter { !excluded.contains($0) }
    }

    package var count: Int { kept.count }
    package var classNames: [String] { base.classNames }
    package var remarks: [String] { base.remarks }
    package func label(of sample: Int) throws(DatasetError) -> Int { try base.label(of: kept[sample]) }
    package func name(of sample: Int) throws(DatasetError) -> String { try base.name(of: kept[sample]) }
    package func byteCount(of sample: Int) throws(DatasetError) -> Int { try base.byteCount(of: kept[sample]) }
    package func read(_ sample: Int) throws(DatasetError) -> SampleContent { try base.read(kept[sample]) }
}
