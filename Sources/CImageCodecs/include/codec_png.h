// PNG by libspng.
#pragma once
#include "codec_pixels.h"
#include "codec_status.h"
#include <stddef.h>

/// A decoder with its working memory; used by one thread at a time.
typedef struct codec_png codec_png;

typedef struct {
    uint32_t rows, columns;
    int bits;
    /// 0 grey, 2 colour, 3 palette, 4 grey with alpha, 6 colour with alpha.
    int colour_type;
    int interlaced;
    /// Transparent entries of the palette, or one transparent colour.
    int has_key;
    /// Where the content of the chunk eXIf is; length 0 if there is none.
    size_t exif_offset, exif_length;
} codec_png_header;

/// NULL without memory.
codec_png *codec_png_create(void);
void codec_png_destroy(codec_png *decoder);

/// Walks over all chunks without reading what is in them. `bytes` must stay until the decoding is done.
codec_status codec_png_open(codec_png *decoder, const uint8_t *bytes, size_t count, codec_png_header *header);

/// Decodes a region of the picture opened last to region.rows x region.columns x 3 bytes. Of 16 bits the high byte is
/// taken; transparency is laid over the background or ignored.
codec_status codec_png_decode(codec_png *decoder, codec_region region, codec_background background, uint8_t *to);

/// What was wrong, after a status that is not CODEC_OK.
const char *codec_png_message(const codec_png *decoder);

/// A PNG of rows x columns x 3 bytes in memory of malloc; NULL if it cannot be made.
uint8_t *codec_png_encode(const uint8_t *pixels, uint32_t rows, uint32_t columns, size_t *count);
