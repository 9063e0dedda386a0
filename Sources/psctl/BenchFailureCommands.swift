// `psctl bench recovery`, `storm` and `bits`: what kills cost, and that they change no bit.

import ArgumentParser
import PSBenchmarks
import PSCheckpoint
import PSConfiguration
import PSFiles
import PSJob
import PSMessages
import PSModel
import PSPlanning
import PSReport

/// - Throws: where so many replicas cannot be.
func checkReplicas(_ replicas: Int, servers: Int) throws {
    guard (0...1).contains(replicas) else {
        throw ValidationError("--replicas is \(replicas), allowed is 0 or 1")
    }
    if replicas > 0, servers < 2 { throw ValidationError("--replicas 1 needs --servers 2 or more") }
}

extension BenchCommand {
    struct Recovery: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "How long a job stands still when one of its processes is killed.",
            discussion: """
                A small real job runs on this machine; its processes are killed with SIGKILL, one at a time. At the end the \
                job is run again without kills: if its weights differ in a bit the command fails.
                """)

        @Option(help: "Kills of each role.")
        var kills = 100
        @Option(help: "Kill only these: worker, server, coordinator; may be given several times.")
        var role: [Role] = []
        @Option(help: "Server processes.")
        var servers = 2
        @Option(help: "Worker processes.")
        var workers = 3
        @Option(help: "Replicas of each server's part: 0 or 1.")
        var replicas = 0
        @OptionGroup var json: JSONOption

        func validate() throws {
            try checkReplicas(replicas, servers: servers)
            for (name, value, limit) in [
                ("--servers", servers, 64), ("--workers", workers, 64), ("--kills", kills, 10_000),
            ]
            where !(1...limit).contains(value) {
                throw ValidationError("\(name) is \(value), allowed is from 1 to \(limit)")
            }
        }

        func run() throws {
            var job = JobConfiguration()
            job.name = "recovery"
            job.model.width = 0.1
            job.train.batch = 8
            job.train.ticketsPerStep = 2 * workers
            job.train.steps = 1_000_000
            job.checkpoint.everySteps = 10
            job.eval.atEnd = false
            job.cluster.servers = servers
            job.cluster.workers = workers
            job.server.replicas = replicas
            let progress = Progress()
            let roles = role.isEmpty ? [Role.worker, .server, .coordinator] : role
            let benchmark = try RecoveryBenchmark(
                job, roles: roles, kills: kills, programs: Programs.directory, note: { progress.say($0) })
            write(json.isOn ? Report.json(benchmark) : benchmark.text)
            if !benchmark.verified { throw ExitCode.failure }
        }
    }
}

extension ExchangeWay: ExpressibleByArgument {}

extension Role: ExpressibleByArgument {
    public init?(argument: String) {
        guard let role = Role.allCases.first(where: { $0.name == argument }) else { return nil }
        self = role
    }

    public static var allValueStrings: [String] { allCases.map(\.name) }
}

extension BenchCommand {
    struct Storm: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "What is left of a job's speed when its processes are killed all the time.",
            discussion: """
                A small real job runs on this machine; its processes are killed with SIGKILL at random moments. A calm job of \
                as many steps follows, with as many workers as were alive on average: if its weights differ in a bit the \
                command fails. A server is not killed while another one's part has no replica.
                """)

        @Option(help: "Kills of workers.")
        var kills = 200
        @Option(help: "Steps between two kills of workers, on average.")
        var every = 5.5
        @Option(help: "Kills of servers, and as many of the coordinator, spread over the storm.")
        var others = 0
        @Option(help: "Server processes; with 2 or more each one's part has a replica.")
        var servers = 3
        @Option(help: "Worker processes.")
        var workers = 8
        @Option(help: "Tickets of a step.")
        var tickets = 16
        @Option(help: "Of the random moments and victims.")
        var seed: UInt64 = 1
        @Option(help: "Write a picture of the storm to this file.")
        var svg: String?
        @OptionGroup var json: JSONOption

        func validate() throws {
            for (name, value, limit) in [
                ("--servers", servers, 64), ("--workers", workers, 64), ("--kills", kills, 10_000),
                ("--tickets", tickets, 10_000),
            ]
            where !(1...limit).contains(value) {
                throw ValidationError("\(name) is \(value), allowed is from 1 to \(limit)")
            }
            if !(0...10_000).contains(others) {
                throw ValidationError("--others is \(others), allowed is from 0 to 10000")
            }
            if !(0.1...1000).contains(every) {
                throw ValidationError("--every is \(every), allowed is from 0.1 to 1000")
            }
        }

        func run() throws {
            let picture = try svg.map { try checkedOutput($0) }
            var job = JobConfiguration()
            job.name = "storm"
            job.model.width = 0.1
            job.train.batch = 8
            job.train.ticketsPerStep = tickets
            job.train.steps = 1_000_000
            job.checkpoint.everySteps = 50
            job.eval.atEnd = false
            job.cluster.servers = servers
            job.cluster.workers = workers
            job.server.replicas = servers > 1 ? 1 : 0
            let progress = Progress()
            let plan = StormBenchmark.Plan(kills: kills, stepsPerKill: every, otherKills: others, seed: seed)
            let benchmark = try StormBenchmark(
                job, plan, programs: Programs.directory, note: { progress.say($0) })
            try picture?.write(Array(benchmark.svg.utf8))
            write(json.isOn ? Report.json(benchmark) : benchmark.text)
            if !benchmark.verified { throw ExitCode.failure }
        }
    }
}

extension BenchCommand {
    struct Bits: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Whether a job's weights depend on how many processes compute it.",
            discussion: """
                A small real job runs once for each number of workers and servers, without replicas and with. Every tenth step \
                a worker leaves and another comes; in the middle it is stopped and resumed with other numbers. If two of them \
                end with different weights the command fails.
                """)

        @Option(parsing: .upToNextOption, help: "Numbers of workers.")
        var workers = [1, 2, 5]
        @Option(parsing: .upToNextOption, help: "Numbers of servers.")
        var servers = [1, 2, 3]
        @Option(help: "Steps of each job.")
        var steps = 60
        @OptionGroup var json: JSONOption

        func validate() throws {
            for (name, values) in [("--workers", workers), ("--servers", servers)] {
                if let value = values.first(where: { !(1...64).contains($0) }) {
                    throw ValidationError("\(name) is \(value), allowed is from 1 to 64")
                }
            }
            if !(4...100_000).contains(steps) {
                throw ValidationError("--steps is \(steps), allowed is from 4 to 100000")
            }
        }

        func run() throws {
            var job = JobConfiguration()
            job.name = "bits"
            job.model.width = 0.1
            job.train.batch = 8
            job.train.ticketsPerStep = 5
            job.train.steps = steps
            job.checkpoint.everySteps = 10
            job.eval.atEnd = false
            let progress = Progress()
            let table = try BitsTable(
                job, workers: workers, servers: servers, programs: Programs.directory, note: { progress.say($0) })
            write(json.isOn ? Report.json(table) : table.text)
            if !table.verified { throw ExitCode.failure }
        }
    }
}
