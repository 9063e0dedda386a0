// Decoding and encoding of compressed pictures for Swift: no callback, no jump and no global state crosses into it.
#pragma once
#include "codec_jpeg.h"
#include "codec_pixels.h"
#include "codec_png.h"
#include "codec_status.h"
#include "codec_webp.h"
