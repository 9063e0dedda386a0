// Whether what reads our output is a screen on which lines can be drawn over.

import Foundation

package enum Terminal {
    /// A terminal without a name, or called dumb (an editor's shell, a log), shows escape codes as letters.
    package static func redraws(
        _ descriptor: Int32, environment: [String: String] = ProcessInfo.processInfo.environment
    ) -> Bool {
        isatty(descriptor) == 1 && !["", "dumb"].contains(environment["TERM"] ?? "")
    }
}
