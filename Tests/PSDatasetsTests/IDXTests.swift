// MNIST's format in all its forms, CIFAR's, and everything that can be wrong with such files.

import Glibc
import PSDatasets
import TestSupport
import Testing

@testable import PSDatasets

private let images = "t10k-images-idx3-ubyte"
private let labels = "t10k-labels-idx1-ubyte"
private let installed = "/usr/share/datasets/fashion-mnist"

@Test(.enabled(if: access(installed, F_OK) == 0, "dataset-fashion-mnist is not installed"))
func fashionMNIST() throws {
    for (split, perClass, firstLabels) in [
        (DatasetSplit.train, 6000, [9, 0, 0, 3, 0]), (.test, 1000, [9, 2, 1, 1, 6]),
    ] {
        let set = try Dataset.open(DatasetSettings(path: installed), split)
        #expect(set.form == .idx && set.count == 10 * perClass && set.classNames.last == "Ankle boot")
        var counts = [Int](repeating: 0, count: set.classNames.count)
        for sample in 0..<set.count { counts[try set.label(of: sample)] += 1 }
        #expect(counts == [Int](repeating: perClass, count: 10))
        #expect(try (0..<5).map(set.label) == firstLabels)
    }
    // The mean pixel of the training images, as their authors publish it: 0.2860 of 255.
    let set = try Dataset.open(DatasetSettings(path: installed), .train)
    var sum = 0
    for sample in 0..<set.count {
        guard case .pixels(let pixels) = try set.read(sample) else { return }
        sum += pixels.bytes.reduce(0) { $0 + Int($1) }
    }
    #expect(abs(Double(sum) / (60_000 * 784 * 255) - 0.2860) < 5e-5)
}

@Test func gzippedOrNot() throws {
    let directory = smallIDX()
    let set = try Dataset.open(directory.settings(), .test)
    #expect(set.count == 3 && set.classNames == (0..<10).map { "\($0)" })
    #expect(try (0..<3).map(set.label) == [9, 0, 4])
    #expect(try set.place(of: 2) == "\(directory.path)/\(images).gz (2)")
    #expect(try set.name(of: 2) == "2" && set.byteCount(of: 2) == 6)
    #expect(try set.read(1) == .pixels(RawPixels(rows: 2, columns: 3, channels: 1, bytes: Array(6..<12))))
    let plain = TemporaryDirectory()
    for (prefix, split) in [("train", DatasetSplit.train), ("t10k", .test)] {
        // As torchvision unpacks it.
        plain.write("MNIST/raw/\(prefix)-images-idx3-ubyte", idx([3, 2, 3], Array(0..<18)))
        plain.write("MNIST/raw/\(prefix)-labels-idx1-ubyte", idx([3], [9, 0, 4]))
        _ = split
    }
    let unpacked = try Dataset.open(plain.settings(), .test)
    #expect(try transcript(unpacked) == transcript(set) && unpacked.digest == set.digest)
    // One pixel more or less is another set.
    plain.write("MNIST/raw/\(images)", idx([3, 2, 3], Array(0..<17) + [99]))
    #expect(try Dataset.open(plain.settings(), .test).digest != set.digest)
}

@Test func coloursAndNames() throws {
    let directory = TemporaryDirectory()
    directory.write("raw/train-images-idx4-ubyte", idx([2, 1, 2, 3], Array(0..<12)))
    directory.write("raw/train-labels-idx1-ubyte", idx([2], [0, 200]))
    let set = try Dataset.open(directory.settings(), .train)
    #expect(set.classNames.count == 201 && set.classNames[200] == "200")
    #expect(try set.read(1) == .pixels(RawPixels(rows: 1, columns: 2, channels: 3, bytes: Array(6..<12))))
    directory.write("raw/classes.txt", Array((0...200).map { "c\($0)\n" }.joined().utf8))
    #expect(try Dataset.open(directory.settings(), .train).classNames[7] == "c7")
    let fashion = TemporaryDirectory()
    fashion.write("My-FASHION/raw/train-images-idx3-ubyte", idx([1, 1, 1], [5]))
    fashion.write("My-FASHION/raw/train-labels-idx1-ubyte", idx([1], [9]))
    #expect(
        try Dataset.open(DatasetSettings(path: "\(fashion.path)/My-FASHION"), .train).classNames[0] == "T-shirt/top")
}

@Test(
    arguments: [
        (images, idx([3, 2], [UInt8](repeating: 0, count: 6)), "magic number is 0x802, not 0x803 or 0x804"),
        (images, idx([3, 2, 3], [UInt8](repeating: 0, count: 17)), "18 bytes, but 17 are there"),
        (images, idx([3, 0, 3], []), "impossible extents"),
        (images, idx([0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF], []), "impossible extents"),
        (images, idx([3, 2, 3, 4], [UInt8](repeating: 0, count: 72)), "has 4 bytes a pixel"),
        (images, [0, 0, 8], "3 bytes, fewer than the 4"),
        (images, [0, 0, 8, 3, 0, 0], "6 bytes, fewer than the 16"),
        (images, [], "0 bytes"),
        (labels, idx([2], [0, 1]), "2 labels for the 3 images"),
        (labels, idx([3], [0, 10, 1]), "label 10 of sample 1 is out of range 0...9"),
    ] as [(String, [UInt8], String)])
func aWrongIDXFileIsNamed(name: String, content: [UInt8], reason: String) {
    for isGzipped in [false, true] {
        let directory = smallIDX()
        unlink("\(directory.path)/\(name).gz")
        let ending = isGzipped ? ".gz" : ""
        directory.write(name + ending, isGzipped ? gzipped(content) : content)
        let text = problem(directory.settings(), .test)
        #expect(text.hasPrefix("\(directory.path)/\(name)\(ending): ") && text.contains(reason), "\(text)")
    }
}

@Test func aMissingFileSaysHowToGetIt() {
    let directory = smallIDX()
    unlink("\(directory.path)/\(labels).gz")
    #expect(
        problem(directory.settings(), .test)
            == "\(directory.path)/\(labels).gz is missing; install the data set with: apt-get install "
            + "dataset-fashion-mnist, or set the path of another")
}

/// Cut or with a flipped bit, a gzipped file is refused when it is opened or when its pictures are first read.
@Test func gzipDamage() throws {
    let directory = smallIDX()
    let path = "\(directory.path)/\(images).gz"
    let sound = readFile(path)
    let whole = try transcript(Dataset.open(directory.settings(), .test))
    func outcome() -> [String]? { try? transcript(Dataset.open(directory.settings(), .test)) }
    for length in stride(from: 0, to: sound.count, by: 2) {
        writeFile(path, Array(sound[..<length]))
        #expect(outcome() == nil, "\(length)")
    }
    for bit in stride(from: 1, to: sound.count * 8, by: 3) {
        var damaged = sound
        damaged[bit / 8] ^= 1 << UInt8(bit % 8)
        writeFile(path, damaged)
        // Bits of gzip's header such as the time carry nothing, nor do those that fill the last byte of the data.
        let found = outcome()
        #expect(found == nil || found == whole, "bit \(bit)")
        if bit >= 18 * 8 && bit < (sound.count - 9) * 8 || bit >= (sound.count - 8) * 8 {
            #expect(found == nil, "bit \(bit)")
        }
    }
}

@Suite struct CIFAR {
    @Test func ten() throws {
        let directory = smallCIFAR()
        let train = try Dataset.open(directory.settings(), .train)
        #expect(train.count == 10 && train.classNames == ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"])
        #expect(try (0..<10).map(train.label) == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0])
        guard case .pixels(let pixels) = try train.read(4) else { return }
        #expect(pixels.rows == 32 && pixels.columns == 32 && pixels.channels == 3)
        let planes = picture(3, 3072)
        for pixel in 0..<1024 {
            #expect((0..<3).allSatisfy { pixels.bytes[3 * pixel + $0] == planes[$0 * 1024 + pixel] })
        }
        let test = try Dataset.open(directory.settings(), .test)
        #expect(try test.count == 2 && test.label(of: 0) == 6)
        #expect(try train.place(of: 4) == "\(directory.path)/data_batch_3.bin (4)")
    }

    @Test func hundred() throws {
        let directory = TemporaryDirectory()
        for name in ["train", "test"] {
            directory.write("cifar-100-binary/\(name).bin", [5, 99] + picture(1, 3072) + [0, 3] + picture(2, 3072))
        }
        directory.write("cifar-100-binary/fine_label_names.txt", Array((0..<100).map { "n\($0)\n" }.joined().utf8))
        let set = try Dataset.open(directory.settings(), .test)
        #expect(try set.classNames.count == 100 && set.label(of: 0) == 99 && set.label(of: 1) == 3)
    }

    @Test func problems() {
        let directory = smallCIFAR()
        directory.write("data_batch_2.bin", [UInt8](repeating: 0, count: 3074))
        #expect(problem(directory.settings()).contains("data_batch_2.bin: has 3074 bytes, not a multiple of the 3073"))
        directory.write("data_batch_2.bin", [10] + picture(0, 3072))
        #expect(problem(directory.settings()).contains("label 10 of its picture 0 is out of range 0...9"))
        unlink("\(directory.path)/data_batch_2.bin")
        #expect(problem(directory.settings()).contains("data_batch_2.bin is missing; the set is not whole"))
        unlink("\(directory.path)/batches.meta.txt")
        #expect(problem(directory.settings(), .test).contains("batches.meta.txt is missing; it came with the set"))
    }
}
