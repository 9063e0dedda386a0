// What every decoder of this target returns and what it is asked for.
#pragma once
#include <stdint.h>

typedef enum {
    CODEC_OK = 0,
    /// The bytes end before the picture does.
    CODEC_CUT_OFF,
    /// The bytes are not what the format says they should be.
    CODEC_DAMAGED,
    /// A sound file of a kind that is not read.
    CODEC_UNSUPPORTED,
    /// The system had no memory.
    CODEC_MEMORY
} codec_status;

enum { CODEC_MESSAGE_SIZE = 256 };

/// Rows `row..<row + rows` and columns `column..<column + columns` of a picture. The caller has checked that they lie
/// inside it and that none is empty.
typedef struct {
    uint32_t row, column, rows, columns;
} codec_region;
