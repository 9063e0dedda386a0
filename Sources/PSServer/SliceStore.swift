// A server's memory: for each slice it holds, the weights, the optimizer's slots, the running average and the sum of
// the step's contributions.

import CChecksums
import PSCheckpoint
import PSConfiguration
import PSFiles
import PSMessages
import PSOptimization
import PSParameters
import PSRun
import PSTransport

/// The slices of one server. Used by the server's compute thread only.
///
/// Buffers are reference-counted and never written while anybody else holds them: an update writes the next version of
/// the weights to a spare buffer while sends of the former one go on, and copies a slot that a snapshot still reads.
package final class SliceStore: @unchecked Sendable {
    // Sendable: handed to the compute thread once, used only there.

    private final class StoredSlice {
        var weights: SharedBuffer
        var average: SharedBuffer
        /// RMSProp only.
        var meanSquare: SharedBuffer?
        var momentum: SharedBuffer?
        /// Sum of the contributions, then the gradient.
        var sum: SharedBuffer
        var spares: [SharedBuffer] = []
        /// Of the contributions added, by place.
        var fingerprints: [UInt32] = []

        init(byteCount: Int, isWeight: Bool, rule: OptimizerSettings.Rule) {
            func buffer() -> SharedBuffer { SharedBuffer(byteCount: byteCount) }
            weights = buffer()
            average = buffer()
            sum = buffer()
            if isWeight {
                momentum = buffer()
                if rule == .rmsprop { meanSquare = buffer() }
            }
        }

        var values: SliceValues {
            SliceValues(
                weights: weights.floats, average: average.floats, sum: sum.floats,
                meanSquare: meanSquare?.floats, momentum: momentum?.floats)
        }

        /// A buffer that nobody refers to: an old version whose readers are done, or a new one.
        func takeSpare(byteCount: Int) -> SharedBuffer {
            for index in spares.indices where isKnownUniquelyReferenced(&spares[index]) {
                return spares.remove(at: index)
            }
            return SharedBuffer(byteCount: byteCount)
        }
    }

    /// References to one version of everything of a shard, for a writer on another thread.
    struct Snapshot: Sendable {
        let shard: Int
        let tensors: [Int]
        let values: [StoredValue: [Int: SharedBuffer]]
    }

    package let layout: ParameterLayout
    private let configuration: JobConfiguration
    private let seed: UInt64
    private let arithmetic: SliceArithmetic
    /// By slice index: those that are served, and those that a replica is kept of.
    private var slices: [Int: StoredSlice] = [:]
    /// Those whose state is coming from another server.
    private var incoming: [Int: StoredSlice] = [:]

    /// - Throws: when `train.freeze` or `optimizer.groups` do not fit the layout.
    package init(layout: ParameterLayout, configuration: JobConfiguration) throws(ConfigurationError) {
        self.layout = layout
        self.configuration = configuration
        seed = configuration.seed
        arithmetic = try configuration.arithmetic(of: layout)
    }

    // MARK: Loading

    /// Fills the slices from a checkpoint, or with the values of step 0, and gives what is to be published. The files
    /// that hold them are compared with the manifest's hashes first.
    func load(_ owned: [Int], from reader: CheckpointReader?) throws(StorageError) -> [Int: SharedBuffer] {
        if let reader {
            try reader.check(layout: layout)
            let tensors = owned.flatMap { layout.slices[$0].pieces.map { layout.tensors[$0.tensor].name } }
            try reader.verify(tensors: Set(tensors))
        }
        slices = [:]
        incoming = [:]
        for index in owned {
            let slice = layout.slices[index]
            let stored = StoredSlice(
                byteCount: slice.byteCount, isWeight: slice.kind == .weight, rule: configuration.optimizer.rule)
            for piece in slice.pieces {
                let offset = piece.range.lowerBound - slice.range.lowerBound
                let first = piece.range.lowerBound - layout.offsets[piece.tensor]
                let elements = first..<first + piece.range.count
                if let reader {
                    try fill(stored, from: reader, tensor: layout.tensors[piece.tensor].name, elements, at: offset)
                } else {
                    initialize(stored, layout.tensors[piece.tensor], elements, at: offset)
                }
            }
            slices[index] = stored
        }
        return slices.mapValues(\.weights)
    }

    private func initialize(
        _ stored: StoredSlice, _ tensor: TensorSpecification, _ elements: Range<Int>, at offset: Int
    ) {
        tensor.initialize(
            seed: seed, elements: elements,
            into: UnsafeMutableBufferPointer(start: stored.weights.floats + offset, count: elements.count))
        (stored.average.floats + offset).update(from: stored.weights.floats + offset, count: elements.count)
        (stored.momentum.map { $0.floats + offset })?.update(repeating: 0, count: elements.count)
        (stored.meanSquare.map { $0.floats + offset })?
            .update(repeating: RMSProp.initialMeanSquare, count: elements.count)
    }

    private func fill(
        _ stored: StoredSlice, from reader: CheckpointReader, tensor: String, _ elements: Range<Int>, at offset: Int
    ) throws(StorageError) {
        try reader.read(.current, tensor: tensor, elements: elements, into: stored.weights.floats + offset)
        try reader.read(.average, tensor: tensor, elements: elements, into: stored.average.floats + offset)
        if let momentum = stored.momentum {
            try reader.read(.momentum, tensor: tensor, elements: elements, into: momentum.floats + offset)
        }
        if let meanSquare = stored.meanSquare {
            try reader.read(.meanSquare, tensor: tensor, elements: elements, into: meanSquare.floats + offset)
        }
    }

    // MARK: A step

    /// Adds a contribution in its turn; see `SliceArithmetic.fold`.
    func fold(
        _ index: Int, _ contribution: Frame, isFirst: Bool, isLast: Bool
    ) -> (squaredNorm: Double, isFinite: Bool) {
        guard let stored = slices[index] else { preconditionFailure("slice \(index) is not held here") }
        if isFirst {
            stored.fingerprints = []
            // That of the step before may still be on its way to a replica.
            if !isKnownUniquelyReferenced(&stored.sum) {
                stored.sum = SharedBuffer(byteCount: layout.slices[index].byteCount)
            }
        }
        stored.fingerprints.append(contribution.fingerprint)
        return contribution.withFloats {
            arithmetic.fold(index, values: $0, into: stored.values, isFirst: isFirst, isLast: isLast)
        }
    }

    /// That of the contribution which was added for this place of the step at hand, or last; nil: none was yet.
    func fingerprint(_ index: Int, _ place: Place) -> UInt32? {
        guard let all = slices[index]?.fingerprints, all.indices.contains(place.number) else { return nil }
        return all[place.number]
    }

    /// Applies a commit to one slice; returns the buffer of the new version, which is to be published.
    func update(_ index: Int, _ commit: Commit) -> SharedBuffer {
        guard let stored = slices[index] else { preconditionFailure("slice \(index) is not held here") }
        if commit.skip { return stored.weights }
        let next = stored.takeSpare(byteCount: layout.slices[index].byteCount)
        makeUnique(&stored.average)
        if stored.momentum != nil { makeUnique(&stored.momentum!) }
        if stored.meanSquare != nil { makeUnique(&stored.meanSquare!) }
        arithmetic.update(
            index, stored.values, into: next.floats,
            CommitRates(scale: commit.scale, learningRate: commit.learningRate, averageDecay: commit.averageDecay))
        stored.spares.append(stored.weights)
        stored.weights = next
        return next
    }

    /// Copies the buffer if a snapshot still refers to it.
    private func makeUnique(_ buffer: inout SharedBuffer) {
        if isKnownUniquelyReferenced(&buffer) { return }
        let copy = SharedBuffer(byteCount: buffer.bytes.count)
        // The snapshot's writer may let go meanwhile, so the bytes are held while they are read.
        buffer.withBytes(0..<buffer.bytes.count) { copy.bytes.copyMemory(from: $0) }
        buffer = copy
    }

    // MARK: Replicas

    /// The parts of a slice's state, in the order in which they are sent.
    package func parts(of index: Int) -> [ReplicaContent] {
        guard layout.slices[index].kind == .weight else { return [.weights, .average] }
        return [.weights, .average, .momentum] + (configuration.optimizer.rule == .rmsprop ? [.meanSquare] : [])
    }

    /// References to the state of a slice as it is now, in the order of its parts.
    func state(of index: Int) -> [SharedBuffer] {
        guard let stored = slices[index] else { return [] }
        return parts(of: index).compactMap { buffer($0, of: stored) }
    }

    private func buffer(_ content: ReplicaContent, of stored: StoredSlice) -> SharedBuffer? {
        switch content {
        case .sum: stored.sum
        case .weights: stored.weights
        case .average: stored.average
        case .momentum: stored.momentum
        case .meanSquare: stored.meanSquare
        }
    }

    /// The sum of a slice once its last contribution is added; it is read by others until the next step.
    func sum(of index: Int) -> SharedBuffer? { slices[index]?.sum }

    /// Takes a part of a slice's state; after the last one the slice is as its holder has it.
    /// - Returns: the weights, after the last part.
    func fill(_ index: Int, _ content: ReplicaContent, _ values: Frame, isFirst: Bool, isLast: Bool) -> SharedBuffer? {
        if isFirst {
            let slice = layout.slices[index]
            incoming[index] = StoredSlice(
                byteCount: slice.byteCount, isWeight: slice.kind == .weight, rule: configuration.optimizer.rule)
        }
        guard let stored = incoming[index], let buffer = buffer(content, of: stored) else { return nil }
        values.withBytes { buffer.bytes.copyMemory(from: $0) }
        guard isLast else { return nil }
        incoming[index] = nil
        slices[index] = stored
        return stored.weights
    }

    /// Applies a commit to a replica. - Parameter sum: of the step; nil: the commit only advances the version.
    func updateReplica(_ index: Int, _ commit: Commit, sum: Frame?) -> SharedBuffer? {
        guard let stored = slices[index] else { return nil }
        if let sum {
            if !isKnownUniquelyReferenced(&stored.sum) {
                stored.sum = SharedBuffer(byteCount: layout.slices[index].byteCount)
            }
            sum.withBytes { stored.sum.bytes.copyMemory(from: $0) }
        }
        return update(index, commit)
    }

    /// Lets all slices but these go.
    func retain(_ wanted: Set<Int>) {
        slices = slices.filter { wanted.contains($0.key) }
        incoming = [:]
    }

    // MARK: Snapshots

    func snapshot(_ shard: Int, _ indices: [Int]) -> Snapshot {
        var values: [StoredValue: [Int: SharedBuffer]] = [:]
        for index in indices {
            guard let stored = slices[index] else { preconditionFailure("slice \(index) is not held here") }
            values[.current, default: [:]][index] = stored.weights
            values[.average, default: [:]][index] = stored.average
            if let momentum = stored.momentum { values[.momentum, default: [:]][index] = momentum }
            if let meanSquare = stored.meanSquare { values[.meanSquare, default: [:]][index] = meanSquare }
        }
        let units = Set(indices.map { layout.slices[$0].unit })
        return Snapshot(shard: shard, tensors: units.flatMap { layout.units[$0].tensors }, values: values)
    }
}

extension SliceStore.Snapshot {
    /// Writes the snapshot as its shard's part of a checkpoint.
    func write(
        to run: RunDirectory, version: Version, generation: UInt32, shardCount: Int,
        layout: ParameterLayout
    ) throws(StorageError) -> [SavedFile] {
        let directory = try run.checkpoints.createPartDirectory(
            step: Int(clamping: version.number), generation: Int(generation))
        let stored = StoredValue.allCases.filter { values[$0] != nil }
        let writer = ShardWriter(
            directory: directory, server: shard, serverCount: shardCount, layout: layout, values: stored,
            in: run.files)
        let files = try writer.write(tensors: tensors) { (value, tensor, emit) throws(StorageError) in
            let range = layout.range(ofTensor: tensor)
            for slice in layout.slices where slice.range.overlaps(range) {
                guard let buffer = values[value]?[slice.index] else { continue }
                let part = slice.range.clamped(to: range)
                let bytes =
                    (part.lowerBound - slice.range.lowerBound) * 4..<(part.upperBound - slice.range.lowerBound) * 4
                try buffer.withBytes(bytes, emit)
            }
        }
        return files.map {
            SavedFile(name: $0.path, content: $0.role.rawValue, bytes: UInt64($0.bytes), sha256: $0.sha256)
        }
    }
}

extension Frame {
    /// Differs, but for one in 2^32, where the bytes do.
    var fingerprint: UInt32 { withBytes { ps_fingerprint($0.baseAddress, $0.count) } }
}
