// CRC-32C (Castagnoli), the checksum of TFRecord files.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The CRC-32C of `length` bytes behind those whose CRC-32C is `crc`; 0 before the first. Uses the processor's own
/// instruction where it has one; the result is the same either way.
uint32_t ps_crc32c(uint32_t crc, const void *bytes, size_t length);

/// The same by tables, on any processor: what `ps_crc32c` falls back to and is tested against.
uint32_t ps_crc32c_portable(uint32_t crc, const void *bytes, size_t length);
