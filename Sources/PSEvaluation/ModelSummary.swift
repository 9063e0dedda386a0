// What a network is made of and what it costs, for `psctl model summary`.

import PSModel
import PSReport

/// A network's rows and totals.
package struct ModelSummary: Encodable {
    package struct Row: Encodable {
        package let name: String
        /// Rows, columns, channels.
        package let outputShape: [Int]
        package let parameters: Int
        package let macs: Int
    }

    package let model: String
    /// Rows, columns, channels of an image.
    package let inputShape: [Int]
    package let rows: [Row]
    package let parameters: Int
    package let parametersWithoutAux: Int
    /// Multiply-accumulates of one image's forward pass, the auxiliary head left out.
    package let macs: Int

    package init(_ description: ModelDescription) {
        model = description.settings.name
        inputShape = [description.settings.imageSize, description.settings.imageSize, 3]
        rows = description.rows.map { row in
            Row(
                name: row.name, outputShape: [row.output.height, row.output.width, row.output.channels],
                parameters: row.parameters, macs: row.macs)
        }
        parameters = description.parameters
        parametersWithoutAux = description.parametersWithoutAuxiliary
        macs = description.macs
    }

    /// The table for people.
    package var text: String {
        func shape(_ extents: [Int]) -> String { extents.map(String.init).joined(separator: " x ") }
        var lines = [["row", "output", "parameters", "MACs"], ["input", shape(inputShape), "", ""]]
        lines += rows.map { [$0.name, shape($0.outputShape), Report.grouped($0.parameters), Report.grouped($0.macs)] }
        lines.append(["total", "", Report.grouped(parameters), Report.grouped(macs)])
        return Report.table(lines)
            + """

            \(model): \(Report.grouped(parameters)) parameters, \
            \(Report.grouped(parametersWithoutAux)) without the auxiliary head,
            \(Report.grouped(macs)) multiply-accumulates an image forward, the auxiliary head left out.

            """
    }
}
