// What the plan chooses for Inception-v3's layers, and what it must not choose.

import PSModel
import PSPlanning
import Testing

@Suite struct EnginePlanTests {
    private func plan(
        batch: Int = 32, width: Double = 1, _ change: (inout PlanSettings) -> Void = { _ in }
    ) throws -> (EnginePlan, [PlannedConvolution]) {
        var model = ModelSettings()
        model.width = width
        var settings = PlanSettings()
        change(&settings)
        let description = try ModelDescription(model)
        return (
            EnginePlan(description: description, batch: batch, settings: settings),
            description.plannedConvolutions(batch: batch)
        )
    }

    private func algorithm(_ tile: Int) -> ConvolutionAlgorithm { tile == 0 ? .direct : .winograd(tile: tile) }

    /// Tiles that measured fastest at 299 x 299, one layer of each kind.
    @Test(arguments: [32, 8])
    func inceptionLayers(batch: Int) throws {
        let (plan, convolutions) = try plan(batch: batch)
        let expected = [
            "Conv2d_1a_3x3": 0, "Conv2d_2a_3x3": 6, "Conv2d_2b_3x3": 6, "Conv2d_4a_3x3": 6,
            "Mixed_5b.branch5x5_2": 4, "Mixed_5b.branch3x3dbl_2": 6, "Mixed_5b.branch3x3dbl_3": 6,
            "Mixed_6a.branch3x3": 3, "Mixed_6b.branch7x7_2": 6, "Mixed_6b.branch7x7_3": 6,
            "Mixed_6e.branch7x7dbl_5": 6, "Mixed_7a.branch3x3_2": 2, "Mixed_7b.branch3x3_2a": 4,
            "Mixed_7b.branch3x3_2b": 4,
            // Its output is one pixel, and a whole tile would be computed for it.
            "AuxLogits.conv1": 0,
        ]
        for (layer, tile) in expected {
            #expect(plan[layer].forward == algorithm(tile), "\(layer), batch \(batch)")
        }
        if batch == 32 {
            for (layer, tile) in expected { #expect(plan[layer].backward == algorithm(tile), "\(layer)") }
            #expect(plan["Mixed_7b.branch3x3dbl_2"].forward == .winograd(tile: 4))
        }
        #expect(Set(plan.layers.keys) == Set(convolutions.map(\.name)))
    }

    @Test func directMeansNowhereElse() throws {
        let (plan, _) = try plan { $0.convolution = .direct }
        #expect(plan == .direct)
    }

    @Test func winogradMeansWhereverThereIsOne() throws {
        let (plan, convolutions) = try plan(batch: 1, width: 0.1) { $0.convolution = .winograd }
        for convolution in convolutions {
            let hasOne = !WinogradScheme.tiles(for: convolution.shape).isEmpty
            #expect((plan[convolution.name].forward != .direct) == hasOne)
            #expect((plan[convolution.name].backward != .direct) == hasOne)
        }
    }

    @Test(arguments: [1e-7, 1e-6, 4e-6, 5e-6, 9.3e-6], [PlanSettings.Convolution.auto, .winograd])
    func errorIsAtMostAsLargeAsAsked(maximum: Double, convolution: PlanSettings.Convolution) throws {
        let (plan, convolutions) = try plan {
            $0.maximumError = maximum
            $0.convolution = convolution
        }
        var used = Set<ConvolutionAlgorithm>()
        for convolution in convolutions {
            for algorithm in [plan[convolution.name].forward, plan[convolution.name].backward] {
                used.insert(algorithm)
                guard case .winograd(let tile) = algorithm else { continue }
                #expect(try #require(WinogradScheme(convolution.shape, tile: tile)).error <= maximum)
            }
        }
        #expect(used.contains(.winograd(tile: 4)) == (maximum > 2e-6))
        if maximum == 1e-7 { #expect(used == [.direct]) }
    }

    /// The images need no gradient, so nothing is paid for its transforms.
    @Test func theFirstLayerHasNoDataGradient() throws {
        var model = ModelSettings()
        (model.stem, model.imageSize) = (79, 79)
        let description = try ModelDescription(model)
        let first = try #require(description.plannedConvolutions(batch: 8).first)
        #expect(first.readsImages)
        #expect(description.plannedConvolutions(batch: 8).dropFirst().allSatisfy { !$0.readsImages })
        let costs = first.shape.candidates.map { ConvolutionCost.estimate(first.shape, $0.algorithm, .weightGradient) }
        let plan = EnginePlan(description: description, batch: 8, settings: PlanSettings())
        #expect(costs[0] == costs.min() && plan[first.name].backward == .direct)
    }

    /// A map one row beyond a whole number of tiles pays for a row of tiles.
    @Test func tilesOutsideTheMapCost() {
        func shape(_ size: Int) -> ConvolutionShape {
            let window = SlidingWindow(input: Extent(size, size), kernel: Extent(3, 3), padding: Extent(1, 1))
            return ConvolutionShape(batch: 32, window: window, inputChannels: 96, outputChannels: 96)
        }
        for direction in ConvolutionCost.Direction.allCases {
            func cost(_ size: Int, _ tile: Int) -> Double {
                ConvolutionCost.estimate(shape(size), .winograd(tile: tile), direction)
            }
            #expect(cost(12, 6) < cost(12, 4) && cost(8, 4) < cost(8, 6) && cost(13, 6) == cost(18, 6))
            #expect(cost(36, 6) < 0.4 * ConvolutionCost.estimate(shape(36), .direct, direction))
        }
    }
}
