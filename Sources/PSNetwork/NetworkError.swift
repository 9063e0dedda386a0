// What can go wrong in the engine through a person's or a data set's fault.

import PSKernels

package enum NetworkError: Error, Equatable, CustomStringConvertible {
    case labelOutOfRange(label: Int, image: Int, classes: Int)
    /// A batch norm that would see one value per channel has no variance to divide by.
    case singleValueBatchNorm(layer: String, batch: Int)
    case outOfMemory(bytes: Int, reason: String)
    case kernel(KernelError)

    package var description: String {
        switch self {
        case .labelOutOfRange(let label, let image, let classes):
            "image \(image) of the batch has label \(label), but the model has classes 0 to \(classes - 1); "
                + "set model.classes to the data set's number of classes"
        case .singleValueBatchNorm(let layer, let batch):
            "the batch norm of \(layer) would see a single value per channel (batch \(batch), map 1 x 1); "
                + "use a batch of at least 2 or larger images"
        case .outOfMemory(let bytes, let reason):
            "\(bytes >> 20) MiB are needed, which the system refused (\(reason)); use a smaller batch"
        case .kernel(let error): error.description
        }
    }
}
