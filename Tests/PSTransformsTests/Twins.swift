// The transforms written down plainly: a plan's output from the whole picture, value by value.

import PSImages
import PSSamples

extension Picture {
    func byte(_ row: Int, _ column: Int, _ channel: Int) -> UInt8 {
        pixels[(row * columns + column) * Picture.channels + channel]
    }

    func cut(_ part: PixelRectangle) -> Picture {
        var pixels: [UInt8] = []
        for row in part.row..<part.row + part.rows {
            let begin = (row * columns + part.column) * Picture.channels
            pixels += self.pixels[begin..<begin + part.columns * Picture.channels]
        }
        return Picture(rows: part.rows, columns: part.columns, pixels: pixels)
    }

    func mirrored() -> Picture {
        var pixels: [UInt8] = []
        for row in 0..<rows {
            for column in (0..<columns).reversed() {
                pixels += (0..<Picture.channels).map { byte(row, column, $0) }
            }
        }
        return Picture(rows: rows, columns: columns, pixels: pixels)
    }
}

/// Pillow's bilinear filter, Pillow 13's order of passes.
func naiveFilter(_ picture: Picture, rows: Int, columns: Int) -> Picture {
    func weights(_ length: Int, _ count: Int, _ sample: Int) -> (first: Int, weights: [Int]) {
        let scale = Double(length) / Double(count)
        let width = max(scale, 1)
        let centre = (Double(sample) + 0.5) * scale
        let first = max(0, Int(centre - width + 0.5))
        let last = min(length, Int(centre + width + 0.5))
        let exact = (first..<last).map { max(0, 1 - abs((Double($0) - centre + 0.5) * (1 / width))) }
        var total = 0.0
        for weight in exact { total += weight }
        return (first, exact.map { Int($0 / total * 4_194_304 + 0.5) })
    }
    func across(_ picture: Picture) -> Picture {
        var pixels: [UInt8] = []
        for row in 0..<picture.rows {
            for column in 0..<columns {
                let (first, weights) = weights(picture.columns, columns, column)
                for channel in 0..<3 {
                    var sum = 1 << 21
                    for (tap, weight) in weights.enumerated() {
                        sum += weight * Int(picture.byte(row, first + tap, channel))
                    }
                    pixels.append(UInt8(min(255, sum >> 22)))
                }
            }
        }
        return Picture(rows: picture.rows, columns: columns, pixels: pixels)
    }
    func down(_ picture: Picture) -> Picture {
        var pixels: [UInt8] = []
        for row in 0..<rows {
            let (first, weights) = weights(picture.rows, rows, row)
            for column in 0..<picture.columns {
                for channel in 0..<3 {
                    var sum = 1 << 21
                    for (tap, weight) in weights.enumerated() {
                        sum += weight * Int(picture.byte(first + tap, column, channel))
                    }
                    pixels.append(UInt8(min(255, sum >> 22)))
                }
            }
        }
        return Picture(rows: rows, columns: picture.columns, pixels: pixels)
    }
    let rowsFirst = picture.rows > rows && picture.rows - rows > 2 * (picture.columns - columns)
    return rowsFirst ? across(down(picture)) : down(across(picture))
}

/// Where a new sample lies among the old ones.
private func position(_ plan: SamplePlan, _ length: Int, _ sample: Int) -> Float? {
    let scale = Float(length) / Float(plan.size)
    switch plan.resampling {
    case .tensorFlow: return Float(sample) * scale
    case .halfPixel: return min(max((Float(sample) + 0.5) * scale - 0.5, 0), Float(length - 1))
    case .frame:
        let inside = sample - (plan.size - length) / 2
        return (0..<length).contains(inside) ? Float(inside) : nil
    case .pillow: preconditionFailure("not interpolation")
    }
}

/// A plan without colour operations or byte operations, from the whole picture.
func naiveImage(_ picture: Picture, _ plan: SamplePlan) -> [Float] {
    let crop = picture.cut(plan.crop)
    let size = plan.size
    var bytes: Picture?
    if plan.resampling == .pillow {
        let resampled = naiveFilter(crop, rows: plan.resampledRows, columns: plan.resampledColumns)
        let window = PixelRectangle(row: plan.windowRow, column: plan.windowColumn, rows: size, columns: size)
        bytes = plan.mirrored ? resampled.cut(window).mirrored() : resampled.cut(window)
    }
    func value(_ row: Int, _ column: Int, _ channel: Int) -> Float {
        if let erased = plan.erased, (erased.row..<erased.row + erased.rows).contains(row),
            (erased.column..<erased.column + erased.columns).contains(column)
        {
            return 0
        }
        let place = (row: row - plan.down, column: column - plan.right)
        let inside = (0..<size).contains(place.row) && (0..<size).contains(place.column)
        if let bytes {
            let mean: [Float] = [0.485, 0.456, 0.406]
            let deviation: [Float] = [0.229, 0.224, 0.225]
            let byte = inside ? bytes.byte(place.row, place.column, channel) : 0
            return (Float(byte) / 255 - mean[channel]) / deviation[channel]
        }
        let across = plan.mirrored ? size - 1 - place.column : place.column
        guard inside, let down = position(plan, crop.rows, place.row),
            let right = position(plan, crop.columns, across)
        else { return -1 }
        func pixel(_ row: Int, _ column: Int) -> Float {
            let byte = Float(crop.byte(min(row, crop.rows - 1), min(column, crop.columns - 1), channel))
            return plan.resampling == .tensorFlow ? byte * (1 / 255) : byte
        }
        func mixed(_ row: Int) -> Float {
            let column = Int(right)
            let first = pixel(row, column)
            return first + (pixel(row, column + 1) - first) * (right - right.rounded(.down))
        }
        let upper = mixed(Int(down))
        let value = upper + (mixed(Int(down) + 1) - upper) * (down - down.rounded(.down))
        return ((plan.resampling == .tensorFlow ? value : value / 255) - 0.5) * 2
    }
    var image: [Float] = []
    for row in 0..<size {
        for column in 0..<size { for channel in 0..<3 { image.append(value(row, column, channel)) } }
    }
    return image
}

/// HSV's hue in sixths of a turn, its smallest and largest component, in double precision.
private func hue(_ pixel: [Double]) -> (hue: Double, low: Double, top: Double) {
    let top = pixel.max()!
    let low = pixel.min()!
    guard top > low else { return (0, low, top) }
    let (r, g, b) = (pixel[0], pixel[1], pixel[2])
    let hue =
        r == top ? (g - b) / (top - low) : g == top ? 2 + (b - r) / (top - low) : 4 + (r - g) / (top - low)
    return (hue < 0 ? hue + 6 : hue, low, top)
}

private func pixel(hue: Double, low: Double, top: Double) -> [Double] {
    [0.0, 4, 2].map { shift in
        let turned = (hue + shift).truncatingRemainder(dividingBy: 6)
        return low + (top - low) * min(max(abs(turned - 3) - 1, 0), 1)
    }
}

/// TensorFlow's colour operations on pixels, through HSV and back.
func naiveColour(_ pixels: [[Double]], _ operation: ColourOperation) -> [[Double]] {
    switch operation {
    case .brightness(let amount): return pixels.map { $0.map { $0 + Double(amount) } }
    case .contrast(let factor):
        let means = (0..<3).map { channel in pixels.reduce(0) { $0 + $1[channel] } / Double(pixels.count) }
        return pixels.map { pixel in
            (0..<3).map { (pixel[$0] - means[$0]) * Double(factor) + means[$0] }
        }
    case .hue(let turns):
        return pixels.map {
            let (hue, low, top) = hue($0)
            return pixel(hue: (hue + 6 * Double(turns) + 6).truncatingRemainder(dividingBy: 6), low: low, top: top)
        }
    case .saturation(let factor):
        return pixels.map {
            let (hue, low, top) = hue($0)
            let saturation = top > 0 ? min(max((top - low) / top * Double(factor), 0), 1) : 0
            return pixel(hue: hue, low: top - saturation * top, top: top)
        }
    }
}
