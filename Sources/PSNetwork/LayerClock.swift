// Takes the time of a step's layers, if it is asked to.

import PSParameters

final class LayerClock {
    var isRunning = false
    private(set) var timings: [LayerTiming] = []

    func reset() { timings.removeAll(keepingCapacity: true) }

    /// Runs `body`, on the caller's thread, and notes how long it took.
    func measure(
        _ layer: String, _ pass: LayerTiming.Pass, _ algorithm: @autoclosure () -> String,
        flops: @autoclosure () -> Double = 0, _ body: () -> Void
    ) {
        guard isRunning else { return body() }
        let start = ContinuousClock.now
        body()
        let elapsed = ContinuousClock.now - start
        let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18
        add(LayerTiming(layer: layer, pass: pass, algorithm: algorithm(), seconds: seconds, flops: flops()))
    }

    func add(_ timing: LayerTiming) {
        if isRunning { timings.append(timing) }
    }
}
