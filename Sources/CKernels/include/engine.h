// The engine's vectorised loops. All maps are NHWC float32, seen as a list of pixels: pixel p starts at
// base + p * stride, its channels lie one behind the other, and stride may exceed the channels (a slice of a concat).
// Pixels are numbered row by row, image after image.
//
// Where a function reads a map with `scale` and `shift` and they are not NULL, it reads max(x * scale + shift, floor) per
// channel: batch norm or a bias on the way in, with a floor of 0 the ReLU as well, with minus infinity none. A NaN stays
// one. Outside the map lie zeros all the same.
//
// Every function works on the range of pixels it is given and on nothing else, so callers may cut the work among
// threads; what a function adds up, it adds in ascending order of pixels.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// A window sliding over a map: sizes of the map read (input), the map written (output), and the window itself.
typedef struct {
    int input_height, input_width;
    int output_height, output_width;
    int kernel_height, kernel_width;
    int stride_height, stride_width;
    int padding_height, padding_width;
} engine_window;

/// im2col: rows are output pixels, column (ky * kernel_width + kx) * channels + c is the input under that tap, or 0
/// outside the map. Writes columns [first_column, first_column + columns) of the given pixels, densely.
void engine_gather(const engine_window *window, int channels, const float *input, ptrdiff_t input_stride,
                   const float *scale, const float *shift, float floor, size_t first_pixel, size_t pixels,
                   size_t first_column, size_t columns, float *out);

/// The adjoint of engine_gather: adds the columns back onto the input's pixels.
void engine_scatter(const engine_window *window, int channels, const float *in, size_t first_pixel, size_t pixels,
                    size_t first_column, size_t columns, float *input, ptrdiff_t input_stride);

/// Per channel the mean over the pixels and the sum of squared distances from it.
void engine_moments(const float *x, ptrdiff_t stride, size_t pixels, size_t channels, float *mean, float *squares);

/// y = max(x * scale + shift, floor) per channel; a NaN stays one.
void engine_normalise(const float *x, ptrdiff_t x_stride, float *y, ptrdiff_t y_stride, size_t pixels, size_t channels,
                      const float *scale, const float *shift, float floor);

/// y = max(y + bias, floor) per channel, in place; a NaN stays one.
void engine_bias(float *y, ptrdiff_t stride, size_t pixels, size_t channels, const float *bias, float floor);

/// Batch norm backward, first pass: with d the gradient of what readers saw where x * scale + shift > floor and
/// else 0, sum = the sum of d and product = the sum of d * (x - mean), per channel.
void engine_norm_sums(const float *gradient, ptrdiff_t gradient_stride, const float *x, ptrdiff_t x_stride,
                      size_t pixels, size_t channels, const float *scale, const float *shift, float floor,
                      const float *mean, float *sum, float *product);

/// Batch norm backward, read where it is needed: out = scale * d + slope * (x - mean) + offset, d as above; out may be
/// the gradient itself.
void engine_norm_gradient(const float *gradient, ptrdiff_t gradient_stride, const float *x, ptrdiff_t x_stride,
                          float *out, ptrdiff_t out_stride, size_t pixels, size_t channels, const float *scale,
                          const float *shift, float floor, const float *mean, const float *slope, const float *offset);

/// The largest value under each window (the first of equals, a NaN above all) and its tap ky * kernel_width + kx.
void engine_max_pool(const engine_window *window, const float *x, ptrdiff_t x_stride, const float *scale,
                     const float *shift, float floor, float *y, ptrdiff_t y_stride, size_t first_pixel, size_t pixels,
                     size_t channels, uint8_t *tap);

/// Gradient of the given input pixels: what the windows that chose them received. Adds if accumulate, else overwrites.
void engine_max_pool_gradient(const engine_window *window, const float *gradient, ptrdiff_t gradient_stride,
                              const uint8_t *tap, float *input_gradient, ptrdiff_t input_stride, size_t first_pixel,
                              size_t pixels, size_t channels, int accumulate);

/// The mean under each window; the border's zeros count as elements if count_border.
void engine_average_pool(const engine_window *window, int count_border, const float *x, ptrdiff_t x_stride,
                         const float *scale, const float *shift, float floor, float *y, ptrdiff_t y_stride,
                         size_t first_pixel, size_t pixels, size_t channels);

/// Gradient of the given input pixels. Adds if accumulate, else overwrites.
void engine_average_pool_gradient(const engine_window *window, int count_border, const float *gradient,
                                  ptrdiff_t gradient_stride, float *input_gradient, ptrdiff_t input_stride,
                                  size_t first_pixel, size_t pixels, size_t channels, int accumulate);

/// PyTorch's adaptive average pool: output row i of n is the mean over rows floor(i h / n) ..< ceil((i + 1) h / n) of a
/// map of height h, columns alike; of the window only the extents count.
void engine_adaptive_pool(const engine_window *window, const float *x, ptrdiff_t x_stride, const float *scale,
                          const float *shift, float floor, float *y, ptrdiff_t y_stride, size_t first_pixel,
                          size_t pixels, size_t channels);

/// Gradient of the given input pixels. Adds if accumulate, else overwrites.
void engine_adaptive_pool_gradient(const engine_window *window, const float *gradient, ptrdiff_t gradient_stride,
                                   float *input_gradient, ptrdiff_t input_stride, size_t first_pixel, size_t pixels,
                                   size_t channels, int accumulate);

/// Depthwise convolution of some lines (rows of output pixels, counted over the batch): the sum over the taps of
/// x * weights[tap * channels + c]. Adds if accumulate, else overwrites.
void engine_depthwise(const engine_window *window, const float *x, ptrdiff_t x_stride, const float *scale,
                      const float *shift, float floor, const float *weights, float *y, ptrdiff_t y_stride,
                      size_t first_line, size_t lines, size_t channels, int accumulate);

/// Its data gradient, for any stride: adds the images' output gradients, weighted, onto the input's pixels.
void engine_depthwise_scatter(const engine_window *window, const float *gradient, ptrdiff_t gradient_stride,
                              const float *weights, float *input_gradient, ptrdiff_t input_stride, size_t first_image,
                              size_t images, size_t channels);

/// Its weight gradient over some lines: sums[tap * channels + c], overwritten.
void engine_depthwise_weight_gradient(const engine_window *window, const float *x, ptrdiff_t x_stride,
                                      const float *scale, const float *shift, float floor, const float *gradient,
                                      ptrdiff_t gradient_stride, size_t first_line, size_t lines, size_t channels,
                                      float *sums);

/// y = max(a + factor * b, floor), both read through their norms.
void engine_add(const float *a, ptrdiff_t a_stride, const float *a_scale, const float *a_shift, float a_floor,
                const float *b, ptrdiff_t b_stride, const float *b_scale, const float *b_shift, float b_floor,
                float factor, float floor, float *y, ptrdiff_t y_stride, size_t pixels, size_t channels);

/// out = factor * gradient where x * scale + shift > floor (without a scale: where x > floor), else 0. Adds if
/// accumulate, else overwrites.
void engine_open_gradient(const float *gradient, ptrdiff_t gradient_stride, const float *x, ptrdiff_t x_stride,
                          const float *scale, const float *shift, float floor, float factor, float *out,
                          ptrdiff_t out_stride, size_t pixels, size_t channels, int accumulate);

/// Local response normalisation across channels: y = x / (k + alpha / size * the sum of the squares of the `size`
/// channels around it)^(3/4). `scratch` has room for
/// 4 * channels + size floats.
void engine_response_norm(const float *x, ptrdiff_t x_stride, const float *scale, const float *shift, float floor,
                          float *y, ptrdiff_t y_stride, size_t pixels, size_t channels, int size, float alpha, float k,
                          float *scratch);

/// Its gradient with respect to what it read. Adds if accumulate, else overwrites. `scratch` as there.
void engine_response_norm_gradient(const float *gradient, ptrdiff_t gradient_stride, const float *x,
                                   ptrdiff_t x_stride, const float *scale, const float *shift, float floor, float *out,
                                   ptrdiff_t out_stride, size_t pixels, size_t channels, int size, float alpha, float k,
                                   int accumulate, float *scratch);

/// to (columns x rows) = from (rows x columns), transposed; strides between rows. The call writes the transpose: row j,
/// column i of `to` is row i, column j of `from`.
void engine_transpose(const float *from, ptrdiff_t from_stride, float *to, ptrdiff_t to_stride, size_t rows,
                      size_t columns);

/// first[i] += its successors at i + part_stride, i + 2 part_stride, ..., in order.
void engine_add_parts(float *first, ptrdiff_t part_stride, size_t parts, size_t count);
