// Winograd's transforms of feature maps and weights. Maps are NHWC float32 as in engine.h; a tile is what one pair of
// one-dimensional schemes (vertical, horizontal; winograd_transforms.h) reads and writes at once. Tiles are numbered
// row by row, image after image; a "line" is one row of tiles of one image.
//
// Transformed maps are matrices, one for each product of the pair (vertical product outermost): row = tile, column =
// channel. The functions get the distance of two such matrices (`product_stride`) and of two rows (`tile_stride`, a
// multiple of 16 no smaller than the channels; the lanes past the last channel are written, and mean nothing).
#pragma once
#include <stddef.h>
#include <stdint.h>

/// The sizes of one convolution, and the lines and columns of tiles of one image.
typedef struct {
    int input_height, input_width;
    int output_height, output_width;
    int padding_height, padding_width;
    int lines, columns;
} winograd_map;

/// Batch norm's backward, done where a gradient is read: with d the gradient where x * scale + shift > floor and else
/// 0,
/// the value is scale * d + slope * (x - mean) + offset. x is a map of the same pixels; the others are per channel.
typedef struct {
    const float *x;
    ptrdiff_t x_stride;
    const float *scale, *shift, *mean, *slope, *offset;
    float floor;
} winograd_gradient_norm;

/// One axis of a scheme; see winograd_transforms.h.
typedef struct {
    int extent, step, products, outputs, taps, weights, stride;
    /// The weight each product takes; `products` values.
    const uint8_t *slots;
} winograd_axis;

/// One pair of schemes and what it does. All functions overwrite unless they say otherwise.
typedef struct {
    winograd_axis vertical, horizontal;

    /// Products of the tiles of `lines` lines from `first_line`: of the map's values max(x * scale + shift, floor) per
    /// channel, or of the values as they are if `scale` is NULL; of zeros outside the map.
    void (*input)(const winograd_map *map, const float *x, ptrdiff_t x_stride, int channels, const float *scale,
                  const float *shift, float floor, size_t first_line, size_t lines, float *v, ptrdiff_t product_stride,
                  ptrdiff_t tile_stride);

    /// The outputs of those tiles from the weighted products; unless `bias` is NULL, max(y + bias, floor) of them.
    void (*output)(const winograd_map *map, float *y, ptrdiff_t y_stride, int channels, const float *bias,
                   float floor, size_t first_line, size_t lines, const float *m, ptrdiff_t product_stride, ptrdiff_t tile_stride);

    /// Adjoint of `output`: the gradient of the weighted products from that of the outputs, which is read through
    /// `norm` unless that is NULL.
    void (*output_gradient)(const winograd_map *map, const float *y, ptrdiff_t y_stride, int channels,
                            const winograd_gradient_norm *norm, size_t first_line, size_t lines, float *m,
                            ptrdiff_t product_stride, ptrdiff_t tile_stride);

    /// Adjoint of `input`, without its norm. Tiles overlap: a value is overwritten by the first tile that covers it and
    /// added to by the others, so an image's lines must come in order; it is always added to if `accumulate`. Pixels
    /// that no tile covers are left alone.
    void (*input_gradient)(const winograd_map *map, float *x, ptrdiff_t x_stride, int channels, int accumulate,
                           size_t first_line, size_t lines, const float *v, ptrdiff_t product_stride,
                           ptrdiff_t tile_stride);

    /// Weights from a kernel's taps: element (row, column) has its taps, one behind the other, at
    /// taps + row * row_stride + column * column_stride. Slot s goes to out + s * slot_stride, densely.
    void (*weights)(const float *taps, ptrdiff_t row_stride, ptrdiff_t column_stride, int rows, int columns,
                    float *out, ptrdiff_t slot_stride);

    /// Adjoint of `weights`: the taps' gradient from the sum of `parts` gradients of the weights, added in order, which
    /// lie part_stride apart.
    void (*weight_gradient)(const float *weights, ptrdiff_t slot_stride, int parts, ptrdiff_t part_stride, int rows,
                            int columns, float *taps, ptrdiff_t row_stride, ptrdiff_t column_stride);
} winograd_transforms;

/// The transforms of a pair by its outputs, taps and strides; NULL if there is none.
const winograd_transforms *winograd_find(int vertical_outputs, int vertical_taps, int vertical_stride,
                                         int horizontal_outputs, int horizontal_taps, int horizontal_stride);
