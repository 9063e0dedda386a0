// Whole checkpoints: written by any number of servers, read the same, damage named, never half there.

import Glibc
import PSCheckpoint
import PSFiles
import PSParameters
import TestSupport
import Testing

private func contents(_ reader: CheckpointReader, _ layout: ParameterLayout) throws -> [StoredValue: [Float]] {
    var result: [StoredValue: [Float]] = [:]
    for value in StoredValue.allCases where reader.holds(value) {
        var flat = [Float](repeating: 0, count: layout.count)
        for (index, tensor) in layout.tensors.enumerated() where value.coversStatistics || tensor.kind == .weight {
            // In two ranges, so that ranges are tested.
            let middle = tensor.elementCount / 3
            try flat.withUnsafeMutableBufferPointer { buffer in
                let start = buffer.baseAddress! + layout.offsets[index]
                try reader.read(value, tensor: tensor.name, elements: 0..<middle, into: start)
                try reader.read(
                    value, tensor: tensor.name, elements: middle..<tensor.elementCount, into: start + middle)
            }
        }
        result[value] = flat
    }
    return result
}

/// What of `state` a checkpoint keeps: slots of weights only.
private func stored(_ state: [StoredValue: [Float]], _ layout: ParameterLayout) -> [StoredValue: [Float]] {
    Dictionary(
        uniqueKeysWithValues: state.map { value, flat in
            (value, flat.enumerated().map { value.coversStatistics || $0 < layout.weightCount ? $1 : 0 })
        })
}

@Test func readTheSameWhateverNumberOfServersWroteIt() throws {
    let state = state(smallModel, seed: 1)
    var hashes: Set<[String]> = []
    // Eleven servers are more than there are units: some hold nothing and write no file.
    for serverCount in [1, 2, 3, 11] {
        let directory = TemporaryDirectory()
        let store = CheckpointStore(runDirectory: directory.path)
        let path = try writeCheckpoint(store, step: 5, layout: smallModel, state: state, serverCount: serverCount)
        #expect(path == "\(directory.path)/checkpoints/step-5")
        let reader = try CheckpointReader(path)
        #expect(try contents(reader, smallModel) == stored(state, smallModel))
        #expect(reader.manifest.files.count <= 3 * serverCount)
        hashes.insert([
            try Fingerprint.weightsSHA256(reader, layout: smallModel),
            try Fingerprint.stateSHA256(reader, layout: smallModel),
        ])
        #expect(names(in: store.directory) == ["step-5"])
    }
    #expect(hashes.count == 1)
    let weights = hashes.first![0]
    #expect(
        state[.current]!.withUnsafeBufferPointer { Fingerprint.weightsSHA256(layout: smallModel, values: $0) }
            == weights)
}

/// One element of any value changes the state's hash; only weights change the weights' hash.
@Test func fingerprintsCoverEverything() throws {
    let sound = state(smallModel, seed: 1)
    func hashes(_ state: [StoredValue: [Float]]) throws -> [String] {
        let directory = TemporaryDirectory()
        let path = try writeCheckpoint(
            CheckpointStore(runDirectory: directory.path), step: 1, layout: smallModel, state: state, serverCount: 2)
        let reader = try CheckpointReader(path)
        return [
            try Fingerprint.weightsSHA256(reader, layout: smallModel),
            try Fingerprint.stateSHA256(reader, layout: smallModel),
        ]
    }
    let reference = try hashes(sound)
    for value in StoredValue.allCases {
        for element in [smallModel.weightCount - 1, smallModel.count - 1] {
            var changed = sound
            changed[value]![element] += 1
            let found = try hashes(changed)
            let isWeight = element < smallModel.weightCount
            #expect((found[0] != reference[0]) == (value == .current && isWeight))
            #expect((found[1] != reference[1]) == (value.coversStatistics || isWeight))
        }
    }
}

@Test func momentumHasNoMeanSquare() throws {
    let directory = TemporaryDirectory()
    let store = CheckpointStore(runDirectory: directory.path)
    let path = try writeCheckpoint(
        store, step: 1, layout: smallModel, state: state(smallModel, seed: 2), serverCount: 2,
        values: [.current, .average, .momentum])
    let reader = try CheckpointReader(path)
    try reader.check(layout: smallModel)
    #expect(!reader.holds(.meanSquare) && reader.holds(.momentum))
    _ = try Fingerprint.stateSHA256(reader, layout: smallModel)
}

@Test func theIndexNamesEveryTensorsFile() throws {
    let directory = TemporaryDirectory()
    let store = CheckpointStore(runDirectory: directory.path)
    let path = try writeCheckpoint(
        store, step: 1, layout: smallModel, state: state(smallModel, seed: 3), serverCount: 3)
    let index = String(decoding: readFile("\(path)/\(CheckpointStore.indexFileName)"), as: UTF8.self)
    #expect(index.contains("\"total_size\" : \(smallModel.count * 4)"))
    let reader = try CheckpointReader(path)
    for tensor in smallModel.tensors {
        let file = try #require(reader.fileName(.current, tensor: tensor.name))
        #expect(file.hasPrefix("model-0000") && file.hasSuffix("-of-00003.safetensors"))
        #expect(index.contains("\"\(tensor.name)\" : \"\(file)\""))
    }
}

@Test func damageIsNamed() throws {
    let directory = TemporaryDirectory()
    let store = CheckpointStore(runDirectory: directory.path)
    let path = try writeCheckpoint(
        store, step: 1, layout: smallModel, state: state(smallModel, seed: 4), serverCount: 2)
    let shard = "\(path)/average-00002-of-00002.safetensors"
    let sound = readFile(shard)

    var flipped = sound
    flipped[sound.count - 1] ^= 1
    writeFile(shard, flipped)
    var error = #expect(throws: StorageError.self) { try CheckpointReader(path) }
    #expect(error?.description.contains("\(shard): has SHA-256") == true)
    #expect(error?.isDamage == true)
    // Who reads some tensors only has their files compared.
    let some = try CheckpointReader(path, verifying: .structure)
    let map = ShardMap(layout: smallModel, serverCount: 2)
    for server in 0..<2 {
        let tensors = smallModel.units.filter { map.serverOfUnit[$0.index] == server }.flatMap(\.tensors)
        let names = Set(tensors.map { smallModel.tensors[$0].name })
        if server == 1 {
            #expect(throws: StorageError.self) { try some.verify(tensors: names) }
        } else {
            try some.verify(tensors: names)
        }
    }

    writeFile(shard, sound)
    _ = try CheckpointReader(path)
    unlink(shard)
    error = #expect(throws: StorageError.self) { try CheckpointReader(path) }
    #expect(error?.description == "\(shard): is missing, its manifest lists it")
    #expect(error?.isDamage == true)

    writeFile(shard, Array(sound.dropLast()))
    error = #expect(throws: StorageError.self) { try CheckpointReader(path) }
    #expect(error?.description == "\(shard): has \(sound.count - 1) bytes, its manifest says \(sound.count)")

    writeFile(shard, sound)
    let other = ParameterLayout(tensors: Array(smallModel.tensors.dropLast()))
    let mismatch = #expect(throws: StorageError.self) { try CheckpointReader(path).check(layout: other) }
    #expect(mismatch?.description.contains("fc.bias in the weights files is no tensor of the model") == true)
    #expect(mismatch?.description.contains("fc.bias.momentum") == true)
}

@Test func aDamagedManifestIsRefused() throws {
    let directory = TemporaryDirectory()
    func problem(_ change: (inout Manifest) -> Void) throws -> String {
        var manifest = Manifest(
            job: "j", model: "m", settings: "{}", step: 1, generation: 0, seed: .max, ticketsConsumed: 3,
            layoutDigest: 255, serverCount: 1,
            files: [
                Manifest.File(path: "model-00001-of-00001.safetensors", bytes: 1, sha256: "", role: .weights, server: 0)
            ])
        change(&manifest)
        try manifest.write(to: directory.path)
        do throws(StorageError) {
            let read = try Manifest.read(from: directory.path)
            #expect(read == manifest)
            return ""
        } catch { return error.description }
    }
    #expect(try problem { _ in } == "")
    #expect(try problem { $0.files[0].path = "../../etc/passwd" }.contains("not the name of a file"))
    #expect(try problem { $0.files[0].server = 1 }.contains("server 1 of 1"))
    #expect(try problem { $0.formatVersion = 9 }.contains("format version 9"))
    #expect(try problem { $0.step = -1 }.contains("step -1"))
    #expect(try problem { $0.step = .max }.contains("more than any job has"))
    #expect(try problem { $0.generation = 5_000_000_000 }.contains("more than any job has"))
    #expect(try problem { $0.serverCount = .max }.contains("more than any job has"))
    #expect(try problem { $0.layoutDigest = "xyz" }.contains("xyz"))
    #expect(try problem { $0.files.append($0.files[0]) }.contains("twice"))

    let sound = readFile("\(directory.path)/manifest.json")
    for length in stride(from: 0, to: sound.count - 2, by: 7) {
        writeFile("\(directory.path)/manifest.json", Array(sound[..<length]))
        #expect(throws: StorageError.self) { try Manifest.read(from: directory.path) }
    }
}

/// A server that wrote too little is found before the checkpoint gets its name, and the previous one stays.
@Test func anIncompleteCheckpointDoesNotBecomeOne() throws {
    let directory = TemporaryDirectory()
    let store = CheckpointStore(runDirectory: directory.path)
    let state = state(smallModel, seed: 5)
    try writeCheckpoint(store, step: 1, layout: smallModel, state: state, serverCount: 1)
    let larger = ParameterLayout(
        tensors: smallModel.tensors + [
            TensorSpecification(name: "extra", shape: [2], kind: .weight, initialization: .constant(0))
        ])
    let part = try store.createPartDirectory(step: 2, generation: 1)
    let first = try Manifest.read(from: store.path(step: 1))
    for file in first.files { writeFile("\(part)/\(file.path)", readFile("\(store.path(step: 1))/\(file.path)")) }
    var manifest = first
    manifest.step = 2
    let error = #expect(throws: StorageError.self) { try store.complete(manifest, layout: larger) }
    #expect(error?.description.contains("extra is missing") == true)
    #expect(try store.list().map(\.step) == [1])
    // What a later generation writes is none of its business.
    _ = try store.createPartDirectory(step: 1, generation: 2)
    try store.removeStaleParts(through: 1)
    #expect(names(in: store.directory) == ["step-1", "step-1.part-2"])
    try store.removeStaleParts(through: 2)
    #expect(names(in: store.directory) == ["step-1"])
}

/// What is named stays, what is older goes; what lies above, of a history that was abandoned, waits until it is passed.
@Test func retention() throws {
    let directory = TemporaryDirectory()
    let store = CheckpointStore(runDirectory: directory.path)
    let layout = ParameterLayout(tensors: Array(smallModel.tensors.suffix(1)))
    let state = state(layout, seed: 6)
    for step in [0, 10, 2, 100, 30] {
        try writeCheckpoint(store, step: step, layout: layout, state: state, serverCount: 1)
    }
    #expect(try store.list().map(\.step) == [0, 2, 10, 30, 100])
    #expect(try store.prune(keeping: []) == [], "no word of what counts is no word to remove all")
    #expect(try store.prune(keeping: [2, 30]) == [0, 10])
    #expect(names(in: store.directory) == ["step-100", "step-2", "step-30"])
    #expect(try store.prune(keeping: [30, 101]) == [2, 100])
}

/// Names that lead out of the directory are refused before anything becomes a checkpoint.
@Test func aManifestThatCouldNotBeReadIsNotWritten() throws {
    let directory = TemporaryDirectory()
    let store = CheckpointStore(runDirectory: directory.path)
    let layout = ParameterLayout(tensors: Array(smallModel.tensors.suffix(1)))
    let path = try writeCheckpoint(
        store, step: 1, layout: layout, state: state(layout, seed: 6), serverCount: 1)
    var manifest = try Manifest.read(from: path)
    let part = try store.createPartDirectory(step: 2, generation: 1)
    for file in manifest.files { writeFile("\(part)/\(file.path)", readFile("\(path)/\(file.path)")) }
    manifest.step = 2
    manifest.files[0].path = "../step-1/\(manifest.files[0].path)"
    let error = #expect(throws: StorageError.self) { try store.complete(manifest, layout: layout) }
    #expect(error?.description.contains("not the name of a file") == true)
    #expect(try store.list().map(\.step) == [1])
}

/// A server does not make a run directory that was moved away anew.
@Test func aMovedRunIsNotMadeAnew() throws {
    let directory = TemporaryDirectory()
    let store = CheckpointStore(runDirectory: "\(directory.path)/gone")
    #expect(throws: StorageError.self) { try store.createPartDirectory(step: 1, generation: 1) }
    #expect(names(in: directory.path).isEmpty)
}

@Test func aCheckpointOfAVoidedHistoryIsReplaced() throws {
    let directory = TemporaryDirectory()
    let store = CheckpointStore(runDirectory: directory.path)
    let layout = ParameterLayout(tensors: Array(smallModel.tensors.suffix(1)))
    let first = try writeCheckpoint(store, step: 1, layout: layout, state: state(layout, seed: 7), serverCount: 1)
    let old = try Fingerprint.stateSHA256(CheckpointReader(first), layout: layout)
    let second = try writeCheckpoint(store, step: 1, layout: layout, state: state(layout, seed: 8), serverCount: 1)
    #expect(try Fingerprint.stateSHA256(CheckpointReader(second), layout: layout) != old)
    #expect(names(in: store.directory) == ["step-1"])
}
