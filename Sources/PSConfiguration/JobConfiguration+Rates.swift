// Which tensors are trained, and how fast.

import PSOptimization
import PSParameters

extension JobConfiguration {
    /// Factors of the learning rate by tensor of the layout, from `train.freeze` (0) and `optimizer.groups`; of several
    /// prefixes of a name the longest counts, and a frozen one always.
    ///
    /// - Throws: when a prefix names no learned tensor, or nothing is left to be trained.
    package func rates(of layout: ParameterLayout) throws(ConfigurationError) -> TensorRates {
        var factors = [Float](repeating: 1, count: layout.tensors.count)
        var lengths = [Int](repeating: -1, count: layout.tensors.count)
        func tensors(_ key: String, _ prefix: String) throws(ConfigurationError) -> [Int] {
            let found = layout.tensors.indices.filter {
                layout.tensors[$0].kind == .weight && layout.tensors[$0].name.hasPrefix(prefix)
            }
            if found.isEmpty {
                let names = Set(layout.tensors.compactMap { $0.name.split(separator: ".").first.map(String.init) })
                throw .unusable(
                    key,
                    problem: "has '\(prefix)', and no tensor of the model begins so; they begin with "
                        + names.sorted().joined(separator: ", "))
            }
            return found
        }
        for group in optimizer.groups {
            guard let colon = group.lastIndex(of: ":"), colon > group.startIndex,
                let factor = Float(group[group.index(after: colon)...]), factor.isFinite, factor > 0
            else {
                throw .unusable(
                    "optimizer.groups",
                    problem: "has '\(group)'; expected PREFIX:FACTOR with a factor above 0 (train.freeze is for those "
                        + "that are not trained)")
            }
            let prefix = String(group[..<colon])
            for tensor in try tensors("optimizer.groups", prefix) where prefix.utf8.count > lengths[tensor] {
                factors[tensor] = factor
                lengths[tensor] = prefix.utf8.count
            }
        }
        for prefix in train.freeze {
            for tensor in try tensors("train.freeze", prefix) { factors[tensor] = 0 }
        }
        if layout.tensors.indices.allSatisfy({ layout.tensors[$0].kind != .weight || factors[$0] == 0 }) {
            throw .unusable("train.freeze", problem: "freezes every weight; leave something to be trained")
        }
        return TensorRates(factors)
    }

    /// The arithmetic of this job's servers.
    package func arithmetic(of layout: ParameterLayout) throws(ConfigurationError) -> SliceArithmetic {
        var settings = optimizer
        // The running statistics stay as they are.
        if model.batchNorm == .frozen { settings.batchNormMomentum = 0 }
        return SliceArithmetic(
            layout: layout, settings: settings, ticketsPerStep: train.ticketsPerStep, rates: try rates(of: layout))
    }
}
