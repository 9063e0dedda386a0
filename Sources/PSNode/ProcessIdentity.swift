// Who this process is.

import Foundation
import PSMessages

package struct ProcessIdentity: Sendable {
    package let role: Role
    package let host: String
    package let pid: Int
    package let incarnation: Incarnation

    package init(role: Role) {
        self.role = role
        host = ProcessInfo.processInfo.hostName
        pid = Int(ProcessInfo.processInfo.processIdentifier)
        incarnation = UInt64.random(in: 1...UInt64.max)
    }
}
