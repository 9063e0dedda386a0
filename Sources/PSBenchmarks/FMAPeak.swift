// The machine's peak: what its cores multiply and add per second when nothing else is to be done.

import CKernels
import Foundation
import PSKernels
import PSReport

/// Measured peaks in fused multiply-adds of float32, 1e9 floating-point operations a second.
package struct FMAPeak: Encodable, Sendable, Hashable {
    package let oneCore: Double
    /// All compute threads at once.
    package let together: Double
    package let threads: Int

    package init(oneCore: Double, together: Double, threads: Int) {
        self.oneCore = oneCore
        self.together = together
        self.threads = threads
    }

    /// Takes about half a second: the best of several runs of 50 ms, as anything else on the machine only slows them.
    package static func measure(threads: Int) throws(KernelError) -> FMAPeak {
        let pool = try ThreadPool(threads: threads)
        let (sums, rounds) = fastest()
        func best(_ threads: Int) -> Double {
            (0..<4).map { _ in
                let start = ContinuousClock.now
                pool.run(threads) { _, _ in spend(rounds: rounds, sums: sums) }
                return operations(rounds, sums) * Double(threads) / (ContinuousClock.now - start).inSeconds / 1e9
            }.max()!
        }
        return FMAPeak(oneCore: best(1), together: best(threads), threads: threads)
    }

    /// The number of independent sums that is fastest here, and how often they take 50 ms.
    private static func fastest() -> (sums: Int, rounds: Int) {
        let trial = 1 << 20
        let speeds = [ENGINE_FMA_FEW, ENGINE_FMA_SOME, ENGINE_FMA_MANY].map { sums -> (sums: Int, speed: Double) in
            // The first run wakes the vector units.
            let seconds = (0..<3).map { _ in
                let start = ContinuousClock.now
                spend(rounds: trial, sums: sums)
                return (ContinuousClock.now - start).inSeconds
            }.min()!
            return (sums, operations(trial, sums) / seconds)
        }
        let best = speeds.max { $0.speed < $1.speed }!
        return (best.sums, Int(0.05 * best.speed / operations(1, best.sums)))
    }

    private static func operations(_ rounds: Int, _ sums: Int) -> Double { 32 * Double(sums) * Double(rounds) }

    private static func spend(rounds: Int, sums: Int) {
        let total = engine_fma(rounds, Int32(sums), 0.999, 0.001)
        precondition(total.isFinite, "sums of a contraction stay finite")
    }
}
