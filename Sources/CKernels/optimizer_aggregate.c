// Adding the tickets of a step, and the one pass that ends it: scale, weight decay, squared norm.

#include "optimizer.h"
#include "optimizer_clones.h"
#include <string.h>

// One lane holds the squares of every 16th element. Vector types rather than a loop over lanes: the order of the
// additions is then the program's, and no compiler option may change it.
#define LANES 16
typedef float floats __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef double doubles __attribute__((vector_size(LANES * sizeof(double))));

PS_CLONES
void ps_add(float *sum, const float *values, size_t count) {
    PS_INDEPENDENT
    for (size_t i = 0; i < count; i++) sum[i] = sum[i] + values[i];
}

// Always inlined with constant `has_...`, so that each combination becomes a loop without branches.
static inline __attribute__((always_inline)) double finish(
    float *gradient, const float *sum, const float *addend, const float *weights, int has_addend, int has_weights,
    float scale, float weight_decay, size_t count) {
    doubles lanes = {0};
    for (size_t i = 0; i < count; i += LANES) {
        // The last block is padded with zeros, which leave their lanes as they are.
        size_t here = count - i < LANES ? count - i : LANES;
        floats value = {0}, added = {0}, weight = {0};
        if (here == LANES) {
            value = *(const floats *)(sum + i);
            if (has_addend) added = *(const floats *)(addend + i);
            if (has_weights) weight = *(const floats *)(weights + i);
        } else {
            memcpy(&value, sum + i, here * sizeof(float));
            if (has_addend) memcpy(&added, addend + i, here * sizeof(float));
            if (has_weights) memcpy(&weight, weights + i, here * sizeof(float));
        }
        if (has_addend) value = value + added;
        value = value * scale;
        if (has_weights) value = value + weight * weight_decay;
        doubles wide = __builtin_convertvector(value, doubles);
        lanes = lanes + wide * wide;
        if (here == LANES) {
            *(floats *)(gradient + i) = value;
        } else {
            memcpy(gradient + i, &value, here * sizeof(float));
        }
    }
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int lane = 0; lane < width; lane++) lanes[lane] = lanes[lane] + lanes[lane + width];
    }
    return lanes[0];
}

PS_CLONES
double ps_finish(
    float *gradient, const float *sum, const float *addend, const float *weights, float scale, float weight_decay,
    size_t count) {
    if (addend && weights) return finish(gradient, sum, addend, weights, 1, 1, scale, weight_decay, count);
    if (addend) return finish(gradient, sum, addend, weights, 1, 0, scale, weight_decay, count);
    if (weights) return finish(gradient, sum, addend, weights, 0, 1, scale, weight_decay, count);
    return finish(gradient, sum, addend, weights, 0, 0, scale, weight_decay, count);
}
