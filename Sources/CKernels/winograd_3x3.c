// Winograd for 3x3 kernels: F(6x6,3x3) and F(4x4,3x3).
#include "winograd_internal.h"

#define VERTICAL f6_3
#define HORIZONTAL f6_3
#define PAIR 6_3x3
#include "winograd_template.h"

#define VERTICAL f4_3
#define HORIZONTAL f4_3
#define PAIR 4_3x3
#include "winograd_template.h"
