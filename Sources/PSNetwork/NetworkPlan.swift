// Where every value of a network lies, how long it lives, and which kernels compute it: a function of the model, the
// batch, the mode and the job's choice of algorithms.

import PSKernels
import PSModel
import PSPlanning

/// Where a stage's map lies: a region, or a slice of the region of the concat it feeds.
struct Placement {
    /// What readers of the whole map apply to it.
    struct Norm {
        /// All scales and then all shifts; nil for 1 and 0.
        let region: Int?
        let floor: Float
    }

    let region: Int
    let channelOffset: Int
    let pixelStride: Int
    /// Nil if they read it as it is.
    let norm: Norm?
    /// Channels of the whole map.
    let normChannels: Int
}

/// One stage's places and kernels.
struct StagePlan {
    let stage: Stage
    /// False for stages that the wanted outputs do not depend on.
    var isUsed = true
    /// The stage whose layer computes this one: itself, or the first of the 1x1 convolutions of the same map.
    var leader: Int
    /// The stages whose maps it reads; for a 1x1 convolution behind an average pool, what the pool reads.
    var sources: [Int]
    /// An average pool that the layer of the 1x1 convolution behind it takes over: it has no map and no layer.
    var isTakenOver = false
    var output: Placement?
    var outputGradient: Placement?
    /// Of each source: whether another stage has written its gradient before this one's turn.
    var accumulates: [Bool] = []
    var kernel = StageKernel.none
}

/// The kernels of one layer with the regions they own.
enum StageKernel {
    /// The images, a concat, or what another layer computes.
    case none
    case convolution(ConvolutionKernels)
    case pointwise(PointwiseKernels)
    case dense(PointwiseKernels)
    /// `taps` remembers in bytes which tap won.
    case maxPool(PoolShape, taps: Int?)
    case averagePool(PoolShape, countBorder: Bool)
    case adaptivePool(AdaptivePool)
    case add(scale: Float, rectifies: Bool)
    case relu
    case localResponseNorm(LocalResponseNorm)
    case dropout(probability: Double, stream: Int)
}

/// The regions of a convolution's or dense layer's parameters.
struct ParameterRegions {
    let outputChannels: Int
    /// Weights of one output channel.
    let perOutput: Int
    let canonical: Int
    let weights: Int
    /// Nil where the input is the images, and in inference.
    let gradientWeights: Int?
    /// `LayerParameters.vectorCount` vectors.
    let vectors: Int
}

struct ConvolutionKernels {
    let forward: any ConvolutionKernel
    let backward: any ConvolutionKernel
    let parameters: ParameterRegions
    /// Floating-point operations of one direction, two a multiply-add.
    let flops: Double
}

struct PointwiseKernels {
    struct Member {
        let stage: Int
        let parameters: ParameterRegions
        /// Where there is an average pool before it that is taken after it: the pool, and memory for the products.
        let pool: (shape: PoolShape, countBorder: Bool, product: Int, gradient: Int?)?
    }

    let group: PointwiseGroup
    let members: [Member]
    /// All members' weights for the data gradient; nil where the input is the images, and in inference.
    let gradientWeights: Int?
    let flops: Double
}

/// The plan of a whole network.
struct NetworkPlan {
    enum Mode { case training, inference }

    let description: ModelDescription
    let batch: Int
    let mode: Mode
    let engine: EnginePlan
    let lowering: Lowering
    var stages: [StagePlan]
    var arena = ArenaPlan()
    /// Floats of memory one kernel after the other works in, and their region.
    var workspaceFloats = 64
    private(set) var workspace = 0
    /// Floats of `KernelContext`'s scratch, one thread; and the threads' region.
    var scratchFloats = 64
    private(set) var scratch = 0
    /// As many ones as a map that a ReLU reads has channels, and as many zeros.
    private(set) var identity = 0
    let identityChannels: Int

    init(
        description: ModelDescription, batch: Int, threads: Int, mode: Mode, engine: EnginePlan
    ) throws(NetworkError) {
        precondition(batch > 0 && threads > 0)
        self.description = description
        self.batch = batch
        self.mode = mode
        self.engine = engine
        lowering = Lowering(description)
        stages = lowering.stages.map { StagePlan(stage: $0, leader: $0.index, sources: $0.inputs) }
        identityChannels = lowering.stages.map { $0.work == .relu ? $0.shape.channels : 1 }.max()!
        markUsed()
        if mode == .training { try checkBatchNorms() }
        takeOverPools()
        groupPointwise()
        placeMaps()
        for index in stages.indices where stages[index].isUsed { planKernels(index) }
        workspace = arena.reserve(floats: workspaceFloats, lifetime: wholeStep)
        scratch = arena.reserve(floats: threads * scratchFloats, lifetime: wholeStep)
        identity = arena.reserve(floats: 2 * identityChannels, lifetime: wholeStep)
        arena.place()
    }

    /// The stages of the heads' logits, the main one first.
    var heads: [Int] { description.heads.map { lowering.stage(of: $0.logits) } }

    // MARK: the graph

    private mutating func markUsed() {
        guard mode == .inference else { return }
        let main = heads[0]
        for index in stages.indices.reversed() {
            stages[index].isUsed =
                index == main || stages.contains { $0.isUsed && $0.index > index && $0.stage.inputs.contains(index) }
        }
    }

    private func checkBatchNorms() throws(NetworkError) {
        for plan in stages {
            if case .norm? = plan.stage.epilogue?.shift, batch * plan.stage.shape.pixels == 1 {
                throw .singleValueBatchNorm(layer: plan.stage.name, batch: batch)
            }
        }
    }

    /// An average pool that keeps the map's size and whose one reader is a 1x1 convolution with fewer outputs than
    /// inputs is cheaper behind it.
    private mutating func takeOverPools() {
        for index in stages.indices where stages[index].isUsed && isPointwise(index) {
            let pool = stages[index].stage.inputs[0]
            guard case .averagePool(let window, _) = stages[pool].stage.work, window.stride.area == 1,
                let source = stages[pool].sources.first, readers(pool) == [index]
            else { continue }
            let (before, after) = (stages[source].stage.shape, stages[pool].stage.shape)
            guard before == after, stages[index].stage.shape.channels < before.channels else { continue }
            stages[pool].isTakenOver = true
            stages[index].sources = [source]
        }
    }

    private mutating func groupPointwise() {
        for index in stages.indices where stages[index].isUsed && isPointwise(index) {
            let first = stages.indices.first {
                stages[$0].isUsed && isPointwise($0) && stages[$0].sources == stages[index].sources
            }
            stages[index].leader = first!
        }
    }

    func isPointwise(_ index: Int) -> Bool {
        guard case .convolution(let window, groups: 1, _) = stages[index].stage.work else { return false }
        return slidingWindow(stages[index].stage, window).isPointwise
    }

    /// Stages that read a stage's map, in the order of the graph.
    func readers(_ index: Int) -> [Int] {
        stages.indices.filter {
            stages[$0].isUsed && !stages[$0].isTakenOver && stages[$0].sources.contains(index)
        }
    }

    func slidingWindow(_ stage: Stage, _ window: Window) -> SlidingWindow {
        SlidingWindow(window, input: stages[stage.inputs[0]].stage.shape, output: stage.shape)
    }

    // MARK: time

    /// The layer of stage i runs forward at i and backward at 2n - i, the losses are taken at n.
    var wholeStep: ClosedRange<Int> { 0...2 * stages.count }
    func forwardTime(_ stage: Int) -> Int { stages[stage].leader }
    func backwardTime(_ stage: Int) -> Int { 2 * stages.count - stages[stage].leader }
}

extension StagePlan {
    var index: Int { stage.index }
}
