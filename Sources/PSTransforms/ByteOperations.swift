// torchvision's random operations on a square picture of bytes, as Pillow computes them.

import CPixels
import PSSamples

enum ByteOperations {
    /// Changes a picture of `size` x `size` x 3 bytes; `other` is memory of the same size, and they may change places.
    static func apply(
        _ operation: ByteOperation, _ picture: inout UnsafeMutablePointer<UInt8>,
        _ other: inout UnsafeMutablePointer<UInt8>, size: Int
    ) {
        let pixels = size * size
        let count = 3 * pixels
        switch operation {
        case .shearColumns, .shearRows, .moveColumns, .moveRows, .rotate:
            guard let place = place(operation, size: Double(size)) else { return }
            ps_affine_nearest(other, picture, place, size, size)
            swap(&picture, &other)
        case .brightness(let factor):
            ps_blend_with_level(picture, 0, factor, count)
        case .colour(let factor):
            ps_blend_with_grey(picture, factor, pixels)
        case .contrast(let factor):
            let mean = (Double(ps_grey_sum(picture, pixels)) / Double(pixels) + 0.5).rounded(.down)
            ps_blend_with_level(picture, Float(mean), factor, count)
        case .sharpness(let factor):
            ps_blend_with_smooth(other, picture, factor, size, size)
            swap(&picture, &other)
        case .posterize(let bits):
            precondition((1...8).contains(bits))
            let mask = UInt8(truncatingIfNeeded: 0xFF << (8 - bits))
            ps_look_up(picture, table { value in UInt8(value) & mask }, pixels)
        case .solarize(let threshold):
            ps_look_up(picture, table { value in UInt8(Float(value) < threshold ? value : 255 - value) }, pixels)
        case .autoContrast:
            ps_look_up(picture, histograms(picture, pixels).flatMap(stretching), pixels)
        case .equalize:
            ps_look_up(picture, histograms(picture, pixels).flatMap(equalizing), pixels)
        }
    }

    /// Where the centre of the first pixel comes from and the steps from pixel to pixel, in units of 2^-16 (Pillow's
    /// fixed-point path); nil: the picture stays as it is.
    private static func place(_ operation: ByteOperation, size: Double) -> [Int32]? {
        var matrix: [Double]
        switch operation {
        case .shearColumns(let amount): matrix = [1, amount, 0, 0, 1, 0]
        case .shearRows(let amount): matrix = [1, 0, 0, amount, 1, 0]
        case .moveColumns(let amount): matrix = [1, 0, -Double(amount), 0, 1, 0]
        case .moveRows(let amount): matrix = [1, 0, 0, 0, 1, -Double(amount)]
        case .rotate(let degrees):
            if degrees == 0 { return nil }
            // The picture turns one way, the places it is read from the other. Pillow rounds to fifteen digits.
            let turn = portableCosineAndSine(degrees: -degrees)
            let cosine = (turn.cosine * 1e15).rounded() / 1e15
            let sine = (turn.sine * 1e15).rounded() / 1e15
            let centre = size / 2
            matrix = [
                cosine, sine, cosine * -centre + sine * -centre + centre,
                -sine, cosine, -sine * -centre + cosine * -centre + centre,
            ]
        default: preconditionFailure("not an operation that moves pixels")
        }
        func fixed(_ value: Double) -> Int32 { Int32((value * 65536 + 0.5).rounded(.down)) }
        return [
            fixed(matrix[0]), fixed(matrix[1]), fixed(matrix[2] + matrix[0] * 0.5 + matrix[1] * 0.5),
            fixed(matrix[3]), fixed(matrix[4]), fixed(matrix[5] + matrix[3] * 0.5 + matrix[4] * 0.5),
        ]
    }

    /// The same for every channel.
    private static func table(_ value: (Int) -> UInt8) -> [UInt8] {
        let channel = (0..<256).map(value)
        return channel + channel + channel
    }

    private static func histograms(_ picture: UnsafePointer<UInt8>, _ pixels: Int) -> [[UInt32]] {
        var counts = [UInt32](repeating: 0, count: 768)
        ps_histograms(&counts, picture, pixels)
        return (0..<3).map { Array(counts[256 * $0..<256 * ($0 + 1)]) }
    }

    /// Pillow's `autocontrast`: the darkest value to 0, the lightest to 255, cut off to whole numbers.
    private static func stretching(_ histogram: [UInt32]) -> [UInt8] {
        guard let low = histogram.firstIndex(where: { $0 > 0 }), let high = histogram.lastIndex(where: { $0 > 0 }),
            low < high
        else { return (0..<256).map { UInt8($0) } }
        let scale = 255 / Double(high - low)
        let offset = -Double(low) * scale
        return (0..<256).map { UInt8(min(max(Int(Double($0) * scale + offset), 0), 255)) }
    }

    /// Pillow's `equalize`.
    private static func equalizing(_ histogram: [UInt32]) -> [UInt8] {
        let counts = histogram.filter { $0 > 0 }.map(Int.init)
        let step = (counts.reduce(0, +) - (counts.last ?? 0)) / 255
        guard counts.count > 1 && step > 0 else { return (0..<256).map { UInt8($0) } }
        var sum = step / 2
        return histogram.map { count in
            defer { sum += Int(count) }
            return UInt8(min(sum / step, 255))
        }
    }
}
