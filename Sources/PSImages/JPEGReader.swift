// JPEG files: `codec_jpeg` with Swift's errors, and where the orientation comes from.

import CImageCodecs

/// A JPEG decoder with its working memory.
final class JPEGReader {
    /// Nil if the system had no memory for it.
    private let decoder = codec_jpeg_create()

    deinit { codec_jpeg_destroy(decoder) }

    func open(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> Opened {
        guard let decoder else { throw .noMemory(format: .jpeg) }
        var found = codec_jpeg_header()
        try check(codec_jpeg_open(decoder, bytes.baseAddress, bytes.count, &found), bytes)
        var header = StoredHeader(format: .jpeg, rows: Int(found.rows), columns: Int(found.columns))
        header.isGrey = found.components == 1
        header.isProgressive = found.progressive != 0
        header.orientation = JPEGReader.orientation(found, bytes)
        return Opened(reader: self, header: header, bytes: bytes)
    }

    /// EXIF's orientation, and as in Pillow XMP's where EXIF has none.
    private static func orientation(_ header: codec_jpeg_header, _ bytes: UnsafeRawBufferPointer) -> Orientation {
        func part(_ offset: Int, _ length: Int) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length])
        }
        return Orientation(exif: part(header.exif_offset, header.exif_length))
            ?? Orientation(xmp: part(header.xmp_offset, header.xmp_length)) ?? .asStored
    }

    private func check(_ status: codec_status, _ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        let message = status == CODEC_OK ? "" : String(cString: codec_jpeg_message(decoder))
        if let error = ImageError(status, message, .jpeg, byteCount: bytes.count) { throw error }
    }

    struct Opened: OpenedPicture {
        let reader: JPEGReader
        let header: StoredHeader
        let bytes: UnsafeRawBufferPointer

        func decode(_ request: PartRequest, to target: UnsafeMutablePointer<UInt8>) throws(ImageError) {
            try reader.check(
                codec_jpeg_decode(reader.decoder, request.codecRegion, UInt32(request.shrink), target), bytes)
        }
    }
}
