// Follows a run's journals from the first record on, and holds each record against those before it: who was given which
// ticket, whose contribution counted, what was committed, and what became of the rest.
//
// It knows nothing of the coordinator's states: what it says of a job is a second opinion.

import PSFiles
import PSMessages
import PSParameters
import PSProtocol
import PSRun

package struct JournalAudit: Sendable {
    /// What became of the attempts at tickets: each has one end.
    package struct Tickets: Sendable, Hashable, Codable {
        /// Every attempt that a worker was given.
        package var granted = 0
        /// Of those: at a ticket that another attempt was already at.
        package var grantedAgain = 0
        /// Contributions that the servers held.
        package var counted = 0
        /// In the steps that count.
        package var committed = 0
        /// Made void by a rollback, a hand-over, or a coordinator's end; committed ones among them.
        package var voided = 0
        /// Another attempt at the same ticket was the step's.
        package var passedOver = 0
        /// Neither, yet.
        package var outstanding = 0

        enum CodingKeys: String, CodingKey {
            case granted, counted, committed, voided, outstanding
            case grantedAgain = "granted_again"
            case passedOver = "passed_over"
        }
    }

    package struct Steps: Sendable, Hashable, Codable {
        /// The first one that the journals which are there tell of.
        package var from: UInt64 = 0
        /// Commits of the history that counts.
        package var committed: UInt64 = 0
        /// Steps that were void and were computed again with the settings of the first time; their norm, scale, rate and
        /// losses are the same, or it is a problem.
        package var computedAgain = 0
        /// The same with other settings, which are not compared.
        package var computedOtherwise = 0

        enum CodingKeys: String, CodingKey {
            case from, committed
            case computedAgain = "computed_again"
            case computedOtherwise = "computed_otherwise"
        }
    }

    package struct Problem: Sendable, Hashable, Codable {
        /// Nil: it is of the run as a whole.
        package let place: RecordPlace?
        package let text: String
    }

    package private(set) var tickets = Tickets()
    package private(set) var steps = Steps()
    package private(set) var records = 0
    /// Starts of the coordinator.
    package private(set) var starts = 0
    package private(set) var rollbacks = 0
    package private(set) var handovers = 0
    package private(set) var problems: [Problem] = []
    /// What the journals come to.
    package private(set) var replay = Replay()

    private let shape: StepShape
    /// Attempts without an end, by number.
    private var open: [UInt64: Open] = [:]
    /// Tickets of the open step that somebody was given.
    private var given: Set<Ticket> = []
    private var lastAttempt: UInt64 = 0
    private var closed: (step: Step, attempts: [Attempt])?
    /// Commits of the history that counts.
    private var version: Version = 0
    /// What each step came to when it was committed last, from `steps.from` on; those that count come first.
    private var done: [Done] = []
    /// Counts the changes of settings that change numbers.
    private var recipe = 0
    private var isBegun = false
    private var formerPayload: [UInt8] = []

    private struct Open: Sendable {
        let ticket: Ticket
        let worker: Incarnation
        var contribution: Contribution?
    }

    private struct Done: Sendable {
        let attempts: Int
        let commit: Commit?
        let norm: Double?
        /// Of the losses in ticket order.
        let losses: UInt64
        let recipe: Int
    }

    /// - Parameter ticketsPerStep: of the run's settings.
    package init(ticketsPerStep: Int) { shape = StepShape(ticketsPerStep: ticketsPerStep) }

    // MARK: The records

    /// - Parameter isFirst: of its journal.
    package mutating func take(_ payload: [UInt8], at place: RecordPlace, isFirst: Bool) {
        records += 1
        defer { formerPayload = payload }
        guard let decoded = JournalRecord.decode(payload) else {
            return blame(place, "is sound but not of this release: look at it with the release that wrote it")
        }
        if payload == formerPayload, !JournalAudit.mayRepeat(decoded) { blame(place, "is there twice") }
        for record in decoded {
            take(record, place, isFirst: isFirst)
            replay.apply(record)
            isBegun = true
        }
    }

    /// Two people may ask for the same stop.
    private static func mayRepeat(_ records: [JournalRecord]) -> Bool {
        if case .stopAfter? = records.first { true } else { false }
    }

    private mutating func take(_ record: JournalRecord, _ place: RecordPlace, isFirst: Bool) {
        switch record {
        case .header:
            if isBegun { blame(place, "begins a job in the middle of one") }
        case .state(let state): begins(with: state, place, isFirst: isFirst)
        case .settings(let settings):
            if replay.settings.map({ JournalAudit.numbers($0) != JournalAudit.numbers(settings) }) ?? false {
                recipe += 1
            }
        case .term(let term, _):
            if term <= replay.term { blame(place, "is term \(term), after term \(replay.term)") }
            starts += 1
            // Whoever has a ticket stands back when another coordinator speaks.
            void { $0.contribution == nil }
        case .rollback(let generation, let base):
            check(generation, place)
            rollbacks += generation > 1 ? 1 : 0
            goBack(to: base?.version ?? 0)
        case .handover(let generation, let version, _):
            check(generation, place)
            handovers += 1
            if let closed, version == closed.step.after { finish(commit: nil, norm: nil, place) }
            if version != self.version { blame(place, "goes on from step \(version), after step \(self.version)") }
            voidOpen()
        case .step(let step): take(step, place)
        case .checkpoint(let reference, _):
            if reference.version > version {
                blame(place, "is a checkpoint of step \(reference.version), which is not committed")
            }
        case .recipe, .plan, .data, .testData, .kernels, .worker, .evaluated, .stopAfter, .resumed, .finished, .ended:
            break
        }
    }

    private mutating func take(_ record: StepRecord, _ place: RecordPlace) {
        switch record {
        case .granted(let attempt, let worker):
            if attempt.number <= lastAttempt {
                blame(place, "grants attempt \(name(attempt)), which was granted before")
            }
            lastAttempt = max(lastAttempt, attempt.number)
            if shape.step(of: attempt.ticket) != openStep {
                blame(place, "grants ticket \(attempt.ticket) while step \(openStep) is open")
            }
            tickets.granted += 1
            if !given.insert(attempt.ticket).inserted { tickets.grantedAgain += 1 }
            open[attempt.number] = Open(ticket: attempt.ticket, worker: worker)
        case .counted(let contribution, let worker):
            let attempt = contribution.attempt
            tickets.counted += 1
            if worker == 0, open[attempt.number] == nil {
                // Of a release that did not write down who was given what.
                tickets.granted += 1
                open[attempt.number] = Open(ticket: attempt.ticket, worker: 0)
            }
            guard let known = open[attempt.number], known.ticket == attempt.ticket else {
                return blame(
                    place, "counts attempt \(name(attempt)) at ticket \(attempt.ticket), which nobody was given")
            }
            if known.worker != worker, known.worker != 0 {
                blame(place, "counts attempt \(name(attempt)) of another worker than was given it")
            }
            if known.contribution != nil, worker != 0 { blame(place, "counts attempt \(name(attempt)) twice") }
            open[attempt.number]!.contribution = contribution
        case .closed(let step, let attempts):
            // A commit is not synchronized: that of the step before may be missing.
            if closed != nil, step != closed!.step { finish(commit: nil, norm: nil, place) }
            if closed != nil { blame(place, "closes step \(step) twice") }
            if step != openStep { blame(place, "closes step \(step), when \(version) steps are committed") }
            if attempts.map(\.ticket) != Array(shape.tickets(of: step)) {
                blame(place, "closes step \(step) with other tickets than its own: \(attempts.map(\.ticket.number))")
            }
            for attempt in attempts where open[attempt.number]?.contribution?.attempt != attempt {
                blame(place, "closes step \(step) with attempt \(name(attempt)), which was not counted")
            }
            closed = (step, attempts)
        case .committed(let commit, let norm):
            if let closed, closed.step == commit.step { return finish(commit: commit, norm: norm, place) }
            // The next coordinator writes it again where it may be missing.
            guard commit.step.after == version, live > 0, live <= done.count else {
                return blame(place, "commits step \(commit.step), which was not closed")
            }
            if let known = done[live - 1].commit, known != commit {
                blame(place, "commits step \(commit.step) with other numbers")
            }
        }
    }

    private var openStep: Step { closed?.step ?? version.nextStep }

    // MARK: What follows

    /// A journal that was begun anew says what those before came to.
    private mutating func begins(with state: Replay, _ place: RecordPlace, isFirst: Bool) {
        guard isFirst else { return blame(place, "begins a journal in the middle of one") }
        defer { version = state.version }
        if !isBegun {
            // Those before it are gone.
            steps.from = state.version.number
            let contributions = state.openClose ?? state.openContributions
            for contribution in contributions {
                let attempt = contribution.attempt
                open[attempt.number] = Open(ticket: attempt.ticket, worker: 0, contribution: contribution)
                given.insert(attempt.ticket)
            }
            tickets.granted += contributions.count
            tickets.counted += contributions.count
            closed = state.openClose.map { (state.version.nextStep, $0.map(\.attempt)) }
            return
        }
        if state.part != replay.part + 1 {
            blame(place, "begins journal \(state.part), after journal \(replay.part)")
        } else if JournalAudit.history(state) != JournalAudit.history(replay) {
            blame(place, "says another history than the journals before it: one of them was cut or changed")
        }
    }

    /// What of a state must be the same at the end of one journal and the beginning of the next.
    private static func history(_ replay: Replay) -> [UInt8] {
        var history = replay
        // Reports that are on the disk elsewhere are left out.
        history.committed = []
        history.part = 0
        // Its keys in order.
        return JSON.pretty(history)
    }

    /// The settings that change what is computed.
    private static func numbers(_ settings: [String: String]) -> [String: String] {
        settings.filter { key, _ in
            !["cluster.", "server.", "checkpoint.", "eval."].contains { key.hasPrefix($0) }
                && !["name", "data.path", "data.threads"].contains(key)
        }
    }

    private mutating func check(_ generation: UInt32, _ place: RecordPlace) {
        if isBegun, generation <= replay.generation, replay.generation > 0 {
            blame(place, "is generation \(generation), after generation \(replay.generation)")
        }
    }

    /// How many of `done` count.
    private var live: Int { Int(clamping: max(version.number, steps.from) - steps.from) }

    /// A step that was closed is committed.
    private mutating func finish(commit: Commit?, norm: Double?, _ place: RecordPlace) {
        guard let closed else { return }
        self.closed = nil
        version = closed.step.after
        var losses: UInt64 = 14_695_981_039_346_656_037
        for attempt in closed.attempts {
            let loss = open.removeValue(forKey: attempt.number)?.contribution?.loss ?? 0
            losses = (losses ^ loss.bitPattern) &* 1_099_511_628_211
        }
        tickets.committed += closed.attempts.count
        tickets.passedOver += open.count
        open = [:]
        given = []
        let now = Done(attempts: closed.attempts.count, commit: commit, norm: norm, losses: losses, recipe: recipe)
        let index = Int(clamping: closed.step.number - min(closed.step.number, steps.from))
        if index < done.count {
            compare(now, with: done[index], closed.step, place)
            done[index] = now
        } else {
            done.append(now)
        }
    }

    /// The same tickets with the same weights and settings give the same bits.
    private mutating func compare(_ now: Done, with former: Done, _ step: Step, _ place: RecordPlace) {
        guard now.recipe == former.recipe else {
            steps.computedOtherwise += 1
            return
        }
        steps.computedAgain += 1
        if now.losses != former.losses { blame(place, "step \(step), computed again, has other losses") }
        guard let commit = now.commit, let old = former.commit else { return }
        if commit != old {
            blame(
                place, "step \(step), computed again, is committed with \(numbers(commit)), before with \(numbers(old))"
            )
        }
        if let norm = now.norm, let oldNorm = former.norm, norm.bitPattern != oldNorm.bitPattern {
            blame(place, "step \(step), computed again, has the norm \(norm), before \(oldNorm)")
        }
    }

    private func numbers(_ commit: Commit) -> String {
        "scale \(commit.scale), rate \(commit.learningRate), decay \(commit.averageDecay)\(commit.skip ? ", left out" : "")"
    }

    private mutating func goBack(to base: Version) {
        voidOpen()
        defer { version = base }
        let from = Int(clamping: max(base.number, steps.from) - steps.from)
        guard from < live else { return }
        let void = done[from..<min(live, done.count)].reduce(0) { $0 + $1.attempts }
        tickets.committed -= void
        tickets.voided += void
    }

    private mutating func voidOpen() {
        closed = nil
        given = []
        void { _ in true }
    }

    private mutating func void(where isVoid: (Open) -> Bool) {
        let before = open.count
        open = open.filter { !isVoid($0.value) }
        tickets.voided += before - open.count
    }

    private func name(_ attempt: Attempt) -> String { AttemptName(attempt.number).description }

    private mutating func blame(_ place: RecordPlace?, _ text: String) {
        if problems.count < 1000 { problems.append(Problem(place: place, text: text)) }
    }

    // MARK: The end

    /// The last record was taken.
    package mutating func end() {
        steps.committed = version.number
        tickets.outstanding = open.count
        let ends = tickets.committed + tickets.voided + tickets.passedOver + tickets.outstanding
        if ends != tickets.granted, problems.isEmpty {
            blame(nil, "\(tickets.granted) tickets were granted, and \(ends) have an end")
        }
    }

    /// Something of the run that contradicts its journals.
    package mutating func blame(_ text: String) { blame(nil, text) }
}

/// An attempt as people are shown it: the term of the coordinator that granted it, and its number in that.
package struct AttemptName: Sendable, Hashable, CustomStringConvertible {
    package let description: String
    package init(_ number: UInt64) { description = "\(number >> 40).\(number & (1 << 40 - 1))" }
}
