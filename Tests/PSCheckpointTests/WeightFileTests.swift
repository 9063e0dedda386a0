// Weight files under torchvision's names: exported ones load again, wrong ones are refused with every reason.

import PSCheckpoint
import PSFiles
import PSParameters
import Testing

private func write(_ path: String, _ tensors: [(String, SafetensorsDataType, [Int])]) throws {
    try SafetensorsWriter.write(
        path: path, metadata: [:],
        tensors: tensors.map { name, dataType, shape in
            OutgoingTensor(name: name, dataType: dataType, shape: shape) { (emit) throws(StorageError) in
                let bytes = [UInt8](repeating: 0, count: shape.reduce(dataType.byteCount, *))
                try bytes.withUnsafeBufferPointer { (buffer) throws(StorageError) in
                    try emit(UnsafeRawBufferPointer(buffer))
                }
            }
        })
}

@Test func exportedWeightsLoadAgain() throws {
    let directory = TemporaryDirectory()
    let state = state(smallModel, seed: 9)
    let path = try writeCheckpoint(
        CheckpointStore(runDirectory: directory.path), step: 42, layout: smallModel, state: state, serverCount: 3)
    let reader = try CheckpointReader(path)
    let out = "\(directory.path)/model.safetensors"
    for value in [StoredValue.current, .average] {
        let written = try WeightFile.export(reader, value: value, layout: smallModel, to: out)
        #expect(written.byteCount == readFile(out).count)
        #expect(try WeightFile.load(out, layout: smallModel) == state[value])
    }
    let file = try SafetensorsFile(out)
    #expect(file.metadata == ["format": "pt"])
    #expect(file.tensors.count == smallModel.tensors.count + 2)
    let counter = try #require(file.tensor(named: "a.bn.num_batches_tracked"))
    #expect(counter.dataType == .int64 && counter.shape == [])
    #expect(file.withBytes(of: counter) { $0.loadUnaligned(as: Int64.self) } == 42)
}

@Test func everyDifferenceFromTheModelIsNamed() throws {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/model.safetensors"
    let layout = ParameterLayout(
        tensors: [("fc.weight", [2, 3]), ("fc.bias", [2]), ("b", [4]), ("c", [5])].map {
            TensorSpecification(name: $0.0, shape: $0.1, kind: .weight, initialization: .constant(0))
        })
    try write(
        path,
        [
            ("fc.weight", .float32, [3, 2]), ("b", .float16, [4]), ("c", .float32, [5]), ("d", .float32, [1]),
            ("bn.num_batches_tracked", .int64, []),
        ])
    let error = #expect(throws: StorageError.self) { try WeightFile.load(path, layout: layout) }
    #expect(
        error
            == .mismatch(
                path: path,
                problems: [
                    "fc.weight is F32 [3, 2]; the model needs F32 [2, 3]",
                    "fc.bias is missing; the model needs F32 [2]",
                    "b is F16 [4]; the model needs F32 [4]",
                    "d (F32 [1]) is no tensor of the model",
                ]))
}
