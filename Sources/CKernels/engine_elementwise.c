// Sums of maps and ReLUs that no convolution takes along, and local response normalisation.
#include "engine_internal.h"

/// x as its reader sees it.
ENGINE_INLINE float seen(float x, const float *scale, const float *shift, float floor, size_t c) {
    if (!scale) return x;
    const float z = x * scale[c] + shift[c];
    return floor > z ? floor : z;
}

ENGINE_CLONES
void engine_add(const float *a, ptrdiff_t a_stride, const float *a_scale, const float *a_shift, float a_floor,
                const float *b, ptrdiff_t b_stride, const float *b_scale, const float *b_shift, float b_floor,
                float factor, float floor, float *y, ptrdiff_t y_stride, size_t pixels, size_t channels) {
    for (size_t p = 0; p < pixels; p++) {
        const float *first = a + (ptrdiff_t)p * a_stride, *second = b + (ptrdiff_t)p * b_stride;
        float *to = y + (ptrdiff_t)p * y_stride;
        for (size_t c = 0; c < channels; c++) {
            const float sum =
                seen(first[c], a_scale, a_shift, a_floor, c) + factor * seen(second[c], b_scale, b_shift, b_floor, c);
            to[c] = floor > sum ? floor : sum;
        }
    }
}

ENGINE_CLONES
void engine_open_gradient(const float *gradient, ptrdiff_t gradient_stride, const float *x, ptrdiff_t x_stride,
                          const float *scale, const float *shift, float floor, float factor, float *out,
                          ptrdiff_t out_stride, size_t pixels, size_t channels, int accumulate) {
    for (size_t p = 0; p < pixels; p++) {
        const float *d = gradient + (ptrdiff_t)p * gradient_stride, *v = x + (ptrdiff_t)p * x_stride;
        float *to = out + (ptrdiff_t)p * out_stride;
        if (scale)
            for (size_t c = 0; c < channels; c++) {
                const float open = v[c] * scale[c] + shift[c] > floor ? factor * d[c] : 0.0f;
                to[c] = accumulate ? to[c] + open : open;
            }
        else
            for (size_t c = 0; c < channels; c++) {
                const float open = v[c] > floor ? factor * d[c] : 0.0f;
                to[c] = accumulate ? to[c] + open : open;
            }
    }
}

/// sums[c] = the sum of the `size` values of `padded` from c on: a channel and its neighbours, where `padded` has
/// size / 2 zeros before the first channel and behind the last.
ENGINE_INLINE void sums_around(const float *padded, size_t channels, int size, float *sums) {
    for (size_t c = 0; c < channels; c++) sums[c] = padded[c];
    for (int j = 1; j < size; j++)
        for (size_t c = 0; c < channels; c++) sums[c] += padded[c + (size_t)j];
}

/// Where the first channel lies in a padded row whose borders this clears.
ENGINE_INLINE float *padded_row(float *padded, size_t channels, int size) {
    for (int j = 0; j < size / 2; j++) padded[j] = padded[(size_t)(size / 2 + j) + channels] = 0.0f;
    return padded + size / 2;
}

/// s^(-3/4) by roots, which every processor rounds alike.
ENGINE_INLINE float inverse_power(float s) {
    const float root = __builtin_sqrtf(s);
    return 1.0f / (root * __builtin_sqrtf(root));
}

ENGINE_CLONES
void engine_response_norm(const float *x, ptrdiff_t x_stride, const float *scale, const float *shift, float floor,
                          float *y, ptrdiff_t y_stride, size_t pixels, size_t channels, int size, float alpha, float k,
                          float *scratch) {
    const float share = alpha / (float)size;
    float *value = scratch, *sums = scratch + channels, *padded = scratch + 2 * channels;
    float *squares = padded_row(padded, channels, size);
    for (size_t p = 0; p < pixels; p++) {
        const float *from = x + (ptrdiff_t)p * x_stride;
        float *to = y + (ptrdiff_t)p * y_stride;
        for (size_t c = 0; c < channels; c++) {
            value[c] = seen(from[c], scale, shift, floor, c);
            squares[c] = value[c] * value[c];
        }
        sums_around(padded, channels, size, sums);
        for (size_t c = 0; c < channels; c++) to[c] = value[c] * inverse_power(k + share * sums[c]);
    }
}

ENGINE_CLONES
void engine_response_norm_gradient(const float *gradient, ptrdiff_t gradient_stride, const float *x,
                                   ptrdiff_t x_stride, const float *scale, const float *shift, float floor, float *out,
                                   ptrdiff_t out_stride, size_t pixels, size_t channels, int size, float alpha, float k,
                                   int accumulate, float *scratch) {
    const float share = alpha / (float)size;
    float *value = scratch, *sums = scratch + channels, *direct = scratch + 2 * channels;
    float *padded = scratch + 3 * channels;
    float *inside = padded_row(padded, channels, size);
    for (size_t p = 0; p < pixels; p++) {
        const float *from = x + (ptrdiff_t)p * x_stride, *d = gradient + (ptrdiff_t)p * gradient_stride;
        float *to = out + (ptrdiff_t)p * out_stride;
        for (size_t c = 0; c < channels; c++) {
            value[c] = seen(from[c], scale, shift, floor, c);
            inside[c] = value[c] * value[c];
        }
        sums_around(padded, channels, size, sums);
        // Through the numerator, and what each denominator passes on to its neighbours.
        for (size_t c = 0; c < channels; c++) {
            const float sum = k + share * sums[c];
            direct[c] = d[c] * inverse_power(sum);
            inside[c] = direct[c] * value[c] / sum;
        }
        sums_around(padded, channels, size, sums);
        for (size_t c = 0; c < channels; c++) {
            const float total = direct[c] - 1.5f * share * value[c] * sums[c];
            to[c] = accumulate ? to[c] + total : total;
        }
    }
}
