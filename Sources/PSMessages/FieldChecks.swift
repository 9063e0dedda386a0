// The bounds of single fields: each takes what protobuf-c unpacked and the field's name, and throws what is wrong with
// it. `MessageLimits` has the bounds.

import CMessages
import PSParameters

/// The text, which is within its limit and UTF-8: the walk before unpacking saw to that.
func text(_ pointer: UnsafeMutablePointer<CChar>?) -> String { pointer.map { String(cString: $0) } ?? "" }

/// A text that people are shown.
func shown(_ pointer: UnsafeMutablePointer<CChar>?) -> String { text(pointer).printable(inOneLine: true) }

/// What is said of a text that is refused.
private func quoted(_ text: String) -> String { "\"\(text.printable(inOneLine: true).cut(toBytes: 100))\"" }

func list<T>(_ pointer: UnsafeMutablePointer<T>?, _ count: Int) -> [T] {
    Array(UnsafeBufferPointer(start: pointer, count: pointer == nil ? 0 : count))
}

/// Unwraps a member that protobuf-c always sets; hostile bytes cannot make it nil, but nothing here may trap.
func member<T>(_ pointer: UnsafeMutablePointer<T>?) throws(MessageError) -> T {
    guard let pointer else { throw .malformed("a body without content") }
    return pointer.pointee
}

// MARK: Numbers

@discardableResult
func check(_ number: UInt64, atMost most: UInt64, _ field: StaticString) throws(MessageError) -> UInt64 {
    guard number <= most else { throw .malformed("\(field) is \(number), more than \(most)") }
    return number
}

func count(_ number: UInt32, atMost most: UInt32, _ field: StaticString) throws(MessageError) -> Int {
    Int(try check(UInt64(number), atMost: UInt64(most), field))
}

func version(_ number: UInt64, _ field: StaticString) throws(MessageError) -> Version {
    Version(try check(number, atMost: MessageLimits.version, field))
}

func step(_ number: UInt64, _ field: StaticString) throws(MessageError) -> Step {
    Step(try check(number, atMost: MessageLimits.step, field))
}

func attempt(_ ticket: UInt64, _ number: UInt64, _ message: StaticString) throws(MessageError) -> Attempt {
    guard ticket <= MessageLimits.ticket, number <= MessageLimits.attempt else {
        throw .malformed("\(message) is of attempt \(number) at ticket \(ticket), which no job comes to")
    }
    return Attempt(ticket: Ticket(ticket), number: number)
}

func attempts(_ tickets: [UInt64], _ numbers: [UInt64]) throws(MessageError) -> [Attempt] {
    guard tickets.count == numbers.count else {
        throw .malformed("\(tickets.count) tickets with \(numbers.count) attempts")
    }
    var attempts: [Attempt] = []
    attempts.reserveCapacity(tickets.count)
    for (ticket, number) in zip(tickets, numbers) { attempts.append(try attempt(ticket, number, "Prepare")) }
    return attempts
}

func evaluationAttempt(
    _ version: UInt64, _ part: UInt32, _ number: UInt64, _ message: StaticString
) throws(MessageError) -> EvaluationAttempt {
    guard version <= MessageLimits.version, part <= MessageLimits.parts, number <= MessageLimits.attempt else {
        throw .malformed("\(message) is of attempt \(number) at part \(part) of version \(version)")
    }
    return EvaluationAttempt(version: Version(version), part: Int(part), number: number)
}

func sliceIndex(_ index: UInt32, _ field: StaticString) throws(MessageError) -> Int {
    guard index < MessageLimits.slices else {
        throw .malformed("\(field) is \(index), while a layout has at most \(MessageLimits.slices) slices")
    }
    return Int(index)
}

func sliceIndices(
    _ pointer: UnsafeMutablePointer<UInt32>?, _ count: Int, _ field: StaticString
) throws(MessageError) -> [Int] {
    var indices: [Int] = []
    indices.reserveCapacity(count)
    for index in list(pointer, count) { indices.append(try sliceIndex(index, field)) }
    return indices
}

/// A norm, which of a gradient that is not finite is not finite either.
func norm(_ value: Double, _ field: StaticString) throws(MessageError) -> Double {
    guard !(value < 0) else { throw .malformed("\(field) is \(value), less than 0") }
    return value
}

func seconds(_ value: Double, _ field: StaticString) throws(MessageError) -> Double {
    guard (0...MessageLimits.seconds).contains(value) else { throw .malformed("\(field) is \(value) seconds") }
    return value
}

/// A factor of a commit: the coordinator computes finite ones only.
func factor(_ bits: UInt32, atMost most: Float, _ field: StaticString) throws(MessageError) -> Float {
    let value = Float(bitPattern: bits)
    guard (0...most).contains(value) else { throw .malformed("\(field) is \(value)") }
    return value
}

// MARK: Texts

/// Where a process is reached: tcp://HOST:PORT, an IPv6 address in brackets. What passes is an address that ZeroMQ
/// tries to reach; anything else it would call a mistake of this program.
func endpoint(_ pointer: UnsafeMutablePointer<CChar>?, _ field: StaticString) throws(MessageError) -> String {
    let endpoint = text(pointer)
    if isSocketFile(endpoint) { return endpoint }
    let scheme = "tcp://"
    let address = endpoint.dropFirst(scheme.count).utf8
    guard endpoint.hasPrefix(scheme), let colon = address.lastIndex(of: UInt8(ascii: ":")),
        isHost(address[..<colon]), isPort(address[address.index(after: colon)...])
    else { throw .malformed("\(field) is \(quoted(endpoint)), no tcp://HOST:PORT") }
    return endpoint
}

/// ipc:// and the absolute path of a socket of this machine, which the kernel wants short.
private func isSocketFile(_ endpoint: String) -> Bool {
    let scheme = "ipc://"
    guard endpoint.hasPrefix(scheme + "/"), endpoint.utf8.count <= scheme.utf8.count + 107 else { return false }
    let path = endpoint.dropFirst(scheme.count)
    return !path.split(separator: "/").contains("..") && endpoint == endpoint.printable(inOneLine: true)
}

/// The public half of a pair of keys in Z85, or empty.
func publicKey(_ pointer: UnsafeMutablePointer<CChar>?, _ field: StaticString) throws(MessageError) -> String {
    let key = text(pointer)
    guard key.isEmpty || key.utf8.count == 40 && key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
        throw .malformed("\(field) is \(quoted(key)), no public key")
    }
    return key
}

private func isHost(_ host: Substring.UTF8View) -> Bool {
    let isNumeric6 = host.first == UInt8(ascii: "[") && host.last == UInt8(ascii: "]")
    let inside = isNumeric6 ? host.dropFirst().dropLast() : host
    let marks = (isNumeric6 ? ":.%-_" : ".-_").utf8
    return !inside.isEmpty && inside.allSatisfy { isDigit($0) || isLetter($0) || marks.contains($0) }
        && (isNumeric6 || isDigit(inside.first!) || isLetter(inside.first!))
}

private func isPort(_ port: Substring.UTF8View) -> Bool {
    port.allSatisfy(isDigit) && UInt16(Substring(port)).map { $0 > 0 } ?? false
}

private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

private func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) }

func absolutePath(_ pointer: UnsafeMutablePointer<CChar>?, _ field: StaticString) throws(MessageError) -> String {
    let path = text(pointer)
    guard path.hasPrefix("/") else { throw .malformed("\(field) is \(quoted(path)), no absolute path") }
    return path
}

/// A name in a directory, and in no other.
func fileName(_ pointer: UnsafeMutablePointer<CChar>?, _ field: StaticString) throws(MessageError) -> String {
    let name = text(pointer)
    guard !name.isEmpty, !name.hasPrefix("."), !name.utf8.contains(UInt8(ascii: "/")),
        name == name.printable(inOneLine: true)
    else { throw .malformed("\(field) is \(quoted(name)), no name of a file") }
    return name
}

func sha256(_ pointer: UnsafeMutablePointer<CChar>?, _ field: StaticString) throws(MessageError) -> String {
    let digest = text(pointer)
    let letters = UInt8(ascii: "a")...UInt8(ascii: "f")
    guard digest.utf8.count == 64, digest.utf8.allSatisfy({ isDigit($0) || letters.contains($0) }) else {
        throw .malformed("\(field) is \(quoted(digest)), no SHA-256 in hexadecimal")
    }
    return digest
}
