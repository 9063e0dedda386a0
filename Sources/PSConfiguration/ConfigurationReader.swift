// From what a person wrote to a configuration: defaults, then the file, then the environment, then the flags.

import Foundation
import PSDatasets
import PSOptimization
import PSSamples
import Yams

import func PSModel.spellingDistance

extension JobConfiguration {
    /// The configuration of a job: flags win over the environment, the environment over the file, the file over the
    /// defaults.
    ///
    /// - Parameters:
    ///   - path: the YAML file, if any.
    ///   - assignments: `KEY=VALUE` texts of `--set`, later ones winning.
    package init(
        path: String?, environment: [String: String], assignments: [String]
    ) throws(ConfigurationError) {
        self.init()
        var given: Set<String> = []
        if let path { given = try read(yaml: JobConfiguration.text(ofFile: path), path: path) }
        try complete(given, environment: environment, assignments: assignments)
    }

    /// The same over a text that is not a file's.
    ///
    /// - Parameter name: what messages call the text.
    package init(
        text: String, of name: String, environment: [String: String], assignments: [String]
    ) throws(ConfigurationError) {
        self.init()
        try complete(try read(yaml: text, path: name), environment: environment, assignments: assignments)
    }

    /// The configuration that a complete or partial YAML text gives over the defaults.
    ///
    /// - Parameter path: what messages call the text.
    package init(yaml: String, path: String) throws(ConfigurationError) {
        self.init()
        try complete(try read(yaml: yaml, path: path), environment: [:], assignments: [])
    }

    /// Takes over what comes after a file whose keys are `given`, and what follows from all of it.
    private mutating func complete(
        _ given: Set<String>, environment: [String: String], assignments: [String]
    ) throws(ConfigurationError) {
        let given = given.union(try read(environment: environment)).union(try read(assignments: assignments))
        if !given.contains("data.evaluate"), let own = data.augmentation.augment.ownEvaluation {
            data.augmentation.evaluate = own
        }
        try validate()
    }

    private static func text(ofFile path: String) throws(ConfigurationError) -> String {
        do {
            let file = try FileHandle(forReadingFrom: URL(filePath: path))
            defer { try? file.close() }
            // No more than that: what is named by mistake may be a whole data set, or have no end. A pipe gives pieces.
            var bytes = Data()
            while bytes.count <= YAMLTokens.mostBytes,
                let piece = try file.read(upToCount: YAMLTokens.mostBytes + 1 - bytes.count), !piece.isEmpty
            {
                bytes += piece
            }
            guard bytes.count <= YAMLTokens.mostBytes else {
                throw ConfigurationError.unreadableFile(
                    path: path, reason: "it is larger than 1 MiB; is it a job file?")
            }
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw ConfigurationError.unreadableFile(path: path, reason: "it is no text in UTF-8")
            }
            return text
        } catch let error as ConfigurationError {
            throw error
        } catch {
            throw .unreadableFile(path: path, reason: error.localizedDescription)
        }
    }

    /// Takes over what a YAML text sets: a mapping of settings, sections nested or keys dotted.
    ///
    /// - Returns: the keys that it sets.
    mutating func read(yaml: String, path: String) throws(ConfigurationError) -> Set<String> {
        if let problem = YAMLTokens.problem(in: yaml) {
            throw .malformed(origin: .file(path: path, line: problem.line), problem: problem.text)
        }
        let root: Node?
        do {
            root = try Yams.compose(yaml: yaml)
        } catch {
            throw ConfigurationError(yamsError: error, path: path)
        }
        // A file of comments sets nothing.
        guard let root, !root.isEmptyScalar else { return [] }
        guard case .mapping = root else {
            throw .malformed(
                origin: .file(path: path, line: root.mark?.line ?? 1),
                problem: "expected settings such as 'seed: 7', found \(root.kindName)")
        }
        var seen: Set<String> = []
        try read(root, prefix: "", path: path, seen: &seen)
        return seen
    }

    private mutating func read(
        _ node: Node, prefix: String, path: String, seen: inout Set<String>
    ) throws(ConfigurationError) {
        guard case .mapping(let mapping) = node else { return }
        for (keyNode, value) in mapping {
            let origin = SettingOrigin.file(path: path, line: keyNode.mark?.line ?? 1)
            guard case .scalar(let keyScalar) = keyNode else {
                throw .malformed(origin: origin, problem: "a setting's name must be a word, found \(keyNode.kindName)")
            }
            let key = prefix + keyScalar.string
            if let setting = SettingsTable.setting(named: key) {
                guard seen.insert(setting.key).inserted else { throw .givenTwice(key, origin: origin) }
                if case .list = setting.kind, case .sequence(let sequence) = value {
                    let elements = try sequence.map { (element) throws(ConfigurationError) in
                        try text(ofElement: element, of: setting, origin: origin)
                    }
                    if elements.contains("") {
                        throw .outOfRange(key, origin: origin, found: "an empty element", allowed: setting.kind.range)
                    }
                    setting.write(&self, .list(elements))
                    continue
                }
                guard case .scalar(let scalar) = value else {
                    throw .wrongKind(key, origin: origin, found: value.kindName, expected: setting.kind.expectation)
                }
                try assign(setting, WrittenScalar(text: scalar.string, isQuoted: scalar.isQuoted), origin: origin)
            } else if case .mapping = value {
                try read(value, prefix: key + ".", path: path, seen: &seen)
            } else if SettingsTable.sections.contains(key) {
                // `train:` with all its settings commented out sets nothing.
                guard value.isEmptyScalar else {
                    throw .wrongKind(key, origin: origin, found: value.kindName, expected: "settings of the section")
                }
            } else {
                throw .unknownSetting(key, origin: origin, nearest: SettingsTable.nearest(to: key).key)
            }
        }
    }

    /// An element of a list: a text, or a mapping of `prefix` and `rate`, which stands for "prefix:rate".
    private func text(
        ofElement node: Node, of setting: Setting, origin: SettingOrigin
    ) throws(ConfigurationError) -> String {
        switch node {
        case .scalar(let scalar): return scalar.string
        case .mapping(let mapping) where setting.key == "optimizer.groups":
            if mapping.count == 2, case .scalar(let prefix)? = mapping["prefix"],
                case .scalar(let rate)? = mapping["rate"]
            {
                return "\(prefix.string):\(rate.string)"
            }
        default: break
        }
        throw .wrongKind(setting.key, origin: origin, found: node.kindName, expected: setting.kind.expectation)
    }

    /// Takes over the variables that begin with `PSCTL_`; one that names no setting is an error.
    mutating func read(environment: [String: String]) throws(ConfigurationError) -> Set<String> {
        let prefix = "PSCTL_"
        var given: Set<String> = []
        // Sorted, so that of several bad variables always the same one is reported.
        for (variable, text) in environment.sorted(by: { $0.key < $1.key }) where variable.hasPrefix(prefix) {
            let origin = SettingOrigin.environment(variable: variable)
            guard let setting = SettingsTable.all.first(where: { $0.environmentVariable == variable }) else {
                let nearest = SettingsTable.all.min {
                    spellingDistance(variable, $0.environmentVariable)
                        < spellingDistance(variable, $1.environmentVariable)
                }!
                throw .unknownSetting(variable, origin: origin, nearest: nearest.environmentVariable)
            }
            try assign(setting, WrittenScalar(text: text), origin: origin)
            given.insert(setting.key)
        }
        return given
    }

    /// Takes over `KEY=VALUE` texts in their order; returns the keys.
    @discardableResult
    package mutating func read(assignments: [String]) throws(ConfigurationError) -> Set<String> {
        var given: Set<String> = []
        for assignment in assignments {
            let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else {
                throw .malformed(origin: .flag, problem: "expected KEY=VALUE, found '\(assignment)'")
            }
            let key = String(parts[0])
            guard let setting = SettingsTable.setting(named: key) else {
                throw .unknownSetting(key, origin: .flag, nearest: SettingsTable.nearest(to: key).key)
            }
            try assign(setting, WrittenScalar(text: String(parts[1])), origin: .flag)
            given.insert(setting.key)
        }
        return given
    }

    /// Checks what the ranges of single settings do not say.
    private func validate() throws(ConfigurationError) {
        func check(_ section: String, _ body: () throws(InvalidSetting) -> Void) throws(ConfigurationError) {
            do throws(InvalidSetting) {
                try body()
            } catch {
                throw .unusable("\(section).\(error.key)", problem: error.message)
            }
        }
        try check("optimizer", optimizer.validate)
        try check("learningRate", learningRate.validate)
        if eval.everySteps > 0, eval.everyEpochs > 0 {
            throw .unusable("eval.everySteps", problem: "and eval.everyEpochs exclude each other; keep one")
        }
        if server.replicas > 0, cluster.servers < 2 {
            throw .unusable(
                "server.replicas", problem: "needs a second server to hold them; set cluster.servers to 2 or more")
        }
        if cluster.minWorkers > cluster.workers {
            throw .unusable(
                "cluster.minWorkers", problem: "is \(cluster.minWorkers), but cluster.workers is \(cluster.workers)")
        }
        if cluster.spares > 0, server.replicas == 0 {
            throw .unusable(
                "cluster.spares",
                problem: "catches up from a replica; set server.replicas to 1 (without, a server that is started again "
                    + "loads the last checkpoint just as a spare would)")
        }
        if train.patience > 0, !eval.isWhileTraining {
            throw .unusable(
                "train.patience", problem: "counts evaluations beside training; set eval.everyEpochs or eval.everySteps"
            )
        }
        do throws(DatasetError) {
            try data.set.validate()
        } catch {
            guard case .setting(let key, let problem) = error else { throw .unusable("data", problem: "\(error)") }
            throw .unusable("data.\(key)", problem: problem)
        }
        do throws(AugmentationError) {
            try data.augmentation.validate()
        } catch {
            guard case .setting(let key, let problem) = error else { throw .unusable("data", problem: "\(error)") }
            throw .unusable("data.\(key)", problem: problem)
        }
    }

    private mutating func assign(
        _ setting: Setting, _ scalar: WrittenScalar, origin: SettingOrigin
    ) throws(ConfigurationError) {
        do throws(SettingProblem) {
            let current = WrittenScalar(
                text: SettingsTable.current(scalar.text, of: setting.key), isQuoted: scalar.isQuoted)
            setting.write(&self, try setting.kind.parse(current))
        } catch {
            switch error {
            case .wrongKind:
                throw ConfigurationError.wrongKind(
                    setting.key, origin: origin, found: scalar.description, expected: setting.kind.expectation)
            case .outOfRange:
                throw ConfigurationError.outOfRange(
                    setting.key, origin: origin, found: "'\(scalar.text)'", allowed: setting.kind.range)
            }
        }
    }
}

extension ConfigurationError {
    /// Yams' own errors, each reduced to a line and a problem.
    fileprivate init(yamsError: any Error, path: String) {
        func malformed(_ line: Int, _ problem: String) -> ConfigurationError {
            .malformed(origin: .file(path: path, line: line), problem: "not YAML: \(problem)")
        }
        switch yamsError as? YamlError {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            self = malformed(mark.line, problem)
        case .duplicatedKeysInMapping(let duplicates, let context):
            self = .givenTwice(
                duplicates.joined(separator: ", "), origin: .file(path: path, line: context.mark.line))
        case .reader(let problem, _, _, _):
            self = malformed(1, problem)
        default:
            self = malformed(1, "\(yamsError)")
        }
    }
}

extension Node {
    /// "a list", for messages.
    fileprivate var kindName: String {
        switch self {
        case .scalar(let scalar): WrittenScalar(text: scalar.string, isQuoted: scalar.isQuoted).description
        case .mapping: "a section"
        case .sequence: "a list"
        case .alias: "an alias"
        }
    }

    fileprivate var isEmptyScalar: Bool {
        guard case .scalar(let scalar) = self, !scalar.isQuoted else { return false }
        return ["", "~", "null"].contains(scalar.string)
    }
}

extension Node.Scalar {
    fileprivate var isQuoted: Bool { style != .plain && style != .any }
}
