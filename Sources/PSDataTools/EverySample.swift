// Goes through all samples of a split on several threads.

import Dispatch
import PSDatasets
import PSImages
import Synchronization

/// What a tool does with one sample; each thread has its own.
protocol SampleVisitor: AnyObject, SendableMetatype {
    /// - Parameter content: nil where the sample could not be read, for this reason.
    func visit(_ sample: Int, _ content: Result<SampleContent, DatasetError>)
}

/// Shows every sample of a split to one of the visitors, each on its thread.
///
/// - Parameter progress: called now and then, on any of the threads, with the samples done and all.
func visitEverySample<Visitor: SampleVisitor>(
    of dataset: Dataset, threads: Int, progress: @escaping @Sendable (Int, Int) -> Void, make: () -> Visitor
) -> [Visitor] {
    // A chunk is neighbours on the disk.
    let chunk = 64
    let count = dataset.count
    let next = Atomic(0)
    let done = Atomic(0)
    nonisolated(unsafe) let visitors = (0..<threads).map { _ in make() }
    DispatchQueue.concurrentPerform(iterations: threads) { thread in
        while true {
            let first = next.wrappingAdd(chunk, ordering: .relaxed).oldValue
            guard first < count else { return }
            let last = min(first + chunk, count)
            for sample in first..<last {
                let content = Result { () throws(DatasetError) in try dataset.read(sample) }
                visitors[thread].visit(sample, content)
            }
            progress(done.wrappingAdd(last - first, ordering: .relaxed).newValue, count)
        }
    }
    return visitors
}
