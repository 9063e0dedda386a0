// One ZeroMQ frame, received or to be sent.

import CZeroMQ
import Glibc

/// Memory that sent frames refer to without copying it; freed when the last frame and the last owner let go.
package final class SharedBuffer: @unchecked Sendable {
    // Sendable: who may write is settled by the owner (it writes only while no other reference exists).

    package let bytes: UnsafeMutableRawBufferPointer

    /// Aligned to 64 bytes, not initialized.
    package init(byteCount: Int) {
        bytes = .allocate(byteCount: max(byteCount, 1), alignment: 64)
    }

    /// Some of the bytes, alive inside the closure even if nobody else holds the buffer any more.
    package func withBytes<R, E: Error>(
        _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        defer { withExtendedLifetime(self) {} }
        return try body(UnsafeRawBufferPointer(rebasing: bytes[range]))
    }

    package var floats: UnsafeMutablePointer<Float> { bytes.baseAddress!.assumingMemoryBound(to: Float.self) }

    deinit { bytes.deallocate() }
}

/// A frame; used by one thread at a time. Its memory may be read by any thread while a reference is held.
package final class Frame: @unchecked Sendable {
    // Sendable: after receipt the message is only read, and zmq_msg_close in deinit runs once.

    let message: UnsafeMutablePointer<zmq_msg_t>

    private init() { message = .allocate(capacity: 1) }

    static func empty() -> Frame {
        let frame = Frame()
        zmq_msg_init(frame.message)
        return frame
    }

    /// Copies the bytes.
    package convenience init(_ bytes: [UInt8]) {
        self.init()
        zmq_msg_init_size(message, bytes.count)
        bytes.withUnsafeBytes { source in
            if let start = source.baseAddress { memcpy(zmq_msg_data(message), start, bytes.count) }
        }
    }

    /// Refers to `range` of the buffer's bytes; the buffer lives until ZeroMQ has sent them.
    package convenience init(sharing buffer: SharedBuffer, range: Range<Int>) {
        self.init()
        precondition(range.upperBound <= buffer.bytes.count)
        // The callback runs on a ZeroMQ thread: it drops a reference and does nothing else.
        zmq_msg_init_data(
            message, buffer.bytes.baseAddress! + range.lowerBound, range.count,
            { _, owner in Unmanaged<SharedBuffer>.fromOpaque(owner!).release() },
            Unmanaged.passRetained(buffer).toOpaque())
    }

    package var byteCount: Int { zmq_msg_size(message) }

    /// What ZeroMQ knows of how a received message came.
    func property(_ name: String) -> String? { zmq_msg_gets(message, name).map { String(cString: $0) } }

    /// The descriptor of the connection it came by.
    var descriptor: Int32? { property("__fd").flatMap { Int32($0) } }

    /// The bytes are valid inside the closure only: they go when the frame goes.
    package func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        defer { withExtendedLifetime(self) {} }
        return try body(UnsafeRawBufferPointer(start: zmq_msg_data(message), count: zmq_msg_size(message)))
    }

    /// The bytes as floats. ZeroMQ may hand out small frames at any address; those are copied to an aligned one.
    package func withFloats<R>(_ body: (UnsafePointer<Float>) -> R) -> R {
        withBytes { bytes in
            guard Int(bitPattern: bytes.baseAddress) % MemoryLayout<Float>.alignment != 0 else {
                return body(bytes.assumingMemoryBound(to: Float.self).baseAddress!)
            }
            let copy = SharedBuffer(byteCount: bytes.count)
            defer { withExtendedLifetime(copy) {} }
            copy.bytes.copyMemory(from: bytes)
            return body(copy.floats)
        }
    }

    deinit {
        zmq_msg_close(message)
        message.deallocate()
    }
}
