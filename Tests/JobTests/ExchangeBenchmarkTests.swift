// The benchmark of the exchange: its figures from turns that are made up, and real processes over each way.

import PSBenchmarks
import Testing

@Suite struct ExchangeBenchmarkTests {
    private func benchmark(_ way: ExchangeWay, _ turns: ExchangeTurn...) -> ExchangeBenchmark {
        ExchangeBenchmark(over: way, servers: 2, workers: 3, bytesPerRound: 500_000_000, turns: turns)
    }

    private func lines(_ ways: [ExchangeBenchmark]) -> [String] {
        ExchangeComparison(ways: ways).text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.split(separator: " ").joined(separator: " ") }
    }

    @Test func theFiguresAreThoseOfAllTurns() {
        let quiet = ExchangeTurn(roundSeconds: [0.1, 0.2, 0.3], cpuSecondsPerRound: 0.2, verified: true)
        let busy = ExchangeTurn(roundSeconds: [0.5, 0.25, 0.9], cpuSecondsPerRound: 0.4, verified: true)
        let short = ExchangeTurn(roundSeconds: [0.1, 0.1, 0.1], cpuSecondsPerRound: nil, verified: true)
        let both = benchmark(.ipc, quiet, busy)
        #expect(both.turns == 2 && both.rounds == 3 && both.roundSecondsAll.count == 6)
        #expect(abs(both.roundSeconds - 0.275) < 1e-12, "the median of the six")
        #expect(abs(both.gigabytesPerSecond - 0.5 / 0.275) < 1e-12)
        #expect(abs(both.cpuSecondsPerGigabyte! - 0.6) < 1e-12, "0.3 s a round of half a GB")
        #expect(benchmark(.tcp, quiet, short).cpuSecondsPerGigabyte == 0.4, "of the turns that could tell")

        let lines = lines([both, benchmark(.tcp, quiet), benchmark(.tcpWithKeys, short)])
        #expect(
            lines[0]
                == "3 workers, 2 servers; a round pushes, updates and pulls 500.0 MB; medians of 6 rounds in 2 turns")
        #expect(lines[3] == "Unix sockets 275.0 100.0..900.0 1.82 0.60 verified")
        #expect(lines[4] == "TCP without keys 200.0 100.0..300.0 2.50 0.40 verified")
        #expect(lines[5] == "TCP with keys, encrypted 100.0 100.0..100.0 5.00 too short verified")
    }

    @Test func oneWrongTurnIsEnough() {
        let right = ExchangeTurn(roundSeconds: [0.1], cpuSecondsPerRound: nil, verified: true)
        let wrong = ExchangeTurn(roundSeconds: [0.1], cpuSecondsPerRound: nil, verified: false)
        let ways = [benchmark(.ipc, right, right), benchmark(.tcp, right, wrong)]
        #expect(ways.map(\.verified) == [true, false])
        #expect(!ExchangeComparison(ways: ways).verified)
        let lines = lines(ways)
        #expect(lines[3].hasSuffix(" verified") && lines[4].hasSuffix(" WRONG"))
        #expect(lines.contains { $0.hasPrefix("WRONG WEIGHTS") } && !lines.contains { $0.contains("the same over") })
    }

    private static let tiny = ["bench", "exchange", "--width", "0.01", "--image-size", "75", "--classes", "10"]

    /// Enough rounds that the processor time can be read twice.
    @Test func realProcessesBringTheSameWeightsOverEveryWay() throws {
        let finished = try Running(
            "psctl", Self.tiny + ["--security", "--json", "--rounds", "300", "--workers", "2", "--servers", "2"]
        ).finish(within: 180)
        #expect(finished.code == 0, "\(finished.errors)")
        let report = try finished.json()
        #expect(report["verified"] as? Bool == true)
        let ways = try #require(report["ways"] as? [[String: Any]])
        #expect(ways.map { $0["over"] as? String } == ["ipc", "tcp", "tcp-keys"])
        for way in ways {
            #expect(way["verified"] as? Bool == true)
            #expect((way["round_seconds_all"] as? [Double])?.count == 900)
            #expect(try #require(way["cpu_seconds_per_gigabyte"] as? Double) > 0)
        }
        let turns = finished.errors.split(separator: "\n").map(String.init)
        #expect(turns.count == 9)
        #expect(turns.prefix(4).last == "turn 2 of 3: Unix sockets", "each way in turn: \(turns)")
    }

    @Test func oneWayCanBeChosen() throws {
        let finished = try Running("psctl", Self.tiny + ["--over", "tcp-keys", "--rounds", "1", "--json"]).finish()
        #expect(finished.code == 0, "\(finished.errors)")
        let report = try finished.json()
        #expect(report["over"] as? String == "tcp-keys")
        #expect(report["verified"] as? Bool == true)
        let both = try Running("psctl", Self.tiny + ["--over", "tcp", "--security"]).finish()
        #expect(both.code == 64 && both.errors.contains("--security and --over exclude each other"), "\(both.errors)")
    }
}
