// Asking a running coordinator: one message out, one answer back, within a deadline.

import Foundation
import PSCheckpoint
import PSCoordinator
import PSFiles
import PSKeys
import PSMessages
import PSNode
import PSParameters
import PSProofs
import PSProtocol
import PSRun
import PSTransport

package struct CoordinatorClient {
    private let link: Link
    private let incarnation: Incarnation
    /// 0: whoever has the other half of the key.
    private let coordinator: Incarnation
    private let joining: JoinOptions?
    /// Of the run of a job without keys, where this person may read it.
    private let runKey: RunKey?

    /// By a person's key alone, from wherever the coordinator can be reached.
    package init(_ joining: JoinOptions) throws(TransportError) {
        incarnation = UInt64.random(in: 1...UInt64.max)
        coordinator = 0
        self.joining = joining
        runKey = nil
        link = Link(
            try TransportContext().client(largestMessage: largestControlMessage, keys: joining.file?.clientKeys))
        try Addresses.connect(link.socket, to: joining.coordinator)
    }

    /// Why there is no answer, as far as it is known.
    package var refusal: String? { joining?.refusal(of: link) }
    package var hint: String { joining?.hint(of: link) ?? "" }

    /// - Parameters:
    ///   - key: of a person, in a job with keys.
    ///   - runKey: of the run, in a job without; needed to command the job.
    package init(_ endpoints: Endpoints, key: JoinFile? = nil, runKey: RunKey? = nil) throws(TransportError) {
        self.runKey = runKey
        incarnation = UInt64.random(in: 1...UInt64.max)
        coordinator = endpoints.incarnation
        joining = nil
        link = Link(try TransportContext().client(largestMessage: largestControlMessage, keys: key?.clientKeys))
        var endpoint = endpoints.coordinator
        if let (host, port) = Addresses.parse(endpoint), Addresses.isEverywhere(host),
            endpoints.host != ProcessInfo.processInfo.hostName
        {
            endpoint = Addresses.endpoint(endpoints.host, port)
        }
        try Addresses.connect(link.socket, to: endpoint)
    }

    /// The coordinator of the run, if its files name one. That of the run which this one is a copy of is another's.
    ///
    /// - Throws: where it asks for keys, and this person's cannot be read.
    package static func find(_ run: RunDirectory) throws -> CoordinatorClient? {
        guard let endpoints = Endpoints.read(from: run),
            !endpoints.areCopied(in: run, host: ProcessInfo.processInfo.hostName), !endpoints.isElsewhere
        else { return nil }
        guard endpoints.usesKeys ?? false else { return try? CoordinatorClient(endpoints, runKey: try? run.readKey()) }
        let file = KeyDirectory(run.keys).joinFile(of: KeyRole.operator.rawValue)
        return try? CoordinatorClient(endpoints, key: JoinFile.read(file, as: .operator, .viewer))
    }

    /// - Returns: the answer, or nil when none came in time.
    package func ask(_ message: Message, milliseconds: Int) throws(TransportError) -> Message? {
        // Answers to earlier questions that came too late.
        while try link.next() != nil {}
        var question = Envelope(job: 0, generation: 0, source: incarnation, destination: coordinator, message: message)
        if case .control = message, let runKey {
            question.proof = runKey.controlProof(coordinator: coordinator, person: incarnation)
        }
        let deadline = MonotonicTime(milliseconds: MonotonicTime.now.milliseconds + milliseconds)
        // A question that was sent before would be lost with a connection that is turned away.
        var isSent = false
        while MonotonicTime.now < deadline, refusal == nil {
            if !isSent, link.downSince == nil { isSent = try link.send(question) }
            try Poller.wait(
                sockets: [link.socket], descriptors: [],
                milliseconds: isSent ? min(100, max(1, deadline.since(.now))) : 5)
            if case .message(let received)? = try link.next(), case .success(let envelope) = received.envelope,
                coordinator == 0 || envelope.source == coordinator
            {
                return envelope.message
            }
        }
        return nil
    }

    package func status(milliseconds: Int) throws(TransportError) -> JobStatus? {
        guard case .status(let json)? = try ask(.statusRequest, milliseconds: milliseconds) else { return nil }
        return try? JSON.decode(JobStatus.self, from: json.utf8)
    }
}

extension Endpoints {
    /// Whether the coordinator's socket is in a directory that this user may not enter.
    var isAnotherUsers: Bool {
        guard SocketDirectory.isEndpoint(coordinator), !isElsewhere else { return false }
        return access(String(coordinator.dropFirst("ipc://".count)), W_OK) != 0 && errno == EACCES
    }

    /// Whether only processes of another machine reach the coordinator.
    fileprivate var isElsewhere: Bool {
        SocketDirectory.isEndpoint(coordinator) && host != ProcessInfo.processInfo.hostName
    }
}

/// A job that is reached by a person's key alone.
package struct RemoteJob {
    private let client: CoordinatorClient
    private let joining: JoinOptions
    /// Its address.
    package var coordinator: String { joining.coordinator }

    /// - Parameter path: of the person's join file.
    package init(path: String) throws {
        joining = try JoinOptions(coordinator: nil, file: JoinFile.read(path, as: .operator, .viewer), of: path)
        client = try CoordinatorClient(joining)
    }

    /// A job that runs and its processes know the coordinator's key that they were started with.
    package static func checkNoneRuns(in run: RunDirectory) throws {
        guard let status = try? CoordinatorClient.find(run)?.status(milliseconds: 1000),
            ![.finished, .failed, .stopped].contains(status.state)
        else { return }
        throw JobError.requestDeclined(
            "the job of \(run.path) runs, and nobody could speak with it by another key: stop it first, with psctl stop "
                + "--run-dir \(run.path), and go on with --resume last behind the coordinator")
    }

    package func status() throws -> JobStatus {
        guard let status = try client.status(milliseconds: 5000) else { throw noAnswer }
        return status
    }

    package func request(_ control: Control) throws -> String {
        if joining.file?.role == .viewer {
            throw JobError.requestDeclined("a viewer's key may look only: an operator's is needed for that")
        }
        guard case .controlReply(let isTaken, let text)? = try client.ask(.control(control), milliseconds: 5000) else {
            throw noAnswer
        }
        guard isTaken else { throw JobError.requestDeclined(text) }
        return text
    }

    private var noAnswer: JobError {
        .requestDeclined(
            client.refusal ?? "the coordinator \(joining.coordinator) does not answer within 5 s\(client.hint)")
    }
}

/// A job that runs, as a person commands it.
package struct RunningJob {
    private let run: RunDirectory

    package init(run: RunDirectory) { self.run = run }

    /// - Returns: what the coordinator says it will do.
    package func request(_ control: Control) throws -> String {
        if let endpoints = Endpoints.read(from: run), endpoints.isElsewhere {
            throw JobError.isElsewhere(host: endpoints.host)
        }
        guard
            case .controlReply(let isTaken, let text)? = try CoordinatorClient.find(run)?.ask(
                .control(control), milliseconds: 3000)
        else {
            if let state = try? JobStatus.read(from: run)?.state, [.finished, .failed, .stopped].contains(state) {
                throw JobError.hasEnded(runDirectory: run.path, state: state.rawValue)
            }
            if Endpoints.read(from: run)?.areCopied(in: run, host: ProcessInfo.processInfo.hostName) ?? false {
                throw JobError.isCopy(runDirectory: run.path)
            }
            if Endpoints.read(from: run)?.usesKeys != true {
                do { _ = try run.readKey() } catch {
                    throw JobError.requestDeclined("only who may read the run's secret commands its job: \(error)")
                }
            }
            throw JobError.noAnswer(runDirectory: run.path)
        }
        guard isTaken else { throw JobError.requestDeclined(text) }
        return text
    }
}
