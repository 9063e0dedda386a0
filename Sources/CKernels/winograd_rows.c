// Winograd for kernels of one row: F(6,7) and F(4,7) for 1x7, F(6,3) and F(4,3) for 1x3.
#include "winograd_internal.h"

#define VERTICAL f1_1
#define HORIZONTAL f6_7
#define PAIR 6_1x7
#include "winograd_template.h"

#define VERTICAL f1_1
#define HORIZONTAL f4_7
#define PAIR 4_1x7
#include "winograd_template.h"

#define VERTICAL f1_1
#define HORIZONTAL f6_3
#define PAIR 6_1x3
#include "winograd_template.h"

#define VERTICAL f1_1
#define HORIZONTAL f4_3
#define PAIR 4_1x3
#include "winograd_template.h"
