// A network that computes logits from running statistics, for evaluation and prediction.

import PSKernels
import PSModel
import PSParameters
import PSPlanning

/// The main head of a network, without dropout. Not to be called from two threads at once.
package final class InferenceNetwork {
    package let description: ModelDescription
    /// Most images of one call.
    package let batch: Int
    private let memory: NetworkMemory

    /// - Throws: `NetworkError.outOfMemory`.
    package init(description: ModelDescription, batch: Int, threads: Int, plan engine: EnginePlan) throws(NetworkError)
    {
        self.description = description
        self.batch = batch
        let plan = try NetworkPlan(
            description: description, batch: batch, threads: threads, mode: .inference, engine: engine)
        memory = try NetworkMemory(plan: plan, threads: threads)
    }

    /// Bytes of memory such a network holds, without making it.
    package static func arenaByteCount(
        description: ModelDescription, batch: Int, threads: Int, plan engine: EnginePlan
    ) throws(NetworkError) -> Int {
        let plan = try NetworkPlan(
            description: description, batch: batch, threads: threads, mode: .inference, engine: engine)
        return Arena.byteCount(floats: plan.arena.floatCount)
    }

    /// Bytes of memory this network holds.
    package var arenaByteCount: Int { memory.arena.byteCount }

    package var layout: ParameterLayout { description.layout }

    /// Takes the values of one slice, weights or running statistics; see `TrainingNetwork.load`.
    package func load(elements: Range<Int>, from values: UnsafePointer<Float>) {
        memory.load(elements: elements, from: values)
    }

    /// - Parameters:
    ///   - images: NHWC, count x imageSize x imageSize x 3, `count` at most `batch`.
    ///   - logits: gets count x classes values.
    package func logits(images: UnsafePointer<Float>, count: Int, into logits: UnsafeMutablePointer<Float>) {
        precondition(count > 0 && count <= batch)
        memory.prepareFoldedWeights()
        memory.takeImages(images, count: count)
        for layer in memory.layers { layer.work.infer(memory.context) }
        let output = memory.map(memory.plan.heads[0])
        for image in 0..<count {
            (logits + image * output.channels).update(from: output.pixel(image), count: output.channels)
        }
    }
}
