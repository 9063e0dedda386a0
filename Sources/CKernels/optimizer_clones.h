// How the optimizer's loops are compiled: once per instruction set, chosen when the program starts.
#pragma once

#if defined(__x86_64__)
#define PS_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define PS_CLONES
#endif

// The following loop reads and writes only index i in each iteration, so it may be vectorised even where two pointers
// are equal. (Pointers that overlap otherwise are the caller's mistake.)
#define PS_INDEPENDENT _Pragma("clang loop vectorize(assume_safety) interleave(enable)")
