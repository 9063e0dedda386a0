// Jobs of a second or two in a folder of their own: begun, disturbed, resumed, compared with one that nobody disturbs.

import Foundation
import PSFiles
import PSJob
import PSParameters
import PSProtocol
import PSRun
import Testing

/// Slow tests run where this is set.
let hasTimeForLongTests = ProcessInfo.processInfo.environment["PS_LONG_TESTS"] == "1"

/// A folder for small jobs; commands run in it, so that `runs/last` is its own.
final class SmallJobs: Sendable {
    /// Without a schedule, so that a job in parts computes what one in one part does.
    static let settings = [
        "model.width=0.1", "train.batch=8", "eval.atEnd=false", "optimizer.averageDecay=0.9",
        "learningRate.shape=constant", "learningRate.base=0.01", "cluster.workers=1", "cluster.servers=2",
        "data.path=\(FewImages.path)",
    ]
    /// Far enough for nobody to see the end.
    static let endless = 1_000_000

    let scratch = try! Scratch()

    func path(_ name: String) -> String { scratch.file(name) }

    func start(_ arguments: [String], environment: [String: String] = [:]) throws -> Running {
        try Running("psctl", arguments, in: scratch.path, environment: environment)
    }

    func psctl(
        _ arguments: String..., environment: [String: String] = [:], within seconds: Double = 40
    ) throws -> Finished {
        try start(arguments, environment: environment).finish(within: seconds)
    }

    func psctl(arguments: [String], within seconds: Double = 40) throws -> Finished {
        try start(arguments).finish(within: seconds)
    }

    /// Starts a new job.
    /// - Parameter run: nil: the default place.
    func begin(
        _ run: String?, steps: Int, set: [String] = [], more: [String] = [], environment: [String: String] = [:]
    ) throws -> Running {
        let all = SmallJobs.settings + ["train.steps=\(steps)"] + set
        return try start(
            ["train", "--json"] + (run.map { ["--run-dir", $0] } ?? []) + all.flatMap { ["--set", $0] } + more,
            environment: environment)
    }

    /// Starts a job again, by default from where it is.
    func resume(
        _ run: String?, steps: Int? = nil, from: String = "last", set: [String] = [],
        environment: [String: String] = [:]
    ) throws -> Running {
        let all = (steps.map { ["train.steps=\($0)"] } ?? []) + set
        return try start(
            ["train", "--json", "--resume", from] + (run.map { ["--run-dir", $0] } ?? [])
                + all.flatMap { ["--set", $0] },
            environment: environment)
    }

    /// A new job, to its end.
    @discardableResult
    func train(_ run: String?, steps: Int, set: [String] = [], more: [String] = []) throws -> RunSummary {
        try begin(run, steps: steps, set: set, more: more).summary()
    }

    /// A new job with a checkpoint at each of these steps.
    func train(_ run: String, checkpoints steps: [Int]) throws {
        try train(run, steps: steps[0], set: ["checkpoint.keep=10", "checkpoint.everySteps=0"])
        for step in steps.dropFirst() { _ = try resume(run, steps: step).summary() }
    }

    func copy(_ from: String, _ to: String) throws {
        #expect(try Running(shell: "cp -a '\(path(from))' '\(path(to))'").finish().code == 0)
    }

    func move(_ from: String, _ to: String) throws {
        try FileManager.default.moveItem(atPath: path(from), toPath: path(to))
    }

    /// What lies in a folder, by name: a file's hash, a link's target.
    func tree(_ name: String) throws -> [String: String] {
        let root = path(name)
        var found: [String: String] = [:]
        for entry in try FileManager.default.subpathsOfDirectory(atPath: root) {
            let full = "\(root)/\(entry)"
            let attributes = try FileManager.default.attributesOfItem(atPath: full)
            switch attributes[.type] as? FileAttributeType {
            case .typeSymbolicLink?:
                found[entry] = "-> " + (try FileManager.default.destinationOfSymbolicLink(atPath: full))
            case .typeDirectory?: found[entry] = "directory"
            default:
                var hash = SHA256()
                try Data(contentsOf: URL(filePath: full)).withUnsafeBytes { hash.update($0) }
                found[entry] = hash.hexadecimal()
            }
        }
        return found
    }

    func checkpoints(_ run: String) throws -> Set<String> {
        Set(try FileManager.default.contentsOfDirectory(atPath: path("\(run)/checkpoints")))
    }

    /// The steps in a run's metrics, in the file's order.
    func metrics(_ run: String, _ file: String = "metrics.jsonl") -> [StepReport] {
        guard let text = try? String(contentsOfFile: path("\(run)/\(file)"), encoding: .utf8) else { return [] }
        return text.split(separator: "\n").compactMap { try? JSON.decode(StepReport.self, from: Array($0.utf8)) }
    }

    func steps(_ run: String, _ file: String = "metrics.jsonl") -> [UInt64] { metrics(run, file).map(\.version.number) }

    func status(_ run: String) throws -> JobStatus {
        try psctl("status", "--json", "--run-dir", run).json(JobStatus.self)
    }

    /// A library that takes the place of some of the system's calls; nil where there is no C compiler.
    func library(_ code: String, named name: String = "calls") throws -> String? {
        let head = ["<dlfcn.h>", "<errno.h>", "<sys/stat.h>", "<unistd.h>"].map { "#include \($0)\n" }.joined()
        try ("#define _GNU_SOURCE\n" + head + code + "\n")
            .write(toFile: path("\(name).c"), atomically: true, encoding: .utf8)
        let compiler = "$(command -v gcc || command -v clang || echo false)"
        let made = try Running(
            shell: "\(compiler) -shared -fPIC -o '\(path("\(name).so"))' '\(path("\(name).c"))' -ldl"
        ).finish()
        return made.code == 0 ? path("\(name).so") : nil
    }

    /// Waits until a step is committed.
    func waitForStep(_ step: UInt64, of run: String, sourceLocation: SourceLocation = #_sourceLocation) {
        eventually("\(run) comes to step \(step)", sourceLocation: sourceLocation) { steps(run).last ?? 0 >= step }
    }

    /// Where the servers began at their last start, by their log.
    func loadedStep(_ run: String) throws -> String? {
        let log = try String(contentsOfFile: path("\(run)/logs/server-0.log"), encoding: .utf8)
        return log.split(separator: "\n").last { $0.contains("loading") }.flatMap { line in
            line.split(separator: " ").first { $0.hasPrefix("step=") }.map { String($0.dropFirst(5)) }
        }
    }
}

/// Images that are read in no time, in the files of Fashion-MNIST.
enum FewImages {
    static let path: String = {
        let folder = "\(SharedFolder.path)/images"
        try! FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let random = CounterRandom(seed: 3, name: "pixels")
        for (name, count) in [("train", 200), ("t10k", 30)] {
            func write(_ file: String, _ shape: [UInt8], _ elements: [UInt8]) {
                let header: [UInt8] = [0, 0, 8, UInt8(shape.count)] + shape.flatMap { [0, 0, 0, $0] }
                try! Data(header + elements).write(to: URL(filePath: "\(folder)/\(file)"))
            }
            let pixels = (0..<count * 28 * 28).map { UInt8(random.integer(UInt64($0), below: 256)) }
            write("\(name)-images-idx3-ubyte", [UInt8(count), 28, 28], pixels)
            write("\(name)-labels-idx1-ubyte", [UInt8(count)], (0..<count).map { UInt8($0 % 10) })
        }
        guard (try? Running(shell: "gzip '\(folder)'/*").finish().code) == 0 else { preconditionFailure("no gzip") }
        return folder
    }()
}

/// What tests make once and share; it goes when this process ends.
enum SharedFolder {
    static let path: String = {
        atexit { try? FileManager.default.removeItem(atPath: SharedFolder.place) }
        try! FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        return place
    }()

    private static let place = FileManager.default.temporaryDirectory.appending(path: "ps-test-shared-\(getpid())").path
}

/// The state of a job that nobody disturbs, after so many steps.
enum Undisturbed {
    private nonisolated(unsafe) static var known: [Int: String] = [:]
    private static let lock = NSLock()

    static func state(after steps: Int) throws -> String {
        try lock.withLock {
            if let state = known[steps] { return state }
            let state = try #require(try SmallJobs().train("calm", steps: steps).stateSHA256)
            known[steps] = state
            return state
        }
    }
}

func expectUndisturbed(_ summary: RunSummary, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let state = try Undisturbed.state(after: Int(summary.steps))
    #expect(summary.stateSHA256 == state, sourceLocation: sourceLocation)
}

extension Running {
    /// Waits for the end of `psctl train`.
    func summary(
        code: Int32 = 0, within seconds: Double = 40, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> RunSummary {
        let finished = try finish(within: seconds)
        #expect(finished.code == code, "\(finished.errors)", sourceLocation: sourceLocation)
        return try finished.json(RunSummary.self)
    }

    struct Child {
        let role: String
        let pid: pid_t
        let arguments: [String]
        var rank: Int? { arguments.firstIndex(of: "--rank").flatMap { Int(arguments[$0 + 1]) } }
    }

    /// The processes that this one started and that run.
    var children: [Child] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { name in
            guard let child = pid_t(name),
                let stat = try? String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8),
                let close = stat.lastIndex(of: ")")
            else { return nil }
            let fields = stat[stat.index(after: close)...].split(separator: " ")
            guard fields[1] == "\(pid)", fields[0] != "Z",
                let command = FileManager.default.contents(atPath: "/proc/\(child)/cmdline")
            else { return nil }
            let words = command.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            guard let role = words.first?.split(separator: "/").last, role.hasPrefix("ps-") else { return nil }
            return Child(role: String(role.dropFirst(3)), pid: child, arguments: words)
        }
    }

    func pid(of role: String, rank: Int = 0) throws -> pid_t {
        var found: pid_t?
        eventually("there is \(role) \(rank)") {
            found = children.first { $0.role == role && $0.rank ?? 0 == rank }?.pid
            return found != nil
        }
        return try #require(found)
    }

    func send(_ signal: Int32) { kill(pid_t(pid), signal) }

    /// Waits until the process has said something on standard error.
    func waitForWords(
        _ words: String, within seconds: Double = 20, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let deadline = SuspendingClock.now + .seconds(seconds)
        while true {
            let said = try errorsSoFar()
            if said.contains(words) { return }
            if SuspendingClock.now > deadline || !isRunning {
                Issue.record("not said: \(words); but: \(said)", sourceLocation: sourceLocation)
                return
            }
            usleep(20_000)
        }
    }

    /// Ends psctl and all that it started, at once.
    func crash() throws {
        for pid in children.map(\.pid) + [pid_t(pid)] { kill(pid, SIGKILL) }
        eventually(within: 10, "it is gone") { !isRunning }
    }
}
