// The vectorised loops that Swift calls.
#pragma once
#include "engine.h"
#include "optimizer.h"
#include "peak.h"
#include "winograd.h"
