// Weights in one safetensors file under the names of a network's reference: reading any, writing from a checkpoint.

import PSFiles
import PSParameters

package enum WeightFile {
    /// The count of batches PyTorch's batch norm keeps beside its statistics; nothing here uses it.
    package static let batchCounter = ".num_batches_tracked"

    /// Reads weights and statistics into a new flat vector of `layout`. Half precision is widened, doubles are rounded.
    ///
    /// `num_batches_tracked` entries may be there or not. Any other difference from the model (a tensor missing, unknown,
    /// of another shape or no floating-point type) is an error that names them all; what is wrong with all of them in the
    /// same way, such as a prefix, is said once.
    ///
    /// - Parameters:
    ///   - ignoredPrefixes: tensors of the file whose names begin so are passed over if the layout has none of them: the
    ///     auxiliary heads, say, where only the main one is computed.
    ///   - anew: tensors whose values are not wanted of the file; they stay 0.
    package static func load(
        _ path: String, layout: ParameterLayout, ignoredPrefixes: [String] = [], anew: Set<String> = []
    ) throws(StorageError) -> [Float] {
        let file = try SafetensorsFile(path)
        if let prefix = ForeignWeights.commonPrefix(of: file, layout: layout) {
            throw .mismatch(path: path, problems: [ForeignWeights.prefixProblem(prefix, in: file)])
        }
        var problems: [String] = []
        var wrongTypes: [SafetensorsTensor] = []
        for tensor in layout.tensors where !anew.contains(tensor.name) {
            guard let found = file.tensor(named: tensor.name) else {
                problems.append("\(tensor.name) is missing; the model needs F32 \(tensor.shape)")
                continue
            }
            if found.shape != tensor.shape {
                problems.append("\(tensor.name) is \(found.summary); the model needs F32 \(tensor.shape)")
            } else if !found.dataType.isFloat {
                wrongTypes.append(found)
            }
        }
        if let problem = ForeignWeights.typeProblem(wrongTypes) {
            problems.insert(problem, at: 0)
        } else {
            problems += wrongTypes.map { "\($0.name) is \($0.summary); the model needs F32 \($0.shape)" }
        }
        for found in file.tensors
        where layout.index(ofTensor: found.name) == nil && !found.name.hasSuffix(batchCounter) {
            if ignoredPrefixes.contains(where: found.name.hasPrefix) { continue }
            problems.append("\(found.name) (\(found.summary)) is no tensor of the model")
        }
        if !problems.isEmpty { throw .mismatch(path: path, problems: problems) }

        var values = [Float](repeating: 0, count: layout.count)
        for (index, tensor) in layout.tensors.enumerated() where !anew.contains(tensor.name) {
            values.replaceSubrange(
                layout.range(ofTensor: index), with: try file.floats(of: file.tensor(named: tensor.name)!))
        }
        return values
    }

    /// Writes a checkpoint's weights (`.current`) or their running averages (`.average`), with their statistics, as one
    /// file that torchvision's `load_state_dict(strict=True)` takes: every batch norm gets its `num_batches_tracked`,
    /// an int64 scalar equal to the checkpoint's step.
    ///
    /// - Parameters:
    ///   - classNames: by label, for the file's header; nil: they are not known.
    ///   - network: for the header as well: settings of the network as `--set` takes them.
    @discardableResult
    package static func export(
        _ checkpoint: CheckpointReader, value: StoredValue, layout: ParameterLayout, classNames: [String]? = nil,
        network: [String]? = nil, to output: OutputFile
    ) throws(StorageError) -> WrittenFile {
        precondition(value.coversStatistics, "optimizer slots are not weights")
        try checkpoint.check(layout: layout)
        let step = Int64(checkpoint.manifest.step).littleEndian
        let runningMean = ".running_mean"
        // The wider integers come first, so that every tensor is aligned.
        var tensors = layout.tensors.filter { $0.name.hasSuffix(runningMean) }.map { tensor in
            OutgoingTensor(
                name: tensor.name.dropLast(runningMean.count) + batchCounter, dataType: .int64, shape: []
            ) { (emit) throws(StorageError) in
                try withUnsafePointer(to: step) { (pointer) throws(StorageError) in
                    try emit(UnsafeRawBufferPointer(start: pointer, count: MemoryLayout<Int64>.size))
                }
            }
        }
        for tensor in layout.tensors {
            tensors.append(
                OutgoingTensor(name: tensor.name, shape: tensor.shape) { (emit) throws(StorageError) in
                    try checkpoint.withBytes(value, tensor: tensor.name) { (bytes) throws(StorageError) in
                        try emit(bytes)
                    }
                })
        }
        return try SafetensorsWriter.write(
            to: output, metadata: metadata(classNames: classNames, network: network), tensors: tensors)
    }

    fileprivate static let classNamesKey = "classes"
    fileprivate static let networkKey = "model"

    /// A weight file's header: what PyTorch's reader looks for, and the names of the classes and the settings of the
    /// network as JSON lists.
    package static func metadata(classNames: [String]?, network: [String]?) -> [String: String] {
        // Without the newline that ends a JSON file.
        func list(_ texts: [String]) -> String { String(decoding: JSON.compact(texts).dropLast(), as: UTF8.self) }
        var metadata = ["format": "pt"]
        metadata[classNamesKey] = classNames.map(list)
        metadata[networkKey] = network.map(list)
        return metadata
    }
}

extension SafetensorsFile {
    /// The names of the classes, where the header has them as `WeightFile.export` writes them.
    package var classNames: [String]? { list(WeightFile.classNamesKey) }

    /// The settings of the network, where the header has them as `WeightFile.export` writes them.
    package var networkAssignments: [String]? { list(WeightFile.networkKey) }

    private func list(_ key: String) -> [String]? {
        metadata[key].flatMap { try? JSON.decode([String].self, from: $0.utf8) }
    }
}
