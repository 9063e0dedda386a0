// Generated messages and the buffer that separates a message's head from its payload.
#pragma once
#include "parameter_server.pb-c.h"
#include "journal.pb-c.h"
#include "head_buffer.h"
