// The form of what commands print: one JSON value, or a table for people.

import Foundation
import PSFiles

package enum Report {
    /// One JSON value with snake_case keys in a fixed order, ending in a newline.
    package static func json(_ value: some Encodable) -> String { String(decoding: JSON.pretty(value), as: UTF8.self) }

    /// Columns two spaces apart, the first aligned left, the others right, without trailing spaces.
    package static func table(_ rows: [[String]]) -> String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            zip(row, widths).enumerated().map { column, cell in
                let padding = String(repeating: " ", count: cell.1 - cell.0.count)
                return column == 0 ? cell.0 + padding : padding + cell.0
            }
            .joined(separator: "  ") + "\n"
        }
        .joined()
    }

    /// "1 worker", "2 workers".
    package static func count(_ number: Int, _ noun: String) -> String {
        "\(grouped(number)) \(noun)\(number == 1 ? "" : "s")"
    }

    /// 27161264 as "27,161,264".
    package static func grouped(_ number: Int) -> String {
        var groups: [Substring] = []
        var digits = Substring(String(number.magnitude))
        while digits.count > 3 {
            groups.insert(digits.suffix(3), at: 0)
            digits = digits.dropLast(3)
        }
        groups.insert(digits, at: 0)
        return (number < 0 ? "-" : "") + groups.joined(separator: ",")
    }

    /// 1610612736 as "1.5 GiB".
    package static func bytes(_ count: Int) -> String {
        let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(count)
        var unit = 0
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return unit == 0 ? "\(count) bytes" : "\(decimal(value, places: 1)) \(units[unit])"
    }

    /// A number with this many digits behind the point.
    package static func decimal(_ value: Double, places: Int) -> String {
        String(format: "%.\(places)f", value)
    }

    /// 0.8675 as "86.75%".
    package static func percent(_ fraction: Double) -> String { decimal(100 * fraction, places: 2) + "%" }
}
