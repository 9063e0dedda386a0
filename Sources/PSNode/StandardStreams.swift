// Standard input, output and error, as whoever started this process left them.

import Glibc
import PSMessages

package enum StandardStreams {
    /// The first call of every program. Opens those that are closed on /dev/null: else the next file opened, a journal
    /// say, would get their number and with it every line of the log. And a file that reaches this user's limit of sizes
    /// is from now on an error of its write, which can be told, and not the end of the process.
    package static func prepare() {
        signal(SIGXFSZ, SIG_IGN)
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
            // The lowest free number, which is this one.
            _ = open("/dev/null", O_RDWR)
        }
    }

    /// Writes a text whole; one that finds no reader or a full disk is lost, and that must not end the process.
    ///
    /// Names of files and peers are in it: what would move a terminal's cursor or colour it is shown as \\x1b and such.
    /// - Returns: whether all was written.
    @discardableResult
    package static func write(_ text: String, to descriptor: Int32) -> Bool {
        draw(text.printable(inOneLine: false), to: descriptor)
    }

    /// The same for what is drawn on a terminal: all characters as they are.
    @discardableResult
    package static func draw(_ text: String, to descriptor: Int32) -> Bool {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EAGAIN {
                var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&wanted, 1, 100)
            } else if count < 0, errno != EINTR {
                return false
            }
            rest = rest.dropFirst(max(0, count))
        }
        return true
    }
}
