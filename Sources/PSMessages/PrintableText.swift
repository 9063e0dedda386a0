// Texts that others wrote, as a person may be shown them: nothing in them moves a cursor, colours a terminal, begins a
// line of its own or turns the direction of what is read.

extension String {
    /// Control characters and those that turn the direction of writing are shown as \x1b and such.
    ///
    /// - Parameter inOneLine: line feeds and tabs become spaces; else they stay.
    package func printable(inOneLine: Bool) -> String {
        func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
            switch scalar {
            case "\n", "\t": return !inOneLine
            case "\u{2028}", "\u{2029}": return false
            default:
                return scalar.properties.generalCategory != .control && !scalar.properties.isBidiControl
            }
        }
        // Nearly every text is of these alone.
        if utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) || unicodeScalars.allSatisfy(isHarmless) { return self }
        return unicodeScalars.reduce(into: "") { shown, scalar in
            switch scalar {
            case _ where isHarmless(scalar): shown.unicodeScalars.append(scalar)
            case "\n", "\t", "\u{2028}", "\u{2029}": shown += " "
            default: shown += "\\x" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            }
        }
    }

    /// The text, or as much of its beginning as these bytes of UTF-8 hold, with an ellipsis.
    func cut(toBytes most: Int) -> String {
        let ellipsis = "…"
        guard utf8.count > most else { return self }
        var length = most - ellipsis.utf8.count
        let bytes = utf8
        // Back to the first byte of a character.
        while length > 0, bytes[bytes.index(bytes.startIndex, offsetBy: length)] & 0xC0 == 0x80 { length -= 1 }
        return String(decoding: bytes.prefix(max(0, length)), as: UTF8.self) + ellipsis
    }
}
