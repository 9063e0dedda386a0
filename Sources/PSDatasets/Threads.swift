// Work on many files at once, its results in order.

import Dispatch
import Glibc
import Synchronization

enum Threads {
    /// More than a machine may have processors: most of the time of reading directories and headers is waiting.
    static let usual = 8

    /// Performs `work` for items 0..<count on several threads and hands the results to `take`, in order, on the
    /// caller's, as soon as they are there. No more than four items per thread are ahead of the last one taken. The
    /// first item that fails, or a `take` that throws, ends it.
    static func inOrder<Value: Sendable>(
        _ count: Int, threads: Int = usual, _ work: @escaping @Sendable (Int) throws(DatasetError) -> Value,
        take: (Int, Value) throws(DatasetError) -> Void
    ) throws(DatasetError) {
        let queue = WorkQueue<Value>(count: count, ahead: 4 * threads, work)
        var helpers: [pthread_t] = []
        for _ in 0..<min(threads, count) {
            let argument = Unmanaged.passRetained(queue as AnyObject)
            var thread = pthread_t()
            let code = pthread_create(
                &thread, nil,
                { argument in
                    let queue = Unmanaged<AnyObject>.fromOpaque(argument!).takeRetainedValue()
                    (queue as! any HelpedQueue).help()
                    return nil
                }, argument.toOpaque())
            if code != 0 {
                argument.release()
                break
            }
            helpers.append(thread)
        }
        defer {
            queue.stop(helpers: helpers.count)
            for thread in helpers { pthread_join(thread, nil) }
        }
        for item in 0..<count {
            // A machine that gives no threads gets the work done all the same.
            try take(item, helpers.isEmpty ? work(item) : queue.next(item))
        }
    }
}

/// What a thread's C function can be told without knowing the type of the results.
private protocol HelpedQueue: AnyObject {
    func help()
}

private final class WorkQueue<Value: Sendable>: HelpedQueue, Sendable {
    private let count: Int
    private let work: @Sendable (Int) throws(DatasetError) -> Value
    /// Items that may be begun.
    private let room: DispatchSemaphore
    /// Counts the items that were finished.
    private let finished = DispatchSemaphore(value: 0)
    private let begun = Atomic<Int>(0)
    private let isStopped = Atomic<Bool>(false)
    private let results = Mutex<[Int: Result<Value, DatasetError>]>([:])

    init(count: Int, ahead: Int, _ work: @escaping @Sendable (Int) throws(DatasetError) -> Value) {
        self.count = count
        self.work = work
        room = DispatchSemaphore(value: 0)
        // From 0 up: a semaphore that is let go with less than it began with traps.
        for _ in 0..<ahead { room.signal() }
    }

    func help() {
        while true {
            room.wait()
            let item = begun.wrappingAdd(1, ordering: .relaxed).oldValue
            if item >= count || isStopped.load(ordering: .relaxed) { return }
            let result: Result<Value, DatasetError>
            do throws(DatasetError) { result = .success(try work(item)) } catch { result = .failure(error) }
            results.withLock { $0[item] = result }
            finished.signal()
        }
    }

    /// The result of an item; each is asked for once, in order.
    func next(_ item: Int) throws(DatasetError) -> Value {
        while true {
            if let result = results.withLock({ $0.removeValue(forKey: item) }) {
                room.signal()
                return try result.get()
            }
            finished.wait()
        }
    }

    /// Lets all helpers go.
    func stop(helpers: Int) {
        isStopped.store(true, ordering: .relaxed)
        for _ in 0..<helpers { room.signal() }
    }
}
