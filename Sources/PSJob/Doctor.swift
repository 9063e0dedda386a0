// `psctl doctor`: is all there that a job needs, and what to do about what is not.

import Foundation
import PSConfiguration
import PSDatasets
import PSModel
import PSNetwork
import PSPlanning
import PSPrediction
import PSReport

/// What an examination of this machine found.
package struct Doctor: Encodable {
    package enum State: String, Encodable {
        case ok
        /// The job will run, but not well.
        case warning
        case failed
    }

    package struct Finding: Encodable {
        package let check: String
        package let state: State
        package let found: String
        /// What to do; nil where all is well.
        package let advice: String?

        fileprivate static func ok(_ check: String, _ found: String) -> Finding {
            Finding(check: check, state: .ok, found: found, advice: nil)
        }

        fileprivate static func warning(_ check: String, _ found: String, advice: String) -> Finding {
            Finding(check: check, state: .warning, found: found, advice: advice)
        }

        fileprivate static func failed(_ check: String, _ found: String, advice: String) -> Finding {
            Finding(check: check, state: .failed, found: found, advice: advice)
        }
    }

    package let healthy: Bool
    package let findings: [Finding]

    /// Examines this machine for the job of `configuration`, run directories made under `directory`.
    package init(configuration: JobConfiguration, directory: String) {
        let data = DatasetSplit.allCases.map { Doctor.data(configuration, $0) }
        // What the model needs can only be said with a number of classes.
        var configuration = configuration
        if configuration.model.classes == nil {
            let training = try? Dataset.open(configuration.data.set, .train)
            configuration.model.classes = training?.classNames.count ?? ModelSettings().classes
        }
        var findings = Machine.libraries.map { Finding.ok("library \($0.name)", $0.version) }
        let variable = "OPENBLAS_CORETYPE"
        let chosen = ProcessInfo.processInfo.environment[variable].map { " (\(variable)=\($0) is set)" } ?? ""
        findings.append(.ok("BLAS core", Machine.blasCore + chosen))
        findings.append(Doctor.processors(configuration))
        findings.append(Doctor.ports())
        findings.append(Doctor.memory(configuration))
        findings.append(Doctor.disk(configuration, directory))
        findings.append(contentsOf: data)
        self.findings = findings
        healthy = findings.allSatisfy { $0.state != .failed }
    }

    /// One line a finding, and under it what to do.
    package var text: String {
        findings.map { finding in
            let mark =
                switch finding.state {
                case .ok: "ok     "
                case .warning: "warning"
                case .failed: "FAILED "
                }
            return "\(mark)  \(finding.check): \(finding.found)\n"
                + (finding.advice.map { "         -> \($0)\n" } ?? "")
        }
        .joined()
    }

    private static func processors(_ configuration: JobConfiguration) -> Finding {
        let available = ProcessInfo.processInfo.activeProcessorCount
        let wanted = configuration.cluster.workers * configuration.cluster.threads
        let found = "\(available), \(wanted) compute threads wanted"
        if wanted <= available { return .ok("processors", found) }
        return .warning(
            "processors", found,
            advice: "fewer workers or threads (cluster.workers x cluster.threads) up to \(available) are faster")
    }

    /// The processes of a job on one machine talk over TCP on the loopback interface.
    private static func ports() -> Finding {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { if socket >= 0 { close(socket) } }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                socket >= 0 && bind(socket, $0, length) == 0 && listen(socket, 1) == 0
                    && getsockname(socket, $0, &length) == 0
            }
        }
        if bound { return .ok("ports", "127.0.0.1:\(UInt16(bigEndian: address.sin_port)) can be bound") }
        return .failed(
            "ports", "no port of 127.0.0.1 can be bound: \(String(cString: strerror(errno)))",
            advice: "bring the loopback interface up (ip link set lo up), or allow this user to open sockets")
    }

    /// What to say before a job starts that this machine has not the memory for; nil where it has.
    static func memoryRemark(_ configuration: JobConfiguration) -> String? {
        let finding = memory(configuration)
        guard finding.state == .failed, let advice = finding.advice else { return nil }
        return "memory may not suffice: \(finding.found); \(advice)"
    }

    private static func memory(_ configuration: JobConfiguration) -> Finding {
        let need: MemoryNeed
        do {
            need = try MemoryNeed(configuration)
        } catch {
            return .failed("memory", "\(error)", advice: "correct the setting")
        }
        let cluster = configuration.cluster
        let wanted =
            "\(Report.bytes(need.total)) needed (\(Report.count(cluster.workers, "worker")) of \(Report.bytes(need.worker)), "
            + "\(Report.count(cluster.servers, "server")) of \(Report.bytes(need.server)))"
        guard let available = Machine.availableMemory() else {
            return .warning("memory", "cannot be read from /proc/meminfo; \(wanted)", advice: "mount /proc")
        }
        let found = "\(Report.bytes(available)) available, \(wanted)"
        if need.total <= available { return .ok("memory", found) }
        return .failed(
            "memory", found, advice: "lower train.batch or cluster.workers, or give this machine more memory")
    }

    private static func disk(_ configuration: JobConfiguration, _ directory: String) -> Finding {
        var system = statvfs()
        guard statvfs(directory, &system) == 0 else {
            return .failed(
                "disk", "\(directory): \(String(cString: strerror(errno)))",
                advice: "start psctl in a directory that exists, or name one with --run-dir")
        }
        let available = Int(clamping: system.f_bavail).timesSaturating(Int(clamping: system.f_frsize))
        guard let need = try? MemoryNeed(configuration) else { return .ok("disk", Report.bytes(available)) }
        // While the newest is written the oldest is still there.
        let checkpoints = need.checkpoint.timesSaturating(configuration.checkpoint.keep + 1)
        let found = "\(Report.bytes(available)) free here, \(Report.bytes(checkpoints)) needed for checkpoints"
        if access(directory, W_OK) != 0 {
            return .failed("disk", "\(directory) is not writable", advice: "start psctl elsewhere, or use --run-dir")
        }
        if checkpoints <= available { return .ok("disk", found) }
        return .failed(
            "disk", found, advice: "free some space, lower checkpoint.keep, or use --run-dir on another disk")
    }

    private static func data(_ configuration: JobConfiguration, _ split: DatasetSplit) -> Finding {
        let check = "\(split.rawValue) images"
        do {
            let source = try Dataset.open(configuration.data.set, split)
            let found =
                "\(Report.grouped(source.count)) of \(source.classNames.count) classes in "
                + configuration.data.set.path
            guard let classes = configuration.model.classes, source.classNames.count > classes else {
                return .ok(check, found)
            }
            return .failed(
                check, "\(found), but model.classes is \(classes)",
                advice: "set model.classes to \(source.classNames.count), or leave it out")
        } catch DatasetError.missing(let path, let advice) {
            return .failed(check, "\(path) is missing", advice: advice)
        } catch {
            return .failed(check, "\(error)", advice: "repair the file, or set data.path to where a whole data set is")
        }
    }
}

/// About how much memory a job's processes take on one machine, and what a checkpoint weighs.
struct MemoryNeed {
    let worker: Int
    let server: Int
    let total: Int
    let checkpoint: Int

    init(_ configuration: JobConfiguration) throws {
        let description = try ModelDescription(configuration.model)
        let vector = description.layout.count * MemoryLayout<Float>.stride
        // A process's code and libraries, and the data set in memory.
        let base = 128 << 20
        // A worker: the network, the gradients, slices on their way in; what it measures test images with.
        let arena = try TrainingNetwork.arenaByteCount(
            description: description, batch: configuration.train.batch, threads: configuration.cluster.threads,
            plan: configuration.engine.trainingPlan(description: description, batch: configuration.train.batch).plan)
        var evaluation = 0
        if configuration.eval.isOn {
            // The network without its backward, and a part's images, those of the next one on their way.
            let pixels = configuration.model.imageSize.timesSaturating(configuration.model.imageSize)
            let eval = configuration.eval
            let images = eval.imagesOfAPart.timesSaturating(eval.crops.rawValue).timesSaturating(
                pixels.timesSaturating(3 * MemoryLayout<Float>.stride))
            evaluation = try Predictor.byteCount(
                description: description, batch: TestImages.computedAtOnce(eval),
                threads: configuration.cluster.threads, planning: configuration.engine.planning
            ).plusSaturating(images.plusSaturating(vector))
        }
        worker = arena.plusSaturating(2 * vector + base).plusSaturating(evaluation)
        // A server's share of two versions of the weights, average, two slots, the sum; and what comes too early.
        let early = min(configuration.server.bufferBytes, configuration.train.ticketsPerStep.timesSaturating(vector))
        let cluster = configuration.cluster
        let replica = configuration.server.replicas * 6 * vector / cluster.servers
        server = 6 * vector / cluster.servers + replica + early + base / 4
        total = cluster.workers.timesSaturating(worker).plusSaturating(cluster.servers.timesSaturating(server))
        checkpoint = 4 * vector
    }
}
