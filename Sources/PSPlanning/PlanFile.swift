// A plan as text: `plan.json` of a run directory, a pinned plan, what workers are sent. One layer a line.

import Foundation
import PSModel
import PSParameters

/// A plan together with what it was made for.
package struct PlanFile: Sendable, Hashable {
    /// The algorithms of one convolution.
    package struct Layer: Sendable, Hashable, Decodable {
        /// The node's in the model.
        package var name: String
        package var forward: ConvolutionAlgorithm
        package var backward: ConvolutionAlgorithm
    }

    /// Version of the file's form.
    package static let format = 1

    /// The model's name, `model.name`.
    package let model: String
    /// What the choices were made for; they hold for any size and batch that has a form of them.
    package let imageSize: Int
    package let batch: Int
    /// What made it: "auto", "direct", "measured" and so on; for people.
    package let origin: String
    /// Every convolution that has a choice, in the order in which they run.
    package let layers: [Layer]

    package init(_ plan: EnginePlan, origin: String, description: ModelDescription, batch: Int) {
        model = description.settings.name
        imageSize = description.settings.imageSize
        self.batch = batch
        self.origin = origin
        layers = description.plannedConvolutions(batch: batch).map {
            let choice = plan[$0.name]
            return Layer(name: $0.name, forward: choice.forward, backward: choice.backward)
        }
    }

    package var plan: EnginePlan {
        EnginePlan(
            layers: Dictionary(
                uniqueKeysWithValues: layers.map {
                    ($0.name, ConvolutionChoice(forward: $0.forward, backward: $0.backward))
                }))
    }

    /// Names the choices: two plans with the same identity give the same bits. FNV-1a over the layers.
    package var identity: UInt64 {
        fnv1a(layers.map { "\($0.name) \($0.forward) \($0.backward)\n" }.joined())
    }

    /// "auto, 27 of 55 layers Winograd (1f3a...)", for people.
    package var summary: String {
        let winograd = layers.count { $0.forward != .direct || $0.backward != .direct }
        return "\(origin), \(winograd) of \(layers.count) layers Winograd (\(PlanFile.text(identity)))"
    }

    /// An identity as people see it.
    package static func text(_ identity: UInt64) -> String {
        let digits = String(identity, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

// MARK: Reading and writing

extension PlanFile: Decodable {}

extension PlanFile {
    /// What `init(text:path:)` reads.
    package var text: String {
        let encoder = JSONEncoder()
        func quoted(_ text: String) -> String {
            guard let data = try? encoder.encode(text) else { preconditionFailure("a text that does not encode") }
            return String(decoding: data, as: UTF8.self)
        }
        let lines = layers.map {
            "    {\"name\": \(quoted($0.name)), \"forward\": \"\($0.forward)\", \"backward\": \"\($0.backward)\"}"
        }
        return """
            {
              "format": \(PlanFile.format),
              "model": \(quoted(model)),
              "imageSize": \(imageSize),
              "batch": \(batch),
              "origin": \(quoted(origin)),
              "layers": [
            \(lines.joined(separator: ",\n"))
              ]
            }

            """
    }

    /// - Parameter path: what messages call the text.
    package init(text: String, path: String) throws(PlanError) {
        struct Format: Decodable { let format: Int }
        let data = Data(text.utf8)
        let found: PlanFile
        do {
            let format = try JSONDecoder().decode(Format.self, from: data).format
            guard format == PlanFile.format else {
                throw PlanError.damaged(path: path, problem: "its format is \(format), known is \(PlanFile.format)")
            }
            found = try JSONDecoder().decode(PlanFile.self, from: data)
        } catch let error as PlanError {
            throw error
        } catch let error as DecodingError {
            throw .damaged(path: path, problem: PlanFile.problem(error))
        } catch {
            throw .damaged(path: path, problem: "\(error)")
        }
        var seen: Set<String> = []
        for layer in found.layers where !seen.insert(layer.name).inserted {
            throw .damaged(path: path, problem: "layer \(layer.name) is in it twice")
        }
        // People are shown it, on terminals.
        if found.origin.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
            throw .damaged(path: path, problem: ".origin has control characters")
        }
        self = found
    }

    package init(path: String) throws(PlanError) {
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            let system = (error as NSError).userInfo[NSUnderlyingErrorKey] as? POSIXError
            throw .unreadable(
                path: path,
                reason: system.map { String(cString: strerror($0.code.rawValue)) } ?? error.localizedDescription)
        }
        try self.init(text: text, path: path)
    }

    /// A decoder's error as a place and a problem.
    private static func problem(_ error: DecodingError) -> String {
        func at(_ path: [any CodingKey]) -> String {
            path.isEmpty ? "it" : path.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
        }
        switch error {
        case .keyNotFound(let key, let context): return "\(at(context.codingPath + [key])) is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return "\(at(context.codingPath)) is of the wrong kind"
        case .dataCorrupted(let context) where !context.codingPath.isEmpty:
            return "\(at(context.codingPath)): \(context.debugDescription)"
        // The decoder says no more than that, of numbers that are no integers too.
        default: return "it is not JSON, or a number in it is out of range"
        }
    }
}

// MARK: Checking

extension PlanFile {
    /// Throws unless the plan is of this model, with a choice for exactly its convolutions, and each has a form of its
    /// choice.
    ///
    /// - Parameters:
    ///   - batch: the images of a step, which may differ from those the plan was made for.
    ///   - path: what messages call the plan.
    package func check(description: ModelDescription, batch: Int, path: String) throws(PlanError) {
        guard model == description.settings.name else {
            throw .otherLayers(path: path, problem: "it is for \(model), not \(description.settings.name)")
        }
        let convolutions = description.plannedConvolutions(batch: batch)
        let known = Set(convolutions.map(\.name))
        if let stranger = layers.first(where: { !known.contains($0.name) }) {
            throw .otherLayers(path: path, problem: "the model has no layer \(stranger.name) to choose for")
        }
        let choices = plan.layers
        for convolution in convolutions {
            guard let choice = choices[convolution.name] else {
                throw .otherLayers(path: path, problem: "it has no choice for layer \(convolution.name)")
            }
            let available = convolution.shape.candidates.map(\.algorithm)
            for algorithm in [choice.forward, choice.backward] where !available.contains(algorithm) {
                throw .noForm(path: path, layer: convolution.name, algorithm: algorithm, available: available)
            }
        }
    }
}
