// Loops over pixels of three bytes: alpha, orientation.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// What becomes of alpha.
typedef struct {
    /// 0: alpha is ignored; anything else: the picture is laid over the colour.
    int blend;
    uint8_t colour[3];
} codec_background;

/// to[i] = round((from[i] * alpha + colour * (255 - alpha)) / 255) of `pixels` pixels RGBA; `to` may be `from`.
void codec_flatten(uint8_t *to, const uint8_t *from, size_t pixels, codec_background background);

/// `from`, rows x columns x 3, as EXIF orientation 1...8 wants it shown: columns x rows x 3 from 5 on.
void codec_orient(uint8_t *to, const uint8_t *from, size_t rows, size_t columns, int orientation);
