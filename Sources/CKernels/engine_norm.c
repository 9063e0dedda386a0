// Batch norm's passes. Sums keep up to 64 channels in registers while they walk the pixels.
#include "engine_internal.h"

// Calls BLOCK(type, first, count) for blocks of channels: 4 x 16 lanes, then 16, 4 and single channels.
#define FOR_CHANNEL_BLOCKS(channels, BLOCK)                                                                            \
    do {                                                                                                               \
        size_t c = 0;                                                                                                  \
        for (; c + 64 <= (channels); c += 64) BLOCK(lanes16, 16, c, 4);                                                \
        for (; c + 16 <= (channels); c += 16) BLOCK(lanes16, 16, c, 1);                                                \
        for (; c + 4 <= (channels); c += 4) BLOCK(lanes4, 4, c, 1);                                                    \
        for (; c < (channels); c++) BLOCK(float, 1, c, 1);                                                             \
    } while (0)

ENGINE_CLONES
void engine_moments(const float *x, ptrdiff_t stride, size_t pixels, size_t channels, float *mean, float *squares) {
    const float share = 1.0f / (float)pixels;
#define MOMENTS(lanes, width, c, count)                                                                                \
    do {                                                                                                               \
        lanes total[count], centre[count], spread[count];                                                              \
        for (int i = 0; i < (count); i++) total[i] = spread[i] = (lanes){0};                                           \
        for (size_t p = 0; p < pixels; p++)                                                                            \
            for (int i = 0; i < (count); i++)                                                                          \
                total[i] += *(const lanes *)(x + (ptrdiff_t)p * stride + (c) + i * (width));                           \
        for (int i = 0; i < (count); i++) centre[i] = total[i] * share;                                                \
        for (size_t p = 0; p < pixels; p++)                                                                            \
            for (int i = 0; i < (count); i++) {                                                                        \
                lanes far = *(const lanes *)(x + (ptrdiff_t)p * stride + (c) + i * (width)) - centre[i];               \
                spread[i] += far * far;                                                                                \
            }                                                                                                          \
        for (int i = 0; i < (count); i++) {                                                                            \
            *(lanes *)(mean + (c) + i * (width)) = centre[i];                                                          \
            *(lanes *)(squares + (c) + i * (width)) = spread[i];                                                       \
        }                                                                                                              \
    } while (0)
    FOR_CHANNEL_BLOCKS(channels, MOMENTS);
}

ENGINE_CLONES
void engine_scale_relu(const float *x, ptrdiff_t x_stride, float *y, ptrdiff_t y_stride, size_t pixels,
                       size_t channels, const float *scale, const float *shift) {
    for (size_t p = 0; p < pixels; p++) {
        const float *from = x + (ptrdiff_t)p * x_stride;
        float *to = y + (ptrdiff_t)p * y_stride;
        for (size_t c = 0; c < channels; c++) {
            const float z = from[c] * scale[c] + shift[c];
            to[c] = 0.0f > z ? 0.0f : z;
        }
    }
}

ENGINE_CLONES
void engine_norm_sums(const float *gradient, ptrdiff_t gradient_stride, const float *x, ptrdiff_t x_stride,
                      size_t pixels, size_t channels, const float *scale, const float *shift, const float *mean,
                      float *sum, float *product) {
    // Sixteen channels at a time: two sums and three constants for each lane must fit the registers.
    size_t c = 0;
    for (; c < channels; c += 16) {
        const size_t width = channels - c < 16 ? channels - c : 16;
        float total[16] = {0}, weighted[16] = {0};
        if (width == 16) {
            lanes16 a = {0}, b = {0};
            const lanes16 s = *(const lanes16 *)(scale + c), t = *(const lanes16 *)(shift + c);
            const lanes16 m = *(const lanes16 *)(mean + c);
            for (size_t p = 0; p < pixels; p++) {
                const lanes16 v = *(const lanes16 *)(x + (ptrdiff_t)p * x_stride + c);
                lanes16 d = *(const lanes16 *)(gradient + (ptrdiff_t)p * gradient_stride + c);
                const lanes16 z = v * s + t;
                d = (lanes16)((mask16)d & (mask16)(z > 0.0f));
                a += d;
                b += d * (v - m);
            }
            *(lanes16 *)total = a;
            *(lanes16 *)weighted = b;
        } else {
            for (size_t p = 0; p < pixels; p++) {
                const float *v = x + (ptrdiff_t)p * x_stride + c;
                const float *d = gradient + (ptrdiff_t)p * gradient_stride + c;
                for (size_t i = 0; i < width; i++) {
                    const float open = v[i] * scale[c + i] + shift[c + i] > 0.0f ? d[i] : 0.0f;
                    total[i] += open;
                    weighted[i] += open * (v[i] - mean[c + i]);
                }
            }
        }
        for (size_t i = 0; i < width; i++) {
            sum[c + i] = total[i];
            product[c + i] = weighted[i];
        }
    }
}

ENGINE_CLONES
void engine_norm_gradient(float *gradient, ptrdiff_t gradient_stride, const float *x, ptrdiff_t x_stride,
                          size_t pixels, size_t channels, const float *scale, const float *shift, const float *mean,
                          const float *slope, const float *offset) {
    for (size_t p = 0; p < pixels; p++) {
        const float *v = x + (ptrdiff_t)p * x_stride;
        float *d = gradient + (ptrdiff_t)p * gradient_stride;
        for (size_t c = 0; c < channels; c++) {
            const float open = v[c] * scale[c] + shift[c] > 0.0f ? d[c] : 0.0f;
            d[c] = scale[c] * open + slope[c] * (v[c] - mean[c]) + offset[c];
        }
    }
}
