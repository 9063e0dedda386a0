// What a person chooses about how a picture becomes a network's input.

/// How pictures are changed in training and fitted in evaluation. Which of them, in whose way.
package struct AugmentationSettings: Sendable, Hashable, Codable {
    /// How a training picture is cropped, resampled and coloured.
    package enum Training: String, Sendable, Hashable, Codable, CaseIterable {
        /// As TensorFlow's distributed Inception trainer: a distorted bounding box, TensorFlow 1's bilinear resampling,
        /// mirror, and brightness, saturation, hue and contrast in one of two orders; values in [-1, 1].
        case inception
        /// As torchvision's reference recipe: RandomResizedCrop with Pillow's bilinear filter on bytes, mirror; ImageNet's
        /// mean and deviation.
        case torchvision
        /// Mirror and a random crop of at least 70 % of the area, resampled and scaled as `evaluate` says.
        case light
        /// What `evaluate` says, and `flip` and `cropPadding`.
        case none

        /// How its library evaluates what was trained so; nil where any way will do.
        package var ownEvaluation: Evaluation? {
            switch self {
            case .inception: .inception
            case .torchvision: .torchvision
            case .light, .none: nil
            }
        }
    }

    /// How a picture is fitted where nothing is drawn.
    package enum Evaluation: String, Sendable, Hashable, Codable, CaseIterable {
        /// As TF-slim: the central 0.875 of each side, TensorFlow 1's bilinear resampling; values in [-1, 1].
        case inception
        /// As torchvision's weights: the shorter side to 342/299 of the network's with Pillow's bilinear filter on bytes,
        /// the centre; ImageNet's mean and deviation.
        case torchvision
        /// The whole picture, bilinear between pixel centres at halves, without regard to its shape; values in [-1, 1].
        case resize
        /// Unchanged in the middle of a black frame; a picture too large for that is resized. Values in [-1, 1].
        case pad
    }

    /// torchvision's policies of random operations on the bytes of a resampled picture.
    package enum AutoAugment: String, Sendable, Hashable, Codable, CaseIterable {
        case none
        /// Two operations of magnitude 9 of 0...30.
        case randaugment
        /// One operation of any magnitude of wide ranges (TrivialAugmentWide).
        case trivialaugment
    }

    package var augment = Training.none
    package var evaluate = Evaluation.resize
    /// The share of training pictures in which a rectangle is set to zero.
    package var randomErasing = 0.0
    /// The parameter of the Beta distribution mixup draws its shares from; 0: no mixup.
    package var mixup = 0.0
    /// The same for cutmix. With both, each ticket takes one of the two.
    package var cutmix = 0.0
    package var autoAugment = AutoAugment.none
    /// Whether half of the training pictures are mirrored; only with `augment: none`, the others do so anyway.
    package var flip = false
    /// Training pictures are moved by up to this many pixels, black moving in; only with `augment: none`.
    package var cropPadding = 0
    /// The share of each side that `evaluate: inception` keeps, above 0, at most 1; not a setting of a job.
    package var centralFraction = AugmentationSettings.slimCentralFraction
    /// TF-slim's.
    package static let slimCentralFraction = 0.875

    package init() {}

    package func validate() throws(AugmentationError) {
        func refuse(_ key: String, _ problem: String) -> AugmentationError { .setting(key: key, problem: problem) }
        if !(0...1).contains(randomErasing) {
            throw refuse("randomErasing", "is \(randomErasing); it is a probability and must be between 0 and 1")
        }
        for (key, alpha) in [("mixup", mixup), ("cutmix", cutmix)] where alpha != 0 && !(0.01...100).contains(alpha) {
            throw refuse(key, "is \(alpha); it must be 0 (off) or between 0.01 and 100, as 0.2")
        }
        if !(0...1024).contains(cropPadding) {
            throw refuse("cropPadding", "is \(cropPadding); it must be between 0 and 1024 pixels")
        }
        if augment != .none && flip {
            throw refuse("flip", "is set with augment: \(augment.rawValue), which mirrors anyway; leave it out")
        }
        if augment != .none && cropPadding != 0 {
            throw refuse("cropPadding", "needs augment: none; augment: \(augment.rawValue) crops in its own way")
        }
        if augment == .inception && evaluate == .torchvision || augment == .torchvision && evaluate != .torchvision {
            throw refuse(
                "evaluate",
                "is \(evaluate.rawValue), which scales values otherwise than augment: \(augment.rawValue) does in "
                    + "training; set evaluate: \(augment.rawValue)")
        }
        if autoAugment != .none && !resamplesBytes {
            throw refuse(
                "autoAugment",
                "needs pictures resampled in bytes: augment: torchvision, or light or none with evaluate: torchvision")
        }
    }

    /// Whether training pictures are bytes when they have the network's size.
    package var resamplesBytes: Bool {
        switch augment {
        case .torchvision: true
        case .inception: false
        case .light, .none: evaluate == .torchvision
        }
    }
}

/// A setting of the augmentation that cannot be.
package enum AugmentationError: Error, Sendable, Hashable, CustomStringConvertible {
    case setting(key: String, problem: String)

    package var description: String {
        switch self {
        case .setting(let key, let problem): "\(key) \(problem)"
        }
    }
}
