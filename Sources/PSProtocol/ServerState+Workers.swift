// What a server answers to workers: pulls of published versions, pushes of gradient slices.

import PSMessages
import PSParameters
import PSProofs

extension ServerState {
    /// Whether a word shows what the coordinator gave to who says it: to a worker the pass of its generation to pull and
    /// the proof of its grant to push, to a server what only servers can make. Whoever cannot show it is told nothing.
    package func isShown(_ envelope: Envelope) -> Bool {
        guard let grantKey else { return false }
        let worker = envelope.source
        switch envelope.message {
        case .pull, .heartbeat:
            return envelope.proof.matches(grantKey.pass(worker: worker, generation: envelope.generation))
        case .follow:
            return envelope.proof.matches(
                grantKey.peer(from: worker, to: incarnation, generation: envelope.generation))
        case .push(let attempt, _):
            return envelope.proof.matches(
                grantKey.grant(worker: worker, ticket: attempt.ticket.number, attempt: attempt.number))
        default: return false
        }
    }

    mutating func workerSaid(_ envelope: Envelope, _ values: HeldValues?) -> [Effect] {
        let worker = envelope.source
        guard envelope.job == job, job != 0 else {
            return refuse(worker, .job, "this server belongs to another job")
        }
        guard envelope.destination == incarnation else {
            return refuse(worker, .incarnation, "the server that was meant is no more; another start of it runs here")
        }
        // It asks whether the way is whole.
        if case .heartbeat = envelope.message { return [.sendToWorker(worker, to(worker, .heartbeat(Heartbeat())))] }
        guard envelope.generation == generation, phase == .ready else {
            return refuse(
                worker, .generation, "generation \(generation) is served, not \(envelope.generation)")
        }
        switch envelope.message {
        case .pull(let version, let slices):
            guard Set(slices).count == slices.count else {
                return refuse(worker, .malformed, "a pull names a slice twice")
            }
            // One answer to one question, however much it asks for.
            if let missing = slices.first(where: { published[$0] == nil }) {
                return refuse(worker, .malformed, "slice \(missing) is not held here")
            }
            return slices.flatMap { pull($0, version: version, worker: worker) }
        case .push(let attempt, let header):
            return push(attempt, header, worker: worker, values)
        case .follow(let progress): return followed(progress, by: worker)
        default:
            return refuse(worker, .malformed, "a server takes pulls and pushes from workers, nothing else")
        }
    }

    private mutating func pull(_ slice: Int, version: Version, worker: Incarnation) -> [Effect] {
        guard let current = published[slice] else { return [] }
        if version == current {
            return [
                .publish(to: worker, to(worker, .publish(SliceHeader(index: slice, version: version))), slice: slice)
            ]
        }
        if version > current {
            parked[slice, default: [:]][worker] = version
            return []
        }
        return [.sendToWorker(worker, to(worker, .gone(version: version, slices: [slice])))]
    }

    /// Sends a slice that was just published to those who waited for it.
    mutating func serveParked(_ slice: Int) -> [Effect] {
        guard let waiting = parked[slice], let current = published[slice] else { return [] }
        var effects: [Effect] = []
        for (worker, version) in waiting.sorted(by: { $0.key < $1.key }) where version <= current {
            parked[slice]![worker] = nil
            effects += pull(slice, version: version, worker: worker)
        }
        return effects
    }

    private mutating func push(
        _ attempt: Attempt, _ header: SliceHeader, worker: Incarnation, _ values: HeldValues?
    ) -> [Effect] {
        guard let stepShape, let bytes = buffer?.byteCount(of: header.index) else {
            return refuse(worker, .malformed, "slice \(header.index) is not held here")
        }
        guard let values, values.byteCount == bytes else {
            return refuse(
                worker, .malformed, "slice \(header.index) has \(bytes) bytes, not \(values?.byteCount ?? 0)")
        }
        let push = GradientBuffer.Push(
            attempt: attempt, place: stepShape.place(of: attempt.ticket), slice: header.index, worker: worker)
        let computedFrom = stepShape.step(of: attempt.ticket).before
        guard computedFrom == header.version,
            computedFrom == version || computedFrom == version.nextStep.after
        else {
            return refuse(worker, .stale, "ticket \(attempt.ticket) is not of the step that is open here, \(version)")
        }
        if computedFrom > version {
            // The commit is decided, other servers have published it, and it is still to come or under way here.
            buffer!.keepForNext(push)
            return []
        }
        let took = Effect.sendToWorker(worker, to(worker, .took(attempt, slice: header.index)))
        switch buffer!.take(push, values) {
        case .taken: return [.keep(values), took] + held(push) + foldNext(header.index)
        case .declined: return []
        case .known(let first, let waiting):
            let effects = [took] + held(push)
            if buffer!.isAlarmed(attempt.ticket) { return effects }
            let difference = Difference(ticket: attempt.ticket, slice: header.index, first: first, second: worker)
            return effects
                + [.compare(generation: generation, place: push.place, waiting: waiting, difference)]
        }
    }

    /// Tells the sender when every slice of its ticket is here.
    private func held(_ push: GradientBuffer.Push) -> [Effect] {
        buffer?.holds(push.place) ?? false
            ? [.sendToWorker(push.worker, to(push.worker, .held(push.attempt)))] : []
    }

    /// Every worker computes the same bits, and the first that came count. What is alarming is said once a ticket.
    mutating func differs(_ difference: Difference) -> [Effect] {
        guard buffer?.alarm(difference.ticket) ?? false else { return [] }
        return [
            .sendToCoordinator(envelope(.differs(difference))),
            .warn(
                "slice \(difference.slice) of ticket \(difference.ticket) came twice with other values: a worker computes "
                    + "wrongly; the first that came count"),
        ]
    }

    private mutating func foldNext(_ slice: Int) -> [Effect] {
        guard let (place, values, isLast) = buffer?.beginFold(slice) else { return [] }
        return [.fold(generation: generation, slice: slice, place: place, values, isLast: isLast)]
    }

    mutating func folded(_ slice: Int, squaredNorm: Double, isFinite: Bool) -> [Effect] {
        buffer?.endFold(slice, squaredNorm: squaredNorm, isFinite: isFinite)
        return foldNext(slice) + askAgain(slice) + sendSum(slice) + answerPrepareIfComplete()
    }

    /// Room has come: who was declined is asked again.
    mutating func askAgain(_ slice: Int) -> [Effect] {
        (buffer?.takeDeclined(slice) ?? []).map {
            .sendToWorker($0.worker, to($0.worker, .resend($0.attempt, slice: slice)))
        }
    }

    mutating func answerPrepareIfComplete() -> [Effect] { pendingPrepare == nil ? [] : answerPrepare() }

    func refuse(_ worker: Incarnation, _ reason: Refusal.Reason, _ text: String) -> [Effect] {
        [.sendToWorker(worker, to(worker, .refusal(Refusal(reason, text))))]
    }

    /// An envelope to a worker; 0 where the sender is not known.
    package func to(_ worker: Incarnation, _ message: Message) -> Envelope {
        Envelope(
            job: job, generation: generation, term: session.term, source: incarnation, destination: worker,
            message: message)
    }
}
