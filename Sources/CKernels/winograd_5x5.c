// Winograd for 5x5 kernels: F(4x4,5x5) and F(2x2,5x5).
#include "winograd_internal.h"

#define VERTICAL f4_5
#define HORIZONTAL f4_5
#define PAIR 4_5x5
#include "winograd_template.h"

#define VERTICAL f2_5
#define HORIZONTAL f2_5
#define PAIR 2_5x5
#include "winograd_template.h"
