// Pillow's bilinear filter on bytes: each pass sums in integers and rounds to bytes.

#include "pixels_internal.h"

enum { fraction_bits = 22, half = 1 << (fraction_bits - 1) };

// Inlined with a constant number of taps where that is small: the loops over taps then unroll, and nothing is guessed by
// the branch predictor.
static inline __attribute__((always_inline)) void columns_of(
    uint8_t *out, const uint8_t *bytes, const int32_t *first, const int32_t *weight, size_t taps, size_t pixels) {
    const ps_int4 most = {255, 255, 255, 255};
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *pixel = bytes + 3 * (size_t)first[i];
        const int32_t *factor = weight + taps * i;
        ps_int4 sum = {half, half, half, half};
        for (size_t k = 0; k < taps; k++) {
            ps_byte4 value;
            memcpy(&value, pixel + 3 * k, 4);
            sum += __builtin_convertvector(value, ps_int4) * factor[k];
        }
        sum = __builtin_elementwise_min(sum >> fraction_bits, most);
        const ps_byte4 result = __builtin_convertvector(sum, ps_byte4);
        // Four bytes for a pixel of three: the next pixel writes over the fourth.
        memcpy(out + 3 * i, &result, 4);
    }
}

PS_CLONES
void ps_filter_columns(
    uint8_t *out, const uint8_t *bytes, const int32_t *first, const int32_t *weight, size_t taps, size_t pixels) {
    switch (taps) {
    case 1: columns_of(out, bytes, first, weight, 1, pixels); break;
    case 2: columns_of(out, bytes, first, weight, 2, pixels); break;
    case 3: columns_of(out, bytes, first, weight, 3, pixels); break;
    case 4: columns_of(out, bytes, first, weight, 4, pixels); break;
    case 5: columns_of(out, bytes, first, weight, 5, pixels); break;
    default: columns_of(out, bytes, first, weight, taps, pixels); break;
    }
}

static inline __attribute__((always_inline)) void rows_of(
    uint8_t *out, const uint8_t *bytes, size_t stride, const int32_t *weight, size_t taps, size_t count) {
    PS_INDEPENDENT
    for (size_t i = 0; i < count; i++) {
        int32_t sum = half;
        for (size_t k = 0; k < taps; k++) sum += bytes[k * stride + i] * weight[k];
        const int32_t value = sum >> fraction_bits;
        out[i] = (uint8_t)(value > 255 ? 255 : value);
    }
}

// Any number of taps, summed block by block.
static inline __attribute__((always_inline)) void rows_of_many(
    uint8_t *out, const uint8_t *bytes, size_t stride, const int32_t *weight, size_t taps, size_t count) {
    enum { block = 256 };
    for (size_t begin = 0; begin < count; begin += block) {
        const size_t length = count - begin < block ? count - begin : block;
        int32_t sum[block];
        for (size_t i = 0; i < length; i++) sum[i] = half;
        for (size_t k = 0; k < taps; k++) {
            const uint8_t *row = bytes + k * stride + begin;
            const int32_t factor = weight[k];
            for (size_t i = 0; i < length; i++) sum[i] += row[i] * factor;
        }
        for (size_t i = 0; i < length; i++) {
            const int32_t value = sum[i] >> fraction_bits;
            out[begin + i] = (uint8_t)(value > 255 ? 255 : value);
        }
    }
}

PS_CLONES
void ps_filter_rows(
    uint8_t *out, const uint8_t *bytes, size_t stride, const int32_t *weight, size_t taps, size_t count) {
    switch (taps) {
    case 1: rows_of(out, bytes, stride, weight, 1, count); break;
    case 2: rows_of(out, bytes, stride, weight, 2, count); break;
    case 3: rows_of(out, bytes, stride, weight, 3, count); break;
    case 4: rows_of(out, bytes, stride, weight, 4, count); break;
    case 5: rows_of(out, bytes, stride, weight, 5, count); break;
    default: rows_of_many(out, bytes, stride, weight, taps, count); break;
    }
}
