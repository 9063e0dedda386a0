// How one convolution may be computed. Names are what plans, files and reports print.

/// The way a convolution becomes matrix products.
package enum ConvolutionAlgorithm: Sendable, Hashable {
    /// Products of the map's pixels, or of tiles of its im2col matrix, with the weights: the rounding of a plain sum.
    case direct
    /// Winograd's minimal filtering with this many outputs of a tile along each transformed axis: `tile` x `tile` for
    /// square kernels, `tile` for 1x7 and the like, by phases at stride 2. Fewer multiplications, more rounding.
    case winograd(tile: Int)
}

extension ConvolutionAlgorithm: CustomStringConvertible {
    /// "direct" or "winograd-6".
    package var description: String {
        switch self {
        case .direct: "direct"
        case .winograd(let tile): "winograd-\(tile)"
        }
    }

    /// Reads what `description` writes.
    package init?(_ text: String) {
        if text == "direct" {
            self = .direct
        } else if text.hasPrefix("winograd-"), let tile = Int(text.dropFirst("winograd-".count)), tile > 0 {
            self = .winograd(tile: tile)
        } else {
            return nil
        }
    }
}

extension ConvolutionAlgorithm: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let algorithm = ConvolutionAlgorithm(text) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "\"\(text)\" is not a convolution algorithm")
        }
        self = algorithm
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
