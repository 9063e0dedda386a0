// The samplers of crops against TensorFlow and torchvision: word for word where their words are known, by histogram
// otherwise.

import PSParameters
import PSSamples
import Testing

@Suite struct CropTests {
    let fixture: BoxFixture

    init() throws { fixture = try BoxFixture.load() }

    private func sampler(_ test: BoxFixture.TensorFlowCase) -> DistortedBox {
        var sampler = DistortedBox()
        sampler.aspect = test.aspect[0]...test.aspect[1]
        sampler.area = test.area[0]...test.area[1]
        sampler.covered = test.covered
        sampler.attempts = test.attempts
        return sampler
    }

    @Test func distortedBoxesFollowTensorFlowWordForWord() {
        var compared = 0
        for test in fixture.tensorflow {
            for script in test.scripted where script.wordsUsed == script.words.count {
                var words = ScriptedWords(words: script.words)
                let box = sampler(test).draw(rows: test.height, columns: test.width, from: &words)
                #expect(
                    box == PixelRectangle(row: script.y, column: script.x, rows: script.h, columns: script.w),
                    "\(test.name)")
                #expect(words.used == script.wordsUsed, "\(test.name)")
                compared += 1
            }
        }
        #expect(compared > 100)
    }

    @Test func theTrainersSettingsAreTheDefaults() throws {
        let inception = try #require(fixture.tensorflow.first { $0.name == "inception-500x375" })
        #expect(sampler(inception) == DistortedBox())
    }

    @Test func distortedBoxesAreDistributedAsTensorFlows() {
        for test in fixture.tensorflow {
            var words = CounterWords(CounterRandom(seed: 5, name: test.name))
            var own = OwnStatistics(like: test.statistics)
            for _ in 0..<50_000 {
                let box = sampler(test).draw(rows: test.height, columns: test.width, from: &words)
                own.add(box, rows: test.height, columns: test.width, like: test.statistics)
            }
            #expect(own.worst(test.statistics) < 5, "\(test.name)")
            #expect(own.touching == [0, 0], "\(test.name)")
        }
    }

    @Test func randomResizedCropsAreDistributedAsTorchvisions() {
        for test in fixture.torchvision {
            var sampler = RandomResizedCrop()
            sampler.area = test.scale[0]...test.scale[1]
            var words = CounterWords(CounterRandom(seed: 5, name: test.name))
            var own = OwnStatistics(like: test.statistics)
            for _ in 0..<50_000 {
                let box = sampler.draw(rows: test.height, columns: test.width, from: &words)
                own.add(box, rows: test.height, columns: test.width, like: test.statistics)
            }
            #expect(own.worst(test.statistics) < 5, "\(test.name)")
        }
    }

    @Test func randomResizedCropsRoundAsTorchvision() {
        for test in fixture.rounding {
            let size = RandomResizedCrop.size(area: test.targetArea, aspect: test.ratio)
            #expect(size.rows == test.height && size.columns == test.width)
        }
        for test in fixture.fallbacks {
            let box = RandomResizedCrop().centre(rows: test.height, columns: test.width)
            #expect([box.row, box.column, box.rows, box.columns] == test.yXHW)
        }
    }

    /// Pictures that no file should have, all the same: every crop lies inside, none is empty.
    @Test func everyCropLiesInThePicture() {
        for (rows, columns) in [
            (1, 1), (1, 2), (2, 1), (1, 70_000), (70_000, 1), (3, 5), (65_535, 65_535), (1, 1 << 28),
        ] {
            var words = CounterWords(CounterRandom(key: UInt64(rows * 31 + columns)))
            for _ in 0..<200 {
                for box in [
                    DistortedBox().draw(rows: rows, columns: columns, from: &words),
                    RandomResizedCrop().draw(rows: rows, columns: columns, from: &words),
                    LightCrop().draw(rows: rows, columns: columns, from: &words),
                ] {
                    #expect(box.row >= 0 && box.rows > 0 && box.row + box.rows <= rows)
                    #expect(box.column >= 0 && box.columns > 0 && box.column + box.columns <= columns)
                }
            }
        }
    }

    /// At least 70 % of the area, all shares about equally often, every place.
    @Test func lightCropsKeepMostOfThePicture() {
        var words = CounterWords(CounterRandom(key: 11))
        var thirds = [0, 0, 0]
        var corners = [false, false, false, false]
        for _ in 0..<30_000 {
            let box = LightCrop().draw(rows: 300, columns: 200, from: &words)
            let share = Double(box.rows * box.columns) / 60_000
            #expect(share >= 0.7)
            thirds[min(2, Int((share - 0.7) * 10))] += 1
            if box.row == 0 && box.rows < 300 { corners[0] = true }
            if box.row > 0 && box.row + box.rows == 300 { corners[1] = true }
            if box.column == 0 && box.columns < 200 { corners[2] = true }
            if box.column > 0 && box.column + box.columns == 200 { corners[3] = true }
        }
        // 10000 each, deviation 82; rounding up moves some half of a percent on.
        #expect(thirds.allSatisfy { abs($0 - 10_000) < 700 }, "\(thirds)")
        #expect(corners.allSatisfy { $0 })
    }
}
