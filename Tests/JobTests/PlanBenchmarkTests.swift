// The choice of the fastest algorithms, from timings that are made up.

import PSBenchmarks
import PSJob
import PSModel
import PSNetwork
import PSPlanning
import Testing

@Suite struct PlanBenchmarkTests {
    private let candidates: [ConvolutionCandidate] = [
        ConvolutionCandidate(algorithm: .direct, error: 3e-7),
        ConvolutionCandidate(algorithm: .winograd(tile: 2), error: 1e-6),
        ConvolutionCandidate(algorithm: .winograd(tile: 6), error: 5e-5),
    ]

    private func benchmark(maximumError: Double) throws -> (PlanBenchmark, plans: [EnginePlan]) {
        var plans: [EnginePlan] = []
        let description = try ModelDescription(ModelSettings())
        let benchmark = try PlanBenchmark(
            description: description, batch: 2, threads: 1, maximumError: maximumError,
            algorithms: { $0.window.kernel.area == 9 && $0.window.stride.area == 1 ? candidates : [candidates[0]] },
            measure: { plan in
                plans.append(plan)
                return (0..<3).map { step in
                    plan.layers.flatMap { layer, choice -> [LayerTiming] in
                        // Tile 2 is the fastest forward. Of the gradients each is fastest by another tile, but both
                        // together are by direct. One step is disturbed.
                        let (forward, data, weight) =
                            switch choice.forward {
                            case .direct: (0.004, 0.004, 0.004)
                            case .winograd(2): (0.001, 0.007, 0.002)
                            default: (0.002, 0.002, 0.007)
                            }
                        let noise = step == 1 ? 1.0 : 0
                        return [
                            LayerTiming(layer: layer, pass: .weights, algorithm: "", seconds: 0.001, flops: 0),
                            LayerTiming(
                                layer: layer, pass: .forward, algorithm: "", seconds: forward + noise, flops: 1),
                            LayerTiming(layer: layer, pass: .dataGradient, algorithm: "", seconds: data, flops: 1),
                            LayerTiming(layer: layer, pass: .weightGradient, algorithm: "", seconds: weight, flops: 1),
                        ]
                    }
                }
            })
        return (benchmark, plans)
    }

    @Test func theFastestOfEachDirectionIsChosen() throws {
        let (benchmark, plans) = try benchmark(maximumError: 1)
        #expect(plans.count == 3)
        #expect(plans[0].layers.values.allSatisfy { $0 == .direct })
        #expect(plans[2]["Conv2d_2a_3x3"].forward == .winograd(tile: 6))
        #expect(plans[2]["Mixed_5b.branch5x5_2"] == .direct, "it has nothing else")
        let plan = benchmark.file.plan
        #expect(plan["Conv2d_2a_3x3"] == ConvolutionChoice(forward: .winograd(tile: 2), backward: .direct))
        #expect(plan["Mixed_5b.branch5x5_2"] == .direct)
        #expect(benchmark.file.layers.count == 55)
        #expect(benchmark.file.origin == "measured")
        let row = try #require(benchmark.candidates.first { $0.algorithm == "winograd-2" })
        #expect(abs(row.forwardMilliseconds - 1.5) < 1e-9 && abs(row.backwardMilliseconds - 9.5) < 1e-9)
        #expect(row.isForward && !row.isBackward)
    }

    @Test func anErrorTooLargeIsNotMeasured() throws {
        let (benchmark, plans) = try benchmark(maximumError: 2e-6)
        #expect(plans.count == 2)
        #expect(!benchmark.candidates.contains { $0.algorithm == "winograd-6" })
        // Even a bound below direct's own error leaves direct.
        #expect(try self.benchmark(maximumError: 1e-9).0.file.plan["Conv2d_2a_3x3"] == .direct)
    }

    @Test func layersOfOneShapeAreOneClass() throws {
        let text = try benchmark(maximumError: 1).0.text
        let lines = text.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
        #expect(lines.contains("17 x 17, 1 x 7, 192 -> 192 4 direct 3e-07 4.50 8.50 forward, backward"), "\(text)")
        #expect(lines.contains { $0.hasPrefix("299 x 299, 3 x 3 / 2, 3 -> 32 1 direct") })
    }
}
