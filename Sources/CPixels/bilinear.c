// Bilinear resampling, bytes to floats.

#include "pixels_internal.h"

PS_CLONES
void ps_bilinear_row(
    float *out, const uint8_t *bytes, const int32_t *first, const int32_t *second, const float *weight, float unit,
    size_t pixels) {
    for (size_t i = 0; i < pixels; i++) {
        ps_byte4 near, far;
        memcpy(&near, bytes + 3 * (size_t)first[i], 4);
        memcpy(&far, bytes + 3 * (size_t)second[i], 4);
        ps_float4 a = __builtin_convertvector(near, ps_float4) * unit;
        ps_float4 b = __builtin_convertvector(far, ps_float4) * unit;
        ps_float4 value = a + (b - a) * weight[i];
        // Four floats for a pixel of three: the next pixel writes over the fourth.
        memcpy(out + 3 * i, &value, 16);
    }
}

PS_CLONES
void ps_bilinear_symmetric(
    float *out, const float *upper, const float *lower, float weight, float divisor, size_t count) {
    if (divisor == 1) {
        PS_INDEPENDENT
        for (size_t i = 0; i < count; i++) {
            out[i] = (upper[i] + (lower[i] - upper[i]) * weight - 0.5f) * 2;
        }
    } else {
        PS_INDEPENDENT
        for (size_t i = 0; i < count; i++) {
            out[i] = ((upper[i] + (lower[i] - upper[i]) * weight) / divisor - 0.5f) * 2;
        }
    }
}

PS_CLONES
void ps_bilinear_planes(float *planes, const float *upper, const float *lower, float weight, size_t pixels) {
    float *red = planes, *green = planes + pixels, *blue = planes + 2 * pixels;
    PS_INDEPENDENT
    for (size_t i = 0; i < pixels; i++) {
        red[i] = upper[3 * i] + (lower[3 * i] - upper[3 * i]) * weight;
        green[i] = upper[3 * i + 1] + (lower[3 * i + 1] - upper[3 * i + 1]) * weight;
        blue[i] = upper[3 * i + 2] + (lower[3 * i + 2] - upper[3 * i + 2]) * weight;
    }
}
