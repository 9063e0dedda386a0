// What a coordinator is started with.

import PSCheckpoint
import PSConfiguration
import PSProtocol

package struct CoordinatorOptions: Sendable {
    package var configuration: JobConfiguration
    package var runDirectory: RunDirectory
    /// tcp://HOST:PORT; a port of `*` takes the one the job had before, else a free one.
    package var bind: String
    /// A checkpoint to start from instead of the job's last state.
    package var resumeFrom: String?
    /// Standard input is a pipe from who started this process; its end means that they are gone.
    package var lifeline = false
    package var timing = Timing()

    package init(configuration: JobConfiguration, runDirectory: RunDirectory, bind: String) {
        self.configuration = configuration
        self.runDirectory = runDirectory
        self.bind = bind
    }
}

/// A start that cannot be, said so that a person can act.
package struct CoordinatorError: Error, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}
