// Encoding of PNG by libspng, for contact sheets and tests.
#include "codec_png.h"
#include <spng.h>

uint8_t *codec_png_encode(const uint8_t *pixels, uint32_t rows, uint32_t columns, size_t *count) {
    spng_ctx *library = spng_ctx_new(SPNG_CTX_ENCODER);
    if (!library) return NULL;
    struct spng_ihdr header = {
        .width = columns, .height = rows, .bit_depth = 8, .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    uint8_t *bytes = NULL;
    int code = 0;
    if (!spng_set_option(library, SPNG_ENCODE_TO_BUFFER, 1) && !spng_set_ihdr(library, &header)
        && !spng_encode_image(library, pixels, (size_t)rows * columns * 3, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE))
        bytes = spng_get_png_buffer(library, count, &code);
    spng_ctx_free(library);
    return bytes;
}
