/*
 * The pieces of the stream, for bus/state.c and bus/ram-state.c.
 */
#ifndef BUS_INTERNAL_STATE_H
#define BUS_INTERNAL_STATE_H

#include "bus/state.h"

/* Append to @b. */
void state_bytes(StateBuf *b, const void *p, size_t n);
void state_u16(StateBuf *b, uint16_t v);
void state_u32(StateBuf *b, uint32_t v);
void state_u64(StateBuf *b, uint64_t v);

/* state_take - the next @n bytes, or NULL when there are fewer. */
const void *state_take(StateBuf *b, size_t n);

/* A section's head; the first one of a stream has the stream's head before it. */
void state_section_begin(StateBuf *b, const char *id, unsigned version);
bool state_section_open(StateBuf *b, const char *id, unsigned version, struct Error **errp);

#endif
