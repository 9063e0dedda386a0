// Pooling. Backward asks, for each input pixel, which windows cover it: no two pixels write the same place, so the
// work can be cut anywhere.
#include "engine_internal.h"

enum { BLOCK = 64 }; // channels worked on at a time

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

/// A block of channels of one pixel, through max(x * scale + shift, 0) if there is a scale.
ENGINE_INLINE const float *normed(const float *from, const float *scale, const float *shift, size_t c, size_t width,
                                  float *space) {
    if (!scale) return from + c;
    for (size_t i = 0; i < width; i++) {
        const float z = from[c + i] * scale[c + i] + shift[c + i];
        space[i] = 0.0f > z ? 0.0f : z;
    }
    return space;
}

ENGINE_CLONES
void engine_max_pool(const engine_window *window, const float *x, ptrdiff_t x_stride, const float *scale,
                     const float *shift, float *y, ptrdiff_t y_stride, size_t first_pixel, size_t pixels,
                     size_t channels, uint8_t *tap) {
    const engine_window w = *window;
    engine_cursor at = engine_cursor_at(first_pixel, w.output_height, w.output_width);
    for (size_t p = first_pixel; p < first_pixel + pixels; p++) {
        const float *image = x + at.image * w.input_height * w.input_width * x_stride;
        const int top = at.y * w.stride_height - w.padding_height;
        const int left = at.x * w.stride_width - w.padding_width;
        const int row_end = engine_min(w.kernel_height, w.input_height - top);
        const int column_end = engine_min(w.kernel_width, w.input_width - left);
        for (size_t c = 0; c < channels; c += BLOCK) {
            const size_t width = channels - c < BLOCK ? channels - c : BLOCK;
            float best[BLOCK], space[BLOCK];
            int32_t choice[BLOCK];
            int started = 0;
            for (int ky = engine_max(0, -top); ky < row_end; ky++) {
                for (int kx = engine_max(0, -left); kx < column_end; kx++) {
                    const float *pixel = image + ((ptrdiff_t)(top + ky) * w.input_width + left + kx) * x_stride;
                    const float *from = normed(pixel, scale, shift, c, width, space);
                    const int32_t index = ky * w.kernel_width + kx;
                    if (!started) {
                        for (size_t i = 0; i < width; i++) {
                            best[i] = from[i];
                            choice[i] = index;
                        }
                        started = 1;
                    } else {
                        for (size_t i = 0; i < width; i++) {
                            const int better = !(from[i] <= best[i]) & (best[i] == best[i]);
                            best[i] = better ? from[i] : best[i];
                            choice[i] = better ? index : choice[i];
                        }
                    }
                }
            }
            float *to = y + (ptrdiff_t)p * y_stride + c;
            for (size_t i = 0; i < width; i++) to[i] = best[i];
            if (tap)
                for (size_t i = 0; i < width; i++) tap[p * channels + c + i] = (uint8_t)choice[i];
        }
        engine_cursor_next(&at, w.output_height, w.output_width);
    }
}

ENGINE_CLONES
void engine_max_pool_gradient(const engine_window *window, const float *gradient, ptrdiff_t gradient_stride,
                              const uint8_t *tap, float *input_gradient, ptrdiff_t input_stride, size_t first_pixel,
                              size_t pixels, size_t channels, int accumulate) {
    const engine_window w = *window;
    engine_cursor at = engine_cursor_at(first_pixel, w.input_height, w.input_width);
    for (size_t p = first_pixel; p < first_pixel + pixels; p++) {
        float *to = input_gradient + (ptrdiff_t)p * input_stride;
        if (!accumulate)
            for (size_t c = 0; c < channels; c++) to[c] = 0.0f;
        int first_row, end_row, first_column, end_column;
        covering(at.y, w.kernel_height, w.stride_height, w.padding_height, w.output_height, &first_row, &end_row);
        covering(at.x, w.kernel_width, w.stride_width, w.padding_width, w.output_width, &first_column, &end_column);
        for (int oy = first_row; oy < end_row; oy++) {
            for (int ox = first_column; ox < end_column; ox++) {
                const ptrdiff_t out = (at.image * w.output_height + oy) * w.output_width + ox;
                const int ky = at.y + w.padding_height - oy * w.stride_height;
                const int kx = at.x + w.padding_width - ox * w.stride_width;
                const uint8_t mine = (uint8_t)(ky * w.kernel_width + kx);
                const float *from = gradient + out * gradient_stride;
                const uint8_t *choice = tap + out * (ptrdiff_t)channels;
                for (size_t c = 0; c < channels; c++) to[c] += choice[c] == mine ? from[c] : 0.0f;
            }
        }
        engine_cursor_next(&at, w.input_height, w.input_width);
    }
}

ENGINE_CLONES
void engine_average_pool(const engine_window *window, int count_border, const float *x, ptrdiff_t x_stride,
                         const float *scale, const float *shift, float *y, ptrdiff_t y_stride, size_t first_pixel,
                         size_t pixels, size_t channels) {
    const engine_window w = *window;
    engine_cursor at = engine_cursor_at(first_pixel, w.output_height, w.output_width);
    for (size_t p = first_pixel; p < first_pixel + pixels; p++) {
        const float *image = x + at.image * w.input_height * w.input_width * x_stride;
        const int top = at.y * w.stride_height - w.padding_height;
        const int left = at.x * w.stride_width - w.padding_width;
        const int row_end = engine_min(w.kernel_height, w.input_height - top);
        const int column_end = engine_min(w.kernel_width, w.input_width - left);
        const float share = window_share(&w, count_border, top, left);
        for (size_t c = 0; c < channels; c += BLOCK) {
            const size_t width = channels - c < BLOCK ? channels - c : BLOCK;
            float total[BLOCK] = {0}, space[BLOCK];
            for (int ky = engine_max(0, -top); ky < row_end; ky++) {
                for (int kx = engine_max(0, -left); kx < column_end; kx++) {
                    const float *pixel = image + ((ptrdiff_t)(top + ky) * w.input_width + left + kx) * x_stride;
                    const float *from = normed(pixel, scale, shift, c, width, space);
                    for (size_t i = 0; i < width; i++) total[i] += from[i];
                }
            }
            float *to = y + (ptrdiff_t)p * y_stride + c;
            for (size_t i = 0; i < width; i++) to[i] = total[i] * share;
        }
        engine_cursor_next(&at, w.output_height, w.output_width);
    }
}

ENGINE_CLONES
void engine_average_pool_gradient(const engine_window *window, int count_border, const float *gradient,
                                  ptrdiff_t gradient_stride, float *input_gradient, ptrdiff_t input_stride,
                                  size_t first_pixel, size_t pixels, size_t channels, int accumulate) {
    const engine_window w = *window;
    engine_cursor at = engine_cursor_at(first_pixel, w.input_height, w.input_width);
    for (size_t p = first_pixel; p < first_pixel + pixels; p++) {
        float *to = input_gradient + (ptrdiff_t)p * input_stride;
        if (!accumulate)
            for (size_t c = 0; c < channels; c++) to[c] = 0.0f;
        int first_row, end_row, first_column, end_column;
        covering(at.y, w.kernel_height, w.stride_height, w.padding_height, w.output_height, &first_row, &end_row);
        covering(at.x, w.kernel_width, w.stride_width, w.padding_width, w.output_width, &first_column, &end_column);
        for (int oy = first_row; oy < end_row; oy++) {
            for (int ox = first_column; ox < end_column; ox++) {
                const int top = oy * w.stride_height - w.padding_height;
                const int left = ox * w.stride_width - w.padding_width;
                const float share = window_share(&w, count_border, top, left);
                const float *from =
                    gradient + ((at.image * w.output_height + oy) * w.output_width + ox) * gradient_stride;
                for (size_t c = 0; c < channels; c++) to[c] += from[c] * share;
            }
        }
        engine_cursor_next(&at, w.input_height, w.input_width);
    }
}
