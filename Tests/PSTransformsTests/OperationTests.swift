// torchvision's operations on bytes at every magnitude, and the batch's mixing.

import Foundation
import PSImages
import PSParameters
import PSSamples
import PSTransforms
import Testing

@Suite struct OperationTests {
    private static let names: [String: ByteOperation.Kind] = [
        "ShearX": .shearColumns, "ShearY": .shearRows, "TranslateX": .moveColumns, "TranslateY": .moveRows,
        "Rotate": .rotate, "Brightness": .brightness, "Color": .colour, "Contrast": .contrast,
        "Sharpness": .sharpness, "Posterize": .posterize, "Solarize": .solarize, "AutoContrast": .autoContrast,
        "Equalize": .equalize,
    ]

    /// The bytes of a result, back from ImageNet's values.
    private func bytes(_ picture: Picture, _ operations: [ByteOperation]) -> [UInt8] {
        var plan = SamplePlan(size: picture.rows, crop: whole(picture), resampling: .pillow)
        plan.byteOperations = operations
        let mean: [Float] = [0.485, 0.456, 0.406]
        let deviation: [Float] = [0.229, 0.224, 0.225]
        return image(picture, plan).enumerated().map {
            UInt8(((($1 * deviation[$0 % 3]) + mean[$0 % 3]) * 255).rounded())
        }
    }

    /// Pictures of 1 to 48 pixels a side, 31 magnitudes, both directions: bit for bit.
    @Test func everyOperationIsPillows() throws {
        let cases: [OperationCase] = try loadFixture("operations")
        #expect(cases.count == 2 * 7 * 13)
        var wrong: [String: Int] = [:]
        var compared = 0
        for test in cases {
            let picture = formulaPicture(test.kind, columns: test.size, rows: test.size, seed: test.seed)
            let kind = try #require(OperationTests.names[test.operation])
            let policy = try #require(AugmentationSettings.AutoAugment(rawValue: test.policy))
            #expect(kind.isSigned == test.signed)
            for (index, expected) in test.checksums.enumerated() {
                let bin = test.signed ? index / 2 : index
                let operation = ByteOperation.operation(
                    kind, bin: bin, policy, size: test.size, negative: test.signed && index % 2 == 1)
                if checksum(bytes(picture, [try #require(operation)])) != expected {
                    wrong["\(test.policy) \(test.operation) \(test.kind) \(test.size)", default: 0] += 1
                }
                compared += 1
            }
            if let atNine = test.atNine {
                let operation = ByteOperation.operation(kind, bin: 9, policy, size: test.size, negative: false)
                let result = bytes(picture, [try #require(operation)])
                #expect(result == [UInt8](try #require(Data(base64Encoded: atNine))), "\(test.operation)")
            }
        }
        #expect(wrong.isEmpty, "\(wrong)")
        #expect(compared > 5000)
    }

    @Test func operationsFollowEachOther() {
        let picture = formulaPicture("photo", columns: 24, rows: 24, seed: 1)
        let operations: [ByteOperation] = [.rotate(20), .equalize, .shearRows(0.2), .sharpness(1.7), .posterize(5)]
        var stepped = picture
        for operation in operations {
            stepped = Picture(rows: 24, columns: 24, pixels: bytes(stepped, [operation]))
        }
        #expect(bytes(picture, operations) == stepped.pixels)
    }

    /// Every operation is drawn, about equally often; magnitudes are those of the policy.
    @Test func policiesDrawEveryOperation() {
        func name(_ operation: ByteOperation) -> Substring { "\(operation)".prefix { $0 != "(" } }
        for policy in [AugmentationSettings.AutoAugment.randaugment, .trivialaugment] {
            var settings = AugmentationSettings()
            settings.augment = .torchvision
            settings.autoAugment = policy
            let planner = AugmentationPlanner(settings: settings, imageSize: 299, seed: 3)
            var counts: [Substring: Int] = [:]
            var distinct: Set<ByteOperation> = []
            for ticket in 0..<7000 {
                let plan = planner.training(ticket: Ticket(UInt64(ticket)), index: 0, rows: 300, columns: 300)
                #expect(plan.byteOperations.count <= (policy == .randaugment ? 2 : 1))
                for operation in plan.byteOperations {
                    counts[name(operation), default: 0] += 1
                    distinct.insert(operation)
                }
            }
            let expected = policy == .randaugment ? 1000 : 500
            #expect(counts.count == 13)
            #expect(counts.values.allSatisfy { abs($0 - expected) < expected / 5 }, "\(counts)")
            // Nine operations go both ways at one magnitude; posterize and solarize have one, two have none.
            if policy == .randaugment { #expect(distinct.count == 9 * 2 + 4) }
        }
    }

    @Test func mixingIsTorchvisions() throws {
        let fixture = try PixelFixture.load()
        let pictures = fixture.mixInputs.images.map { $0.picture() }
        for test in fixture.mix {
            var images = pictures.flatMap { $0.pixels.map { Float($0) / 255 } }
            let mixing: BatchMixing
            if let box = test.box {
                let rectangle = PixelRectangle(
                    row: box[1], column: box[0], rows: box[3] - box[1], columns: box[2] - box[0])
                mixing = .cutmix(box: rectangle, share: test.share)
            } else {
                mixing = .mixup(share: test.share)
            }
            PictureTransform().mix(
                mixing, images: &images, batch: 4, rows: pictures[0].rows, columns: pictures[0].columns)
            #expect(same(images, test.images.floats), "\(test.kind) \(test.lam)")
        }
    }
}
