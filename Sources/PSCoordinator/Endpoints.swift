// Where a running coordinator is found.

import PSMessages

/// `endpoints.json`: where a person's commands find the job.
package struct Endpoints: Sendable, Hashable, Codable {
    /// tcp://HOST:PORT
    package var coordinator: String
    package var pid: Int
    package var host: String
    /// Named in every question, so that another process that got this one's port does not answer.
    package var incarnation: Incarnation
    package init(coordinator: String, pid: Int, host: String, incarnation: Incarnation) {
        self.coordinator = coordinator
        self.pid = pid
        self.host = host
        self.incarnation = incarnation
    }
}
