// Which server holds which unit of the flat vector.

/// Whole units dealt over the servers by bytes: the largest first, each to the server that holds least so far.
///
/// A function of the layout and the number of servers, so a job resumed with another number of servers moves whole
/// units and changes no slice.
package struct ShardMap: Sendable, Hashable {
    package let serverCount: Int
    /// The server of each unit.
    package let serverOfUnit: [Int]
    /// The server of each slice.
    package let serverOfSlice: [Int]

    package init(layout: ParameterLayout, serverCount: Int) {
        precondition(serverCount > 0, "a shard map needs at least one server")
        self.serverCount = serverCount
        var load = [Int](repeating: 0, count: serverCount)
        var serverOfUnit = [Int](repeating: 0, count: layout.units.count)
        let bySize = layout.units.indices.sorted {
            (layout.units[$1].range.count, $0) < (layout.units[$0].range.count, $1)
        }
        for unit in bySize {
            let server = load.indices.min { (load[$0], $0) < (load[$1], $1) }!
            serverOfUnit[unit] = server
            load[server] += layout.units[unit].range.count
        }
        self.serverOfUnit = serverOfUnit
        serverOfSlice = layout.slices.map { serverOfUnit[$0.unit] }
    }

    /// The slices a server holds, ascending.
    package func slices(of server: Int) -> [Int] { serverOfSlice.indices.filter { serverOfSlice[$0] == server } }
}
