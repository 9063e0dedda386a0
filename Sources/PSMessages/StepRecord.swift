// What a journal says at every step and of every ticket, as protobuf bytes. The bytes come from a file: nothing here traps on
// them.

import CMessages
import PSParameters

/// A record of `Proto/journal.proto`.
package enum StepRecord: Sendable, Hashable, Codable {
    /// A worker was given a ticket of the open step.
    case granted(Attempt, worker: Incarnation)
    /// A ticket of the open step is counted: servers hold all of what the worker made of it.
    case counted(Contribution, worker: Incarnation)
    /// The step's contributions, in ticket order, are decided.
    case closed(Step, attempts: [Attempt])
    /// With the norm of the step's gradient; nil where it is not known.
    case committed(Commit, norm: Double?)

    package func encoded() -> [UInt8] {
        var arena = Arena()
        defer { arena.free() }
        let record: UnsafeMutablePointer<Ps__StepRecord> = arena.new(ps__step_record__init)
        switch self {
        case .granted(let attempt, let worker):
            record.pointee.body_case = PS__STEP_RECORD__BODY_GRANTED
            let m: UnsafeMutablePointer<Ps__GrantRecord> = arena.new(ps__grant_record__init)
            m.pointee.ticket = attempt.ticket.number
            m.pointee.attempt = attempt.number
            m.pointee.worker = worker
            record.pointee.granted = m
        case .counted(let contribution, let worker):
            record.pointee.body_case = PS__STEP_RECORD__BODY_COUNTED
            let m: UnsafeMutablePointer<Ps__CountRecord> = arena.new(ps__count_record__init)
            m.pointee.worker = worker
            m.pointee.contribution = arena.contribution(contribution)
            record.pointee.counted = m
        case .closed(let step, let attempts):
            record.pointee.body_case = PS__STEP_RECORD__BODY_CLOSED
            record.pointee.closed = arena.prepare(step, attempts)
        case .committed(let commit, let norm):
            record.pointee.body_case = PS__STEP_RECORD__BODY_COMMITTED
            let m: UnsafeMutablePointer<Ps__CommitRecord> = arena.new(ps__commit_record__init)
            m.pointee.commit = arena.commit(commit)
            m.pointee.norm = norm ?? 0
            m.pointee.is_norm_known = norm == nil ? 0 : 1
            record.pointee.committed = m
        }
        return packed(record, less: .init(start: nil, count: 0))
    }

    package static func decode(_ bytes: UnsafeRawBufferPointer) throws(MessageError) -> StepRecord {
        try WireSchema.stepRecord.check(bytes)
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard let record = ps__step_record__unpack(nil, bytes.count, start) else {
            throw .malformed("\(bytes.count) bytes do not parse as a record of a step")
        }
        defer { ps__step_record__free_unpacked(record, nil) }
        return try value(record.pointee)
    }

    private static func value(_ record: Ps__StepRecord) throws(MessageError) -> StepRecord {
        switch record.body_case {
        case PS__STEP_RECORD__BODY_GRANTED:
            let m = try member(record.granted)
            return .granted(try attempt(m.ticket, m.attempt, "GrantRecord"), worker: m.worker)
        case PS__STEP_RECORD__BODY_COUNTED:
            let m = try member(record.counted)
            return .counted(try contributionValue(try member(m.contribution)), worker: m.worker)
        case PS__STEP_RECORD__BODY_CLOSED:
            let (step, attempts) = try prepareValue(try member(record.closed))
            return .closed(step, attempts: attempts)
        case PS__STEP_RECORD__BODY_COMMITTED:
            let m = try member(record.committed)
            let commit = try commitValue(try member(m.commit))
            return .committed(commit, norm: m.is_norm_known != 0 ? try norm(m.norm, "CommitRecord.norm") : nil)
        default: throw .malformed("a record of a step without a known body (\(record.body_case.rawValue))")
        }
    }
}
