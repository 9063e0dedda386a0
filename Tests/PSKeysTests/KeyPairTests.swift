// Key pairs: the halves belong together, the secret one is shown nowhere, a public one has one short name.

import PSKeys
import Testing

/// The pair of libzmq's manual (zmq_curve).
let manualPublic = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
let manualSecret = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"

@Suite struct KeyPairTests {
    @Test func aNewPairBelongsTogetherAndIsNew() throws {
        let pairs = try (0..<20).map { _ in try KeyPair.make() }
        for pair in pairs {
            #expect(try KeyPair(publicKey: pair.publicKey, secretKey: pair.secretKey) == pair)
            #expect(pair.publicKey.utf8.count == 40 && pair.secretKey.utf8.count == 40)
        }
        #expect(Set(pairs.flatMap { [$0.publicKey, $0.secretKey] }).count == 40)
    }

    @Test func halvesThatAreNoneAreRefused() throws {
        #expect(try KeyPair(publicKey: manualPublic, secretKey: manualSecret).publicKey == manualPublic)
        let other = try KeyPair.make()
        for (publicKey, secretKey, words) in [
            (other.publicKey, manualSecret, "does not belong to the secret key"),
            (manualSecret, manualPublic, "does not belong to the secret key"),
            (String(manualPublic.dropLast()), manualSecret, "the public key is not 40"),
            (manualPublic, manualSecret + "0", "the secret key is not 40"),
            (manualPublic, manualSecret + "00000", "the secret key is not 40"),
            (manualPublic, "\"" + manualSecret.dropFirst(), "the secret key is not 40"),
            (manualPublic, "D:)Q[\0" + manualSecret.dropFirst(6), "the secret key is not 40"),
            // More than four bytes hold.
            ("#####" + manualPublic.dropFirst(5), manualSecret, "the public key is not 40"),
            ("", "", "the public key is not 40"),
        ] {
            let error = #expect(throws: KeyError.self) { try KeyPair(publicKey: publicKey, secretKey: secretKey) }
            #expect(error?.description.contains(words) == true, "\(String(describing: error))")
        }
    }

    @Test func noTextShowsTheSecret() throws {
        let pair = try KeyPair.make()
        let file = JoinFile(name: "w", role: .worker, coordinatorKey: pair.publicKey, keys: pair, coordinator: nil)
        var dumped = ""
        dump(file, to: &dumped)
        for text in ["\(pair)", String(reflecting: pair), "\(file)", String(reflecting: file), "\([file])", dumped] {
            #expect(!text.contains(pair.secretKey) && text.contains("KeyPair("))
        }
    }

    @Test func aFingerprintIsOfTheRawBytes() {
        #expect(fingerprint(manualPublic) == "ebb3-af4d-d99c-eff3")
    }
}
