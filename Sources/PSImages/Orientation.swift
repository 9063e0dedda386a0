// The eight ways in which cameras store pictures, and where a part of the turned picture is in the stored one.

import CImageCodecs
import PSSamples

/// EXIF's orientation: what has to be done with a stored picture to show it.
package enum Orientation: Int, Sendable, Hashable, CaseIterable {
    case asStored = 1
    case mirrored = 2
    case turnedHalf = 3
    case upsideDownMirrored = 4
    /// Rows become columns.
    case transposed = 5
    /// A quarter clockwise.
    case turnedRight = 6
    /// Rows become columns from the far corner on.
    case transposedAcross = 7
    /// A quarter counterclockwise.
    case turnedLeft = 8

    /// Whether stored rows are shown as columns.
    package var swapsAxes: Bool { rawValue >= 5 }

    /// The part of the stored picture, `rows` x `columns`, that is shown as `region`.
    package func stored(_ region: PixelRectangle, rows: Int, columns: Int) -> PixelRectangle {
        var part = region
        if swapsAxes {
            part = PixelRectangle(
                row: region.column, column: region.row, rows: region.columns, columns: region.rows)
        }
        if [.turnedHalf, .upsideDownMirrored, .turnedRight, .transposedAcross].contains(self) {
            part.row = rows - part.row - part.rows
        }
        if [.mirrored, .turnedHalf, .transposedAcross, .turnedLeft].contains(self) {
            part.column = columns - part.column - part.columns
        }
        return part
    }
}

// MARK: EXIF

extension Orientation {
    /// The orientation that EXIF data, from their TIFF header or from "Exif\0\0" on, give.
    ///
    /// Nothing in them is trusted: where an offset leads out of them or a count or a type makes no sense, there is none.
    init?(exif: UnsafeRawBufferPointer) {
        guard let found = Orientation.read(exif) else { return nil }
        self = found
    }

    private static func read(_ exif: UnsafeRawBufferPointer) -> Orientation? {
        var block = exif
        if block.starts(with: Array("Exif\0\0".utf8)) { block = UnsafeRawBufferPointer(rebasing: block.dropFirst(6)) }
        let isLittle: Bool
        if block.starts(with: Array("II*\0".utf8)) {
            isLittle = true
        } else if block.starts(with: Array("MM\0*".utf8)) {
            isLittle = false
        } else {
            return nil
        }
        func number(_ offset: Int, _ size: Int) -> Int? {
            guard offset >= 0, offset <= block.count - size else { return nil }
            return (0..<size).reduce(0) { $0 << 8 | Int(block[offset + (isLittle ? size - 1 - $1 : $1)]) }
        }
        guard let directory = number(4, 4), let count = number(directory, 2) else { return nil }
        // Whole numbers, signed or not, as in Pillow; but not bytes (type 1), which are text to it.
        let tag = 0x0112
        let sizes = [3: 2, 4: 4, 6: 1, 8: 2, 9: 4]
        for entry in 0..<count {
            let at = directory + 2 + 12 * entry
            guard let found = number(at, 2) else { return nil }
            guard found == tag else { continue }
            // Of several values the first counts, if all are in the entry itself.
            guard let type = number(at + 2, 2), let size = sizes[type], let values = number(at + 4, 4),
                (1...4 / size).contains(values), let value = number(at + 8, size)
            else { return nil }
            return Orientation(rawValue: value) ?? .asStored
        }
        return nil
    }

    /// The orientation that XMP data give, or nil: the digit after the first `tiff:Orientation`, as an attribute or
    /// as an element.
    init?(xmp: UnsafeRawBufferPointer) {
        let name = Array("tiff:Orientation".utf8)
        var at = 0
        while at + name.count < xmp.count {
            defer { at += 1 }
            guard xmp[at] == name[0], xmp[at..<at + name.count].elementsEqual(name) else { continue }
            let rest = xmp[(at + name.count)...]
            let digit = rest.starts(with: [0x3D, 0x22]) ? rest.dropFirst(2).first : rest.dropFirst(1).first
            guard rest.starts(with: [0x3D, 0x22]) || rest.first == 0x3E, let digit, (48...57).contains(digit) else {
                continue
            }
            self.init(rawValue: Int(digit) - 48)
            return
        }
        return nil
    }
}

// MARK: Pixels

extension Orientation {
    /// Turns `rows` x `columns` x 3 bytes.
    func apply(
        _ stored: UnsafePointer<UInt8>, rows: Int, columns: Int, to shown: UnsafeMutablePointer<UInt8>
    ) {
        codec_orient(shown, stored, rows, columns, Int32(rawValue))
    }
}
