// What a network is made of and what it costs, for `psctl model summary` and `psctl model receptive`.

import PSModel
import PSReport

/// A network's rows and totals.
package struct ModelSummary: Encodable {
    package struct Row: Encodable {
        package let name: String
        package let kind: String
        /// Rows, columns, channels.
        package let outputShape: [Int]
        package let parameters: Int
        package let macs: Int
        /// Rows and columns of the image that one value of the output depends on.
        package let receptiveField: [Int]
        /// Rows and columns of the image from one value's centre to the next one's.
        package let receptiveStep: [Int]
    }

    package let model: String
    package let title: String
    /// Whose names the tensors have.
    package let reference: String
    /// Rows, columns, channels of an image.
    package let inputShape: [Int]
    package let rows: [Row]
    package let parameters: Int
    package let parametersWithoutAux: Int
    /// Multiply-accumulates of one image's forward pass, the auxiliary heads left out.
    package let macs: Int
    /// Smallest image, rows and columns.
    package let minimumImageSize: Int
    private let hasAuxiliary: Bool

    private enum CodingKeys: CodingKey {
        case model, title, reference, inputShape, rows, parameters, parametersWithoutAux, macs, minimumImageSize
    }

    package init(_ description: ModelDescription) {
        model = description.settings.name
        title = description.network.title
        reference = description.network.reference
        inputShape = [description.settings.imageSize, description.settings.imageSize, 3]
        rows = description.rows.map { row in
            Row(
                name: row.name, kind: row.kind,
                outputShape: [row.output.height, row.output.width, row.output.channels],
                parameters: row.parameters, macs: row.macs,
                receptiveField: [row.receptiveField.height, row.receptiveField.width],
                receptiveStep: [row.step.height, row.step.width])
        }
        parameters = description.parameters
        parametersWithoutAux = description.parametersWithoutAuxiliary
        macs = description.macs
        minimumImageSize = description.minimumImageSize
        hasAuxiliary = !description.network.auxiliaryHeads.isEmpty
    }

    private func shape(_ extents: [Int]) -> String { extents.map(String.init).joined(separator: " x ") }

    /// The table for people.
    package var text: String {
        var lines = [["row", "kind", "output", "parameters", "MACs"], ["input", "images", shape(inputShape), "", ""]]
        lines += rows.map {
            [$0.name, $0.kind, shape($0.outputShape), Report.grouped($0.parameters), Report.grouped($0.macs)]
        }
        let rowMACs = rows.reduce(0) { $0 + $1.macs }
        lines.append(["total", "", "", Report.grouped(parameters), Report.grouped(rowMACs)])
        let without = hasAuxiliary ? ", \(Report.grouped(parametersWithoutAux)) without the auxiliary heads" : ""
        return Report.table(lines)
            + """

            \(title)
            \(model): \(Report.grouped(parameters)) parameters\(without),
            \(Report.grouped(macs)) multiply-accumulates an image forward\(hasAuxiliary ? ", the auxiliary heads left out" : "").
            Images of \(minimumImageSize) x \(minimumImageSize) and more. Tensors have the names of: \(reference).

            """
    }

    /// Each row's grid and what one of its values sees of the image.
    package var receptiveFields: String {
        var lines = [["row", "kind", "grid", "receptive field", "step"]]
        lines += rows.map {
            [
                $0.name, $0.kind, shape(Array($0.outputShape.prefix(2))), shape($0.receptiveField),
                shape($0.receptiveStep),
            ]
        }
        return Report.table(lines)
    }
}
