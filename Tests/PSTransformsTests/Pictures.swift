// Pictures that are formulas, and the fixtures of `Fixtures/pixels.py` and `Fixtures/operations.py`.

import CZlib
import Foundation
import PSImages
import Testing

/// The formulas of the fixtures' generators, on integers.
func formulaPicture(_ kind: String, columns: Int, rows: Int, seed: Int) -> Picture {
    func noise(_ x: Int, _ y: Int, _ channel: Int) -> Int {
        var z = UInt32(truncatingIfNeeded: (y * columns + x) * 3 + channel) &* 0x9E37_79B1
        z = z &+ UInt32(truncatingIfNeeded: seed) &* 0x85EB_CA77 &+ 0x27D4_EB2F
        z ^= z >> 15
        z = z &* 0x2C1B_3C6D
        z ^= z >> 12
        z = z &* 0x297A_2D39
        z ^= z >> 15
        return Int(z >> 24)
    }
    func wave(_ t: Int, _ period: Int) -> Int { 255 * abs(2 * (t % period) - period) / period }
    func ramp(_ x: Int, _ y: Int) -> [Int] {
        [255 * x / max(columns - 1, 1), 255 * y / max(rows - 1, 1), (7 * x + 13 * y) % 256]
    }
    func checker(_ x: Int, _ y: Int) -> [Int] { (x / 3 + y / 2) % 2 == 1 ? [230, 40, 60] : [20, 180, 220] }
    func pixel(_ x: Int, _ y: Int) -> [Int] {
        let noises = (0..<3).map { noise(x, y, $0) }
        switch kind {
        case "ramp": return ramp(x, y)
        case "checker": return checker(x, y)
        case "noise": return noises
        case "dull": return zip(noises, [1, 2, 5]).map { 90 + $0 / 16 * $1 }
        case "flat": return [77, 77, 77]
        case "mix": return 3 * y >= 2 * rows ? noises : 2 * x < columns ? ramp(x, y) : checker(x, y)
        default:
            if 5 * x < columns && 3 * y >= 2 * rows { return [7, 9, 240] }
            if 5 * x >= 3 * columns && 2 * y < rows { return [250, 12, 8] }
            let waves = [wave(5 * x + 2 * y, 128), wave(3 * x + 7 * y, 160), wave(11 * x + y * y / 8, 192)]
            return zip(waves, noises).map { min(255, max(0, $0 + $1 / 16 - 8)) }
        }
    }
    var pixels: [UInt8] = []
    for y in 0..<rows { for x in 0..<columns { pixels += pixel(x, y).map { UInt8($0) } } }
    return Picture(rows: rows, columns: columns, pixels: pixels)
}

func checksum(_ bytes: some Collection<UInt8>) -> UInt32 {
    let bytes = Array(bytes)
    return UInt32(crc32(0, bytes, UInt32(bytes.count)))
}

/// A picture named by its formula.
struct PictureName: Decodable {
    let formula: String
    let width: Int
    let height: Int
    let seed: Int
    let crc32: UInt32

    func picture() -> Picture {
        let picture = formulaPicture(formula, columns: width, rows: height, seed: seed)
        #expect(checksum(picture.pixels) == crc32, "\(formula) \(width) x \(height) is another picture")
        return picture
    }
}

/// Numbers as little-endian bytes in base64.
struct EncodedArray: Decodable {
    let dtype: String
    let shape: [Int]
    let b64: String

    var bytes: [UInt8] { [UInt8](Data(base64Encoded: b64)!) }

    var floats: [Float] {
        let bytes = bytes
        precondition(dtype == "f32")
        return (0..<bytes.count / 4).map { index in
            let part = bytes[4 * index..<4 * index + 4]
            return Float(bitPattern: part.reversed().reduce(0) { $0 << 8 | UInt32($1) })
        }
    }
}

struct PixelFixture: Decodable {
    struct Resize: Decodable {
        let name: String
        let image: PictureName
        let rows: Int
        let columns: Int
        let tensorflow: EncodedArray
        let pillow: EncodedArray
    }

    struct ResizedCrop: Decodable {
        let image: PictureName
        let top: Int
        let left: Int
        let height: Int
        let width: Int
        let out: [Int]
        let pillow: EncodedArray
    }

    struct Distortion: Decodable {
        let name: String
        let image: PictureName
        /// y, x, rows, columns.
        let box: [Int]
        let size: Int
        let flip: Bool
        let order: [String]
        let parameters: [String: Float]
        let expected: EncodedArray
    }

    struct Colour: Decodable {
        struct Defect: Decodable {
            let pixels: [Int]
            let expected: EncodedArray
        }

        let op: String
        let value: Float
        let expected: EncodedArray
        /// Where TensorFlow goes wrong, and what is right.
        let defect: Defect?
    }

    struct Evaluation: Decodable {
        let image: PictureName
        /// Rows and columns of the samples.
        let grid: [Int]
        let samples: EncodedArray
    }

    struct Erase: Decodable {
        let image: PictureName
        let normalised: EncodedArray
    }

    struct Mix: Decodable {
        let kind: String
        let lam: Double
        let box: [Int]?
        let share: Double
        let images: EncodedArray
    }

    struct MixInputs: Decodable { let images: [PictureName] }

    let resize: [Resize]
    let resizedCrop: [ResizedCrop]
    let distortions: [Distortion]
    let colourPixels: EncodedArray
    let colourTable: [Colour]
    let slimEvaluation: [Evaluation]
    let torchvisionEvaluation: [Evaluation]
    let erase: [Erase]
    let mix: [Mix]
    let mixInputs: MixInputs

    static func load() throws -> PixelFixture { try loadFixture("pixels") }
}

struct OperationCase: Decodable {
    let policy: String
    let kind: String
    let size: Int
    let seed: Int
    let operation: String
    let signed: Bool
    let checksums: [UInt32]
    let atNine: String?
}

func loadFixture<Content: Decodable>(_ name: String) throws -> Content {
    let url = try #require(Bundle.module.url(forResource: name, withExtension: "json", subdirectory: "Fixtures"))
    return try JSONDecoder().decode(Content.self, from: Data(contentsOf: url))
}
