// Evaluation by several crops of a picture, whose softmaxes are averaged: what each crop is. Nothing is drawn.

/// How many crops of a picture an evaluation looks at.
///
/// S is the network's size. Every crop but `one` is taken of the picture resampled as a whole, to a shorter side of
/// 8/7 S (256 of 224, 342 of 299), the longer one in proportion and cut down to a whole number; and each is looked at as
/// it is and mirrored.
package enum CropCount: Int, Sendable, Hashable, Codable, CaseIterable {
    /// As `data.evaluate` fits a picture.
    case one = 1
    /// The four corners and the centre, S x S (AlexNet's; torchvision's `Resize` and `TenCrop`).
    case ten = 10
    /// Of the square in the middle the four corners, the centre, and all of it resampled to S x S.
    case twelve = 12
    /// The same of three squares (left, centre, right, or top, centre, bottom) of each of four sizes, whose shorter sides
    /// are 8/7, 9/7, 10/7 and 11/7 S: 256, 288, 320 and 352 of 224, 342, 384, 427 and 470 of 299 (GoogLeNet's,
    /// arXiv 1409.4842).
    case hundredFortyFour = 144

    /// The shorter sides in sevenths of the network's size.
    fileprivate var sevenths: [Int] { self == .hundredFortyFour ? [8, 9, 10, 11] : [8] }

    /// The shorter sides of the resampled picture, to the nearest pixel.
    package func shorterSides(_ size: Int) -> [Int] { sevenths.map { (2 * size * $0 + 7) / 14 } }
}

/// A square of a resampled picture, and the crops that are taken of it.
///
/// Two steps, since one of the crops resamples what has been resampled to bytes already.
package struct CropSquare: Sendable, Hashable {
    /// From the picture to the square, in bytes: `plan.size` x `plan.size`, a window of the picture resampled as a whole.
    package var plan: SamplePlan
    /// From the square, as if it were a picture, to inputs of the network.
    package let crops: [SamplePlan]

    /// The squares of a picture of `rows` x `columns`, with all their crops in the order in which they are averaged.
    ///
    /// Pillow's antialiased bilinear filter resamples, whatever the single crop goes by.
    ///
    /// - Parameters:
    ///   - count: not `one`.
    ///   - size: rows and columns of the network's input.
    package static func all(
        _ count: CropCount, scaling: SamplePlan.Scaling, size: Int, rows: Int, columns: Int
    ) -> [CropSquare] {
        precondition(count != .one && size > 0 && rows > 0 && columns > 0)
        return count.shorterSides(size).flatMap { shorter in
            // As torchvision's `Resize`: the product first, then the quotient.
            let longer = shorter * max(rows, columns) / min(rows, columns)
            let resampled = rows <= columns ? (rows: shorter, columns: longer) : (rows: longer, columns: shorter)
            func square(_ side: Int, row: Int, column: Int) -> CropSquare {
                var plan = SamplePlan(
                    size: side, crop: PixelRectangle(row: 0, column: 0, rows: rows, columns: columns),
                    resampledRows: resampled.rows, resampledColumns: resampled.columns, resampling: .pillow)
                (plan.windowRow, plan.windowColumn) = (row, column)
                return CropSquare(plan: plan, crops: crops(count, ofSide: side, scaling: scaling, size: size))
            }
            /// All squares of the shorter side at this place of the longer one.
            func along(_ place: Int) -> CropSquare {
                rows <= columns ? square(shorter, row: 0, column: place) : square(shorter, row: place, column: 0)
            }
            let centre = SamplePlan.centreOffset(longer, shorter)
            switch count {
            case .one: return [CropSquare]()
            case .ten:
                return cornersAndCentre(size, rows: resampled.rows, columns: resampled.columns).map {
                    square(size, row: $0.row, column: $0.column)
                }
            case .twelve: return [along(centre)]
            case .hundredFortyFour: return [0, centre, longer - shorter].map(along)
            }
        }
    }

    /// Of ten crops each is a square of its own; else a square's corners, its centre, and all of it. Each mirrored, too.
    private static func crops(
        _ count: CropCount, ofSide side: Int, scaling: SamplePlan.Scaling, size: Int
    ) -> [SamplePlan] {
        let whole = PixelRectangle(row: 0, column: 0, rows: side, columns: side)
        let parts = count == .ten ? [] : cornersAndCentre(size, rows: side, columns: side)
        return (parts + [whole]).flatMap { part in
            [false, true].map { mirrored in
                var plan = SamplePlan(size: size, crop: part, resampling: .pillow)
                plan.mirrored = mirrored
                plan.scaling = scaling
                return plan
            }
        }
    }

    /// Upper left, upper right, lower left, lower right, centre.
    private static func cornersAndCentre(_ size: Int, rows: Int, columns: Int) -> [PixelRectangle] {
        let (bottom, right) = (rows - size, columns - size)
        let places = [
            (0, 0), (0, right), (bottom, 0), (bottom, right),
            (SamplePlan.centreOffset(rows, size), SamplePlan.centreOffset(columns, size)),
        ]
        return places.map { PixelRectangle(row: $0.0, column: $0.1, rows: size, columns: size) }
    }
}
