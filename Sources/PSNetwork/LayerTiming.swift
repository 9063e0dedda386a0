// What a measured step says about its layers.

/// The wall-clock time of one pass of one layer in one step.
package struct LayerTiming: Sendable, Hashable {
    package enum Pass: String, Sendable, Hashable, CaseIterable {
        /// Weights from their canonical form into the forms the algorithms multiply by.
        case weights
        case forward
        case dataGradient = "data gradient"
        case weightGradient = "weight gradient"
        /// Batch norm's backward passes.
        case norm
    }

    package let layer: String
    package let pass: Pass
    /// What computed it: "im2col", "F(6x6,3x3)", "1x1", "max pool" and so on.
    package let algorithm: String
    package let seconds: Double
    /// Floating-point operations of the direct method, two a multiply-add; 0 for passes that are no product.
    package let flops: Double

    package init(layer: String, pass: Pass, algorithm: String, seconds: Double, flops: Double) {
        self.layer = layer
        self.pass = pass
        self.algorithm = algorithm
        self.seconds = seconds
        self.flops = flops
    }
}
