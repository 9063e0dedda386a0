// What the tests of this target share: a small model and its state.

import FoundationEssentials
import Glibc
import PSCheckpoint
import PSFiles
import PSParameters

/// Two convolutions with batch norm and a dense layer; the first kernel is cut into several slices.
let smallModel: ParameterLayout = {
    var tensors: [TensorSpecification] = []
    func add(_ name: String, _ shape: [Int], _ kind: TensorKind = .weight) {
        tensors.append(TensorSpecification(name: name, shape: shape, kind: kind, initialization: .constant(0)))
    }
    for (name, shape) in [("a", [3, 500, 999]), ("b", [64, 3, 3, 3])] {
        add("\(name).conv.weight", shape)
        add("\(name).bn.weight", [shape[0]])
        add("\(name).bn.bias", [shape[0]])
        add("\(name).bn.running_mean", [shape[0]], .statistic)
        add("\(name).bn.running_var", [shape[0]], .statistic)
    }
    add("fc.weight", [700, 800])
    add("fc.bias", [700])
    return ParameterLayout(tensors: tensors)
}()

/// A flat vector per value; slots of statistics are there but never stored.
func state(_ layout: ParameterLayout, seed: UInt64) -> [StoredValue: [Float]] {
    var state: [StoredValue: [Float]] = [:]
    for (index, value) in StoredValue.allCases.enumerated() {
        let random = CounterRandom(key: seed).stream(UInt64(index))
        state[value] = (0..<layout.count).map { random.uniform(UInt64($0)) - 0.5 }
    }
    return state
}

/// Writes a complete checkpoint the way `serverCount` servers and a coordinator do. Returns its directory.
@discardableResult
func writeCheckpoint(
    _ store: CheckpointStore, step: Int, layout: ParameterLayout, state: [StoredValue: [Float]], serverCount: Int,
    values: [StoredValue] = StoredValue.allCases
) throws(StorageError) -> String {
    let map = ShardMap(layout: layout, serverCount: serverCount)
    var files: [Manifest.File] = []
    for server in 0..<serverCount {
        let directory = try store.createPartDirectory(step: step, generation: 1)
        let writer = ShardWriter(
            directory: directory, server: server, serverCount: serverCount, layout: layout, values: values)
        let tensors = layout.units.filter { map.serverOfUnit[$0.index] == server }.flatMap(\.tensors)
        files += try writer.write(tensors: tensors) { (value, tensor, emit) throws(StorageError) in
            // Slice by slice, as a server holds them.
            for slice in layout.slices {
                for piece in slice.pieces where piece.tensor == tensor {
                    try state[value]![piece.range].withUnsafeBufferPointer { (elements) throws(StorageError) in
                        try emit(UnsafeRawBufferPointer(elements))
                    }
                }
            }
        }
    }
    let manifest = Manifest(
        job: "test", model: "small", settings: "{}", step: step, generation: 1, seed: 7,
        ticketsConsumed: UInt64(3 * step), layoutDigest: layout.digest, serverCount: serverCount, files: files)
    return try store.complete(manifest, layout: layout)
}
