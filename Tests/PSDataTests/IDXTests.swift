// MNIST's file format: the real Fashion-MNIST where it is installed, and everything that can be wrong with such files.

import Glibc
import PSData
import TestSupport
import Testing

private let installed = DataSettings().path

@Test(.enabled(if: access(installed, F_OK) == 0, "dataset-fashion-mnist is not installed"))
func fashionMNIST() throws {
    for (split, perClass, firstLabels) in [
        (DataSplit.train, 6000, [9, 0, 0, 3, 0]), (.test, 1000, [9, 2, 1, 1, 6]),
    ] {
        let set = try DataSettings().open(split)
        #expect(set.count == 10 * perClass)
        var counts = [Int](repeating: 0, count: set.classNames.count)
        for sample in 0..<set.count { counts[set.label(of: sample)] += 1 }
        #expect(counts == [Int](repeating: perClass, count: 10))
        #expect((0..<5).map(set.label) == firstLabels)
        let image = try set.image(of: set.count - 1)
        #expect(image.rows == 28 && image.columns == 28 && image.channels == 1)
    }
    // The mean pixel of the training images, as their authors publish it: 0.2860 of 255.
    let set = try DataSettings().open(.train)
    var sum = 0
    for sample in 0..<set.count { sum += try set.image(of: sample).pixels.reduce(0) { $0 + Int($1) } }
    #expect(abs(Double(sum) / (60_000 * 784 * 255) - 0.2860) < 5e-5)
}

@Test func readsASmallSet() throws {
    let directory = soundSet()
    let set = try IDXImages(directory: directory.path, split: .test)
    #expect(set.count == 3 && set.rows == 2 && set.columns == 3)
    #expect((0..<3).map(set.label) == [9, 0, 4])
    #expect(Array(set.image(of: 1).pixels) == Array(6..<12))
}

private func problem(_ directory: TemporaryDirectory) -> String {
    do throws(DataError) {
        _ = try IDXImages(directory: directory.path, split: .test)
        return ""
    } catch { return error.description }
}

@Test func aMissingSetSaysHowToGetIt() {
    let error = #expect(throws: DataError.self) { try IDXImages(directory: "/nonexistent", split: .train) }
    #expect(
        error?.description
            == "/nonexistent/train-images-idx3-ubyte.gz is missing; install the data set with: "
            + "apt-get install dataset-fashion-mnist, or set data.path")
}

@Test(
    arguments: [
        (imageName, idx([3, 2], [UInt8](repeating: 0, count: 6)), "magic number is 0x802, not 0x803"),
        (imageName, idx([3, 2, 3], [UInt8](repeating: 0, count: 17)), "18 bytes, but 17 are there"),
        (imageName, idx([3, 0, 3], []), "impossible extents"),
        (imageName, idx([0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF], []), "impossible extents"),
        (imageName, [0, 0, 8], "3 bytes, fewer than the 16"),
        (imageName, [], "0 bytes"),
        (labelName, idx([2], [0, 1]), "2 labels for the 3 images"),
        (labelName, idx([3], [0, 10, 1]), "label 10 of sample 1 is out of range 0...9"),
    ] as [(String, [UInt8], String)])
func aWrongFileIsNamed(name: String, content: [UInt8], reason: String) {
    let directory = soundSet()
    directory.writeGzip(name, content)
    let problem = problem(directory)
    #expect(problem.hasPrefix("\(directory.path)/\(name): "), "\(problem)")
    #expect(problem.contains(reason), "\(problem)")
}

@Test func truncatedAndCorruptGzip() {
    let directory = soundSet()
    let sound = directory.read(imageName)
    #expect(problem(directory) == "")
    for length in 0..<sound.count {
        directory.write(imageName, Array(sound[..<length]))
        #expect(problem(directory).contains("truncated"), "\(length) bytes")
    }
    // A flipped bit is seen by the checksum, or it means nothing (a time in the header, padding) and changes nothing.
    for bit in 0..<sound.count * 8 {
        var bytes = sound
        bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        directory.write(imageName, bytes)
        do throws(DataError) {
            let set = try IDXImages(directory: directory.path, split: .test)
            #expect((0..<3).flatMap { set.image(of: $0).pixels } == Array(0..<18), "bit \(bit)")
        } catch {
            #expect(error.description.hasPrefix("\(directory.path)/\(imageName): "), "bit \(bit)")
        }
    }
    directory.write(imageName, Array("plain text".utf8))
    #expect(problem(directory).contains("not a sound gzip file"))
}
