/*
 * What the monitors do with keys, mice, screens, lines and disks, for commands of the human one and of QMP alike. Loop
 * thread without the machine lock.
 */
#ifndef MONITOR_OPS_H
#define MONITOR_OPS_H

#include <stdbool.h>
#include <stdint.h>
#include "ui/screendump.h"

struct BlockBackend;
struct Chardev;
struct Error;
struct Keymap;
struct OptList;
struct Screen;
struct Seat;

enum { OP_KEYS_MAX = 16, OP_HOLD_MS = 100, OP_HOLD_MS_MAX = 60000 };

/* op_keys - press @keys (hw/input/input.h) one after the other, hold them for @ms, let them go backwards. */
bool op_keys(const unsigned *keys, unsigned count, unsigned ms, struct Error **errp);
/* op_setup - the layout of -k; before the monitors. op_keymap - that. */
void op_setup(const struct Keymap *map);
const struct Keymap *op_keymap(void);
/* op_seat - the monitors' keyboard and mouse. Machine lock held. */
struct Seat *op_seat(void);

/* op_screen - the screen called @name (or its number; NULL: the first one). op_screendump - that to @path. */
struct Screen *op_screen(const char *name, struct Error **errp);
bool op_screendump(const char *name, const char *path, DumpFormat format, struct Error **errp);

/* op_chardev_add - as chardev_new(), but nobody is waited for. */
struct Chardev *op_chardev_add(struct OptList *l, struct Error **errp);
/* op_blockdev_del, op_drive_del - node_del(), and blk_delete() of a drive, while no processor runs. */
bool op_blockdev_del(const char *name, struct Error **errp);
bool op_drive_del(const char *name, struct Error **errp);
/* op_block_resize - blk_resize(), while no processor runs. */
bool op_block_resize(struct BlockBackend *b, uint64_t size, struct Error **errp);

#endif
