// How far the contributions to one slice have been added up, in ticket order.

import PSMessages
import PSParameters

/// One slice's part of the step at hand, on the server that holds the slice.
///
/// Contributions are added in ticket order whatever order they arrive in. The next one in order is always admitted;
/// others wait in memory while there is room, else their sender is asked again later.
struct SliceFold: Sendable, Hashable {
    /// Contributions added.
    var folded = 0
    /// Places of contributions held but not yet added, the one being added included.
    var stored: Set<Place> = []
    /// Contributions that came when there was no room, by place.
    var declined: [Place: Declined] = [:]
    /// Whose contribution was taken, by place.
    var origins: [Place: Incarnation] = [:]
    var isFolding = false
    var squaredNorm = 0.0
    var isFinite = true

    struct Declined: Sendable, Hashable {
        var worker: Incarnation
        var attempt: Attempt
    }

    /// The place of the next contribution to add; one past the last when all are added.
    var next: Place { Place(folded) }

    func has(_ place: Place) -> Bool { place < next || stored.contains(place) }
}
