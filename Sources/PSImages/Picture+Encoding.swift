// Pictures as files: contact sheets, sets made by formula.

import CImageCodecs
import Glibc

/// How a JPEG is written.
package struct JPEGOptions: Sendable, Hashable {
    /// 1...100.
    package var quality = 90
    /// How much finer luma is sampled than chroma, across and down, each 1, 2 or 4; 2 and 2 is 4:2:0.
    package var across = 2
    package var down = 2
    package var isProgressive = false
    /// Arithmetic instead of Huffman codes.
    package var isArithmetic = false
    /// Units of blocks between restart markers; 0 is none.
    package var restartInterval = 0

    package init() {}
}

extension Picture {
    /// A PNG of 8-bit RGB.
    package func png() throws(ImageError) -> [UInt8] {
        try encoded(.png) { codec_png_encode($0, UInt32(rows), UInt32(columns), &$1) }
    }

    /// A baseline JPEG, 4:2:0.
    package func jpeg(quality: Int) throws(ImageError) -> [UInt8] {
        var options = JPEGOptions()
        options.quality = quality
        return try jpeg(options)
    }

    package func jpeg(_ options: JPEGOptions) throws(ImageError) -> [UInt8] {
        precondition(rows <= 65500 && columns <= 65500, "a JPEG has at most 65500 rows and columns")
        precondition((1...100).contains(options.quality), "qualities are 1...100")
        let chosen = codec_jpeg_options(
            quality: Int32(options.quality), across: Int32(options.across), down: Int32(options.down),
            progressive: options.isProgressive ? 1 : 0, arithmetic: options.isArithmetic ? 1 : 0,
            restart_interval: UInt32(options.restartInterval))
        return try encoded(.jpeg) {
            codec_jpeg_encode($0, UInt32(rows), UInt32(columns), Int32(Picture.channels), chosen, &$1)
        }
    }

    /// The bytes that an encoder leaves in memory of malloc.
    private func encoded(
        _ format: ImageFormat, _ encode: (UnsafePointer<UInt8>, inout Int) -> UnsafeMutablePointer<UInt8>?
    ) throws(ImageError) -> [UInt8] {
        try pixels.withUnsafeBufferPointer { (buffer) throws(ImageError) in
            var count = 0
            // Pixels of a `Picture` are sound: only memory can be missing.
            guard let bytes = encode(buffer.baseAddress!, &count) else { throw .noMemory(format: format) }
            defer { free(bytes) }
            return Array(UnsafeBufferPointer(start: bytes, count: count))
        }
    }
}
