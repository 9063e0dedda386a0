// Pillow's operations on the bytes of a picture, to the last bit.

#include "pixels_internal.h"

void ps_affine_nearest(
    uint8_t *out, const uint8_t *bytes, const int32_t at[6], size_t rows, size_t columns) {
    for (size_t y = 0; y < rows; y++) {
        // 64 bits: coordinates far outside must not wrap into the picture.
        int64_t across = at[2] + (int64_t)y * at[1];
        int64_t down = at[5] + (int64_t)y * at[4];
        for (size_t x = 0; x < columns; x++, across += at[0], down += at[3], out += 3) {
            const int64_t column = across >> 16, row = down >> 16;
            if (column >= 0 && column < (int64_t)columns && row >= 0 && row < (int64_t)rows) {
                memcpy(out, bytes + 3 * ((size_t)row * columns + (size_t)column), 3);
            } else {
                memset(out, 0, 3);
            }
        }
    }
}

static inline uint8_t blend(float base, float value, float factor) {
    const float mixed = base + factor * (value - base);
    return mixed <= 0 ? 0 : mixed >= 255 ? 255 : (uint8_t)mixed;
}

// ITU-R 601's weights in units of 2^-16.
static inline uint32_t grey(const uint8_t *pixel) {
    return (19595u * pixel[0] + 38470u * pixel[1] + 7471u * pixel[2] + 32768u) >> 16;
}

PS_CLONES
void ps_blend_with_level(uint8_t *bytes, float base, float factor, size_t count) {
    PS_INDEPENDENT
    for (size_t i = 0; i < count; i++) bytes[i] = blend(base, bytes[i], factor);
}

PS_CLONES
void ps_blend_with_grey(uint8_t *bytes, float factor, size_t pixels) {
    PS_INDEPENDENT
    for (size_t i = 0; i < pixels; i++) {
        uint8_t *pixel = bytes + 3 * i;
        const float base = (float)grey(pixel);
        pixel[0] = blend(base, pixel[0], factor);
        pixel[1] = blend(base, pixel[1], factor);
        pixel[2] = blend(base, pixel[2], factor);
    }
}

PS_CLONES
void ps_blend_with_smooth(uint8_t *out, const uint8_t *bytes, float factor, size_t rows, size_t columns) {
    const size_t stride = 3 * columns;
    memcpy(out, bytes, rows * stride);
    for (size_t y = 1; y + 1 < rows; y++) {
        const uint8_t *row = bytes + y * stride;
        PS_INDEPENDENT
        for (size_t i = 3; i < stride - 3; i++) {
            const uint8_t *above = row - stride, *below = row + stride;
            const int32_t sum = above[i - 3] + above[i] + above[i + 3] + row[i - 3] + 5 * row[i] + row[i + 3] +
                below[i - 3] + below[i] + below[i + 3];
            // Thirteenths, rounded; there are no halves.
            out[y * stride + i] = blend((float)((2 * sum + 13) / 26), row[i], factor);
        }
    }
}

PS_CLONES
uint64_t ps_grey_sum(const uint8_t *bytes, size_t pixels) {
    uint64_t sum = 0;
    for (size_t i = 0; i < pixels; i++) sum += grey(bytes + 3 * i);
    return sum;
}

void ps_histograms(uint32_t counts[768], const uint8_t *bytes, size_t pixels) {
    for (size_t i = 0; i < pixels; i++) {
        counts[bytes[3 * i]]++;
        counts[256 + bytes[3 * i + 1]]++;
        counts[512 + bytes[3 * i + 2]]++;
    }
}

void ps_look_up(uint8_t *bytes, const uint8_t table[768], size_t pixels) {
    for (size_t i = 0; i < pixels; i++) {
        bytes[3 * i] = table[bytes[3 * i]];
        bytes[3 * i + 1] = table[256 + bytes[3 * i + 1]];
        bytes[3 * i + 2] = table[512 + bytes[3 * i + 2]];
    }
}
