// Loops over pixels: from decoded bytes to a network's input. Pictures are rows x columns x 3, row-major, channels last.
//
// Every function gives the same bits on every instruction set.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Bilinear resampling, bytes to floats. --------------------------------------------------------------------------------

// One row: pixel i of `out` is a + (b - a) * weight[i], where a and b are the pixels first[i] and second[i] of `bytes`
// times `unit`. Reads one byte beyond a pixel, writes one float beyond the row.
void ps_bilinear_row(
    float *out, const uint8_t *bytes, const int32_t *first, const int32_t *second, const float *weight, float unit,
    size_t pixels);

// ((upper + (lower - upper) * weight) / divisor - 0.5) * 2.
void ps_bilinear_symmetric(
    float *out, const float *upper, const float *lower, float weight, float divisor, size_t count);

// upper + (lower - upper) * weight, as three planes of `pixels`, one after the other.
void ps_bilinear_planes(float *planes, const float *upper, const float *lower, float weight, size_t pixels);

// Colour, three planes of a row. ---------------------------------------------------------------------------------------

void ps_brightness(float *planes, float amount, size_t pixels);

// HSV's saturation times `factor` (not negative), cut to 1. A pixel whose largest value is not positive turns grey.
void ps_saturation(float *planes, float factor, size_t pixels);

// HSV's hue turned by `turns`, -0.5...0.5 of a full turn.
void ps_hue(float *planes, float turns, size_t pixels);

// sums[i] += planes[i] for 3 * pixels values.
void ps_add_to_sums(double *sums, const float *planes, size_t pixels);

// (x - mean) * factor + mean, a mean for each plane.
void ps_contrast(float *planes, const float mean[3], float factor, size_t pixels);

// Cut to 0...1, then (x - 0.5) * 2, three planes into pixels.
void ps_planes_to_symmetric(float *out, const float *planes, size_t pixels);

// Pillow's bilinear filter on bytes. -----------------------------------------------------------------------------------

// Weights of an output sample are integers in units of 2^-22; results are rounded and cut to bytes.

// One row: pixel i of `out` is the sum over k < taps of weight[i * taps + k] * pixel (first[i] + k) of `bytes`.
// Reads one byte beyond a pixel, writes one byte beyond the row.
void ps_filter_columns(
    uint8_t *out, const uint8_t *bytes, const int32_t *first, const int32_t *weight, size_t taps, size_t pixels);

// One row from `taps` rows that lie `stride` bytes apart.
void ps_filter_rows(
    uint8_t *out, const uint8_t *bytes, size_t stride, const int32_t *weight, size_t taps, size_t count);

// Values and batches. --------------------------------------------------------------------------------------------------

// (v / 255 - mean) / deviation.
void ps_bytes_to_normalised(
    float *out, const uint8_t *bytes, const float mean[3], const float deviation[3], size_t pixels);

// own * share + partner * rest; `out` may be `own`.
void ps_mix(float *out, const float *own, const float *partner, float share, float rest, size_t count);

// Pillow's operations on bytes. ----------------------------------------------------------------------------------------

// Pixel (x, y) of `out` is the nearest pixel to the place whose coordinates in units of 2^-16 are
// (at[2] + x * at[0] + y * at[1], at[5] + x * at[3] + y * at[4]); black outside.
void ps_affine_nearest(
    uint8_t *out, const uint8_t *bytes, const int32_t at[6], size_t rows, size_t columns);

// base + (v - base) * factor, cut off to a byte; in place.
void ps_blend_with_level(uint8_t *bytes, float base, float factor, size_t count);

// The same with the pixel's grey value as the base.
void ps_blend_with_grey(uint8_t *bytes, float factor, size_t pixels);

// The same with the picture smoothed by a 3 x 3 filter, whose border is the picture's.
void ps_blend_with_smooth(uint8_t *out, const uint8_t *bytes, float factor, size_t rows, size_t columns);

uint64_t ps_grey_sum(const uint8_t *bytes, size_t pixels);

// counts[256 * channel + value], added to.
void ps_histograms(uint32_t counts[768], const uint8_t *bytes, size_t pixels);

// table[256 * channel + value] for every byte; in place.
void ps_look_up(uint8_t *bytes, const uint8_t table[768], size_t pixels);
