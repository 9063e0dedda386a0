// Reading settings: every kind of mistake gets its message, every source its rank.

import Foundation
import PSConfiguration
import Testing

@Suite struct ConfigurationReaderTests {
    /// The message of the error that reading `yaml` gives.
    private func message(_ yaml: String) -> String {
        do throws(ConfigurationError) {
            _ = try JobConfiguration(yaml: yaml, path: "job.yaml")
            return "no error"
        } catch {
            return error.description
        }
    }

    @Test func sectionsAndDottedKeysSetTheSame() throws {
        let nested = try JobConfiguration(yaml: "train:\n  steps: 12\nseed: 7\n", path: "f")
        #expect(nested.train.steps == 12)
        #expect(nested.seed == 7)
        #expect(try JobConfiguration(yaml: "train.steps: 12\nseed: 7", path: "f") == nested)
    }

    @Test func emptyTextsSetNothing() throws {
        for text in ["", "# only a comment\n", "train:\n  # steps: 5\n", "---\n"] {
            #expect(try JobConfiguration(yaml: text, path: "f") == JobConfiguration())
        }
    }

    @Test func unknownSettingNamesLineAndNearest() {
        #expect(
            message("seed: 7\ntrain:\n  batch: 4\n  tiketsPerStep: 3\n").hasPrefix(
                "job.yaml:4: unknown setting 'train.tiketsPerStep'; the nearest is 'train.ticketsPerStep'"))
        #expect(message("trian:\n  steps: 3").contains("'trian.steps'; the nearest is 'train.steps'"))
        #expect(message("steps: 3").contains("nearest is 'train.steps'"))
        #expect(message("model:\n  imagesize: 3").contains("nearest is 'model.imageSize'"))
        #expect(message("sede: 3").contains("nearest is 'seed'"))
    }

    @Test(
        arguments: [
            ("train:\n  steps: many", "job.yaml:2: train.steps is the text 'many', expected a whole number or null"),
            ("seed: 1.5", "job.yaml:1: seed is the number 1.5, expected a whole number"),
            ("seed: \"7\"", "job.yaml:1: seed is the text \"7\", expected a whole number"),
            ("seed:", "job.yaml:1: seed is empty, expected a whole number"),
            ("seed: [1, 2]", "job.yaml:1: seed is a list, expected a whole number"),
            ("seed: {a: 1}", "job.yaml:1: seed is a section, expected a whole number"),
            ("model:\n  auxiliary: 1", "job.yaml:2: model.auxiliary is the number 1, expected true or false"),
            ("\n\nmodel: 5", "job.yaml:3: model is the number 5, expected settings of the section"),
            ("data:\n  path:", "job.yaml:2: data.path is empty, expected a text"),
            (
                "engine:\n  plan: \"null\"\n  maxError: small",
                "job.yaml:3: engine.maxError is the text 'small', expected a number"
            ),
            ("engine:\n  plan: [a]", "job.yaml:2: engine.plan is a list, expected a text or null"),
            ("model:\n  stem: big", "job.yaml:2: model.stem is the text 'big', expected a whole number or null"),
            ("- 1", "job.yaml:1: expected settings such as 'seed: 7', found a list"),
            ("hello", "job.yaml:1: expected settings such as 'seed: 7', found the text 'hello'"),
        ])
    func wrongKind(yaml: String, expected: String) {
        #expect(message(yaml) == expected)
    }

    @Test(
        arguments: [
            ("train:\n  batch: 0", "job.yaml:2: train.batch is '0', allowed is from 1 to 65536"),
            ("train:\n  steps: 0", "job.yaml:2: train.steps is '0', allowed is from 1 to 1000000000, or null"),
            ("seed: -1", "job.yaml:1: seed is '-1', allowed is at least 0"),
            ("seed: 99999999999999999999", "allowed is at least 0"),
            ("model:\n  stem: 100", "job.yaml:2: model.stem is '100', allowed is one of 299, 151, 79, or null"),
            ("model:\n  width: nan", "model.width is 'nan', allowed is at least 0.01, at most 16.0"),
            ("checkpoint:\n  keep: 1", "checkpoint.keep is '1', allowed is from 2 to 1000000"),
            ("optimizer:\n  rule: adam", "job.yaml:2: optimizer.rule is 'adam', allowed is one of rmsprop, momentum"),
            ("optimizer:\n  decay: 1", "optimizer.decay is '1', allowed is at least 0.0 and below 1.0"),
            ("name: ../evil", "name is '../evil', allowed is a name of letters"),
        ])
    func outOfRange(yaml: String, expected: String) {
        #expect(message(yaml).contains(expected))
    }

    @Test func duplicatesAreRefused() {
        #expect(message("seed: 1\nseed: 2").contains("seed is given more than once"))
        #expect(
            message("train:\n  steps: 1\ntrain.steps: 2") == "job.yaml:3: train.steps is given more than once; keep one"
        )
    }

    @Test func settingsAreCheckedTogether() {
        #expect(message("optimizer:\n  epsilon: 0").hasPrefix("optimizer.epsilon is 0: RMSProp divides by its root"))
        #expect(message("optimizer: {epsilon: 0, rule: momentum}") == "no error")
        #expect(
            message("learningRate.factor: 0").hasSuffix("learningRate.factor is '0', allowed is above 0, at most 1.0"))
    }

    @Test func brokenYAMLNamesItsLine() {
        #expect(message("seed: 1\ntrain: [1, 2\n").hasPrefix("job.yaml:3: not YAML: "))
        #expect(message("seed: 1\n\tbatch: 2").hasPrefix("job.yaml:2: not YAML: "))
        #expect(message("seed: \u{7}").hasPrefix("job.yaml:1: not YAML: "))
    }

    /// Aliases of aliases: nine lines that stand for a billion words.
    @Test(.timeLimit(.minutes(1))) func aliasesAndDepthAreRefusedBeforeTheyGrow() {
        var bomb = "a0: &a0 [" + Array(repeating: "x", count: 10).joined(separator: ", ") + "]\n"
        for level in 1...9 {
            bomb += "a\(level): &a\(level) ["
            bomb += Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ") + "]\n"
        }
        #expect(message("seed: 1\n" + bomb).hasPrefix("job.yaml:2: anchors (&name) are not taken"))
        #expect(message("seed: 1\nname: *other").hasPrefix("job.yaml:2: aliases (*name) are not taken"))
        #expect(message("seed: 1\ntrain:\n  <<: {batch: *b}").hasPrefix("job.yaml:3: aliases"))
        for opening in ["[", "{a: ", "- "] {
            let deep = String(repeating: opening, count: 100_000)
            #expect(message("seed: 1\ntrain:\n  " + deep).contains("job.yaml:3: nested deeper than 32 levels"))
        }
        // Inside texts and comments they are letters.
        #expect(message("data:\n  path: \"*b\" # &a *b\n") == "no error")
        #expect(message("data:\n  path: /a&b/*c\n") == "no error")
    }

    @Test func filesThatAreNoJobFilesAreRefused() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "job-\(UUID().uuidString).yaml")
        defer { try? FileManager.default.removeItem(at: file) }
        func message() -> String {
            do throws(ConfigurationError) {
                _ = try JobConfiguration(path: file.path, environment: [:], assignments: [])
                return "no error"
            } catch {
                return error.description
            }
        }
        let comment = Data(repeating: UInt8(ascii: "#"), count: 1 << 20)
        try comment.write(to: file)
        #expect(message() == "no error")
        try (comment + comment).write(to: file)
        #expect(message().hasSuffix("it is larger than 1 MiB; is it a job file?"))
        try Data([0x73, 0xFF, 0xFE]).write(to: file)
        #expect(message().hasSuffix("it is no text in UTF-8"))
    }

    @Test func unreadableFileIsNamed() {
        #expect {
            _ = try JobConfiguration(path: "/nonexistent/job.yaml", environment: [:], assignments: [])
        } throws: { error in
            "\(error)".hasPrefix("cannot read the configuration /nonexistent/job.yaml: ")
        }
    }

    @Test func flagsWinOverEnvironmentOverFileOverDefaults() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "job-\(UUID().uuidString).yaml")
        defer { try? FileManager.default.removeItem(at: file) }
        try "seed: 2\ntrain:\n  batch: 2\n  ticketsPerStep: 2\n".write(to: file, atomically: true, encoding: .utf8)
        let configuration = try JobConfiguration(
            path: file.path,
            environment: ["PSCTL_TRAIN_BATCH": "3", "PSCTL_TRAIN_TICKETS_PER_STEP": "3", "HOME": "/root"],
            assignments: ["train.ticketsPerStep=4", "train.ticketsPerStep=5", "data.path=/a=b"])
        #expect(configuration.seed == 2)
        #expect(configuration.train.batch == 3)
        #expect(configuration.train.ticketsPerStep == 5)
        #expect(configuration.data.set.path == "/a=b")
        #expect(configuration.cluster.workers == JobConfiguration().cluster.workers)
    }

    @Test func environmentAndFlagMistakesAreNamed() {
        func message(_ environment: [String: String], _ assignments: [String]) -> String {
            do throws(ConfigurationError) {
                _ = try JobConfiguration(path: nil, environment: environment, assignments: assignments)
                return "no error"
            } catch {
                return error.description
            }
        }
        #expect(
            message(["PSCTL_TRAIN_STEP": "3"], []).contains(
                "unknown setting 'PSCTL_TRAIN_STEP'; the nearest is 'PSCTL_TRAIN_STEPS'"))
        #expect(
            message(["PSCTL_SEED": "x"], [])
                == "environment variable PSCTL_SEED: seed is the text 'x', expected a whole number")
        #expect(message([:], ["seed"]) == "--set: expected KEY=VALUE, found 'seed'")
        #expect(
            message([:], ["train.step=3"]).contains("--set: unknown setting 'train.step'; the nearest is 'train.steps'")
        )
        #expect(message([:], ["seed=-3"]) == "--set: seed is '-3', allowed is at least 0")
    }

    @Test func evaluationFollowsTheAugmentationUnlessSet() throws {
        func evaluation(_ yaml: String, _ assignments: [String]) throws(ConfigurationError) -> String {
            let job = try JobConfiguration(text: yaml, of: "job.yaml", environment: [:], assignments: assignments)
            return job.data.augmentation.evaluate.rawValue
        }
        #expect(try evaluation("", []) == "pad")
        #expect(try evaluation("", ["data.augment=torchvision"]) == "torchvision")
        #expect(try evaluation("data:\n  augment: inception", []) == "inception")
        #expect(try evaluation("data:\n  evaluate: resize", ["data.augment=inception"]) == "resize")
        #expect(try evaluation("", ["data.augment=light"]) == "pad")
        // A run of an earlier release says it by its earlier name.
        #expect(try evaluation("data:\n  fit: resize", ["data.augment=inception"]) == "resize")
        let refused = #expect(throws: ConfigurationError.self) {
            try evaluation("data:\n  evaluate: pad", ["data.augment=torchvision"])
        }
        #expect(refused?.description.contains("set evaluate: torchvision") == true)
    }
}
