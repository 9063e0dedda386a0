// Options that several commands share.

import ArgumentParser
import Foundation
import PSConfiguration

/// `--json`.
struct JSONOption: ParsableArguments {
    @Flag(name: .customLong("json"), help: "Print exactly one JSON value on standard output.")
    var isOn = false
}

/// Writes to standard output without a newline of its own.
func write(_ text: String) {
    FileHandle.standardOutput.write(Data(text.utf8))
}
