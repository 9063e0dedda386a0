// PyTorch's adaptive average pool: windows of unequal size that together cover a map.
#include "engine_internal.h"

/// The window of output i of n over a length: [first, end).
ENGINE_INLINE void adaptive_window(int i, int n, int length, int *first, int *end) {
    *first = (int)((int64_t)i * length / n);
    *end = (int)(((int64_t)(i + 1) * length + n - 1) / n);
}

ENGINE_CLONES
void engine_adaptive_pool(const engine_window *window, const float *x, ptrdiff_t x_stride, const float *scale,
                          const float *shift, float floor, float *y, ptrdiff_t y_stride, size_t first_pixel,
                          size_t pixels, size_t channels) {
    const engine_window w = *window;
    engine_cursor at = engine_cursor_at(first_pixel, w.output_height, w.output_width);
    for (size_t p = first_pixel; p < first_pixel + pixels; p++) {
        int top, bottom, left, right;
        adaptive_window(at.y, w.output_height, w.input_height, &top, &bottom);
        adaptive_window(at.x, w.output_width, w.input_width, &left, &right);
        const float share = 1.0f / (float)((bottom - top) * (right - left));
        float *to = y + (ptrdiff_t)p * y_stride;
        for (size_t c = 0; c < channels; c++) to[c] = 0.0f;
        for (int row = top; row < bottom; row++)
            for (int column = left; column < right; column++) {
                const float *from =
                    x + ((at.image * w.input_height + row) * w.input_width + column) * x_stride;
                for (size_t c = 0; c < channels; c++) {
                    float v = from[c];
                    if (scale) {
                        const float z = v * scale[c] + shift[c];
                        v = floor > z ? floor : z;
                    }
                    to[c] += v;
                }
            }
        for (size_t c = 0; c < channels; c++) to[c] *= share;
        engine_cursor_next(&at, w.output_height, w.output_width);
    }
}

ENGINE_CLONES
void engine_adaptive_pool_gradient(const engine_window *window, const float *gradient, ptrdiff_t gradient_stride,
                                   float *input_gradient, ptrdiff_t input_stride, size_t first_pixel, size_t pixels,
                                   size_t channels, int accumulate) {
    const engine_window w = *window;
    engine_cursor at = engine_cursor_at(first_pixel, w.input_height, w.input_width);
    for (size_t p = first_pixel; p < first_pixel + pixels; p++) {
        float *to = input_gradient + (ptrdiff_t)p * input_stride;
        if (!accumulate)
            for (size_t c = 0; c < channels; c++) to[c] = 0.0f;
        for (int oy = 0; oy < w.output_height; oy++) {
            int top, bottom;
            adaptive_window(oy, w.output_height, w.input_height, &top, &bottom);
            if (at.y < top || at.y >= bottom) continue;
            for (int ox = 0; ox < w.output_width; ox++) {
                int left, right;
                adaptive_window(ox, w.output_width, w.input_width, &left, &right);
                if (at.x < left || at.x >= right) continue;
                const float share = 1.0f / (float)((bottom - top) * (right - left));
                const float *from =
                    gradient + ((at.image * w.output_height + oy) * w.output_width + ox) * gradient_stride;
                for (size_t c = 0; c < channels; c++) to[c] += from[c] * share;
            }
        }
        engine_cursor_next(&at, w.input_height, w.input_width);
    }
}
