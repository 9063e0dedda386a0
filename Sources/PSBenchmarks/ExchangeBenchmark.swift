// `psctl bench exchange`: how long real processes take to push a gradient, update and pull the weights.

import PSModel
import PSReport

/// The exchange over one way.
package struct ExchangeBenchmark: Encodable, Sendable {
    package let over: ExchangeWay
    package let servers: Int
    package let workers: Int
    /// Of each server's part.
    package let replicas: Int
    /// Runs of the job, each with processes of its own.
    package let turns: Int
    /// Measured rounds of a turn.
    package let rounds: Int
    /// Median of a round: every worker pulls all weights and pushes a whole gradient, then one commit.
    package let roundSeconds: Double
    /// The rounds of all turns.
    package let roundSecondsAll: [Double]
    /// Gradient and weight bytes of all workers in a round.
    package let bytesPerRound: Int
    package let gigabytesPerSecond: Double
    /// Processor time of all processes of the job, both ends, for 10^9 of those bytes; nil where the rounds were too short to tell.
    package let cpuSecondsPerGigabyte: Double?
    /// Whether every worker's last pull had the bits of the same job computed in this process, in every turn.
    package let verified: Bool

    /// Measures one turn.
    /// - Parameter programs: the directory of the daemons' programs.
    package init(
        _ description: ModelDescription, over way: ExchangeWay, servers: Int, workers: Int, replicas: Int,
        rounds: Int, programs: String, note: @escaping (String) -> Void
    ) throws {
        let job = try ExchangeJob(
            description, servers: servers, workers: workers, replicas: replicas, rounds: rounds, programs: programs,
            note: note)
        self.init(
            over: way, servers: servers, workers: workers, replicas: replicas, bytesPerRound: job.bytesPerRound,
            turns: [try job.measure(over: way)])
    }

    /// - Parameter turns: at least one, of as many rounds each.
    package init(
        over way: ExchangeWay, servers: Int, workers: Int, replicas: Int = 0, bytesPerRound: Int, turns: [ExchangeTurn]
    ) {
        over = way
        self.servers = servers
        self.workers = workers
        self.replicas = replicas
        self.turns = turns.count
        rounds = turns[0].roundSeconds.count
        roundSecondsAll = turns.flatMap(\.roundSeconds)
        roundSeconds = median(roundSecondsAll)
        self.bytesPerRound = bytesPerRound
        gigabytesPerSecond = Double(bytesPerRound) / roundSeconds / 1e9
        let used = turns.compactMap(\.cpuSecondsPerRound)
        cpuSecondsPerGigabyte =
            used.isEmpty ? nil : used.reduce(0, +) / Double(used.count) / (Double(bytesPerRound) / 1e9)
        verified = turns.allSatisfy(\.verified)
    }

    package var text: String {
        "\(Report.decimal(1000 * roundSeconds, places: 1)) ms a round (median of \(rounds)), "
            + "\(Report.decimal(Double(bytesPerRound) / 1e6, places: 1)) MB, "
            + "\(Report.decimal(gigabytesPerSecond, places: 2)) GB/s; \(Report.count(workers, "worker")), \(Report.count(servers, "server"))\(replicas > 0 ? " with replicas" : ""); "
            + (verified ? "weights verified bit for bit\n" : "WRONG WEIGHTS\n")
    }
}

/// `psctl bench exchange --security`: what keys cost, and what going without TCP saves.
package struct ExchangeComparison: Encodable, Sendable {
    /// Of each way, one after another and again, so that a machine that becomes faster or slower favours none.
    private static let turns = 3

    /// In the order of `ExchangeWay`.
    package let ways: [ExchangeBenchmark]
    /// Whether all weights that came out are those of the same job computed in this process, and so the same over every way.
    package let verified: Bool

    /// Measures every way, in turn.
    /// - Parameter programs: the directory of the daemons' programs.
    package init(
        _ description: ModelDescription, servers: Int, workers: Int, rounds: Int, programs: String,
        note: @escaping (String) -> Void
    ) throws {
        let job = try ExchangeJob(
            description, servers: servers, workers: workers, rounds: rounds, programs: programs, note: note)
        var turns: [ExchangeWay: [ExchangeTurn]] = [:]
        for turn in 1...ExchangeComparison.turns {
            for way in ExchangeWay.allCases {
                note("turn \(turn) of \(ExchangeComparison.turns): \(way.name)")
                turns[way, default: []].append(try job.measure(over: way))
            }
        }
        self.init(
            ways: ExchangeWay.allCases.map {
                ExchangeBenchmark(
                    over: $0, servers: servers, workers: workers, bytesPerRound: job.bytesPerRound, turns: turns[$0]!)
            })
    }

    /// - Parameter ways: measured with as many processes and rounds.
    package init(ways: [ExchangeBenchmark]) {
        self.ways = ways
        verified = ways.allSatisfy(\.verified)
    }

    /// The table for people.
    package var text: String {
        func decimal(_ value: Double, _ places: Int) -> String { Report.decimal(value, places: places) }
        let header = ["", "ms a round", "fastest..slowest", "GB/s", "CPU s/GB", "weights"]
        let rows = ways.map { way in
            [
                way.over.name, decimal(1000 * way.roundSeconds, 1),
                "\(decimal(1000 * way.roundSecondsAll.min()!, 1))..\(decimal(1000 * way.roundSecondsAll.max()!, 1))",
                decimal(way.gigabytesPerSecond, 2), way.cpuSecondsPerGigabyte.map { decimal($0, 2) } ?? "too short",
                way.verified ? "verified" : "WRONG",
            ]
        }
        let first = ways[0]
        return """
            \(Report.count(first.workers, "worker")), \(Report.count(first.servers, "server")); a round pushes, updates and \
            pulls \(decimal(Double(first.bytesPerRound) / 1e6, 1)) MB; medians of \(first.turns * first.rounds) rounds in \
            \(first.turns) turns

            \(Report.table([header] + rows))
            CPU s/GB: processor seconds of all processes, both ends, for each GB; the update of the weights is in it.
            \(verified
                ? "The weights that came out are the same over all three, bit for bit those of the job computed in one process."
                : "WRONG WEIGHTS: they are not those of the job computed in one process.")

            """
    }
}
