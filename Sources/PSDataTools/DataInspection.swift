// `psctl data inspect` and `psctl data verify`: what is in a data set, and what of it cannot be used.

import PSConfiguration
import PSData
import PSDatasets
import PSFiles
import PSImages
import PSReport

/// What was found in a data set.
package struct DataInspection: Encodable, Sendable {
    /// How far a tool looks at pictures.
    package enum Depth: Sendable {
        /// Only at the list of samples.
        case list
        /// Reads every file, and its header.
        case headers
        /// Decodes every picture.
        case pixels
    }

    package struct Split: Encodable, Sendable {
        package let name: String
        package let samples: Int
        package let bytes: Int
        /// Samples of the smallest class, the median one and the largest.
        package let classSizes: [Int]
        /// Names of the smallest class and the largest.
        package let smallestClass: String
        package let largestClass: String
        /// By format; "pixels" for sets that hold no picture files. Empty where no file was read.
        package internal(set) var formats: [String: Int] = [:]
        /// Rows and columns of the smallest picture, the median one and the largest, by area.
        package internal(set) var sizes: [[Int]] = []
        package internal(set) var grey = 0
        package internal(set) var withAlpha = 0
        /// Pictures that their EXIF block turns.
        package internal(set) var turned = 0
        package internal(set) var unreadableCount = 0
        /// The first of them: names and reasons.
        package internal(set) var unreadable: [String] = []
    }

    package let path: String
    package let form: String
    package let classes: Int
    package internal(set) var splits: [Split] = []
    /// Samples that have the same bytes as an earlier one, and the first of them as pairs of names.
    package internal(set) var duplicateCount = 0
    package internal(set) var duplicates: [String] = []
    package let remarks: [String]

    private static let mostNames = 20

    /// - Parameter progress: called now and then with samples done and all of a split.
    package init(
        _ settings: DataSettings, depth: Depth, threads: Int,
        progress: @escaping @Sendable (DatasetSplit, Int, Int) -> Void = { _, _, _ in }
    ) throws {
        let opened = try DatasetSplit.allCases.map { split in
            (split, try Dataset.open(settings.set, split) { done, all in progress(split, done, all) })
        }
        path = settings.set.path
        form = opened[0].1.form.rawValue
        classes = opened[0].1.classNames.count
        remarks = Array(Set(opened.flatMap { $0.1.remarks })).sorted()
        var seen: [ContentHash: String] = [:]
        for (split, dataset) in opened {
            var result = try DataInspection.list(split, dataset)
            if depth != .list {
                let visitors = visitEverySample(
                    of: dataset, threads: threads, progress: { progress(split, $0, $1) },
                    make: { PictureVisitor(DecodeSettings(settings.decoding), decodes: depth == .pixels) })
                try result.take(visitors, dataset, mostNames: DataInspection.mostNames)
                for (hash, sample) in visitors.flatMap(\.hashes).sorted(by: { $0.sample < $1.sample }) {
                    let name = "\(split.rawValue): \(try dataset.name(of: sample))"
                    if let first = seen[hash] {
                        duplicateCount += 1
                        if duplicates.count < DataInspection.mostNames { duplicates.append("\(name) = \(first)") }
                    } else {
                        seen[hash] = name
                    }
                }
            }
            splits.append(result)
        }
    }

    private static func list(_ split: DatasetSplit, _ dataset: Dataset) throws -> Split {
        var counts = [Int](repeating: 0, count: dataset.classNames.count)
        var bytes = 0
        for sample in 0..<dataset.count {
            counts[try dataset.label(of: sample)] += 1
            bytes += try dataset.byteCount(of: sample)
        }
        let order = counts.indices.sorted { (counts[$0], $0) < (counts[$1], $1) }
        let middle = order[order.count / 2]
        return Split(
            name: split.rawValue, samples: dataset.count, bytes: bytes,
            classSizes: [counts[order[0]], counts[middle], counts[order[order.count - 1]]],
            smallestClass: dataset.classNames[order[0]], largestClass: dataset.classNames[order[order.count - 1]])
    }

    package var unreadableCount: Int { splits.reduce(0) { $0 + $1.unreadableCount } }

    /// The lines for people.
    package var text: String {
        var text = "\(path): \(form), \(Report.grouped(classes)) classes\n"
        for split in splits {
            text += "\n\(split.name): \(Report.count(split.samples, "sample")), \(Report.bytes(split.bytes))\n"
            let (smallest, median, largest) = (split.classSizes[0], split.classSizes[1], split.classSizes[2])
            let span = "\(smallest) (\(split.smallestClass)) to \(largest) (\(split.largestClass)), median \(median)"
            var rows = [["  samples of a class", span]]
            if !split.formats.isEmpty {
                let formats = split.formats.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
                let counts = formats.map { "\($0.key) \(Report.grouped($0.value))" }
                rows.append(["  formats", counts.joined(separator: ", ")])
            }
            if split.sizes.count == 3 {
                let names = split.sizes.map { "\($0[1]) x \($0[0])" }
                rows.append(["  width x height", "\(names[0]) to \(names[2]), median \(names[1])"])
            }
            let kinds = [("grey", split.grey), ("with alpha", split.withAlpha), ("turned by EXIF", split.turned)]
                .filter { $0.1 > 0 }
            if !kinds.isEmpty {
                rows.append(
                    ["  among them", kinds.map { "\($0.0) \(Report.grouped($0.1))" }.joined(separator: ", ")])
            }
            let width = rows.map { $0[0].count }.max()!
            for row in rows { text += row[0].padding(to: width) + "  " + row[1] + "\n" }
            if split.unreadableCount > 0 {
                text += "  \(Report.count(split.unreadableCount, "sample")) cannot be read"
                text += " (data.onBadImage says what training does about it):\n"
                text += DataInspection.names(split.unreadable, of: split.unreadableCount)
            }
        }
        if duplicateCount > 0 {
            text += "\n\(Report.count(duplicateCount, "sample")) with the same bytes as another:\n"
            text += DataInspection.names(duplicates, of: duplicateCount)
        }
        return text + remarks.map { "\n\($0)\n" }.joined()
    }

    private static func names(_ names: [String], of count: Int) -> String {
        names.map { "    \($0)\n" }.joined() + (count > names.count ? "    and \(count - names.count) more\n" : "")
    }
}

extension String {
    fileprivate func padding(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}

/// The first half of the SHA-256 of a sample's bytes.
struct ContentHash: Hashable, Sendable {
    let first: UInt64
    let second: UInt64

    init(_ content: SampleContent) {
        let bytes =
            switch content {
            case .encoded(let bytes): bytes
            case .pixels(let pixels): pixels.bytes
            }
        var hash = SHA256()
        bytes.withUnsafeBytes { hash.update($0) }
        let text = hash.hexadecimal()
        first = UInt64(text.prefix(16), radix: 16) ?? 0
        second = UInt64(text.dropFirst(16).prefix(16), radix: 16) ?? 0
    }
}

/// Notes what the pictures of one thread are.
private final class PictureVisitor: SampleVisitor {
    private let decoder = PictureDecoder()
    private let settings: DecodeSettings
    private let decodes: Bool
    var formats: [String: Int] = [:]
    var sizes: [(rows: Int, columns: Int)] = []
    var grey = 0
    var withAlpha = 0
    var turned = 0
    var unreadable: [(sample: Int, reason: String)] = []
    var hashes: [(hash: ContentHash, sample: Int)] = []

    init(_ settings: DecodeSettings, decodes: Bool) {
        self.settings = settings
        self.decodes = decodes
    }

    func visit(_ sample: Int, _ content: Result<SampleContent, DatasetError>) {
        switch content {
        case .failure(let error): unreadable.append((sample, "\(error)"))
        case .success(let content):
            hashes.append((ContentHash(content), sample))
            switch content {
            case .pixels(let pixels):
                formats["pixels", default: 0] += 1
                sizes.append((pixels.rows, pixels.columns))
                if pixels.channels == 1 { grey += 1 }
            case .encoded(let bytes):
                do throws(ImageError) {
                    let info = try decoder.probe(bytes, settings)
                    if decodes { _ = try decoder.decode(bytes, settings) }
                    formats["\(info.format)", default: 0] += 1
                    sizes.append((info.rows, info.columns))
                    if info.isGrey { grey += 1 }
                    if info.hasAlpha { withAlpha += 1 }
                    if info.orientation != .asStored { turned += 1 }
                } catch {
                    unreadable.append((sample, "\(error)"))
                }
            }
        }
    }
}

extension DataInspection.Split {
    fileprivate mutating func take(_ visitors: [PictureVisitor], _ dataset: Dataset, mostNames: Int) throws {
        for visitor in visitors {
            formats.merge(visitor.formats, uniquingKeysWith: +)
            grey += visitor.grey
            withAlpha += visitor.withAlpha
            turned += visitor.turned
        }
        let ordered = visitors.flatMap(\.sizes).sorted {
            ($0.rows * $0.columns, $0.rows) < ($1.rows * $1.columns, $1.rows)
        }
        if let smallest = ordered.first, let largest = ordered.last {
            sizes = [smallest, ordered[ordered.count / 2], largest].map { [$0.rows, $0.columns] }
        }
        let bad = visitors.flatMap(\.unreadable).sorted { $0.sample < $1.sample }
        unreadableCount = bad.count
        unreadable = try bad.prefix(mostNames).map { "\(try dataset.name(of: $0.sample)) \($0.reason)" }
    }
}
