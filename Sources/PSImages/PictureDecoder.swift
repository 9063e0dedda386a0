// From the bytes of a file to a picture, whole or a part of it.

import CImageCodecs
import PSSamples

/// Reads pictures of all formats; keeps the libraries' working memory from one picture to the next.
///
/// Used by one thread at a time. Every result is a pure function of the bytes, the region and the settings.
package final class PictureDecoder {
    private let jpeg = JPEGReader()
    private let png = PNGReader()
    private let webp = WebPReader()
    /// A part as it is stored, before it is turned.
    private var stored = PixelScratch()

    package init() {}

    // MARK: Asking

    /// What the header of a picture says; no pixel is decoded.
    package func probe(
        _ bytes: UnsafeRawBufferPointer, _ settings: DecodeSettings = DecodeSettings()
    ) throws(ImageError) -> PictureInfo {
        let header = try open(bytes, settings).header
        let isTurned = settings.exifOrientation && header.orientation.swapsAxes
        return PictureInfo(
            format: header.format, rows: isTurned ? header.columns : header.rows,
            columns: isTurned ? header.rows : header.columns, orientation: header.orientation, isGrey: header.isGrey,
            hasAlpha: header.hasAlpha, bits: header.bits, isProgressive: header.isProgressive)
    }

    package func probe(
        _ bytes: [UInt8], _ settings: DecodeSettings = DecodeSettings()
    ) throws(ImageError) -> PictureInfo {
        try bytes.withUnsafeBufferPointer { (buffer) throws(ImageError) in
            try probe(UnsafeRawBufferPointer(buffer), settings)
        }
    }

    // MARK: Decoding

    /// Decodes a picture, or the part `region` of it.
    ///
    /// - Parameter region: in pixels of the picture as `probe` measures it with the same settings; nil is all of it.
    /// - Returns: the pixels that decoding all and cutting gives. With `.scaled` and a JPEG shrunk s times: rows
    ///   floor(row / s) up to ceil((row + rows) / s) of the smaller picture, and columns likewise, which may reach up
    ///   to s - 1 pixels further than the region does.
    /// - Throws: what is wrong with the bytes. Of a region's picture the data below the region are not decoded, so
    ///   damage there is not seen; that the file is cut off is.
    package func decode(
        _ bytes: UnsafeRawBufferPointer, region: PixelRectangle? = nil, _ settings: DecodeSettings = DecodeSettings()
    ) throws(ImageError) -> Picture {
        let reader = try open(bytes, settings)
        let header = reader.header
        let orientation = settings.exifOrientation ? header.orientation : .asStored
        let (rows, columns) =
            orientation.swapsAxes ? (header.columns, header.rows) : (header.rows, header.columns)
        let shown = region ?? PixelRectangle(row: 0, column: 0, rows: rows, columns: columns)
        guard shown.isInside(rows: rows, columns: columns) else {
            throw .outside(region: shown, rows: rows, columns: columns)
        }
        var part = orientation.stored(shown, rows: header.rows, columns: header.columns)
        let shrink = header.format == .jpeg ? PictureDecoder.shrink(shown, settings.resolution) : 1
        part = part.shrunk(shrink)
        let request = PartRequest(region: part, shrink: shrink, background: settings.background)
        if orientation == .asStored {
            return try picture(rows: part.rows, columns: part.columns) { (target) throws(ImageError) in
                try reader.decode(request, to: target)
            }
        }
        let count = part.rows * part.columns * Picture.channels
        guard let scratch = stored.reserve(count) else { throw .noMemory(format: header.format) }
        defer { stored.release(above: 64 << 20) }
        try reader.decode(request, to: scratch)
        return try picture(
            rows: orientation.swapsAxes ? part.columns : part.rows,
            columns: orientation.swapsAxes ? part.rows : part.columns
        ) { (target) throws(ImageError) in
            orientation.apply(scratch, rows: part.rows, columns: part.columns, to: target)
        }
    }

    package func decode(
        _ bytes: [UInt8], region: PixelRectangle? = nil, _ settings: DecodeSettings = DecodeSettings()
    ) throws(ImageError) -> Picture {
        try bytes.withUnsafeBufferPointer { (buffer) throws(ImageError) in
            try decode(UnsafeRawBufferPointer(buffer), region: region, settings)
        }
    }

    /// A reader that has read the header of `bytes` and found a size that the settings allow.
    private func open(
        _ bytes: UnsafeRawBufferPointer, _ settings: DecodeSettings
    ) throws(ImageError) -> any OpenedPicture {
        let opened: any OpenedPicture
        switch try ImageFormat.of(bytes) {
        case .jpeg: opened = try jpeg.open(bytes)
        case .png: opened = try png.open(bytes)
        case .webp: opened = try webp.open(bytes)
        case .portableAnymap: opened = try PortableAnymap(bytes)
        }
        let header = opened.header
        // Every format's sides are below 2^31: no overflow.
        guard header.rows * header.columns <= settings.maxPixels else {
            throw .tooLarge(rows: header.rows, columns: header.columns, maxPixels: settings.maxPixels)
        }
        return opened
    }

    /// How many times a JPEG's side is shrunk: the most that leaves the region the pixels that are wanted.
    private static func shrink(_ region: PixelRectangle, _ resolution: DecodeSettings.Resolution) -> Int {
        guard case .scaled(let rows, let columns) = resolution else { return 1 }
        return [8, 4, 2].first { region.rows / $0 >= max(rows, 1) && region.columns / $0 >= max(columns, 1) } ?? 1
    }

    /// A picture whose pixels `fill` writes, without writing zeros first.
    private func picture(
        rows: Int, columns: Int, _ fill: (UnsafeMutablePointer<UInt8>) throws(ImageError) -> Void
    ) throws(ImageError) -> Picture {
        let count = rows * columns * Picture.channels
        var failure: ImageError?
        let pixels = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(ImageError) {
                try fill(buffer.baseAddress!)
                initialized = count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return Picture(rows: rows, columns: columns, pixels: pixels)
    }
}

extension PixelRectangle {
    /// Whether it has pixels and all of them are in a picture of this size.
    fileprivate func isInside(rows: Int, columns: Int) -> Bool {
        self.rows > 0 && self.columns > 0 && row >= 0 && column >= 0 && self.rows <= rows && self.columns <= columns
            && row <= rows - self.rows && column <= columns - self.columns
    }

    /// The smallest part of the picture shrunk `times` times that has all of this one.
    fileprivate func shrunk(_ times: Int) -> PixelRectangle {
        let bottom = (row + rows + times - 1) / times
        let right = (column + columns + times - 1) / times
        return PixelRectangle(
            row: row / times, column: column / times, rows: bottom - row / times, columns: right - column / times)
    }
}
