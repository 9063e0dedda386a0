// The random crops: TensorFlow's distorted bounding box, torchvision's RandomResizedCrop, and a light one.

/// The crop of TensorFlow's `sample_distorted_bounding_box` with the whole picture as the object, as the Inception
/// trainers ask for it. Single precision where TensorFlow's is; the same words give the same box.
///
/// Uniform in the ratio and, for a ratio, in the height. The lowest and rightmost places never come up, and the least
/// covered share of the object makes 0.1 the least area: both are TensorFlow's ways.
package struct DistortedBox: Sendable, Hashable {
    /// Columns to rows.
    package var aspect: ClosedRange<Float> = 0.75...1.33
    /// Share of the picture's area.
    package var area: ClosedRange<Float> = 0.05...1
    /// `min_object_covered`: the least share of the picture a crop must show.
    package var covered: Float = 0.1
    package var attempts = 100

    package init() {}

    /// The crop, the whole picture where no attempt gave one.
    package func draw(rows: Int, columns: Int, from words: inout some RandomWords) -> PixelRectangle {
        let least = area.lowerBound * Float(columns) * Float(rows)
        let most = area.upperBound * Float(columns) * Float(rows)
        for _ in 0..<attempts {
            let unit = Float(words.next() & 0x7F_FFFF) * 0x1p-23
            let ratio = unit * (aspect.upperBound - aspect.lowerBound) + aspect.lowerBound
            func width(_ height: Int) -> Int { Int((Float(height) * ratio).rounded(.toNearestOrEven)) }
            var tallest = Int((most / ratio).squareRoot().rounded(.toNearestOrEven))
            if width(tallest) > columns {
                tallest = Int((Double(columns) + 0.5 - Double(Float(1e-7))) / Double(ratio))
                if width(tallest) > columns { tallest -= 1 }
            }
            tallest = min(tallest, rows)
            var height = min(Int((least / ratio).squareRoot().rounded(.toNearestOrEven)), tallest)
            if height < tallest { height += words.below(tallest - height + 1) }
            if Float(width(height) * height) < least { height += 1 }
            if Float(width(height) * height) > most { height -= 1 }
            let size = width(height) * height
            guard (least...most).contains(Float(size)), height > 0, height <= rows, width(height) > 0,
                width(height) <= columns
            else { continue }
            let row = height < rows ? words.below(rows - height) : 0
            let column = width(height) < columns ? words.below(columns - width(height)) : 0
            if Float(size) / Float(rows * columns) >= covered {
                return PixelRectangle(row: row, column: column, rows: height, columns: width(height))
            }
        }
        return PixelRectangle(row: 0, column: 0, rows: rows, columns: columns)
    }
}

/// torchvision's `RandomResizedCrop.get_params`: uniform in area and in the logarithm of the ratio, ten attempts, else
/// the centre, its ratio brought into range.
package struct RandomResizedCrop: Sendable, Hashable {
    package var area: ClosedRange<Double> = 0.08...1
    /// Columns to rows.
    package var aspect: ClosedRange<Double> = 3.0 / 4...4.0 / 3
    package var attempts = 10

    package init() {}

    package func draw(rows: Int, columns: Int, from words: inout some RandomWords) -> PixelRectangle {
        let logarithms = portableLog(aspect.lowerBound)...portableLog(aspect.upperBound)
        for _ in 0..<attempts {
            let target = Double(columns * rows) * words.uniform(area)
            let size = RandomResizedCrop.size(area: target, aspect: portableExp(words.uniform(logarithms)))
            if (1...rows).contains(size.rows) && (1...columns).contains(size.columns) {
                let row = words.below(rows - size.rows + 1)
                let column = words.below(columns - size.columns + 1)
                return PixelRectangle(row: row, column: column, rows: size.rows, columns: size.columns)
            }
        }
        return centre(rows: rows, columns: columns)
    }

    package static func size(area: Double, aspect: Double) -> (rows: Int, columns: Int) {
        (
            Int((area / aspect).squareRoot().rounded(.toNearestOrEven)),
            Int((area * aspect).squareRoot().rounded(.toNearestOrEven))
        )
    }

    /// What ten refused attempts give. (A picture one pixel thin would have no row left: one is kept.)
    package func centre(rows: Int, columns: Int) -> PixelRectangle {
        let ratio = Double(columns) / Double(rows)
        var size = (rows: rows, columns: columns)
        if ratio < aspect.lowerBound {
            size.rows = max(1, Int((Double(columns) / aspect.lowerBound).rounded(.toNearestOrEven)))
        } else if ratio > aspect.upperBound {
            size.columns = max(1, Int((Double(rows) * aspect.upperBound).rounded(.toNearestOrEven)))
        }
        return PixelRectangle(
            row: (rows - size.rows) / 2, column: (columns - size.columns) / 2, rows: size.rows, columns: size.columns)
    }
}

/// A crop that keeps most of a picture: its share of the area is uniform in 70...100 %, the height takes a uniform part
/// of what that leaves to it, and every place is as likely as any other.
package struct LightCrop: Sendable, Hashable {
    package var area: ClosedRange<Double> = 0.7...1

    package init() {}

    package func draw(rows: Int, columns: Int, from words: inout some RandomWords) -> PixelRectangle {
        let share = words.uniform(area)
        let tall = words.uniform(share...1)
        // Rounded up both times: never less than the share.
        let height = min(rows, Int((tall * Double(rows)).rounded(.up)))
        let width = min(columns, Int((share * Double(rows * columns) / Double(height)).rounded(.up)))
        let row = words.below(rows - height + 1)
        let column = words.below(columns - width + 1)
        return PixelRectangle(row: row, column: column, rows: height, columns: width)
    }
}
