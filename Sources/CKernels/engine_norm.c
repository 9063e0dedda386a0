// Batch norm's passes. Sums stay in registers while they walk the pixels: a whole number of 16-lane groups of channels
// at a time, then the channels that are left.
#include "engine_internal.h"

/// engine_moments for 16 * groups channels; `groups` is a constant where this is inlined.
ENGINE_INLINE void group_moments(const float *x, ptrdiff_t stride, size_t pixels, int groups, float *mean,
                                 float *squares) {
    lanes16 centre[4] = {0}, spread[4] = {0};
    for (size_t p = 0; p < pixels; p++)
        for (int g = 0; g < groups; g++) centre[g] += *(const lanes16 *)(x + (ptrdiff_t)p * stride + 16 * g);
    for (int g = 0; g < groups; g++) centre[g] *= 1.0f / (float)pixels;
    for (size_t p = 0; p < pixels; p++)
        for (int g = 0; g < groups; g++) {
            const lanes16 distance = *(const lanes16 *)(x + (ptrdiff_t)p * stride + 16 * g) - centre[g];
            spread[g] += distance * distance;
        }
    for (int g = 0; g < groups; g++) {
        *(lanes16 *)(mean + 16 * g) = centre[g];
        *(lanes16 *)(squares + 16 * g) = spread[g];
    }
}

ENGINE_CLONES
void engine_moments(const float *x, ptrdiff_t stride, size_t pixels, size_t channels, float *mean, float *squares) {
    size_t c = 0;
    for (; c + 64 <= channels; c += 64) group_moments(x + c, stride, pixels, 4, mean + c, squares + c);
    for (; c + 16 <= channels; c += 16) group_moments(x + c, stride, pixels, 1, mean + c, squares + c);
    const size_t rest = channels - c;
    float centre[16] = {0}, spread[16] = {0};
    for (size_t p = 0; p < pixels; p++)
        for (size_t i = 0; i < rest; i++) centre[i] += x[(ptrdiff_t)p * stride + (ptrdiff_t)(c + i)];
    for (size_t i = 0; i < rest; i++) centre[i] *= 1.0f / (float)pixels;
    for (size_t p = 0; p < pixels; p++)
        for (size_t i = 0; i < rest; i++) {
            const float distance = x[(ptrdiff_t)p * stride + (ptrdiff_t)(c + i)] - centre[i];
            spread[i] += distance * distance;
        }
    for (size_t i = 0; i < rest; i++) {
        mean[c + i] = centre[i];
        squares[c + i] = spread[i];
    }
}

ENGINE_CLONES
void engine_normalise(const float *x, ptrdiff_t x_stride, float *y, ptrdiff_t y_stride, size_t pixels, size_t channels,
                      const float *scale, const float *shift, float floor) {
    for (size_t p = 0; p < pixels; p++) {
        const float *from = x + (ptrdiff_t)p * x_stride;
        float *to = y + (ptrdiff_t)p * y_stride;
        for (size_t c = 0; c < channels; c++) {
            const float z = from[c] * scale[c] + shift[c];
            to[c] = floor > z ? floor : z;
        }
    }
}

ENGINE_CLONES
void engine_bias(float *y, ptrdiff_t stride, size_t pixels, size_t channels, const float *bias, float floor) {
    for (size_t p = 0; p < pixels; p++) {
        float *to = y + (ptrdiff_t)p * stride;
        for (size_t c = 0; c < channels; c++) {
            const float z = to[c] + bias[c];
            to[c] = floor > z ? floor : z;
        }
    }
}

/// engine_norm_sums for 16 * groups channels: several cache lines of each pixel at a time, which memory delivers faster
/// than single ones.
ENGINE_INLINE void group_norm_sums(const float *gradient, ptrdiff_t gradient_stride, const float *x, ptrdiff_t x_stride,
                                   size_t pixels, int groups, const float *scale, const float *shift, float floor,
                                   const float *mean, float *sum, float *product) {
    lanes16 a[4], b[4], centre[4], total[4], weighted[4];
    for (int g = 0; g < groups; g++) {
        a[g] = *(const lanes16 *)(scale + 16 * g);
        b[g] = *(const lanes16 *)(shift + 16 * g);
        centre[g] = *(const lanes16 *)(mean + 16 * g);
        total[g] = weighted[g] = (lanes16){0};
    }
    for (size_t p = 0; p < pixels; p++)
        for (int g = 0; g < groups; g++) {
            const lanes16 v = *(const lanes16 *)(x + (ptrdiff_t)p * x_stride + 16 * g);
            const mask16 d = *(const mask16 *)(gradient + (ptrdiff_t)p * gradient_stride + 16 * g);
            const lanes16 open = (lanes16)(d & (mask16)(v * a[g] + b[g] > floor));
            total[g] += open;
            weighted[g] += open * (v - centre[g]);
        }
    for (int g = 0; g < groups; g++) {
        *(lanes16 *)(sum + 16 * g) = total[g];
        *(lanes16 *)(product + 16 * g) = weighted[g];
    }
}

ENGINE_CLONES
void engine_norm_sums(const float *gradient, ptrdiff_t gradient_stride, const float *x, ptrdiff_t x_stride,
                      size_t pixels, size_t channels, const float *scale, const float *shift, float floor,
                      const float *mean, float *sum, float *product) {
    size_t c = 0;
    for (; c + 64 <= channels; c += 64)
        group_norm_sums(gradient + c, gradient_stride, x + c, x_stride, pixels, 4, scale + c, shift + c, floor, mean + c,
                        sum + c, product + c);
    for (; c + 32 <= channels; c += 32)
        group_norm_sums(gradient + c, gradient_stride, x + c, x_stride, pixels, 2, scale + c, shift + c, floor, mean + c,
                        sum + c, product + c);
    for (; c + 16 <= channels; c += 16)
        group_norm_sums(gradient + c, gradient_stride, x + c, x_stride, pixels, 1, scale + c, shift + c, floor, mean + c,
                        sum + c, product + c);
    const size_t rest = channels - c;
    float total[16] = {0}, weighted[16] = {0};
    for (size_t p = 0; p < pixels; p++) {
        const float *v = x + (ptrdiff_t)p * x_stride + c;
        const float *d = gradient + (ptrdiff_t)p * gradient_stride + c;
        for (size_t i = 0; i < rest; i++) {
            const float open = v[i] * scale[c + i] + shift[c + i] > floor ? d[i] : 0.0f;
            total[i] += open;
            weighted[i] += open * (v[i] - mean[c + i]);
        }
    }
    for (size_t i = 0; i < rest; i++) {
        sum[c + i] = total[i];
        product[c + i] = weighted[i];
    }
}

ENGINE_CLONES
void engine_norm_gradient(const float *gradient, ptrdiff_t gradient_stride, const float *x, ptrdiff_t x_stride,
                          float *out, ptrdiff_t out_stride, size_t pixels, size_t channels, const float *scale,
                          const float *shift, float floor, const float *mean, const float *slope, const float *offset) {
    for (size_t p = 0; p < pixels; p++) {
        const float *v = x + (ptrdiff_t)p * x_stride;
        const float *d = gradient + (ptrdiff_t)p * gradient_stride;
        float *to = out + (ptrdiff_t)p * out_stride;
        size_t c = 0;
        // Sixteen lanes by hand: `out` may be the gradient, so the compiler may not reorder its loads and stores.
        for (; c + 16 <= channels; c += 16) {
            const lanes16 a = *(const lanes16 *)(scale + c), value = *(const lanes16 *)(v + c);
            const mask16 passed = *(const mask16 *)(d + c);
            const lanes16 open = (lanes16)(passed & (mask16)(value * a + *(const lanes16 *)(shift + c) > floor));
            *(lanes16 *)(to + c) = a * open + *(const lanes16 *)(slope + c) * (value - *(const lanes16 *)(mean + c)) +
                                   *(const lanes16 *)(offset + c);
        }
        for (; c < channels; c++) {
            const float open = v[c] * scale[c] + shift[c] > floor ? d[c] : 0.0f;
            to[c] = scale[c] * open + slope[c] * (v[c] - mean[c]) + offset[c];
        }
    }
}
