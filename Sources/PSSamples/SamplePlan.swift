// Everything that will happen to one picture, as numbers.

/// From a picture's pixels to a network's input, `size` x `size`. No randomness is left in it.
///
/// The order: the crop is resampled, mirrored and moved; then the byte operations or the colour operations; then the
/// values are scaled; then a rectangle is erased.
package struct SamplePlan: Sendable, Hashable {
    /// How the crop reaches its new size.
    package enum Resampling: Sendable, Hashable {
        /// TensorFlow 1's `resize_bilinear`: position i reads i * (length / new length), without antialiasing.
        case tensorFlow
        /// Pillow 13's bilinear filter, antialiased, on bytes.
        case pillow
        /// Bilinear between pixel centres at halves, without antialiasing.
        case halfPixel
        /// Unchanged in the middle of a black frame.
        case frame
    }

    /// What a byte v becomes.
    package enum Scaling: Sendable, Hashable {
        /// (v/255 - 0.5) * 2.
        case symmetric
        /// (v/255 - mean) / deviation, ImageNet's for each channel; only with `.pillow`.
        case imageNet
    }

    /// Rows and columns of the network's input.
    package var size: Int
    /// The part of the picture that is resampled as if it were all there is.
    package var crop: PixelRectangle
    /// Rows the crop is resampled to; no less than `size` but for `.frame`, which has its own margins.
    package var resampledRows: Int
    package var resampledColumns: Int
    /// The input's first row and column in the resampled picture.
    package var windowRow = 0
    package var windowColumn = 0
    package var resampling: Resampling
    /// Unless it is set, ImageNet's with `.pillow`, else symmetric.
    package var scaling: Scaling
    package var mirrored = false
    /// Pixels the resampled, mirrored picture is moved by, black moving in.
    package var down = 0
    package var right = 0
    /// In order; only with `.pillow`.
    package var byteOperations: [ByteOperation] = []
    /// In order, on values in 0...1, cut to that range once at the end; not with `.pillow` and at most one contrast.
    package var colourOperations: [ColourOperation] = []
    /// Set to zero after scaling, in the input's rows and columns.
    package var erased: PixelRectangle?

    package init(
        size: Int, crop: PixelRectangle, resampledRows: Int, resampledColumns: Int, resampling: Resampling
    ) {
        self.size = size
        self.crop = crop
        self.resampledRows = resampledRows
        self.resampledColumns = resampledColumns
        self.resampling = resampling
        scaling = resampling == .pillow ? .imageNet : .symmetric
    }

    /// The crop resampled to exactly the input's size.
    package init(size: Int, crop: PixelRectangle, resampling: Resampling) {
        self.init(size: size, crop: crop, resampledRows: size, resampledColumns: size, resampling: resampling)
    }
}

/// One of TensorFlow's colour operations on values in 0...1. None of them cuts what leaves that range.
package enum ColourOperation: Sendable, Hashable {
    /// Adds to every value.
    case brightness(Float)
    /// Multiplies HSV's saturation, which is then cut to 0...1.
    case saturation(Float)
    /// Turns HSV's hue by this part of a full turn, -0.5...0.5.
    case hue(Float)
    /// Multiplies the distance from the channel's mean over the picture.
    case contrast(Float)
}

/// One of torchvision's operations on the bytes of a picture, as Pillow computes them.
package enum ByteOperation: Sendable, Hashable {
    /// Row y reads column x + y * amount; nearest pixel, black outside, as for all that move pixels.
    case shearColumns(Double)
    /// Column x reads row y + x * amount.
    case shearRows(Double)
    /// Moves right.
    case moveColumns(Int)
    /// Moves down.
    case moveRows(Int)
    /// Counter-clockwise about the centre, degrees.
    case rotate(Double)
    /// A blend of the picture with black; 1 is the picture.
    case brightness(Float)
    /// With its grey version.
    case colour(Float)
    /// With the mean of its grey version.
    case contrast(Float)
    /// With its smoothed version.
    case sharpness(Float)
    /// Keeps this many upper bits, 1...8.
    case posterize(Int)
    /// Inverts bytes from this threshold on.
    case solarize(Float)
    case autoContrast
    case equalize
}
