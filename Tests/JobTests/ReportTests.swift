// The forms of what commands print.

import Foundation
import PSEvaluation
import PSJob
import PSModel
import PSModelTools
import PSParameters
import PSProtocol
import PSReport
import Testing

@Suite struct ReportTests {
    @Test func numbersAsPeopleReadThem() {
        #expect(Report.grouped(27_161_264) == "27,161,264")
        #expect([0, 7, 999, 1000, -1234].map(Report.grouped) == ["0", "7", "999", "1,000", "-1,234"])
        #expect(Report.bytes(1023) == "1023 bytes")
        #expect(Report.bytes(3 << 29) == "1.5 GiB")
        #expect(Report.percent(0.8675) == "86.75%")
    }

    @Test func onlyANamedTerminalIsDrawnOver() throws {
        // The controlling end of a terminal is one, too.
        let terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY)
        try #require(terminal >= 0 && isatty(terminal) == 1)
        defer { close(terminal) }
        #expect(Terminal.redraws(terminal, environment: ["TERM": "xterm-256color"]))
        for environment in [["TERM": "dumb"], ["TERM": ""], [:]] {
            #expect(!Terminal.redraws(terminal, environment: environment))
        }
        let file = open("/dev/null", O_RDWR)
        defer { close(file) }
        #expect(!Terminal.redraws(file, environment: ["TERM": "xterm-256color"]))
    }

    @Test func columnsAreAligned() {
        #expect(Report.table([["a", "10"], ["long", "5"]]) == "a     10\nlong   5\n")
    }

    @Test func aJobWithoutAnEndHasNoTimeLeft() throws {
        let json = """
            {"state": "running", "step": 10, "steps": 110, "epoch": 0, "images_per_second": 20, "images_per_step": 64,
            "text": "", "non_finite_steps": 0, "generation": 1, "processes": []}
            """
        var status = try JSONDecoder().decode(JobStatus.self, from: Data(json.utf8))
        #expect(Progress.line(status).contains("5:20 left"))
        status.lastVersion = Version(UInt64(Int.max))
        #expect(!Progress.line(status).contains("left"))
        #expect(!Progress.bar(status, columns: 100).contains("left"))
    }

    @Test func jsonHasSnakeCaseKeysAndNoBareInfinity() throws {
        struct Value: Encodable {
            let imagesPerSecond = Double.infinity
            let file = "a/b"
        }
        let text = Report.json(Value())
        #expect(text.contains("\"images_per_second\" : \"inf\""))
        #expect(text.contains("a/b"))
        #expect(text.hasSuffix("}\n"))
    }

    @Test func modelSummaryHasTheKnownTotals() throws {
        let summary = ModelSummary(try ModelDescription(ModelSettings()))
        let parsed = try JSONSerialization.jsonObject(with: Data(Report.json(summary).utf8)) as? [String: Any]
        let json = try #require(parsed)
        #expect(json["parameters"] as? Int == 27_161_264)
        #expect(json["parameters_without_aux"] as? Int == 23_834_568)
        #expect(json["macs"] as? Int == 5_713_216_096)
        let rows = try #require(json["rows"] as? [[String: Any]])
        #expect(rows[0]["name"] as? String == "Conv2d_1a_3x3")
        #expect(rows[0]["output_shape"] as? [Int] == [149, 149, 32])
        #expect(rows.compactMap { $0["parameters"] as? Int }.reduce(0, +) == 27_161_264)
        #expect(summary.text.contains("27,161,264"))
    }
}
