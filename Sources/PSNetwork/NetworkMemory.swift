// A planned network brought to life: its arena, its layers, and the way parameters come in.

import Glibc
import PSKernels
import PSModel
import PSParameters

/// Where the elements of one tensor of the layout go.
private enum TensorTarget {
    case weights(LayerParameters)
    case vector(UnsafeMutablePointer<Float>)
    /// A tensor this network does not use: the auxiliary head's in inference, running statistics in training.
    case unused
}

/// Memory, threads and layers, shared by the two kinds of network.
final class NetworkMemory {
    let plan: NetworkPlan
    let arena: Arena
    let context: KernelContext
    /// Parallel to the model's nodes; nil for the input, for concats and for nodes nothing depends on.
    private(set) var layers: [(any Layer)?] = []
    private var targets: [TensorTarget]

    init(plan: NetworkPlan, threads: Int) throws(NetworkError) {
        self.plan = plan
        arena = try Arena(floats: plan.arena.floatCount)
        do throws(KernelError) {
            context = try KernelContext(
                threads: threads, scratch: arena.base + plan.arena.offset(plan.scratch),
                scratchFloats: plan.scratchFloats)
        } catch {
            switch error {
            case .threadsRefused(let wanted, _, let code):
                throw .threadsRefused(wanted: wanted, reason: String(cString: strerror(code)))
            }
        }
        targets = [TensorTarget](repeating: .unused, count: plan.description.layout.tensors.count)
        layers = plan.nodes.map { $0.isUsed ? makeLayer($0) : nil }
    }

    /// The output of a node.
    func map(_ node: Int) -> FeatureMap { map(plan.nodes[node].output!, plan.nodes[node].node.shape) }

    /// The gradient of a node's output.
    func gradient(_ node: Int) -> FeatureMap? {
        plan.nodes[node].outputGradient.map { map($0, plan.nodes[node].node.shape) }
    }

    /// Takes the canonical values of one slice into the engine's layouts.
    func load(elements: Range<Int>, from values: UnsafePointer<Float>) {
        let layout = plan.description.layout
        guard let slice = layout.slices.first(where: { $0.range == elements }) else {
            preconditionFailure("elements \(elements) are not a slice of the layout")
        }
        for piece in slice.pieces {
            let source = values + (piece.range.lowerBound - elements.lowerBound)
            let first = piece.range.lowerBound - layout.offsets[piece.tensor]
            switch targets[piece.tensor] {
            case .unused: break
            case .vector(let target): (target + first).update(from: source, count: piece.range.count)
            case .weights(let parameters):
                // Slices cut a tensor between rows only.
                let perOutput = parameters.layout.inputChannels * parameters.layout.taps
                let outputs = first / perOutput..<(first + piece.range.count) / perOutput
                parameters.layout.load(
                    outputs: outputs, from: source, forward: parameters.weights,
                    backward: parameters.gradientWeights)
            }
        }
    }

    private func base(_ region: Int) -> UnsafeMutablePointer<Float> { arena.base + plan.arena.offset(region) }

    private func map(_ place: Placement, _ shape: MapShape) -> FeatureMap {
        FeatureMap(
            base: base(place.region) + place.channelOffset, batch: plan.batch, height: shape.height,
            width: shape.width, channels: shape.channels, pixelStride: place.pixelStride)
    }

    private func makeLayer(_ nodePlan: NodePlan) -> (any Layer)? {
        let node = nodePlan.node
        guard let source = node.inputs.first else { return nil }
        switch nodePlan.kernel {
        case .none: return nil
        case .convolution(let kernels):
            let parameters = makeParameters(node, kernels)
            return ConvolutionLayer(
                kernels: kernels, tensors: node.tensors, layout: plan.description.layout, parameters: parameters,
                input: map(source), output: map(node.index),
                preactivation: kernels.preactivation.map {
                    FeatureMap(
                        base: base($0), batch: plan.batch, height: node.shape.height, width: node.shape.width,
                        channels: node.shape.channels)
                }, outputGradient: gradient(node.index), inputGradient: gradient(source),
                accumulates: nodePlan.accumulates[0], workspace: base(plan.workspace))
        case .dense(let kernels):
            return DenseLayer(
                kernels: kernels, tensors: node.tensors, layout: plan.description.layout,
                parameters: makeParameters(node, kernels), input: map(source), output: map(node.index),
                outputGradient: gradient(node.index), inputGradient: gradient(source),
                accumulates: nodePlan.accumulates[0], workspace: base(plan.workspace))
        case .maxPool(let shape, let taps):
            let bytes = taps.map { UnsafeMutableRawPointer(base($0)).assumingMemoryBound(to: UInt8.self) }
            return makePool(nodePlan, shape, .max(taps: bytes))
        case .averagePool(let shape, let countBorder):
            return makePool(nodePlan, shape, .average(countBorder: countBorder))
        case .dropout(let probability):
            return DropoutLayer(
                node: node.index, probability: Float(probability), input: map(source), output: map(node.index),
                outputGradient: gradient(node.index), inputGradient: gradient(source),
                accumulates: nodePlan.accumulates[0])
        }
    }

    private func makePool(_ nodePlan: NodePlan, _ shape: PoolShape, _ kind: PoolLayer.Kind) -> PoolLayer {
        let source = nodePlan.node.inputs[0]
        return PoolLayer(
            shape: shape, kind: kind, input: map(source), output: map(nodePlan.node.index),
            outputGradient: gradient(nodePlan.node.index), inputGradient: gradient(source),
            accumulates: nodePlan.accumulates[0])
    }

    private func makeParameters(_ node: Node, _ kernels: ConvolutionKernels) -> LayerParameters {
        let parameters = LayerParameters(kernels: kernels, base: base)
        let vectors = [
            (node.tensors.scale, parameters.scale), (node.tensors.bias, parameters.bias),
            (node.tensors.runningMean, parameters.runningMean),
            (node.tensors.runningVariance, parameters.runningVariance),
        ]
        for (tensor, target) in vectors {
            if let tensor { targets[tensor] = .vector(target) }
        }
        if let weight = node.tensors.weight { targets[weight] = .weights(parameters) }
        return parameters
    }
}
