// Passes over weight matrices: transposes between canonical and engine layouts, sums of partial gradients.
#include "engine_internal.h"

/// One step of a 16x16 transpose: rows i and i + distance exchange their off-diagonal blocks of that size.
#define TRANSPOSE_PAIR(r, i, j, low, high)                                                                            \
    do {                                                                                                               \
        const lanes16 a = (r)[i], b = (r)[j];                                                                          \
        (r)[i] = low;                                                                                                  \
        (r)[j] = high;                                                                                                 \
    } while (0)

ENGINE_INLINE void transpose16(const float *from, ptrdiff_t from_stride, float *to, ptrdiff_t to_stride) {
    lanes16 r[16];
    for (int i = 0; i < 16; i++) r[i] = *(const lanes16 *)(from + i * from_stride);
    for (int i = 0; i < 8; i++)
        TRANSPOSE_PAIR(r, i, i + 8,
                       __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
                       __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
    for (int h = 0; h < 16; h += 8)
        for (int i = h; i < h + 4; i++)
            TRANSPOSE_PAIR(r, i, i + 4,
                           __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27),
                           __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31));
    for (int h = 0; h < 16; h += 4)
        for (int i = h; i < h + 2; i++)
            TRANSPOSE_PAIR(r, i, i + 2,
                           __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),
                           __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31));
    for (int i = 0; i < 16; i += 2)
        TRANSPOSE_PAIR(r, i, i + 1,
                       __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30),
                       __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31));
    for (int i = 0; i < 16; i++) *(lanes16 *)(to + i * to_stride) = r[i];
}

ENGINE_CLONES
void engine_transpose(const float *from, ptrdiff_t from_stride, float *to, ptrdiff_t to_stride, size_t rows,
                      size_t columns) {
    const size_t whole_rows = rows / 16 * 16, whole_columns = columns / 16 * 16;
    for (size_t i = 0; i < whole_rows; i += 16)
        for (size_t j = 0; j < whole_columns; j += 16)
            transpose16(from + (ptrdiff_t)i * from_stride + (ptrdiff_t)j, from_stride,
                        to + (ptrdiff_t)j * to_stride + (ptrdiff_t)i, to_stride);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = i < whole_rows ? whole_columns : 0; j < columns; j++)
            to[(ptrdiff_t)j * to_stride + (ptrdiff_t)i] = from[(ptrdiff_t)i * from_stride + (ptrdiff_t)j];
}

ENGINE_CLONES
void engine_add_parts(float *first, ptrdiff_t part_stride, size_t parts, size_t count) {
    for (size_t part = 1; part < parts; part++) {
        const float *other = first + (ptrdiff_t)part * part_stride;
        for (size_t i = 0; i < count; i++) first[i] += other[i];
    }
}
