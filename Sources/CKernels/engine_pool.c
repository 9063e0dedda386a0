// Pooling. Backward asks, for each input pixel, which windows cover it: no two pixels write the same place, so the
// work can be cut anywhere.
#include "engine_internal.h"

enum { MOST_TAPS = 256 };

/// The windows that cover one input coordinate: [first, end).
ENGINE_INLINE void covering(int coordinate, int kernel, int stride, int padding, int windows, int *first, int *end) {
    const int last = (coordinate + padding) / stride;
    const int before = coordinate + padding - kernel + 1;
    *first = before <= 0 ? 0 : (before + stride - 1) / stride;
    *end = engine_min(last + 1, windows);
}

/// One over the number of elements a window averages (PyTorch's rule: padding counts, what lies past it never does).
ENGINE_INLINE float window_share(const engine_window *w, int count_border, int top, int left) {
    int bottom = engine_min(top + w->kernel_height, w->input_height + w->padding_height);
    int right = engine_min(left + w->kernel_width, w->input_width + w->padding_width);
    if (!count_border) {
        top = engine_max(top, 0);
        left = engine_max(left, 0);
        bottom = engine_min(bottom, w->input_height);
        right = engine_min(right, w->input_width);
    }
    return 1.0f / (float)((bottom - top) * (right - left));
}

/// The pixels under one window, or the windows over one pixel: at most `MOST_TAPS`, in row order.
typedef struct {
    int count;
    ptrdiff_t pixel[MOST_TAPS];
    /// Of a window over a pixel: the pixel's tap ky * kernel_width + kx in it, and what its share of the mean is.
    uint8_t tap[MOST_TAPS];
    float share[MOST_TAPS];
} engine_taps;

/// Pixels of the input under an output pixel's window.
ENGINE_INLINE void taps_of_window(const engine_window *w, engine_cursor at, engine_taps *taps) {
    const int top = at.y * w->stride_height - w->padding_height;
    const int left = at.x * w->stride_width - w->padding_width;
    const int row_end = engine_min(w->kernel_height, w->input_height - top);
    const int column_end = engine_min(w->kernel_width, w->input_width - left);
    taps->count = 0;
    for (int ky = engine_max(0, -top); ky < row_end; ky++)
        for (int kx = engine_max(0, -left); kx < column_end; kx++) {
            taps->pixel[taps->count] = (at.image * w->input_height + top + ky) * w->input_width + left + kx;
            taps->tap[taps->count++] = (uint8_t)(ky * w->kernel_width + kx);
        }
}

/// Windows, as pixels of the output, that cover an input pixel.
ENGINE_INLINE void windows_over_pixel(const engine_window *w, int count_border, engine_cursor at, engine_taps *taps) {
    int first_row, end_row, first_column, end_column;
    covering(at.y, w->kernel_height, w->stride_height, w->padding_height, w->output_height, &first_row, &end_row);
    covering(at.x, w->kernel_width, w->stride_width, w->padding_width, w->output_width, &first_column, &end_column);
    taps->count = 0;
    for (int oy = first_row; oy < end_row; oy++)
        for (int ox = first_column; ox < end_column; ox++) {
            const int top = oy * w->stride_height - w->padding_height;
            const int left = ox * w->stride_width - w->padding_width;
            taps->pixel[taps->count] = (at.image * w->output_height + oy) * w->output_width + ox;
            taps->tap[taps->count] = (uint8_t)((at.y - top) * w->kernel_width + at.x - left);
            taps->share[taps->count++] = window_share(w, count_border, top, left);
        }
}

/// Sixteen channels through max(x * scale + shift, floor) if there is a scale; a NaN stays one.
ENGINE_INLINE void normed16(const float *from, const float *scale, const float *shift, float floor, lanes16 *out) {
    const lanes16 x = *(const lanes16 *)from;
    if (!scale) {
        *out = x;
        return;
    }
    const lanes16 z = x * *(const lanes16 *)scale + *(const lanes16 *)shift;
    const mask16 below = floor > z;
    *out = (lanes16)(((mask16)z & ~below) | ((mask16)((lanes16){0} + floor) & below));
}

ENGINE_INLINE float normed(float x, const float *scale, const float *shift, float floor) {
    if (!scale) return x;
    const float z = x * *scale + *shift;
    return floor > z ? floor : z;
}

ENGINE_CLONES
void engine_max_pool(const engine_window *window, const float *x, ptrdiff_t x_stride, const float *scale,
                     const float *shift, float floor, float *y, ptrdiff_t y_stride, size_t first_pixel, size_t pixels,
                     size_t channels, uint8_t *tap) {
    const engine_window w = *window;
    engine_taps taps;
    engine_cursor at = engine_cursor_at(first_pixel, w.output_height, w.output_width);
    for (size_t p = first_pixel; p < first_pixel + pixels; p++) {
        taps_of_window(&w, at, &taps);
        float *to = y + (ptrdiff_t)p * y_stride;
        uint8_t *won = tap ? tap + p * channels : NULL;
        size_t c = 0;
        for (; c + 16 <= channels; c += 16) {
            const float *s = scale ? scale + c : NULL, *b = scale ? shift + c : NULL;
            lanes16 best, v;
            normed16(x + taps.pixel[0] * x_stride + c, s, b, floor, &best);
            mask16 choice = (mask16){0} + taps.tap[0];
            for (int t = 1; t < taps.count; t++) {
                normed16(x + taps.pixel[t] * x_stride + c, s, b, floor, &v);
                const mask16 better = ~(mask16)(v <= best) & (mask16)(best == best);
                best = (lanes16)((better & (mask16)v) | (~better & (mask16)best));
                choice = (better & ((mask16){0} + taps.tap[t])) | (~better & choice);
            }
            *(lanes16 *)(to + c) = best;
            if (won) *(bytes16 *)(won + c) = __builtin_convertvector(choice, bytes16);
        }
        for (; c < channels; c++) {
            const float *s = scale ? scale + c : NULL, *b = scale ? shift + c : NULL;
            float best = normed(x[taps.pixel[0] * x_stride + (ptrdiff_t)c], s, b, floor);
            uint8_t choice = taps.tap[0];
            for (int t = 1; t < taps.count; t++) {
                const float v = normed(x[taps.pixel[t] * x_stride + (ptrdiff_t)c], s, b, floor);
                if (!(v <= best) && best == best) {
                    best = v;
                    choice = taps.tap[t];
                }
            }
            to[c] = best;
            if (won) won[c] = choice;
        }
        engine_cursor_next(&at, w.output_height, w.output_width);
    }
}

ENGINE_CLONES
void engine_max_pool_gradient(const engine_window *window, const float *gradient, ptrdiff_t gradient_stride,
                              const uint8_t *tap, float *input_gradient, ptrdiff_t input_stride, size_t first_pixel,
                              size_t pixels, size_t channels, int accumulate) {
    const engine_window w = *window;
    engine_taps taps;
    engine_cursor at = engine_cursor_at(first_pixel, w.input_height, w.input_width);
    for (size_t p = first_pixel; p < first_pixel + pixels; p++) {
        windows_over_pixel(&w, 0, at, &taps);
        float *to = input_gradient + (ptrdiff_t)p * input_stride;
        size_t c = 0;
        for (; c + 16 <= channels; c += 16) {
            lanes16 sum = accumulate ? *(const lanes16 *)(to + c) : (lanes16){0};
            for (int t = 0; t < taps.count; t++) {
                const bytes16 won = *(const bytes16 *)(tap + taps.pixel[t] * (ptrdiff_t)channels + c);
                const mask16 mine = __builtin_convertvector(won, mask16) == (mask16){0} + taps.tap[t];
                const mask16 from = *(const mask16 *)(gradient + taps.pixel[t] * gradient_stride + c);
                sum += (lanes16)(mine & from);
            }
            *(lanes16 *)(to + c) = sum;
        }
        for (; c < channels; c++) {
            float sum = accumulate ? to[c] : 0.0f;
            for (int t = 0; t < taps.count; t++)
                if (tap[taps.pixel[t] * (ptrdiff_t)channels + (ptrdiff_t)c] == taps.tap[t])
                    sum += gradient[taps.pixel[t] * gradient_stride + (ptrdiff_t)c];
            to[c] = sum;
        }
        engine_cursor_next(&at, w.input_height, w.input_width);
    }
}

ENGINE_CLONES
void engine_average_pool(const engine_window *window, int count_border, const float *x, ptrdiff_t x_stride,
                         const float *scale, const float *shift, float floor, float *y, ptrdiff_t y_stride,
                         size_t first_pixel, size_t pixels, size_t channels) {
    const engine_window w = *window;
    engine_cursor at = engine_cursor_at(first_pixel, w.output_height, w.output_width);
    for (size_t p = first_pixel; p < first_pixel + pixels; p++) {
        const int top = at.y * w.stride_height - w.padding_height;
        const int left = at.x * w.stride_width - w.padding_width;
        const float share = window_share(&w, count_border, top, left);
        // What lies under the window: `rows` runs of `columns` pixels. A global pool's window has no bound in size.
        const int first_row = engine_max(0, top), first_column = engine_max(0, left);
        const int rows = engine_min(top + w.kernel_height, w.input_height) - first_row;
        const int columns = engine_min(left + w.kernel_width, w.input_width) - first_column;
        const ptrdiff_t row_stride = w.input_width * x_stride;
        const float *corner = x + ((at.image * w.input_height + first_row) * w.input_width + first_column) * x_stride;
        float *to = y + (ptrdiff_t)p * y_stride;
        size_t c = 0;
        for (; c + 16 <= channels; c += 16) {
            const float *s = scale ? scale + c : NULL, *b = scale ? shift + c : NULL;
            lanes16 sum = {0}, v;
            for (int row = 0; row < rows; row++)
                for (int column = 0; column < columns; column++) {
                    normed16(corner + row * row_stride + column * x_stride + c, s, b, floor, &v);
                    sum += v;
                }
            *(lanes16 *)(to + c) = sum * share;
        }
        for (; c < channels; c++) {
            const float *s = scale ? scale + c : NULL, *b = scale ? shift + c : NULL;
            float sum = 0.0f;
            for (int row = 0; row < rows; row++)
                for (int column = 0; column < columns; column++)
                    sum += normed(corner[row * row_stride + column * x_stride + (ptrdiff_t)c], s, b, floor);
            to[c] = sum * share;
        }
        engine_cursor_next(&at, w.output_height, w.output_width);
    }
}

ENGINE_CLONES
void engine_average_pool_gradient(const engine_window *window, int count_border, const float *gradient,
                                  ptrdiff_t gradient_stride, float *input_gradient, ptrdiff_t input_stride,
                                  size_t first_pixel, size_t pixels, size_t channels, int accumulate) {
    const engine_window w = *window;
    engine_taps taps;
    engine_cursor at = engine_cursor_at(first_pixel, w.input_height, w.input_width);
    for (size_t p = first_pixel; p < first_pixel + pixels; p++) {
        windows_over_pixel(&w, count_border, at, &taps);
        float *to = input_gradient + (ptrdiff_t)p * input_stride;
        size_t c = 0;
        for (; c + 16 <= channels; c += 16) {
            lanes16 sum = accumulate ? *(const lanes16 *)(to + c) : (lanes16){0};
            for (int t = 0; t < taps.count; t++)
                sum += *(const lanes16 *)(gradient + taps.pixel[t] * gradient_stride + c) * taps.share[t];
            *(lanes16 *)(to + c) = sum;
        }
        for (; c < channels; c++) {
            float sum = accumulate ? to[c] : 0.0f;
            for (int t = 0; t < taps.count; t++)
                sum += gradient[taps.pixel[t] * gradient_stride + (ptrdiff_t)c] * taps.share[t];
            to[c] = sum;
        }
        engine_cursor_next(&at, w.input_height, w.input_width);
    }
}
