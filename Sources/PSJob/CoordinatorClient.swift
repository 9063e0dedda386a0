// Asking a running coordinator: one message out, one answer back, within a deadline.

import Foundation
import PSCheckpoint
import PSCoordinator
import PSFiles
import PSMessages
import PSNode
import PSParameters
import PSProtocol
import PSRun
import PSTransport

package struct CoordinatorClient {
    private let link: Link
    private let incarnation: Incarnation
    private let coordinator: Incarnation

    package init(_ endpoints: Endpoints) throws(TransportError) {
        incarnation = UInt64.random(in: 1...UInt64.max)
        coordinator = endpoints.incarnation
        link = Link(try Socket(.dealer, context: TransportContext(), largestMessage: 8 << 20))
        var endpoint = endpoints.coordinator
        if let (host, port) = Addresses.parse(endpoint), Addresses.isEverywhere(host),
            endpoints.host != ProcessInfo.processInfo.hostName
        {
            endpoint = Addresses.endpoint(endpoints.host, port)
        }
        try Addresses.connect(link.socket, to: endpoint)
    }

    /// The coordinator of the run, if its files name one. That of the run which this one is a copy of is another's.
    package init?(run: RunDirectory) {
        guard let endpoints = Endpoints.read(from: run),
            !endpoints.areCopied(in: run, host: ProcessInfo.processInfo.hostName),
            let client = try? CoordinatorClient(endpoints)
        else { return nil }
        self = client
    }

    /// - Returns: the answer, or nil when none came in time.
    package func ask(_ message: Message, milliseconds: Int) throws(TransportError) -> Message? {
        // Answers to earlier questions that came too late.
        while try link.receive() != nil {}
        try link.send(
            Envelope(job: 0, generation: 0, source: incarnation, destination: coordinator, message: message))
        let deadline = MonotonicTime(milliseconds: MonotonicTime.now.milliseconds + milliseconds)
        while MonotonicTime.now < deadline {
            try Poller.wait(
                sockets: [link.socket], descriptors: [], milliseconds: max(1, deadline.since(.now)))
            if let received = try link.receive(), case .success(let envelope) = received.envelope,
                envelope.source == coordinator
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

/// A job that runs, as a person commands it.
package struct RunningJob {
    private let run: RunDirectory

    package init(run: RunDirectory) { self.run = run }

    /// - Returns: what the coordinator says it will do.
    package func request(_ control: Control) throws -> String {
        guard
            case .controlReply(let isTaken, let text)? = try CoordinatorClient(run: run)?.ask(
                .control(control), milliseconds: 3000)
        else {
            if let state = try? JobStatus.read(from: run)?.state, [.finished, .failed, .stopped].contains(state) {
                throw JobError.hasEnded(runDirectory: run.path, state: state.rawValue)
            }
            if Endpoints.read(from: run)?.areCopied(in: run, host: ProcessInfo.processInfo.hostName) ?? false {
                throw JobError.isCopy(runDirectory: run.path)
            }
            throw JobError.noAnswer(runDirectory: run.path)
        }
        guard isTaken else { throw JobError.requestDeclined(text) }
        return text
    }
}
