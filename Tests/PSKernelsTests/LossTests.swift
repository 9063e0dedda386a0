// The loss, the bias, and the small parts everything else stands on.

import Glibc
import PSKernels
import Synchronization
import Testing

@Suite struct LossTests {
    @Test func publishedExample() {
        let logits = OwnedMap(batch: 1, height: 1, width: 1, channels: 5)
        logits.values = [0.1, 0.1, 0.1, 0.36, 0.34].map { Float(log($0)) }
        let smoothed = SoftmaxCrossEntropy.compute(
            logits: logits.map, labels: [3], smoothing: 0.1, weight: 1, gradient: nil)
        #expect(abs(smoothed.loss - 1.09965) < 1e-5)
        #expect(smoothed.correct == 1)
        let hard = SoftmaxCrossEntropy.compute(
            logits: logits.map, labels: [3], smoothing: 0, weight: 1, gradient: nil)
        #expect(abs(hard.loss - 1.02165) < 1e-5)
        let wrong = SoftmaxCrossEntropy.compute(
            logits: logits.map, labels: [4], smoothing: 0, weight: 1, gradient: nil)
        #expect(wrong.correct == 0)
        withExtendedLifetime(logits) {}
    }

    /// The third image is a class and itself mixed: the label's share is whole again.
    @Test(arguments: [nil, SecondLabels(labels: [1, 5, 2], share: 0.3)])
    func finiteDifferences(second: SecondLabels?) {
        let logits = OwnedMap(batch: 3, height: 1, width: 1, channels: 7)
        let gradient = OwnedMap(batch: 3, height: 1, width: 1, channels: 7)
        var generator = Generator("loss")
        // Far from zero: the largest must be taken off before the exponential.
        let values = generator.values(21).map { 200 + 3 * $0 }
        let labels: [Int32] = [6, 0, 2]
        func loss(_ values: [Float], gradient: FeatureMap? = nil) -> Double {
            logits.values = values
            return SoftmaxCrossEntropy.compute(
                logits: logits.map, labels: labels, second: second, smoothing: 0.1, weight: 0.4, gradient: gradient
            ).loss
        }
        if let second {
            // The loss is linear in the target.
            func plain(_ labels: [Int32]) -> Double {
                logits.values = values
                return SoftmaxCrossEntropy.compute(
                    logits: logits.map, labels: labels, smoothing: 0.1, weight: 1, gradient: nil
                ).loss
            }
            #expect(abs(loss(values) - 0.7 * plain(labels) - 0.3 * plain(second.labels)) < 1e-12)
        }
        _ = loss(values, gradient: gradient.map)
        for index in values.indices {
            var (up, down) = (values, values)
            up[index] += 0.0078125
            down[index] -= 0.0078125
            // The gradient is that of the weighted loss, the returned loss is not weighted.
            let slope = 0.4 * (loss(up) - loss(down)) / Double(up[index] - down[index])
            #expect(abs(slope - Double(gradient.values[index])) < 1e-5)
        }
        withExtendedLifetime(logits) {}
    }

    @Test func bias() {
        let y = OwnedMap(batch: 3, height: 1, width: 1, channels: 2, gap: 1)
        y.values = [1, 2, 3, 4, 5, 6]
        var gradient: [Float] = [.nan, .nan]
        Bias.gradient(outputGradient: y.map, into: &gradient)
        #expect(gradient == [9, 12])
        Bias.add([10, 20], to: y.map)
        #expect(y.values == [11, 22, 13, 24, 15, 26])
        #expect(y.gapsAreIntact)
    }
}

@Suite struct WorkTests {
    @Test func everyItemOnceInEveryRound() throws {
        let pool = try ThreadPool(threads: 3)
        for round in 0..<2000 {
            let count = round % 50
            let sum = Atomic<Int>(0)
            let items = Atomic<Int>(0)
            pool.run(count) { item, thread in
                #expect(thread >= 0 && thread < 3)
                sum.wrappingAdd(item, ordering: .relaxed)
                items.wrappingAdd(1, ordering: .relaxed)
            }
            #expect(items.load(ordering: .relaxed) == count)
            #expect(sum.load(ordering: .relaxed) == count * (count - 1) / 2)
        }
    }

    @Test func cutsCoverEverythingOnce() {
        for count in 1..<70 {
            for pieces in 1..<20 {
                let cut = EvenCut(count, pieces: pieces)
                let ranges = (0..<cut.pieces).map { cut[$0] }
                #expect(ranges.flatMap { $0 } == Array(0..<count))
                let lengths = ranges.map(\.count)
                #expect(lengths.max()! == cut.longest && lengths.min()! >= max(1, cut.longest - 1))
                #expect(EvenCut(count, atMost: pieces).longest <= pieces)
            }
        }
    }
}
