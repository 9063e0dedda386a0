// Decoding of WebP by libwebp.
#include "codec_webp.h"
#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>

/// How far around a region pixels are decoded with it: chroma is interpolated from neighbours.
enum { MARGIN = 16 };
/// Working memory above this is given back after a picture.
static const size_t MOST_KEPT = (size_t)64 << 20;

static codec_status status_of(VP8StatusCode code) {
    switch (code) {
    case VP8_STATUS_OK: return CODEC_OK;
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED: return CODEC_CUT_OFF;
    case VP8_STATUS_OUT_OF_MEMORY: return CODEC_MEMORY;
    case VP8_STATUS_UNSUPPORTED_FEATURE: return CODEC_UNSUPPORTED;
    default: return CODEC_DAMAGED;
    }
}

codec_status codec_webp_open(const uint8_t *bytes, size_t count, codec_webp_header *header) {
    WebPBitstreamFeatures features;
    const VP8StatusCode code = WebPGetFeatures(bytes, count, &features);
    if (code != VP8_STATUS_OK) return status_of(code);
    if (features.width <= 0 || features.height <= 0) return CODEC_DAMAGED;
    header->rows = (uint32_t)features.height;
    header->columns = (uint32_t)features.width;
    header->has_alpha = features.has_alpha;
    header->is_animation = features.has_animation;
    return CODEC_OK;
}

void codec_webp_release(codec_webp_scratch *scratch) {
    free(scratch->pixels);
    scratch->pixels = NULL;
    scratch->size = 0;
}

static int reserve(codec_webp_scratch *scratch, size_t size) {
    if (size <= scratch->size) return 1;
    free(scratch->pixels);
    scratch->pixels = malloc(size);
    scratch->size = scratch->pixels ? size : 0;
    return scratch->pixels != NULL;
}

/// The region with its margin. It begins at even places: libwebp cuts at pairs of pixels.
static codec_region widened(codec_region region, const codec_webp_header *header) {
    const uint32_t bottom = region.row + region.rows, right = region.column + region.columns;
    codec_region wide;
    wide.row = region.row > MARGIN ? (region.row - MARGIN) & ~UINT32_C(1) : 0;
    wide.column = region.column > MARGIN ? (region.column - MARGIN) & ~UINT32_C(1) : 0;
    wide.rows = (header->rows - bottom > MARGIN ? bottom + MARGIN : header->rows) - wide.row;
    wide.columns = (header->columns - right > MARGIN ? right + MARGIN : header->columns) - wide.column;
    return wide;
}

static VP8StatusCode decode(const uint8_t *bytes, size_t count, codec_region region, int is_whole, int channels,
                            uint8_t *to, size_t size) {
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) return VP8_STATUS_INVALID_PARAM;
    if (!is_whole) {
        config.options.use_cropping = 1;
        config.options.crop_left = (int)region.column;
        config.options.crop_top = (int)region.row;
        config.options.crop_width = (int)region.columns;
        config.options.crop_height = (int)region.rows;
    }
    config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = to;
    config.output.u.RGBA.stride = (int)region.columns * channels;
    config.output.u.RGBA.size = size;
    return WebPDecode(bytes, count, &config);
}

codec_status codec_webp_decode(const uint8_t *bytes, size_t count, const codec_webp_header *header,
                               codec_region region, codec_background background, codec_webp_scratch *scratch,
                               uint8_t *to) {
    if (header->rows < region.row + region.rows || header->columns < region.column + region.columns)
        return CODEC_DAMAGED;
    const int channels = header->has_alpha && background.blend ? 4 : 3;
    const codec_region wide = widened(region, header);
    const int is_whole = wide.rows == header->rows && wide.columns == header->columns;
    const size_t row_size = (size_t)wide.columns * (size_t)channels, size = row_size * wide.rows;
    if (channels == 3 && region.rows == wide.rows && region.columns == wide.columns)
        return status_of(decode(bytes, count, wide, is_whole, channels, to, size));
    if (!reserve(scratch, size)) return CODEC_MEMORY;
    const codec_status status = status_of(decode(bytes, count, wide, is_whole, channels, scratch->pixels, size));
    if (status == CODEC_OK) {
        const uint8_t *from = scratch->pixels + (region.row - wide.row) * row_size
                              + (size_t)(region.column - wide.column) * (size_t)channels;
        for (uint32_t row = 0; row < region.rows; row++, from += row_size) {
            uint8_t *target = to + (size_t)row * region.columns * 3;
            if (channels == 4) codec_flatten(target, from, region.columns, background);
            else memcpy(target, from, (size_t)region.columns * 3);
        }
    }
    if (scratch->size > MOST_KEPT) codec_webp_release(scratch);
    return status;
}
