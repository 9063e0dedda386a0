// One training step's loss, logits and gradients as a file, for comparison with any other framework.

import PSCheckpoint
import PSFiles
import PSNetwork
import PSParameters

/// What `psctl gradients` computes: dropout off, label smoothing 0.1, the network's own weight of its auxiliary
/// heads, batch statistics.
package struct GradientReport: Sendable {
    package let classes: Int
    package let loss: Double
    /// Batch x classes.
    package let logits: [Float]
    /// Of each auxiliary head: its name and batch x classes.
    package let auxiliaryLogits: [(head: String, logits: [Float])]
    /// The flat vector of `layout`.
    package let gradients: [Float]
    package let layout: ParameterLayout

    /// - Parameter path: where the batch came from, for messages.
    package init(model: ModelWithWeights, batch: ImageBatch, path: String, threads: Int) throws {
        classes = model.description.classes
        layout = model.description.layout
        let labels = try batch.checkedLabels(classes: classes, path: path)
        let network = try TrainingNetwork(
            description: model.description, batch: batch.count, threads: threads,
            plan: model.configuration.engine.trainingPlan(description: model.description, batch: batch.count).plan)
        layout.eachSlice(of: model.values, network.load)
        var options = StepOptions()
        options.dropout = false
        var gradients = [Float](repeating: 0, count: layout.count)
        let result = try network.step(
            images: batch.images, labels: labels, random: CounterRandom(key: 0), options: options,
            gradients: &gradients, ready: { _ in })
        loss = result.loss
        logits = network.logits
        auxiliaryLogits = Array(zip(model.description.heads.dropFirst().map(\.name), network.auxiliaryLogits))
        self.gradients = gradients
    }

    /// Writes `loss` (a scalar), `logits`, `aux_logits` where there is an auxiliary head (`aux1_logits` and so on where there
    /// are several), and `grad.NAME` for each learned tensor, all float32 in torchvision's layout.
    package func write(to output: OutputFile) throws {
        let scalarLoss = Float(loss)
        let count = logits.count / classes
        var tensors = [
            OutgoingTensor(name: "loss", shape: [], values: [scalarLoss]),
            OutgoingTensor(name: "logits", shape: [count, classes], values: logits),
        ]
        for (head, logits) in auxiliaryLogits {
            let name = auxiliaryLogits.count == 1 ? "aux_logits" : "\(head)_logits"
            tensors.append(OutgoingTensor(name: name, shape: [count, classes], values: logits))
        }
        for (index, tensor) in layout.tensors.enumerated() where tensor.kind == .weight {
            tensors.append(
                OutgoingTensor(
                    name: "grad.\(tensor.name)", shape: tensor.shape,
                    values: Array(gradients[layout.range(ofTensor: index)])))
        }
        try SafetensorsWriter.write(to: output, metadata: [:], tensors: tensors)
    }
}
