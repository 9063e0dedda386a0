// The loop of a daemon: waits for sockets, other threads, signals and the clock, and hands each to the process's node.

import PSMessages
import PSParameters
import PSTransport

/// What a process does with what its loop waits for. A status that is returned ends the process.
package protocol DaemonNode: AnyObject {
    associatedtype Internal: Sendable

    var input: NodeInput<Internal> { get }
    /// Milliseconds between two ticks.
    var tickMilliseconds: Int { get }
    /// The sockets to wait for now.
    var links: [Link] { get }

    func take(_ event: Internal) throws -> Ending?
    func take(_ event: Link.Event, of link: Link) throws -> Ending?
    func takeStop(_ signal: Int32) throws -> Ending?
    func takeParentGone() throws -> Ending?
    func tick() throws -> Ending?

    /// How the process ends.
    associatedtype Ending
}

extension DaemonNode {
    /// Things that happened on one link in one turn: no peer can starve the others, or the clock.
    private var mostInATurn: Int { 64 }

    /// Runs until the node ends.
    package func runLoop() throws -> Ending {
        var nextTick = input.now
        while true {
            let links = links
            try input.wait(links, until: nextTick)
            for event in input.mailbox.takeAll() { if let ending = try take(event) { return ending } }
            for link in links {
                for _ in 0..<mostInATurn {
                    guard !link.isClosed, let event = try link.next() else { break }
                    if let ending = try take(event, of: link) { return ending }
                }
            }
            if let signal = input.takeStop(), let ending = try takeStop(signal) { return ending }
            if input.takeParentGone(), let ending = try takeParentGone() { return ending }
            if input.now >= nextTick {
                nextTick = input.now.later(tickMilliseconds)
                if let ending = try tick() { return ending }
            }
        }
    }
}
