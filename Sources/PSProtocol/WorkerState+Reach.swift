// Whether a worker reaches its servers: who is silent is asked, and who leaves several questions unanswered is out of reach.
//
// A ticket needs every server. A server may have nothing to say for long, when it waits for other workers' tickets, and a
// broken path looks the same: so it is asked. It is the only sign there is. What is sent into a broken path is taken, by
// the system and by ZeroMQ, for minutes.

import PSMessages
import PSParameters

extension WorkerState {
    /// The lowest rank of a server that is out of reach.
    var lostServer: Int? { reach.firstIndex(where: \.isLost) }

    mutating func beginReaching(at now: MonotonicTime) { reach = servers.map { _ in Reach(since: now) } }

    /// The ticket at hand goes on meanwhile: the server may be back before it is given to somebody else.
    mutating func askServers(at now: MonotonicTime) -> [Effect] {
        guard serverOfSlice != nil else { return [] }
        var effects: [Effect] = []
        for server in reach.indices where now.since(reach[server].since) >= timing.retry {
            if reach[server].unanswered >= timing.unanswered, !reach[server].isLost {
                reach[server].isLost = true
                lastHeartbeat = nil
                effects.append(
                    .warn(
                        "no word from server \(servers[server].rank) at \(servers[server].endpoint), asked \(timing.unanswered) times: "
                            + "no ticket is taken until there is"))
            }
            reach[server].since = now
            reach[server].unanswered += 1
            effects.append(toServer(server, .heartbeat(Heartbeat())))
        }
        return effects
    }

    /// Any word of a server's is a sign that it is there.
    mutating func reaches(_ server: Int, at now: MonotonicTime) -> [Effect] {
        let wasLost = reach[server].isLost
        reach[server] = Reach(since: now)
        guard wasLost else { return [] }
        lastHeartbeat = nil
        // What it was asked meanwhile is lost: it is asked again at once.
        progress[server] = (MonotonicTime(milliseconds: 0), timing.bulkRetry)
        let warning = Effect.warn("server \(servers[server].rank) answers again")
        if case .idle = phase, lostServer == nil { return [warning] + becomeIdle(at: now) }
        return [warning]
    }
}
