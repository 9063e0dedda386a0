// Loops over pixels of three bytes: alpha, orientation.
#include "codec_pixels.h"
#include <string.h>

void codec_flatten(uint8_t *to, const uint8_t *from, size_t pixels, codec_background background) {
    if (!background.blend) {
        for (size_t p = 0; p < pixels; p++)
            for (int c = 0; c < 3; c++) to[3 * p + c] = from[4 * p + c];
        return;
    }
    for (size_t p = 0; p < pixels; p++) {
        const uint32_t alpha = from[4 * p + 3];
        for (int c = 0; c < 3; c++) {
            // v / 255 rounded to nearest, exactly, for every v up to 255 * 255.
            const uint32_t v = from[4 * p + c] * alpha + background.colour[c] * (255 - alpha) + 128;
            to[3 * p + c] = (uint8_t)((v + (v >> 8)) >> 8);
        }
    }
}

void codec_orient(uint8_t *to, const uint8_t *from, size_t rows, size_t columns, int orientation) {
    // Where pixel (0, 0) goes, and how far apart neighbours of a row and of a column are in `to`.
    const int transposed = orientation >= 5;
    const ptrdiff_t across = transposed ? (ptrdiff_t)rows : 1, down = transposed ? 1 : (ptrdiff_t)columns;
    const int mirrored_across = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const int mirrored_down = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const ptrdiff_t step_across = mirrored_across ? -across : across, step_down = mirrored_down ? -down : down;
    const ptrdiff_t first = (mirrored_across ? across * (ptrdiff_t)(columns - 1) : 0)
                            + (mirrored_down ? down * (ptrdiff_t)(rows - 1) : 0);
    for (size_t y = 0; y < rows; y++) {
        uint8_t *target = to + 3 * (first + step_down * (ptrdiff_t)y);
        const uint8_t *source = from + 3 * y * columns;
        for (size_t x = 0; x < columns; x++, source += 3) memcpy(target + 3 * step_across * (ptrdiff_t)x, source, 3);
    }
}
