// Who answers ZeroMQ's question whether somebody may come in (ZAP, RFC 27): a thread with the list of keys, or one that
// lets in whoever comes, but not too many at once.

import CZeroMQ
import Foundation
import Glibc

/// A list of public keys, in Z85, that others change.
package protocol KeyList: Sendable {
    /// Tells one list from another.
    var stamp: [Int]? { get }
    /// Nil where it cannot be read.
    func read() -> Set<String>?
}

package final class Gatekeeper: @unchecked Sendable {
    // Sendable: what threads share is only touched under `lock`.

    /// A handshake that was refused.
    package struct Refused: Sendable, Hashable {
        /// The peer's address, without its port.
        package let address: String
        package let reason: Reason

        package enum Reason: Sendable, Hashable {
            /// The key it showed, in Z85, is not on the list.
            case key(String)
            case noKey
            /// Too many came from its address who showed nothing.
            case pace
        }
    }

    let asksForKeys: Bool

    private let lock = NSLock()
    private var keys: Set<String> = []
    private var pace = Pace()
    private var list: (any KeyList)?
    private var lastLook = (at: ContinuousClock.now, stamp: [Int]?.none)
    private var refused: [Refused] = []
    private var refusedCount = 0

    /// Bound before this returns.
    init(context: UnsafeMutableRawPointer, asksForKeys: Bool) throws(TransportError) {
        self.asksForKeys = asksForKeys
        guard let socket = zmq_socket(context, ZMQ_REP) else { throw TransportError("create a socket") }
        var none: Int32 = 0
        zmq_setsockopt(socket, ZMQ_LINGER, &none, MemoryLayout<Int32>.size)
        guard zmq_bind(socket, "inproc://zeromq.zap.01") == 0 else {
            let error = TransportError("answer for keys")
            zmq_close(socket)
            throw error
        }
        nonisolated(unsafe) let handle = socket
        // Held by its thread until the context ends, so that it outlives every socket that asks.
        let thread = Thread { [self] in serve(handle) }
        thread.name = "keys"
        thread.stackSize = 512 << 10
        thread.start()
    }

    /// Who is let in from now on, public keys in Z85. Connections that are there stay; what they say is checked anew.
    package func allow(_ keys: Set<String>) { lock.withLock { self.keys = keys } }

    /// Where to see whether a key that is not known was added a moment ago: whoever is refused does not come again. Read on
    /// this thread when it has changed, and ten times a second at most besides: on shared storage a change may not show.
    package func look(in list: any KeyList) { lock.withLock { self.list = list } }

    /// A connection that was let in without a key belongs to a member: it does not count as one that showed nothing.
    package func givesBack(_ address: String) {
        if asksForKeys { return }
        lock.withLock { pace.givesBack(address, at: .now) }
    }

    private func isAllowedNow(_ key: String) -> Bool {
        if isAllowed(key) { return true }
        guard let list = lock.withLock({ list }) else { return false }
        let stamp = list.stamp
        guard stamp != lastLook.stamp || lastLook.at.duration(to: .now) > .milliseconds(100) else { return false }
        lastLook = (.now, stamp)
        if let found = list.read() { allow(found) }
        return isAllowed(key)
    }

    package func isAllowed(_ key: String) -> Bool { lock.withLock { keys.contains(key) } }

    /// Handshakes refused since the last call: a few of them, and how many there were.
    package func takeRefused() -> (some: [Refused], count: Int) {
        lock.withLock {
            defer { (refused, refusedCount) = ([], 0) }
            return (refused, refusedCount)
        }
    }

    private func serve(_ socket: UnsafeMutableRawPointer) {
        defer { zmq_close(socket) }
        while let request = receive(socket) {
            // version, request id, domain, address, identity, mechanism, credentials
            let isRequest = request.count >= 6 && request[0] == Array("1.0".utf8)
            let mechanism = isRequest ? String(decoding: request[5], as: UTF8.self) : ""
            let credentials = request.count > 6 ? request[6] : []
            let address = isRequest ? String(decoding: request[3].prefix(64), as: UTF8.self) : ""
            let key = mechanism == "CURVE" && credentials.count == 32 ? Gatekeeper.z85(credentials) : ""
            let refusal = asksForKeys ? refusal(ofKey: key) : refusal(ofAddress: address)
            let isIn = isRequest && refusal == nil
            if let refusal {
                lock.withLock {
                    refusedCount += 1
                    if refused.count < 8 { refused.append(Refused(address: address, reason: refusal)) }
                }
            }
            let reply: [[UInt8]] = [
                Array("1.0".utf8), request.count > 1 ? request[1] : [], Array((isIn ? "200" : "400").utf8), [],
                Array((isIn ? key : "").utf8), [],
            ]
            guard send(reply, socket) else { return }
        }
    }

    private func refusal(ofKey key: String) -> Refused.Reason? {
        if key.isEmpty { return .noKey }
        return isAllowedNow(key) ? nil : .key(key)
    }

    private func refusal(ofAddress address: String) -> Refused.Reason? {
        lock.withLock { pace.lets(address, inAt: .now) } ? nil : .pace
    }

    /// Nil when the context ends.
    private func receive(_ socket: UnsafeMutableRawPointer) -> [[UInt8]]? {
        var frames: [[UInt8]] = []
        var message = zmq_msg_t()
        zmq_msg_init(&message)
        defer { zmq_msg_close(&message) }
        repeat {
            while zmq_msg_recv(&message, socket, 0) < 0 { if zmq_errno() != EINTR { return nil } }
            frames.append(
                Array(UnsafeRawBufferPointer(start: zmq_msg_data(&message), count: zmq_msg_size(&message))))
        } while zmq_msg_more(&message) != 0
        return frames
    }

    private func send(_ frames: [[UInt8]], _ socket: UnsafeMutableRawPointer) -> Bool {
        for (index, frame) in frames.enumerated() {
            let flags = index + 1 < frames.count ? ZMQ_SNDMORE : 0
            while zmq_send(socket, frame, frame.count, flags) < 0 { if zmq_errno() != EINTR { return false } }
        }
        return true
    }

    private static func z85(_ key: [UInt8]) -> String {
        var text = [CChar](repeating: 0, count: 41)
        guard zmq_z85_encode(&text, key, key.count) != nil else { return "" }
        return String(decoding: text.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
