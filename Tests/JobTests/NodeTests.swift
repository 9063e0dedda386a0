// The parts of a daemon's event loop that need no daemon.

import Foundation
import PSNode
import PSParameters
import Testing

struct NodeTests {
    @Test func aGapInTheLoopIsNoSilenceOfOthers() {
        func at(_ milliseconds: Int) -> MonotonicTime { MonotonicTime(milliseconds: milliseconds) }
        var clock = LoopClock(at: at(1000))
        #expect(clock.read(at: at(1100)) == at(1100))
        // Stopped for an hour, within a turn: deadlines see two seconds, and time goes on from there.
        let after = clock.read(at: at(3_601_100))
        #expect(after == at(3100))
        #expect(clock.read(at: at(3_601_200)).since(after) == 100)
    }

    @Test func outputWithoutAReaderIsLostWithoutATrap() throws {
        signal(SIGPIPE, SIG_IGN)
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { close(ends[1]) }
        #expect(StandardStreams.write("heard", to: ends[1]))
        var bytes = [UInt8](repeating: 0, count: 8)
        #expect(read(ends[0], &bytes, 8) == 5)
        close(ends[0])
        #expect(!StandardStreams.write("not heard", to: ends[1]))
    }

    /// A file may be called so that its name, printed, would colour a terminal or hide what stands before it.
    @Test func namesCannotDriveATerminal() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        #expect(StandardStreams.write("a\u{1B}[31mb\r\u{7F}\u{9B}c\td 山\n", to: ends[1]))
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(ends[0], &bytes, 64)
        #expect(String(decoding: bytes.prefix(max(0, count)), as: UTF8.self) == "a\\x1b[31mb\\x0d\\x7f\\x9bc\td 山\n")
    }
}
