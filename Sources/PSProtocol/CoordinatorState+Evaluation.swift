// Evaluation beside training: a version that is due is saved, workers measure parts of the test images with that checkpoint
// between their tickets, and what all parts come to is journaled.
//
// What is measured, and what follows from it, is decided by versions and never by time: a step that would pass a version
// that is due waits until its checkpoint is complete and the evaluation before it is done.

import PSMessages
import PSParameters

/// The evaluation under way.
struct Evaluating: Sendable {
    let version: Version
    var parts: Assignments<EvaluationAttempt, Measurement>

    init(_ version: Version, partCount: Int) {
        self.version = version
        parts = Assignments(count: partCount)
    }

    /// - Returns: whether the attempt stands or is known already.
    mutating func count(_ measurement: Measurement) -> Assignments<EvaluationAttempt, Measurement>.Count {
        let attempt = measurement.attempt
        return attempt.version == version ? parts.finish(attempt, attempt.part, measurement) : .stale
    }

    /// In order.
    var measurements: [Measurement] { parts.outcomes }

    var partCount: Int { parts.count }
}

extension CoordinatorState {
    private func isMeasured(_ version: Version) -> Bool { evaluations.contains { $0.version == version } }

    private func isDue(_ version: Version) -> Bool { settings.evaluation?.isDue(version) ?? false }

    /// Whether the job is at its end and measures that.
    private var measuresTheEnd: Bool {
        guard case .finalizing(let status) = phase else { return false }
        return status.code == 0 && settings.evaluation?.atEnd ?? false
    }

    /// Whether the state a coordinator starts with is past its last step, but for the evaluation of that.
    var lacksLastEvaluation: Bool { settings.evaluation?.atEnd ?? false && !isMeasured(version) }

    /// Checkpoints that are kept because they are yet to be measured.
    var versionsToMeasure: [Version] {
        checkpoints.filter { $0.foreign == nil }.map(\.version).filter { version in
            !isMeasured(version) && !unmeasurable.contains(version)
                && (isDue(version) || (measuresTheEnd && version == self.version))
        }
    }

    /// Whether a step from the current version would leave something behind that its evaluation needs.
    var waitsForEvaluation: Bool {
        guard isDue(version) else { return false }
        return lacksCheckpoint || waitsForEarlier
    }

    /// The version at hand is due and its checkpoint not complete: a coordinator that dies before it is could not have the
    /// version saved again once the servers are past it. Where saving is not possible now, the evaluation is left out.
    private var lacksCheckpoint: Bool {
        isDue(version) && !isMeasured(version) && lastCheckpoint != version && unsavable == nil && nonFiniteSteps == 0
    }

    /// It is not even under way.
    var owesCheckpoint: Bool { lacksCheckpoint && saving?.version != version }

    /// The version that is being measured, or is next.
    private var pendingEvaluation: Version? { evaluating?.version ?? versionsToMeasure.first }

    var isEvaluationPending: Bool { pendingEvaluation != nil }

    /// Begins the next evaluation, if one is due and none under way.
    mutating func evaluateNext(at now: MonotonicTime) -> [Effect] {
        guard evaluating == nil, let schedule = settings.evaluation, let version = versionsToMeasure.first else {
            return []
        }
        evaluating = Evaluating(version, partCount: schedule.partCount)
        return assign(at: now)
    }

    /// The part that a worker should have now rather than a training ticket.
    ///
    /// - Parameter insteadOfTicket: whether there is one that nobody has.
    func part(for worker: Incarnation, insteadOfTicket: Bool, at now: MonotonicTime) -> Int? {
        let overdue = !insteadOfTicket ? evaluating?.parts.overdue(since: partDeadline(at: now), for: worker) : nil
        guard let part = evaluating?.parts.nextOpen ?? overdue?.place else { return nil }
        // One for one, so that both go on; all of it when training waits for it anyway.
        return !insteadOfTicket || waitsForEvaluation || !measuredLast.contains(worker) ? part : nil
    }

    /// Parts granted before this moment are given to another worker as well.
    private func partDeadline(at now: MonotonicTime) -> MonotonicTime { now.later(-timing.deadline(partTimes.median)) }

    mutating func grantPart(_ part: Int, to worker: Incarnation, at now: MonotonicTime) -> Effect {
        attempts += 1
        let attempt = EvaluationAttempt(version: evaluating!.version, part: part, number: term << 40 | attempts)
        evaluating!.parts.grant(attempt, part, to: worker, at: now)
        measuredLast.insert(worker)
        return .send(envelope(.measure(attempt), to: worker))
    }

    mutating func measured(_ measurement: Measurement, worker: Incarnation, at now: MonotonicTime) -> [Effect] {
        switch evaluating?.count(measurement) {
        case .counted(let grant, _, _)?: partTimes.add(now.since(grant.since))
        case .known?: break
        case .stale?, nil: return refuse(worker, .stale, "that part of the evaluation is not open any more")
        }
        return [.send(envelope(.measured(measurement.attempt), to: worker))] + evaluatedIfComplete(at: now)
    }

    /// A worker cannot read the checkpoint. Training goes on: whoever needs the checkpoint finds out for itself.
    mutating func measureFailed(_ version: Version, _ text: String, at now: MonotonicTime) -> [Effect] {
        guard evaluating?.version == version else { return [] }
        evaluating = nil
        unmeasurable.insert(version)
        return [.warn("step \(version) is not evaluated: \(text)")] + goOnAfterEvaluation(at: now)
    }

    private mutating func evaluatedIfComplete(at now: MonotonicTime) -> [Effect] {
        guard let evaluating, evaluating.measurements.count == evaluating.partCount else { return [] }
        let report = EvaluationReport(
            evaluating.version, evaluating.measurements, stepsPerEpoch: settings.stepsPerEpoch)
        self.evaluating = nil
        evaluations.append(report)
        evaluations.sort { $0.version < $1.version }
        var effects: [Effect] = [.journal(.evaluated(report), sync: true), .evaluated(report)]
        if report.images == 0 { effects.append(.warn("none of the test images can be read: nothing was measured")) }
        return effects + goOnAfterEvaluation(at: now)
    }

    private mutating func goOnAfterEvaluation(at now: MonotonicTime) -> [Effect] {
        let effects = evaluateNext(at: now)
        switch phase {
        case .running: return effects + (order == nil ? settled(at: now) : []) + assign(at: now)
        case .finalizing: return effects + finishIfSaved(at: now)
        default: return effects
        }
    }

    /// At a version that is due: why training on is in vain, by the evaluations before it.
    var earlyEnd: String? {
        guard let schedule = settings.evaluation, schedule.patience > 0, isDue(version), !waitsForEarlier,
            closing == nil
        else { return nil }
        let former = evaluations.filter { $0.version < version }
        guard let best = former.best else { return nil }
        let since = former.count { $0.version > best.version }
        guard since >= schedule.patience else { return nil }
        return "stopped early at step \(version): none of \(since) evaluations was better than that of step "
            + "\(best.version); to train on, resume with a larger train.patience"
    }

    var waitsForEarlier: Bool { pendingEvaluation.map { $0 < version } ?? false }

    /// The evaluation of a version that the job passed without saving it is left out.
    func leftOut(_ version: Version) -> [Effect] {
        guard isDue(version), !isMeasured(version), saving?.version != version,
            !checkpoints.contains(where: { $0.version == version })
        else { return [] }
        return [
            .warn(
                "step \(version) is not evaluated: "
                    + (unsavable == nil ? "its gradient was not finite" : "its checkpoint could not be written"))
        ]
    }
}
