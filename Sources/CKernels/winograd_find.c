// The catalogue of pairs.
#include "winograd.h"

#define PAIRS(DO) \
    DO(6_3x3) DO(4_3x3) DO(4_5x5) DO(2_5x5) DO(6_1x7) DO(4_1x7) DO(6_7x1) DO(4_7x1) DO(6_1x3) DO(4_1x3) DO(6_3x1) \
    DO(4_3x1) DO(3_3x3_2) DO(2_3x3_2)

#define DECLARE(pair) extern const winograd_transforms winograd_##pair;
PAIRS(DECLARE)

#define ADDRESS(pair) &winograd_##pair,
static const winograd_transforms *const pairs[] = {PAIRS(ADDRESS)};

static int is(winograd_axis axis, int outputs, int taps, int stride) {
    return axis.outputs == outputs && axis.taps == taps && axis.stride == stride;
}

const winograd_transforms *winograd_find(int vertical_outputs, int vertical_taps, int vertical_stride,
                                         int horizontal_outputs, int horizontal_taps, int horizontal_stride) {
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (is(pairs[i]->vertical, vertical_outputs, vertical_taps, vertical_stride) &&
            is(pairs[i]->horizontal, horizontal_outputs, horizontal_taps, horizontal_stride))
            return pairs[i];
    return NULL;
}
