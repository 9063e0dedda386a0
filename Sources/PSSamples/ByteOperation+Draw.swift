// torchvision's RandAugment and TrivialAugmentWide: which operations, how strong.

extension ByteOperation {
    /// Magnitudes of an operation run over 31 bins, 0...30.
    package static let bins = 31

    /// The operations of torchvision's tables, in their order; the order is part of the draw.
    package enum Kind: String, Sendable, CaseIterable {
        case identity, shearColumns, shearRows, moveColumns, moveRows, rotate
        case brightness, colour, contrast, sharpness, posterize, solarize, autoContrast, equalize
    }

    /// The operations of one picture of `size` x `size`.
    package static func draw(
        _ policy: AugmentationSettings.AutoAugment, size: Int, from words: inout some RandomWords
    ) -> [ByteOperation] {
        switch policy {
        case .none: return []
        case .randaugment:
            return (0..<2).compactMap { _ in
                let kind = Kind.allCases[words.below(Kind.allCases.count)]
                return operation(kind, bin: 9, policy, size: size, negative: kind.isSigned && words.coin())
            }
        case .trivialaugment:
            let kind = Kind.allCases[words.below(Kind.allCases.count)]
            let bin = kind.hasMagnitude ? words.below(bins) : 0
            return [
                operation(kind, bin: bin, policy, size: size, negative: kind.isSigned && words.coin())
            ].compactMap { $0 }
        }
    }

    /// One operation at a bin's magnitude; nil for the identity.
    package static func operation(
        _ kind: Kind, bin: Int, _ policy: AugmentationSettings.AutoAugment, size: Int, negative: Bool
    ) -> ByteOperation? {
        let wide = policy == .trivialaugment
        func magnitude(_ most: Double) -> Double {
            let value = Double(linear(from: 0, to: Float(most), bin))
            return negative ? -value : value
        }
        func factor() -> Float { Float(1 + magnitude(wide ? 0.99 : 0.9)) }
        let shear = wide ? 0.99 : 0.3
        let move = wide ? 32 : 150.0 / 331 * Double(size)
        switch kind {
        case .identity: return nil
        case .shearColumns: return .shearColumns(magnitude(shear))
        case .shearRows: return .shearRows(magnitude(shear))
        case .moveColumns: return .moveColumns(Int(magnitude(move)))
        case .moveRows: return .moveRows(Int(magnitude(move)))
        case .rotate: return .rotate(magnitude(wide ? 135 : 30))
        case .brightness: return .brightness(factor())
        case .colour: return .colour(factor())
        case .contrast: return .contrast(factor())
        case .sharpness: return .sharpness(factor())
        case .posterize:
            let lost = (Float(bin) / (Float(bins - 1) / (wide ? 6 : 4))).rounded(.toNearestOrEven)
            return .posterize(8 - Int(lost))
        case .solarize: return .solarize(linear(from: 255, to: 0, bin))
        case .autoContrast: return .autoContrast
        case .equalize: return .equalize
        }
    }

    /// torch.linspace in single precision: its first half counts from the start, its second from the end, each value
    /// rounded once (torch multiplies and adds in one instruction; in double precision both are exact).
    private static func linear(from start: Float, to end: Float, _ bin: Int) -> Float {
        let step = Double((end - start) / Float(bins - 1))
        return bin < bins / 2
            ? Float(Double(start) + step * Double(bin)) : Float(Double(end) - step * Double(bins - 1 - bin))
    }
}

extension ByteOperation.Kind {
    /// Whether the operation goes either way, drawn by a coin.
    package var isSigned: Bool {
        switch self {
        case .identity, .posterize, .solarize, .autoContrast, .equalize: false
        default: true
        }
    }

    package var hasMagnitude: Bool { self != .identity && self != .autoContrast && self != .equalize }
}
