// Decoding of JPEG by libjpeg-turbo's classic interface: TurboJPEG's, in the release 2.1 that distributions have,
// cannot decode a part of a picture. The jumps by which libjpeg reports errors begin and end in this file: between
// `setjmp` and the return of a function there are C frames only.
#include "codec_jpeg.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// After stdio.h, which the first needs; the second has the codes that the first's configuration asks for.
#include <jpeglib.h>

#include <jerror.h>

/// Progressive files have about ten scans. Many thousands of scans without content are a known way to keep a decoder
/// busy for hours, so both their number and the blocks they visit are limited (thirty scans of the largest picture that
/// is allowed without asking; about three seconds).
enum { MOST_SCANS = 500 };
static const uint64_t MOST_BLOCK_VISITS = UINT64_C(1) << 28;

struct codec_jpeg {
    struct jpeg_decompress_struct library;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    codec_status status;
    char message[CODEC_MESSAGE_SIZE];
    const uint8_t *bytes;
    size_t count;
    codec_jpeg_header header;
    uint64_t blocks;
    /// A row of the library's output that is wider than the region, or of four components.
    uint8_t *row;
    size_t row_size;
};

static _Noreturn void fail(codec_jpeg *c, codec_status status, const char *message) {
    c->status = status;
    if (message) snprintf(c->message, sizeof c->message, "%s", message);
    longjmp(c->failed, 1);
}

// MARK: What the library calls

static _Noreturn void fail_by_library(j_common_ptr library) {
    codec_jpeg *c = library->client_data;
    char text[JMSG_LENGTH_MAX];
    library->err->format_message(library, text);
    switch (library->err->msg_code) {
    case JERR_OUT_OF_MEMORY: fail(c, CODEC_MEMORY, text);
    case JERR_SOF_UNSUPPORTED:
    case JERR_BAD_PRECISION:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_ARITH_NOTIMPL:
    case JERR_IMAGE_TOO_BIG: fail(c, CODEC_UNSUPPORTED, text);
    default: fail(c, CODEC_DAMAGED, text);
    }
}

/// Warnings that mean that pixels are not those of the picture end the decoding: the library would go on with grey or
/// garbage. The others concern bytes that belong to no pixel (between markers, in the application segments), and
/// parameters that the library puts right.
static void judge_warning(j_common_ptr library, int level) {
    if (level >= 0) return;
    switch (library->err->msg_code) {
    case JWRN_HIT_MARKER:         // a marker where data should be: the scan is cut
    case JWRN_HUFF_BAD_CODE:      // no such code: all that follows is out of step
    case JWRN_ARITH_BAD_CODE:     // the same of arithmetic coding
    case JWRN_MUST_RESYNC:        // a wrong restart marker: a stretch is missing or is there twice
    case JWRN_BOGUS_PROGRESSION:  // a scan refines what no earlier one gave
    case JWRN_JPEG_EOF: fail_by_library(library);
    default: return;
    }
}

static void print_nothing(j_common_ptr library) { (void)library; }

static void begin_source(j_decompress_ptr library) { (void)library; }

/// All bytes are there from the beginning, so a wish for more is the end.
static boolean end_of_bytes(j_decompress_ptr library) { fail(library->client_data, CODEC_CUT_OFF, NULL); }

static void skip_bytes(j_decompress_ptr library, long count) {
    if (count <= 0) return;
    if ((size_t)count > library->src->bytes_in_buffer) end_of_bytes(library);
    library->src->next_input_byte += count;
    library->src->bytes_in_buffer -= (size_t)count;
}

static void limit_scans(j_common_ptr library) {
    codec_jpeg *c = library->client_data;
    const int scans = c->library.input_scan_number;
    if (scans > MOST_SCANS || (scans > 1 && (uint64_t)scans * c->blocks > MOST_BLOCK_VISITS))
        fail(c, CODEC_DAMAGED, "it has more scans than any sound file");
}

/// Notes where the segment APP1 is, copying nothing.
static boolean note_application_segment(j_decompress_ptr library) {
    static const char exif[6] = "Exif\0", xmp[29] = "http://ns.adobe.com/xap/1.0/";
    codec_jpeg *c = library->client_data;
    const JOCTET *at = library->src->next_input_byte;
    if (library->src->bytes_in_buffer < 2) end_of_bytes(library);
    const size_t length = (size_t)at[0] << 8 | at[1];
    if (length < 2) fail(c, CODEC_DAMAGED, "a segment APP1 of less than two bytes");
    skip_bytes(library, (long)length);
    const size_t offset = (size_t)(at + 2 - c->bytes), content = length - 2;
    if (!c->header.exif_length && content > sizeof exif && !memcmp(at + 2, exif, sizeof exif)) {
        c->header.exif_offset = offset;
        c->header.exif_length = content;
    } else if (!c->header.xmp_length && content > sizeof xmp && !memcmp(at + 2, xmp, sizeof xmp)) {
        c->header.xmp_offset = offset;
        c->header.xmp_length = content;
    }
    return TRUE;
}

// MARK: The decoder

codec_jpeg *codec_jpeg_create(void) {
    codec_jpeg *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->library.err = jpeg_std_error(&c->errors);
    c->library.client_data = c;
    c->errors.error_exit = fail_by_library;
    c->errors.emit_message = judge_warning;
    c->errors.output_message = print_nothing;
    c->source.init_source = begin_source;
    c->source.fill_input_buffer = end_of_bytes;
    c->source.skip_input_data = skip_bytes;
    c->source.resync_to_restart = jpeg_resync_to_restart;
    c->source.term_source = begin_source;
    c->progress.progress_monitor = limit_scans;
    return c;
}

/// A new object of the library for each picture: it keeps tables of codes and quantisers from one to the next, for files
/// that lack them, and a picture would depend on what was decoded before it.
static void begin_anew(codec_jpeg *c) {
    jpeg_destroy_decompress(&c->library);
    jpeg_create_decompress(&c->library);
    c->library.src = &c->source;
    c->library.progress = &c->progress;
    // The library reads a limit from the environment (JPEGMEM); the picture's size is limited by the caller.
    c->library.mem->max_memory_to_use = 0;
    jpeg_set_marker_processor(&c->library, JPEG_APP0 + 1, note_application_segment);
}

void codec_jpeg_destroy(codec_jpeg *c) {
    if (!c) return;
    jpeg_destroy_decompress(&c->library);
    free(c->row);
    free(c);
}

const char *codec_jpeg_message(const codec_jpeg *c) { return c->message; }

/// Ends after a failure and gives the status that the jump brought.
static codec_status ended(codec_jpeg *c) {
    jpeg_abort_decompress(&c->library);
    return c->status;
}

/// Each block takes at least one bit of Huffman code in the scan that gives its mean, so a few bytes that announce
/// thousands of rows are refused before memory for them is asked for.
static void compare_with_bytes(codec_jpeg *c) {
    uint64_t fewest = UINT64_MAX;
    c->blocks = 0;
    for (int i = 0; i < c->library.num_components; i++) {
        const jpeg_component_info *component = c->library.comp_info + i;
        const uint64_t blocks = (uint64_t)component->width_in_blocks * component->height_in_blocks;
        c->blocks += blocks;
        if (blocks < fewest) fewest = blocks;
    }
    if (!c->library.arith_code && fewest / 8 > c->count) fail(c, CODEC_CUT_OFF, NULL);
}

codec_status codec_jpeg_open(codec_jpeg *c, const uint8_t *bytes, size_t count, codec_jpeg_header *header) {
    c->status = CODEC_OK;
    c->message[0] = 0;
    if (setjmp(c->failed)) return ended(c);
    begin_anew(c);
    c->bytes = bytes;
    c->count = count;
    c->source.next_input_byte = bytes;
    c->source.bytes_in_buffer = count;
    memset(&c->header, 0, sizeof c->header);
    jpeg_read_header(&c->library, TRUE);
    c->header.rows = c->library.image_height;
    c->header.columns = c->library.image_width;
    c->header.components = c->library.num_components;
    c->header.progressive = c->library.progressive_mode;
    if (c->header.components != 1 && c->header.components != 3 && c->header.components != 4) {
        snprintf(c->message, sizeof c->message, "%d colour components", c->header.components);
        fail(c, CODEC_UNSUPPORTED, NULL);
    }
    compare_with_bytes(c);
    *header = c->header;
    return CODEC_OK;
}

/// Pillow's rule: the stored values are inverted ink, whatever the Adobe segment says; white minus black, minus the
/// rounded product of that with the ink.
static void convert_ink(uint8_t *to, const uint8_t *from, size_t pixels) {
    for (size_t p = 0; p < pixels; p++) {
        const uint32_t paper = from[4 * p + 3];
        for (int i = 0; i < 3; i++) {
            const uint32_t t = (255u - from[4 * p + i]) * paper + 128;
            to[3 * p + i] = (uint8_t)(paper - (((t >> 8) + t) >> 8));
        }
    }
}

/// Whether the library leaves out columns rightly. It takes the width of a plane from the sampling factors alone,
/// which is wrong for one that the inverse transform of a shrunk picture enlarges by a part of what it needs (4:1:0 at
/// a half).
static int crops_rightly(const struct jpeg_decompress_struct *library) {
    const int size = library->min_DCT_scaled_size;
    for (int i = 0; i < library->num_components; i++) {
        const jpeg_component_info *component = library->comp_info + i;
        const int across = component->h_samp_factor * component->DCT_scaled_size;
        const int down = component->v_samp_factor * component->DCT_scaled_size;
        const int is_full = across == library->max_h_samp_factor * size && down == library->max_v_samp_factor * size;
        if (component->DCT_scaled_size != size && !is_full) return 0;
    }
    return 1;
}

/// Leaves out columns that the region does not need, in whole MCUs. The chroma of a pixel is interpolated from its
/// neighbours, so one MCU more is decoded on each side; of a progressive file three, because the library smooths over
/// five blocks where scans of detail are missing. Returns the column at which the output then begins.
static uint32_t crop_columns(codec_jpeg *c, codec_region region) {
    struct jpeg_decompress_struct *library = &c->library;
    const uint32_t units = library->progressive_mode ? 3 : 1;
    const uint32_t margin = units * (uint32_t)(library->max_h_samp_factor * library->min_DCT_scaled_size);
    JDIMENSION first = region.column > margin ? region.column - margin : 0;
    const uint32_t end = region.column + region.columns;
    const uint32_t right = library->output_width - end > margin ? end + margin : library->output_width;
    if ((first == 0 && right == library->output_width) || !crops_rightly(library)) return 0;
    JDIMENSION width = right - first;
    jpeg_crop_scanline(library, &first, &width);
    return first;
}

static void skip_rows(codec_jpeg *c, uint32_t rows) {
    if (rows && jpeg_skip_scanlines(&c->library, rows) != rows) fail(c, CODEC_CUT_OFF, NULL);
}

/// After a region the rest is not decoded, but a file without an end is refused whatever the region is. (In the data of
/// a scan a byte FF is followed by 0 or by a restart marker's number, so this is no accident of the data.)
static void find_end_marker(codec_jpeg *c) {
    enum { END = 0xD9 };
    if (jpeg_input_complete(&c->library) || c->library.unread_marker == END) return;
    const uint8_t *at = c->source.next_input_byte, *end = at + c->source.bytes_in_buffer;
    while (at < end && (at = memchr(at, 0xFF, (size_t)(end - at)))) {
        if (++at < end && *at == END) return;
    }
    fail(c, CODEC_CUT_OFF, NULL);
}

static void reserve_row(codec_jpeg *c, size_t size) {
    if (size <= c->row_size) return;
    free(c->row);
    c->row = malloc(size);
    c->row_size = c->row ? size : 0;
    if (!c->row) fail(c, CODEC_MEMORY, NULL);
}

codec_status codec_jpeg_decode(codec_jpeg *c, codec_region region, uint32_t shrink, uint8_t *to) {
    struct jpeg_decompress_struct *library = &c->library;
    if (setjmp(c->failed)) return ended(c);
    const int is_ink = library->num_components == 4;
    library->out_color_space = is_ink ? JCS_CMYK : JCS_RGB;
    library->dct_method = JDCT_ISLOW;
    library->do_fancy_upsampling = TRUE;
    library->scale_num = 1;
    library->scale_denom = shrink;
    jpeg_start_decompress(library);
    const uint32_t rows = library->output_height;
    if (rows < region.row + region.rows || library->output_width < region.column + region.columns)
        fail(c, CODEC_DAMAGED, "a region outside the picture");
    const uint32_t first = crop_columns(c, region);
    const int is_direct = !is_ink && library->output_width == region.columns;
    if (!is_direct) reserve_row(c, (size_t)library->output_width * (size_t)library->output_components);
    skip_rows(c, region.row);
    const size_t before = (size_t)(region.column - first) * (size_t)library->output_components;
    for (uint32_t row = 0; row < region.rows; row++) {
        uint8_t *target = to + (size_t)row * region.columns * 3;
        JSAMPROW line = is_direct ? target : c->row;
        if (jpeg_read_scanlines(library, &line, 1) != 1) fail(c, CODEC_CUT_OFF, NULL);
        if (is_ink) convert_ink(target, line + before, region.columns);
        else if (!is_direct) memcpy(target, line + before, (size_t)region.columns * 3);
    }
    if (library->output_scanline == rows) {
        jpeg_finish_decompress(library);
    } else {
        find_end_marker(c);
        jpeg_abort_decompress(library);
    }
    return CODEC_OK;
}
