// Inputs for the fuzzer: messages of every kind with likely and extreme values, from protobuf-c's descriptors, and then
// flipped, cut and mixed.

import CMessages
import PSParameters

@testable import PSMessages

struct Input {
    var head: [UInt8]
    /// Bytes of the second frame; 0: there is none.
    var payloadBytes = 0
}

struct Inputs {
    private let random: CounterRandom
    private var counter: UInt64 = 0
    /// Bodies of an envelope by their field's number.
    private let bodies: [(number: UInt64, name: String, descriptor: Descriptor)] =
        fields(of: ps__envelope__descriptor).filter { $0.type == PROTOBUF_C_TYPE_MESSAGE }.map {
            (UInt64($0.id), String(cString: $0.name), inner($0))
        }
    private static let moves: [Door: String] = [
        .coordinator: "hello", .serverFromCoordinator: "reset", .workerFromCoordinator: "members",
        .serverFromServers: "replica",
    ]
    private var earlier: [Input] = []

    init(seed: UInt64) { random = CounterRandom(seed: seed, name: "fuzz") }

    // MARK: Draws

    mutating func below(_ bound: Int) -> Int {
        counter += 1
        return random.integer(counter, below: bound)
    }

    mutating func happens(oneIn count: Int) -> Bool { below(count) == 0 }

    mutating func pick<T>(_ from: [T]) -> T { from[below(from.count)] }

    private static let extremes: [UInt64] = [
        0, 1, 2, 3, 255, 1 << 16 - 1, 1 << 16, 1 << 20, 1 << 31 - 1, 1 << 31, 1 << 31 + 1, 1 << 32 - 1, 1 << 32,
        1 << 53 - 1, 1 << 53, 1 << 62, 1 << 63 - 1, 1 << 63, .max,
    ]
    private static let extremeDoubles: [Double] = [
        0, -0.0, 1, -1, .nan, .infinity, -.infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude,
    ]
    private static let extremeTexts: [[UInt8]] = [
        [], Array("a".utf8), [0], [0xFF, 0xFE], [0xC3], Array("../../etc/passwd".utf8), Array("/".utf8),
        Array("\u{1B}[31m\r\n\u{202E}".utf8), Array("%s%n".utf8), Array("tcp://h:0".utf8), Array("é".utf8),
        Array(repeating: UInt8(ascii: "x"), count: 255), Array(repeating: UInt8(ascii: "x"), count: 5000),
        Array("nan".utf8),
    ]

    // MARK: Inputs

    /// An input for the machine behind a door.
    mutating func next(for door: Door, _ machines: Machines) -> Input {
        var input = message(for: door, machines)
        switch below(8) {
        case 0: flip(&input)
        case 1: input.head.removeLast(below(input.head.count + 1))
        case 2: splice(&input)
        case 3 where happens(oneIn: 4):
            let at = below(input.head.count + 1)
            input.head.insert(contentsOf: varintBytes(pick(Self.extremes) << 3) + [1], at: at)
        default: break
        }
        if happens(oneIn: 50) { input.payloadBytes = pick([0, 1, 4, 1 << 20, .max >> 1]) }
        if earlier.count < 100 { earlier.append(input) } else { earlier[below(100)] = input }
        return input
    }

    private mutating func flip(_ input: inout Input) {
        guard !input.head.isEmpty else { return }
        for _ in 0..<1 + below(4) { input.head[below(input.head.count)] ^= 1 << UInt8(below(8)) }
    }

    /// The beginning of one and the end of another.
    private mutating func splice(_ input: inout Input) {
        guard let other = earlier.isEmpty ? nil : pick(earlier) else { return }
        input.head = input.head.prefix(below(input.head.count + 1)) + other.head.suffix(below(other.head.count + 1))
    }

    private mutating func message(for door: Door, _ machines: Machines) -> Input {
        // A third could be honest; a third have a value or two that could not.
        let strange = pick([0, 0.1, 0.4] as [Float])
        // What moves a machine to another place comes more often.
        let name = happens(oneIn: 8) ? Self.moves[door] : nil
        let body = bodies.first { $0.name == name } ?? pick(bodies)
        let (generation, version) = machines.position(door)
        let likely = Likely(attempt: pick(machines.attempts), version: version.number)
        let sources: [Incarnation]
        let destination: Incarnation
        switch door {
        case .coordinator:
            (sources, destination) = (Names.servers + Names.workers + Names.strangers, Names.coordinator)
        case .serverFromCoordinator: (sources, destination) = ([Names.coordinator], Names.servers[0])
        case .serverFromWorkers: (sources, destination) = (Names.workers + Names.strangers, Names.servers[0])
        case .serverFromServers: (sources, destination) = ([Names.servers[1]], Names.servers[0])
        case .workerFromCoordinator: (sources, destination) = ([Names.coordinator], Names.workers[0])
        case .workerFromServers: (sources, destination) = (Names.servers, Names.workers[0])
        }
        // Orders of a new generation are obeyed from the beginning.
        let newer = UInt64(generation) + (happens(oneIn: 8) ? 1 : 0)
        var head = varintBytes(1 << 3) + varintBytes(happens(oneIn: 100) ? 4 : UInt64(protocolVersion))
        head += fixed64(2, happens(oneIn: 30) ? pick([0, 78]) : Names.job)
        head += varintBytes(3 << 3) + varintBytes(happens(oneIn: 15) ? pick(Self.extremes) : newer)
        head += varintBytes(4 << 3) + varintBytes(happens(oneIn: 200) ? pick(Self.extremes) : UInt64(below(2)))
        head += fixed64(5, happens(oneIn: 30) ? pick(Self.extremes) : pick(sources))
        head += fixed64(6, happens(oneIn: 20) ? pick(Self.extremes) : destination)
        // A slice travels beside its head.
        guard ["push", "publish", "replica"].contains(body.name), !happens(oneIn: 10) else {
            return Input(head: head + field(body.number, content(body.descriptor, strange, likely)))
        }
        let slice = content(ps__slice__descriptor, strange, likely)
        let index = slice.count > 1 && slice[0] == 8 ? Int(slice[1]) : 0
        let payload = happens(oneIn: 20) ? 1 + below(300) : Machines.bytes(ofSlice: index)
        let tail = slice + tagBytes(15) + varintBytes(UInt64(payload))
        let carrier =
            fieldsBefore(sliceOf: body.name, likely, strange) + tagBytes(15)
            + varintBytes(UInt64(tail.count + payload)) + tail
        return Input(
            head: head + tagBytes(body.number) + varintBytes(UInt64(carrier.count + payload)) + carrier,
            payloadBytes: payload)
    }

    private mutating func isStrange(_ share: Float) -> Bool {
        counter += 1
        return random.uniform(counter) < share
    }

    private mutating func fieldsBefore(sliceOf name: String, _ likely: Likely, _ strange: Float) -> [UInt8] {
        switch name {
        case "push": return numbers(likely, strange)
        case "replica":
            // A sum as often as a part of a state.
            let content = UInt64(happens(oneIn: 2) ? 0 : 1 + below(5))
            return (content == 0 ? [] : varintBytes(1 << 3) + varintBytes(content)) + varintBytes(2 << 3)
                + varintBytes(content == 0 ? 0 : isStrange(strange) ? pick(Self.extremes) : UInt64(below(4)))
        default: return []
        }
    }

    private mutating func numbers(_ likely: Likely, _ strange: Float) -> [UInt8] {
        let isLikely = !isStrange(strange)
        return varintBytes(1 << 3) + varintBytes(isLikely ? likely.attempt.ticket.number : pick(Self.extremes))
            + varintBytes(2 << 3) + varintBytes(isLikely ? likely.attempt.number : pick(Self.extremes))
    }

    // MARK: Fields

    private typealias Descriptor = ProtobufCMessageDescriptor

    /// Values of the job at hand.
    private struct Likely {
        var attempt: Attempt
        var version: UInt64
    }

    private static func fields(of descriptor: Descriptor) -> [ProtobufCFieldDescriptor] {
        Array(UnsafeBufferPointer(start: descriptor.fields, count: Int(descriptor.n_fields)))
    }

    private static func inner(_ field: ProtobufCFieldDescriptor) -> Descriptor {
        field.descriptor.assumingMemoryBound(to: Descriptor.self).pointee
    }

    private mutating func content(_ descriptor: Descriptor, _ strange: Float, _ likely: Likely) -> [UInt8] {
        var bytes: [UInt8] = []
        // Lists of one message that belong together are of one length.
        let count = isStrange(strange) ? pick([0, 1, 5, 300]) : below(3)
        for one in Self.fields(of: descriptor) {
            if isStrange(strange / 2) { continue }
            let isValueLikely = !isStrange(strange)
            let number = UInt64(one.id)
            let isRepeated = one.label == PROTOBUF_C_LABEL_REPEATED
            switch one.type {
            case PROTOBUF_C_TYPE_MESSAGE:
                if !isRepeated, happens(oneIn: 2) { continue }
                for _ in 0..<(isRepeated ? count : 1) {
                    bytes += field(number, content(Self.inner(one), strange, likely))
                }
            case PROTOBUF_C_TYPE_STRING:
                bytes += field(number, isValueLikely ? text(String(cString: one.name)) : pick(Self.extremeTexts))
            case PROTOBUF_C_TYPE_BYTES:
                if !isValueLikely { bytes += field(number, pick(Self.extremeTexts)) }
            default:
                let isFixed = [
                    PROTOBUF_C_TYPE_FIXED32, PROTOBUF_C_TYPE_FIXED64, PROTOBUF_C_TYPE_DOUBLE,
                ].contains(one.type)
                if isRepeated {
                    var elements: [UInt8] = []
                    for _ in 0..<count { elements += value(one, isValueLikely, likely) }
                    bytes += field(number, elements)
                } else {
                    let wireType: UInt64 = !isFixed ? 0 : one.type == PROTOBUF_C_TYPE_FIXED32 ? 5 : 1
                    bytes += varintBytes(number << 3 | wireType) + value(one, isValueLikely, likely)
                }
            }
        }
        return bytes
    }

    private mutating func value(_ one: ProtobufCFieldDescriptor, _ isLikely: Bool, _ likely: Likely) -> [UInt8] {
        let name = String(cString: one.name)
        switch one.type {
        case PROTOBUF_C_TYPE_DOUBLE:
            let value = isLikely ? Double(below(5)) / 2 : pick(Self.extremeDoubles)
            return little(value.bitPattern, 8)
        case PROTOBUF_C_TYPE_FIXED32:
            let value = isLikely ? Float(below(3)) / 2 : Float(pick(Self.extremeDoubles))
            return little(UInt64(value.bitPattern), 4)
        case PROTOBUF_C_TYPE_FIXED64:
            return little(isLikely ? pick(Names.servers + Names.strangers) : pick(Self.extremes), 8)
        case PROTOBUF_C_TYPE_BOOL: return [isLikely ? UInt8(below(2)) : 2]
        default: break
        }
        guard isLikely else { return varintBytes(pick(Self.extremes)) }
        let value: UInt64
        switch name {
        case "ticket", "tickets": value = likely.attempt.ticket.number
        case "attempt", "attempts": value = likely.attempt.number
        case "part": value = UInt64(below(2))
        case "version", "step", "after_step": value = likely.version &+ UInt64(pick([0, 0, 0, 1, 2]))
        case "images", "samples", "top5": value = 4
        case "servers": value = 2
        case "role": value = UInt64(2 + below(2))
        default: value = UInt64(below(4))
        }
        return varintBytes(value)
    }

    private mutating func text(_ name: String) -> [UInt8] {
        switch name {
        case "endpoint": Array("tcp://h:\(1 + below(9))".utf8)
        case "run_directory", "foreign": Array("/r\(below(9))".utf8)
        case "public_key", "workers": Array(String(repeating: "k!~9", count: happens(oneIn: 2) ? 10 : 0).utf8)
        case "sha256": Array(String(repeating: "0123456789abcdef", count: 4).utf8)
        default: Array("a\(below(9))".utf8)
        }
    }
}

private func fixed64(_ number: UInt64, _ value: UInt64) -> [UInt8] {
    varintBytes(number << 3 | 1) + little(value, 8)
}

private func little(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}

/// What the descriptors call the bodies, as `Message` calls its cases.
let allKinds: Set<String> = Set(
    UnsafeBufferPointer(start: ps__envelope__descriptor.fields, count: Int(ps__envelope__descriptor.n_fields))
        .filter { $0.type == PROTOBUF_C_TYPE_MESSAGE }.map { field in
            let words = String(cString: field.name).split(separator: "_")
            return words[0] + words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
        })
