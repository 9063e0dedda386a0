// What a coordinator is started with.

import PSConfiguration
import PSProtocol
import PSRun

package struct CoordinatorOptions: Sendable {
    /// What to go on from.
    package enum Resume: Sendable, Hashable {
        /// The state in the run directory's journal.
        case last
        /// A checkpoint's directory.
        case checkpoint(String)

        /// - Parameter text: `last` or a path, as a person gives it.
        package init(_ text: String) { self = text == "last" ? .last : .checkpoint(text) }
    }

    package var configuration: JobConfiguration
    package var runDirectory: RunDirectory
    /// tcp://HOST:PORT; a port of `*` takes the one the job had before, else a free one.
    package var bind: String
    /// Nil: begin, or take up what another start left, a stop that was asked for included.
    package var resume: Resume?
    /// The run directory must hold a job: one that was moved away is not begun anew in its old place.
    package var isRestart = false
    /// Standard input is a pipe from who started this process; its end means that they are gone.
    package var lifeline = false
    package var timing = Timing()

    package init(configuration: JobConfiguration, runDirectory: RunDirectory, bind: String) {
        self.configuration = configuration
        self.runDirectory = runDirectory
        self.bind = bind
    }
}
