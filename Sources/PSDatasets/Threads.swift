// Work on many files at once, its results in order.

import Glibc
import Synchronization

enum Threads {
    /// More than a machine may have processors: most of the time of reading directories and headers is waiting.
    static let usual = 8

    /// Performs `work` for items 0..<count on several threads and hands the results to `take`, in order, on the
    /// caller's. Only some items ahead of the last one taken are in memory. The first item that fails ends it.
    static func inOrder<Value: Sendable>(
        _ count: Int, threads: Int = usual, _ work: @escaping @Sendable (Int) throws(DatasetError) -> Value,
        take: (Int, Value) throws(DatasetError) -> Void
    ) throws(DatasetError) {
        let wave = threads * 4
        var start = 0
        while start < count {
            let round = Round<Value>(first: start, count: min(wave, count - start), work)
            round.run(threads: min(threads, round.count))
            for index in 0..<round.count {
                switch round.take(index) {
                case .success(let value)?: try take(start + index, value)
                case .failure(let error)?: throw error
                case nil: preconditionFailure("an item without a result")
                }
            }
            start += round.count
        }
    }

    fileprivate final class Round<Value: Sendable>: Sendable {
        let count: Int
        fileprivate let first: Int
        fileprivate let work: @Sendable (Int) throws(DatasetError) -> Value
        fileprivate let next = Atomic<Int>(0)
        fileprivate let results: Mutex<[Result<Value, DatasetError>?]>

        init(first: Int, count: Int, _ work: @escaping @Sendable (Int) throws(DatasetError) -> Value) {
            self.first = first
            self.count = count
            self.work = work
            results = Mutex(Array(repeating: nil, count: count))
        }

        func take(_ index: Int) -> Result<Value, DatasetError>? {
            results.withLock { exchange(&$0[index], with: nil) }
        }

        /// The caller works too, so a thread that cannot be started only makes it slower.
        func run(threads: Int) {
            var helpers: [pthread_t] = []
            for _ in 1..<max(threads, 1) {
                let argument = Unmanaged.passRetained(self as AnyObject)
                var thread = pthread_t()
                let code = pthread_create(
                    &thread, nil,
                    { argument in
                        (Unmanaged<AnyObject>.fromOpaque(argument!).takeRetainedValue() as! any Workable).deal()
                        return nil
                    }, argument.toOpaque())
                if code != 0 {
                    argument.release()
                    break
                }
                helpers.append(thread)
            }
            deal()
            for thread in helpers { pthread_join(thread, nil) }
        }
    }
}

/// What a thread's C function can be told without knowing the type of the results.
private protocol Workable: AnyObject {
    func deal()
}

extension Threads.Round: Workable {
    func deal() {
        while true {
            let item = next.wrappingAdd(1, ordering: .relaxed).oldValue
            if item >= count { return }
            let result: Result<Value, DatasetError>
            do throws(DatasetError) { result = .success(try work(first + item)) } catch { result = .failure(error) }
            results.withLock { $0[item] = result }
        }
    }
}
