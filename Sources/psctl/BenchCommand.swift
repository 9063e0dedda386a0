// `psctl bench`: how fast the parts of a job are, each alone.

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

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures the parts of a job.",
        subcommands: [
            Step.self, BenchPlanCommand.self, BenchErrorsCommand.self, Inference.self, BenchDataCommand.self,
            Exchange.self, Recovery.self, Storm.self, Bits.self,
        ])

    struct Step: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "One training step in one process: forward, backward, clip and RMSProp on random images.",
            discussion: "Dropout is on. One step of warm-up is not counted.")

        @OptionGroup var model: BenchModelOptions
        @Option(help: "Measured steps.")
        var steps = 3
        @OptionGroup var engine: EngineOptions
        @Flag(
            help: ArgumentHelp(
                "Compute a data set's training images, read and augmented as a worker does it.",
                discussion: "The data set is the job's: --config, --set data.path=DIRECTORY."))
        var data = false
        @OptionGroup var settings: ConfigurationOptions
        @Flag(help: "Also print what each layer cost, and the machine's peak.")
        var plan = false
        @Option(help: "Write a picture of what each layer cost to this file.")
        var svg: String?
        @OptionGroup var threads: ThreadsOption
        @OptionGroup var json: JSONOption

        func validate() throws {
            if !(1...1_000_000).contains(steps) {
                throw ValidationError("--steps is \(steps), allowed is from 1 to 1000000")
            }
        }

        func run() throws {
            let svg = try svg.map { try checkedOutput($0) }
            let description = try model.description()
            let benchmark = try StepBenchmark(
                description: description, batch: model.batch, threads: threads.count, steps: steps,
                plan: engine.settings.trainingPlan(description: description, batch: model.batch),
                measuresLayers: plan || svg != nil, images: data ? settings.configuration() : nil)
            if let svg, let picture = benchmark.svg {
                try svg.write(Array(picture.utf8))
            }
            write(json.isOn ? Report.json(benchmark) : benchmark.text)
        }
    }

    struct Inference: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Logits of batches of random images in one process, as an evaluation computes them.",
            discussion: "One batch of warm-up is not counted.")

        @OptionGroup var model: BenchModelOptions
        @Option(help: "Measured batches.")
        var batches = 5
        @OptionGroup var engine: EngineOptions
        @OptionGroup var threads: ThreadsOption
        @OptionGroup var json: JSONOption

        func validate() throws {
            if !(1...1_000_000).contains(batches) {
                throw ValidationError("--batches is \(batches), allowed is from 1 to 1000000")
            }
        }

        func run() throws {
            let description = try model.description()
            let benchmark = try InferenceBenchmark(
                description: description, batch: model.batch, threads: threads.count, batches: batches,
                plan: engine.settings.trainingPlan(description: description, batch: model.batch))
            write(json.isOn ? Report.json(benchmark) : benchmark.text)
        }
    }

    struct Exchange: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "One round of the service: push all gradients, clip, update, pull all weights.",
            discussion: """
                Real server and worker processes exchange the parameters of a network, the 27.2 million of Inception-v3 \
                unless told otherwise; the gradients are random. The weights that the workers pulled last are compared \
                with the same job computed in this process; if a bit differs the command fails.
                """)

        @Flag(
            help: ArgumentHelp(
                "Measure all ways that processes of one machine reach one another, in turn, and print a table.",
                discussion: "Unix sockets, TCP without keys, TCP with keys, which is encrypted."))
        var security = false
        @Option(
            help: ArgumentHelp(
                "Measure another way than ipc, the Unix sockets that 'psctl train' takes: tcp, or tcp-keys, encrypted.",
                valueName: "way"))
        var over: ExchangeWay?
        @Option(help: "Server processes.")
        var servers = 1
        @Option(help: "Replicas of each server's part: 0 or 1.")
        var replicas = 0
        @Option(help: "Worker processes; each pushes a whole gradient every round.")
        var workers = 1
        @Option(help: "Measured rounds; with --security, of each turn.")
        var rounds = 20
        @OptionGroup var network: BenchNetworkOptions
        @OptionGroup var json: JSONOption

        func validate() throws {
            if security, over != nil { throw ValidationError("--security and --over exclude each other") }
            if security, replicas != 0 { throw ValidationError("--security is measured without --replicas") }
            guard (0...1).contains(replicas) else {
                throw ValidationError("--replicas is \(replicas), allowed is 0 or 1")
            }
            if replicas > 0, servers < 2 { throw ValidationError("--replicas 1 needs --servers 2 or more") }
            for (name, value, limit) in [
                ("--servers", servers, 64), ("--workers", workers, 64), ("--rounds", rounds, 10_000),
            ]
            where !(1...limit).contains(value) {
                throw ValidationError("\(name) is \(value), allowed is from 1 to \(limit)")
            }
        }

        func run() throws {
            let progress = Progress()
            let description = try network.description()
            let isVerified: Bool
            if security {
                let comparison = try ExchangeComparison(
                    description, servers: servers, workers: workers, rounds: rounds, programs: Programs.directory,
                    note: { progress.say($0) })
                write(json.isOn ? Report.json(comparison) : comparison.text)
                isVerified = comparison.verified
            } else {
                let benchmark = try ExchangeBenchmark(
                    description, over: over ?? .ipc, servers: servers, workers: workers, replicas: replicas,
                    rounds: rounds,
                    programs: Programs.directory, note: { progress.say($0) })
                write(json.isOn ? Report.json(benchmark) : benchmark.text)
                isVerified = benchmark.verified
            }
            if !isVerified { throw ExitCode.failure }
        }
    }
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
            guard (0...1).contains(replicas) else {
                throw ValidationError("--replicas is \(replicas), allowed is 0 or 1")
            }
            if replicas > 0, servers < 2 { throw ValidationError("--replicas 1 needs --servers 2 or more") }
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
