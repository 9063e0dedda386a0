// The catalogue of pairs.
#include "winograd.h"

extern const winograd_transforms winograd_6_3x3, winograd_4_3x3, winograd_4_5x5, winograd_2_5x5, winograd_6_1x7,
    winograd_4_1x7, winograd_6_1x3, winograd_4_1x3, winograd_6_7x1, winograd_4_7x1, winograd_6_3x1, winograd_4_3x1,
    winograd_3_3x3_2, winograd_2_3x3_2;

static const winograd_transforms *const pairs[] = {
    &winograd_6_3x3, &winograd_4_3x3, &winograd_4_5x5, &winograd_2_5x5, &winograd_6_1x7,   &winograd_4_1x7,   &winograd_6_1x3,
    &winograd_4_1x3, &winograd_6_7x1, &winograd_4_7x1, &winograd_6_3x1, &winograd_4_3x1, &winograd_3_3x3_2, &winograd_2_3x3_2,
};

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
