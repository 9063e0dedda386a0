// Passes over whole maps: sums, ReLUs that no convolution takes along, local response normalisation.

import CKernels
import PSModel

package enum Elementwise {
    /// y = max(first + factor * second, floor)
    package static func add(
        _ first: InputMap, _ second: InputMap, factor: Float, floor: Float, to y: FeatureMap, context: KernelContext
    ) {
        let cut = passCut(pixels: y.pixels, channels: y.channels)
        context.pool.run(cut.pieces) { item, _ in
            let pixel = cut[item].lowerBound
            engine_add(
                first.map.pixel(pixel), first.map.pixelStride, first.norm?.scale, first.norm?.shift, first.floor,
                second.map.pixel(pixel), second.map.pixelStride, second.norm?.scale, second.norm?.shift, second.floor,
                factor, floor, y.pixel(pixel), y.pixelStride, cut[item].count, y.channels)
        }
    }

    /// What reaches x through max(x, floor), times `factor`: the gradient where x, as its reader sees it before the floor,
    /// is above it. Overwrites, or adds if `accumulate`.
    package static func openGradient(
        _ gradient: FeatureMap, through x: InputMap, floor: Float, factor: Float = 1, to out: FeatureMap,
        accumulate: Bool, context: KernelContext
    ) {
        let cut = passCut(pixels: out.pixels, channels: out.channels)
        context.pool.run(cut.pieces) { item, _ in
            let pixel = cut[item].lowerBound
            engine_open_gradient(
                gradient.pixel(pixel), gradient.pixelStride, x.map.pixel(pixel), x.map.pixelStride, x.norm?.scale,
                x.norm?.shift, floor, factor, out.pixel(pixel), out.pixelStride, cut[item].count, out.channels,
                accumulate ? 1 : 0)
        }
    }
}

extension LocalResponseNorm {
    /// Floats of scratch one thread needs.
    package func scratchFloats(channels: Int) -> Int { 4 * channels + size }

    package func forward(_ x: InputMap, to y: FeatureMap, context: KernelContext) {
        let cut = passCut(pixels: y.pixels, channels: y.channels)
        context.pool.run(cut.pieces) { item, thread in
            let pixel = cut[item].lowerBound
            engine_response_norm(
                x.map.pixel(pixel), x.map.pixelStride, x.norm?.scale, x.norm?.shift, x.floor, y.pixel(pixel),
                y.pixelStride, cut[item].count, y.channels, Int32(size), alpha, k, context.scratch(thread))
        }
    }

    /// The gradient with respect to x as it was read; overwrites, or adds if `accumulate`.
    package func backward(
        outputGradient: FeatureMap, _ x: InputMap, inputGradient: FeatureMap, accumulate: Bool, context: KernelContext
    ) {
        let cut = passCut(pixels: inputGradient.pixels, channels: inputGradient.channels)
        context.pool.run(cut.pieces) { item, thread in
            let pixel = cut[item].lowerBound
            engine_response_norm_gradient(
                outputGradient.pixel(pixel), outputGradient.pixelStride, x.map.pixel(pixel), x.map.pixelStride,
                x.norm?.scale, x.norm?.shift, x.floor, inputGradient.pixel(pixel), inputGradient.pixelStride,
                cut[item].count, inputGradient.channels, Int32(size), alpha, k, accumulate ? 1 : 0,
                context.scratch(thread))
        }
    }
}
