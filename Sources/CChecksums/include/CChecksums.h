// CRC-32C (Castagnoli), the checksum of TFRecord files, and a fingerprint of memory.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The CRC-32C of `length` bytes behind those whose CRC-32C is `crc`; 0 before the first. Uses the processor's own
/// instruction where it has one; the result is the same either way.
uint32_t ps_crc32c(uint32_t crc, const void *bytes, size_t length);

/// The same by tables, on any processor: what `ps_crc32c` falls back to and is tested against.
uint32_t ps_crc32c_portable(uint32_t crc, const void *bytes, size_t length);

/// Tells whether two blocks of memory hold the same bytes, but for one pair of different blocks in about 2^32: the CRC-32C
/// of sixteen Fletcher sums of the block's words, of the bytes behind its last 64, and of its length. It is fast, and
/// differs between processors of different byte orders: it is compared where it was made, never kept or sent.
uint32_t ps_fingerprint(const void *bytes, size_t length);
