// What the pairs of schemes share: loads and stores of up to sixteen channels, and the norm.
//
// Unlike the rest of the target these files may contract a * b + c: the last bits of a transform then depend on the
// processor, as those of the matrix products between them do anyway.
#pragma once
#pragma clang fp contract(fast)
#include "engine_internal.h"
#include "winograd_transforms.h"
#include "winograd.h"

// Every function below is inlined, so no vector is passed by any calling convention.
#pragma clang diagnostic ignored "-Wpsabi"

ENGINE_INLINE lanes16 winograd_load(const float *from, int lanes) {
    if (lanes == 16) return *(const lanes16 *)from;
    lanes16 result = {0};
    for (int i = 0; i < lanes; i++) result[i] = from[i];
    return result;
}

ENGINE_INLINE void winograd_store(float *to, lanes16 value, int lanes) {
    if (lanes == 16)
        *(lanes16 *)to = value;
    else
        for (int i = 0; i < lanes; i++) to[i] = value[i];
}

/// Elements that lie `stride` apart.
ENGINE_INLINE lanes16 winograd_collect(const float *from, ptrdiff_t stride, int lanes) {
    lanes16 result = {0};
    for (int i = 0; i < lanes; i++) result[i] = from[i * stride];
    return result;
}

ENGINE_INLINE void winograd_spread(lanes16 value, float *to, ptrdiff_t stride, int lanes) {
    for (int i = 0; i < lanes; i++) to[i * stride] = value[i];
}

/// The larger of each two; a NaN stays one.
ENGINE_INLINE lanes16 winograd_at_least(lanes16 value, lanes16 floor) {
    const mask16 below = value < floor;
    return (lanes16)(((mask16)floor & below) | ((mask16)value & ~below));
}

/// x becomes max(x * scale + shift, floor); a map without a norm has 1, 0 and minus infinity, which changes nothing.
typedef struct {
    lanes16 scale, shift, floor;
} winograd_norm;

ENGINE_INLINE winograd_norm winograd_norm_at(const float *scale, const float *shift, float floor, int channel,
                                             int lanes) {
    const lanes16 zero = {0};
    if (scale) return (winograd_norm){
        winograd_load(scale + channel, lanes), winograd_load(shift + channel, lanes), zero + floor};
    return (winograd_norm){zero + 1.0f, zero, zero - __builtin_inff()};
}

ENGINE_INLINE lanes16 winograd_normalised(lanes16 value, winograd_norm norm) {
    return winograd_at_least(value * norm.scale + norm.shift, norm.floor);
}

/// A gradient's norm for some channels.
typedef struct {
    lanes16 scale, shift, mean, slope, offset;
    float floor;
} winograd_slopes;

ENGINE_INLINE winograd_slopes winograd_slopes_at(const winograd_gradient_norm *norm, int channel, int lanes) {
    return (winograd_slopes){
        winograd_load(norm->scale + channel, lanes), winograd_load(norm->shift + channel, lanes),
        winograd_load(norm->mean + channel, lanes), winograd_load(norm->slope + channel, lanes),
        winograd_load(norm->offset + channel, lanes), norm->floor};
}

ENGINE_INLINE lanes16 winograd_sloped(lanes16 gradient, lanes16 x, winograd_slopes s) {
    const lanes16 open = (lanes16)((mask16)gradient & (mask16)(x * s.scale + s.shift > s.floor));
    return s.scale * open + s.slope * (x - s.mean) + s.offset;
}
