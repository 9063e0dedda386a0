// im2col and its adjoint.
#include "engine_internal.h"

/// max(x * scale + shift, floor) of a run of channels; a NaN stays one.
ENGINE_INLINE void norm_run(float *to, const float *from, const float *scale, const float *shift, float floor, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const float z = from[i] * scale[i] + shift[i];
        to[i] = floor > z ? floor : z;
    }
}

ENGINE_INLINE void clear_run(float *to, size_t count) {
    size_t i = 0;
    for (; i + 16 <= count; i += 16) *(lanes16 *)(to + i) = (lanes16){0};
    for (; i + 4 <= count; i += 4) *(lanes4 *)(to + i) = (lanes4){0};
    for (; i < count; i++) to[i] = 0.0f;
}

/// Copies a run of floats, mostly a few dozen: too short for memcpy to be worth a call.
ENGINE_INLINE void copy_run(float *to, const float *from, size_t count) {
    size_t i = 0;
    for (; i + 16 <= count; i += 16) *(lanes16 *)(to + i) = *(const lanes16 *)(from + i);
    for (; i + 4 <= count; i += 4) *(lanes4 *)(to + i) = *(const lanes4 *)(from + i);
    for (; i < count; i++) to[i] = from[i];
}

ENGINE_CLONES
void engine_gather(const engine_window *window, int channels, const float *input, ptrdiff_t input_stride,
                   const float *scale, const float *shift, float floor, size_t first_pixel, size_t pixels,
                   size_t first_column, size_t columns, float *out) {
    const engine_window w = *window;
    const size_t depth = (size_t)channels;
    const size_t row_columns = (size_t)w.kernel_width * depth;
    // Where the wanted columns start: kernel row, column within it, tap and channel. Divided out once, not per pixel.
    const int start_row = (int)(first_column / row_columns);
    const size_t start_inside = first_column % row_columns;
    const int start_tap = (int)(start_inside / depth);
    const size_t start_channel = start_inside % depth;
    engine_cursor at = engine_cursor_at(first_pixel, w.output_height, w.output_width);
    for (size_t p = 0; p < pixels; p++) {
        const float *image = input + at.image * w.input_height * w.input_width * input_stride;
        const int top = at.y * w.stride_height - w.padding_height;
        const int left = at.x * w.stride_width - w.padding_width;
        // With dense pixels and no border in sight, one kernel row is one run of memory.
        const int whole_rows =
            !scale && input_stride == channels && left >= 0 && left + w.kernel_width <= w.input_width;
        size_t inside = start_inside, channel = start_channel, remaining = columns;
        int tap = start_tap;
        for (int y = top + start_row; remaining > 0; y++) {
            const size_t length = row_columns - inside < remaining ? row_columns - inside : remaining;
            const float *row = image + (ptrdiff_t)y * w.input_width * input_stride;
            if (y < 0 || y >= w.input_height) {
                clear_run(out, length);
            } else if (whole_rows) {
                copy_run(out, row + left * input_stride + (ptrdiff_t)inside, length);
            } else {
                float *to = out;
                for (size_t rest = length; rest > 0; tap++) {
                    const size_t run = depth - channel < rest ? depth - channel : rest;
                    const int x = left + tap;
                    if (x < 0 || x >= w.input_width)
                        clear_run(to, run);
                    else if (scale)
                        norm_run(to, row + x * input_stride + (ptrdiff_t)channel, scale + channel, shift + channel,
                                 floor, run);
                    else
                        copy_run(to, row + x * input_stride + (ptrdiff_t)channel, run);
                    to += run;
                    rest -= run;
                    channel = 0;
                }
            }
            out += length;
            remaining -= length;
            inside = channel = 0;
            tap = 0;
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
                float *to = image + ((ptrdiff_t)y * w.input_width + x) * input_stride;
                to += column - tap * (size_t)channels;
                for (size_t i = 0; i < run; i++) to[i] += in[i];
            }
            in += run;
            column += run;
        }
        engine_cursor_next(&at, w.output_height, w.output_width);
    }
}

