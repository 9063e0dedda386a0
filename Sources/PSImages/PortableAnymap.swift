// PPM and PGM, plain (P2, P3) and binary (P5, P6).

import PSSamples

/// An opened PPM or PGM. Of a file with several pictures the first is meant.
///
/// A sample v becomes round(v / most * 255), computed in float64, halves to the even neighbour: Pillow's rule.
struct PortableAnymap: OpenedPicture {
    let header: StoredHeader
    private let bytes: UnsafeRawBufferPointer
    private let isPlain: Bool
    private let channels: Int
    /// The largest value of a sample, 1...65535.
    private let most: Int
    /// Where the samples begin.
    private let start: Int

    init(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        let kind = bytes[1]
        self.bytes = bytes
        isPlain = kind < UInt8(ascii: "4")
        channels = kind == UInt8(ascii: "3") || kind == UInt8(ascii: "6") ? 3 : 1
        var cursor = NumberCursor(bytes: bytes, at: 2)
        let columns = try cursor.next(atMost: Int(Int32.max), "number of columns")
        let rows = try cursor.next(atMost: Int(Int32.max), "number of rows")
        most = try cursor.next(atMost: 65535, "largest sample")
        guard rows > 0, columns > 0, most > 0 else {
            throw .damaged(format: .portableAnymap, problem: "a size or the largest sample is 0")
        }
        // One white space ends the header, whatever comes after.
        start = cursor.at + 1
        guard start <= bytes.count else { throw .cutOff(format: .portableAnymap, byteCount: bytes.count) }
        var header = StoredHeader(format: .portableAnymap, rows: rows, columns: columns)
        header.isGrey = channels == 1
        header.bits = most > 255 ? 16 : 8
        self.header = header
        // The fewest bytes that such a picture has; both sides are below 2^31, so only the last factor can overflow.
        let (samples, overflow) = (rows * columns).multipliedReportingOverflow(
            by: channels * (isPlain ? 1 : sampleSize))
        guard !overflow, samples <= bytes.count - start else {
            throw .cutOff(format: .portableAnymap, byteCount: bytes.count)
        }
    }

    private var sampleSize: Int { most > 255 ? 2 : 1 }

    func decode(_ request: PartRequest, to target: UnsafeMutablePointer<UInt8>) throws(ImageError) {
        let levels = [UInt8](unsafeUninitializedCapacity: most + 1) { table, count in
            for v in 0...most {
                table[v] = UInt8((Double(v) / Double(most) * 255).rounded(.toNearestOrEven))
            }
            count = most + 1
        }
        try levels.withUnsafeBufferPointer { (levels) throws(ImageError) in
            if isPlain {
                try decodePlain(request.region, levels, target)
            } else {
                try decodeBinary(request.region, levels, target)
            }
        }
    }

    private func decodeBinary(
        _ region: PixelRectangle, _ levels: UnsafeBufferPointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>
    ) throws(ImageError) {
        var to = target
        for row in region.row..<region.row + region.rows {
            var at = start + (row * header.columns + region.column) * channels * sampleSize
            for _ in 0..<region.columns {
                for channel in 0..<Picture.channels {
                    if channel < channels {
                        var sample = Int(bytes[at])
                        if sampleSize == 2 { sample = sample << 8 | Int(bytes[at + 1]) }
                        at += sampleSize
                        guard sample <= most else { throw tooMuch(sample) }
                        to[channel] = levels[sample]
                    } else {
                        to[channel] = to[0]
                    }
                }
                to += Picture.channels
            }
        }
    }

    /// The place of a number in a plain file is not known before all numbers ahead of it were read.
    private func decodePlain(
        _ region: PixelRectangle, _ levels: UnsafeBufferPointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>
    ) throws(ImageError) {
        var cursor = NumberCursor(bytes: bytes, at: start)
        for row in 0..<region.row + region.rows {
            for column in 0..<header.columns {
                let isWanted = row >= region.row && column >= region.column && column < region.column + region.columns
                let place = ((row - region.row) * region.columns + column - region.column) * Picture.channels
                for channel in 0..<channels {
                    let sample = try cursor.next(atMost: 65535, "sample")
                    guard sample <= most else { throw tooMuch(sample) }
                    if isWanted { target[place + channel] = levels[sample] }
                }
                if isWanted && channels == 1 {
                    target[place + 1] = target[place]
                    target[place + 2] = target[place]
                }
            }
        }
    }

    private func tooMuch(_ sample: Int) -> ImageError {
        .damaged(format: .portableAnymap, problem: "a sample is \(sample) where the most is \(most)")
    }
}

/// Reads decimal numbers between white space and comments ("#" to the end of the line).
private struct NumberCursor {
    let bytes: UnsafeRawBufferPointer
    var at: Int

    mutating func next(atMost limit: Int, _ what: String) throws(ImageError) -> Int {
        while at < bytes.count {
            if bytes[at] == UInt8(ascii: "#") {
                while at < bytes.count, bytes[at] != 10, bytes[at] != 13 { at += 1 }
            } else if bytes[at] == 32 || (9...13).contains(bytes[at]) {
                at += 1
            } else {
                break
            }
        }
        guard at < bytes.count else { throw .cutOff(format: .portableAnymap, byteCount: bytes.count) }
        var value = 0
        let first = at
        while at < bytes.count, (48...57).contains(bytes[at]) {
            value = value * 10 + Int(bytes[at]) - 48
            guard value <= limit else {
                throw .damaged(format: .portableAnymap, problem: "its \(what), at byte \(first), is above \(limit)")
            }
            at += 1
        }
        guard at > first else {
            throw .damaged(format: .portableAnymap, problem: "there is no \(what) at byte \(first)")
        }
        return value
    }
}
