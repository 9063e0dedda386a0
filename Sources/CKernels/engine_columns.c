// im2col and its adjoint.
#include "engine_internal.h"
#include <string.h>

ENGINE_CLONES
void engine_gather(const engine_window *window, int channels, const float *input, ptrdiff_t input_stride,
                   size_t first_pixel, size_t pixels, size_t first_column, size_t columns, float *out) {
    const engine_window w = *window;
    const size_t row_columns = (size_t)w.kernel_width * (size_t)channels;
    const size_t last_column = first_column + columns;
    engine_cursor at = engine_cursor_at(first_pixel, w.output_height, w.output_width);
    for (size_t p = 0; p < pixels; p++) {
        const float *image = input + at.image * w.input_height * w.input_width * input_stride;
        const int top = at.y * w.stride_height - w.padding_height;
        const int left = at.x * w.stride_width - w.padding_width;
        // With dense pixels and no border in sight, one kernel row is one run of memory.
        const int whole_rows = input_stride == channels && left >= 0 && left + w.kernel_width <= w.input_width;
        size_t column = first_column;
        while (column < last_column) {
            const size_t kernel_row = column / row_columns;
            const size_t row_end = (kernel_row + 1) * row_columns;
            const size_t end = row_end < last_column ? row_end : last_column;
            const int y = top + (int)kernel_row;
            if (y < 0 || y >= w.input_height) {
                memset(out, 0, (end - column) * sizeof(float));
                out += end - column;
            } else if (whole_rows) {
                const float *from = image + ((ptrdiff_t)y * w.input_width + left) * channels;
                memcpy(out, from + (column - kernel_row * row_columns), (end - column) * sizeof(float));
                out += end - column;
            } else {
                size_t inside = column - kernel_row * row_columns;
                const size_t inside_end = end - kernel_row * row_columns;
                while (inside < inside_end) {
                    const size_t tap = inside / (size_t)channels;
                    const size_t tap_end = (tap + 1) * (size_t)channels;
                    const size_t run_end = tap_end < inside_end ? tap_end : inside_end;
                    const int x = left + (int)tap;
                    if (x < 0 || x >= w.input_width) {
                        memset(out, 0, (run_end - inside) * sizeof(float));
                    } else {
                        const float *from = image + ((ptrdiff_t)y * w.input_width + x) * input_stride;
                        memcpy(out, from + (inside - tap * (size_t)channels), (run_end - inside) * sizeof(float));
                    }
                    out += run_end - inside;
                    inside = run_end;
                }
            }
            column = end;
        }
        engine_cursor_next(&at, w.output_height, w.output_width);
    }
}

ENGINE_CLONES
void engine_scatter(const engine_window *window, int channels, const float *in, size_t first_pixel, size_t pixels,
                    size_t first_column, size_t columns, float *input, ptrdiff_t input_stride) {
    const engine_window w = *window;
    const size_t last_column = first_column + columns;
    engine_cursor at = engine_cursor_at(first_pixel, w.output_height, w.output_width);
    for (size_t p = 0; p < pixels; p++) {
        float *image = input + at.image * w.input_height * w.input_width * input_stride;
        const int top = at.y * w.stride_height - w.padding_height;
        const int left = at.x * w.stride_width - w.padding_width;
        size_t column = first_column;
        while (column < last_column) {
            const size_t tap = column / (size_t)channels;
            const size_t tap_end = (tap + 1) * (size_t)channels;
            const size_t run = (tap_end < last_column ? tap_end : last_column) - column;
            const int y = top + (int)(tap / (size_t)w.kernel_width);
            const int x = left + (int)(tap % (size_t)w.kernel_width);
            if (y >= 0 && y < w.input_height && x >= 0 && x < w.input_width) {
                float *to = image + ((ptrdiff_t)y * w.input_width + x) * input_stride + (column - tap * (size_t)channels);
                for (size_t i = 0; i < run; i++) to[i] += in[i];
            }
            in += run;
            column += run;
        }
        engine_cursor_next(&at, w.output_height, w.output_width);
    }
}

