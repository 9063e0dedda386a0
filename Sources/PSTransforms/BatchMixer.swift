// mixup and cutmix on a finished batch.

import CPixels
import PSImages
import PSSamples

extension PictureTransform {
    /// Mixes each image of a batch with the one before it, the first with the last, in place.
    ///
    /// The labels are the caller's: the loss of sample i is share * loss(label of i) + (1 - share) * loss(label of
    /// `BatchMixing.partner(of: i)`).
    ///
    /// - Parameter images: batch x rows x columns x 3.
    package func mix(
        _ mixing: BatchMixing, images: UnsafeMutablePointer<Float>, batch: Int, rows: Int, columns: Int
    ) {
        precondition(batch > 0 && rows > 0 && columns > 0)
        let count = rows * columns * Picture.channels
        // Backwards, so that a partner is still what it was; the first one's is kept aside.
        let last = batchImage.room(count)
        last.update(from: images + (batch - 1) * count, count: count)
        for index in (0..<batch).reversed() {
            let own = images + index * count
            let partner = index == 0 ? UnsafePointer(last) : UnsafePointer(own - count)
            switch mixing {
            case .mixup(let share):
                ps_mix(own, own, partner, Float(share), Float(1 - share), count)
            case .cutmix(let box, _):
                for row in box.row..<box.row + box.rows {
                    let offset = (row * columns + box.column) * Picture.channels
                    (own + offset).update(from: partner + offset, count: box.columns * Picture.channels)
                }
            }
        }
    }
}
