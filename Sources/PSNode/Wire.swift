// What a performer of effects needs around it: somewhere to send, and threads to work on. Sockets and threads in a
// process, the simulator's network and agenda in its tests.

import PSMessages
import PSTransport

/// Where a performer's messages go.
package protocol Wire: AnyObject {
    /// - Parameters:
    ///   - peer: on a wire with many peers, whose.
    ///   - values: those of a push or publish; not copied, so not to be written before the buffer is let go.
    /// - Returns: whether the peer exists. A message to a peer that is gone is dropped: requests are repeated.
    @discardableResult
    func send(_ envelope: Envelope, to peer: RoutingID?, values: Payload?) throws(TransportError) -> Bool
    var bytesSent: UInt64 { get }
    var bytesReceived: UInt64 { get }
    /// What came by the connection shows whose it is: it may cost more than a stranger's.
    func belongs(_ peer: RoutingID, to owner: Connections.Owner)
    /// What came by the connection is of no use: too much of that, and a stranger's is closed.
    func strike(_ peer: RoutingID, weight: Int)
    /// Closes a peer's connection.
    func cut(_ peer: RoutingID, because reason: String)
    /// Nothing is sent or received any more; what was sent last is given this long to leave.
    func close(lingerMilliseconds: Int)
}

/// How much a message in vain counts against a stranger; see `ConnectionLimits.strikes`.
package enum Strike {
    /// One that may be a member's on its way in, or an old one's.
    package static let word = 1
    /// Who speaks another version is told so, and need not hear it often.
    package static let otherVersion = 8
    /// No process of a job says that.
    package static let noMessage = 16
}

extension Wire {
    @discardableResult
    package func send(_ envelope: Envelope, to peer: RoutingID? = nil) throws(TransportError) -> Bool {
        try send(envelope, to: peer, values: nil)
    }
}

/// A thread that does one piece of work after the other, in the order they come.
package protocol WorkQueue: Sendable {
    func run(_ work: @escaping @Sendable () -> Void)
}

/// A message that has arrived.
package struct Received {
    /// The sender, on a wire with many peers.
    package let peer: RoutingID?
    /// The public key the sender showed, in Z85; nil in a job without keys.
    package let key: String?
    package let envelope: Result<Envelope, MessageError>
    /// The values of a push or publish.
    package let values: Frame?

    package init(
        peer: RoutingID?, key: String? = nil, envelope: Result<Envelope, MessageError>, values: Frame?
    ) {
        self.peer = peer
        self.key = key
        self.envelope = envelope
        self.values = values
    }

    /// What is wrong with a message that is none.
    package var problem: String {
        if case .failure(let error) = envelope { error.description } else { "nothing" }
    }
}
