/*
 * The whole machine as one stream: clock, devices, processors, RAM.
 */
#ifndef MACHINE_SNAPSHOT_H
#define MACHINE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include "bus/state.h"

struct Error;

/* snapshot_save - append everything to @b. snapshot_load - into a machine that the same command
 * line built. All processors parked; loop thread, machine lock not held. */
void snapshot_save(StateBuf *b);
bool snapshot_load(StateBuf *b, struct Error **errp);

/* snapshot_to_file, snapshot_from_file - the same with a file; it is written beside @path and
 * renamed when complete. */
bool snapshot_to_file(const char *path, struct Error **errp);
bool snapshot_from_file(const char *path, struct Error **errp);

/* snapshot_hash - 64-bit FNV-1a of the stream, to compare machines in tests. */
uint64_t snapshot_hash(void);

#endif
