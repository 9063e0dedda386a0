// Arithmetic of the servers over contiguous float32 slices: ordered sums, norms, updates.
//
// Every function gives the same bits on every instruction set: each element's operations and their order are written
// out, sums run in fixed lanes, and the target is built without contraction.
#pragma once
#include <stddef.h>

#if defined(__cplusplus)
extern "C" {
#endif

/// sum[i] += values[i]
void ps_add(float *sum, const float *values, size_t count);

/// gradient[i] = (sum[i] + addend[i]) * scale + weight_decay * weights[i]; returns the sum of gradient[i]^2.
///
/// `addend` and `weights` may each be NULL, which drops their term. `gradient` may be `sum` or `addend`.
/// The squares are exact in float64; element i is added to lane i % 16, and the lanes are folded in halves
/// (16, 8, 4, 2, 1). The result is finite if and only if every element of `gradient` is.
double ps_finish(
    float *gradient, const float *sum, const float *addend, const float *weights, float scale, float weight_decay,
    size_t count);

/// The numbers of one commit's update.
typedef struct {
    float clip_scale;
    float learning_rate;
    /// 1 - decay of the mean square; not used by momentum.
    float mean_square_step;
    float momentum;
    float epsilon;
    /// 1 - decay of the running average.
    float average_step;
} ps_update_rates;

/// TensorFlow's RMSProp on weights `weights`, written to `updated` (may be the same pointer):
///
///     g = gradient * clip_scale
///     mean_square += (g * g - mean_square) * mean_square_step
///     momentum = momentum * rates.momentum + (learning_rate * g) / sqrt(mean_square + epsilon)
///     updated = weights - momentum
///     average -= (average - updated) * average_step
void ps_rmsprop(
    float *updated, const float *weights, const float *gradient, float *mean_square, float *momentum, float *average,
    const ps_update_rates *rates, size_t count);

/// Momentum: momentum = momentum * rates.momentum + learning_rate * g; the rest as `ps_rmsprop`.
void ps_momentum(
    float *updated, const float *weights, const float *gradient, float *momentum, float *average,
    const ps_update_rates *rates, size_t count);

/// folded = running + (mean - running) * step; average -= (average - folded) * average_step.
/// `folded` may be `running`.
void ps_fold(
    float *folded, const float *running, const float *mean, float *average, float step, float average_step,
    size_t count);

#if defined(__cplusplus)
}
#endif
