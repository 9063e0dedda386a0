// `psctl bench storm`: what is left of a job's speed when its processes are killed all the time.
//
// A real job runs on this machine, and its processes are killed at random moments, workers at a rate that is counted in
// steps. A calm job of as many steps follows, with as many workers as the storm had alive on average; both must come to the
// same weights, bit for bit.

import Foundation
import Glibc
import PSConfiguration
import PSFiles
import PSJob
import PSMessages
import PSParameters
import PSProtocol
import PSReport
import PSRun

package struct StormBenchmark: Encodable, Sendable {
    package struct Plan: Sendable {
        /// Of workers.
        package var kills: Int
        /// Steps between two kills of workers, on average.
        package var stepsPerKill: Double
        /// Of servers, and as many of the coordinator.
        package var otherKills: Int
        package var seed: UInt64

        package init(kills: Int, stepsPerKill: Double, otherKills: Int, seed: UInt64) {
            self.kills = kills
            self.stepsPerKill = stepsPerKill
            self.otherKills = otherKills
            self.seed = seed
        }
    }

    package let workers: Int
    package let servers: Int
    package let replicas: Int
    package let ticketsPerStep: Int
    package let stepsPerKill: Double
    /// By role.
    package let kills: [String: Int]
    package let steps: UInt64
    /// Of the steps that are counted, all committed; and all that were granted for them.
    package let usefulTickets: Int
    package let grantedTickets: Int
    package let ticketEfficiency: Double
    package let seconds: Double
    /// Workers alive, over the storm.
    package let meanWorkers: Double
    package let calmWorkers: Int
    package let calmSeconds: Double
    package let timeEfficiency: Double
    /// Generations that began with the memory of servers, and those that went back to a checkpoint.
    package let rollbacks: Int
    package let handovers: Int
    /// Whether the calm job came to the same weights.
    package let verified: Bool
    package let weights: String?
    private let history: StormHistory
    private let calmHistory: StormHistory

    enum CodingKeys: String, CodingKey {
        case workers, servers, replicas, kills, steps, seconds, rollbacks, handovers, verified, weights
        case ticketsPerStep = "tickets_per_step"
        case stepsPerKill = "steps_per_kill"
        case usefulTickets = "useful_tickets"
        case grantedTickets = "granted_tickets"
        case ticketEfficiency = "ticket_efficiency"
        case meanWorkers = "mean_workers"
        case calmWorkers = "calm_workers"
        case calmSeconds = "calm_seconds"
        case timeEfficiency = "time_efficiency"
    }

    /// - Parameter programs: the directory of the daemons' programs.
    package init(
        _ configuration: JobConfiguration, _ plan: Plan, programs: String, note: @escaping (String) -> Void
    ) throws {
        try LocalLimits.check(configuration)
        workers = configuration.cluster.workers
        servers = configuration.cluster.servers
        replicas = configuration.server.replicas
        ticketsPerStep = configuration.train.ticketsPerStep
        stepsPerKill = plan.stepsPerKill
        let storm = Storm(plan, workers: workers, ticketsPerStep: ticketsPerStep, note: note)
        let ended = try BenchmarkRun.run(configuration, programs: programs) { _, status in
            storm.look(at: status)
            return storm.isDone ? status.version.nextStep.after : nil
        }
        history = storm.history
        kills = storm.kills
        steps = ended.step
        rollbacks = ended.rollbacks
        handovers = ended.handovers
        meanWorkers = history.meanWorkers(workers)
        calmWorkers = max(1, Int(meanWorkers.rounded()))
        usefulTickets = history.committedTickets(ticketsPerStep)
        grantedTickets = history.granted
        ticketEfficiency = min(1, Double(usefulTickets) / Double(max(1, grantedTickets)))
        note("once more without kills: \(steps) steps, \(Report.count(calmWorkers, "worker"))")
        var calmConfiguration = configuration
        calmConfiguration.cluster.workers = calmWorkers
        let calmStorm = Storm(
            Plan(kills: 0, stepsPerKill: 1, otherKills: 0, seed: 0), workers: calmWorkers,
            ticketsPerStep: ticketsPerStep,
            note: { _ in })
        let last = Version(ended.step)
        let calm = try BenchmarkRun.run(calmConfiguration, programs: programs) { _, status in
            calmStorm.look(at: status)
            return last
        }
        calmHistory = calmStorm.history
        // Where one of them has begun later, steps are counted from there.
        let first = max(history.first, calmHistory.first)
        seconds = history.seconds(from: first, to: last)
        calmSeconds = calmHistory.seconds(from: first, to: last)
        timeEfficiency = calmSeconds / max(seconds, 1e-9)
        verified = calm.step == ended.step && calm.weights == ended.weights
        weights = ended.weights
    }

    package var text: String {
        func percent(_ share: Double) -> String { Report.decimal(100 * share, places: 1) + "%" }
        let victims = kills.sorted { $0.key > $1.key }.map { Report.count($0.value, $0.key) }.joined(separator: ", ")
        return """
            \(Report.count(workers, "worker")), \(Report.count(servers, "server")), \
            \(replicas == 0 ? "no replicas" : "replicas"), \(ticketsPerStep) tickets a step
            killed: \(victims); a worker every \(Report.decimal(stepsPerKill, places: 1)) steps
            steps: \(steps), all committed; \(Report.count(handovers, "hand-over")), \
            \(Report.count(rollbacks, "rollback"))
            tickets: \(usefulTickets) useful of \(grantedTickets) granted, \(percent(ticketEfficiency))
            time: \(Report.decimal(seconds, places: 1)) s with \(Report.decimal(meanWorkers, places: 2)) workers alive on \
            average; the calm job with \(calmWorkers): \(Report.decimal(calmSeconds, places: 1)) s; \
            \(percent(timeEfficiency))
            weights: \(verified ? "those of the calm job, bit for bit" : "WRONG") (sha256 \(weights ?? "none"))

            """
    }

    /// The storm over time: steps, kills, tickets lost.
    package var svg: String {
        StormPicture(
            history: history, calm: calmHistory, title: title, figures: text.split(separator: "\n").map(String.init)
        ).svg
    }

    private var title: String {
        "A storm: \(kills.values.reduce(0, +)) kills in \(Report.decimal(seconds, places: 0)) s"
    }
}

/// What was seen of a job, about ten times a second.
struct StormHistory: Sendable {
    struct Moment: Sendable {
        /// Seconds since the first one.
        let time: Double
        let version: Version
        let granted: Int
        let alive: Int
    }

    struct Kill: Sendable {
        let time: Double
        let role: Role
    }

    var moments: [Moment] = []
    var kills: [Kill] = []
    /// Seconds that workers were missing.
    var missing = 0.0

    var first: Version { moments.first?.version ?? 0 }
    var granted: Int { (moments.last?.granted ?? 0) - (moments.first?.granted ?? 0) }
    var duration: Double { moments.last?.time ?? 0 }

    func committedTickets(_ ticketsPerStep: Int) -> Int {
        Int((moments.last?.version ?? 0).commits(since: first)) * ticketsPerStep
    }

    func meanWorkers(_ workers: Int) -> Double {
        duration > 0 ? Double(workers) - missing / duration : Double(workers)
    }

    func seconds(from first: Version, to last: Version) -> Double {
        guard let start = moments.first(where: { $0.version >= first }),
            let end = moments.first(where: { $0.version >= last }) ?? moments.last
        else { return 0 }
        return end.time - start.time
    }
}

/// Kills processes of a job at random moments, and keeps what it saw.
private final class Storm {
    private(set) var history = StormHistory()
    private(set) var kills: [String: Int] = [:]
    private let plan: StormBenchmark.Plan
    private let workers: Int
    private let ticketsPerStep: Int
    private let note: (String) -> Void
    private let random: CounterRandom
    private var draws: UInt64 = 0
    private var start: Date?
    /// In steps since the first that was seen.
    private var nextWorker = 0.0
    private var others: [(at: Double, role: Role)] = []
    private var killed: Set<Int> = []
    /// Tickets granted by coordinators before the one that runs.
    private var grantedBefore = 0
    private var coordinator = 0
    private var lastGranted = 0

    init(
        _ plan: StormBenchmark.Plan, workers: Int, ticketsPerStep: Int, note: @escaping (String) -> Void
    ) {
        self.plan = plan
        self.workers = workers
        self.ticketsPerStep = ticketsPerStep
        self.note = note
        random = CounterRandom(seed: plan.seed, name: "storm")
        nextWorker = 1 + gap()
        let length = plan.stepsPerKill * Double(plan.kills)
        others = [Role.server, .coordinator].flatMap { role in
            (0..<plan.otherKills).map { _ in (at: 1 + draw() * length, role: role) }
        }.sorted { $0.at < $1.at }
    }

    private func draw() -> Double {
        draws += 1
        return Double(random.uniform(draws))
    }

    /// Kills come as they do where each moment is as likely as any other.
    private func gap() -> Double { -log(max(1e-9, 1 - draw())) * plan.stepsPerKill }

    var isDone: Bool { count(.worker) >= plan.kills && others.isEmpty }

    private func count(_ role: Role) -> Int { kills[role.name] ?? 0 }

    func look(at status: JobStatus) {
        guard status.state == .running || status.state == .recovering else { return }
        let running = status.processes.filter { $0.state == .up && !killed.contains($0.pid) }
        let alive = running.filter { $0.role == Role.worker.name }
        if start == nil {
            // From the first step that begins with everybody at work.
            guard status.version.number >= 2, alive.count == workers else { return }
            start = Date()
        }
        guard let start else { return }
        let now = Date()
        let time = now.timeIntervalSince(start)
        take(status.tickets?.granted ?? 0, of: status.processes.first { $0.role == Role.coordinator.name }?.pid ?? 0)
        if let last = history.moments.last {
            history.missing += Double(max(0, workers - last.alive)) * (time - last.time)
        }
        history.moments.append(
            StormHistory.Moment(
                time: time, version: status.version, granted: grantedBefore + lastGranted, alive: alive.count))
        strike(status, running, at: time)
    }

    private func take(_ granted: Int, of coordinator: Int) {
        if coordinator != self.coordinator {
            grantedBefore += lastGranted
            self.coordinator = coordinator
        }
        lastGranted = granted
    }

    private func strike(_ status: JobStatus, _ running: [JobStatus.Process], at time: Double) {
        // How far the open step is: counted since this coordinator began, which was with a step.
        let within = Double((status.tickets?.counted ?? 0) % ticketsPerStep) / Double(ticketsPerStep)
        let progress = Double(status.version.commits(since: history.first)) + within
        while count(.worker) < plan.kills, progress >= nextWorker {
            nextWorker += gap()
            kill(.worker, running, at: time)
        }
        guard let next = others.first, progress >= next.at else { return }
        // More kills than replicas are another story: the next one waits until there is a replica again.
        if next.role == .server, let replicas = status.replicas {
            // Nor is one killed while the coordinator has not noticed the last one.
            let isUnnoticed = status.processes.contains {
                $0.role == Role.server.name && $0.state == .up && killed.contains($0.pid)
            }
            if isUnnoticed || replicas.inStep < replicas.wanted { return }
        }
        others.removeFirst()
        kill(next.role, running, at: time)
    }

    private func kill(_ role: Role, _ running: [JobStatus.Process], at time: Double) {
        let candidates = running.filter { $0.role == role.name && !killed.contains($0.pid) }
        guard !candidates.isEmpty else { return }
        let victim = candidates[min(candidates.count - 1, Int(draw() * Double(candidates.count)))]
        guard Glibc.kill(pid_t(victim.pid), SIGKILL) == 0 else { return }
        killed.insert(victim.pid)
        kills[role.name, default: 0] += 1
        history.kills.append(StormHistory.Kill(time: time, role: role))
        let total = kills.values.reduce(0, +)
        if total.isMultiple(of: 50) { note("\(total) kills") }
    }
}
