// The weights a job begins with when they are not drawn: read from a file, a run or a checkpoint, and made the job's
// checkpoint of step 0, from which its servers load them as from any other.

import PSCheckpoint
import PSConfiguration
import PSFiles
import PSMessages
import PSModel
import PSOptimization
import PSParameters
import PSPrediction
import PSRun

/// Values of every tensor, and where they are from.
package struct InitialWeights: Sendable {
    /// The flat vector of the model's layout.
    let values: [Float]
    private let layout: ParameterLayout
    private let rule: OptimizerSettings.Rule
    /// What a person should know of them.
    package let remark: String

    /// Reads `model.init`.
    ///
    /// Tensors whose shape differs by the number of classes alone are drawn anew, as are all of auxiliary heads that
    /// the source does not have, and the last layers of a source whose classes have other names.
    ///
    /// - Parameter classNames: the data set's.
    /// - Throws: when the source cannot be read or is of another network.
    init(
        _ path: String, configuration: JobConfiguration, description: ModelDescription,
        classNames: [String]
    ) throws {
        let layout = description.layout
        let source = try InitialSource(path)
        let isHead = description.lastLayers.contains
        let classes = configuration.model.classes ?? 0
        var anew: [String] = []
        var reasons: [String] = []
        let differing = layout.tensors.filter { tensor in
            guard isHead(tensor.name), let shape = source.shapes[tensor.name] else { return false }
            return shape != tensor.shape && shape.dropFirst() == tensor.shape.dropFirst()
        }
        if let other = differing.first.flatMap({ source.shapes[$0.name]?.first }) {
            anew += differing.map(\.name)
            reasons.append("it has \(other) classes, the model \(classes)")
        } else if let names = source.classNames, !names.isEmpty, names != classNames {
            anew += layout.tensors.map(\.name).filter(isHead)
            reasons.append("its classes have other names (\(names[0]), ...; the data set's are \(classNames[0]), ...)")
        }
        let prefixes = description.network.auxiliaryPrefixes
        func isAuxiliary(_ name: String) -> Bool { prefixes.contains(where: name.hasPrefix) }
        if description.heads.count > 1, !source.shapes.keys.contains(where: isAuxiliary) {
            anew = anew.filter { !isAuxiliary($0) }
            anew += layout.tensors.map(\.name).filter(isAuxiliary)
            reasons.append("it has no auxiliary head")
        }
        var values = try source.values(description, ignoredPrefixes: prefixes, anew: Set(anew))
        values.withUnsafeMutableBufferPointer { values in
            for (index, tensor) in layout.tensors.enumerated() where anew.contains(tensor.name) {
                tensor.initialize(
                    seed: configuration.seed, elements: 0..<tensor.elementCount,
                    into: UnsafeMutableBufferPointer(rebasing: values[layout.range(ofTensor: index)]))
            }
        }
        try WeightFile.check(values, of: description, path: path)
        self.values = values
        self.layout = layout
        rule = configuration.optimizer.rule
        let names = anew.count > 6 ? "\(anew[0]) and \(anew.count - 1) more" : anew.joined(separator: ", ")
        remark =
            "weights from \(source.name)"
            + (anew.isEmpty ? "" : "; \(reasons.joined(separator: ", and ")): begun anew are \(names)")
            + InitialWeights.otherStem(source.stem, description.settings.settled.stem)
    }

    /// The same tensors work on other first layers, but see the images at another scale than they were trained on.
    private static func otherStem(_ theirs: Int?, _ own: Int?) -> String {
        guard let theirs, let own, theirs != own else { return "" }
        return "; their first layers are those of model.stem=\(theirs), this job's those of \(own)"
    }

    /// Values that are at hand: the flat vector of `layout`.
    package init(_ values: [Float], layout: ParameterLayout, rule: OptimizerSettings.Rule) {
        self.values = values
        self.layout = layout
        self.rule = rule
        remark = ""
    }

    /// Writes them as the run's checkpoint of step 0, with the slots that every job begins with.
    package func write(
        to run: RunDirectory, manifest: (Version, UInt32) -> Manifest
    ) throws(StorageError) -> CheckpointReference {
        var manifest = manifest(0, 0)
        let directory = try run.checkpoints.createPartDirectory(step: 0, generation: 0)
        let stored = StoredValue.allCases.filter { $0 != .meanSquare || rule == .rmsprop }
        let writer = ShardWriter(
            directory: directory, server: 0, serverCount: 1, layout: layout, values: stored, in: run.files)
        let files = try writer.write(tensors: Array(layout.tensors.indices)) {
            (value, tensor, emit) throws(StorageError) in
            let range = layout.range(ofTensor: tensor)
            let elements: [Float] =
                switch value {
                case .current, .average: Array(values[range])
                case .meanSquare: Array(repeating: RMSProp.initialMeanSquare, count: range.count)
                case .momentum: Array(repeating: 0, count: range.count)
                }
            try elements.withBytes(emit)
        }
        manifest.serverCount = 1
        manifest.files = files
        try run.checkpoints.complete(manifest, layout: layout)
        return CheckpointReference(version: 0, generation: 0)
    }
}

/// What `model.init` may name.
private enum InitialSource {
    case file(SafetensorsFile)
    case checkpoint(CheckpointReader, ModelDescription, classNames: [String]?)

    init(_ path: String) throws {
        guard LocalFileSystem().isDirectory(path) else {
            self = .file(try SafetensorsFile(path))
            return
        }
        let run = RunDirectory(path)
        let reader: CheckpointReader
        var names: [String]?
        if try run.hasJob() {
            let replay = try Journal.read(run)
            guard let newest = replay.checkpoints.last else {
                throw StorageError.damaged(path: run.path, problem: "is a run without a checkpoint")
            }
            reader = try run.open(newest, job: replay.job)
            names = try run.classNames()
        } else {
            reader = try CheckpointReader(Paths.resolved(path) ?? Paths.absolute(path))
            // A run's checkpoint lies two folders below what the run says of its classes.
            names = try RunDirectory(Paths.parent(of: Paths.parent(of: run.path))).classNames()
        }
        let settings = try JobConfiguration(yaml: reader.manifest.settings, path: "the settings of \(path)")
        let model = try ModelDescription(settings.model)
        try reader.check(layout: model.layout)
        self = .checkpoint(reader, model, classNames: names)
    }

    var name: String {
        switch self {
        case .file(let file): file.path
        case .checkpoint(let reader, _, _): "\(reader.directory), the running average of step \(reader.manifest.step)"
        }
    }

    var shapes: [String: [Int]] {
        switch self {
        case .file(let file): Dictionary(file.tensors.map { ($0.name, $0.shape) }) { first, _ in first }
        case .checkpoint(_, let model, _):
            Dictionary(model.layout.tensors.map { ($0.name, $0.shape) }) { first, _ in first }
        }
    }

    /// The first layers they were trained with; a file that does not say has those of the network as published.
    var stem: Int? {
        switch self {
        case .file(let file):
            var described = JobConfiguration()
            guard let header = file.networkAssignments, (try? described.read(networkAssignments: header)) != nil else {
                return 299
            }
            return described.model.settled.stem
        case .checkpoint(_, let model, _): return model.settings.settled.stem
        }
    }

    var classNames: [String]? {
        switch self {
        case .file(let file): file.classNames
        case .checkpoint(_, _, let names): names
        }
    }

    /// Everything but the tensors `anew`, in the order of the layout.
    func values(_ description: ModelDescription, ignoredPrefixes: [String], anew: Set<String>) throws -> [Float] {
        let layout = description.layout
        switch self {
        case .file(let file):
            return try WeightFile.load(file.path, of: description, ignoredPrefixes: ignoredPrefixes, anew: anew)
        case .checkpoint(let reader, let model, _):
            let own = model.layout
            let all = try reader.values(WeightChoice.average.storedValue, layout: own)
            var values = [Float](repeating: 0, count: layout.count)
            var problems: [String] = []
            for (index, tensor) in layout.tensors.enumerated() where !anew.contains(tensor.name) {
                guard let source = own.index(ofTensor: tensor.name), own.tensors[source].shape == tensor.shape else {
                    let found = own.index(ofTensor: tensor.name).map { "is \(own.tensors[$0].shape)" } ?? "is missing"
                    problems.append("\(tensor.name) \(found); the model needs \(tensor.shape)")
                    continue
                }
                values.replaceSubrange(layout.range(ofTensor: index), with: all[own.range(ofTensor: source)])
            }
            if problems.isEmpty { return values }
            let (theirs, wanted) = (model.settings, description.settings)
            if theirs.name != wanted.name {
                problems.insert("the run is of \(theirs.name), not of \(wanted.name)", at: 0)
            } else if theirs.width != wanted.width {
                problems.insert(
                    "the run's network is of width \(theirs.width), the model's of \(wanted.width): "
                        + "set model.width=\(theirs.width)", at: 0)
            }
            throw StorageError.mismatch(path: reader.directory, problems: problems)
        }
    }
}
