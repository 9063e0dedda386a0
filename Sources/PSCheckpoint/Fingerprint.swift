// Hashes of a job's state, by which two runs are compared bit for bit.

import PSFiles
import PSParameters

package enum Fingerprint {
    /// SHA-256 over the learnable parameters in state_dict order, torchvision's layout, little-endian float32.
    package static func weightsSHA256(
        _ checkpoint: CheckpointReader, layout: ParameterLayout
    ) throws(StorageError) -> String {
        var hash = SHA256()
        try add(.current, of: .weight, checkpoint, layout, to: &hash)
        return hash.hexadecimal()
    }

    /// The same over a flat vector, which begins with the weights in state_dict order.
    package static func weightsSHA256(layout: ParameterLayout, values: UnsafeBufferPointer<Float>) -> String {
        precondition(values.count >= layout.weightCount)
        var hash = SHA256()
        hash.update(UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: values[..<layout.weightCount])))
        return hash.hexadecimal()
    }

    /// SHA-256 over everything the servers keep, each part in state_dict order: weights, statistics, averages of the
    /// weights, averages of the statistics, mean squares (RMSProp only), momenta.
    package static func stateSHA256(
        _ checkpoint: CheckpointReader, layout: ParameterLayout
    ) throws(StorageError) -> String {
        var hash = SHA256()
        for value in [StoredValue.current, .average] {
            try add(value, of: .weight, checkpoint, layout, to: &hash)
            try add(value, of: .statistic, checkpoint, layout, to: &hash)
        }
        for value in [StoredValue.meanSquare, .momentum] where checkpoint.holds(value) {
            try add(value, of: .weight, checkpoint, layout, to: &hash)
        }
        return hash.hexadecimal()
    }

    private static func add(
        _ value: StoredValue, of kind: TensorKind, _ checkpoint: CheckpointReader, _ layout: ParameterLayout,
        to hash: inout SHA256
    ) throws(StorageError) {
        for tensor in layout.tensors where tensor.kind == kind {
            try checkpoint.withBytes(value, tensor: tensor.name) { hash.update($0) }
        }
    }
}
