// What a person chooses about the pictures: which they are, how they are decoded, how they reach the network.

import PSDatasets
import PSSamples

package struct DataSettings: Sendable, Hashable, Codable {
    /// Where the pictures are, in which form.
    package var set = DatasetSettings(path: "/usr/share/datasets/fashion-mnist")
    package var decoding = DecodingSettings()
    /// How they are cut, resampled and changed.
    package var augmentation = AugmentationSettings()
    /// What happens when one cannot be decoded.
    package var onBadImage = OnBadImage.fail
    /// Threads of a worker that read and decode; 0: as many as compute.
    package var threads = 0

    package enum OnBadImage: String, Sendable, Hashable, Codable, CaseIterable {
        /// The job ends, naming it.
        case fail
        /// In training another picture takes its place, drawn by the ticket; in evaluation it does not count.
        case skip
    }

    package init() {}
}

/// How the bytes of a picture file become pixels. `PSImages` has what follows from it.
package struct DecodingSettings: Sendable, Hashable, Codable {
    package enum Scale: String, Sendable, Hashable, Codable, CaseIterable {
        /// Every pixel, the same as Pillow's.
        case exact
        /// A JPEG's cosines give half, a quarter or an eighth of its size where that is still no less than is needed:
        /// faster, other bits.
        case scaled
    }

    /// What a transparent pixel is seen over.
    package enum Background: String, Sendable, Hashable, Codable, CaseIterable {
        case white
        case black
        /// The colour that the file has under it, as Pillow's convert("RGB") and TensorFlow do.
        case drop
    }

    package var scale = Scale.exact
    /// Whether a picture is turned upright as its EXIF block says.
    package var exifOrientation = true
    package var background = Background.white
    /// Pictures with more pixels count as bad.
    package var maxPixels = 178_956_970

    package init() {}
}
