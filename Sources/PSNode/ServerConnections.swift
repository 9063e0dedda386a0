// A performer's connections to servers: those of a worker to all that it pulls from, those of a server to the ones whose
// slices it follows.

import PSMessages
import PSTransport

package struct ServerConnections {
    /// Opens a connection.
    package typealias Connect = (ServerAddress) throws(TransportError) -> any Wire

    package private(set) var addresses: [ServerAddress] = []
    /// One an address.
    package private(set) var wires: [any Wire] = []
    private let connect: Connect
    private var closedBytes = (sent: UInt64(0), received: UInt64(0))

    package init(connect: @escaping Connect) { self.connect = connect }

    /// From here on there are connections to these servers, in this order. One to a server that is not listed is closed:
    /// nothing that was queued for it arrives late.
    package mutating func reach(_ addresses: [ServerAddress]) throws(TransportError) {
        var former = Array(zip(self.addresses, wires))
        (self.addresses, wires) = ([], [])
        for address in addresses {
            if let place = former.firstIndex(where: { $0.0 == address }) {
                wires.append(former.remove(at: place).1)
            } else {
                wires.append(try connect(address))
            }
            self.addresses.append(address)
        }
        for (_, wire) in former { close(wire) }
    }

    /// Closes a connection and opens it anew.
    package mutating func renew(_ wire: any Wire) throws(TransportError) {
        guard let place = wires.firstIndex(where: { $0 === wire }) else { return }
        close(wire)
        wires[place] = try connect(addresses[place])
    }

    package subscript(server: Incarnation) -> (any Wire)? {
        addresses.firstIndex { $0.incarnation == server }.map { wires[$0] }
    }

    package func address(of wire: any Wire) -> ServerAddress? {
        wires.firstIndex { $0 === wire }.map { addresses[$0] }
    }

    /// Over all connections, those that are closed among them.
    package var bytesSent: UInt64 { wires.reduce(closedBytes.sent) { $0 + $1.bytesSent } }
    package var bytesReceived: UInt64 { wires.reduce(closedBytes.received) { $0 + $1.bytesReceived } }

    private mutating func close(_ wire: any Wire) {
        closedBytes.sent += wire.bytesSent
        closedBytes.received += wire.bytesReceived
        wire.close(lingerMilliseconds: 0)
    }
}
