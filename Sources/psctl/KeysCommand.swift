// `psctl keys`: who may speak with a job, and the files that let them.

import ArgumentParser
import PSFiles
import PSJob
import PSKeys
import PSNode
import PSProofs
import PSReport
import PSRun

extension KeyRole: ExpressibleByArgument {
    /// A job has one coordinator, so no key is added as that.
    public init?(argument: String) {
        guard let role = KeyRole(rawValue: argument), role != .coordinator else { return nil }
        self = role
    }

    public static var allValueStrings: [String] { allCases.filter { $0 != .coordinator }.map(\.rawValue) }
}

struct KeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "Makes, hands out and takes back the keys of a job.",
        discussion: """
            A directory of keys belongs to the job's owner. Each file NAME.join in it holds a secret: it goes to the \
            one machine or person it is for, by a way that nobody else reads, and stays there with mode 0600.
            """,
        subcommands: [
            KeysCreateCommand.self, KeysAddCommand.self, KeysRevokeCommand.self, KeysRotateCommand.self,
            KeysListCommand.self,
        ])
}

/// `--keys` or `--run-dir`: where the keys are.
struct KeyDirectoryOption: ParsableArguments {
    @Option(name: .customLong("keys"), help: ArgumentHelp("The directory of the keys.", valueName: "dir"))
    var path: String?

    @Option(
        name: .customLong("run-dir"),
        help: ArgumentHelp("Instead of --keys: a run's directory, whose keys are in keys/ there.", valueName: "run"))
    var run: String?

    func validate() throws {
        switch (path, run) {
        case (nil, nil): throw ValidationError("say where the keys are: --keys DIR, or --run-dir RUN for RUN/keys")
        case (.some, .some): throw ValidationError("--keys and --run-dir are both given; give one of them")
        case (""?, nil): throw ValidationError("--keys is empty; give a directory")
        case (nil, ""?): throw ValidationError("--run-dir is empty; give a run's directory")
        default: break
        }
    }

    var directory: KeyDirectory { KeyDirectory(path ?? "\(KeyDirectory(run ?? "").path)/keys") }
}

/// Refuses, as a bad argument, a name that no key may have.
private func check(name: String) throws {
    do throws(KeyError) { try KeyDirectory.check(name: name) } catch { throw ValidationError(error.description) }
}

/// NAME ROLE FINGERPRINT of each key.
private func table(_ keys: [AllowedKey]) -> String {
    Report.table([["NAME", "ROLE", "FINGERPRINT"]] + keys.map { [$0.name, $0.role.rawValue, $0.fingerprint] })
}

/// What to do with a new join file.
private func next(_ file: JoinFile, at path: String, in directory: KeyDirectory) -> String {
    let join = "--join \(Paths.name(of: path))" + (file.coordinator == nil ? " --coordinator tcp://HOST:PORT" : "")
    let advice =
        switch file.role {
        case .coordinator: "start the coordinator again, and give out anew the other join files of \(directory.path)"
        case .server, .worker: "give \(path) to the machine and start: ps-\(file.role.rawValue) \(join)"
        case .operator, .viewer: "give \(path) to the person, who then runs: psctl status \(join)"
        }
    return "next: \(advice)\n"
}

struct KeysCreateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Makes a directory of keys: the coordinator's, and one for each role.")

    @OptionGroup var option: KeyDirectoryOption

    @Option(
        help: ArgumentHelp(
            "Where the coordinator will listen; it goes into the join files.", valueName: "tcp://HOST:PORT"))
    var coordinator: String?

    func validate() throws {
        if let coordinator, let mistake = Addresses.mistake(in: coordinator) {
            throw ValidationError("--coordinator is '\(coordinator)': \(mistake)")
        }
        if let coordinator, let (host, port) = Addresses.parse(coordinator),
            host == "*" || Addresses.isEverywhere(host) || port == "*" || port == "0"
        {
            throw ValidationError("--coordinator is '\(coordinator)': others cannot reach it there; name host and port")
        }
    }

    func run() throws {
        FilePermissions.restrict()
        let directory = option.directory
        try KeyDirectory.create(directory.path, coordinator: coordinator)
        write("\(directory.path): a new directory of keys; keep it to yourself\n" + table(try directory.keys))
        let path = directory.joinFile(of: KeyRole.worker.rawValue)
        write(next(try JoinFile.read(path), at: path, in: directory))
    }
}

struct KeysAddCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Makes a key for one more process or person.")

    @OptionGroup var option: KeyDirectoryOption

    @Argument(help: "What its holder may be.")
    var role: KeyRole

    @Argument(help: "Its name, for example worker-gpu7 or alice.")
    var name: String

    func validate() throws { try check(name: name) }

    func run() throws {
        let directory = option.directory
        let path = try directory.add(role: role, name: name)
        let file = try JoinFile.read(path)
        write("\(path): a key for the \(role.rawValue) \(name), \(fingerprint(file.keys.publicKey))\n")
        write(next(file, at: path, in: directory))
    }
}

struct KeysRevokeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Takes a key out of the list and removes its join file.")

    @OptionGroup var option: KeyDirectoryOption

    @Argument(help: "The key's name.")
    var name: String

    func validate() throws {
        if name == "coordinator" {
            throw ValidationError("the coordinator's key cannot be revoked; psctl keys rotate gives it a new one")
        }
        try check(name: name)
    }

    func run() throws {
        let directory = option.directory
        try directory.revoke(name: name)
        write("\(directory.path): \(name) is out of the list, and its join file is removed\n")
        write("next: see who is left: psctl keys list --keys \(directory.path)\n")
    }
}

struct KeysRotateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Gives a name a new key and takes the old one out of the list.",
        discussion: "The name 'coordinator' is the coordinator's key, which every join file names.")

    @OptionGroup var option: KeyDirectoryOption

    @Argument(help: "The key's name, or coordinator.")
    var name: String

    func validate() throws { if name != "coordinator" { try check(name: name) } }

    func run() throws {
        let directory = option.directory
        if name == "coordinator" { try RemoteJob.checkNoneRuns(in: RunDirectory(Paths.parent(of: directory.path))) }
        let path = try directory.rotate(name: name)
        let file = try JoinFile.read(path)
        let holder = file.role.rawValue + (name == file.role.rawValue ? "" : " \(name)")
        write("\(path): a new key for the \(holder), \(fingerprint(file.keys.publicKey))\n")
        if file.role == .coordinator {
            let away = try directory.allowed().map(\.name).filter {
                !LocalFileSystem().exists(directory.joinFile(of: $0))
            }
            if !away.isEmpty {
                write("not there to be changed, rotate them too: \(away.joined(separator: ", "))\n")
            }
        }
        write(next(file, at: path, in: directory))
    }
}

struct KeysListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Shows whose keys may speak with the job.")

    @OptionGroup var option: KeyDirectoryOption
    @OptionGroup var json: JSONOption

    private struct Entry: Encodable {
        let name: String
        let role: KeyRole
        let fingerprint: String
        let key: String
    }

    func run() throws {
        let keys = try option.directory.keys
        if json.isOn {
            let entries = keys.map {
                Entry(name: $0.name, role: $0.role, fingerprint: $0.fingerprint, key: $0.publicKey)
            }
            return write(Report.json(entries))
        }
        write(table(keys))
    }
}
