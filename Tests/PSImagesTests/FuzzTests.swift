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

/// `PS_FUZZ_INPUTS` sets how many inputs each format gets; the default takes seconds.
@Test(.enabled(if: hasTimeForLongTests), arguments: Mutations.all.indices) func longMutations(_ index: Int) {
    let mutations = Mutations.all[index]
    let wanted = ProcessInfo.processInfo.environment["PS_FUZZ_INPUTS"].flatMap(UInt64.init) ?? 1000
    let decoder = PictureDecoder()
    var outcomes = Outcomes()
    let clock = ContinuousClock()
    var slowest = (time: Duration.zero, input: UInt64(0))
    for number in 0..<wanted {
        let bytes = mutations.input(number)
        let time = clock.measure { outcomes.note(decode(bytes, number, decoder, .all)) }
        if time > slowest.time { slowest = (time, number) }
    }
    print("\(mutations.format): \(outcomes); the slowest, input \(slowest.input), took \(slowest.time)")
    #expect(outcomes.count == wanted)
    #expect(slowest.time < .seconds(5))
}
