// What nothing is drawn for: the transforms of evaluation.

extension SamplePlan {
    /// How a picture of `rows` x `columns` is fitted in evaluation.
    package static func evaluation(
        _ evaluation: AugmentationSettings.Evaluation, size: Int, rows: Int, columns: Int,
        centralFraction: Double = AugmentationSettings.slimCentralFraction
    ) -> SamplePlan {
        precondition(size > 0 && rows > 0 && columns > 0 && centralFraction > 0 && centralFraction <= 1)
        switch evaluation {
        case .inception:
            // TensorFlow's central_crop: of 0.875, floor(n / 16) from each end of a side.
            func margin(_ length: Int) -> Int { Int((Double(length) - Double(length) * centralFraction) / 2) }
            let row = margin(rows)
            let column = margin(columns)
            return SamplePlan(
                size: size,
                crop: PixelRectangle(
                    row: row, column: column, rows: rows - 2 * row, columns: columns - 2 * column),
                resampling: .tensorFlow)
        case .torchvision:
            return torchvision(size: size, rows: rows, columns: columns)
        case .resize, .pad:
            return SamplePlan(
                size: size, whole: PixelRectangle(row: 0, column: 0, rows: rows, columns: columns), fit: evaluation)
        }
    }

    /// A part of a picture fitted in the way of an evaluation, as the light crop needs it.
    init(size: Int, whole crop: PixelRectangle, fit: AugmentationSettings.Evaluation) {
        let fits = crop.rows <= size && crop.columns <= size
        let resampling: Resampling =
            switch fit {
            case .inception: .tensorFlow
            case .torchvision: .pillow
            case .pad where fits: .frame
            case .pad, .resize: .halfPixel
            }
        self.init(size: size, crop: crop, resampling: resampling)
    }

    /// torchvision's `Resize(shorter side)`, then `CenterCrop(size)`.
    private static func torchvision(size: Int, rows: Int, columns: Int) -> SamplePlan {
        let shorter = resizedShorterSide(size)
        // `Resize` cuts the longer side down to a whole number: the product first, then the quotient.
        let longer = shorter * max(rows, columns) / min(rows, columns)
        let resampled = rows <= columns ? (rows: shorter, columns: longer) : (rows: longer, columns: shorter)
        var plan = SamplePlan(
            size: size, crop: PixelRectangle(row: 0, column: 0, rows: rows, columns: columns),
            resampledRows: resampled.rows, resampledColumns: resampled.columns, resampling: .pillow)
        plan.windowRow = centreOffset(resampled.rows, size)
        plan.windowColumn = centreOffset(resampled.columns, size)
        return plan
    }

    /// The shorter side before the centre is cut: 342 for 299, 256 for 224, in between by the first's ratio.
    package static func resizedShorterSide(_ size: Int) -> Int {
        max(size, Int((Double(size) * 342 / 299).rounded(.toNearestOrEven)))
    }

    /// `CenterCrop`: half of what is left over, halves to the even neighbour.
    package static func centreOffset(_ length: Int, _ size: Int) -> Int {
        let left = length - size
        return left / 2 + (left % 4 == 3 ? 1 : 0)
    }
}
