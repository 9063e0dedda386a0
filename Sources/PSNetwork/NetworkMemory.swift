// A planned network brought to life: its arena, its layers, and the way parameters come in.

import Glibc
import PSKernels
import PSModel
import PSParameters

/// One layer and the stages it computes.
struct PlacedLayer {
    let work: any Layer
    let stages: [Stage]
}

/// One layer's weights on their way from the canonical form into those its kernels multiply by.
struct Preparation {
    let name: String
    let parameters: LayerParameters
    /// What follows the product; a head's bias is not among it.
    let epilogue: Epilogue
    let hasGamma: Bool
    let items: Int
    let prepare: (_ item: Int, _ canonical: UnsafePointer<Float>) -> Void
}

/// Memory, threads and layers, shared by the two kinds of network.
final class NetworkMemory {
    let plan: NetworkPlan
    let arena: Arena
    let context: KernelContext
    /// In the order they run.
    private(set) var layers: [PlacedLayer] = []
    /// Where each tensor of the layout goes; nil for those this network does not use: the auxiliary heads' in inference,
    /// running statistics in training, unless batch norm goes by them.
    var targets: [UnsafeMutablePointer<Float>?]
    var preparations: [Preparation] = []
    /// Whether weights came since they were prepared last.
    private var isStale = true

    init(plan: NetworkPlan, threads: Int) throws(NetworkError) {
        self.plan = plan
        arena = try Arena(floats: plan.arena.floatCount)
        do throws(KernelError) {
            context = try KernelContext(
                threads: threads, scratch: arena.base + plan.arena.offset(plan.scratch),
                scratchFloats: plan.scratchFloats)
        } catch {
            throw .kernel(error)
        }
        targets = [UnsafeMutablePointer<Float>?](repeating: nil, count: plan.description.layout.tensors.count)
        base(plan.identity).update(repeating: 1, count: plan.identityChannels)
        for stage in plan.stages where stage.isUsed {
            passThrough(stage)
            if let layer = makeLayer(stage) { layers.append(layer) }
        }
    }

    func base(_ region: Int) -> UnsafeMutablePointer<Float> { arena.base + plan.arena.offset(region) }

    /// The output of a stage.
    func map(_ stage: Int) -> FeatureMap { map(plan.stages[stage].output!, plan.stages[stage].stage.shape) }

    /// The gradient of a stage's output.
    func gradient(_ stage: Int) -> FeatureMap? {
        plan.stages[stage].outputGradient.map { map($0, plan.stages[stage].stage.shape) }
    }

    private func map(_ place: Placement, _ shape: MapShape) -> FeatureMap {
        FeatureMap(
            base: base(place.region) + place.channelOffset, batch: plan.batch, height: shape.height,
            width: shape.width, channels: shape.channels, pixelStride: place.pixelStride)
    }

    // MARK: what comes in

    /// What torchvision's `transform_input` does: ImageNet's mean and deviation of each channel out, 0.5 and 0.5 in.
    private static func transform(_ values: UnsafeMutablePointer<Float>, count: Int) {
        let channels: [(scale: Float, shift: Float)] = [
            (0.229 / 0.5, (0.485 - 0.5) / 0.5), (0.224 / 0.5, (0.456 - 0.5) / 0.5), (0.225 / 0.5, (0.406 - 0.5) / 0.5),
        ]
        for index in 0..<count {
            let (scale, shift) = channels[index % 3]
            values[index] = values[index] * scale + shift
        }
    }

    /// Takes the images of a batch; missing ones are zeros, for the plan is made for full batches.
    func takeImages(_ images: UnsafePointer<Float>, count: Int) {
        let input = map(0)
        let perImage = input.height * input.width * input.channels
        context.pool.run(plan.batch) { image, _ in
            let target = input.base + image * perImage
            if image < count {
                target.update(from: images + image * perImage, count: perImage)
                if plan.description.settings.transformInput { NetworkMemory.transform(target, count: perImage) }
            } else {
                target.update(repeating: 0, count: perImage)
            }
        }
    }

    /// Takes the canonical values of one slice.
    func load(elements: Range<Int>, from values: UnsafePointer<Float>) {
        let layout = plan.description.layout
        guard let slice = layout.slices.first(where: { $0.range == elements }) else {
            preconditionFailure("elements \(elements) are not a slice of the layout")
        }
        for piece in slice.pieces {
            let source = values + (piece.range.lowerBound - elements.lowerBound)
            let first = piece.range.lowerBound - layout.offsets[piece.tensor]
            guard let target = targets[piece.tensor] else { continue }
            (target + first).update(from: source, count: piece.range.count)
        }
        isStale = true
    }

    /// Brings the weights loaded last into the forms training multiplies by.
    func prepareWeights(_ clock: LayerClock) {
        guard isStale else { return }
        isStale = false
        if clock.isRunning {
            for layer in preparations {
                clock.measure(layer.name, .weights, "weights") {
                    context.pool.run(layer.items) { item, _ in layer.prepare(item, layer.parameters.canonical) }
                }
            }
            return
        }
        // All layers in one loop, so that small ones do not leave threads without work.
        let items = preparations.indices.flatMap { layer in
            (0..<preparations[layer].items).map { (layer, $0) }
        }
        context.pool.run(items.count) { index, _ in
            let (layer, item) = items[index]
            preparations[layer].prepare(item, preparations[layer].parameters.canonical)
        }
    }

    /// The same for inference, with batch norm's scale folded into the weights.
    func prepareFoldedWeights() {
        guard isStale else { return }
        isStale = false
        let folded = base(plan.workspace)
        for layer in preparations {
            let parameters = layer.parameters
            var source = parameters.canonical
            switch layer.epilogue.shift {
            case .none: break
            case .bias: parameters.foldedBias.update(from: parameters.bias, count: parameters.outputChannels)
            case .norm(let epsilon):
                parameters.fold(hasGamma: layer.hasGamma, epsilon: epsilon, into: folded)
                source = folded
            }
            context.pool.run(layer.items) { [source] item, _ in layer.prepare(item, source) }
        }
    }
}
