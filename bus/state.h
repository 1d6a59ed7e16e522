/*
 * Saved state: every device table lists the fields that a snapshot saves. The stream is
 *   "DOPPELST" version  { section: id-length id version field-count { name-length name size bytes } }
 * little-endian, so a reader can name what does not fit. Values are guest-visible ones and
 * virtual-clock deadlines: no host pointer, descriptor or wall time.
 */
#ifndef BUS_STATE_H
#define BUS_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct Error;

typedef enum StateType {
    ST_BYTES, /* plain little-endian scalar or array of scalars: copied */
    ST_BOOL,
    ST_TIMER, /* Timer: pending flag and deadline on CLK_VIRTUAL */
    ST_STRUCT, /* nested table, @count elements of @size bytes */
    ST_END,
} StateType;

typedef struct StateField {
    const char *name;
    StateType type;
    size_t offset, size; /* bytes, of one element */
    size_t count;
    const struct StateField *sub; /* ST_STRUCT */
} StateField;

#define STATE_F_(S, f, t) { #f, (t), offsetof(S, f), sizeof(((S *)0)->f), 1, NULL }
#define STATE_U8(S, f) STATE_F_(S, f, ST_BYTES)
#define STATE_U16(S, f) STATE_F_(S, f, ST_BYTES)
#define STATE_U32(S, f) STATE_F_(S, f, ST_BYTES)
#define STATE_U64(S, f) STATE_F_(S, f, ST_BYTES)
#define STATE_BYTES(S, f) STATE_F_(S, f, ST_BYTES) /* any array of scalars */
#define STATE_BOOL(S, f) STATE_F_(S, f, ST_BOOL)
#define STATE_TIMER(S, f) STATE_F_(S, f, ST_TIMER)
#define STATE_STRUCT(S, f, subtable) { #f, ST_STRUCT, offsetof(S, f), sizeof(((S *)0)->f), 1, (subtable) }
#define STATE_ARRAY(S, f, subtable)                                                                \
    { #f, ST_STRUCT, offsetof(S, f), sizeof(((S *)0)->f[0]),                                       \
      sizeof(((S *)0)->f) / sizeof(((S *)0)->f[0]), (subtable) }
#define STATE_END { NULL, ST_END, 0, 0, 0, NULL }

/* A growing buffer that is written, or a span that is read. */
typedef struct StateBuf {
    uint8_t *data;
    size_t len, cap; /* reading: len is the whole size */
    size_t pos;      /* reading */
} StateBuf;
void state_buf_free(StateBuf *b);

/* state_put - append one section. state_get - read the section of that id at the current place;
 * every field must be there with its size, else errp names section and field. */
void state_put(StateBuf *b, const char *id, unsigned version, const StateField *f, const void *obj);
bool state_get(StateBuf *b, const char *id, unsigned version, const StateField *f, void *obj,
               struct Error **errp);

/* devices_save - all realized devices in list order (pre_save first).
 * devices_load - into a machine that has the same devices, in any order; post_load after all were read. */
void devices_save(StateBuf *b);
bool devices_load(StateBuf *b, struct Error **errp);

/* ram_save/ram_load - guest RAM; zero pages are left out. */
void ram_save(StateBuf *b);
bool ram_load(StateBuf *b, struct Error **errp);

#endif
