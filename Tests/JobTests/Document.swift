// The commands of a document: what a person would copy from it into a shell.

import Foundation

struct Document {
    struct Command: Hashable {
        let text: String
        /// The host it is for, in a block that follows "On `HOST`:".
        let host: String?
    }

    static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Lines of indented blocks, in order.
    private(set) var blocks: [Command] = []
    /// Words between backticks that are a command: `scripts/...`, and a program of this package with arguments.
    private(set) var inline: [String] = []

    /// What the document holds, each command once.
    var commands: Set<String> { Set(blocks.map(\.text) + inline) }

    /// - Parameter name: relative to the package.
    init(_ name: String) throws {
        self.init(markdown: try String(contentsOf: Document.root.appending(path: name), encoding: .utf8))
    }

    init(markdown: String) {
        var prose = ""
        var host: String?
        for line in markdown.split(separator: "\n", omittingEmptySubsequences: false) {
            // Pictures are indented deeper, or begin with what no command begins with.
            if line.hasPrefix("    ") {
                let text = line.dropFirst(4)
                if text.first?.isLetter == true {
                    let command = text.firstRange(of: " #").map { text[..<$0.lowerBound] } ?? text
                    blocks.append(Command(text: command.trimmingCharacters(in: .whitespaces), host: host))
                }
                continue
            }
            if let match = line.wholeMatch(of: /On `([a-z]+)`:/) {
                host = String(match.1)
            } else if !line.isEmpty {
                host = nil
            }
            prose += line + " "
        }
        for (index, span) in prose.split(separator: "`", omittingEmptySubsequences: false).enumerated()
        where index % 2 == 1 {
            let words = span.split(separator: " ")
            guard let first = words.first else { continue }
            let isProgram = first == "psctl" || first.hasPrefix("ps-")
            if first.hasPrefix("scripts/") || (isProgram && words.count > 1) {
                inline.append(words.joined(separator: " "))
            }
        }
    }
}
