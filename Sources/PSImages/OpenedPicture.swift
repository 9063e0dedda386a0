// What every format's reader does for `PictureDecoder`.

import CImageCodecs
import Glibc
import PSSamples

/// What a header says of a picture as it is stored.
struct StoredHeader {
    let format: ImageFormat
    let rows: Int
    let columns: Int
    var orientation = Orientation.asStored
    var isGrey = false
    var hasAlpha = false
    var bits = 8
    var isProgressive = false
}

/// A part of a stored picture.
struct PartRequest {
    /// In pixels of the stored picture shrunk `shrink` times, and inside it.
    let region: PixelRectangle
    let shrink: Int
    let background: DecodeSettings.Background
}

/// A picture whose header was read. It is used while the bytes it was opened with are there, and before its reader
/// opens another.
protocol OpenedPicture {
    var header: StoredHeader { get }

    /// Writes the region's rows x columns x 3 bytes.
    func decode(_ request: PartRequest, to target: UnsafeMutablePointer<UInt8>) throws(ImageError)
}

extension PartRequest {
    /// Checked numbers: all are in a picture whose sides are below 2^31.
    var codecRegion: codec_region {
        codec_region(
            row: UInt32(region.row), column: UInt32(region.column), rows: UInt32(region.rows),
            columns: UInt32(region.columns))
    }

    var codecBackground: codec_background {
        switch background {
        case .colour(let red, let green, let blue): codec_background(blend: 1, colour: (red, green, blue))
        case .ignoringAlpha: codec_background(blend: 0, colour: (0, 0, 0))
        }
    }
}

extension ImageError {
    /// What a status of the C side means; nil if all is well. `message` is empty where the status says all.
    init?(_ status: codec_status, _ message: String, _ format: ImageFormat, byteCount: Int) {
        switch status {
        case CODEC_OK: return nil
        case CODEC_CUT_OFF: self = .cutOff(format: format, byteCount: byteCount)
        case CODEC_UNSUPPORTED: self = .unsupported(format: format, feature: message)
        case CODEC_MEMORY: self = .noMemory(format: format)
        default: self = .damaged(format: format, problem: message)
        }
    }
}

/// Memory that is kept from one picture to the next.
struct PixelScratch: ~Copyable {
    private var memory: UnsafeMutablePointer<UInt8>?
    private var size = 0

    /// At least `count` bytes with any content, or nil if the system has none.
    mutating func reserve(_ count: Int) -> UnsafeMutablePointer<UInt8>? {
        if count > size {
            free(memory)
            memory = malloc(count)?.assumingMemoryBound(to: UInt8.self)
            size = memory == nil ? 0 : count
        }
        return memory
    }

    /// Gives the memory back if it is larger than `count` bytes.
    mutating func release(above count: Int) {
        guard size > count else { return }
        free(memory)
        (memory, size) = (nil, 0)
    }

    deinit { free(memory) }
}
