// What the tests of several targets share: a directory that goes away, raw files.

import FoundationEssentials
import Glibc

/// A new directory, removed with the object.
package final class TemporaryDirectory {
    package let path: String

    package init() {
        var template = Array((FileManager.default.temporaryDirectory.path + "/ps-tests-XXXXXX").utf8CString)
        path = String(cString: mkdtemp(&template)!)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}

package func writeFile(_ path: String, _ bytes: [UInt8]) {
    let file = fopen(path, "w")!
    fwrite(bytes, 1, bytes.count, file)
    fclose(file)
}

/// Empty where there is no such file.
package func readFile(_ path: String) -> [UInt8] { FileManager.default.contents(atPath: path).map { Array($0) } ?? [] }

package func names(in directory: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
}
