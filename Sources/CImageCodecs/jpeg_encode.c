// Encoding of JPEG by libjpeg-turbo, for sets made by formula, contact sheets and tests.
#include "codec_jpeg.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
// After stdio.h, which it needs.
#include <jpeglib.h>

typedef struct {
    struct jpeg_compress_struct library;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    unsigned char *bytes;
    unsigned long count;
} encoder;

static _Noreturn void fail(j_common_ptr library) { longjmp(((encoder *)library->client_data)->failed, 1); }

static void print_nothing(j_common_ptr library) { (void)library; }

uint8_t *codec_jpeg_encode(const uint8_t *pixels, uint32_t rows, uint32_t columns, int components,
                           codec_jpeg_options options, size_t *count) {
    encoder *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    struct jpeg_compress_struct *library = &e->library;
    library->err = jpeg_std_error(&e->errors);
    library->client_data = e;
    e->errors.error_exit = fail;
    e->errors.output_message = print_nothing;
    if (setjmp(e->failed)) {
        jpeg_destroy_compress(library);
        free(e->bytes);
        free(e);
        return NULL;
    }
    jpeg_create_compress(library);
    jpeg_mem_dest(library, &e->bytes, &e->count);
    library->image_width = columns;
    library->image_height = rows;
    library->input_components = components;
    library->in_color_space = components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(library);
    jpeg_set_quality(library, options.quality, TRUE);
    library->comp_info[0].h_samp_factor = components == 1 ? 1 : options.across;
    library->comp_info[0].v_samp_factor = components == 1 ? 1 : options.down;
    library->arith_code = options.arithmetic ? TRUE : FALSE;
    library->restart_interval = options.restart_interval;
    if (options.progressive) jpeg_simple_progression(library);
    jpeg_start_compress(library, TRUE);
    while (library->next_scanline < rows) {
        JSAMPROW line = (JSAMPROW)(pixels + (size_t)library->next_scanline * columns * (size_t)components);
        jpeg_write_scanlines(library, &line, 1);
    }
    jpeg_finish_compress(library);
    jpeg_destroy_compress(library);
    uint8_t *bytes = e->bytes;
    *count = e->count;
    free(e);
    return bytes;
}
