// Multiply-adds without loads or stores: as fast as this processor can.
#include "engine_internal.h"
#include "peak.h"

/// `sums` is a constant where this is inlined, so that the sums are registers.
ENGINE_INLINE float sum_up(size_t rounds, const int sums, float factor, float term) {
#pragma clang fp contract(fast)
    lanes16 sum[ENGINE_FMA_MANY], total = {0};
    for (int i = 0; i < sums; i++) sum[i] = total + (float)i;
    for (size_t round = 0; round < rounds; round++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < sums; i++) sum[i] = sum[i] * factor + term;
    }
    for (int i = 0; i < sums; i++) total += sum[i];
    float all = 0;
    for (int lane = 0; lane < 16; lane++) all += total[lane];
    return all;
}

ENGINE_CLONES
float engine_fma(size_t rounds, int sums, float factor, float term) {
    switch (sums) {
    case ENGINE_FMA_FEW: return sum_up(rounds, ENGINE_FMA_FEW, factor, term);
    case ENGINE_FMA_SOME: return sum_up(rounds, ENGINE_FMA_SOME, factor, term);
    case ENGINE_FMA_MANY: return sum_up(rounds, ENGINE_FMA_MANY, factor, term);
    default: __builtin_trap();
    }
}
