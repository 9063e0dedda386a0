// Tables and pictures of fixed timings.

import Foundation
import FoundationXML
import PSBenchmarks
import PSJob
import PSNetwork
import Testing

@Suite struct LayerReportTests {
    /// Two steps of two convolutions of a block that share their 1x1 products, a pool and a Winograd convolution.
    private let report: LayerReport = {
        func timing(
            _ layer: String, _ pass: LayerTiming.Pass, _ algorithm: String, _ milliseconds: Double, _ flops: Double = 0
        ) -> LayerTiming {
            LayerTiming(
                layer: layer, pass: pass, algorithm: algorithm, seconds: milliseconds / 1000, flops: flops)
        }
        func step(_ slow: Double) -> [LayerTiming] {
            [
                timing("Mixed.b", .weights, "weights", 1),
                timing("Mixed.a", .weights, "weights", 2),
                timing("first", .forward, "F(6x6,3x3)", 10 + slow, 3e9),
                timing("Mixed.a + b", .forward, "1x1", 5, 1e9),
                timing("pool<1>", .forward, "max pool", 4),
                timing("Mixed.a + b", .weightGradient, "1x1", 5, 1e9),
                timing("first", .dataGradient, "F(4x4,3x3)", 20, 3e9),
                timing("first", .norm, "batch norm", 1),
                timing("first", .norm, "batch norm", 1),
            ]
        }
        return LayerReport(
            steps: [step(0), step(40), step(2)], stepSeconds: 0.1,
            peak: FMAPeak(oneCore: 100, together: 160, threads: 2))
    }()

    @Test func rowsAreMedians() throws {
        let first = try #require(report.rows.first { $0.layer == "first" && $0.pass == "forward" })
        #expect(abs(first.milliseconds - 12) < 1e-9)
        #expect(abs(try #require(first.gigaflops) - 250) < 1e-9)
        #expect(abs(first.share - 0.12) < 1e-9)
        let norm = try #require(report.rows.first { $0.pass == "norm" })
        #expect(abs(norm.milliseconds - 2) < 1e-9, "the parts of a pass are added")
        #expect(norm.gigaflops == nil)
    }

    @Test func sumsAreComplete() {
        #expect(
            report.algorithms.map(\.name) == ["F(4x4,3x3)", "F(6x6,3x3)", "1x1", "max pool", "weights", "batch norm"])
        #expect(report.passes.map(\.name) == ["weights", "forward", "data gradient", "weight gradient", "norm"])
        let total = 3.0 + 12 + 5 + 4 + 5 + 20 + 2
        #expect(abs(report.passes.reduce(0) { $0 + $1.milliseconds } - total) < 1e-9)
        #expect(abs(report.algorithms.reduce(0) { $0 + $1.milliseconds } - total) < 1e-9)
        #expect(abs(report.otherMilliseconds - (100 - total)) < 1e-9)
        #expect(abs(report.gigaflops - 80) < 1e-9)
        #expect(report.efficiency.contains("50% of the 160 GF/s"))
    }

    @Test func layersComputeInOrderAndTogether() {
        #expect(report.layers.map(\.label) == ["first", "Mixed.a + 1 more", "pool<1>"])
        #expect(report.layers[1].algorithm == "1x1")
        #expect(abs(report.layers[1].milliseconds - 13) < 1e-9)
        #expect(report.layers[0].algorithm == "F(6x6,3x3), F(4x4,3x3)")
    }

    @Test func theTableHasALineALayer() {
        let lines = report.text.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
        #expect(lines[0].contains("layer algorithm weights forward GF/s data gradient GF/s weight gradient GF/s norm"))
        #expect(lines[1] == "first F(6x6,3x3), F(4x4,3x3) 12.00 250 20.00 150 2.00 34.00 34.00%")
        #expect(lines[2] == "Mixed.a + 1 more 1x1 3.00 5.00 200 5.00 200 13.00 13.00%")
        #expect(lines[3] == "pool<1> max pool 4.00 4.00 4.00%")
        #expect(lines.contains("outside the layers 49.0 49.00%"))
        #expect(lines.contains("forward 21.0 190 21.00%"))
    }

    @Test func thePictureIsXMLWithABarAPass() throws {
        let svg = LayerPicture(report: report, title: "a & b", speed: "2 < 3").svg
        final class Counter: NSObject, XMLParserDelegate {
            var elements: [String: Int] = [:]
            var texts = ""
            var widths: [Double] = []
            func parser(
                _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
                attributes: [String: String]
            ) {
                elements[name, default: 0] += 1
                if name == "rect", attributes["height"] == "12", let width = attributes["width"] {
                    widths.append(Double(width) ?? .nan)
                }
            }
            func parser(_ parser: XMLParser, foundCharacters text: String) { texts += text }
        }
        let parser = XMLParser(data: Data(svg.utf8))
        let counter = Counter()
        parser.delegate = counter
        #expect(parser.parse(), "\(String(describing: parser.parserError))")
        // A page, five colours in the legend, a bar for each row.
        #expect(counter.elements["rect"] == 1 + 5 + report.rows.count)
        #expect(counter.texts.contains("a & b"))
        #expect(counter.texts.contains("34.0 ms · F(6x6,3x3), F(4x4,3x3) · 188 GF/s"))
        #expect(counter.texts.contains("pool<1>"))
        let bars = counter.widths.dropFirst(5)
        // 12 and 20 ms of the first layer, on one scale.
        #expect(bars.contains { width in bars.contains { abs($0 / width - 20.0 / 12) < 1e-3 } })
        #expect(svg.contains("prefers-color-scheme: dark"))
    }

    @Test func axesHaveRoundSteps() {
        #expect(LayerPicture.axis(350).interval == 50)
        #expect(LayerPicture.axis(7.9).interval == 1)
        #expect(abs(LayerPicture.axis(0.9).interval - 0.2) < 1e-12)
        #expect(LayerPicture.axis(0).interval == 1)
    }
}
