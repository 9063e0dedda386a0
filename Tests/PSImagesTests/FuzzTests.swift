// Mutated files: each is decoded or refused with a named error; parts agree with the whole; nothing traps or hangs.

import Foundation
import PSImages
import PSParameters
import PSSamples
import Testing

/// What became of many inputs.
private struct Outcomes {
    var decoded = 0
    var refused: [String: Int] = [:]

    var count: Int { decoded + refused.values.reduce(0, +) }

    mutating func note(_ error: ImageError?) {
        if let error { refused[kind(error), default: 0] += 1 } else { decoded += 1 }
    }
}

/// The kind of an error, without what it found.
private func kind(_ error: ImageError) -> String {
    switch error {
    case .empty: "empty"
    case .unknown: "unknown"
    case .notRead: "not read"
    case .cutOff: "cut off"
    case .damaged: "damaged"
    case .unsupported: "unsupported"
    case .tooLarge: "too large"
    case .outside: "outside"
    case .noMemory: "no memory"
    }
}

private enum Depth {
    /// The header and a part.
    case part
    /// The header, all of it, a part, and whether they agree.
    case all
}

/// Limits that keep an input's time short.
private let small = DecodeSettings(maxPixels: 1 << 20)

private func attempt<Value>(_ body: () throws(ImageError) -> Value) -> Result<Value, ImageError> {
    do throws(ImageError) { return .success(try body()) } catch { return .failure(error) }
}

private func decode(
    _ bytes: [UInt8], _ number: UInt64, _ decoder: PictureDecoder, _ depth: Depth
) -> ImageError? {
    let info: PictureInfo
    switch attempt({ () throws(ImageError) in try decoder.probe(bytes, small) }) {
    case .success(let found): info = found
    case .failure(let error): return error
    }
    let random = CounterRandom(seed: 9, name: "part").stream(number)
    let region = randomRegion(rows: info.rows, columns: info.columns, random, number & 3)
    var settings = small
    if number % 5 == 0 { settings.resolution = .scaled(rows: 2, columns: 2) }
    let part = attempt { () throws(ImageError) in try decoder.decode(bytes, region: region, settings) }
    if depth == .part || number % 5 == 0 {
        if case .failure(let error) = part { return error }
        return nil
    }
    switch attempt({ () throws(ImageError) in try decoder.decode(bytes, small) }) {
    case .success(let whole):
        #expect(whole.rows == info.rows && whole.columns == info.columns, "input \(number)")
        // What is sound as a whole is sound in every part.
        switch part {
        case .success(let part): #expect(difference(part, whole.cut(region)) == nil, "input \(number), \(region)")
        case .failure(let error): Issue.record("input \(number), \(region): \(error)")
        }
        return nil
    case .failure(let error): return error
    }
}

@Test(arguments: Mutations.all.indices) func quickMutations(_ index: Int) {
    let mutations = Mutations.all[index]
    let decoder = PictureDecoder()
    var outcomes = Outcomes()
    for number in 0..<UInt64(20_000) {
        outcomes.note(decode(mutations.input(number), number, decoder, .part))
    }
    #expect(outcomes.count == 20_000)
    // The mutations reach what they should: some files stay sound, some fail in each way.
    #expect(outcomes.decoded > 1000 && outcomes.refused["damaged", default: 0] > 1000, "\(outcomes)")
    #expect(outcomes.refused["cut off", default: 0] > 500 && outcomes.refused["outside"] == nil, "\(outcomes)")
}

// MARK: The committed corpus

/// A mutated file and what becomes of it.
private struct CorpusEntry: Codable {
    let outcome: String
    /// What the libraries of the day said; their words may change.
    let saying: String
    let file: Data
}

/// The smallest file for each thing that was ever said of one.
private struct Corpus {
    private var smallest: [String: CorpusEntry] = [:]

    mutating func note(_ error: ImageError?, _ bytes: [UInt8]) {
        let saying = error.map(saying) ?? "decoded"
        if let known = smallest[saying], known.file.count <= bytes.count { return }
        smallest[saying] = CorpusEntry(outcome: error.map(kind) ?? "decoded", saying: saying, file: Data(bytes))
    }

    /// What is said of an error, without the numbers in it.
    private func saying(_ error: ImageError) -> String {
        switch error {
        case .damaged(_, let text), .unsupported(_, let text):
            text.split(separator: " ").filter { !$0.contains(where: \.isNumber) }.joined(separator: " ")
        default: kind(error)
        }
    }

    func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let lines = try smallest.sorted { $0.key < $1.key }
            .map { String(decoding: try encoder.encode($0.value), as: UTF8.self) }
        try ("[\n" + lines.joined(separator: ",\n") + "\n]\n").write(toFile: path, atomically: true, encoding: .utf8)
    }
}

@Test(arguments: ["JPEG", "PNG", "WebP", "PNM"]) func theCorpusEndsAsItDid(_ format: String) throws {
    let url = try #require(
        Bundle.module.url(forResource: "corpus-\(format)", withExtension: "json", subdirectory: "Fixtures"))
    let entries = try JSONDecoder().decode([CorpusEntry].self, from: Data(contentsOf: url))
    #expect(entries.count > 8)
    let decoder = PictureDecoder()
    for (number, entry) in entries.enumerated() {
        let error = decode([UInt8](entry.file), UInt64(5 * number + 1), decoder, .all)
        #expect(error.map(kind) ?? "decoded" == entry.outcome, "\(entry.saying)")
    }
}

/// `PS_FUZZ_INPUTS` sets how many inputs each format gets; the default takes seconds. `PS_FUZZ_CORPUS`
/// is a directory to which the corpus of the inputs is written.
@Test(.enabled(if: hasTimeForLongTests), arguments: Mutations.all.indices) func longMutations(_ index: Int) throws {
    let mutations = Mutations.all[index]
    let wanted = ProcessInfo.processInfo.environment["PS_FUZZ_INPUTS"].flatMap(UInt64.init) ?? 1000
    let decoder = PictureDecoder()
    var outcomes = Outcomes()
    let clock = ContinuousClock()
    var corpus = Corpus()
    var slowest = (time: Duration.zero, input: UInt64(0))
    for number in 0..<wanted {
        let bytes = mutations.input(number)
        var error: ImageError?
        let time = clock.measure { error = decode(bytes, number, decoder, .all) }
        outcomes.note(error)
        if number % 5 > 0 { corpus.note(error, bytes) }
        if time > slowest.time { slowest = (time, number) }
    }
    print("\(mutations.format): \(outcomes); the slowest, input \(slowest.input), took \(slowest.time)")
    if let directory = ProcessInfo.processInfo.environment["PS_FUZZ_CORPUS"] {
        try corpus.write(to: "\(directory)/corpus-\(mutations.format).json")
    }
    #expect(outcomes.count == wanted)
    #expect(slowest.time < .seconds(5))
}
