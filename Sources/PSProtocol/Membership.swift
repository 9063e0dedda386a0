// Who belongs to a job: who said hello, who has which rank, who is silent, gone or has left.

import PSMessages
import PSParameters

struct Membership: Sendable {
    struct Member: Sendable {
        var role: Role
        var rank: Int
        var incarnation: Incarnation
        var hello: Hello
        var helloGeneration: UInt32
        var heard: MonotonicTime
        var heartbeat = Heartbeat()
        /// Since when it is out of reach of a server.
        var cutOff: MonotonicTime?
        var state = JobStatus.ProcessState.up
        /// Since when its connection is closed.
        var closed: MonotonicTime?
        /// Since when it says that it hears nothing from the coordinator, and whether people were told.
        var deafSince: MonotonicTime?
        var isDeafTold = false
        /// When people were last told what it says of its paths.
        var told: MonotonicTime?

        /// "worker 2 (pid 71 on node-4)".
        var name: String { "\(role.name) \(rank) (pid \(hello.pid) on \(hello.host))" }

        /// What a member says of its paths is news once a second: whoever holds a key must not fill the log.
        func mayBeNews(at now: MonotonicTime) -> Bool { told.map { now.since($0) >= 1000 } ?? true }
    }

    /// By rank; nil: nobody has come for it yet.
    private(set) var servers: [Member?]
    private var workers: [Incarnation: Member] = [:]
    /// Servers whose rank a later start has taken over, the last of them.
    private var replaced: [Incarnation] = []

    /// Servers that found no free place, and when they last asked.
    private var waiting: [Incarnation: MonotonicTime] = [:]

    /// As many as the settings allow a job to begin with.
    private static let mostWorkers = 10_000

    init(serverCount: Int) { servers = Array(repeating: nil, count: serverCount) }

    // MARK: Who there is

    func isMember(_ incarnation: Incarnation) -> Bool {
        workers[incarnation] != nil || rank(ofServer: incarnation) != nil
    }

    func worker(_ incarnation: Incarnation) -> Member? { workers[incarnation] }

    func rank(ofServer incarnation: Incarnation) -> Int? { servers.firstIndex { $0?.incarnation == incarnation } }

    /// Those that are up.
    var workerCount: Int { workers.values.count { $0.state == .up } }

    var workersByRank: [Member] { workers.values.sorted { ($0.rank, $0.incarnation) < ($1.rank, $1.incarnation) } }

    /// Servers, then workers.
    var all: [Member] { servers.compactMap { $0 } + workersByRank }

    /// The lowest rank whose server is silent, gone or was never here.
    var missingServer: Int? { servers.firstIndex { $0?.state != .up } }

    var missingServers: [Int] { servers.indices.filter { servers[$0]?.state != .up } }

    func address(_ rank: Int) -> ServerAddress? {
        servers[rank].map {
            ServerAddress(
                endpoint: $0.hello.endpoint, incarnation: $0.incarnation, publicKey: $0.hello.publicKey, rank: rank)
        }
    }

    /// Where shards are to be found. - Parameter ranks: of the server that answers for each.
    func holders(_ ranks: [Int]) -> Holders {
        let servers = Set(ranks).sorted().compactMap { address($0) }
        return Holders(servers: servers, byShard: ranks.map { rank in servers.firstIndex { $0.rank == rank } ?? 0 })
    }

    // MARK: Hellos

    /// A worker has said hello. Its rank is a name only: who is there keeps it, who comes gets another.
    ///
    /// - Returns: its rank; those that it takes the place of; whether it was silent before. Nil: there are too many.
    mutating func admitWorker(
        _ hello: Hello, _ envelope: Envelope, at now: MonotonicTime
    ) -> (rank: Int, displaced: [Member], isBack: Bool)? {
        guard workers[envelope.source] != nil || workers.count < Membership.mostWorkers else { return nil }
        let former = workers[envelope.source]
        let others = workersByRank.filter { $0.incarnation != envelope.source }
        let taken = Set(others.filter { $0.state == .up && !isGivenUp($0, for: hello) }.map(\.rank))
        let wanted = hello.rank.map { taken.contains($0) ? nil : $0 } ?? nil
        let rank = wanted ?? (0...).first { !taken.contains($0) }!
        let displaced = others.filter { $0.rank == rank }
        for member in displaced { workers[member.incarnation] = nil }
        workers[envelope.source] = Member(
            role: .worker, rank: rank, incarnation: envelope.source, hello: hello,
            helloGeneration: envelope.generation, heard: now)
        return (rank, displaced, former?.state == .lost)
    }

    struct Gathering: Sendable {
        /// Of which generations servers may have kept the memory and be on their way; nil: they would be here by now.
        var awaited: ClosedRange<UInt32>?
    }

    enum ServerAdmission: Sendable {
        /// - isNew: another process than before has the rank, whose memory is empty.
        case admitted(rank: Int, isNew: Bool)
        case refused(Refusal)
    }

    /// A server has said hello. A rank is taken only from who is known to be gone, or by the word of whoever started the
    /// process: a second start by mistake must not cost the job a server's memory.
    ///
    /// - Parameter gathering: while no server is at work yet: then who has the memory comes first, and who asks for a
    ///   rank before who takes any.
    mutating func admitServer(
        _ hello: Hello, _ envelope: Envelope, gathering: Gathering?, lost: Int, at now: MonotonicTime
    ) -> ServerAdmission {
        if replaced.contains(envelope.source) {
            return .refused(Refusal(.full, "a later start took over its rank, \(hello.rank ?? 0)"))
        }
        let known = rank(ofServer: envelope.source)
        guard let rank = known ?? seat(for: hello, of: envelope.generation, gathering) else {
            let others = Set(waitingServers(at: now))
            waiting = waiting.filter { others.contains($0.key) }
            if waiting.count < Membership.mostWorkers { waiting[envelope.source] = now }
            return .refused(noSeat(for: hello, lost: lost))
        }
        waiting[envelope.source] = nil
        // Who made room may wait for another place.
        if known == nil, let former = servers[rank], former.state != .up || isGivenUp(former, for: hello) {
            replaced = replaced.suffix(1000) + [former.incarnation]
        }
        servers[rank] = Member(
            role: .server, rank: rank, incarnation: envelope.source, hello: hello,
            helloGeneration: envelope.generation, heard: now)
        return .admitted(rank: rank, isNew: known == nil)
    }

    /// Servers that wait for a place, by their last word.
    func waitingServers(at now: MonotonicTime) -> [Incarnation] {
        waiting.filter { now.since($0.value) < 10_000 }.keys.sorted()
    }

    private func seat(for hello: Hello, of generation: UInt32, _ gathering: Gathering?) -> Int? {
        func memory(_ hello: Hello, _ generation: UInt32) -> UInt32? {
            hello.memory != nil && gathering?.awaited?.contains(generation) ?? false ? generation : nil
        }
        let own = memory(hello, generation)
        let free = servers.indices.filter { rank in
            guard let holder = servers[rank] else { return true }
            if holder.state != .up || isGivenUp(holder, for: hello) { return true }
            if gathering == nil { return false }
            // Who is thought to have ended and has the memory lives; who has an older one was done without.
            guard let other = memory(holder.hello, holder.helloGeneration) else {
                return own != nil || hello.rank == rank && holder.hello.rank == nil
            }
            return own.map { $0 > other } ?? false
        }
        guard let wanted = hello.rank else { return gathering?.awaited == nil ? free.first : nil }
        return free.contains(wanted) ? wanted : nil
    }

    private func has(_ server: Member, memoryOf generations: ClosedRange<UInt32>) -> Bool {
        server.hello.memory != nil && generations.contains(server.helloGeneration)
    }

    /// Whether a rank is held by a server with empty memory, or an older one than others have: the one that has it may be
    /// on its way, unless whoever started the newcomer knows that it has ended.
    func mayLackMemory(of generations: ClosedRange<UInt32>) -> Bool {
        let there = servers.compactMap(\.self).filter { $0.state == .up }
        let kept = there.filter { has($0, memoryOf: generations) }.map(\.helloGeneration)
        guard let newest = kept.max() else { return false }
        return kept.contains { $0 < newest } || there.contains { $0.hello.memory == nil && !$0.hello.takesOver }
    }

    /// Whether whoever started the newcomer says that this member has ended.
    private func isGivenUp(_ member: Member, for newcomer: Hello) -> Bool {
        newcomer.takesOver && newcomer.rank == member.rank
    }

    private func noSeat(for hello: Hello, lost: Int) -> Refusal {
        if let rank = hello.rank, servers.indices.contains(rank), let holder = servers[rank] {
            let held =
                "rank \(rank) is that of the server with pid \(holder.hello.pid) on \(holder.hello.host), which is up"
            // With what it holds it does not wait, but leaves.
            if hello.memory != nil { return Refusal(.occupied, held) }
            return Refusal(
                .occupied,
                held
                    + ": this one waits until that is gone (\(lost / 1000) s of silence); if it has ended, start this one "
                    + "with --take-over")
        }
        if hello.rank == nil {
            return Refusal(
                .occupied,
                "the job's servers, \(servers.count) by its settings, are up or just gone: this one waits until a place is "
                    + "free; for more servers raise cluster.servers and resume the job")
        }
        return Refusal(
            .full,
            "it wants rank \(hello.rank!), but the job has \(servers.count) servers: for more raise cluster.servers and "
                + "resume the job")
    }

    // MARK: Words and silences

    enum Speaker: Sendable, Hashable {
        case worker
        case server(rank: Int, isBack: Bool)
    }

    /// A member has said something. Nil: who speaks is none, or not any more.
    mutating func heard(_ source: Incarnation, at now: MonotonicTime) -> Speaker? {
        if let worker = workers[source], worker.state == .up {
            workers[source]!.heard = now
            return .worker
        }
        guard let rank = rank(ofServer: source), let server = servers[rank], server.state != .down else { return nil }
        servers[rank]!.heard = now
        servers[rank]!.state = .up
        return .server(rank: rank, isBack: server.state == .lost)
    }

    mutating func takes(_ heartbeat: Heartbeat, of source: Incarnation, at now: MonotonicTime) {
        if let worker = workers[source] {
            workers[source]!.heartbeat = heartbeat
            workers[source]!.cutOff = heartbeat.unreachable == nil ? nil : worker.cutOff ?? now
        } else if let rank = rank(ofServer: source) {
            servers[rank]!.heartbeat = heartbeat
        }
    }

    private func member(_ source: Incarnation) -> Member? {
        workers[source] ?? rank(ofServer: source).flatMap { servers[$0] }
    }

    /// Whether people are told now what it says of its paths.
    mutating func mayTell(of source: Incarnation, at now: MonotonicTime) -> Bool {
        guard member(source)?.mayBeNews(at: now) ?? true else { return false }
        workers[source]?.told = now
        if let rank = rank(ofServer: source) { servers[rank]!.told = now }
        return true
    }

    /// A member that hears nothing from the coordinator.
    struct Deaf: Sendable, Hashable {
        let name: String
        let isNews: Bool
    }

    /// A member says whether it hears the coordinator. Nil: it does, or is no member.
    mutating func takes(isDeaf: Bool, of source: Incarnation, at now: MonotonicTime) -> Deaf? {
        guard var member = member(source) else { return nil }
        defer {
            if workers[source] != nil { workers[source] = member } else { servers[member.rank] = member }
        }
        guard isDeaf else {
            (member.deafSince, member.isDeafTold) = (nil, false)
            return nil
        }
        // What a coordinator that stood still finds in its queue is no news: the next word is that it is heard again.
        let since = member.deafSince ?? now
        member.deafSince = since
        let isNews =
            !member.isDeafTold && now.since(since) >= Membership.deafForSure && member.mayBeNews(at: now)
        if isNews { (member.isDeafTold, member.told) = (true, now) }
        return Deaf(name: member.name, isNews: isNews)
    }

    /// In milliseconds: less than a heartbeat, so that the second that says so counts.
    private static let deafForSure = 400

    /// It goes of its own will.
    mutating func left(_ source: Incarnation) {
        workers[source]?.state = .down
        if let rank = rank(ofServer: source) { servers[rank]!.state = .down }
    }

    /// Its connection is closed: it has ended, or comes back by another.
    mutating func closed(_ source: Incarnation, at now: MonotonicTime) {
        workers[source]?.closed = now
        if let rank = rank(ofServer: source) { servers[rank]!.closed = now }
    }

    /// Members that are silent for `lost`, or whose connection is closed for `gone` and has not come back, in
    /// milliseconds. They count as lost from here on.
    mutating func takeLost(lost: Int, gone: Int, at now: MonotonicTime) -> [Member] {
        let found = all.filter { member in
            member.state == .up
                && (now.since(member.heard) >= lost || member.closed.map { now.since($0) >= gone } ?? false)
        }
        for member in found {
            workers[member.incarnation]?.state = .lost
            if member.role == .server { servers[member.rank]!.state = .lost }
        }
        return found
    }

    /// Workers that are out of reach of a server for so long, while another worker reaches it: it is their path that is
    /// broken, not the server.
    func cutOff(for milliseconds: Int, at now: MonotonicTime) -> [Member] {
        let up = workersByRank.filter { $0.state == .up }
        return up.filter { member in
            guard let since = member.cutOff, now.since(since) >= milliseconds else { return false }
            return up.contains { $0.heartbeat.unreachable != member.heartbeat.unreachable }
        }
    }

    /// What servers that are up held when they said hello, by rank, as far as it is of one of these generations.
    func memories(of generations: ClosedRange<UInt32>) -> [Int: (generation: UInt32, memory: Hello.Memory)] {
        var memories: [Int: (generation: UInt32, memory: Hello.Memory)] = [:]
        for (rank, server) in servers.enumerated() {
            guard let server, server.state == .up, has(server, memoryOf: generations), let memory = server.hello.memory
            else { continue }
            memories[rank] = (server.helloGeneration, memory)
        }
        return memories
    }

    /// What was held then is true only once.
    mutating func forgetMemories() { for rank in servers.indices { servers[rank]?.hello.memory = nil } }

    /// Servers that have asked for a place within so many milliseconds, in vain.
    func spareCount(within milliseconds: Int, at now: MonotonicTime) -> Int {
        waiting.values.count { now.since($0) < milliseconds }
    }

    /// The server is done without.
    mutating func givesUp(_ rank: Int) { if servers[rank]?.state == .up { servers[rank]!.state = .lost } }

    /// Servers that have left, or whose connection is closed for `gone`, or that are silent for `silent` milliseconds.
    func unreachableServers(gone: Int, silent: Int, at now: MonotonicTime) -> [Int] {
        servers.indices.filter { rank in
            guard let server = servers[rank] else { return true }
            return server.state == .down || now.since(server.heard) >= silent
                || server.closed.map { now.since($0) >= gone } ?? false
        }
    }
}
