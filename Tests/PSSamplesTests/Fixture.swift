// The fixture of `Fixtures/boxes.py`: what TensorFlow's and torchvision's samplers and crops give.

import Foundation
import PSSamples
import Testing

struct BoxFixture: Decodable {
    struct Statistics: Decodable {
        let draws: Int
        let areaEdges: [Double]
        let areaCounts: [Int]
        let aspectEdges: [Double]
        let aspectCounts: [Int]
        let rowTenths: [Int]
        let columnTenths: [Int]
        let wholeImage: Int
        let fullHeight: Int
        let fullWidth: Int
        let touchesLastRowThoughShorter: Int
        let touchesLastColumnThoughNarrower: Int
    }

    struct TensorFlowCase: Decodable {
        struct Script: Decodable {
            let words: [UInt32]
            let wordsUsed: Int
            let y: Int
            let x: Int
            let h: Int
            let w: Int
        }

        let name: String
        let width: Int
        let height: Int
        let aspect: [Float]
        let area: [Float]
        let covered: Float
        let attempts: Int
        let statistics: Statistics
        let scripted: [Script]
    }

    struct TorchvisionCase: Decodable {
        let name: String
        let width: Int
        let height: Int
        let scale: [Double]
        let statistics: Statistics
    }

    struct Rounding: Decodable {
        let targetArea: Double
        let ratio: Double
        let width: Int
        let height: Int
    }

    struct Fallback: Decodable {
        let width: Int
        let height: Int
        let yXHW: [Int]
    }

    struct CentralCrop: Decodable {
        let height: Int
        let width: Int
        let top: Int
        let left: Int
        let cropHeight: Int
        let cropWidth: Int
    }

    struct Resized: Decodable {
        let width: Int
        let height: Int
        let resizedWidth: Int
        let resizedHeight: Int
        let cropLeft: Int
        let cropTop: Int
    }

    struct Parity: Decodable {
        let length: Int
        let crop: Int
        let offset: Int
    }

    struct Cutmix: Decodable {
        let lam: Double
        let centreXY: [Int]
        let boxX1Y1X2Y2: [Int]
        let lamAdjusted: Double
    }

    let tensorflow: [TensorFlowCase]
    let torchvision: [TorchvisionCase]
    let rounding: [Rounding]
    let fallbacks: [Fallback]
    let centralCrop: [CentralCrop]
    let torchvisionTable: [Resized]
    let centreCropParity: [Parity]
    let cutmix: [Cutmix]

    static func load() throws -> BoxFixture {
        let url = try #require(
            Bundle.module.url(forResource: "boxes", withExtension: "json", subdirectory: "Fixtures"))
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(BoxFixture.self, from: Data(contentsOf: url))
    }
}

/// Words written down beforehand.
struct ScriptedWords: RandomWords {
    let words: [UInt32]
    var used = 0

    mutating func next() -> UInt32 {
        defer { used += 1 }
        return words[used]
    }
}

/// The same counts of own draws.
struct OwnStatistics {
    var area: [Int]
    var aspect: [Int]
    var row = [Int](repeating: 0, count: 10)
    var column = [Int](repeating: 0, count: 10)
    var wholes = [0, 0, 0]
    var touching = [0, 0]
    var count = 0

    init(like other: BoxFixture.Statistics) {
        area = [Int](repeating: 0, count: other.areaCounts.count)
        aspect = [Int](repeating: 0, count: other.aspectCounts.count)
    }

    /// numpy.histogram's bins: the last one is closed.
    private static func add(_ value: Double, _ edges: [Double], _ counts: inout [Int]) {
        guard value >= edges[0], value <= edges[edges.count - 1] else { return }
        let bin = edges.lastIndex { $0 <= value } ?? 0
        counts[min(bin, counts.count - 1)] += 1
    }

    mutating func add(_ box: PixelRectangle, rows: Int, columns: Int, like other: BoxFixture.Statistics) {
        count += 1
        OwnStatistics.add(Double(box.rows * box.columns) / Double(rows * columns), other.areaEdges, &area)
        OwnStatistics.add(Double(box.columns) / Double(box.rows), other.aspectEdges, &aspect)
        // numpy.linspace: 0.3 lies below its fourth edge.
        let tenths = (0...10).map { Double($0) * 0.1 }
        if box.rows < rows { OwnStatistics.add(Double(box.row) / Double(rows - box.rows), tenths, &row) }
        if box.columns < columns {
            OwnStatistics.add(Double(box.column) / Double(columns - box.columns), tenths, &column)
        }
        if box.rows == rows && box.columns == columns { wholes[0] += 1 }
        if box.rows == rows { wholes[1] += 1 }
        if box.columns == columns { wholes[2] += 1 }
        if box.row + box.rows == rows && box.rows < rows { touching[0] += 1 }
        if box.column + box.columns == columns && box.columns < columns { touching[1] += 1 }
    }

    /// The largest standardised difference in bins where 25 or more are expected.
    func worst(_ other: BoxFixture.Statistics) -> Double {
        func worst(_ mine: [Int], _ theirs: [Int], _ ownDraws: Int, _ theirDraws: Int) -> Double {
            zip(mine, theirs).map { own, their in
                let p = Double(own + their) / Double(ownDraws + theirDraws)
                guard p > 0, p < 1, Double(min(ownDraws, theirDraws)) * p >= 25 else { return 0 }
                let deviation = (p * (1 - p) * (1 / Double(ownDraws) + 1 / Double(theirDraws))).squareRoot()
                return abs(Double(own) / Double(ownDraws) - Double(their) / Double(theirDraws)) / deviation
            }.max() ?? 0
        }
        let rows = (row.reduce(0, +), other.rowTenths.reduce(0, +))
        let columns = (column.reduce(0, +), other.columnTenths.reduce(0, +))
        return [
            worst(area, other.areaCounts, count, other.draws),
            worst(aspect, other.aspectCounts, count, other.draws),
            worst(row, other.rowTenths, max(rows.0, 1), max(rows.1, 1)),
            worst(column, other.columnTenths, max(columns.0, 1), max(columns.1, 1)),
            worst(wholes, [other.wholeImage, other.fullHeight, other.fullWidth], count, other.draws),
            worst(
                touching, [other.touchesLastRowThoughShorter, other.touchesLastColumnThoughNarrower], count,
                other.draws),
        ].max()!
    }
}
