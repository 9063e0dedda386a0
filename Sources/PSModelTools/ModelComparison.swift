// Networks side by side, for `psctl model list` and `psctl model compare`.

import PSModel
import PSNetwork
import PSPlanning
import PSReport

/// The usual table of networks: what they have, what they cost, how often they are wrong.
package struct ModelComparison: Encodable {
    package struct Row: Encodable {
        package let model: String
        package let title: String
        /// Whose names the tensors have.
        package let reference: String
        package let imageSize: Int
        /// The auxiliary heads left out, as in the two below.
        package let parameters: Int
        /// Multiply-accumulates of one image's forward pass.
        package let macs: Int
        /// Values of one image's forward pass, four bytes each.
        package let activations: Int
        /// Bytes that the network of a training worker takes for a batch of 32.
        package let trainingBytes: Int
        /// Of a training step of one image on this machine; nil: it was not measured.
        package let secondsPerImage: Double?
        /// Percent on ILSVRC 2012's validation images; the source says how it was measured.
        package let top1Error: Double
        package let top5Error: Double?
        package let source: String
    }

    package let networks: [Row]

    /// - Parameter time: seconds of a training step, an image; nil: it is not measured.
    package init(_ networks: [Network], time: ((ModelDescription) throws -> Double)?) throws {
        self.networks = try networks.map { network in
            var settings = ModelSettings(network)
            let whole = try ModelDescription(settings)
            settings.auxiliary = false
            let main = try ModelDescription(settings)
            return Row(
                model: network.name, title: network.title, reference: network.reference, imageSize: network.imageSize,
                parameters: main.parameters, macs: main.macs, activations: main.activations,
                trainingBytes: try TrainingNetwork.arenaByteCount(
                    description: whole, batch: 32, threads: 1,
                    plan: EnginePlan(description: whole, batch: 32, settings: PlanSettings())),
                secondsPerImage: try time?(whole), top1Error: network.published.top1Error,
                top5Error: network.published.top5Error, source: network.published.source)
        }
    }

    /// One line of `psctl model list`.
    package struct Name: Encodable {
        package let model: String
        package let title: String
        /// Whose names the tensors have.
        package let reference: String
        package let imageSize: Int

        package init(_ network: Network) {
            (model, title) = (network.name, network.title)
            (reference, imageSize) = (network.reference, network.imageSize)
        }
    }

    /// Names and what they are.
    package static func list(_ networks: [Network]) -> String {
        let width = networks.map(\.name.count).max() ?? 0
        return networks.map { network in
            network.name + String(repeating: " ", count: width - network.name.count + 2) + network.title + "\n"
        }.joined()
    }

    /// The table for people.
    package var text: String {
        func error(_ value: Double?) -> String { value.map { Report.decimal($0, places: 1) } ?? "-" }
        let isTimed = networks.contains { $0.secondsPerImage != nil }
        var lines = [
            ["network", "image", "parameters", "MACs", "activations", "training"] + (isTimed ? ["step/image"] : [])
                + ["top-1", "top-5"]
        ]
        for row in networks {
            lines.append(
                [
                    row.model, "\(row.imageSize)", "\(Report.decimal(Double(row.parameters) / 1e6, places: 1)) M",
                    "\(Report.decimal(Double(row.macs) / 1e9, places: 2)) G",
                    "\(Report.decimal(Double(row.activations) / 1e6, places: 1)) M", Report.bytes(row.trainingBytes),
                ] + (isTimed ? [row.secondsPerImage.map { Report.decimal(1000 * $0, places: 1) + " ms" } ?? "-"] : [])
                    + [error(row.top1Error), error(row.top5Error)])
        }
        let sources = networks.map { "\($0.model): \($0.source)" }.joined(separator: "\n  ")
        return Report.table(lines)
            + """

            Parameters, multiply-accumulates and activations are one image's, the auxiliary heads left out; training is
            the memory of a worker's network for a batch of 32\(isTimed ? "; the step is forward and backward on this machine" : "").
            Errors are percent of ILSVRC 2012's validation images:
              \(sources)

            """
    }
}
