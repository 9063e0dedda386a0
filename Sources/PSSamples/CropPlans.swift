// The crops that published evaluations average over.

/// How many crops of a picture an evaluation looks at.
package enum Crops: Int, Sendable, Hashable, Codable, CaseIterable {
    /// One, as `data.evaluate` fits it.
    case one = 1
    /// The corners and the centre of the picture at one scale, and their mirrors (AlexNet's).
    case ten = 10
    /// Of the middle square of the picture at one scale the corners, the centre and the whole, and their mirrors.
    case twelve = 12
    /// The same of three squares at four scales (GoogLeNet's, arXiv 1409.4842, section 7).
    case hundredFortyFour = 144
}

extension SamplePlan {
    /// The crops of a picture of `rows` x `columns`, in a fixed order: each of their kinds unmirrored, then mirrored.
    ///
    /// The picture is resampled with Pillow's bilinear filter so that its shorter side has 256 of 224 parts of `size`
    /// (144 crops: 256, 288, 320 and 352), and the crops are cut from that. The square as a whole is resampled to `size`
    /// from the picture as it is, which is the same at every scale.
    ///
    /// - Parameter normalisation: of the network that looks at them.
    package static func crops(
        _ crops: Crops, size: Int, rows: Int, columns: Int, normalisation: Normalisation
    ) -> [SamplePlan] {
        precondition(crops != .one && size > 0 && rows > 0 && columns > 0)
        let scales = crops == .hundredFortyFour ? [256, 288, 320, 352] : [256]
        var plans: [SamplePlan] = []
        for scale in scales {
            let picture = ScaledPicture(rows: rows, columns: columns, shorter: croppedSide(size, scale), size: size)
            switch crops {
            case .one: break
            case .ten: plans += picture.corners(row: 0, column: 0, rows: picture.rows, columns: picture.columns)
            case .twelve: plans += picture.square(1)
            case .hundredFortyFour: plans += (0..<3).flatMap(picture.square)
            }
        }
        return plans.flatMap { plan in
            var (straight, mirrored) = (plan, plan)
            straight.normalisation = normalisation
            mirrored.normalisation = normalisation
            mirrored.mirrored = true
            return [straight, mirrored]
        }
    }

    /// The shorter side for crops of `size` at a scale that is published for 224: of 299 342, 384, 427 and 470.
    package static func croppedSide(_ size: Int, _ scale: Int) -> Int { (size * scale + 112) / 224 }
}

/// A picture that is to be resampled as a whole.
private struct ScaledPicture {
    let originalRows: Int
    let originalColumns: Int
    let rows: Int
    let columns: Int
    let shorter: Int
    let size: Int

    init(rows: Int, columns: Int, shorter: Int, size: Int) {
        (originalRows, originalColumns) = (rows, columns)
        (self.shorter, self.size) = (shorter, size)
        // As torchvision's `Resize`: the longer side is cut down to a whole number.
        let longer = shorter * max(rows, columns) / min(rows, columns)
        (self.rows, self.columns) = rows <= columns ? (shorter, longer) : (longer, shorter)
    }

    private func window(_ row: Int, _ column: Int) -> SamplePlan {
        var plan = SamplePlan(
            size: size, crop: PixelRectangle(row: 0, column: 0, rows: originalRows, columns: originalColumns),
            resampledRows: rows, resampledColumns: columns, resampling: .pillow)
        plan.windowRow = row
        plan.windowColumn = column
        return plan
    }

    /// The corners of a part, clockwise from the upper left but the lower left before the lower right, and its centre:
    /// torchvision's `five_crop`.
    func corners(row: Int, column: Int, rows: Int, columns: Int) -> [SamplePlan] {
        let (bottom, right) = (row + rows - size, column + columns - size)
        return [
            window(row, column), window(row, right), window(bottom, column), window(bottom, right),
            window(
                row + SamplePlan.centreOffset(rows, size), column + SamplePlan.centreOffset(columns, size)),
        ]
    }

    /// Of the left or upper square (0), the middle one (1), the right or lower one (2): corners, centre, the whole.
    func square(_ index: Int) -> [SamplePlan] {
        func offset(_ length: Int, _ side: Int) -> Int { [0, (length - side) / 2, length - side][index] }
        let side = min(originalRows, originalColumns)
        let whole = PixelRectangle(
            row: offset(originalRows, side), column: offset(originalColumns, side), rows: side, columns: side)
        return corners(
            row: offset(rows, shorter), column: offset(columns, shorter), rows: shorter, columns: shorter)
            + [SamplePlan(size: size, crop: whole, resampling: .pillow)]
    }
}
