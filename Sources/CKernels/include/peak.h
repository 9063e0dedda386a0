// The processor's peak in fused multiply-adds, to hold the engine's speed against.
#pragma once
#include <stddef.h>

/// Numbers of sums that engine_fma takes: the most a processor keeps in registers is the fastest, and which that is
/// depends on its registers.
enum { ENGINE_FMA_FEW = 3, ENGINE_FMA_SOME = 7, ENGINE_FMA_MANY = 14 };

/// `rounds` times sum = sum * factor + term on `sums` (one of the above) independent vectors of 16 floats: 32 * sums *
/// rounds floating-point operations and nothing else. Returns the total, which must be used.
float engine_fma(size_t rounds, int sums, float factor, float term);
