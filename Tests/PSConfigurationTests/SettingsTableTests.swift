// The settings table and the texts that follow from it.

import Foundation
import PSConfiguration
import Testing

@Suite struct SettingsTableTests {
    @Test func keysAndVariablesAreUnique() {
        #expect(Set(SettingsTable.all.map(\.key)).count == SettingsTable.all.count)
        #expect(Set(SettingsTable.all.map(\.environmentVariable)).count == SettingsTable.all.count)
        #expect(
            SettingsTable.all.map(\.environmentVariable).contains("PSCTL_TRAIN_TICKETS_PER_STEP"))
    }

    @Test func defaultsAreAllowed() {
        let defaults = JobConfiguration()
        for setting in SettingsTable.all {
            #expect(setting.kind.problem(with: setting.read(defaults)) == nil, "\(setting.key)")
        }
    }

    /// Each setting is changed alone and must change the configuration, and the text must carry the change.
    @Test func everySettingRoundTrips() throws {
        // Some values of the data's settings go with others only.
        let bases = try [
            [], ["data.augment=torchvision", "data.evaluate=torchvision"],
            ["data.augment=inception", "data.evaluate=inception"], ["eval.everySteps=5"], ["server.replicas=1"],
            ["cluster.workers=10000"],
        ].map { assignments in
            var base = JobConfiguration()
            try base.read(assignments: assignments)
            return base
        }
        for setting in SettingsTable.all {
            for value in otherValues(of: setting, than: setting.read(bases[0])) {
                let results = bases.compactMap { base -> Bool? in
                    var configuration = base
                    setting.write(&configuration, value)
                    #expect(setting.read(configuration) == value, "\(setting.key)")
                    let text = configuration.resolvedYAML()
                    return (try? JobConfiguration(yaml: text, path: "f")).map { $0 == configuration }
                }
                #expect(!results.isEmpty && results.allSatisfy { $0 }, "\(setting.key): \(value)")
            }
        }
    }

    @Test func hardTextsRoundTrip() throws {
        for text in [
            " ", "null", "7", "a: b", "# no", "\"quoted\"", "back\\slash", "tab\tline\n", "\u{1}\u{85}é😀\u{FEFF}",
        ] {
            var configuration = JobConfiguration()
            configuration.data.set.path = text
            #expect(try JobConfiguration(yaml: configuration.resolvedYAML(), path: "f") == configuration, "\(text)")
        }
    }

    private func otherValues(of setting: Setting, than value: SettingValue) -> [SettingValue] {
        switch setting.kind {
        case .boolean: [.boolean(value == .boolean(false))]
        case .integer(let range): [.integer(range.lowerBound), .integer(range.upperBound)]
        case .optionalInteger(let range): [.integer(range.lowerBound), .none]
        case .number(let range): [.number(range.upperBound), .number(min(range.lowerBound + 1 / 3, range.upperBound))]
        case .optionalNumber(let range): [.number(range.upperBound), .none]
        case .choice(let names): names.map { .text($0) }
        case .integerChoice(let numbers): numbers.map { .integer($0) }
        case .optionalIntegerChoice(let numbers): numbers.map { .integer($0) } + [.none]
        case .text: [.text("/some where/ü")]
        case .optionalText: [.text("/some where/ü"), .text("null"), .none]
        case .list: [.list(["fc.:10", "Mixed_5", "a b"]), .list([])]
        case .identifier: [.text("a-b_c.1")]
        }
    }
}
