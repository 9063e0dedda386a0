// The fixtures of `Fixtures/golden.py`: PyTorch's float64 training steps, from inputs that are formulas.

import Foundation
import PSModel
import PSNetwork
import PSParameters
import Testing

/// What the fixture says of one tensor.
struct TensorDigest: Decodable {
    let l2: Double
    /// Sums of all elements with pseudo-random signs.
    let projections: [Double]
}

struct GoldenFile: Decodable {
    struct Step: Decodable {
        let loss: Double
        let norm: Double
    }

    let seed: UInt64
    let batch: Int
    let size: Int
    let bias: Float
    let steps: [Step]
    let logits: TensorDigest
    let aux: TensorDigest
    let gradients: [String: TensorDigest]

    static func load(_ name: String) throws -> GoldenFile {
        let url = try #require(
            Bundle.module.url(forResource: name, withExtension: "json", subdirectory: "Fixtures"))
        return try JSONDecoder().decode(GoldenFile.self, from: Data(contentsOf: url))
    }

    var formula: GoldenFormula { GoldenFormula(seed: seed) }

    /// golden.py's `initial`, for tensors of kind weight.
    func initialValues(_ tensor: TensorSpecification) -> [Float] {
        let v = formula.values(tensor.name, count: tensor.elementCount)
        let inputs = Double(tensor.elementCount / tensor.shape[0])
        if tensor.name.hasSuffix("bn.weight") { return v.map { 1 + 0.25 * $0 } }
        if tensor.name.hasSuffix("bn.bias") { return v.map { bias + 0.25 * $0 } }
        if tensor.name.hasSuffix("fc.bias") { return v.map { 0.1 * $0 } }
        let scale = Float(((tensor.shape.count == 4 ? 6.0 : 3.0) / inputs).squareRoot())
        return v.map { scale * $0 }
    }

    var labels: [Int32] { (0..<batch).map { Int32((7 * $0 + 3) % 1000) } }
}

/// The formulas that golden.py and networks.py share.
struct GoldenFormula {
    let seed: UInt64

    /// Uniform in [-1, 1).
    func values(_ name: String, count: Int) -> [Float] {
        let random = CounterRandom(key: fnv1a("\(seed):\(name)"))
        return (0..<count).map { 2 * random.uniform(UInt64($0)) - 1 }
    }

    /// NHWC, from the scripts' NCHW formula.
    func images(batch: Int, size: Int) -> [Float] {
        let nchw = values("images", count: batch * 3 * size * size)
        var images = [Float](repeating: 0, count: nchw.count)
        let plane = size * size
        for image in 0..<batch {
            for channel in 0..<3 {
                for pixel in 0..<plane {
                    images[(image * plane + pixel) * 3 + channel] = nchw[(image * 3 + channel) * plane + pixel]
                }
            }
        }
        return images
    }

    /// The estimated error of a tensor: the RMS difference of the projections over max(its l2, floor).
    func error(_ values: some RandomAccessCollection<Float>, _ name: String, _ digest: TensorDigest, floor: Double = 0)
        -> Double
    {
        let squares = digest.projections.enumerated().map { projection, expected in
            let random = CounterRandom(key: fnv1a("\(seed):proj\(projection):\(name)"))
            var sum = 0.0
            for (index, value) in values.enumerated() {
                // values >= 0 where the top bit of its 24 is set.
                sum += random.bits(UInt64(index)) >> 63 == 1 ? Double(value) : -Double(value)
            }
            return (sum - expected) * (sum - expected)
        }
        return (squares.reduce(0, +) / Double(squares.count)).squareRoot() / max(digest.l2, floor)
    }
}
