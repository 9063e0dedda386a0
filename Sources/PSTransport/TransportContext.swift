// The one place that makes sockets: the process's ZeroMQ threads, its keys, and who answers for them.

import CZeroMQ
import Glibc

/// Whom a process's sockets that listen let in.
package enum Entrance: Sendable, Hashable {
    /// Whoever connects: to sockets in a directory that only this user may enter, or where none listens.
    case open
    /// Whoever connects, but from each address only so many a second who show nothing; see `Pace`.
    case paced
    /// Who has a key on the list.
    case keys
}

/// A process's ZeroMQ threads.
package final class TransportContext: @unchecked Sendable {
    // Sendable: ZeroMQ contexts are thread-safe, and so is the list.

    let handle: UnsafeMutableRawPointer
    /// Nil: whoever connects is let in.
    package let gatekeeper: Gatekeeper?

    /// Who answers for the entrance is there before any socket is bound.
    package init(_ entrance: Entrance = .open) throws(TransportError) {
        _ = TransportContext.keepsMemory
        guard let handle = zmq_ctx_new() else { throw TransportError("start ZeroMQ's threads") }
        self.handle = handle
        gatekeeper = entrance == .open ? nil : try Gatekeeper(context: handle, asksForKeys: entrance == .keys)
    }

    /// A message's memory comes from the allocator and goes back to it. Left to itself, the allocator gives it back to the
    /// kernel every time, which clears it anew for the next slice: a tenth of an exchange's time.
    private static let keepsMemory: Void = {
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 256 << 20)
    }()

    /// Waits until every socket is closed.
    deinit {
        // Ends the gatekeeper's wait; its thread closes the last socket.
        zmq_ctx_shutdown(handle)
        zmq_ctx_term(handle)
    }

    /// A socket that many peers connect to.
    ///
    /// - Parameters:
    ///   - largestMessage: a peer that sends a larger frame is disconnected.
    ///   - secretKey: the half of the pair that peers know the other half of; nil where no keys are asked for.
    package func listener(largestMessage: Int, secretKey: String? = nil) throws(TransportError) -> Socket {
        let socket = try Socket(.router, context: self, largestMessage: largestMessage)
        precondition(
            (secretKey != nil) == (gatekeeper?.asksForKeys ?? false), "a gatekeeper asks for keys, or does not")
        if gatekeeper != nil { try socket.ask(secretKey: secretKey) }
        try socket.watch()
        return socket
    }

    /// A socket that is connected to one peer.
    package func client(largestMessage: Int, keys: ClientKeys? = nil) throws(TransportError) -> Socket {
        let socket = try Socket(.dealer, context: self, largestMessage: largestMessage)
        if let keys { try socket.show(keys) }
        try socket.watch()
        return socket
    }
}

/// What a socket that connects shows and expects, in Z85.
package struct ClientKeys: Sendable, Hashable {
    /// The public half of the pair of who listens.
    package var serverKey: String
    package var publicKey: String
    package var secretKey: String

    package init(serverKey: String, publicKey: String, secretKey: String) {
        self.serverKey = serverKey
        self.publicKey = publicKey
        self.secretKey = secretKey
    }
}
