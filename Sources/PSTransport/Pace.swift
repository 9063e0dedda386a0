// How often who shows no key may come: so many connections of an address at once, and so many a second.

/// A bucket of connections for each address. One that comes to belong to a member is given back, so that a job's own
/// processes come as fast as they can say who they are.
struct Pace {
    /// Connections of one address that nobody vouched for yet, before it must wait.
    static let burst = 64.0
    /// Of an address that has used them up.
    static let perSecond = 20.0
    private static let mostAddresses = 1024

    private struct Bucket {
        var used: Double
        var since: ContinuousClock.Instant

        func used(at now: ContinuousClock.Instant) -> Double {
            let passed = since.duration(to: now)
            return max(0, used - Pace.perSecond * (passed / .seconds(1)))
        }
    }

    private var buckets: [String: Bucket] = [:]

    /// - Returns: whether the connection may come.
    mutating func lets(_ address: String, inAt now: ContinuousClock.Instant) -> Bool {
        makeRoom(for: address, at: now)
        let used = buckets[address]?.used(at: now) ?? 0
        guard used + 1 <= Pace.burst else { return false }
        buckets[address] = Bucket(used: used + 1, since: now)
        return true
    }

    mutating func givesBack(_ address: String, at now: ContinuousClock.Instant) {
        guard let bucket = buckets[address] else { return }
        buckets[address] = Bucket(used: max(0, bucket.used(at: now) - 1), since: now)
    }

    private mutating func makeRoom(for address: String, at now: ContinuousClock.Instant) {
        guard buckets[address] == nil, buckets.count >= Pace.mostAddresses else { return }
        buckets = buckets.filter { $0.value.used(at: now) > 0 }
        guard buckets.count >= Pace.mostAddresses, let first = buckets.min(by: { $0.value.since < $1.value.since })
        else { return }
        buckets[first.key] = nil
    }
}
