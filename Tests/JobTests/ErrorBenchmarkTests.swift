// The errors `psctl bench errors` finds, against those the catalogue promises.

import PSBenchmarks
import PSJob
import PSModel
import PSPlanning
import Testing

@Suite struct ErrorBenchmarkTests {
    private func largest(_ errors: RoundingErrors) -> Double {
        max(errors.forward, errors.dataGradient, errors.weightGradient)
    }

    @Test func smallShapesKeepTheCatalogue() throws {
        var settings = ModelSettings()
        (settings.imageSize, settings.stem, settings.width, settings.auxiliary) = (32, 79, 0.25, false)
        let description = try ModelDescription(settings)
        let benchmark = try ErrorBenchmark(description: description, batch: 2, threads: 2, seed: 3)
        let convolutions = description.plannedConvolutions(batch: 2)
        #expect(benchmark.shapes.flatMap(\.layers).sorted() == convolutions.map(\.name).sorted())
        for shape in benchmark.shapes {
            let planned = try #require(convolutions.first { $0.name == shape.layers[0] }).shape
            #expect(shape.algorithms.map(\.algorithm) == planned.candidates.map(\.algorithm))
            for (found, promised) in zip(shape.algorithms, planned.candidates) {
                let errors = found.errors
                let bound = found.algorithm == .direct ? 1e-6 : 2 * promised.error
                #expect(largest(errors) < bound, "\(shape.shape) by \(found.name): \(errors)")
                // Float32 cannot be exact: a zero would mean that nothing was compared.
                #expect(min(errors.forward, errors.dataGradient, errors.weightGradient) > 1e-8)
            }
        }
        // Larger tiles cost digits where the sums are the same.
        let square = try #require(benchmark.shapes.first { $0.algorithms.last?.name == "F(6x6,3x3)" })
        #expect(largest(square.algorithms[0].errors) < largest(square.algorithms[2].errors))
        #expect(benchmark.markdown.split(separator: "\n").count == benchmark.shapes.count + 2)
    }
}
