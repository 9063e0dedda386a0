// How the work of a loop is cut into items: by shape alone, never by the number of threads.

/// 0..<count cut into `pieces` ranges whose lengths differ by at most one.
///
/// A cut is always a function of a layer's shape, never of the number of threads: it decides in which order numbers are
/// added, and so the bits of every result.
package struct EvenCut: Sendable, Hashable {
    package let count: Int
    package let pieces: Int

    package init(_ count: Int, pieces: Int) {
        precondition(count > 0 && pieces > 0)
        self.count = count
        self.pieces = min(pieces, count)
    }

    /// The fewest pieces of at most `limit` each.
    package init(_ count: Int, atMost limit: Int) {
        self.init(count, pieces: (count + limit - 1) / max(limit, 1))
    }

    package subscript(_ piece: Int) -> Range<Int> { count * piece / pieces..<count * (piece + 1) / pieces }

    /// The longest piece.
    package var longest: Int { (count + pieces - 1) / pieces }
}

/// 0..<count cut into ranges of exactly `size`, the last one shorter. Like `EvenCut`, a function of a shape alone.
package struct BlockCut: Sendable, Hashable {
    package let count: Int
    package let size: Int

    package init(_ count: Int, size: Int) {
        precondition(count > 0 && size > 0)
        self.count = count
        self.size = size
    }

    package var pieces: Int { (count + size - 1) / size }

    package subscript(_ piece: Int) -> Range<Int> { piece * size..<min(count, (piece + 1) * size) }
}

/// How passes over a map's pixels are cut: into pieces of about 64K floats, which stay in a core's cache, but at least
/// sixteen of them where there are that many pixels.
package func passCut(pixels: Int, channels: Int) -> EvenCut {
    EvenCut(pixels, pieces: max((pixels * channels + 65535) / 65536, min(16, (pixels + 15) / 16)))
}

/// Loops are cut into at least this many items where their shapes allow it, so that as many threads can share them. More
/// would cost more: items of one tile read and transform the same numbers.
let fewestItems = 8

/// In how many chunks of pixels the items of a weight gradient are cut, the rest being groups of input channels.
///
/// A chunk costs a copy of the weights, to be written, read and added; a group reads the output's gradient again. Their
/// product being given, the sum is least where they are as the two costs; of powers of two, which threads share evenly,
/// this takes the nearest.
///
/// - Parameters:
///   - copy: floats of a copy of the weights.
///   - read: floats that reading the output's gradient reads and writes.
///   - most: chunks for which there are pixels or memory enough.
func chunkCount(copy: Int, read: Int, most: Int) -> Int {
    [16, 8, 4, 2].first { $0 <= most && $0 * $0 * copy <= 2 * fewestItems * read } ?? 1
}
