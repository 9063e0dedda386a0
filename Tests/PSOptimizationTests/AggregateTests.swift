// The servers' sums and norms against plain Swift twins, bit for bit. Swift never contracts a * b + c, so equal bits
// mean that the vector clone chosen on this machine does what the text says.

import PSOptimization
import PSParameters
import Testing

/// Sizes around the lane count, and larger ones that are no multiple of it.
let sizes = [0, 1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100, 255, 1000, 4099]

func randomValues(_ count: Int, seed: UInt64, scale: Float = 3) -> [Float] {
    let random = CounterRandom(key: seed)
    return (0..<count).map { (random.uniform(UInt64($0)) - 0.5) * scale }
}

/// The first element whose bits differ; nil when all are equal.
func firstDifference(_ a: [Float], _ b: [Float]) -> Int? {
    precondition(a.count == b.count)
    return a.indices.first { a[$0].bitPattern != b[$0].bitPattern }
}

/// The definition: lane i % 16, folded in halves.
private func naiveSquaredNorm(_ values: [Float]) -> Double {
    var lanes = [Double](repeating: 0, count: 16)
    for (index, value) in values.enumerated() { lanes[index % 16] += Double(value) * Double(value) }
    for width in [8, 4, 2, 1] { for lane in 0..<width { lanes[lane] += lanes[lane + width] } }
    return lanes[0]
}

@Test(arguments: sizes)
func sumAndFinishEqualTheirTwin(count: Int) {
    let tickets = (0..<3).map { randomValues(count, seed: UInt64(10 + $0)) }
    let weights = randomValues(count, seed: 20)
    let scale: Float = 1 / 3
    for decay in [nil, Float(4e-5)] {
        var sum = [Float](repeating: .nan, count: count)
        Aggregate.start(&sum, from: tickets[0], count: count)
        Aggregate.add(&sum, tickets[1], count: count)
        var fused = sum
        Aggregate.add(&sum, tickets[2], count: count)
        let norm = Aggregate.finish(
            &sum, weights: decay == nil ? nil : weights, scale: scale, weightDecay: decay ?? 0, count: count)
        let fusedNorm = Aggregate.addAndFinish(
            &fused, tickets[2], weights: decay == nil ? nil : weights, scale: scale, weightDecay: decay ?? 0,
            count: count)

        let expected = (0..<count).map { i in
            let g = (tickets[0][i] + tickets[1][i] + tickets[2][i]) * scale
            return decay.map { g + weights[i] * $0 } ?? g
        }
        #expect(firstDifference(sum, expected) == nil)
        #expect(norm.squaredNorm.bitPattern == naiveSquaredNorm(expected).bitPattern)
        #expect(norm.isFinite)
        #expect(firstDifference(fused, sum) == nil)
        #expect(fusedNorm == norm)
    }
}

@Test(arguments: sizes)
func oneTicketInOnePass(count: Int) {
    let values = randomValues(count, seed: 30)
    let weights = randomValues(count, seed: 31)
    var separate = [Float](repeating: 0, count: count)
    Aggregate.start(&separate, from: values, count: count)
    let norm = Aggregate.finish(&separate, weights: weights, scale: 1, weightDecay: 0.01, count: count)
    var fused = [Float](repeating: .nan, count: count)
    let fusedNorm = Aggregate.startAndFinish(
        &fused, from: values, weights: weights, scale: 1, weightDecay: 0.01, count: count)
    #expect(firstDifference(fused, separate) == nil)
    #expect(fusedNorm == norm)
}

@Test(arguments: [Float.nan, .infinity, -.infinity], [0, 15, 16, 999])
func aNonFiniteElementIsSeen(bad: Float, position: Int) {
    var gradient = randomValues(1000, seed: 40)
    gradient[position] = bad
    #expect(!Aggregate.finish(&gradient, weights: nil, scale: 0.5, weightDecay: 0, count: 1000).isFinite)
}

/// Two finite contributions may overflow when added; the largest finite values alone must not look infinite.
@Test func overflowIsSeenAndLargeIsNot() {
    var large = [Float](repeating: .greatestFiniteMagnitude, count: 1000)
    let addend = large
    #expect(Aggregate.finish(&large, weights: nil, scale: 1, weightDecay: 0, count: 1000).isFinite)
    #expect(!Aggregate.addAndFinish(&large, addend, weights: nil, scale: 1, weightDecay: 0, count: 1000).isFinite)
}

@Test func clipping() {
    let (norm, scale) = clipScale(threshold: 2, squaredNorms: [9, 16])
    #expect(norm == 5 && scale == 0.4)
    #expect(clipScale(threshold: 2, squaredNorms: [1, 1]).scale == 1)
    #expect(clipScale(threshold: 0, squaredNorms: [1e6]).scale == 1)
    #expect(clipScale(threshold: 2, squaredNorms: [0]) == (0, 1))
    #expect(!clipScale(threshold: 2, squaredNorms: [1, .nan]).norm.isFinite)
}
