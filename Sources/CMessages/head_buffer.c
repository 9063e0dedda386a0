// Packing without copying the payload: protobuf-c appends a bytes field by one call with the field's own pointer.
#include "head_buffer.h"
#include <string.h>

static void append(ProtobufCBuffer *base, size_t count, const uint8_t *data) {
    PsHeadBuffer *buffer = (PsHeadBuffer *)base;
    if (buffer->payload != NULL && data == buffer->payload) return;
    // The caller asked protobuf-c for the packed size, so this holds; a silent cut would be a corrupt message.
    if (count > buffer->capacity - buffer->count) __builtin_trap();
    memcpy(buffer->bytes + buffer->count, data, count);
    buffer->count += count;
}

void ps_head_buffer_init(PsHeadBuffer *buffer, uint8_t *bytes, size_t capacity, const uint8_t *payload) {
    buffer->base.append = append;
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    buffer->count = 0;
    buffer->payload = payload;
}
