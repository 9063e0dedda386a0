// Decoding of PNG by libspng. Only the chunks that make pixels are shown to the library: it never inflates a text or a
// colour profile, whose size nothing limits.
#include "codec_png.h"
#include <spng.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIGNATURE_SIZE = 8, CHUNK_OVERHEAD = 12, DEFLATE_LARGEST_RATIO = 1032 };
/// Working memory above this is given back after a picture.
static const size_t MOST_KEPT = (size_t)64 << 20;

struct codec_png {
    const uint8_t *bytes;
    size_t count;
    codec_png_header header;
    /// The chunk that is handed to the library next and how much of it was handed already.
    size_t chunk, handed;
    uint8_t *scratch;
    size_t scratch_size;
    char message[CODEC_MESSAGE_SIZE];
};

codec_png *codec_png_create(void) { return calloc(1, sizeof(codec_png)); }

void codec_png_destroy(codec_png *c) {
    if (!c) return;
    free(c->scratch);
    free(c);
}

const char *codec_png_message(const codec_png *c) { return c->message; }

static codec_status failed(codec_png *c, codec_status status, const char *message) {
    snprintf(c->message, sizeof c->message, "%s", message);
    return status;
}

// MARK: Chunks

static uint32_t big_endian(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int is_chunk(const codec_png *c, size_t at, const char *type) { return !memcmp(c->bytes + at + 4, type, 4); }

/// The size of the chunk at `at` with its length, type and checksum; 0 if it does not end inside the file.
static size_t chunk_size(const codec_png *c, size_t at) {
    if (c->count - at < CHUNK_OVERHEAD) return 0;
    const size_t length = big_endian(c->bytes + at);
    return length <= c->count - at - CHUNK_OVERHEAD ? length + CHUNK_OVERHEAD : 0;
}

/// Whether the library is to see a chunk: it makes pixels, or it is one that a reader must know (an upper-case letter
/// at the beginning), which the library then refuses.
static int makes_pixels(const codec_png *c, size_t at) {
    return !(c->bytes[at + 4] & 0x20) || is_chunk(c, at, "tRNS");
}

static size_t next_for_library(const codec_png *c, size_t at) {
    size_t size;
    while ((size = chunk_size(c, at)) && !makes_pixels(c, at)) at += size;
    return at;
}

/// Gives the library the signature and then one chunk after the other.
static int read_bytes(spng_ctx *library, void *user, void *to, size_t length) {
    (void)library;
    codec_png *c = user;
    uint8_t *target = to;
    while (length) {
        const size_t size = c->chunk ? chunk_size(c, c->chunk) : SIGNATURE_SIZE;
        if (!size) return SPNG_IO_EOF;
        const size_t part = length < size - c->handed ? length : size - c->handed;
        memcpy(target, c->bytes + c->chunk + c->handed, part);
        target += part;
        length -= part;
        c->handed += part;
        if (c->handed < size) continue;
        c->chunk = next_for_library(c, c->chunk + size);
        c->handed = 0;
    }
    return 0;
}

/// The bytes of all rows before compression, at least. The caller's limit of pixels comes after this, so the product may
/// be larger than any number.
static uint64_t fewest_row_bytes(const codec_png_header *h) {
    static const int channels[7] = {1, 0, 3, 1, 2, 0, 4};
    const uint64_t bits = (uint64_t)h->columns * (uint64_t)(h->bits * channels[h->colour_type]);
    return bits / 8 > UINT64_MAX / h->rows ? UINT64_MAX : bits / 8 * h->rows;
}

static codec_status read_header(codec_png *c) {
    static const uint8_t signature[SIGNATURE_SIZE] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    if (c->count < SIGNATURE_SIZE) return failed(c, CODEC_CUT_OFF, "");
    if (memcmp(c->bytes, signature, SIGNATURE_SIZE)) return failed(c, CODEC_DAMAGED, "its signature is wrong");
    if (!chunk_size(c, SIGNATURE_SIZE)) return failed(c, CODEC_CUT_OFF, "");
    if (!is_chunk(c, SIGNATURE_SIZE, "IHDR") || big_endian(c->bytes + SIGNATURE_SIZE) != 13)
        return failed(c, CODEC_DAMAGED, "it does not begin with a header of 13 bytes");
    const uint8_t *at = c->bytes + SIGNATURE_SIZE + 8;
    codec_png_header *h = &c->header;
    h->columns = big_endian(at);
    h->rows = big_endian(at + 4);
    h->bits = at[8];
    h->colour_type = at[9];
    h->interlaced = at[12] != 0;
    if (h->rows == 0 || h->columns == 0 || h->rows > INT32_MAX || h->columns > INT32_MAX)
        return failed(c, CODEC_DAMAGED, "its header gives it no size");
    // Bit d of an entry: the colour type may have d bits.
    static const uint32_t depths[7] = {0x10116, 0, 0x10100, 0x00116, 0x10100, 0, 0x10100};
    if (h->colour_type > 6 || h->bits > 16 || !(depths[h->colour_type] >> h->bits & 1))
        return failed(c, CODEC_DAMAGED, "its header gives an impossible colour type or depth");
    return CODEC_OK;
}

codec_status codec_png_open(codec_png *c, const uint8_t *bytes, size_t count, codec_png_header *header) {
    c->bytes = bytes;
    c->count = count;
    c->message[0] = 0;
    memset(&c->header, 0, sizeof c->header);
    const codec_status status = read_header(c);
    if (status != CODEC_OK) return status;
    size_t data = 0;
    for (size_t at = SIGNATURE_SIZE;;) {
        const size_t size = chunk_size(c, at);
        if (!size) return failed(c, CODEC_CUT_OFF, "");
        if (is_chunk(c, at, "IEND")) break;
        if (is_chunk(c, at, "IDAT")) data += size - CHUNK_OVERHEAD;
        if (is_chunk(c, at, "tRNS") && !data) c->header.has_key = 1;
        if (is_chunk(c, at, "eXIf") && !c->header.exif_length) {
            c->header.exif_offset = at + 8;
            c->header.exif_length = size - CHUNK_OVERHEAD;
        }
        at += size;
    }
    // A few bytes that announce thousands of rows are refused before memory for them is asked for.
    if (fewest_row_bytes(&c->header) / DEFLATE_LARGEST_RATIO > data)
        return failed(c, CODEC_DAMAGED, "its data are too few for its size");
    *header = c->header;
    return CODEC_OK;
}

// MARK: Pixels

static codec_status failed_by_library(codec_png *c, int code) {
    snprintf(c->message, sizeof c->message, "%s", spng_strerror(code));
    return code == SPNG_EMEM ? CODEC_MEMORY : CODEC_DAMAGED;
}

static int reserve(codec_png *c, size_t size) {
    if (size <= c->scratch_size) return 1;
    free(c->scratch);
    c->scratch = malloc(size);
    c->scratch_size = c->scratch ? size : 0;
    return c->scratch != NULL;
}

static void take_row(uint8_t *to, const uint8_t *row, codec_region region, int channels, codec_background background) {
    row += (size_t)region.column * (size_t)channels;
    if (channels == 4) codec_flatten(to, row, region.columns, background);
    else memcpy(to, row, (size_t)region.columns * 3);
}

/// The rows of an interlaced picture come in seven passes, so all of them are decoded.
static codec_status decode_interlaced(codec_png *c, spng_ctx *library, codec_region region,
                                      codec_background background, int channels, uint8_t *to) {
    const size_t row_size = (size_t)c->header.columns * (size_t)channels;
    if (!reserve(c, row_size * c->header.rows)) return failed(c, CODEC_MEMORY, "");
    const int code = spng_decode_image(library, c->scratch, row_size * c->header.rows,
                                       channels == 4 ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8,
                                       channels == 4 ? SPNG_DECODE_TRNS : 0);
    if (code) return failed_by_library(c, code);
    for (uint32_t row = 0; row < region.rows; row++)
        take_row(to + (size_t)row * region.columns * 3, c->scratch + (region.row + row) * row_size, region, channels,
                 background);
    return CODEC_OK;
}

static codec_status decode_rows(codec_png *c, spng_ctx *library, codec_region region, codec_background background,
                                int channels, uint8_t *to) {
    int code = spng_decode_image(library, NULL, 0, channels == 4 ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8,
                                 SPNG_DECODE_PROGRESSIVE | (channels == 4 ? SPNG_DECODE_TRNS : 0));
    if (code) return failed_by_library(c, code);
    const size_t row_size = (size_t)c->header.columns * (size_t)channels;
    if (!reserve(c, row_size)) return failed(c, CODEC_MEMORY, "");
    const int is_direct = channels == 3 && region.columns == c->header.columns;
    for (uint32_t row = 0; row < region.row + region.rows; row++) {
        uint8_t *target = row >= region.row ? to + (size_t)(row - region.row) * region.columns * 3 : NULL;
        code = spng_decode_row(library, is_direct && target ? target : c->scratch, row_size);
        if (code && !(code == SPNG_EOI && row + 1 == c->header.rows)) return failed_by_library(c, code);
        if (target && !is_direct) take_row(target, c->scratch, region, channels, background);
    }
    return CODEC_OK;
}

codec_status codec_png_decode(codec_png *c, codec_region region, codec_background background, uint8_t *to) {
    if (c->header.rows < region.row + region.rows || c->header.columns < region.column + region.columns)
        return failed(c, CODEC_DAMAGED, "a region outside the picture");
    spng_ctx *library = spng_ctx_new(0);
    if (!library) return failed(c, CODEC_MEMORY, "");
    c->chunk = 0;
    c->handed = 0;
    const int has_alpha = c->header.has_key || c->header.colour_type >= 4;
    const int channels = has_alpha && background.blend ? 4 : 3;
    int code = spng_set_png_stream(library, read_bytes, c);
    codec_status status = code ? failed_by_library(c, code)
                          : c->header.interlaced
                              ? decode_interlaced(c, library, region, background, channels, to)
                              : decode_rows(c, library, region, background, channels, to);
    // The checksum of the last data comes after the last row.
    if (status == CODEC_OK && region.row + region.rows == c->header.rows && (code = spng_decode_chunks(library)))
        status = failed_by_library(c, code);
    spng_ctx_free(library);
    if (c->scratch_size > MOST_KEPT) {
        free(c->scratch);
        c->scratch = NULL;
        c->scratch_size = 0;
    }
    return status;
}
