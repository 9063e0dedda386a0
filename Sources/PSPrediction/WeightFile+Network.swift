// A weight file for a network: if it is another's, the error says whose.

import PSCheckpoint
import PSFiles
import PSModel
import PSParameters

extension SafetensorsFile {
    /// The network whose tensors the file has; nil: none's.
    package var network: Network? {
        Network.likeliest(shapes: Dictionary(tensors.map { ($0.name, $0.shape) }) { first, _ in first })
    }
}

extension WeightFile {
    /// As `load`, for a network that knows its auxiliary heads.
    ///
    /// - Throws: what `load` throws, with the network that the file looks like if that is another.
    package static func load(
        _ path: String, of description: ModelDescription, ignoredPrefixes: [String] = [], anew: Set<String> = []
    ) throws(StorageError) -> [Float] {
        do throws(StorageError) {
            return try load(path, layout: description.layout, ignoredPrefixes: ignoredPrefixes, anew: anew)
        } catch {
            guard case .mismatch(let path, let problems) = error,
                let network = (try? SafetensorsFile(path))?.network, network.name != description.network.name
            else { throw error }
            throw .mismatch(
                path: path, problems: ["the file is of \(network.name), not of \(description.network.name)"] + problems)
        }
    }
}
