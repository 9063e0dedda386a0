// Takes the time of a step's layers, if it is asked to.

import PSParameters

final class LayerClock {
    var isRunning = false
    private(set) var timings: [LayerTiming] = []

    func reset() { timings.removeAll(keepingCapacity: true) }

    /// Runs `body`, on the caller's thread, and notes how long it took.
    func measure<Result>(
        _ layer: String, _ pass: LayerTiming.Pass, _ algorithm: @autoclosure () -> String, flops: Double = 0,
        _ body: () -> Result
    ) -> Result {
        guard isRunning else { return body() }
        let start = ContinuousClock.now
        let result = body()
        add(layer, pass, algorithm(), seconds(since: start), flops)
        return result
    }

    /// Runs both gradients of a layer, which share a loop; `body` returns the data gradient's share of the time.
    func measureBackward(
        _ layer: String, _ algorithm: @autoclosure () -> String, flops: Double, hasDataGradient: Bool,
        _ body: () -> Double
    ) {
        guard isRunning else {
            _ = body()
            return
        }
        let start = ContinuousClock.now
        let share = body()
        let elapsed = seconds(since: start)
        let algorithm = algorithm()
        add(layer, .weightGradient, algorithm, elapsed * (1 - share), flops)
        if hasDataGradient { add(layer, .dataGradient, algorithm, elapsed * share, flops) }
    }

    private func seconds(since start: ContinuousClock.Instant) -> Double {
        let elapsed = ContinuousClock.now - start
        return Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18
    }

    private func add(
        _ layer: String, _ pass: LayerTiming.Pass, _ algorithm: String, _ seconds: Double, _ flops: Double
    ) {
        timings.append(LayerTiming(layer: layer, pass: pass, algorithm: algorithm, seconds: seconds, flops: flops))
    }
}
