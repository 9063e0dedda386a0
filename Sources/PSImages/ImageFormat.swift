// Which kind of picture bytes are, by their beginning: names of files are often wrong.

/// The formats that are read.
package enum ImageFormat: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    case jpeg = "JPEG"
    case png = "PNG"
    case webp = "WebP"
    case portableAnymap = "PNM"

    package var description: String { rawValue }

    /// The format of a picture that begins with `bytes`.
    ///
    /// - Throws: `.empty`, `.unknown`, or `.notRead`, which names what the bytes are.
    package static func of(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> ImageFormat {
        if bytes.isEmpty { throw .empty }
        let start = Beginning(bytes: bytes)
        if start.has([0xFF, 0xD8, 0xFF]) { return .jpeg }
        if start.has([0x89]) && start.has("PNG\r\n\u{1A}\n", at: 1) { return .png }
        if start.has("RIFF") && start.has("WEBP", at: 8) { return .webp }
        if start.has("P"), bytes.count > 1, [50, 51, 53, 54].contains(bytes[1]) { return .portableAnymap }
        if let kind = start.unreadKind { throw .notRead(kind: kind) }
        throw .unknown(beginning: Array(bytes.prefix(8)))
    }
}

/// The first bytes of a file.
private struct Beginning {
    let bytes: UnsafeRawBufferPointer

    func has(_ expected: [UInt8], at offset: Int = 0) -> Bool {
        bytes.count >= offset + expected.count && bytes.dropFirst(offset).starts(with: expected)
    }

    func has(_ text: String, at offset: Int = 0) -> Bool { has(Array(text.utf8), at: offset) }

    /// What the bytes are, with an article, if it is known and not read.
    var unreadKind: String? {
        if has("GIF8") { return "a GIF" }
        if has("BM") && bytes.count > 14 && has([0, 0, 0, 0], at: 6) { return "a BMP" }
        if has("II*\0") || has("MM\0*") || has("II+\0") || has("MM\0+") { return "a TIFF or a camera's raw file" }
        if has("ftyp", at: 4) { return isoKind }
        if has([0xFF, 0x0A]) || has([0, 0, 0, 12]) && has("JXL ", at: 4) { return "a JPEG XL" }
        if has([0xFF, 0x4F, 0xFF, 0x51]) || has([0, 0, 0, 12]) && has("jP  ", at: 4) { return "a JPEG 2000" }
        if has("8BPS") { return "a Photoshop file" }
        if has([0, 0, 1, 0]) { return "an icon" }
        if has("%PDF") { return "a PDF" }
        if has("%!PS") { return "PostScript" }
        if has("P1") || has("P4") || has("P7") || has("Pf") || has("PF") { return "a PBM, PAM or PFM" }
        if has("qoif") { return "a QOI" }
        if has("#?RADIANCE") { return "a Radiance picture" }
        if has([0x76, 0x2F, 0x31, 0x01]) { return "an OpenEXR" }
        if has([0x1F, 0x8B]) || has("PK\u{3}\u{4}") || has([0xFD]) && has("7zXZ", at: 1) || has("BZh") {
            return "compressed data or an archive"
        }
        if has("RIFF") { return "a sound or a film" }
        return textKind
    }

    private var isoKind: String {
        for brand in ["avif", "avis"] where has(brand, at: 8) { return "an AVIF" }
        for brand in ["heic", "heix", "heif", "hevc", "mif1", "msf1"] where has(brand, at: 8) { return "a HEIC" }
        return "a film"
    }

    /// Pages and drawings in text, and text itself: what servers send instead of a picture that is gone.
    private var textKind: String? {
        let head = bytes.prefix(512)
        let marks = head.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        guard head.dropFirst(marks).allSatisfy({ $0 >= 32 || (9...13).contains($0) }) else { return nil }
        let text = String(decoding: head.dropFirst(marks), as: UTF8.self).lowercased()
        if text.contains("<svg") { return "an SVG" }
        if text.contains("<!doctype html") || text.contains("<html") { return "a page of HTML" }
        if text.contains("<?xml") { return "XML" }
        if text.contains("git-lfs") { return "a Git LFS pointer instead of the file" }
        return bytes.count >= 16 ? "text" : nil
    }
}
