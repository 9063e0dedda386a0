// One piece of memory for a whole network, planned before it is taken: regions whose lifetimes do not meet share it.

import Glibc
import PSPlanning

/// Where every region of a network lies, in floats from the arena's start.
package struct ArenaPlan {
    /// Cache lines, and the widest vectors, start every region.
    private static let alignment = 16

    private struct Region {
        let floats: Int
        let lifetime: ClosedRange<Int>
        var offset = 0
    }

    private var regions: [Region] = []
    package private(set) var floatCount = 0

    package init() {}

    /// Asks for memory that is used from time `lifetime.lowerBound` to `lifetime.upperBound`.
    ///
    /// - Returns: the region's number for `offset(_:)`.
    package mutating func reserve(floats: Int, lifetime: ClosedRange<Int>) -> Int {
        let rounded = (max(floats, 1) + ArenaPlan.alignment - 1) / ArenaPlan.alignment * ArenaPlan.alignment
        regions.append(Region(floats: rounded, lifetime: lifetime))
        return regions.count - 1
    }

    /// The largest regions first, each at the lowest place that is free during its lifetime.
    package mutating func place() {
        var placed: [Region] = []
        for index in regions.indices.sorted(by: { (regions[$1].floats, $0) < (regions[$0].floats, $1) }) {
            var offset = 0
            for other in placed where other.lifetime.overlaps(regions[index].lifetime) {
                if other.offset >= offset + regions[index].floats { break }
                offset = max(offset, other.offset + other.floats)
            }
            regions[index].offset = offset
            floatCount = max(floatCount, offset + regions[index].floats)
            let position = placed.firstIndex { $0.offset > offset } ?? placed.count
            placed.insert(regions[index], at: position)
        }
    }

    package func offset(_ region: Int) -> Int { regions[region].offset }
}

/// The memory itself: private, zero at first, in huge pages where the system has them.
package final class Arena {
    package let base: UnsafeMutablePointer<Float>
    let byteCount: Int

    static func byteCount(floats: Int) -> Int {
        let page = 2 << 20
        return floats.timesSaturating(MemoryLayout<Float>.stride).plusSaturating(page - 1) / page * page
    }

    package init(floats: Int) throws(NetworkError) {
        byteCount = Arena.byteCount(floats: floats)
        let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED else {
            throw .outOfMemory(bytes: byteCount, reason: String(cString: strerror(errno)))
        }
        // Advice only: without huge pages, and at the ends that fill none, everything works, somewhat slower.
        madvise(memory, byteCount, MADV_HUGEPAGE)
        base = memory.bindMemory(to: Float.self, capacity: byteCount / MemoryLayout<Float>.stride)
    }

    deinit { munmap(base, byteCount) }
}
