// The generated transforms through their C functions, channel by channel and without matrix products: that together
// they are a convolution, that the backward ones are the forward ones' adjoints, and that the catalogue knows their
// sizes.

import CKernels
import PSKernels
import PSModel
import PSPlanning
import Testing

/// A small map of sixteen channels, cut into tiles by one pair of schemes, all buffers its own.
private struct TransformCase {
    let scheme: WinogradScheme
    let transforms: winograd_transforms
    let window: SlidingWindow
    var map: winograd_map
    let tiles: Int
    let taps: Int

    /// Two images, of two by two tiles and a bit.
    init(_ entry: WinogradEntry) throws {
        let kernel = entry.kernel
        func extent(_ taps: Int) -> Int { taps == 1 ? 3 : 2 * entry.tile * entry.stride + taps }
        window = SlidingWindow(
            input: Extent(extent(kernel.height), extent(kernel.width)), kernel: kernel,
            stride: Extent(entry.stride, entry.stride), padding: Extent(kernel.height / 2, kernel.width / 2))
        let shape = ConvolutionShape(batch: 2, window: window, inputChannels: 16, outputChannels: 16)
        scheme = try #require(WinogradScheme(shape, tile: entry.tile))
        let (vertical, horizontal) = (scheme.vertical, scheme.horizontal)
        transforms = try #require(
            winograd_find(
                Int32(vertical.outputs), Int32(vertical.taps), Int32(vertical.stride), Int32(horizontal.outputs),
                Int32(horizontal.taps), Int32(horizontal.stride))
        ).pointee
        let lines = vertical.tiles(covering: window.output.height)
        let columns = horizontal.tiles(covering: window.output.width)
        map = winograd_map(
            input_height: Int32(window.input.height), input_width: Int32(window.input.width),
            output_height: Int32(window.output.height), output_width: Int32(window.output.width),
            padding_height: Int32(window.padding.height), padding_width: Int32(window.padding.width),
            lines: Int32(lines), columns: Int32(columns))
        tiles = 2 * lines * columns
        taps = kernel.area
    }

    private var lines: Int { 2 * Int(map.lines) }
    private var products: Int { tiles * 16 * scheme.products }
    private func filled(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) -> [Float] {
        var values = [Float](repeating: 0, count: count)
        values.withUnsafeMutableBufferPointer { body($0.baseAddress!) }
        return values
    }

    var inputCount: Int { 2 * window.input.area * 16 }
    var outputCount: Int { 2 * window.output.area * 16 }

    func input(_ x: [Float]) -> [Float] {
        var map = map
        return filled(products) { transforms.input(&map, x, 16, 16, nil, nil, 0, 0, lines, $0, tiles * 16, 16) }
    }

    func inputGradient(_ v: [Float]) -> [Float] {
        var map = map
        return filled(inputCount) { transforms.input_gradient(&map, $0, 16, 16, 0, 0, lines, v, tiles * 16, 16) }
    }

    func output(_ m: [Float]) -> [Float] {
        var map = map
        return filled(outputCount) { transforms.output(&map, $0, 16, 16, nil, 0, 0, lines, m, tiles * 16, 16) }
    }

    func outputGradient(_ y: [Float]) -> [Float] {
        var map = map
        return filled(products) { transforms.output_gradient(&map, y, 16, 16, nil, 0, lines, $0, tiles * 16, 16) }
    }

    func weights(_ w: [Float]) -> [Float] {
        filled(scheme.weights * 16) { transforms.weights(w, 0, taps, 1, 16, $0, 16) }
    }

    func weightGradient(_ u: [Float]) -> [Float] {
        filled(taps * 16) { transforms.weight_gradient(u, 16, 1, 0, 1, 16, $0, 0, taps) }
    }

    /// Each product of each tile times its weight.
    func weighted(_ v: [Float], _ u: [Float]) -> [Float] {
        v.indices.map { index in
            let product = index / (tiles * 16)
            let vertical = Int(transforms.vertical.slots[product / scheme.horizontal.products])
            let horizontal = Int(transforms.horizontal.slots[product % scheme.horizontal.products])
            return v[index] * u[(vertical * scheme.horizontal.weights + horizontal) * 16 + index % 16]
        }
    }

    /// The convolution of each channel with its own kernel.
    func convolved(_ x: [Float], _ w: [Float]) -> [Double] {
        (0..<outputCount).map { index in
            let (channel, pixel) = (index % 16, index / 16)
            let (image, inside) = pixel.quotientAndRemainder(dividingBy: window.output.area)
            return (0..<taps).reduce(0) { sum, tap in
                let row =
                    inside / window.output.width * window.stride.height + tap / window.kernel.width
                    - window.padding.height
                let column =
                    inside % window.output.width * window.stride.width + tap % window.kernel.width
                    - window.padding.width
                guard (0..<window.input.height).contains(row), (0..<window.input.width).contains(column) else {
                    return sum
                }
                let from = (image * window.input.height + row) * window.input.width + column
                return sum + Double(x[from * 16 + channel]) * Double(w[channel * taps + tap])
            }
        }
    }
}

@Suite struct WinogradTransformTests {
    @Test(arguments: WinogradEntry.all)
    func areAConvolution(entry: WinogradEntry) throws {
        var generator = Generator("transforms \(entry.testDescription)")
        let test = try TransformCase(entry)
        let x = generator.values(test.inputCount)
        let w = generator.values(test.taps * 16)
        let found = test.output(test.weighted(test.input(x), test.weights(w)))
        let expected = test.convolved(x, w)
        let worst = zip(found, expected).map { abs(Double($0) - $1) }.max()!
        #expect(worst < 2e-4, "\(worst)")
    }

    /// <T a, b> = <a, T' b> for all three transforms.
    @Test(arguments: WinogradEntry.all)
    func backwardIsTheAdjoint(entry: WinogradEntry) throws {
        var generator = Generator("adjoints \(entry.testDescription)")
        let test = try TransformCase(entry)
        func expectEqualProducts(_ first: ([Float], [Float]), _ second: ([Float], [Float]), _ what: String) {
            func product(_ pair: ([Float], [Float])) -> (value: Double, scale: Double) {
                zip(pair.0, pair.1).reduce((0, 0)) {
                    ($0.0 + Double($1.0) * Double($1.1), $0.1 + abs(Double($1.0) * Double($1.1)))
                }
            }
            let (first, second) = (product(first), product(second))
            #expect(abs(first.value - second.value) < 1e-6 * max(first.scale, second.scale), "\(what)")
        }
        let x = generator.values(test.inputCount)
        let v = test.input(x)
        let dv = generator.values(v.count)
        expectEqualProducts((v, dv), (x, test.inputGradient(dv)), "input")
        let m = generator.values(v.count)
        let dy = generator.values(test.outputCount)
        expectEqualProducts((test.output(m), dy), (m, test.outputGradient(dy)), "output")
        let w = generator.values(test.taps * 16)
        let u = test.weights(w)
        let du = generator.values(u.count)
        expectEqualProducts((u, du), (w, test.weightGradient(du)), "weights")
    }

    @Test(arguments: WinogradEntry.all)
    func catalogueKnowsTheirSizes(entry: WinogradEntry) throws {
        let test = try TransformCase(entry)
        for (axis, raw) in [
            (test.scheme.vertical, test.transforms.vertical), (test.scheme.horizontal, test.transforms.horizontal),
        ] {
            #expect(axis.extent == Int(raw.extent) && axis.step == Int(raw.step))
            #expect(axis.products == Int(raw.products) && axis.weights == Int(raw.weights))
            #expect(axis.outputs == Int(raw.outputs) && axis.taps == Int(raw.taps) && axis.stride == Int(raw.stride))
            #expect((0..<axis.products).allSatisfy { Int(raw.slots[$0]) < axis.weights })
        }
    }
}
