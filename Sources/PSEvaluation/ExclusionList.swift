// The images that an evaluation leaves out: a file with one in a line, as ILSVRC's list of wrongly labelled ones.

import PSDatasets
import PSFiles
import PSPrediction

/// Images of a data set that a file names.
///
/// A line names an image by its name in the set, as evaluation prints it (`n01440764/ILSVRC2012_val_00000293.JPEG`); by
/// that name without its folders; or by a whole number: that of the image whose file name ends in it (`293`), which is how
/// ILSVRC's list counts. The first of these that is any image's name counts, and it has to be one image's. Spaces around a
/// line and empty lines do not matter.
package struct ExclusionList: Sendable, Hashable {
    /// Their numbers in the set.
    package let samples: Set<Int>

    /// - Parameters:
    ///   - path: the file's.
    ///   - data: what it names images of; `dataPath` is for messages.
    /// - Throws: `StorageError` when the file cannot be read; `EvaluationError.unusableExclusions` when a line names no
    ///   image, or several.
    package init(path: String, of data: any SampleSource, dataPath: String) throws {
        let text = String(decoding: try LocalFileSystem().read(path), as: UTF8.self)
        let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }.map { $0.trimmed }
        var names = NameTable()
        for sample in 0..<data.count { names.add(try data.name(of: sample), sample) }
        var samples: Set<Int> = []
        var problems: [String] = []
        for (index, line) in lines.enumerated() where !line.isEmpty {
            let found = names.samples(line)
            if found.count == 1 {
                samples.insert(found[0])
            } else {
                let several = found.isEmpty ? "no image" : "\(found.count) images"
                problems.append("line \(index + 1), '\(line)', names \(several) of \(dataPath)")
            }
        }
        if let first = problems.first {
            throw EvaluationError.unusableExclusions(path: path, first: first, others: problems.count - 1)
        }
        self.samples = samples
    }

    /// The rest of the set.
    package func remaining(of data: any SampleSource) -> SelectedSamples {
        SelectedSamples((0..<data.count).filter { !samples.contains($0) }, of: data)
    }
}

/// Which samples each of the three kinds of names means.
private struct NameTable {
    private var whole: [String: [Int]] = [:]
    private var last: [String: [Int]] = [:]
    private var numbers: [Substring: [Int]] = [:]

    mutating func add(_ name: String, _ sample: Int) {
        whole[name, default: []].append(sample)
        let file = name.split(separator: "/").last.map(String.init) ?? name
        last[file, default: []].append(sample)
        let stem = file.lastIndex(of: ".").map { file[..<$0] } ?? file[...]
        if let number = NameTable.number(stem[stem.indexAfterLast { !NameTable.isDigit($0) }...]) {
            numbers[number, default: []].append(sample)
        }
    }

    func samples(_ line: String) -> [Int] {
        if let found = whole[line] ?? last[line] { return found }
        guard line.allSatisfy(NameTable.isDigit), let number = NameTable.number(line[...]) else { return [] }
        return numbers[number] ?? []
    }

    private static func isDigit(_ character: Character) -> Bool { ("0"..."9").contains(character) }

    /// Digits without the zeros in front; nil: there are none.
    private static func number(_ digits: Substring) -> Substring? {
        if digits.isEmpty { return nil }
        let rest = digits.drop { $0 == "0" }
        return rest.isEmpty ? "0" : rest
    }
}

extension Substring {
    fileprivate var trimmed: String {
        let isSpace: (Character) -> Bool = { $0.isWhitespace }
        guard let first = firstIndex(where: { !isSpace($0) }), let last = lastIndex(where: { !isSpace($0) }) else {
            return ""
        }
        return String(self[first...last])
    }

    fileprivate func indexAfterLast(where predicate: (Character) -> Bool) -> Index {
        lastIndex(where: predicate).map(index(after:)) ?? startIndex
    }
}
