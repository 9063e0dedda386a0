// Virtual time: what is to happen, in order. And the seeded chance that decides everything random.

/// A heap of actions by time; those of the same moment run by urgency, then in the order they were added.
struct Agenda {
    private struct Entry {
        let time: Int
        /// 0 runs before 1.
        let urgency: Int
        let sequence: Int
        let action: () -> Void

        func precedes(_ other: Entry) -> Bool {
            (time, urgency, sequence) < (other.time, other.urgency, other.sequence)
        }
    }

    private var heap: [Entry] = []
    private var sequence = 0

    mutating func add(at time: Int, urgency: Int = 0, _ action: @escaping () -> Void) {
        sequence += 1
        heap.append(Entry(time: time, urgency: urgency, sequence: sequence, action: action))
        var child = heap.count - 1
        while child > 0, heap[child].precedes(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func next() -> (time: Int, action: () -> Void)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if heap.isEmpty { return (first.time, first.action) }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].precedes(heap[least])
            {
                least = child
            }
            if least == parent { return (first.time, first.action) }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}

/// splitmix64.
struct Chance {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 0x1234_5678 }

    mutating func bits() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return mixed(state)
    }

    /// In the closed range.
    mutating func integer(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(bits() % UInt64(range.count))
    }

    mutating func happens(_ probability: Double) -> Bool { Double(bits() >> 11) < probability * 0x1p53 }

    mutating func pick<T>(_ choices: [T]) -> T { choices[integer(0...choices.count - 1)] }
}

func mixed(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
}

/// A hash that depends on the order.
func mixed(_ values: UInt64...) -> UInt64 { values.reduce(1) { mixed($0 &* 31 &+ $1) } }
