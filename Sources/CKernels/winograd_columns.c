// Winograd for kernels of one column: F(6,7) and F(4,7) for 7x1, F(6,3) and F(4,3) for 3x1.
#include "winograd_internal.h"

#define VERTICAL f6_7
#define HORIZONTAL f1_1
#define PAIR 6_7x1
#include "winograd_template.h"

#define VERTICAL f4_7
#define HORIZONTAL f1_1
#define PAIR 4_7x1
#include "winograd_template.h"

#define VERTICAL f6_3
#define HORIZONTAL f1_1
#define PAIR 6_3x1
#include "winograd_template.h"

#define VERTICAL f4_3
#define HORIZONTAL f1_1
#define PAIR 4_3x1
#include "winograd_template.h"
