// The flat vector is covered exactly once by tensors, slices and units, and nothing depends on the number of servers.

import PSParameters
import Testing

private func layout(_ shapes: [(String, [Int], TensorKind)]) -> ParameterLayout {
    ParameterLayout(
        tensors: shapes.map {
            TensorSpecification(name: $0.0, shape: $0.1, kind: $0.2, initialization: .constant(0))
        })
}

private func randomLayout(seed: UInt64) -> ParameterLayout {
    let random = CounterRandom(key: seed)
    return layout(
        (0..<40).map { index in
            let i = UInt64(index)
            let rows = 1 + random.integer(3 * i, below: 900)
            let columns = 1 + random.integer(3 * i + 1, below: index % 7 == 0 ? 6000 : 200)
            return ("t\(index)", [rows, columns], random.integer(3 * i + 2, below: 4) == 0 ? .statistic : .weight)
        })
}

@Test(arguments: 0..<20)
func slicesCoverTheVectorOnce(seed: UInt64) {
    let layout = randomLayout(seed: seed)
    var end = 0
    for slice in layout.slices {
        #expect(slice.range.lowerBound == end)
        #expect(slice.byteCount <= ParameterLayout.sliceBytes.upperBound)
        #expect(slice.pieces.first?.range.lowerBound == slice.range.lowerBound)
        #expect(slice.pieces.last?.range.upperBound == slice.range.upperBound)
        for piece in slice.pieces {
            #expect(layout.tensors[piece.tensor].kind == slice.kind)
            #expect(layout.range(ofTensor: piece.tensor).contains(piece.range.lowerBound))
        }
        #expect(layout.units[slice.unit].slices.contains(slice.index))
        end = slice.range.upperBound
    }
    #expect(end == layout.count)
    #expect(layout.units.flatMap(\.tensors).sorted() == Array(layout.tensors.indices))
}

@Test func weightsComeFirst() {
    let layout = layout([("a", [3], .weight), ("b", [5], .statistic), ("c", [7], .weight)])
    #expect(layout.offsets == [0, 10, 3])
    #expect(layout.weightCount == 10)
    #expect(layout.statisticCount == 5)
    #expect(layout.slices.map(\.range) == [0..<10, 10..<15])
}

@Test func aLargeTensorIsCutBetweenRows() {
    let layout = layout([("w", [1000, 3000], .weight)])
    #expect(layout.slices.count == 3)
    #expect(layout.slices.allSatisfy { $0.range.lowerBound % 3000 == 0 })
    #expect(layout.units.count == 1)
}

@Test(arguments: 1..<9)
func unitsAreDealtByBytes(servers: Int) {
    let layout = randomLayout(seed: 99)
    let map = ShardMap(layout: layout, serverCount: servers)
    let loads = (0..<servers).map { map.slices(of: $0).map { layout.slices[$0].byteCount }.reduce(0, +) }
    #expect(loads.reduce(0, +) == layout.count * 4)
    let largestUnit = layout.units.map { $0.range.count * 4 }.max()!
    #expect(loads.max()! - loads.min()! <= largestUnit)
}

@Test func initialValuesDoNotDependOnTheCut() {
    let tensor = TensorSpecification(
        name: "w", shape: [10, 10], kind: .weight,
        initialization: .truncatedNormal(standardDeviation: 1.5, cut: 2))
    func values(_ range: Range<Int>) -> [Float] {
        [Float](unsafeUninitializedCapacity: range.count) { buffer, count in
            tensor.initialize(
                seed: 7, elements: range, into: UnsafeMutableBufferPointer(rebasing: buffer[..<range.count]))
            count = range.count
        }
    }
    let whole = values(0..<100)
    #expect(whole == values(0..<37) + values(37..<100))
    #expect(whole.allSatisfy { abs($0) <= 2 })
    let deviation = (whole.map { $0 * $0 }.reduce(0, +) / 100).squareRoot()
    #expect(deviation > 0.8 && deviation < 1.4)
}

/// SplitMix64 as published: seed 1234567 gives these first outputs.
@Test func splitMix64() {
    let random = CounterRandom(key: 1_234_567)
    #expect(random.bits(0) == 6_457_827_717_110_365_317)
    #expect(random.bits(1) == 3_203_168_211_198_807_973)
}
