// The updates against TensorFlow's published behaviour and against plain Swift twins, bit for bit.

import PSOptimization
import Testing

private let paper = UpdateRates(
    clipScale: 1, learningRate: 0.045, decay: 0.9, momentum: 0.9, epsilon: 1, averageDecay: 0.5)

/// One slice's weights, slots and average.
private struct Slice {
    var weights: [Float]
    var meanSquare: [Float]
    var momentum: [Float]
    var average: [Float]

    init(count: Int, seed: UInt64) {
        weights = randomValues(count, seed: seed)
        meanSquare = randomValues(count, seed: seed + 1).map { abs($0) }
        momentum = randomValues(count, seed: seed + 2)
        average = randomValues(count, seed: seed + 3)
    }
}

/// TensorFlow 1's RMSPropOptimizer on w = 1 with gradients 0.5, -0.25, 0.1.
@Test func tensorFlowRMSProp() {
    var weight: [Float] = [1]
    var (meanSquare, momentum, average): ([Float], [Float], [Float]) = ([RMSProp.initialMeanSquare], [0], [1])
    for (gradient, expected) in [(0.5, 0.983783), (-0.25, 0.977484), (0.1, 0.968420)] as [(Float, Float)] {
        let before = average[0]
        weight.withUnsafeMutableBufferPointer {
            RMSProp.update(
                $0.baseAddress!, weights: $0.baseAddress!, gradient: [gradient], meanSquare: &meanSquare,
                momentum: &momentum, average: &average, rates: paper, count: 1)
        }
        #expect(abs(weight[0] - expected) < 1e-6)
        #expect(abs(average[0] - (before + weight[0]) / 2) < 1e-6)
    }
}

@Test(arguments: sizes)
func rmsPropEqualsItsTwin(count: Int) {
    let before = Slice(count: count, seed: 50)
    let gradient = randomValues(count, seed: 60)
    let rates = UpdateRates(
        clipScale: 0.7, learningRate: 0.045, decay: 0.9, momentum: 0.8, epsilon: 1e-3, averageDecay: 0.99)

    var expected = before
    for i in 0..<count {
        let g = gradient[i] * rates.clipScale
        expected.meanSquare[i] += (g * g - before.meanSquare[i]) * (1 - rates.decay)
        expected.momentum[i] =
            before.momentum[i] * rates.momentum
            + (rates.learningRate * g) / (expected.meanSquare[i] + rates.epsilon).squareRoot()
        expected.weights[i] -= expected.momentum[i]
        expected.average[i] -= (before.average[i] - expected.weights[i]) * (1 - rates.averageDecay)
    }

    var apart = before
    var updated = [Float](repeating: .nan, count: count)
    RMSProp.update(
        &updated, weights: before.weights, gradient: gradient, meanSquare: &apart.meanSquare,
        momentum: &apart.momentum, average: &apart.average, rates: rates, count: count)
    var inPlace = before
    inPlace.weights.withUnsafeMutableBufferPointer { weights in
        guard let weights = weights.baseAddress else { return }
        RMSProp.update(
            weights, weights: weights, gradient: gradient, meanSquare: &inPlace.meanSquare,
            momentum: &inPlace.momentum, average: &inPlace.average, rates: rates, count: count)
    }
    #expect(firstDifference(updated, expected.weights) == nil)
    #expect(firstDifference(inPlace.weights, expected.weights) == nil)
    for slice in [apart, inPlace] {
        #expect(firstDifference(slice.meanSquare, expected.meanSquare) == nil)
        #expect(firstDifference(slice.momentum, expected.momentum) == nil)
        #expect(firstDifference(slice.average, expected.average) == nil)
    }
}

@Test(arguments: sizes)
func momentumEqualsItsTwin(count: Int) {
    let before = Slice(count: count, seed: 70)
    let gradient = randomValues(count, seed: 80)
    var rates = paper
    rates.clipScale = 0.3

    var expected = before
    for i in 0..<count {
        expected.momentum[i] =
            before.momentum[i] * rates.momentum + rates.learningRate * (gradient[i] * rates.clipScale)
        expected.weights[i] -= expected.momentum[i]
        expected.average[i] -= (before.average[i] - expected.weights[i]) * (1 - rates.averageDecay)
    }

    var actual = before
    actual.weights.withUnsafeMutableBufferPointer { weights in
        guard let weights = weights.baseAddress else { return }
        Momentum.update(
            weights, weights: weights, gradient: gradient, momentum: &actual.momentum, average: &actual.average,
            rates: rates, count: count)
    }
    #expect(firstDifference(actual.weights, expected.weights) == nil)
    #expect(firstDifference(actual.momentum, expected.momentum) == nil)
    #expect(firstDifference(actual.average, expected.average) == nil)
}

@Test(arguments: sizes)
func foldEqualsItsTwin(count: Int) {
    let running = randomValues(count, seed: 90)
    let mean = randomValues(count, seed: 91)
    let average = randomValues(count, seed: 92)
    let expected = (0..<count).map { running[$0] + (mean[$0] - running[$0]) * 0.1 }
    let expectedAverage = (0..<count).map { average[$0] - (average[$0] - expected[$0]) * (1 - Float(0.999)) }

    var updated = [Float](repeating: .nan, count: count)
    var actualAverage = average
    Statistic.fold(
        &updated, running: running, mean: mean, average: &actualAverage, batchNormMomentum: 0.1, averageDecay: 0.999,
        count: count)
    #expect(firstDifference(updated, expected) == nil)
    #expect(firstDifference(actualAverage, expectedAverage) == nil)
}
