// The key pairs of CURVE, and the short names of public keys.

import CZeroMQ
import PSFiles
import PSProofs

/// A CURVE key pair, each half as 40 characters of Z85. The halves belong together.
package struct KeyPair: Sendable, Hashable {
    package let publicKey: String
    package let secretKey: String

    /// - Throws: when a half is not 40 characters of Z85, or the public half is of another pair.
    package init(publicKey: String, secretKey: String) throws(KeyError) {
        guard Z85.isKey(publicKey) else { throw .unusable("the public key is not 40 characters of Z85") }
        guard Z85.isKey(secretKey) else { throw .unusable("the secret key is not 40 characters of Z85") }
        var derived = Z85.empty
        guard zmq_curve_public(&derived, secretKey) == 0 else { throw .noCurve }
        guard Z85.text(derived) == publicKey else {
            throw .unusable("the public key does not belong to the secret key")
        }
        self.publicKey = publicKey
        self.secretKey = secretKey
    }

    private init(made publicKey: String, _ secretKey: String) {
        self.publicKey = publicKey
        self.secretKey = secretKey
    }

    /// A new pair, from the system's random source by way of libzmq.
    package static func make() throws(KeyError) -> KeyPair {
        var publicKey = Z85.empty
        var secretKey = Z85.empty
        guard zmq_curve_keypair(&publicKey, &secretKey) == 0 else { throw .noCurve }
        return KeyPair(made: Z85.text(publicKey), Z85.text(secretKey))
    }
}

/// The secret half is shown nowhere: not in a text, not by a debugger's `dump`, not by a failed test.
extension KeyPair: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "KeyPair(\(fingerprint(publicKey)), secret not shown)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: ["publicKey": publicKey]) }
}

/// A short name of a public key for people and logs: the first 16 hexadecimal digits of the SHA-256 of its 32 bytes,
/// as in "3f2a-91c0-77de-0b1c".
///
/// - Parameter publicKey: 40 characters of Z85.
package func fingerprint(_ publicKey: String) -> String {
    guard let bytes = Z85.bytes(publicKey) else { preconditionFailure("no key, which is 40 characters of Z85") }
    var hash = SHA256()
    bytes.withUnsafeBytes { hash.update($0) }
    let digits = Array(hash.hexadecimal().prefix(16))
    return stride(from: 0, to: 16, by: 4).map { String(digits[$0..<$0 + 4]) }.joined(separator: "-")
}

/// Keys as text.
enum Z85 {
    /// Where libzmq puts a key and its final zero.
    static let empty = [CChar](repeating: 0, count: 41)

    static func isKey(_ text: String) -> Bool { bytes(text) != nil }

    /// The 32 bytes of a key, or nil when the text is none.
    static func bytes(_ text: String) -> [UInt8]? {
        // A zero byte would end the text for libzmq before it does for us.
        guard text.utf8.count == 40, !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 32)
        return zmq_z85_decode(&bytes, text) == nil ? nil : bytes
    }

    static func text(_ characters: [CChar]) -> String {
        String(decoding: characters.prefix(40).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
