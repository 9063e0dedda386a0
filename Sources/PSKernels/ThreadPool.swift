// The engine's threads: a fixed crew that shares the items of one loop at a time.

import Glibc
import Synchronization

/// Persistent threads that run `body(item, thread)` for every item of a loop.
///
/// Items are dealt in arrival order, so a kernel may let neither the item's thread nor the order of items show in its
/// result: every item writes memory of its own, and sums across items are taken afterwards in item order.
package final class ThreadPool {
    /// The caller's thread included.
    package var threadCount: Int { threads.count + 1 }
    private let crew: Crew
    private var threads: [pthread_t] = []

    /// - Parameter wanted: at least 1, the caller's included.
    package init(threads wanted: Int) throws(KernelError) {
        precondition(wanted > 0, "a pool needs a thread")
        crew = Crew()
        for index in 1..<max(wanted, 1) {
            let start = Unmanaged.passRetained(Start(crew: crew, index: index))
            var thread = pthread_t()
            let code = pthread_create(
                &thread, nil,
                { argument in
                    let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                    start.crew.work(index: start.index)
                    return nil
                }, start.toOpaque())
            guard code == 0 else {
                start.release()
                // All members are set, so `deinit` sends the threads already started home.
                throw .threadsRefused(wanted: wanted, started: threads.count + 1, code: code)
            }
            threads.append(thread)
        }
    }

    deinit {
        crew.dismiss()
        for thread in threads { pthread_join(thread, nil) }
    }

    /// Runs `body` for items 0..<count and returns when all are done. `thread` is below `threadCount` and names the
    /// caller's scratch memory. Not reentrant.
    package func run(_ count: Int, _ body: (_ item: Int, _ thread: Int) -> Void) {
        if threadCount == 1 || count <= 1 {
            for item in 0..<count { body(item, 0) }
            return
        }
        withoutActuallyEscaping(body) { crew.run(count, $0, helpers: threadCount - 1) }
    }

    private final class Start {
        let crew: Crew
        let index: Int

        init(crew: Crew, index: Int) {
            self.crew = crew
            self.index = index
        }
    }
}

/// What the threads share. `@unchecked Sendable`: `round`, `busy` and `dismissed` are read and written under `mutex` only;
/// `body` and `count` are written under it before a round is announced and stay as they are until all have reported; the
/// items themselves are dealt by an atomic.
private final class Crew: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let started = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let finished = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let next = Atomic<Int>(0)
    private var body: ((Int, Int) -> Void)?
    private var count = 0
    private var round = 0
    private var busy = 0
    private var dismissed = false

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(started, nil)
        pthread_cond_init(finished, nil)
    }

    deinit {
        pthread_cond_destroy(finished)
        pthread_cond_destroy(started)
        pthread_mutex_destroy(mutex)
        finished.deallocate()
        started.deallocate()
        mutex.deallocate()
    }

    func run(_ count: Int, _ body: @escaping (Int, Int) -> Void, helpers: Int) {
        pthread_mutex_lock(mutex)
        self.body = body
        self.count = count
        next.store(0, ordering: .relaxed)
        busy = helpers
        round += 1
        pthread_cond_broadcast(started)
        pthread_mutex_unlock(mutex)
        deal(thread: 0)
        pthread_mutex_lock(mutex)
        while busy > 0 { pthread_cond_wait(finished, mutex) }
        self.body = nil
        pthread_mutex_unlock(mutex)
    }

    /// A helper's life: wait for a round, help, report, until dismissed.
    func work(index: Int) {
        var seen = 0
        pthread_mutex_lock(mutex)
        while true {
            while round == seen && !dismissed { pthread_cond_wait(started, mutex) }
            if dismissed { break }
            seen = round
            pthread_mutex_unlock(mutex)
            deal(thread: index)
            pthread_mutex_lock(mutex)
            busy -= 1
            if busy == 0 { pthread_cond_signal(finished) }
        }
        pthread_mutex_unlock(mutex)
    }

    func dismiss() {
        pthread_mutex_lock(mutex)
        dismissed = true
        pthread_cond_broadcast(started)
        pthread_mutex_unlock(mutex)
    }

    /// A function of its own, so that the closure is let go before the helper reports: `withoutActuallyEscaping` traps
    /// if someone still holds it.
    @inline(never)
    private func deal(thread: Int) {
        guard let body else { preconditionFailure("a round without work") }
        while true {
            let item = next.wrappingAdd(1, ordering: .relaxed).oldValue
            if item >= count { return }
            body(item, thread)
        }
    }
}
