// Numbers as large and as small as people may write them: sizes are worked out or refused, nothing traps.

import PSConfiguration
import PSJob
import Testing

@Suite struct ExtremeSettingsTests {
    /// Both ends of a setting's range; none for what is no number.
    private func ends(_ setting: Setting) -> [SettingValue] {
        switch setting.kind {
        case .integer(let range), .optionalInteger(let range): [.integer(range.lowerBound), .integer(range.upperBound)]
        case .number(let range), .optionalNumber(let range): [.number(range.lowerBound), .number(range.upperBound)]
        case .integerChoice(let numbers), .optionalIntegerChoice(let numbers):
            [.integer(numbers.min()!), .integer(numbers.max()!)]
        case .boolean, .choice, .text, .optionalText, .list, .identifier: []
        }
    }

    private func examine(_ job: JobConfiguration) {
        let doctor = Doctor(configuration: job, directory: "/tmp")
        #expect(doctor.findings.contains { $0.check == "memory" })
        #expect(!doctor.text.isEmpty)
    }

    @Test func doctorAnswersAtEveryEndOfEverySetting() {
        for setting in SettingsTable.all {
            for value in ends(setting) {
                var job = JobConfiguration()
                setting.write(&job, value)
                examine(job)
            }
        }
    }

    @Test(arguments: [0, 1], [0, 1]) func doctorAnswersAtAllEndsTogether(sizes: Int, rest: Int) {
        var job = JobConfiguration()
        for setting in SettingsTable.all {
            let ends = ends(setting)
            if !ends.isEmpty { setting.write(&job, ends[setting.key.hasPrefix("model.") ? sizes : rest]) }
        }
        examine(job)
    }

    /// Images of all steps, tickets of all steps, bytes of all checkpoints.
    @Test func productsThatJobsFormAreWholeNumbers() {
        func most(_ key: String) -> Int? {
            let setting = SettingsTable.all.first { $0.key == key }!
            switch setting.kind {
            case .integer(let range), .optionalInteger(let range): return range.upperBound
            default: return nil
            }
        }
        func product(_ keys: String...) -> Bool {
            var product = 1
            for key in keys {
                guard let most = most(key), case (let next, let isOver) = product.multipliedReportingOverflow(by: most),
                    !isOver
                else { return false }
                product = next
            }
            return true
        }
        #expect(product("train.steps", "train.ticketsPerStep", "train.batch"))
        #expect(product("cluster.workers", "cluster.threads", "cluster.maxRestarts"))
        for setting in SettingsTable.all where setting.key != "seed" {
            if let most = most(setting.key) { #expect(most <= 1 << 50, "\(setting.key)") }
        }
    }

    private static let options: [[String]] = [
        ["bench", "step", "--batch"], ["bench", "step", "--image-size"], ["bench", "step", "--width"],
        ["bench", "step", "--classes"], ["bench", "step", "--stem"], ["bench", "step", "--steps"],
        ["bench", "step", "--threads"], ["bench", "step", "--max-error"], ["bench", "inference", "--batches"],
        ["bench", "exchange", "--rounds"], ["bench", "exchange", "--servers"], ["bench", "exchange", "--workers"],
        ["bench", "errors", "--batch"], ["watch", "--interval"], ["evaluate", "--run-dir", "/none", "--step"],
        ["stop", "--run-dir", "/none", "--after-step"],
    ]

    /// One error each, never a signal. `--rank` is the daemons'.
    @Test(arguments: options) func optionsTakeNoNumberForATrap(option: [String]) throws {
        for value in ["-1", "9223372036854775807", "18446744073709551615", "nan", "inf", "1e400"] {
            let arguments = option.dropLast() + ["\(option.last!)=\(value)"]
            let finished = try Running("psctl", Array(arguments)).finish(within: 20)
            #expect([1, 64].contains(finished.code), "\(arguments): \(finished.code) \(finished.errors)")
            #expect(finished.errors.hasPrefix("psctl: error: "), "\(arguments): \(finished.errors)")
        }
    }

    @Test(arguments: ["ps-server", "ps-worker"]) func ranksBeyondAnyJobAreRefused(program: String) throws {
        for rank in ["-1", "10000", "99999999999", "9223372036854775807", "18446744073709551615"] {
            let finished = try Running(program, ["--coordinator", "tcp://127.0.0.1:9", "--rank=\(rank)"])
                .finish(within: 10)
            #expect(finished.code == 64, "\(rank): \(finished.errors)")
            #expect(finished.errors.contains("rank"), "\(rank): \(finished.errors)")
        }
    }
}
