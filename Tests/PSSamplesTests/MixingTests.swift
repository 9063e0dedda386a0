// mixup and cutmix, the Beta distribution, the portable functions.

import Glibc
import PSParameters
import PSSamples
import Testing

@Suite struct MixingTests {
    @Test func cutmixBoxesAreTorchvisions() throws {
        for test in try BoxFixture.load().cutmix {
            let mixing = BatchMixing.cutmix(
                share: test.lam, centreRow: test.centreXY[1], centreColumn: test.centreXY[0], rows: 8, columns: 10)
            guard case .cutmix(let box, let share) = mixing else {
                Issue.record("not cutmix")
                return
            }
            let corners = [box.column, box.row, box.column + box.columns, box.row + box.rows]
            #expect(corners == test.boxX1Y1X2Y2)
            #expect(share == test.lamAdjusted)
        }
    }

    /// Mean 1/2, variance 1 / (4 (2a + 1)), fourth central moment 3 / (16 (2a + 1) (2a + 3)).
    @Test(arguments: [0.05, 0.2, 0.4, 1.0, 1.5, 4.0, 40.0])
    func symmetricBetaHasItsMoments(alpha: Double) {
        var words = CounterWords(CounterRandom(seed: 1, name: "beta \(alpha)"))
        let count = 100_000.0
        var sums = (first: 0.0, second: 0.0, fourth: 0.0)
        for _ in 0..<Int(count) {
            let value = SymmetricBeta(alpha: alpha).draw(from: &words)
            #expect((0...1).contains(value))
            let distance = value - 0.5
            sums.first += distance
            sums.second += distance * distance
            sums.fourth += distance * distance * distance * distance
        }
        let variance = 1 / (4 * (2 * alpha + 1))
        let fourth = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3))
        #expect(abs(sums.first / count) < 5 * (variance / count).squareRoot())
        #expect(abs(sums.second / count - variance) < 5 * ((fourth - variance * variance) / count).squareRoot())
        #expect(abs(sums.fourth / count - fourth) < 0.05 * fourth)
    }

    @Test func eachTicketIsMixedInOneWay() {
        var settings = AugmentationSettings()
        func mixings() -> [BatchMixing?] {
            let planner = AugmentationPlanner(settings: settings, imageSize: 20, seed: 4)
            return (0..<400).map { planner.mixing(ticket: Ticket(UInt64($0))) }
        }
        #expect(mixings().allSatisfy { $0 == nil })
        settings.mixup = 0.2
        settings.cutmix = 1
        let both = mixings()
        #expect(both == mixings())
        let mixed = both.filter { if case .mixup = $0 { true } else { false } }
        #expect(abs(mixed.count - 200) < 60)
        for case .cutmix(let box, let share)? in both {
            #expect(box.row >= 0 && box.column >= 0 && box.row + box.rows <= 20 && box.column + box.columns <= 20)
            #expect(share == 1 - Double(box.rows * box.columns) / 400)
        }
        settings.mixup = 0
        #expect(mixings().allSatisfy { if case .cutmix = $0 { true } else { false } })
        #expect((0..<4).map { BatchMixing.partner(of: $0, batch: 4) } == [3, 0, 1, 2])
    }

    /// The C library's are right to less than a unit in the last place on this machine; so must these be, to two.
    @Test func portableFunctionsAreAccurate() {
        let random = CounterRandom(key: 1)
        for counter in 0..<UInt64(20_000) {
            let unit = Double(random.bits(counter) >> 11) * 0x1p-53
            let x = exp(80 * unit - 40)
            #expect(abs(portableLog(x) - log(x)) <= 2 * log(x).ulp)
            #expect(abs(portableExp(80 * unit - 40) - x) <= 3 * x.ulp)
            let degrees = 360 * unit - 180
            let turn = portableCosineAndSine(degrees: degrees)
            #expect(abs(turn.cosine - cos(degrees * .pi / 180)) < 1e-15)
            #expect(abs(turn.sine - sin(degrees * .pi / 180)) < 1e-15)
        }
        #expect(portableLog(1) == 0 && portableExp(0) == 1 && portableExp(-800) == 0)
        #expect(portableCosineAndSine(degrees: 180).cosine == -1)
    }
}
