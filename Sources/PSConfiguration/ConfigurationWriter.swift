// From a configuration to text: the complete YAML that daemons receive, and the lists that people read.

extension Setting {
    /// This setting's value in `configuration` as YAML writes it. `Double`'s description gives back the same bits.
    package func yamlValue(in configuration: JobConfiguration) -> String {
        switch read(configuration) {
        case .none: "null"
        case .boolean(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .text(let value): quoteIfNeeded(value)
        case .list(let values): "[" + values.map(quoteIfNeeded).joined(separator: ", ") + "]"
        }
    }

    /// Words and paths stand as they are; anything that YAML could take for something else is quoted.
    private func quoteIfNeeded(_ text: String) -> String {
        let isPlain =
            text.first.map { $0.isASCII && $0.isLetter || $0 == "/" } == true
            && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./".contains($0)) }
            && !["null", "true", "false", "yes", "no", "on", "off"].contains(text.lowercased())
        if isPlain { return text }
        let escaped = text.unicodeScalars.map { scalar -> String in
            switch scalar {
            case "\"": "\\\""
            case "\\": "\\\\"
            case _
            where scalar.value < 0x20 || 0x7F...0x9F ~= scalar.value || [0x2028, 0x2029, 0xFEFF].contains(scalar.value):
                "\\U" + String(repeating: "0", count: 8 - String(scalar.value, radix: 16).count)
                    + String(scalar.value, radix: 16)
            default: String(scalar)
            }
        }
        return "\"\(escaped.joined())\""
    }
}

extension JobConfiguration {
    /// Every setting as YAML. Reading it gives an equal configuration.
    package func resolvedYAML() -> String {
        var lines: [String] = []
        var section = ""
        for setting in SettingsTable.all {
            let parts = setting.key.split(separator: ".").map(String.init)
            if parts.count == 1 {
                lines.append("\(parts[0]): \(setting.yamlValue(in: self))")
                continue
            }
            if parts[0] != section {
                section = parts[0]
                lines.append("\(section):")
            }
            lines.append("  \(parts[1]): \(setting.yamlValue(in: self))")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

extension SettingsTable {
    /// The README's table: key, default, allowed values, meaning.
    package static func markdown() -> String {
        let defaults = JobConfiguration()
        var lines = ["| setting | default | allowed | on resume | meaning |", "|---|---|---|---|---|"]
        for setting in all {
            lines.append(
                "| `\(setting.key)` | `\(setting.yamlValue(in: defaults))` | \(setting.kind.range) "
                    + "| \(setting.onResume) | \(setting.documentation) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The list that `--help` ends with: key and default, then the meaning.
    package static func helpText() -> String {
        let defaults = JobConfiguration()
        return all.map { setting in
            "  \(setting.key)=\(setting.yamlValue(in: defaults))\n      \(setting.documentation)\n"
        }.joined()
    }
}
