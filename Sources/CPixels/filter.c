// Pillow's bilinear filter on bytes: each pass sums in integers and rounds to bytes.

#include "pixels_internal.h"

enum { fraction_bits = 22 };

PS_CLONES
void ps_filter_columns(
    uint8_t *out, const uint8_t *bytes, const int32_t *first, const int32_t *taps, const int32_t *start,
    const int32_t *weight, size_t pixels) {
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *pixel = bytes + 3 * (size_t)first[i];
        const int32_t *factor = weight + start[i];
        const int32_t half = 1 << (fraction_bits - 1);
        ps_int4 sum = {half, half, half, half};
        for (int32_t k = 0; k < taps[i]; k++, pixel += 3) {
            ps_byte4 value;
            memcpy(&value, pixel, 4);
            sum += __builtin_convertvector(value, ps_int4) * factor[k];
        }
        sum >>= fraction_bits;
        const ps_int4 above = sum > 255;
        sum = (sum & ~above) | (above & 255);
        ps_byte4 result = __builtin_convertvector(sum, ps_byte4);
        memcpy(out + 3 * i, &result, 4);
    }
}

PS_CLONES
void ps_filter_rows(
    uint8_t *out, const uint8_t *bytes, size_t stride, const int32_t *weight, size_t taps, size_t count) {
    enum { block = 64 };
    for (size_t begin = 0; begin < count; begin += block) {
        const size_t length = count - begin < block ? count - begin : block;
        int32_t sum[block];
        for (size_t i = 0; i < block; i++) sum[i] = 1 << (fraction_bits - 1);
        for (size_t k = 0; k < taps; k++) {
            const uint8_t *row = bytes + k * stride + begin;
            const int32_t factor = weight[k];
            if (length == block) {
                for (size_t i = 0; i < block; i++) sum[i] += row[i] * factor;
            } else {
                for (size_t i = 0; i < length; i++) sum[i] += row[i] * factor;
            }
        }
        for (size_t i = 0; i < length; i++) {
            const int32_t value = sum[i] >> fraction_bits;
            out[begin + i] = (uint8_t)(value > 255 ? 255 : value);
        }
    }
}
