// All of a checkpoint's values of one kind in memory.

import PSCheckpoint
import PSFiles
import PSParameters

extension CheckpointReader {
    /// One value of every tensor as a flat vector of `layout`.
    package func values(_ value: StoredValue, layout: ParameterLayout) throws(StorageError) -> [Float] {
        var values = [Float](repeating: 0, count: layout.count)
        try values.withUnsafeMutableBufferPointer { (values) throws(StorageError) in
            for (index, tensor) in layout.tensors.enumerated() {
                try read(
                    value, tensor: tensor.name, elements: 0..<tensor.elementCount,
                    into: values.baseAddress! + layout.range(ofTensor: index).lowerBound)
            }
        }
        return values
    }
}
