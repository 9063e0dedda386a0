// A part of an evaluation in a worker: measure it, report it.

import PSMessages
import PSParameters

extension WorkerState {
    mutating func measure(_ attempt: EvaluationAttempt, at now: MonotonicTime) -> [Effect] {
        guard layout != nil, attempt.number > lastCounted else { return [] }
        switch phase {
        case .idle: break
        // The step that the contribution is of will not be closed.
        case .pushing(let contribution) where attempt.number > contribution.attempt.number: dropTicket(at: now)
        default: return []
        }
        phase = .measuring(attempt, abandoned: false)
        return [.measure(attempt)]
    }

    mutating func measured(_ measurement: Measurement, at now: MonotonicTime) -> [Effect] {
        guard case .measuring(measurement.attempt, let abandoned) = phase else { return [] }
        unmeasurable = nil
        if abandoned { return becomeIdle(at: now) }
        phase = .reporting(measurement)
        lastAsked = now
        return [.sendToCoordinator(envelope(.measurement(measurement)))]
    }

    /// A checkpoint that is not seen yet, or not any more since others have measured it, is no reason to leave at once.
    mutating func measureFailed(
        _ attempt: EvaluationAttempt, _ text: String, _ problem: MeasureProblem, at now: MonotonicTime
    ) -> [Effect] {
        guard case .measuring(attempt, let abandoned) = phase else { return [] }
        if abandoned { return becomeIdle(at: now) }
        let since = unmeasurable ?? now
        let why = "step \(attempt.version) cannot be evaluated: \(text)"
        switch problem {
        case .lasts: return leave(why, code: ExitStatus.refused)
        case .mayPass where now.since(since) >= timing.unavailable: return leave(why)
        case .mayPass:
            unmeasurable = since
            // The next try when it is due.
            dropTicket(at: now)
            return []
        case .checkpointDamaged:
            dropTicket(at: now)
            return [
                .sendToCoordinator(envelope(.failed(version: attempt.version, text: text, what: .loadDamaged)))
            ]
        }
    }
}
