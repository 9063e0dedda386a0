// What the engine's C files share: instruction-set clones and blocks of channels held in registers.
#pragma once
#include "engine.h"

// One copy of a function for each x86 level, chosen when the program starts. The loops keep one lane per channel, so all
// copies give the same bits, but in files that allow contraction, where those with a fused multiply-add round otherwise.
#if defined(__x86_64__)
#define ENGINE_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define ENGINE_CLONES
#endif
#define ENGINE_INLINE static inline __attribute__((always_inline))

// Sixteen and four channels, and the bits of sixteen; aligned like float so that any address may be loaded.
typedef float lanes16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t mask16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint8_t bytes16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef float lanes4 __attribute__((vector_size(16), aligned(4), may_alias));

/// Walks output pixels in order, without a division per pixel.
typedef struct {
    ptrdiff_t image;
    int y, x;
} engine_cursor;

ENGINE_INLINE engine_cursor engine_cursor_at(size_t pixel, int height, int width) {
    size_t area = (size_t)height * (size_t)width;
    size_t inside = pixel % area;
    return (engine_cursor){(ptrdiff_t)(pixel / area), (int)(inside / (size_t)width), (int)(inside % (size_t)width)};
}

ENGINE_INLINE void engine_cursor_next(engine_cursor *cursor, int height, int width) {
    if (++cursor->x < width) return;
    cursor->x = 0;
    if (++cursor->y < height) return;
    cursor->y = 0;
    cursor->image++;
}

ENGINE_INLINE int engine_min(int a, int b) { return a < b ? a : b; }
ENGINE_INLINE int engine_max(int a, int b) { return a > b ? a : b; }
