// A protobuf-c output buffer that collects a message's bytes except those of one payload.
#pragma once
#include <protobuf-c/protobuf-c.h>

typedef struct {
    ProtobufCBuffer base;
    uint8_t *bytes;
    size_t capacity;
    size_t count;
    /// Appends that start at this address are the payload's and are left out; NULL when there is none.
    const uint8_t *payload;
} PsHeadBuffer;

/// `bytes` must hold the packed size of the message less the payload.
void ps_head_buffer_init(PsHeadBuffer *buffer, uint8_t *bytes, size_t capacity, const uint8_t *payload);
