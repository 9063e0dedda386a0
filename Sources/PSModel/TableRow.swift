// A network as people read it: a line for each row of its table, whatever operations it is made of.

/// One line of a network's table: a convolution with its batch norm and its ReLU, a pool, a concat and so on.
package struct TableRow: Sendable, Hashable {
    package let name: String
    /// "3x3/2 convolution", "3x3 max pool" and so on.
    package let kind: String
    /// The rows it reads; row 0 are the images.
    package let inputs: [Int]
    package let output: MapShape
    /// Learned elements.
    package let parameters: Int
    /// Multiply-accumulates of one image's forward pass.
    package let macs: Int
    /// Rows and columns of the image that one value depends on, the image's border left out of account.
    package let receptiveField: Extent
    /// Rows and columns of the image between the centres of neighbouring values' fields.
    package let step: Extent

    /// The part of the network it belongs to: what stands before the first dot of its name.
    package var block: String { String(name.prefix { $0 != "." }) }
}

extension ModelDescription {
    /// The images, then every row of the table.
    package var table: [TableRow] {
        var fields: [Field] = []
        for node in nodes { fields.append(Field(node, node.inputs.map { fields[$0] }, nodes)) }
        let members = Dictionary(grouping: nodes, by: \.row).sorted { $0.key < $1.key }.map(\.value)
        let position = Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1[0].row, $0) })
        return members.map { nodesOfRow in
            let (first, last) = (nodesOfRow[0], nodesOfRow[nodesOfRow.count - 1])
            let inputs = nodesOfRow.flatMap(\.inputs).map { nodes[$0].row }.filter { $0 != first.row }
            return TableRow(
                name: first.name, kind: first.operation.kind(of: first),
                inputs: inputs.map { position[$0]! }, output: last.shape,
                parameters: nodesOfRow.reduce(0) { $0 + $1.parameters }, macs: nodesOfRow.reduce(0) { $0 + $1.macs },
                receptiveField: fields[last.index].size, step: fields[last.index].step)
        }
    }

    /// The rows of the table after the images.
    package var rows: [TableRow] { Array(table.dropFirst()) }
}

/// What a value sees of the image.
private struct Field {
    var size: Extent
    var step: Extent

    init(_ node: Node, _ inputs: [Field], _ nodes: [Node]) {
        guard let first = inputs.first else {
            (size, step) = (1, 1)
            return
        }
        size = Extent(inputs.map(\.size.height).max()!, inputs.map(\.size.width).max()!)
        step = first.step
        let map = nodes[node.inputs[0]].shape
        switch node.operation {
        case .convolution(let window, _), .maxPool(let window), .averagePool(let window, _):
            widen(by: window.kernel, stride: window.stride)
        case .adaptiveAveragePool, .dense:
            // The largest of its windows.
            let (rows, columns) = (node.shape.height, node.shape.width)
            widen(
                by: Extent((map.height + rows - 1) / rows, (map.width + columns - 1) / columns),
                stride: Extent(max(map.height / rows, 1), max(map.width / columns, 1)))
        case .input, .norm, .relu, .add, .localResponseNorm, .concat, .dropout: break
        }
    }

    private mutating func widen(by kernel: Extent, stride: Extent) {
        size = Extent(
            size.height + (kernel.height - 1) * step.height, size.width + (kernel.width - 1) * step.width)
        step = Extent(step.height * stride.height, step.width * stride.width)
    }
}

extension Operation {
    /// For people.
    fileprivate func kind(of node: Node) -> String {
        func window(_ window: Window) -> String {
            "\(window.kernel.height)x\(window.kernel.width)"
                + (window.stride.area == 1 ? "" : "/\(window.stride.height)")
        }
        switch self {
        case .input: return "images"
        case .convolution(let shape, groups: 1): return "\(window(shape)) convolution"
        case .convolution(let shape, let groups):
            return groups == node.shape.channels
                ? "\(window(shape)) depthwise convolution" : "\(window(shape)) convolution, \(groups) groups"
        case .norm: return "batch norm"
        case .relu: return "ReLU"
        case .add(let scale): return scale == 1 ? "sum" : "sum, the branch times \(scale)"
        case .maxPool(let shape): return "\(window(shape)) max pool"
        case .averagePool(let shape, _): return "\(window(shape)) average pool"
        case .adaptiveAveragePool: return node.shape.pixels == 1 ? "global average pool" : "adaptive average pool"
        case .localResponseNorm: return "local response norm"
        case .concat: return "concat"
        case .dropout(let probability): return "dropout \(probability)"
        case .dense: return "dense"
        }
    }
}
