// The flat parameter vector: where each tensor lies, and how the vector is cut into slices and units.
//
// Everything here is a function of the model alone. The number of servers, workers or threads moves nothing, so a
// slice's sums and norms have the same bits in every job that trains the same model.

/// A contiguous range of the flat vector, the piece that travels in one message.
///
/// A slice holds either several whole small tensors or some rows (outermost extent) of one large tensor, never both,
/// and never weights together with statistics.
package struct Slice: Sendable, Hashable {
    /// The part of one tensor that lies in a slice.
    package struct Piece: Sendable, Hashable {
        /// Index into `ParameterLayout.tensors`.
        package let tensor: Int
        /// Elements of the flat vector.
        package let range: Range<Int>
    }

    /// Index into `ParameterLayout.slices`.
    package let index: Int
    /// Elements of the flat vector.
    package let range: Range<Int>
    package let kind: TensorKind
    /// The unit this slice moves with.
    package let unit: Int
    package let pieces: [Piece]

    package var byteCount: Int { range.count * MemoryLayout<Float>.stride }
}

/// Tensors that stay on one server together: one large tensor, or neighbouring small ones.
package struct Unit: Sendable, Hashable {
    package let index: Int
    /// Indices into `ParameterLayout.slices`.
    package let slices: Range<Int>
    /// Indices into `ParameterLayout.tensors`, in flat order.
    package let tensors: [Int]
    package let range: Range<Int>
}

/// The layout of a model's flat vector: all weights in state_dict order, then all statistics in state_dict order.
package struct ParameterLayout: Sendable {
    /// Bytes of a slice: it aims at the lower bound or more and is never above the upper one.
    package static let sliceBytes = 1 << 20...4 << 20

    /// All tensors in state_dict order.
    package let tensors: [TensorSpecification]
    /// First element of each tensor in the flat vector, parallel to `tensors`.
    package let offsets: [Int]
    /// Elements in all weights; they come first in the flat vector.
    package let weightCount: Int
    /// Elements in all statistics.
    package let statisticCount: Int
    package let slices: [Slice]
    package let units: [Unit]
    private let indexOfName: [String: Int]

    /// Elements in the flat vector.
    package var count: Int { weightCount + statisticCount }

    /// - Parameters:
    ///   - tensors: in state_dict order, names unique.
    ///   - sliceBytes: other than a job's for tests only, which want many slices of few values.
    package init(tensors: [TensorSpecification], sliceBytes: ClosedRange<Int> = ParameterLayout.sliceBytes) {
        precondition(!tensors.isEmpty, "a layout needs at least one tensor")
        self.tensors = tensors
        indexOfName = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ($1.name, $0) })

        var offsets = [Int](repeating: 0, count: tensors.count)
        var end = 0
        for kind in [TensorKind.weight, .statistic] {
            for (index, tensor) in tensors.enumerated() where tensor.kind == kind {
                offsets[index] = end
                end += tensor.elementCount
            }
        }
        self.offsets = offsets
        weightCount = tensors.lazy.filter { $0.kind == .weight }.map(\.elementCount).reduce(0, +)
        statisticCount = end - weightCount

        var cutter = Cutter(tensors: tensors, offsets: offsets, sliceBytes: sliceBytes)
        for kind in [TensorKind.weight, .statistic] {
            for (index, tensor) in tensors.enumerated() where tensor.kind == kind { cutter.add(index) }
            cutter.closeGroup()
        }
        slices = cutter.slices
        units = cutter.units
    }

    package func index(ofTensor name: String) -> Int? { indexOfName[name] }

    /// The elements of the flat vector that hold the tensor with this index.
    package func range(ofTensor index: Int) -> Range<Int> {
        offsets[index]..<offsets[index] + tensors[index].elementCount
    }

    /// A hash of names, shapes, kinds and slice boundaries: two processes with the same digest mean the same vector.
    package var digest: UInt64 {
        var text = ""
        for tensor in tensors { text += "\(tensor.name) \(tensor.shape) \(tensor.kind.rawValue)\n" }
        for slice in slices { text += "\(slice.range) \(slice.unit)\n" }
        return fnv1a(text)
    }
}

/// Cuts the tensors, taken in flat order, into slices and units.
private struct Cutter {
    let tensors: [TensorSpecification]
    let offsets: [Int]
    let sliceBytes: ClosedRange<Int>
    private(set) var slices: [Slice] = []
    private(set) var units: [Unit] = []
    /// Small tensors waiting to share a slice.
    private var group: [Int] = []
    private var groupBytes = 0

    init(tensors: [TensorSpecification], offsets: [Int], sliceBytes: ClosedRange<Int>) {
        self.tensors = tensors
        self.offsets = offsets
        self.sliceBytes = sliceBytes
    }

    mutating func add(_ index: Int) {
        let bytes = tensors[index].elementCount * MemoryLayout<Float>.stride
        if groupBytes + bytes > sliceBytes.upperBound { closeGroup() }
        if bytes > sliceBytes.upperBound {
            addLarge(index, bytes: bytes)
        } else {
            group.append(index)
            groupBytes += bytes
            if groupBytes >= sliceBytes.lowerBound { closeGroup() }
        }
    }

    mutating func closeGroup() {
        guard let first = group.first, let last = group.last else { return }
        let pieces = group.map { Slice.Piece(tensor: $0, range: range($0)) }
        append(
            kind: tensors[first].kind, tensors: group, ranges: [(offsets[first]..<range(last).upperBound, pieces)])
        group = []
        groupBytes = 0
    }

    /// One tensor above the limit: its rows are dealt evenly over the fewest slices that hold it.
    private mutating func addLarge(_ index: Int, bytes: Int) {
        let rows = tensors[index].shape[0]
        let rowElements = tensors[index].elementCount / rows
        let rowBytes = rowElements * MemoryLayout<Float>.stride
        // A single row above the limit stays whole: cutting inside a row would cut inside a kernel.
        let rowsPerSlice = max(1, sliceBytes.upperBound / rowBytes)
        let pieces = (rows + rowsPerSlice - 1) / rowsPerSlice
        let ranges = (0..<pieces).map { piece in
            let start = offsets[index] + rows * piece / pieces * rowElements
            let end = offsets[index] + rows * (piece + 1) / pieces * rowElements
            return (start..<end, [Slice.Piece(tensor: index, range: start..<end)])
        }
        append(kind: tensors[index].kind, tensors: [index], ranges: ranges)
    }

    private mutating func append(kind: TensorKind, tensors: [Int], ranges: [(Range<Int>, [Slice.Piece])]) {
        let first = slices.count
        for (range, pieces) in ranges {
            slices.append(Slice(index: slices.count, range: range, kind: kind, unit: units.count, pieces: pieces))
        }
        units.append(
            Unit(
                index: units.count, slices: first..<slices.count, tensors: tensors,
                range: slices[first].range.lowerBound..<slices[slices.count - 1].range.upperBound))
    }

    private func range(_ index: Int) -> Range<Int> { offsets[index]..<offsets[index] + tensors[index].elementCount }
}

extension ParameterLayout {
    /// Hands the flat vector `values` over slice by slice, as networks take it.
    package func eachSlice(of values: [Float], _ load: (Range<Int>, UnsafePointer<Float>) -> Void) {
        precondition(values.count == count)
        values.withUnsafeBufferPointer { values in
            for slice in slices { load(slice.range, values.baseAddress! + slice.range.lowerBound) }
        }
    }
}
