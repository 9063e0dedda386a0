// WebP files: `codec_webp` with Swift's errors. Animations are refused: which of their pictures is meant is unknown.

import CImageCodecs

/// A WebP decoder with its working memory.
final class WebPReader {
    private var scratch = codec_webp_scratch()

    deinit { codec_webp_release(&scratch) }

    func open(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> Opened {
        let layout = try WebPReader.layout(bytes)
        var found = codec_webp_header()
        // Bytes after the file belong to nothing.
        let file = UnsafeRawBufferPointer(rebasing: bytes[..<layout.end])
        try check(codec_webp_open(file.baseAddress, file.count, &found), bytes)
        if found.is_animation != 0 { throw .unsupported(format: .webp, feature: "an animation") }
        var header = StoredHeader(format: .webp, rows: Int(found.rows), columns: Int(found.columns))
        header.hasAlpha = found.has_alpha != 0
        let exif = UnsafeRawBufferPointer(rebasing: bytes[layout.exif])
        header.orientation = Orientation(exif: exif) ?? .asStored
        return Opened(reader: self, header: header, file: file, codecHeader: found)
    }

    /// Where the file ends and where its chunk EXIF is (empty if it has none).
    private static func layout(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> (end: Int, exif: Range<Int>) {
        func number(_ offset: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) } }
        let end = 8 + number(4)
        guard end >= 12 else { throw .damaged(format: .webp, problem: "its size is given as \(end) bytes") }
        guard end <= bytes.count else { throw .cutOff(format: .webp, byteCount: bytes.count) }
        var at = 12
        while at + 8 <= end {
            let size = number(at + 4)
            guard size <= end - at - 8 else { break }
            if bytes[at..<at + 4].elementsEqual("EXIF".utf8) { return (end, at + 8..<at + 8 + size) }
            // Chunks begin at even places.
            at += 8 + size + size % 2
        }
        return (end, 0..<0)
    }

    private func check(_ status: codec_status, _ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        let message = status == CODEC_UNSUPPORTED ? "a feature unknown to the library" : "its data make no sense"
        if let error = ImageError(status, message, .webp, byteCount: bytes.count) { throw error }
    }

    struct Opened: OpenedPicture {
        let reader: WebPReader
        let header: StoredHeader
        let file: UnsafeRawBufferPointer
        let codecHeader: codec_webp_header

        func decode(_ request: PartRequest, to target: UnsafeMutablePointer<UInt8>) throws(ImageError) {
            let status = withUnsafePointer(to: codecHeader) {
                codec_webp_decode(
                    file.baseAddress, file.count, $0, request.codecRegion, request.codecBackground, &reader.scratch,
                    target)
            }
            try reader.check(status, file)
        }
    }
}
