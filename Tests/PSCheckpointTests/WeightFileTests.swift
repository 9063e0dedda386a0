// Weight files under torchvision's names: exported ones load again, wrong ones are refused with every reason.

import PSCheckpoint
import PSFiles
import PSParameters
import TestSupport
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
        let written = try WeightFile.export(reader, value: value, layout: smallModel, to: OutputFile(out))
        #expect(written.byteCount == readFile(out).count)
        #expect(try WeightFile.load(out, layout: smallModel) == state[value])
    }
    let file = try SafetensorsFile(out)
    #expect(file.metadata == ["format": "pt"])
    #expect(file.tensors.count == smallModel.tensors.count + 2)
    let counter = try #require(file.tensor(named: "a.bn.num_batches_tracked"))
    #expect(counter.dataType == .int64 && counter.shape == [])
    #expect(try file.withBytes(of: counter) { $0.loadUnaligned(as: Int64.self) } == 42)
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
            ("fc.weight", .float32, [3, 2]), ("b", .int32, [4]), ("c", .float32, [5]), ("d", .float32, [1]),
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
                    "b is I32 [4]; the model needs F32 [4]",
                    "d (F32 [1]) is no tensor of the model",
                ]))
}

private func message(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "no error"
    } catch {
        return "\(error)"
    }
}

@Suite struct ForeignWeightsTests {
    private let directory = TemporaryDirectory()
    private let layout = ParameterLayout(
        tensors: [("a.conv.weight", [2, 3]), ("a.bn.bias", [2]), ("a.bn.running_mean", [2]), ("fc.bias", [5])].map {
            TensorSpecification(name: $0.0, shape: $0.1, kind: .weight, initialization: .constant(0))
        })

    private func load(prefix: String = "", _ type: SafetensorsDataType = .float32, counters: Bool = true) throws
        -> String
    {
        let path = "\(directory.path)/w"
        var tensors = layout.tensors.map { (prefix + $0.name, type, $0.shape) }
        if counters { tensors.insert((prefix + "a.bn.num_batches_tracked", .int64, []), at: 0) }
        try write(path, tensors)
        let text = message { _ = try WeightFile.load(path, layout: layout) }
        #expect(!text.contains("\n"))
        return text.replacing(path + ": ", with: "")
    }

    @Test(arguments: ["module.", "_orig_mod.", "_orig_mod.module.", "backbone.", "my_"])
    func aPrefixOfAllNamesIsSaidOnce(prefix: String) throws {
        for counters in [true, false] {
            let text = try load(prefix: prefix, counters: counters)
            #expect(text.hasPrefix("all \(counters ? 5 : 4) names begin with '\(prefix)'"), "\(text)")
            #expect(text.contains("\(prefix)a.bn.bias"))
            #expect(text.contains("removeprefix('\(prefix)')"))
            #expect(!text.contains("missing"))
        }
        #expect(try load() == "no error")
    }

    @Test func anotherTypeIsSaidOnceAndFirst() throws {
        #expect(try load(.int32).hasPrefix("4 tensors are I32 (a.conv.weight for one); the model needs F32"))
        for type in [SafetensorsDataType.float16, .bfloat16, .float64] { #expect(try load(type) == "no error") }
    }

    /// Bits and values of IEEE 754 and of bfloat16, subnormals and infinities among them.
    @Test func otherFloatsAreRead() throws {
        let path = "\(directory.path)/floats"
        let halves: [(UInt16, Float)] = [
            (0x3C00, 1), (0xC000, -2), (0x7BFF, 65504), (0x0400, 0x1p-14), (0x0001, 0x1p-24), (0x83FF, -0x3FFp-24),
            (0x0000, 0), (0x7C00, .infinity), (0xFC00, -.infinity), (0x3555, 0.333251953125),
        ]
        let brains: [(UInt16, Float)] = [
            (0x3F80, 1), (0xC040, -3), (0x7F7F, 3.3895314e38), (0x0001, 0x1p-133), (0x7F80, .infinity),
            (0x3EAB, 0.333984375),
        ]
        func words(_ values: [UInt16]) -> [UInt8] { values.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] } }
        let doubles: [Double] = [1.0 / 3, -1e300, 2]
        let data = doubles.withUnsafeBytes { Array($0) } + words(halves.map(\.0)) + words(brains.map(\.0))
        let header =
            #"{"d":{"dtype":"F64","shape":[3],"data_offsets":[0,24]},"h":{"dtype":"F16","shape":[10],"#
            + #""data_offsets":[24,44]},"b":{"dtype":"BF16","shape":[6],"data_offsets":[44,56]}}"#
        let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
        writeFile(path, length + Array(header.utf8) + data)
        let file = try SafetensorsFile(path)
        #expect(try file.floats(of: file.tensor(named: "h")!) == halves.map(\.1))
        #expect(try file.floats(of: file.tensor(named: "b")!) == brains.map(\.1))
        #expect(try file.floats(of: file.tensor(named: "d")!) == [1.0 / 3, -.infinity, 2])
    }

    @Test(
        arguments: [
            ([0x50, 0x4B, 0x03, 0x04, 0, 0, 8, 8, 0, 0], "a zip archive of pickle"),
            ([0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20], "pickle"),
            ([0x80, 0x04, 0x95, 0x10, 0, 0, 0, 0, 0, 0, 0], "pickle"),
        ])
    func pytorchsOwnFilesAreRecognised(bytes: [UInt8], what: String) throws {
        let path = "\(directory.path)/w.pth"
        writeFile(path, bytes)
        let text = message { _ = try SafetensorsFile(path) }
        #expect(text.hasPrefix("\(path): PyTorch's "))
        #expect(text.contains("(\(what)), no safetensors file"))
        #expect(text.contains("torch.load('\(path)', map_location='cpu')"))
        #expect(text.contains("'\(directory.path)/w.safetensors')"))
        #expect(!text.contains("\n"))
    }

    /// A header that is as long as a pickle's first bytes, or a zip archive's, say.
    @Test func aLongHeaderIsNoPickle() {
        let path = "\(directory.path)/w"
        writeFile(path, [0x80, 0x02, 0x7D, 0, 0, 0, 0, 0] + Array("{\"a\":".utf8))
        #expect(message { _ = try SafetensorsFile(path) }.contains("its header needs 8192640 bytes"))
    }
}
