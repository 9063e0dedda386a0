// CRC-32C by SSE4.2's instruction, or eight bytes at a time by tables.

#include "CChecksums.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

// 0x1EDC6F41 with its bits reversed, as the checksum runs lowest bit first.
#define POLYNOMIAL 0x82F63B78u

static uint32_t table[8][256];
static pthread_once_t table_made = PTHREAD_ONCE_INIT;

// table[k][b]: what byte b does to the checksum when k bytes more follow it.
static void make_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        table[0][byte] = crc;
    }
    for (int behind = 1; behind < 8; behind++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = table[behind - 1][byte];
            table[behind][byte] = before >> 8 ^ table[0][before & 255];
        }
    }
}

uint32_t ps_crc32c_portable(uint32_t crc, const void *bytes, size_t length) {
    pthread_once(&table_made, make_table);
    const uint8_t *next = bytes;
    crc = ~crc;
    for (; length >= 8; length -= 8, next += 8) {
        uint32_t low = (uint32_t)next[0] | (uint32_t)next[1] << 8 | (uint32_t)next[2] << 16 | (uint32_t)next[3] << 24;
        low ^= crc;
        crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24]
            ^ table[3][next[4]] ^ table[2][next[5]] ^ table[1][next[6]] ^ table[0][next[7]];
    }
    for (; length > 0; length--, next++) crc = crc >> 8 ^ table[0][(crc ^ *next) & 255];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *next, size_t length) {
    uint64_t wide = ~crc;
    for (; length >= 8; length -= 8, next += 8) {
        uint64_t word;
        memcpy(&word, next, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    uint32_t narrow = (uint32_t)wide;
    for (; length > 0; length--, next++) narrow = _mm_crc32_u8(narrow, *next);
    return ~narrow;
}
#endif

uint32_t ps_crc32c(uint32_t crc, const void *bytes, size_t length) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return by_instruction(crc, bytes, length);
#endif
    return ps_crc32c_portable(crc, bytes, length);
}
