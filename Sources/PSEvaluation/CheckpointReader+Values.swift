// All of a checkpoint's values of one kind in memory.

import PSCheckpoint
import PSFiles
import PSParameters

extension CheckpointReader {
    /// One value of every tensor as a flat vector of `layout`.
    package func values(_ value: StoredValue, layout: ParameterLayout) throws(StorageError) -> [Float] {
        var values = [Float](repeating: 0, count: layout.count)
        for (index, tensor) in layout.tensors.enumerated() {
            let range = layout.range(ofTensor: index)
            var failure: StorageError?
            values.withUnsafeMutableBufferPointer { values in
                do throws(StorageError) {
                    try read(
                        value, tensor: tensor.name, elements: 0..<tensor.elementCount,
                        into: values.baseAddress! + range.lowerBound)
                } catch { failure = error }
            }
            if let failure { throw failure }
        }
        return values
    }
}
