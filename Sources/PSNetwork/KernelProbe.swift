// A fingerprint of this machine's arithmetic, by which a job refuses workers whose kernels give other bits.

import PSKernels
import PSModel
import PSParameters
import PSPlanning

package enum KernelProbe {
    /// The BLAS kernel set's name, and a hash of the gradients of one small training step, which passes through every
    /// algorithm a plan can choose. Takes a fraction of a second.
    package static func identity() -> (coreName: String, hash: UInt64) {
        do {
            let network = try TrainingNetwork(description: description, batch: batch, threads: 1, plan: plan)
            return (blasCoreName(), try hash(of: network))
        } catch {
            preconditionFailure("the probe's own network cannot be built: \(error)")
        }
    }

    package static let batch = 2

    package static var description: ModelDescription {
        get throws(ModelError) {
            var settings = ModelSettings()
            settings.stem = 79
            settings.imageSize = 40
            settings.width = 0.3
            settings.classes = 20
            return try ModelDescription(settings)
        }
    }

    /// Goes round the algorithms of each kind of window, layer by layer: each serves forward and each backward.
    package static var plan: EnginePlan {
        get throws(ModelError) {
            var (plan, layersOfKind) = (EnginePlan.direct, [String: Int]())
            for convolution in try description.plannedConvolutions(batch: batch) {
                let window = convolution.shape.window
                let candidates = convolution.shape.candidates
                let turn = layersOfKind["\(window.kernel) \(window.stride)", default: 0]
                layersOfKind["\(window.kernel) \(window.stride)"] = turn + 1
                plan.layers[convolution.name] = ConvolutionChoice(
                    forward: candidates[turn % candidates.count].algorithm,
                    backward: candidates[(turn + 1) % candidates.count].algorithm)
            }
            return plan
        }
    }

    private static func hash(of network: TrainingNetwork) throws(NetworkError) -> UInt64 {
        let layout = network.layout
        var weights = layout.initialValues(seed: 1)
        weights.withUnsafeMutableBufferPointer { weights in
            for slice in layout.slices {
                network.load(elements: slice.range, from: weights.baseAddress! + slice.range.lowerBound)
            }
        }
        let random = CounterRandom(seed: 1, name: "probe")
        let images = (0..<network.batch * network.description.nodes[0].shape.elements).map {
            2 * random.uniform(UInt64($0)) - 1
        }
        _ = try network.step(
            images: images, labels: [3, 17], random: random, options: StepOptions(), gradients: &weights,
            ready: { _ in })
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for value in weights { hash = (hash ^ UInt64(value.bitPattern)) &* 0x100_0000_01B3 }
        return hash
    }
}
