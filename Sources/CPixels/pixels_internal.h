// How the loops over pixels are compiled: once per instruction set, chosen when the program starts; and four-lane pixels.
#pragma once

#include "pixels.h"
#include <string.h>

#if defined(__x86_64__)
#define PS_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define PS_CLONES
#endif

// Each iteration of the following loop reads and writes only its own elements.
#define PS_INDEPENDENT _Pragma("clang loop vectorize(assume_safety) interleave(enable)")

// A pixel in the first three lanes; the fourth carries a neighbour's byte that is computed along and overwritten.
typedef float ps_float4 __attribute__((vector_size(16)));
typedef int32_t ps_int4 __attribute__((vector_size(16)));
typedef uint8_t ps_byte4 __attribute__((vector_size(4)));
