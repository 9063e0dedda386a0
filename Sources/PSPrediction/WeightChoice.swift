// Which weights of a checkpoint are looked at.

import PSCheckpoint

/// Which of a checkpoint's two sets of weights.
package enum WeightChoice: String, Sendable, Hashable, CaseIterable, Encodable {
    /// The running average: what the paper evaluates.
    case average
    /// The weights of the last commit.
    case raw

    package var storedValue: StoredValue {
        switch self {
        case .average: .average
        case .raw: .current
        }
    }
}
