/*
 * What both monitors can do, for commands of the human one and of QMP alike. Loop thread without the machine
 * lock.
 */
#ifndef MONITOR_OPS_H
#define MONITOR_OPS_H

#include <stdbool.h>
#include <stdint.h>
#include "ui/screendump.h"

struct CpuState;
struct Error;
struct Keymap;
struct Seat;

enum { OP_KEYS_MAX = 16, OP_HOLD_MS = 100, OP_HOLD_MS_MAX = 60000 };

/* op_cont - let the machine run, unless it is powered off. */
bool op_cont(struct Error **errp);
void op_nmi(void);

/* op_keys - press @keys (hw/input/input.h) one after the other, hold them for @ms, let them go backwards. */
bool op_keys(const unsigned *keys, unsigned count, unsigned ms, struct Error **errp);
/* op_setup - the layout of -k; before the monitors. op_keymap - that. */
void op_setup(const struct Keymap *map);
const struct Keymap *op_keymap(void);
/* op_seat - the monitors' keyboard and mouse. Machine lock held. */
struct Seat *op_seat(void);

/* op_screendump - the screen called @screen (or its number; NULL: the first one) to @path. */
bool op_screendump(const char *screen, const char *path, DumpFormat format, struct Error **errp);

/* op_expire_password - of VNC server @display (NULL: the first): now, never, +seconds, seconds since 1970. */
bool op_expire_password(const char *display, const char *when, struct Error **errp);

/* op_memory_save - @size bytes of guest memory to a file: at linear address @addr of @c, or (NULL) physical,
 * where what is no memory reads as zeros. */
bool op_memory_save(struct CpuState *c, uint64_t addr, uint64_t size, const char *path, struct Error **errp);

#endif
