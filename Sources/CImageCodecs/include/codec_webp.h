// WebP by libwebp.
#pragma once
#include "codec_pixels.h"
#include "codec_status.h"
#include <stddef.h>

/// The working memory of a decoder; used by one thread at a time. All zero at first.
typedef struct {
    uint8_t *pixels;
    size_t size;
} codec_webp_scratch;

typedef struct {
    uint32_t rows, columns;
    int has_alpha, is_animation;
} codec_webp_header;

codec_status codec_webp_open(const uint8_t *bytes, size_t count, codec_webp_header *header);

/// Decodes a region to region.rows x region.columns x 3 bytes, the same that decoding the whole gives there.
codec_status codec_webp_decode(const uint8_t *bytes, size_t count, const codec_webp_header *header,
                               codec_region region, codec_background background, codec_webp_scratch *scratch,
                               uint8_t *to);

void codec_webp_release(codec_webp_scratch *scratch);
