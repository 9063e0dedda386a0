// Pictures by formula that cost about as much to read as photographs do.

import PSImages
import PSParameters

/// A picture of smooth ground, some discs and bars, and grain: its JPEG is about as large as a photograph's.
package struct SyntheticPicture {
    private struct Disc {
        let row: Float
        let column: Float
        let radius: Float
        let colour: [Float]
    }

    private let random: CounterRandom
    private let discs: [Disc]

    package init(number: UInt64) {
        random = CounterRandom(seed: number, name: "synthetic picture")
        let draws = random.stream(1)
        discs = (0..<24).map { index in
            func draw(_ part: UInt64) -> Float { draws.uniform(UInt64(index) * 8 + part) }
            return Disc(
                row: draw(0), column: draw(1), radius: 0.02 + 0.2 * draw(2) * draw(3),
                colour: [draw(4), draw(5), draw(6)].map { 255 * $0 })
        }
    }

    /// Rows and columns as ImageNet has them: a third is 500 x 375, most are landscape and 500 on the longer side, some are
    /// small, some large. The mean is about 406 x 473.
    package static func size(number: UInt64) -> (rows: Int, columns: Int) {
        let draws = CounterRandom(seed: number, name: "synthetic size")
        let kind = draws.integer(0, below: 100)
        switch kind {
        case ..<35: return (375, 500)
        case ..<47: return (333, 500)
        case ..<60: return (500, 375)
        case ..<65: return (500, 333)
        case ..<72: return (500, 500)
        case ..<88: return (300 + draws.integer(1, below: 200), 500)
        case ..<97: return (100 + draws.integer(1, below: 300), 120 + draws.integer(2, below: 300))
        default: return (700 + draws.integer(1, below: 900), 800 + draws.integer(2, below: 1200))
        }
    }

    package func picture(rows: Int, columns: Int) -> Picture {
        let grain = random.stream(2)
        let pixels = [UInt8](unsafeUninitializedCapacity: rows * columns * 3) { output, count in
            var next = 0
            for row in 0..<rows {
                let y = Float(row) / Float(rows)
                for column in 0..<columns {
                    let x = Float(column) / Float(columns)
                    let disc = discs.last {
                        let (down, right) = (y - $0.row, x - $0.column)
                        return down * down + right * right < $0.radius * $0.radius
                    }
                    // Leaves and fabrics: stripes that change their width, under grain.
                    let stripes = Float((row * row / 97 + column * 3) & 31) - 16
                    let bits = grain.bits(UInt64(row * columns + column))
                    for channel in 0..<3 {
                        let noise = Float(bits >> (8 * UInt64(channel)) & 31) - 16
                        let ground = channel == 0 ? 60 + 120 * y : channel == 1 ? 90 + 80 * x : 160 - 110 * y
                        let value = (disc?.colour[channel] ?? ground + stripes) + noise
                        output[next] = UInt8(min(max(value, 0), 255))
                        next += 1
                    }
                }
            }
            count = next
        }
        return Picture(rows: rows, columns: columns, pixels: pixels)
    }
}
