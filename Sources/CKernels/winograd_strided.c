// Winograd by phases for 3x3 kernels at stride 2, three or two outputs along each axis.
#include "winograd_internal.h"

#define VERTICAL f3_3_2
#define HORIZONTAL f3_3_2
#define PAIR 3_3x3_2
#include "winograd_template.h"

#define VERTICAL f2_3_2
#define HORIZONTAL f2_3_2
#define PAIR 2_3x3_2
#include "winograd_template.h"
