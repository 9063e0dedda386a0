// From bytes to the network's values, and the mixing of finished pictures.

#include "pixels_internal.h"

// value / 255, rounded, for every byte value: 1/255 in two parts, whose first has so few bits that its product is exact.
static inline float unit_of(uint8_t value) { return (float)value * 0x1.01p-8f + (float)value * 0x1.010102p-24f; }

PS_CLONES
void ps_bytes_to_normalised(
    float *out, const uint8_t *bytes, const float mean[3], const float deviation[3], size_t pixels) {
    // As many values as there are lanes in any vector, times three channels.
    enum { block = 48 };
    float means[block], deviations[block];
    for (size_t i = 0; i < block; i++) {
        means[i] = mean[i % 3];
        deviations[i] = deviation[i % 3];
    }
    const size_t count = 3 * pixels;
    size_t begin = 0;
    for (; begin + block <= count; begin += block) {
        PS_INDEPENDENT
        for (size_t i = 0; i < block; i++) {
            out[begin + i] = (unit_of(bytes[begin + i]) - means[i]) / deviations[i];
        }
    }
    for (size_t i = 0; begin + i < count; i++) {
        out[begin + i] = (unit_of(bytes[begin + i]) - means[i]) / deviations[i];
    }
}

PS_CLONES
void ps_mix(float *out, const float *own, const float *partner, float share, float rest, size_t count) {
    PS_INDEPENDENT
    for (size_t i = 0; i < count; i++) out[i] = partner[i] * rest + own[i] * share;
}
