// Depthwise convolution: each channel with a kernel of its own. Windows of 3x3 at stride 1 walk along the lines with the
// nine values under them in registers; all others go window by window.
//
// Like Winograd's files this one may contract a * b + c, but not where it reads: other readers see the same values.
#pragma clang fp contract(fast)
#include "engine_internal.h"

#pragma clang diagnostic ignored "-Wpsabi"

/// What readers do to sixteen channels of x.
typedef struct {
    lanes16 scale, shift;
    float floor;
    int is_read;
} reader16;

ENGINE_INLINE lanes16 load16(const float *from, int lanes) {
    if (lanes == 16) return *(const lanes16 *)from;
    lanes16 result = {0};
    for (int i = 0; i < lanes; i++) result[i] = from[i];
    return result;
}

ENGINE_INLINE void store16(float *to, lanes16 value, int lanes) {
    if (lanes == 16)
        *(lanes16 *)to = value;
    else
        for (int i = 0; i < lanes; i++) to[i] = value[i];
}

ENGINE_INLINE reader16 reader_at(const float *scale, const float *shift, float floor, size_t c, int lanes) {
    if (!scale) return (reader16){{0}, {0}, 0, 0};
    return (reader16){load16(scale + c, lanes), load16(shift + c, lanes), floor, 1};
}

/// `is_read` is a constant where it is inlined.
ENGINE_INLINE void read16(const float *from, const reader16 *reader, int is_read, int lanes, lanes16 *out) {
#pragma clang fp contract(off)
    const lanes16 x = load16(from, lanes);
    if (!is_read) {
        *out = x;
        return;
    }
    const lanes16 z = x * reader->scale + reader->shift;
    const mask16 below = reader->floor > z;
    *out = (lanes16)(((mask16)z & ~below) | ((mask16)((lanes16){0} + reader->floor) & below));
}

/// One channel group of a column of three values; rows outside the map are zeros.
ENGINE_INLINE void column3(const float *x, ptrdiff_t row_stride, int top, int bottom, const reader16 *reader,
                           int is_read, int lanes, lanes16 *column) {
    for (int i = 0; i < 3; i++) {
        column[i] = (lanes16){0};
        if (i >= top && i < bottom) read16(x + i * row_stride, reader, is_read, lanes, &column[i]);
    }
}

/// The sizes of one line of a 3x3 window at stride 1.
typedef struct {
    /// The first value under the line's first window; it may lie outside the map.
    const float *x;
    ptrdiff_t row_stride, x_stride;
    /// Rows of the window inside the map, and columns of the map relative to the first window's.
    int top, bottom, left, right;
    int windows;
} line3;

ENGINE_INLINE line3 line3_at(const engine_window *w, const float *x, ptrdiff_t x_stride, size_t line) {
    const ptrdiff_t image = (ptrdiff_t)(line / (size_t)w->output_height);
    const int y = (int)(line % (size_t)w->output_height) - w->padding_height;
    const ptrdiff_t row_stride = w->input_width * x_stride;
    return (line3){
        x + (image * w->input_height + y) * row_stride - w->padding_width * x_stride, row_stride, x_stride,
        engine_max(0, -y), engine_min(3, w->input_height - y), w->padding_width, w->padding_width + w->input_width,
        w->output_width};
}

ENGINE_INLINE void line3_column(const line3 *line, int at, size_t c, const reader16 *reader, int is_read, int lanes,
                                lanes16 *column) {
    if (at < line->left || at >= line->right)
        column[0] = column[1] = column[2] = (lanes16){0};
    else
        column3(line->x + at * line->x_stride + c, line->row_stride, line->top, line->bottom, reader, is_read, lanes,
                column);
}

ENGINE_INLINE void forward_line3(const line3 *line, const reader16 *reader, int is_read, int lanes,
                                 const float *weights, size_t channels, size_t c, float *y, ptrdiff_t y_stride,
                                 int accumulate) {
    lanes16 w[9], a[3], b[3], d[3];
    for (int tap = 0; tap < 9; tap++) w[tap] = load16(weights + (size_t)tap * channels + c, lanes);
    line3_column(line, 0, c, reader, is_read, lanes, a);
    line3_column(line, 1, c, reader, is_read, lanes, b);
    for (int at = 0; at < line->windows; at++) {
        line3_column(line, at + 2, c, reader, is_read, lanes, d);
        lanes16 sum = accumulate ? load16(y + at * y_stride + c, lanes) : (lanes16){0};
        for (int i = 0; i < 3; i++) sum += a[i] * w[3 * i] + b[i] * w[3 * i + 1] + d[i] * w[3 * i + 2];
        store16(y + at * y_stride + c, sum, lanes);
        for (int i = 0; i < 3; i++) a[i] = b[i], b[i] = d[i];
    }
}

ENGINE_INLINE int is_walked(const engine_window *w) {
    return w->kernel_height == 3 && w->kernel_width == 3 && w->stride_height == 1 && w->stride_width == 1;
}

ENGINE_CLONES
void engine_depthwise(const engine_window *window, const float *x, ptrdiff_t x_stride, const float *scale,
                      const float *shift, float floor, const float *weights, float *y, ptrdiff_t y_stride,
                      size_t first_line, size_t lines, size_t channels, int accumulate) {
    const engine_window w = *window;
    for (size_t line = first_line; line < first_line + lines; line++) {
        float *to = y + (ptrdiff_t)line * w.output_width * y_stride;
        const line3 walked = line3_at(&w, x, x_stride, line);
        const ptrdiff_t image = (ptrdiff_t)(line / (size_t)w.output_height);
        const int top = (int)(line % (size_t)w.output_height) * w.stride_height - w.padding_height;
        for (size_t c = 0; c < channels; c += 16) {
            const int lanes = channels - c < 16 ? (int)(channels - c) : 16;
            const reader16 reader = reader_at(scale, shift, floor, c, lanes);
            if (is_walked(&w)) {
                if (lanes < 16)
                    forward_line3(&walked, &reader, reader.is_read, lanes, weights, channels, c, to, y_stride,
                                  accumulate);
                else if (reader.is_read)
                    forward_line3(&walked, &reader, 1, 16, weights, channels, c, to, y_stride, accumulate);
                else
                    forward_line3(&walked, &reader, 0, 16, weights, channels, c, to, y_stride, accumulate);
                continue;
            }
            for (int at = 0; at < w.output_width; at++) {
                const int left = at * w.stride_width - w.padding_width;
                lanes16 sum = accumulate ? load16(to + at * y_stride + c, lanes) : (lanes16){0}, v;
                for (int ky = engine_max(0, -top); ky < engine_min(w.kernel_height, w.input_height - top); ky++)
                    for (int kx = engine_max(0, -left); kx < engine_min(w.kernel_width, w.input_width - left); kx++) {
                        read16(x + ((image * w.input_height + top + ky) * w.input_width + left + kx) * x_stride + c,
                               &reader, reader.is_read, lanes, &v);
                        sum += v * load16(weights + (size_t)(ky * w.kernel_width + kx) * channels + c, lanes);
                    }
                store16(to + at * y_stride + c, sum, lanes);
            }
        }
    }
}

ENGINE_CLONES
void engine_depthwise_scatter(const engine_window *window, const float *gradient, ptrdiff_t gradient_stride,
                              const float *weights, float *input_gradient, ptrdiff_t input_stride, size_t first_image,
                              size_t images, size_t channels) {
    const engine_window w = *window;
    for (size_t line = first_image * (size_t)w.output_height; line < (first_image + images) * (size_t)w.output_height;
         line++) {
        const ptrdiff_t image = (ptrdiff_t)(line / (size_t)w.output_height);
        const int top = (int)(line % (size_t)w.output_height) * w.stride_height - w.padding_height;
        for (int at = 0; at < w.output_width; at++) {
            const float *from = gradient + ((ptrdiff_t)line * w.output_width + at) * gradient_stride;
            const int left = at * w.stride_width - w.padding_width;
            for (int ky = engine_max(0, -top); ky < engine_min(w.kernel_height, w.input_height - top); ky++)
                for (int kx = engine_max(0, -left); kx < engine_min(w.kernel_width, w.input_width - left); kx++) {
                    float *to = input_gradient +
                                ((image * w.input_height + top + ky) * w.input_width + left + kx) * input_stride;
                    const float *tap = weights + (size_t)(ky * w.kernel_width + kx) * channels;
                    for (size_t c = 0; c < channels; c++) to[c] += from[c] * tap[c];
                }
        }
    }
}

ENGINE_INLINE void weight_gradient_line3(const line3 *line, const reader16 *reader, int is_read, int lanes,
                                         const float *gradient, ptrdiff_t gradient_stride, size_t c, lanes16 *sums) {
    lanes16 a[3], b[3], d[3];
    line3_column(line, 0, c, reader, is_read, lanes, a);
    line3_column(line, 1, c, reader, is_read, lanes, b);
    for (int at = 0; at < line->windows; at++) {
        line3_column(line, at + 2, c, reader, is_read, lanes, d);
        const lanes16 g = load16(gradient + at * gradient_stride + c, lanes);
        for (int i = 0; i < 3; i++) {
            sums[3 * i] += a[i] * g;
            sums[3 * i + 1] += b[i] * g;
            sums[3 * i + 2] += d[i] * g;
        }
        for (int i = 0; i < 3; i++) a[i] = b[i], b[i] = d[i];
    }
}

ENGINE_CLONES
void engine_depthwise_weight_gradient(const engine_window *window, const float *x, ptrdiff_t x_stride,
                                      const float *scale, const float *shift, float floor, const float *gradient,
                                      ptrdiff_t gradient_stride, size_t first_line, size_t lines, size_t channels,
                                      float *sums) {
    const engine_window w = *window;
    for (size_t i = 0; i < (size_t)(w.kernel_height * w.kernel_width) * channels; i++) sums[i] = 0.0f;
    for (size_t line = first_line; line < first_line + lines; line++) {
        const float *from = gradient + (ptrdiff_t)line * w.output_width * gradient_stride;
        const line3 walked = line3_at(&w, x, x_stride, line);
        const ptrdiff_t image = (ptrdiff_t)(line / (size_t)w.output_height);
        const int top = (int)(line % (size_t)w.output_height) * w.stride_height - w.padding_height;
        for (size_t c = 0; c < channels; c += 16) {
            const int lanes = channels - c < 16 ? (int)(channels - c) : 16;
            const reader16 reader = reader_at(scale, shift, floor, c, lanes);
            if (is_walked(&w)) {
                lanes16 total[9];
                for (int tap = 0; tap < 9; tap++) total[tap] = load16(sums + (size_t)tap * channels + c, lanes);
                if (lanes < 16)
                    weight_gradient_line3(&walked, &reader, reader.is_read, lanes, from, gradient_stride, c, total);
                else if (reader.is_read)
                    weight_gradient_line3(&walked, &reader, 1, 16, from, gradient_stride, c, total);
                else
                    weight_gradient_line3(&walked, &reader, 0, 16, from, gradient_stride, c, total);
                for (int tap = 0; tap < 9; tap++) store16(sums + (size_t)tap * channels + c, total[tap], lanes);
                continue;
            }
            for (int at = 0; at < w.output_width; at++) {
                const int left = at * w.stride_width - w.padding_width;
                const lanes16 g = load16(from + at * gradient_stride + c, lanes);
                lanes16 v;
                for (int ky = engine_max(0, -top); ky < engine_min(w.kernel_height, w.input_height - top); ky++)
                    for (int kx = engine_max(0, -left); kx < engine_min(w.kernel_width, w.input_width - left); kx++) {
                        read16(x + ((image * w.input_height + top + ky) * w.input_width + left + kx) * x_stride + c,
                               &reader, reader.is_read, lanes, &v);
                        float *sum = sums + (size_t)(ky * w.kernel_width + kx) * channels + c;
                        store16(sum, load16(sum, lanes) + v * g, lanes);
                    }
            }
        }
    }
}
