// What the layers of a training step cost: the timings of several steps as one table.

import Foundation
import PSNetwork
import PSReport

/// The middle of some values, or of the two in the middle.
func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
}

package struct LayerReport: Encodable, Sendable {
    /// One pass of one layer.
    package struct Row: Encodable, Sendable, Hashable {
        package let layer: String
        package let pass: String
        package let algorithm: String
        /// Median over the steps.
        package let milliseconds: Double
        /// Operations of the direct method over the time, whatever the method; nil where there are none.
        package let gigaflops: Double?
        /// Of the whole step.
        package let share: Double
        let flops: Double
    }

    /// The rows of one algorithm or of one pass.
    package struct Sum: Encodable, Sendable, Hashable {
        package let name: String
        package let milliseconds: Double
        package let gigaflops: Double?
        package let share: Double
    }

    /// In the order in which they run.
    package let rows: [Row]
    /// The costliest first.
    package let algorithms: [Sum]
    /// In the order of a step.
    package let passes: [Sum]
    /// The step's time outside all rows: clip, update, taking over the weights.
    package let otherMilliseconds: Double
    package let stepMilliseconds: Double
    /// Operations of the direct method in the whole step over the step's time.
    package let gigaflops: Double
    package let peak: FMAPeak

    enum CodingKeys: String, CodingKey {
        case rows, algorithms, passes, otherMilliseconds, stepMilliseconds, gigaflops, peak
    }

    /// - Parameters:
    ///   - steps: the timings of each measured step.
    ///   - stepSeconds: the median step.
    package init(steps: [[LayerTiming]], stepSeconds: Double, peak: FMAPeak) {
        struct Key: Hashable {
            let layer: String
            let pass: LayerTiming.Pass
            let algorithm: String
        }
        var order: [Key] = []
        /// Seconds by step: a pass may be timed in several parts.
        var seconds: [Key: [Double]] = [:]
        var flops: [Key: Double] = [:]
        for (index, timings) in steps.enumerated() {
            for timing in timings {
                let key = Key(layer: timing.layer, pass: timing.pass, algorithm: timing.algorithm)
                if seconds[key] == nil {
                    order.append(key)
                    seconds[key] = Array(repeating: 0, count: steps.count)
                }
                seconds[key]![index] += timing.seconds
                if index == 0 { flops[key, default: 0] += timing.flops }
            }
        }
        rows = order.map { key in
            let time = median(seconds[key]!)
            let operations = flops[key] ?? 0
            return Row(
                layer: key.layer, pass: key.pass.rawValue, algorithm: key.algorithm, milliseconds: 1000 * time,
                gigaflops: LayerReport.speed(operations, time), share: time / stepSeconds, flops: operations)
        }
        let all = rows
        func sum(_ name: String, _ isIncluded: (Row) -> Bool) -> Sum {
            let included = all.filter(isIncluded)
            let time = included.reduce(0) { $0 + $1.milliseconds } / 1000
            return Sum(
                name: name, milliseconds: 1000 * time,
                gigaflops: LayerReport.speed(included.reduce(0) { $0 + $1.flops }, time), share: time / stepSeconds)
        }
        algorithms = Set(all.map(\.algorithm)).sorted().map { name in sum(name) { $0.algorithm == name } }
            .sorted { $0.milliseconds > $1.milliseconds }
        let known = Set(all.map(\.pass))
        passes = LayerTiming.Pass.allCases.map(\.rawValue).filter(known.contains).map { name in
            sum(name) { $0.pass == name }
        }
        stepMilliseconds = 1000 * stepSeconds
        otherMilliseconds = stepMilliseconds - all.reduce(0) { $0 + $1.milliseconds }
        gigaflops = all.reduce(0) { $0 + $1.flops } / stepSeconds / 1e9
        self.peak = peak
    }

    private static func speed(_ flops: Double, _ seconds: Double) -> Double? {
        flops > 0 && seconds > 0 ? flops / seconds / 1e9 : nil
    }
}

// MARK: For people

extension LayerReport {
    /// The rows of one layer.
    package struct Layer {
        package let name: String
        package fileprivate(set) var rows: [Row]

        /// The name, of layers that compute together the first one's and how many more.
        package var label: String {
            let parts = name.components(separatedBy: " + ")
            return parts.count == 1 ? name : "\(parts[0]) + \(parts.count - 1) more"
        }

        /// Those of the products, or of whatever else the layer does: "F(6x6,3x3)", or two where they differ.
        package var algorithm: String {
            let products = rows.filter { $0.gigaflops != nil }
            var names: [String] = []
            for row in products.isEmpty ? rows : products where !names.contains(row.algorithm) {
                names.append(row.algorithm)
            }
            return names.joined(separator: ", ")
        }

        package var milliseconds: Double { rows.reduce(0) { $0 + $1.milliseconds } }
        package var share: Double { rows.reduce(0) { $0 + $1.share } }

        /// Over all passes that are products.
        package var gigaflops: Double? {
            let products = rows.filter { $0.gigaflops != nil }
            return LayerReport.speed(
                products.reduce(0) { $0 + $1.flops }, products.reduce(0) { $0 + $1.milliseconds } / 1000)
        }
    }

    /// The layers in the order in which they compute; those that compute together are one.
    package var layers: [Layer] {
        var groups: [String: String] = [:]
        for row in rows { for member in LayerReport.members(row.layer) { groups[member] = row.layer } }
        var layers: [Layer] = []
        var places: [String: Int] = [:]
        // All weights are prepared before the first layer runs, which says nothing about the layers' order.
        let weights = LayerTiming.Pass.weights.rawValue
        for row in rows.filter({ $0.pass != weights }) + rows.filter({ $0.pass == weights }) {
            let name = groups[row.layer] ?? row.layer
            if let place = places[name] {
                layers[place].rows.append(row)
            } else {
                places[name] = layers.count
                layers.append(Layer(name: name, rows: [row]))
            }
        }
        return layers
    }

    /// "a.b + c + d" are the layers a.b, a.c and a.d of one block at work together.
    private static func members(_ layer: String) -> [String] {
        let parts = layer.components(separatedBy: " + ")
        guard parts.count > 1, let dot = parts[0].lastIndex(of: ".") else { return [] }
        return [parts[0]] + parts.dropFirst().map { parts[0][...dot] + $0 }
    }

    /// The whole step against the machine.
    package var efficiency: String {
        let part = peak.together > 0 ? Report.decimal(100 * gigaflops / peak.together, places: 0) : "-"
        return "\(Report.decimal(gigaflops, places: 0)) GF/s of the direct method in the whole step, \(part)% of the "
            + "\(Report.decimal(peak.together, places: 0)) GF/s that \(peak.threads) threads multiply and add at most "
            + "(one core: \(Report.decimal(peak.oneCore, places: 0)))"
    }

    /// A line a layer: milliseconds of each pass and, where it is a product, its speed in GF/s.
    package var text: String {
        let names = passes.map(\.name)
        var table = [["layer", "algorithm"] + names.flatMap { [$0, "GF/s"] } + ["ms", "share"]]
        for layer in layers {
            let cells = names.flatMap { name -> [String] in
                let rows = layer.rows.filter { $0.pass == name }
                if rows.isEmpty { return ["", ""] }
                let time = rows.reduce(0) { $0 + $1.milliseconds }
                let speed = LayerReport.speed(rows.reduce(0) { $0 + $1.flops }, time / 1000)
                return [Report.decimal(time, places: 2), speed.map { Report.decimal($0, places: 0) } ?? ""]
            }
            table.append(
                [layer.label, layer.algorithm] + cells
                    + [Report.decimal(layer.milliseconds, places: 2), Report.percent(layer.share)])
        }
        func sums(_ title: String, _ sums: [Sum]) -> String {
            Report.table(
                [[title, "ms", "GF/s", "share"]]
                    + sums.map {
                        [
                            $0.name, Report.decimal($0.milliseconds, places: 1),
                            $0.gigaflops.map { Report.decimal($0, places: 0) } ?? "", Report.percent($0.share),
                        ]
                    })
        }
        let rest = Sum(
            name: "outside the layers", milliseconds: otherMilliseconds, gigaflops: nil,
            share: otherMilliseconds / stepMilliseconds)
        return Report.table(LayerReport.withoutEmptyColumns(table)) + "\n" + sums("algorithm", algorithms) + "\n"
            + sums("pass", passes + [rest]) + "\n" + efficiency + "\n"
    }

    /// Passes that are no products have no speeds.
    private static func withoutEmptyColumns(_ table: [[String]]) -> [[String]] {
        let kept = table[0].indices.filter { column in table.dropFirst().contains { !$0[column].isEmpty } }
        return table.map { row in kept.map { row[$0] } }
    }
}
