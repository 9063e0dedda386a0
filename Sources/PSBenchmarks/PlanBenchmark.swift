// The plan that is fastest on this machine, found by measuring: whole training steps, each with every convolution at the
// next algorithm it has, so that each is timed in its place.

import PSModel
import PSNetwork
import PSPlanning
import PSReport

/// The result of `psctl bench plan`.
package struct PlanBenchmark: Encodable {
    /// One algorithm of the convolutions of one shape.
    package struct Candidate: Encodable, Sendable, Hashable {
        /// "35 x 35, 3 x 3, 64 -> 96".
        package let shape: String
        /// The layers of this shape.
        package let layers: [String]
        package let algorithm: String
        package let error: Double
        /// One layer's time, the mean of those of this shape, with half the preparation of its weights.
        package let forwardMilliseconds: Double
        /// Of both gradients, with the other half.
        package let backwardMilliseconds: Double
        package let isForward: Bool
        package let isBackward: Bool
    }

    package let model: String
    package let imageSize: Int
    package let batch: Int
    package let threads: Int
    package let maximumError: Double
    package let candidates: [Candidate]
    package let plan: String

    enum CodingKeys: String, CodingKey {
        case model, imageSize, batch, threads, maximumError, candidates, plan
    }

    /// The plan to be written.
    package let file: PlanFile

    /// - Parameters:
    ///   - maximumError: largest relative RMS error of an algorithm; direct is always allowed.
    ///   - algorithms: those a shape has, direct first.
    ///   - measure: the timings of some steps under a plan.
    package init(
        description: ModelDescription, batch: Int, threads: Int, maximumError: Double,
        algorithms: (ConvolutionShape) -> [ConvolutionCandidate] = { $0.candidates },
        measure: (EnginePlan) throws -> [[LayerTiming]]
    ) throws {
        let classes = PlanBenchmark.classes(description, batch, maximumError, algorithms)
        var times: [Measured: [Double]] = [:]
        for place in 0..<(classes.map(\.algorithms.count).max() ?? 0) {
            var plan = EnginePlan(layers: [:])
            for shape in classes {
                let algorithm = shape.algorithm(place)
                for layer in shape.layers {
                    plan.layers[layer] = ConvolutionChoice(forward: algorithm, backward: algorithm)
                }
            }
            let seconds = PlanBenchmark.seconds(try measure(plan))
            for shape in classes {
                for (isForward, passes) in PlanBenchmark.directions {
                    let total = shape.layers.reduce(0) { sum, layer in
                        func time(_ pass: LayerTiming.Pass) -> Double {
                            seconds[Timed(layer: layer, pass: pass)] ?? 0
                        }
                        // Weights are prepared in a form for each direction.
                        return passes.reduce(sum + time(.weights) / 2) { $0 + time($1) }
                    }
                    let key = Measured(
                        shape: shape.shape, algorithm: shape.algorithm(place), isForward: isForward)
                    times[key, default: []].append(total / Double(shape.layers.count))
                }
            }
        }
        var plan = EnginePlan(layers: [:])
        candidates = classes.flatMap { shape -> [Candidate] in
            // A shape with fewer algorithms than others was measured again with its last: the quickest time is closest
            // to what the algorithm takes when nothing disturbs it.
            func best(_ algorithm: ConvolutionAlgorithm, _ isForward: Bool) -> Double {
                times[Measured(shape: shape.shape, algorithm: algorithm, isForward: isForward)]!.min()!
            }
            func fastest(_ isForward: Bool) -> ConvolutionAlgorithm {
                shape.algorithms.map(\.algorithm).min { best($0, isForward) < best($1, isForward) }!
            }
            let choice = ConvolutionChoice(forward: fastest(true), backward: fastest(false))
            for layer in shape.layers { plan.layers[layer] = choice }
            return shape.algorithms.map {
                Candidate(
                    shape: shape.shape.text, layers: shape.layers, algorithm: "\($0.algorithm)", error: $0.error,
                    forwardMilliseconds: 1000 * best($0.algorithm, true),
                    backwardMilliseconds: 1000 * best($0.algorithm, false), isForward: choice.forward == $0.algorithm,
                    isBackward: choice.backward == $0.algorithm)
            }
        }
        model = description.settings.name
        imageSize = description.settings.imageSize
        self.batch = batch
        self.threads = threads
        self.maximumError = maximumError
        file = PlanFile(plan, origin: "measured", description: description, batch: batch)
        self.plan = file.summary
    }

    /// Measures on this machine: a step of warm-up and `steps` more under each plan.
    /// - Parameter note: told before each plan.
    package init(
        description: ModelDescription, batch: Int, threads: Int, steps: Int, maximumError: Double,
        note: (String) -> Void
    ) throws {
        var done = 0
        try self.init(description: description, batch: batch, threads: threads, maximumError: maximumError) { plan in
            done += 1
            note("measuring plan \(done)")
            let trainer = try LocalTrainer(
                description: description, batch: batch, threads: threads, plan: plan, measuresLayers: true)
            return try (0...steps).map { try trainer.step(number: $0).timings }.dropFirst().map(\.self)
        }
    }

    // MARK: Parts

    private static let directions: [(isForward: Bool, passes: [LayerTiming.Pass])] = [
        (true, [.forward]), (false, [.dataGradient, .weightGradient]),
    ]

    /// Layers of one shape.
    private struct ShapeClass {
        let shape: ConvolutionShape
        var layers: [String]
        let algorithms: [ConvolutionCandidate]

        func algorithm(_ place: Int) -> ConvolutionAlgorithm { algorithms[min(place, algorithms.count - 1)].algorithm }
    }

    private struct Measured: Hashable {
        let shape: ConvolutionShape
        let algorithm: ConvolutionAlgorithm
        let isForward: Bool
    }

    private struct Timed: Hashable {
        let layer: String
        let pass: LayerTiming.Pass
    }

    private static func classes(
        _ description: ModelDescription, _ batch: Int, _ maximumError: Double,
        _ algorithms: (ConvolutionShape) -> [ConvolutionCandidate]
    ) -> [ShapeClass] {
        var classes: [ShapeClass] = []
        for convolution in description.plannedConvolutions(batch: batch) {
            if let known = classes.firstIndex(where: { $0.shape == convolution.shape }) {
                classes[known].layers.append(convolution.name)
            } else {
                let allowed = algorithms(convolution.shape).filter { $0.isExactEnough(maximumError) }
                classes.append(
                    ShapeClass(shape: convolution.shape, layers: [convolution.name], algorithms: allowed))
            }
        }
        return classes
    }

    /// The median over the steps of what each pass of each layer took.
    private static func seconds(_ steps: [[LayerTiming]]) -> [Timed: Double] {
        let sums = steps.map { timings in
            timings.reduce(into: [Timed: Double]()) {
                $0[Timed(layer: $1.layer, pass: $1.pass), default: 0] += $1.seconds
            }
        }
        let keys = Set(sums.flatMap(\.keys))
        return Dictionary(uniqueKeysWithValues: keys.map { key in (key, median(sums.map { $0[key] ?? 0 })) })
    }

    // MARK: For people

    package var text: String {
        var rows = [["convolution", "layers", "algorithm", "error", "forward ms", "backward ms", "chosen"]]
        var last = ""
        for candidate in candidates {
            let isFirst = candidate.shape != last
            last = candidate.shape
            let chosen = (candidate.isForward ? ["forward"] : []) + (candidate.isBackward ? ["backward"] : [])
            rows.append([
                isFirst ? candidate.shape : "", isFirst ? "\(candidate.layers.count)" : "", candidate.algorithm,
                String(format: "%.0e", candidate.error), Report.decimal(candidate.forwardMilliseconds, places: 2),
                Report.decimal(candidate.backwardMilliseconds, places: 2),
                chosen.isEmpty ? "-" : chosen.joined(separator: ", "),
            ])
        }
        return "\(model), \(imageSize) x \(imageSize), batch \(batch), \(threads) threads; times of one layer\n"
            + Report.table(rows) + "plan: \(plan)\n"
    }
}

extension ConvolutionShape {
    /// "35 x 35, 3 x 3, 64 -> 96", with the stride where it is not 1.
    var text: String {
        let size = { (size: Extent) in "\(size.height) x \(size.width)" }
        let stride = window.stride.area == 1 ? "" : " / \(window.stride.height)"
        return "\(size(window.input)), \(size(window.kernel))\(stride), \(inputChannels) -> \(outputChannels)"
    }
}
