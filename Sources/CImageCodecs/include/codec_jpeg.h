// JPEG by libjpeg-turbo.
#pragma once
#include "codec_status.h"
#include <stddef.h>

/// A decoder with its working memory; used by one thread at a time.
typedef struct codec_jpeg codec_jpeg;

typedef struct {
    uint32_t rows, columns;
    /// 1 grey, 3 YCbCr or RGB, 4 CMYK or YCCK.
    int components;
    int progressive;
    /// Where the content of the first EXIF segment is, from its "Exif\0\0" on; length 0 if there is none.
    size_t exif_offset, exif_length;
    /// The same of the first segment of XMP, from its name on.
    size_t xmp_offset, xmp_length;
} codec_jpeg_header;

/// NULL without memory.
codec_jpeg *codec_jpeg_create(void);
void codec_jpeg_destroy(codec_jpeg *decoder);

/// Reads all up to the first scan. `bytes` must stay until the decoding is done.
codec_status codec_jpeg_open(codec_jpeg *decoder, const uint8_t *bytes, size_t count, codec_jpeg_header *header);

/// Decodes a region of the picture opened last; once per opening.
///
/// `region` is in pixels of the picture shrunk by `shrink` (1, 2, 4, 8): ceil(rows / shrink) x ceil(columns / shrink).
/// `to` takes region.rows x region.columns x 3 bytes, the same that decoding the whole gives there.
codec_status codec_jpeg_decode(codec_jpeg *decoder, codec_region region, uint32_t shrink, uint8_t *to);

/// What was wrong, after a status that is not CODEC_OK.
const char *codec_jpeg_message(const codec_jpeg *decoder);

typedef struct {
    /// 1...100.
    int quality;
    /// How much finer luma is sampled than chroma: 1, 2 or 4 across and down; 2 and 2 is 4:2:0.
    int across, down;
    int progressive;
    int arithmetic;
    /// MCUs between restart markers; 0 is none.
    uint32_t restart_interval;
} codec_jpeg_options;

/// A JPEG of rows x columns x 3 bytes (or x 1, if `components` is 1) in memory of malloc; NULL if it cannot be made.
uint8_t *codec_jpeg_encode(const uint8_t *pixels, uint32_t rows, uint32_t columns, int components,
                           codec_jpeg_options options, size_t *count);
