// The head of a message whose payload travels in a second frame: found to be consistent with that payload, then
// rewritten as a complete message without `values`, so that protobuf-c can unpack it.

/// - Returns: the bytes of the same message without `values`, or what is wrong with the head.
func headWithoutValues(_ head: UnsafeRawBufferPointer, payloadCount: Int) -> Result<[UInt8], MessageError> {
    /// A level's start and the position of its tag, in `head`.
    var openings: [(number: UInt64, tag: Int, content: Int)] = []
    var reader = WireReader(head)
    let total = UInt64(head.count) + UInt64(payloadCount)
    // Envelope.replica = 97, .push = 98 or .publish = 99, then slice = 15, then values = 15.
    for fields in [97...99, 15...15, 15...15] as [ClosedRange<UInt64>] {
        while true {
            let tagPosition = reader.position
            guard let tag = reader.varint() else {
                return .failure(.malformed("the first of two frames does not end in a slice's values"))
            }
            if tag & 7 == 2, fields.contains(tag >> 3) {
                // Bounded before it is added to anything: the length is whatever a peer wrote.
                guard let length = reader.varint(), length <= UInt64(Int32.max),
                    UInt64(reader.position) + length == total
                else {
                    return .failure(
                        .malformed("a declared length does not end where the payload of \(payloadCount) bytes ends"))
                }
                openings.append((tag >> 3, tagPosition, reader.position))
                break
            }
            guard reader.skip(wireType: tag & 7) else {
                return .failure(.malformed("a field of the first frame runs past its end"))
            }
        }
    }
    guard reader.position == head.count else {
        return .failure(.malformed("bytes stand between a slice's length and its payload"))
    }

    // Innermost first: each level is the bytes of its own fields, then the level below.
    let slice = Array(head[openings[1].content..<openings[2].tag])
    let carrier = Array(head[openings[0].content..<openings[1].tag]) + field(15, slice)
    return .success(Array(head[0..<openings[0].tag]) + field(openings[0].number, carrier))
}

func tagBytes(_ number: UInt64) -> [UInt8] { varintBytes(number << 3 | 2) }

func field(_ number: UInt64, _ content: [UInt8]) -> [UInt8] {
    tagBytes(number) + varintBytes(UInt64(content.count)) + content
}

func varintBytes(_ value: UInt64) -> [UInt8] {
    var rest = value
    var bytes: [UInt8] = []
    while rest >= 0x80 {
        bytes.append(UInt8(rest & 0x7F) | 0x80)
        rest >>= 7
    }
    return bytes + [UInt8(rest)]
}
