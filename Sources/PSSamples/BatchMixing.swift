// mixup and cutmix: what is drawn for a whole ticket.

import PSParameters

/// How the samples of a ticket are mixed, each with the one before it, the first with the last (torchvision's pairing).
package enum BatchMixing: Sendable, Hashable {
    /// own * share + partner * (1 - share).
    case mixup(share: Double)
    /// The box is the partner's; `share` is what is left of the own picture.
    case cutmix(box: PixelRectangle, share: Double)

    /// The weight of a sample's own label; the partner's has the rest.
    package var share: Double {
        switch self {
        case .mixup(let share), .cutmix(_, let share): share
        }
    }

    /// The sample whose pixels and label are mixed into sample `index`.
    package static func partner(of index: Int, batch: Int) -> Int { index == 0 ? batch - 1 : index - 1 }

    /// What is drawn for one ticket; nil where neither is asked for.
    package static func draw(
        _ settings: AugmentationSettings, size: Int, from words: inout some RandomWords
    ) -> BatchMixing? {
        guard settings.mixup > 0 || settings.cutmix > 0 else { return nil }
        let cut = settings.mixup > 0 && settings.cutmix > 0 ? words.coin() : settings.cutmix > 0
        let share = SymmetricBeta(alpha: cut ? settings.cutmix : settings.mixup).draw(from: &words)
        guard cut else { return .mixup(share: share) }
        let column = words.below(size)
        let row = words.below(size)
        return cutmix(share: share, centreRow: row, centreColumn: column, rows: size, columns: size)
    }

    /// torchvision's box: half-widths are cut down to whole pixels, the box is cut at the picture's border, and the
    /// share is what that leaves.
    package static func cutmix(share: Double, centreRow: Int, centreColumn: Int, rows: Int, columns: Int) -> BatchMixing
    {
        let half = 0.5 * (1 - share).squareRoot()
        let halfRows = Int(half * Double(rows))
        let halfColumns = Int(half * Double(columns))
        let row = max(centreRow - halfRows, 0)
        let column = max(centreColumn - halfColumns, 0)
        let box = PixelRectangle(
            row: row, column: column, rows: min(centreRow + halfRows, rows) - row,
            columns: min(centreColumn + halfColumns, columns) - column)
        return .cutmix(box: box, share: 1 - Double(box.rows * box.columns) / Double(rows * columns))
    }
}

/// Beta(alpha, alpha). By Jöhnk's method (1964) up to 1, by Cheng's BB (1978) above, with logarithms that are the same on
/// every machine.
package struct SymmetricBeta: Sendable, Hashable {
    package let alpha: Double

    package init(alpha: Double) {
        precondition(alpha > 0)
        self.alpha = alpha
    }

    package func draw(from words: inout some RandomWords) -> Double {
        alpha <= 1 ? johnk(&words) : cheng(&words)
    }

    /// x = u^(1/a), y = v^(1/a); x / (x + y) where x + y <= 1. In logarithms: for a small alpha both powers vanish.
    private func johnk(_ words: inout some RandomWords) -> Double {
        while true {
            let x = portableLog(words.openUnit()) / alpha
            let y = portableLog(words.openUnit()) / alpha
            let most = max(x, y)
            let sum = portableExp(x - most) + portableExp(y - most)
            if most + portableLog(sum) <= 0 { return portableExp(x - most) / sum }
        }
    }

    private func cheng(_ words: inout some RandomWords) -> Double {
        let both = 2 * alpha
        let slope = ((both - 2) / (2 * alpha * alpha - both)).squareRoot()
        let gamma = alpha + 1 / slope
        while true {
            let first = words.openUnit()
            let second = words.openUnit()
            let v = slope * portableLog(first / (1 - first))
            let w = alpha * portableExp(v)
            let bound = portableLog(first * first * second)
            if gamma * v - 1.3862943611198906 + both * portableLog(both / (alpha + w)) >= bound {
                return w / (alpha + w)
            }
        }
    }
}
