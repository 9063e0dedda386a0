// Nothing to call: linking the target is its effect.
#pragma once
