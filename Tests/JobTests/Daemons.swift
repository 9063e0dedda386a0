// A job whose processes are started by hand, one by one, as people and init systems do.

import Foundation
import PSJob
import PSMessages
import PSProtocol
import PSRun
import Testing

/// Daemons on TCP: a coordinator, servers and workers, each started again as often as a test wants.
final class Daemons {
    let jobs: SmallJobs
    let run: String
    /// Nil: they reach each other without a relay, and find the coordinator by the files of the run.
    private let network: FaultyNetwork?
    private(set) var coordinator: Running!
    private(set) var servers: [Running] = []
    private(set) var workers: [Running] = []
    private let config: String
    /// What servers and workers said.
    private(set) var words = ""

    /// The coordinator is the network's listener 0; servers are those after it.
    static let coordinatorListener = 0
    static func listener(ofServer rank: Int) -> Int { 1 + rank }
    static func side(ofServer rank: Int) -> Int { 10 + rank }
    static func side(ofWorker rank: Int) -> Int { 20 + rank }

    /// - Parameter environment: the coordinator's.
    init(
        _ jobs: SmallJobs, _ run: String, steps: Int, set: [String], over network: FaultyNetwork? = nil,
        at endpoint: String = "tcp://127.0.0.1:*", environment: [String: String] = [:]
    ) throws {
        self.jobs = jobs
        self.run = run
        self.network = network
        config = jobs.path("\(run).yaml")
        let all = SmallJobs.settings + ["train.steps=\(steps)"] + set
        let printed = try jobs.psctl(arguments: ["train", "--print-config"] + all.flatMap { ["--set", $0] })
        try printed.output.write(toFile: config, atomically: true, encoding: .utf8)
        try startCoordinator(at: endpoint, environment: environment)
    }

    func startCoordinator(at endpoint: String = "tcp://127.0.0.1:*", environment: [String: String] = [:]) throws {
        let endpoint = network?.listener(Daemons.coordinatorListener) ?? endpoint
        coordinator = try Running(
            "ps-coordinator", ["--config", config, "--run-dir", run, "--bind", endpoint], in: jobs.scratch.path,
            environment: environment)
    }

    private var place: String {
        network?.listener(Daemons.coordinatorListener) ?? "run:\(jobs.path(run))"
    }

    func addServer(rank: Int? = nil, environment: [String: String] = [:]) throws {
        servers.append(try server(rank, environment))
    }

    /// - Parameter rank: what it asks for.
    func addWorker(rank: Int? = nil, environment: [String: String] = [:]) throws {
        workers.append(try worker(workers.count, rank, environment))
    }

    /// Starts the next process in the place of one that has ended.
    func restartServer(_ rank: Int) throws { servers[rank] = try server(rank, [:]) }
    func restartWorker(_ rank: Int) throws { workers[rank] = try worker(rank, nil, [:]) }

    /// All of them, once all have ended.
    func restartAll() throws {
        for process in servers + workers {
            let end = try process.finish(within: 15)
            #expect([0, 1, 75].contains(end.code), "\(end.errors)")
        }
        try startCoordinator()
        for rank in servers.indices { try restartServer(rank) }
        for rank in workers.indices { try restartWorker(rank) }
    }

    private func server(_ rank: Int?, _ environment: [String: String]) throws -> Running {
        guard let network else {
            return try Running(
                "ps-server", ["--coordinator", place] + (rank.map { ["--rank", "\($0)"] } ?? []),
                environment: environment)
        }
        let rank = rank ?? servers.count
        return try Running(
            "ps-server",
            [
                "--coordinator", place, "--rank", "\(rank)", "--bind",
                network.listener(Daemons.listener(ofServer: rank)),
            ],
            environment: network.environment(Daemons.side(ofServer: rank)).merging(environment) { $1 })
    }

    private func worker(_ number: Int, _ rank: Int?, _ environment: [String: String]) throws -> Running {
        let own = network?.environment(Daemons.side(ofWorker: number)) ?? [:]
        return try Running(
            "ps-worker", ["--coordinator", place] + (rank.map { ["--rank", "\($0)"] } ?? []),
            environment: own.merging(environment) { $1 })
    }

    func process(_ role: Role, _ number: Int) -> Running {
        switch role {
        case .coordinator: coordinator
        case .server: servers[number]
        case .worker: workers[number]
        }
    }

    /// Waits for the coordinator's end, and that of all who live.
    func finish(dead: Set<Int> = [], code: Int32 = 0) throws -> RunSummary {
        let ended = try coordinator.finish(within: 60)
        #expect(ended.code == code, "\(ended.errors)")
        for process in servers + workers where !dead.contains(process.pid) {
            let end = try process.finish(within: 15)
            #expect(end.code == code, "\(end.errors)")
            words += end.errors
        }
        return try RunSummary.read(from: RunDirectory(jobs.path(run)))
    }

    deinit {
        for process in servers + workers + [coordinator].compactMap(\.self) where process.isRunning {
            process.send(SIGKILL)
        }
    }
}
