// The values a network starts from: each element a pure function of (seed, tensor name, element).

#if canImport(Glibc)
    import Glibc
#endif

extension TensorSpecification {
    /// Writes the initial values of elements `elements` of this tensor (row-major) to `output`.
    package func initialize(
        seed: UInt64, elements: Range<Int>, into output: UnsafeMutableBufferPointer<Float>
    ) {
        precondition(output.count == elements.count && elements.upperBound <= elementCount)
        switch initialization {
        case .constant(let value):
            output.update(repeating: value)
        case .uniform(let bound):
            let random = CounterRandom(seed: seed, name: name)
            for (position, element) in elements.enumerated() {
                output[position] = (2 * random.uniform(UInt64(element)) - 1) * bound
            }
        case .truncatedNormal(let standardDeviation, let cut):
            let random = CounterRandom(seed: seed, name: name)
            for (position, element) in elements.enumerated() {
                output[position] = random.truncatedNormal(
                    UInt64(element), standardDeviation: standardDeviation, cut: cut)
            }
        }
    }
}

extension ParameterLayout {
    /// The flat vector a job with this seed starts from.
    package func initialValues(seed: UInt64) -> [Float] {
        var values = [Float](repeating: 0, count: count)
        values.withUnsafeMutableBufferPointer { values in
            for (index, tensor) in tensors.enumerated() {
                tensor.initialize(
                    seed: seed, elements: 0..<tensor.elementCount,
                    into: UnsafeMutableBufferPointer(rebasing: values[range(ofTensor: index)]))
            }
        }
        return values
    }
}

extension CounterRandom {
    /// A normal draw with mean 0, repeated until its absolute value is at most `cut`.
    fileprivate func truncatedNormal(_ counter: UInt64, standardDeviation: Float, cut: Float) -> Float {
        // Box and Muller's method in double precision; each attempt reads a stream of its own.
        let draws = stream(counter)
        for attempt in 0..<UInt64(1000) {
            let u = (Double(draws.bits(2 * attempt) >> 11) + 1) * 0x1p-53
            let v = Double(draws.bits(2 * attempt + 1) >> 11) * 0x1p-53
            let value = Float((-2 * log(u)).squareRoot() * cos(2 * .pi * v)) * standardDeviation
            if abs(value) <= cut { return value }
        }
        preconditionFailure("1000 normal draws of deviation \(standardDeviation) fell outside \(cut)")
    }
}
