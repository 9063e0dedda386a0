// CRC-32C (Castagnoli), the checksum of TFRecord files, and a fingerprint made of it.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The CRC-32C of `length` bytes behind those whose CRC-32C is `crc`; 0 before the first. Uses the processor's own
/// instruction where it has one; the result is the same either way.
uint32_t ps_crc32c(uint32_t crc, const void *bytes, size_t length);

/// The same by tables, on any processor: what `ps_crc32c` falls back to and is tested against.
uint32_t ps_crc32c_portable(uint32_t crc, const void *bytes, size_t length);

/// Tells whether two blocks of memory hold the same bytes, but for one pair of different blocks in 2^32: the CRC-32C of
/// the CRC-32Cs of the block's four quarters, which a processor computes side by side at the speed of its memory. The
/// first three quarters are of whole words of eight bytes.
uint32_t ps_fingerprint(const void *bytes, size_t length);
