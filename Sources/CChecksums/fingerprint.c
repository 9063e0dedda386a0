// The fingerprint of a block of memory: sums that any processor makes in its vector registers, so that it costs no more
// than reading the block does.

#include "CChecksums.h"

#include <string.h>

// Wide enough that the additions of one round wait for none of the last.
#define LANES 16

uint32_t ps_fingerprint(const void *bytes, size_t length) {
    // Fletcher's sums, by lane: `sum` shows any word that changed, `sum_of_sums` any two that changed places.
    uint32_t sum[LANES] = {0}, sum_of_sums[LANES] = {0}, words[LANES];
    const uint8_t *next = bytes;
    size_t left = length;
    for (; left >= sizeof words; left -= sizeof words, next += sizeof words) {
        memcpy(words, next, sizeof words);
        for (int lane = 0; lane < LANES; lane++) {
            sum[lane] += words[lane];
            sum_of_sums[lane] += sum[lane];
        }
    }
    uint64_t size = length;
    uint32_t crc = ps_crc32c(0, sum, sizeof sum);
    crc = ps_crc32c(crc, sum_of_sums, sizeof sum_of_sums);
    crc = ps_crc32c(crc, next, left);
    return ps_crc32c(crc, &size, sizeof size);
}
