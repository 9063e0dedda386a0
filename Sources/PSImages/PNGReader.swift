// PNG files: `codec_png` with Swift's errors.

import CImageCodecs

/// A PNG decoder with its working memory.
final class PNGReader {
    /// Nil if the system had no memory for it.
    private let decoder = codec_png_create()

    deinit { codec_png_destroy(decoder) }

    func open(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> Opened {
        guard let decoder else { throw .noMemory(format: .png) }
        var found = codec_png_header()
        try check(codec_png_open(decoder, bytes.baseAddress, bytes.count, &found), bytes)
        var header = StoredHeader(format: .png, rows: Int(found.rows), columns: Int(found.columns))
        header.isGrey = found.colour_type == 0 || found.colour_type == 4
        header.hasAlpha = found.colour_type >= 4 || found.has_key != 0
        header.bits = Int(found.bits)
        header.isProgressive = found.interlaced != 0
        let exif = bytes[found.exif_offset..<found.exif_offset + found.exif_length]
        header.orientation = Orientation(exif: UnsafeRawBufferPointer(rebasing: exif)) ?? .asStored
        return Opened(reader: self, header: header, bytes: bytes)
    }

    private func check(_ status: codec_status, _ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        let message = status == CODEC_OK ? "" : String(cString: codec_png_message(decoder))
        if let error = ImageError(status, message, .png, byteCount: bytes.count) { throw error }
    }

    struct Opened: OpenedPicture {
        let reader: PNGReader
        let header: StoredHeader
        let bytes: UnsafeRawBufferPointer

        func decode(_ request: PartRequest, to target: UnsafeMutablePointer<UInt8>) throws(ImageError) {
            try reader.check(
                codec_png_decode(reader.decoder, request.codecRegion, request.codecBackground, target), bytes)
        }
    }
}
