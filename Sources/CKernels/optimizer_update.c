// The updates of a commit, each one pass over memory: gradient to weights, slots and running average.

#include "optimizer.h"
#include "optimizer_clones.h"
#include <math.h>

PS_CLONES
void ps_rmsprop(
    float *updated, const float *weights, const float *gradient, float *mean_square, float *momentum, float *average,
    const ps_update_rates *rates, size_t count) {
    const ps_update_rates r = *rates;
    PS_INDEPENDENT
    for (size_t i = 0; i < count; i++) {
        float g = gradient[i] * r.clip_scale;
        float square = mean_square[i] + (g * g - mean_square[i]) * r.mean_square_step;
        float velocity = momentum[i] * r.momentum + (r.learning_rate * g) / sqrtf(square + r.epsilon);
        float weight = weights[i] - velocity;
        mean_square[i] = square;
        momentum[i] = velocity;
        updated[i] = weight;
        average[i] = average[i] - (average[i] - weight) * r.average_step;
    }
}

PS_CLONES
void ps_momentum(
    float *updated, const float *weights, const float *gradient, float *momentum, float *average,
    const ps_update_rates *rates, size_t count) {
    const ps_update_rates r = *rates;
    PS_INDEPENDENT
    for (size_t i = 0; i < count; i++) {
        float g = gradient[i] * r.clip_scale;
        float velocity = momentum[i] * r.momentum + r.learning_rate * g;
        float weight = weights[i] - velocity;
        momentum[i] = velocity;
        updated[i] = weight;
        average[i] = average[i] - (average[i] - weight) * r.average_step;
    }
}

PS_CLONES
void ps_fold(
    float *folded, const float *running, const float *mean, float *average, float step, float average_step,
    size_t count) {
    PS_INDEPENDENT
    for (size_t i = 0; i < count; i++) {
        float value = running[i] + (mean[i] - running[i]) * step;
        folded[i] = value;
        average[i] = average[i] - (average[i] - value) * average_step;
    }
}
