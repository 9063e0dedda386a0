// Bytes that are no message: unknown and repeated fields, wrong types, lengths past the end, texts that are none.

import Testing

@testable import PSMessages

@Test func aMessageByHandIsRead() throws {
    let envelope = try decoded(Wire.envelope(20, []))
    #expect(envelope.message == .want)
    #expect((envelope.job, envelope.generation, envelope.term) == (7, 1, 1))
    #expect((envelope.source, envelope.destination) == (11, 12))
}

/// Field numbers are those of Proto/parameter_server.proto.
@Test func whatNoMessageHasIsRefused() {
    let want = Wire.bytes(20, [])
    let cases: [(bytes: [UInt8], mistake: String)] = [
        (Wire.names + Wire.number(9, 1) + want, "Envelope has no field 9"),
        (Wire.names + Wire.number(0, 1) + want, "Envelope has no field 0"),
        (Wire.names + Wire.number(1 << 28, 1) + want, "Envelope has no field 268435456"),
        (Wire.names + Wire.number(1 << 60, 1) + want, "Envelope has no field 1152921504606846976"),
        (Wire.envelope(20, Wire.number(1, 1)), "Want has no field 1"),
        (Wire.envelope(98, Wire.bytes(15, Wire.number(3, 1))), "Slice has no field 3"),
        (Wire.names + Wire.number(1, UInt64(protocolVersion)) + want, "Envelope.protocol comes twice"),
        (Wire.names + want + want, "Envelope.want comes twice"),
        (Wire.names + want + Wire.bytes(32, []), "Envelope.took is a second body"),
        (Wire.envelope(13, Wire.text(3, "a") + Wire.text(3, "b")), "Heartbeat.activity comes twice"),
        (Wire.envelope(10, Wire.bytes(10, []) + Wire.bytes(10, [])), "Hello.last_commit comes twice"),
        (Wire.names + Wire.number(20, 0), "Envelope.want is of wire type 0"),
        (Wire.envelope(13, Wire.fixed64(1, UInt64(1))), "Heartbeat.bytes_sent is of wire type 1"),
        (Wire.names + [20 << 3 & 0x7F | 0x80 | 3, 1] + want, "Envelope.want is of wire type 3"),
        // A list of numbers comes in one piece, as every program of ours writes it.
        (Wire.envelope(30, Wire.number(2, 1)), "Pull.slices is of wire type 0"),
        (Wire.envelope(30, Wire.bytes(2, [1]) + Wire.bytes(2, [2])), "Pull.slices comes twice"),
        (Wire.envelope(30, Wire.bytes(2, [0x80])), "Pull.slices runs past its end"),
        (Wire.envelope(43, Wire.bytes(4, [1, 2, 3])), "Prepared.squared_norms runs past its end"),
        (Wire.envelope(32, [0x08]), "Took.ticket runs past its end"),
        (Wire.envelope(32, [0x80]), "Took runs past its end"),
        (Wire.envelope(32, [0x08] + Array(repeating: 0xFF, count: 9) + [2]), "Took.ticket runs past its end"),
        (Wire.envelope(13, [0x1A, 2, 0x61]), "Heartbeat.activity runs past its end"),
        (Wire.envelope(13, Wire.bytes(3, [0x61, 0])), "Heartbeat.activity is no text in UTF-8 without NUL"),
        (Wire.envelope(13, Wire.bytes(3, [0xC3])), "Heartbeat.activity is no text in UTF-8 without NUL"),
        (Wire.envelope(13, Wire.bytes(3, [0xC0, 0x80])), "Heartbeat.activity is no text in UTF-8 without NUL"),
        (Wire.envelope(13, Wire.bytes(3, [0xED, 0xA0, 0x80])), "Heartbeat.activity is no text in UTF-8 without NUL"),
        (Wire.envelope(32, Wire.number(3, 1 << 32)), "Took.slice is 4294967296, more than 4294967295"),
        (Wire.envelope(43, Wire.number(2, 2)), "Prepared.finite is 2, more than 1"),
        (
            Wire.envelope(49, Wire.number(3, .max)),
            "Failed.what is 18446744073709551615, more than 2147483647"
        ),
        (Wire.names, "an envelope without a known body (0)"),
        (Wire.envelope(98, []), "a body without content"),
        (Wire.envelope(98, Wire.bytes(15, Wire.bytes(15, [1, 2, 3, 4]))), "Slice.values has 4 bytes, more than 0"),
    ]
    for (bytes, expected) in cases { #expect(mistake(in: bytes) == expected) }
}

/// Other versions have other fields, so their messages are named before anything else about them is.
@Test func anotherVersionIsNamedWhateverItsFieldsAre() {
    let others: [[UInt8]] = [
        Wire.number(1, 99) + Wire.number(9, 1) + Wire.bytes(200, [1]),
        Wire.number(1, 99) + [0xFF],
        Wire.fixed64(2, UInt64(1)) + Wire.number(1, 99) + Wire.number(1, UInt64(protocolVersion)),
    ]
    for bytes in others {
        for payload in [0, 4] {
            #expect(throws: MessageError.protocolVersion(99)) { try decoded(bytes, payloadCount: payload) }
        }
    }
    #expect(throws: MessageError.protocolVersion(.max)) { try decoded(Wire.number(1, .max)) }
    // None at all: a program of long ago, or none of ours.
    #expect(throws: MessageError.protocolVersion(0)) { try decoded([]) }
    #expect(throws: MessageError.protocolVersion(0)) { try decoded(Wire.number(3, 1)) }
    for cut: [UInt8] in [[0x08], [0x80], [0x10], [0x12, 5, 1]] {
        #expect(throws: MessageError.self, "no version was read") { try decoded(cut) }
        #expect(!mistake(in: cut).contains("version"))
    }
}

/// Eight megabytes of fields that protobuf-c would keep, an allocation each: all are refused at the first.
@Test func millionsOfUnknownFieldsAreRefused() {
    let unknown = Array(repeatElement(Wire.number(9, 1), count: 4 << 20).joined())
    #expect(mistake(in: Wire.names + unknown) == "Envelope has no field 9")
    #expect(mistake(in: unknown + Wire.names) == "Envelope has no field 9")
    #expect(mistake(in: Wire.envelope(13, unknown)) == "Heartbeat has no field 9")
    #expect(throws: MessageError.protocolVersion(0)) { try decoded(unknown) }
    // Nor is any field a way around that.
    let empty = Array(repeatElement(Wire.bytes(1, []), count: 4 << 20).joined())
    #expect(mistake(in: Wire.envelope(14, empty)) == "Members.servers has more than 65536 elements")
    #expect(mistake(in: Wire.envelope(51, empty)) == "Leave.text comes twice")
}

/// The tag of `push`, written longer than it need be, is no `publish`.
@Test func aTagMayBeWrittenLong() throws {
    // Ticket 2; slice 3, whose lengths count the four bytes of the second frame.
    let slice = Wire.number(1, 3) + [15 << 3 | 2, 4]
    let carrier = Wire.number(1, 2) + [15 << 3 | 2, UInt8(slice.count + 4)] + slice
    let long = Wire.names + [0x92, 0x86, 0x00, UInt8(carrier.count + 4)] + carrier
    let envelope = try decoded(long, payloadCount: 4)
    guard case .push(let attempt, let header) = envelope.message else {
        Issue.record("\(envelope.message)")
        return
    }
    #expect((attempt.ticket, header.index) == (2, 3))
}
