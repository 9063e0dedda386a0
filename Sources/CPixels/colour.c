// TensorFlow's colour operations on three planes of values in 0...1 and beyond. None of them branches on a pixel.

#include "pixels_internal.h"

static inline float larger(float a, float b) { return a > b ? a : b; }
static inline float smaller(float a, float b) { return a < b ? a : b; }
static inline float magnitude(float x) { return x < 0 ? -x : x; }
static inline float unit_range(float x) { return smaller(larger(x, 0), 1); }

PS_CLONES
void ps_brightness(float *planes, float amount, size_t pixels) {
    PS_INDEPENDENT
    for (size_t i = 0; i < 3 * pixels; i++) planes[i] += amount;
}

// With the hue and the largest component kept, a new saturation moves each component towards the largest or away from it
// by one factor. The factor ends where the saturation would exceed 1, at top / span.
PS_CLONES
void ps_saturation(float *planes, float factor, size_t pixels) {
    float *red = planes, *green = planes + pixels, *blue = planes + 2 * pixels;
    PS_INDEPENDENT
    for (size_t i = 0; i < pixels; i++) {
        float r = red[i], g = green[i], b = blue[i];
        float top = larger(larger(r, g), b);
        float span = top - smaller(smaller(r, g), b);
        float most = top / (span > 0 ? span : 1);
        // Grey pixels have no distance to scale.
        float scale = top > 0 ? (span > 0 ? smaller(factor, most) : factor) : 0;
        red[i] = top - (top - r) * scale;
        green[i] = top - (top - g) * scale;
        blue[i] = top - (top - b) * scale;
    }
}

PS_CLONES
void ps_hue(float *planes, float turns, size_t pixels) {
    const float sixths = 6 * turns;
    float *red = planes, *green = planes + pixels, *blue = planes + 2 * pixels;
    PS_INDEPENDENT
    for (size_t i = 0; i < pixels; i++) {
        float r = red[i], g = green[i], b = blue[i];
        float top = larger(larger(r, g), b);
        float low = smaller(smaller(r, g), b);
        float span = top - low;
        // The hue in sixths, -1...5: by the largest component.
        float difference = r == top ? g - b : (g == top ? b - r : r - g);
        float sector = r == top ? 0 : (g == top ? 2.0f : 4.0f);
        float hue = sector + difference / (span > 0 ? span : 1) + sixths;
        hue = hue < 0 ? hue + 6 : hue;
        hue = hue >= 6 ? hue - 6 : hue;
        red[i] = low + span * unit_range(magnitude(hue - 3) - 1);
        green[i] = low + span * unit_range(2 - magnitude(hue - 2));
        blue[i] = low + span * unit_range(2 - magnitude(hue - 4));
    }
}

PS_CLONES
void ps_add_to_sums(double *sums, const float *planes, size_t pixels) {
    PS_INDEPENDENT
    for (size_t i = 0; i < 3 * pixels; i++) sums[i] += (double)planes[i];
}

PS_CLONES
void ps_contrast(float *planes, const float mean[3], float factor, size_t pixels) {
    for (size_t channel = 0; channel < 3; channel++) {
        float *plane = planes + channel * pixels;
        const float middle = mean[channel];
        PS_INDEPENDENT
        for (size_t i = 0; i < pixels; i++) plane[i] = (plane[i] - middle) * factor + middle;
    }
}

PS_CLONES
void ps_planes_to_symmetric(float *out, const float *planes, size_t pixels) {
    const float *red = planes, *green = planes + pixels, *blue = planes + 2 * pixels;
    PS_INDEPENDENT
    for (size_t i = 0; i < pixels; i++) {
        out[3 * i] = (unit_range(red[i]) - 0.5f) * 2;
        out[3 * i + 1] = (unit_range(green[i]) - 0.5f) * 2;
        out[3 * i + 2] = (unit_range(blue[i]) - 0.5f) * 2;
    }
}
