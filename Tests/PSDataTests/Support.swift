// What the tests of this target share: gzipped IDX files, a set made of formulas.

import CZlib
import FoundationEssentials
import Glibc
import PSData
import TestSupport

extension TemporaryDirectory {
    func writeGzip(_ name: String, _ bytes: [UInt8]) {
        let file = gzopen("\(path)/\(name)", "wb")
        gzwrite(file, bytes, UInt32(bytes.count))
        gzclose(file)
    }

    func write(_ name: String, _ bytes: [UInt8]) {
        let file = fopen("\(path)/\(name)", "w")!
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }

    func read(_ name: String) -> [UInt8] {
        let file = fopen("\(path)/\(name)", "r")!
        defer { fclose(file) }
        var bytes: [UInt8] = []
        while case let byte = fgetc(file), byte != EOF { bytes.append(UInt8(byte)) }
        return bytes
    }
}

let imageName = "t10k-images-idx3-ubyte.gz"
let labelName = "t10k-labels-idx1-ubyte.gz"

func idx(_ shape: [Int], _ elements: [UInt8]) -> [UInt8] {
    [0, 0, 8, UInt8(shape.count)]
        + shape.flatMap { [UInt8($0 >> 24 & 255), UInt8($0 >> 16 & 255), UInt8($0 >> 8 & 255), UInt8($0 & 255)] }
        + elements
}

/// A sound test split: three images of 2 x 3 pixels.
func soundSet() -> TemporaryDirectory {
    let directory = TemporaryDirectory()
    directory.writeGzip(imageName, idx([3, 2, 3], Array(0..<18)))
    directory.writeGzip(labelName, idx([3], [9, 0, 4]))
    return directory
}

/// Images whose pixels are all different from their neighbours' and from other images'.
struct FormulaSource: ImageSource {
    var count = 10
    var rows = 6
    var columns = 6
    var channels = 1
    let classNames = ["even", "odd"]

    func label(of sample: Int) -> Int { sample % 2 }

    func image(of sample: Int) -> PixelImage {
        let size = rows * columns * channels
        return PixelImage(
            rows: rows, columns: columns, channels: channels,
            pixels: (0..<size).map { UInt8(1 + (sample * 37 + $0 * 5) % 255) }[...])
    }
}
