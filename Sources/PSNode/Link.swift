// A socket that speaks envelopes: encodes what is sent, decodes what arrives, counts bytes.

import PSMessages
import PSTransport

/// Part of a shared buffer that travels as a message's values.
package struct Payload: Sendable {
    package let buffer: SharedBuffer
    /// Bytes of the buffer.
    package let range: Range<Int>

    package init(buffer: SharedBuffer, range: Range<Int>) {
        self.buffer = buffer
        self.range = range
    }

    package func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        buffer.withBytes(range, body)
    }
}

package final class Link: Wire {
    package let socket: Socket
    package private(set) var bytesSent: UInt64 = 0
    package private(set) var bytesReceived: UInt64 = 0

    package init(_ socket: Socket) { self.socket = socket }

    @discardableResult
    package func send(_ envelope: Envelope, to peer: RoutingID?, values: Payload?) throws(TransportError) -> Bool {
        let head = values?.withBytes { envelope.encoded(values: $0) } ?? envelope.encoded()
        var frames = [Frame(head)]
        if let values, !values.range.isEmpty { frames.append(Frame(sharing: values.buffer, range: values.range)) }
        guard try socket.send(frames, to: peer) == .sent else { return false }
        bytesSent += UInt64(head.count + (values?.range.count ?? 0))
        return true
    }

    package var isClosed: Bool { socket.isClosed }

    package func close(lingerMilliseconds: Int) { socket.close(lingerMilliseconds: lingerMilliseconds) }

    package func receive() throws(TransportError) -> Received? {
        guard let (peer, frames) = try socket.receive() else { return nil }
        bytesReceived += frames.reduce(0) { $0 + UInt64($1.byteCount) }
        let values = frames.count == 2 ? frames[1] : nil
        let envelope: Result<Envelope, MessageError>
        if (1...2).contains(frames.count) {
            do throws(MessageError) {
                envelope = .success(
                    try frames[0].withBytes { (head) throws(MessageError) in
                        try Envelope.decode(head, payloadCount: values?.byteCount ?? 0)
                    })
            } catch {
                envelope = .failure(error)
            }
        } else {
            envelope = .failure(.malformed("\(frames.count) frames, where a message has one or two"))
        }
        return Received(peer: peer, envelope: envelope, values: values)
    }
}

/// The largest frame of a slice, its head included: one row of a tensor may be larger than a slice's usual limit.
package let largestSliceMessage = 32 << 20
