// Work on several threads: results in order, the first failure ends it, a bounded number of items ahead.

import Synchronization
import Testing

@testable import PSDatasets

private func failure(_ item: Int) -> DatasetError { .damaged(path: "item \(item)", problem: "fails") }

@Test(arguments: [0, 1, 3, 8, 40])
func resultsComeInOrder(threads: Int) throws {
    for count in [0, 1, 2, 7, 100] {
        var taken: [Int] = []
        try Threads.inOrder(count, threads: threads) { (item) throws(DatasetError) in
            item * item
        } take: { item, value in
            #expect(value == item * item)
            taken.append(item)
        }
        #expect(taken == Array(0..<count))
    }
}

/// Whichever thread is the fastest: what came before the first failing item is taken, the failure is that item's.
@Test(arguments: [0, 1, 4])
func theFirstFailureEndsIt(threads: Int) {
    for first in [0, 1, 17, 99] {
        let begun = Atomic<Int>(0)
        var taken = 0
        let error = #expect(throws: DatasetError.self) {
            try Threads.inOrder(1000, threads: threads) { (item) throws(DatasetError) in
                begun.add(1, ordering: .relaxed)
                if item >= first { throw failure(item) }
                return item
            } take: { _, _ in
                taken += 1
            }
        }
        #expect(error == failure(first) && taken == first)
        // Four items a thread may have been begun beyond it.
        #expect(begun.load(ordering: .relaxed) <= first + 1 + 4 * threads)
    }
}

@Test func takingThatFailsEndsIt() {
    var taken = 0
    let error = #expect(throws: DatasetError.self) {
        try Threads.inOrder(1000, threads: 4) { (item) throws(DatasetError) in
            item
        } take: { (item, _) throws(DatasetError) in
            if item == 30 { throw failure(item) }
            taken += 1
        }
    }
    #expect(error == failure(30) && taken == 30)
}
