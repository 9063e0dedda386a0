// A list of images that an evaluation leaves out, as the 1,762 that ILSVRC 2012's validation set is better without.

import Foundation
import PSDatasets
import PSFiles
import PSPrediction

/// A text file with an image in every line: its name in the data set, the last part of that name, or the number at the
/// end of its file's name without the extension (293 for ILSVRC2012_val_00000293.JPEG). Empty lines, and what follows a
/// `#`, are comments.
package enum ExclusionFile {
    /// The numbers of the images named.
    ///
    /// - Throws: naming the first lines that name no image, or several.
    package static func read(_ path: String, of source: any SampleSource) throws -> Set<Int> {
        let text = String(decoding: try LocalFileSystem().read(path, atMost: 64 << 20), as: UTF8.self)
        var byName: [String: [Int]] = [:]
        var byNumber: [Int: [Int]] = [:]
        for sample in 0..<source.count {
            let name = try source.name(of: sample)
            let last = name.split(separator: "/").last.map(String.init) ?? name
            byName[name, default: []].append(sample)
            if last != name { byName[last, default: []].append(sample) }
            let stem = last.prefix { $0 != "." }
            let digits = stem.reversed().prefix { $0.isASCII && $0.isNumber }
            if let number = Int(String(digits.reversed())) { byNumber[number, default: []].append(sample) }
        }
        var excluded: Set<Int> = []
        var problems: [String] = []
        for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let entry = line.prefix { $0 != "#" }.trimmingCharacters(in: .whitespaces)
            if entry.isEmpty { continue }
            let found = byName[entry] ?? Int(entry).flatMap { byNumber[$0] } ?? []
            if found.count == 1 {
                excluded.insert(found[0])
            } else {
                problems.append(
                    "line \(number + 1), \"\(entry)\", names \(found.isEmpty ? "no image" : "\(found.count) images")")
            }
        }
        if !problems.isEmpty {
            let shown = problems.prefix(5).joined(separator: "; ")
            throw EvaluationError.unusableExclusions(
                path: path, problem: problems.count > 5 ? "\(shown); and \(problems.count - 5) more" : shown)
        }
        return excluded
    }
}
