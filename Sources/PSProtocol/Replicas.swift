// The slices of which a server keeps a replica: how far each has come, and what it lacks.
//
// The updates are deterministic, so a replica needs a slice's state once, and from then on the finished sum of each step
// and the commits, each of which may come first. Whoever answers for the slice counts it as prepared when its sum is here.

import PSMessages
import PSParameters

struct Replicas: Sendable {
    private struct Replica: Sendable {
        var source: Incarnation
        /// Nil: its state has not come yet.
        var version: Version?
        /// By the version that they lead to.
        var sums: [Version: HeldValues] = [:]
        var isUpdating = false
        /// The version of the state that has come and is being taken over.
        var filling: Version?
        /// The state that is coming, and how many parts are still to come.
        var incoming: (version: Version, remaining: Int)?
        /// When it was asked for last, or something of it came; nil: it is to be asked for.
        var asked: MonotonicTime?
    }

    /// Who answers for the slices.
    private(set) var sources: [ServerAddress] = []
    private var replicas: [Int: Replica] = [:]
    /// The last commits, by the version that they lead to.
    private var commits: [Version: Commit] = [:]

    /// States that are asked for at a time, so that workers' pulls come between.
    private static let window = 4
    private static let commitsKept: UInt64 = 8

    /// Follows these slices and lets others go, but for those that are still on their way to where they are wanted.
    ///
    /// - Parameters:
    ///   - slices: with who answers for each.
    ///   - versions: of those that are in memory and not among the replicas.
    mutating func follow(
        _ slices: [(slice: Int, source: ServerAddress)], besides pending: Set<Int>, versions: [Int: Version]
    ) {
        let wanted = Set(slices.map(\.slice)).union(pending)
        replicas = replicas.filter { wanted.contains($0.key) }
        sources = []
        for (slice, source) in slices {
            if !sources.contains(source) { sources.append(source) }
            var replica = replicas[slice] ?? Replica(source: source.incarnation, version: versions[slice])
            replica.source = source.incarnation
            (replica.incoming, replica.asked) = (nil, nil)
            replicas[slice] = replica
        }
    }

    var slices: [Int] { replicas.keys.sorted() }

    /// What is in memory.
    var versions: [Int: Version] { replicas.compactMapValues(\.version) }

    var held: [HeldValues] { replicas.values.flatMap(\.sums.values) }

    /// The version that a slice comes to with the sums and commits that are here.
    func settles(_ slice: Int) -> Version? {
        guard let replica = replicas[slice], var version = replica.version else { return nil }
        while let commit = commits[version.nextStep.after], commit.skip || replica.sums[version.nextStep.after] != nil {
            version = version.nextStep.after
        }
        return version
    }

    /// The version that it comes to with the sums that are here and commits that may be still to come.
    func reaches(_ slice: Int) -> Version? {
        guard let replica = replicas[slice], var version = settles(slice) else { return nil }
        while replica.sums[version.nextStep.after] != nil { version = version.nextStep.after }
        return version
    }

    /// How many slices would not get on if `version`, the one that is current here, were to be served now.
    func behind(_ version: Version) -> Int { replicas.keys.count { isBehind($0, version) } }

    private func isBehind(_ slice: Int, _ version: Version) -> Bool { settles(slice).map { $0 < version } ?? true }

    // MARK: What comes

    mutating func take(_ commit: Commit) {
        commits[commit.step.after] = commit
        commits = commits.filter { $0.key.number + Replicas.commitsKept > commit.step.after.number }
    }

    /// The sums lead nowhere: the step they are of is begun anew.
    mutating func forgetSums(after version: Version) {
        for slice in replicas.keys { replicas[slice]!.sums = replicas[slice]!.sums.filter { $0.key <= version } }
    }

    /// - Returns: whether it is kept; nil: it is not of a slice that is followed at this server.
    mutating func takeSum(
        _ slice: Int, leadsTo version: Version, _ values: HeldValues, from source: Incarnation, at now: MonotonicTime
    ) -> Bool? {
        guard replicas[slice]?.source == source else { return nil }
        replicas[slice]!.asked = now
        guard let own = replicas[slice]!.version, version > own, replicas[slice]!.sums[version] == nil else {
            return false
        }
        // At most one is on its way while another waits for its commit.
        guard replicas[slice]!.sums.count < 3 else { return false }
        replicas[slice]!.sums[version] = values
        return true
    }

    /// A part of a slice's state.
    /// - Returns: whether it is the first and the last; nil: it is not wanted.
    mutating func takePart(
        _ slice: Int, of version: Version, _ content: ReplicaContent, remaining: Int, from source: Incarnation,
        at now: MonotonicTime
    ) -> (isFirst: Bool, isLast: Bool)? {
        guard let replica = replicas[slice], replica.source == source, !replica.isUpdating,
            replica.version.map({ $0 < version }) ?? true
        else { return nil }
        let follows = replica.incoming.map { $0.version == version && $0.remaining == remaining + 1 } ?? false
        // One that was begun before it was wanted, and goes on now, is not whole.
        let begins = content == .weights && remaining > 0
        guard follows || begins else { return nil }
        replicas[slice]!.asked = now
        replicas[slice]!.incoming = remaining == 0 ? nil : (version, remaining)
        if remaining == 0 { (replicas[slice]!.filling, replicas[slice]!.isUpdating) = (version, true) }
        return (begins, remaining == 0)
    }

    // MARK: What is to be done

    struct Update: Sendable, Hashable {
        let slice: Int
        let commit: Commit
        /// Nil: the commit only advances the version.
        let values: HeldValues?
    }

    /// The next update of a slice, if all that it needs is here.
    mutating func beginUpdate(_ slice: Int) -> Update? {
        guard let replica = replicas[slice], !replica.isUpdating, replica.incoming == nil,
            let version = replica.version,
            let commit = commits[version.nextStep.after]
        else { return nil }
        let values = replica.sums[version.nextStep.after]
        guard values != nil || commit.skip else { return nil }
        replicas[slice]!.isUpdating = true
        return Update(slice: slice, commit: commit, values: values)
    }

    enum Ended: Sendable, Hashable {
        case updated
        /// Its state has come: whom that is to be said to.
        case filled(from: Incarnation)
    }

    /// The memory holds this version now. - Returns: by what; nil: it is not one that was begun here.
    mutating func endUpdate(_ slice: Int, to version: Version) -> Ended? {
        guard let replica = replicas[slice], replica.isUpdating else { return nil }
        if replica.filling == version {
            replicas[slice]!.sums = replica.sums.filter { $0.key > version }
        } else if replica.filling != nil || replica.version?.nextStep.after != version {
            return nil
        }
        replicas[slice]!.isUpdating = false
        replicas[slice]!.filling = nil
        replicas[slice]!.version = version
        replicas[slice]!.sums[version] = nil
        return replica.filling == nil ? .updated : .filled(from: replica.source)
    }

    /// What is to be said to each source, that it may send what is lacking. - Parameter version: the one that is current.
    mutating func requests(
        _ version: Version, patience: Int, at now: MonotonicTime
    ) -> [(source: Incarnation, progress: [Progress])] {
        sources.compactMap { source in
            var open = 0
            var progress: [Progress] = []
            for slice in slices where replicas[slice]!.source == source.incarnation {
                let isBehind = isBehind(slice, version)
                // It may have sums and lack a commit: then it needs the state.
                let reaches = isBehind ? settles(slice) : reaches(slice)
                if let asked = replicas[slice]!.asked, now.since(asked) < patience {
                    if isBehind { open += 1 }
                    continue
                }
                // Of those that are level it is enough to say so once.
                if !isBehind, replicas[slice]!.asked != nil { continue }
                guard !isBehind || open < Replicas.window else { continue }
                if isBehind { open += 1 }
                replicas[slice]!.asked = now
                progress.append(Progress(slice: slice, reaches: reaches))
            }
            return progress.isEmpty ? nil : (source.incarnation, progress)
        }
    }

    /// The connection to a source was closed, or its word got lost: it is told anew how far everything is.
    mutating func askAnew(_ source: Incarnation) {
        for slice in replicas.keys where replicas[slice]!.source == source {
            replicas[slice]!.asked = nil
            replicas[slice]!.incoming = nil
        }
    }

    /// A slice leaves for those that are answered for here.
    mutating func remove(_ slice: Int) { replicas[slice] = nil }

    /// The memory is void.
    mutating func clear() { self = Replicas() }
}

/// The servers that keep replicas of what is answered for here, by slice.
struct Followers: Sendable {
    private struct Follower: Sendable {
        let incarnation: Incarnation
        /// Nil: it lacks the state.
        var reaches: Version?
    }

    private var followers: [Int: Follower] = [:]
    /// Slices of which somebody has a replica who is still to say so.
    private var expected: Set<Int> = []
    /// Since when a prepared step waits for nothing but them.
    private var waiting: MonotonicTime?

    init(expecting slices: Set<Int> = []) { expected = slices }

    mutating func take(_ progress: Progress, from incarnation: Incarnation) {
        expected.remove(progress.slice)
        followers[progress.slice] = Follower(incarnation: incarnation, reaches: progress.reaches)
    }

    /// Who is to be sent the sum that leads from `version` on.
    func wanting(_ slice: Int, from version: Version) -> Incarnation? {
        followers[slice].flatMap { $0.reaches == version ? $0.incarnation : nil }
    }

    /// Slices whose follower could have the sum that leads from `version` on, and does not say that it has.
    func lacking(_ version: Version) -> [Int] {
        followers.keys.filter { followers[$0]!.reaches == version } + expected
    }

    mutating func lose(_ incarnation: Incarnation) {
        followers = followers.filter { $0.value.incarnation != incarnation }
    }

    /// Gives up those that have not taken a sum for so long. - Returns: the slices they follow.
    mutating func giveUp(_ version: Version, after milliseconds: Int, at now: MonotonicTime) -> [Int] {
        let late = lacking(version)
        guard !late.isEmpty else {
            waiting = nil
            return []
        }
        guard let since = waiting else {
            waiting = now
            return []
        }
        guard now.since(since) >= milliseconds else { return [] }
        waiting = nil
        for slice in late { followers[slice] = nil }
        expected = []
        return late
    }

    mutating func waitsNoMore() { waiting = nil }
}
