// Blocks of tiles and the matrices they become.

/// Channels rounded up to whole groups of sixteen lanes.
func lanes(_ channels: Int) -> Int { (channels + 15) / 16 * 16 }

/// The lines of tiles of a batch cut into blocks: pieces of one image, or several whole images.
struct TileBlocks: Sendable, Hashable {
    let lines: Int
    private let images: EvenCut
    private let piecesPerImage: Int

    /// - Parameter tiles: of a block, about; it has at least one line.
    init(batch: Int, lines: Int, columns: Int, tiles: Int) {
        self.lines = lines
        let perImage = lines * columns
        images = EvenCut(batch, atMost: max(1, (tiles + perImage / 2) / perImage))
        piecesPerImage = images.longest > 1 ? 1 : EvenCut(lines, pieces: max(1, (perImage + tiles / 2) / tiles)).pieces
    }

    var count: Int { images.pieces * piecesPerImage }

    /// The lines of one block, counted over the batch.
    subscript(_ block: Int) -> Range<Int> {
        let images = images[block / piecesPerImage]
        if images.count > 1 { return images.lowerBound * lines..<images.upperBound * lines }
        let piece = EvenCut(lines, pieces: piecesPerImage)[block % piecesPerImage]
        return images.lowerBound * lines + piece.lowerBound..<images.lowerBound * lines + piece.upperBound
    }

    /// Lines of the longest block.
    var longest: Int { images.longest > 1 ? images.longest * lines : EvenCut(lines, pieces: piecesPerImage).longest }
}

/// The layout of a block's V or M: a matrix for each product, its rows tiles, its columns channels.
struct TileMatrices {
    let products: Int
    /// Between rows: whole groups of lanes.
    let tileStride: Int
    /// Between matrices; sixteen floats more than they need, so that equal places of them meet in different cache sets.
    let productStride: Int

    init(products: Int, tiles: Int, channels: Int) {
        self.products = products
        tileStride = lanes(channels)
        productStride = tiles * tileStride + 16
    }

    var floats: Int { products * productStride }
}
