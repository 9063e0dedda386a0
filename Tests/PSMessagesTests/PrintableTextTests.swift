// Texts of others as people are shown them, and our own when they are too long for a message.

import Testing

@testable import PSMessages

@Test func nothingMovesACursor() {
    let cases: [(text: String, line: String)] = [
        ("Größe 山 █ 👩‍👧", "Größe 山 █ 👩‍👧"), ("a\u{1B}[31mb", "a\\x1b[31mb"), ("a\rb\u{7F}\u{9B}c", "a\\x0db\\x7f\\x9bc"),
        ("a\nb\tc\r\n", "a b c\\x0d "), ("a\u{2028}b\u{2029}c", "a b c"),
        ("a\u{202E}b\u{2066}c\u{2069}\u{200F}", "a\\x202eb\\x2066c\\x2069\\x200f"), ("", ""),
    ]
    for (text, line) in cases { #expect(text.printable(inOneLine: true) == line) }
    #expect("a\nb\tc\u{1B}\u{202A}".printable(inOneLine: false) == "a\nb\tc\\x1b\\x202a")
}

@Test func textsForPeopleArePrintableWhenTheyCome() throws {
    let wild = "a\u{1B}[2J\n\u{202E}b"
    let tame = "a\\x1b[2J \\x202eb"
    var worker = Hello(role: .worker, host: wild, pid: 1, rank: nil)
    worker.kernelCore = wild
    var heartbeat = Heartbeat()
    heartbeat.activity = wild
    let messages: [Message] = [
        .hello(worker), .heartbeat(heartbeat), .refusal(Refusal(.full, wild)), .leave(text: wild),
        .finish(exitCode: 1, text: wild), .failed(version: 1, text: wild, what: .saveFailed),
        .controlReply(ok: true, text: wild),
    ]
    for message in messages {
        let bytes = Envelope(job: 7, generation: 1, source: 11, destination: 12, message: message).encoded()
        switch try decoded(bytes).message {
        case .hello(let hello): #expect((hello.host, hello.kernelCore) == (tame, tame))
        case .heartbeat(let heartbeat): #expect(heartbeat.activity == tame)
        case .refusal(let refusal): #expect(refusal.text == tame)
        case .leave(let text), .finish(_, let text), .failed(_, let text, _), .controlReply(_, let text):
            #expect(text == tame)
        default: Issue.record("\(message)")
        }
    }
}

@Test func aTextIsCutBetweenCharacters() {
    #expect("abcdef".cut(toBytes: 6) == "abcdef")
    #expect("abcdefg".cut(toBytes: 6) == "abc…")
    for text in [
        String(repeating: "é", count: 100), String(repeating: "山", count: 100), String(repeating: "𝄞", count: 100),
    ] {
        for most in 3..<40 {
            let cut = text.cut(toBytes: most)
            #expect(cut.utf8.count <= most)
            #expect(cut.utf8.count > most - text.first!.utf8.count)
            #expect(cut.hasSuffix("…") && text.hasPrefix(cut.dropLast()))
        }
    }
}

/// Our own long text is no message that we refuse; one that is of use only whole is not cut, but refused.
@Test func textsForPeopleAreCutWhenTheyGo() throws {
    let long = String(repeating: "é", count: 5000)
    var worker = Hello(role: .worker, host: long, pid: 1, rank: nil)
    worker.kernelCore = long
    var heartbeat = Heartbeat()
    heartbeat.activity = long
    let messages: [Message] = [
        .hello(worker), .heartbeat(heartbeat), .refusal(Refusal(.full, long)), .leave(text: long),
        .finish(exitCode: 1, text: long), .failed(version: 1, text: long, what: .saveFailed),
        .controlReply(ok: true, text: long),
    ]
    for message in messages {
        let bytes = Envelope(job: 7, generation: 1, source: 11, destination: 12, message: message).encoded()
        #expect(bytes.count < 4096 + 200)
        #expect(throws: Never.self) { try decoded(bytes) }
    }
    let welcome = Welcome(
        rank: 0, configuration: String(repeating: "a", count: 2 << 20), runDirectory: "/r", nonce: "", layoutDigest: 0,
        plan: "")
    let bytes = Envelope(job: 7, generation: 1, source: 11, destination: 12, message: .welcome(welcome)).encoded()
    #expect(mistake(in: bytes) == "Welcome.configuration has 2097152 bytes, more than 1048576")
}
