// Whose files a process trusts: the rules, without files.

import Glibc
import Testing

@testable import PSKeys

@Suite struct FileReaderTests {
    private func status(_ user: uid_t, _ group: gid_t, _ mode: mode_t) -> stat {
        var status = stat()
        status.st_uid = user
        status.st_gid = group
        status.st_mode = mode
        return status
    }

    private let user = FileReader(user: 1000, groups: [1000, 2000])
    private let root = FileReader(user: 0, groups: [0])

    @Test func files() {
        func isRead(_ reader: FileReader, _ user: uid_t, _ group: gid_t, _ mode: mode_t) -> Bool {
            reader.problem(ofFile: status(user, group, S_IFREG | mode)) == nil
        }
        // One's own: for nobody else.
        for mode in 0...0o777 as ClosedRange<mode_t> {
            #expect(isRead(user, 1000, 1000, mode) == (mode & 0o077 == 0))
        }
        #expect(isRead(root, 0, 7, 0o600))
        // Root's: for root, and where its group is one of ours (Kubernetes' fsGroup), for reading.
        for mode in 0...0o777 as ClosedRange<mode_t> {
            #expect(isRead(user, 0, 2000, mode) == (mode == 0o440 || mode == 0o640))
        }
        #expect(!isRead(user, 0, 3000, 0o440) && !isRead(user, 0, 0, 0o600))
        // Another's: for no one, root neither, whatever the group.
        #expect(!isRead(root, 1000, 0, 0o600) && !isRead(user, 1001, 2000, 0o440) && !isRead(user, 1001, 1000, 0o600))
    }

    @Test func directories() {
        func isTrusted(_ reader: FileReader, _ user: uid_t, _ mode: mode_t) -> Bool {
            reader.problem(ofDirectory: status(user, 1000, S_IFDIR | mode)) == nil
        }
        for mode in 0...0o777 as ClosedRange<mode_t> {
            #expect(isTrusted(user, 1000, mode) == (mode & 0o022 == 0))
            #expect(isTrusted(user, 0, mode) == (mode & 0o022 == 0))
            #expect(!isTrusted(user, 1001, mode) && !isTrusted(root, 1000, mode))
            #expect(isTrusted(user, 0, mode | S_ISVTX) && !isTrusted(user, 1001, mode | S_ISVTX))
        }
    }

    @Test func theProcessItself() {
        #expect(FileReader.current.user == geteuid() && FileReader.current.groups.contains(getegid()))
    }
}
