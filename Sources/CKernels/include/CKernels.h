// The vectorised loops that Swift calls.
#pragma once
#include "optimizer.h"
