// Swift values -> the C structures of protobuf-c, and those -> bytes.

import CMessages
import PSParameters

/// Memory for one message's C structures, freed together by `free`, after their last use.
struct Arena: ~Copyable {
    private var blocks: [UnsafeMutableRawPointer] = []

    mutating func new<T>(_ initialize: (UnsafeMutablePointer<T>) -> Void) -> UnsafeMutablePointer<T> {
        let pointer = allocate(T.self, 1)
        initialize(pointer)
        return pointer
    }

    mutating func allocate<T>(_: T.Type, _ count: Int) -> UnsafeMutablePointer<T> {
        let raw = UnsafeMutableRawPointer.allocate(
            byteCount: max(1, count * MemoryLayout<T>.stride), alignment: MemoryLayout<T>.alignment)
        blocks.append(raw)
        return raw.bindMemory(to: T.self, capacity: count)
    }

    /// - Parameter field: message and name. A text for people is cut to what the field holds, so that it arrives; any
    ///   other would mean something else, and is left for the receiver to refuse.
    mutating func string(_ text: String, _ field: String) -> UnsafeMutablePointer<CChar> {
        guard let limit = MessageLimits.texts[field] else { preconditionFailure("no limit for \(field)") }
        let text = limit.isForPeople ? text.cut(toBytes: limit.bytes) : text
        let bytes = Array(text.utf8).filter { $0 != 0 }
        let pointer = allocate(CChar.self, bytes.count + 1)
        for (index, byte) in bytes.enumerated() { pointer[index] = CChar(bitPattern: byte) }
        pointer[bytes.count] = 0
        return pointer
    }

    mutating func array<S: Sequence, T>(_ values: S) -> (Int, UnsafeMutablePointer<T>) where S.Element == T {
        let values = Array(values)
        let pointer = allocate(T.self, values.count)
        pointer.initialize(from: values, count: values.count)
        return (values.count, pointer)
    }

    mutating func free() {
        for block in blocks { block.deallocate() }
        blocks = []
    }
}

extension Arena {
    mutating func contribution(_ contribution: Contribution) -> UnsafeMutablePointer<Ps__Contribution> {
        let m: UnsafeMutablePointer<Ps__Contribution> = new(ps__contribution__init)
        m.pointee.ticket = contribution.attempt.ticket.number
        m.pointee.attempt = contribution.attempt.number
        m.pointee.loss = contribution.loss
        m.pointee.correct = UInt32(contribution.correct)
        m.pointee.samples = UInt32(contribution.samples)
        m.pointee.norm = contribution.norm
        m.pointee.seconds = contribution.seconds
        m.pointee.data_seconds = contribution.dataSeconds
        (m.pointee.n_replaced, m.pointee.replaced) = array(contribution.replaced ?? [])
        return m
    }

    mutating func prepare(_ step: Step, _ attempts: [Attempt]) -> UnsafeMutablePointer<Ps__Prepare> {
        let m: UnsafeMutablePointer<Ps__Prepare> = new(ps__prepare__init)
        m.pointee.step = step.number
        (m.pointee.n_tickets, m.pointee.tickets) = array(attempts.map(\.ticket.number))
        (m.pointee.n_attempts, m.pointee.attempts) = array(attempts.map(\.number))
        return m
    }

    mutating func commit(_ commit: Commit) -> UnsafeMutablePointer<Ps__Commit> {
        let m: UnsafeMutablePointer<Ps__Commit> = new(ps__commit__init)
        m.pointee.step = commit.step.number
        m.pointee.scale = commit.scale.bitPattern
        m.pointee.learning_rate = commit.learningRate.bitPattern
        m.pointee.average_decay = commit.averageDecay.bitPattern
        m.pointee.skip = commit.skip ? 1 : 0
        return m
    }

    mutating func server(_ server: ServerAddress) -> UnsafeMutablePointer<Ps__Members__Server> {
        let m: UnsafeMutablePointer<Ps__Members__Server> = new(ps__members__server__init)
        m.pointee.endpoint = string(server.endpoint, "Members.Server.endpoint")
        m.pointee.incarnation = server.incarnation
        m.pointee.public_key = string(server.publicKey, "Members.Server.public_key")
        m.pointee.rank = UInt32(server.rank)
        return m
    }

    mutating func slice(
        _ header: SliceHeader, _ values: UnsafeRawBufferPointer
    ) -> UnsafeMutablePointer<Ps__Slice> {
        let m: UnsafeMutablePointer<Ps__Slice> = new(ps__slice__init)
        m.pointee.index = UInt32(header.index)
        m.pointee.version = header.version.number
        if !values.isEmpty {
            m.pointee.values.len = values.count
            // protobuf-c only reads it: the address tells the head buffer which bytes to leave out.
            m.pointee.values.data = UnsafeMutablePointer(
                mutating: values.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
        return m
    }
}

/// The bytes that protobuf-c makes of a message.
///
/// - Parameter values: what follows the head, left out of what is returned.
func packed<T>(_ message: UnsafeMutablePointer<T>, less values: UnsafeRawBufferPointer) -> [UInt8] {
    message.withMemoryRebound(to: ProtobufCMessage.self, capacity: 1) { message in
        let size = protobuf_c_message_get_packed_size(message) - values.count
        return [UInt8](unsafeUninitializedCapacity: size) { bytes, count in
            var buffer = PsHeadBuffer()
            ps_head_buffer_init(
                &buffer, bytes.baseAddress, size,
                values.isEmpty ? nil : values.baseAddress?.assumingMemoryBound(to: UInt8.self))
            _ = withUnsafeMutablePointer(to: &buffer) { pointer in
                pointer.withMemoryRebound(to: ProtobufCBuffer.self, capacity: 1) { base in
                    protobuf_c_message_pack_to_buffer(message, base)
                }
            }
            precondition(buffer.count == size, "protobuf-c packed \(buffer.count) bytes, not \(size)")
            count = size
        }
    }
}
