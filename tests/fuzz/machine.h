/*
 * What fuzzers of devices share: drives whose images are in memory, low memory, register accesses, and saved states.
 */
#ifndef TESTS_FUZZ_MACHINE_H
#define TESTS_FUZZ_MACHINE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "block/block.h"
#include "bus/device.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/board.h"
#include "machine/board.h"
#include "tests/fuzz/input.h"

/* The program's end belongs to machine/main.c, which is not here. */
void machine_exit(int code)
{
}

static inline void must(bool ok, Error *err)
{
    if (!ok) {
        error_report(err);
        exit(1);
    }
}

/* make_drive_as - @p and an image in memory of @size bytes; its path goes to @path, which may be NULL. */
static inline BlockBackend *make_drive_as(BlockParams p, size_t size, char path[32])
{
    int fd = memfd_create(p.name, 0);
    char own[32];
    Error *err = NULL;
    BlockBackend *b;

    path = path != NULL ? path : own;
    snprintf(path, sizeof(own), "/proc/self/fd/%d", fd);
    must(fd >= 0 && ftruncate(fd, (off_t)size) == 0, NULL);
    p.file = path;
    p.format = "raw";
    b = blk_new(&p, &err);
    must(b != NULL, err);
    return b;
}

static inline BlockBackend *make_drive(const char *name, size_t size)
{
    return make_drive_as((BlockParams){ .name = name }, size, NULL);
}

static inline void *find_drive(const char *id, Error **errp)
{
    return blk_find(id);
}

/* fuzz_base - a stepped clock, the machine lock, drives that take fixed time, @ram bytes of memory from 0 on. */
static inline void fuzz_base(size_t ram)
{
    static IoRegion low;
    Error *err = NULL;

    clock_manual();
    machine_lock();
    block_setup(&machine_lock_guard, true);
    device_set_drive_resolver(find_drive);
    must(ram_create(ram, &err), err);
    ram_region_init(&low, "low", 0, ram);
    must(mem_map(&low, 0, 0, false, &err), err);
}

/* plug_props - a device with properties, "a=1,b=2" or "". */
static inline Device *plug_props(Board *board, const char *driver, const char *props)
{
    Device *dev = device_new(device_class_find(driver), NULL);
    autofree char *text = xstrdup(props);
    char *save = NULL;
    Error *err = NULL;

    dev->board = board;
    for (char *p = strtok_r(text, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(p, '=');

        *eq = 0;
        must(device_set(dev, p, eq + 1, &err), err);
    }
    must(device_realize(dev, &err), err);
    return dev;
}

/* memory_write - as a processor would, also to registers. memory_read - likewise. */
static inline void memory_write(hwaddr at, uint64_t val, unsigned size)
{
    FlatView *v = flat_view(false);
    const FlatRange *r = flat_find(v, at);

    if (r != NULL) {
        mmio_write(r->region, r->offset + (at - r->first), val, size);
    }
    flat_view_unref(v);
}

static inline uint64_t memory_read(hwaddr at, unsigned size)
{
    FlatView *v = flat_view(false);
    const FlatRange *r = flat_find(v, at);
    uint64_t val = r != NULL ? mmio_read(r->region, r->offset + (at - r->first), size) : 0;

    flat_view_unref(v);
    return val;
}

/* save_and_load - with a byte changed where the input says so. False: that was refused, and all devices are reset. */
static inline bool save_and_load(Input *in)
{
    StateBuf b = { 0 };
    unsigned at = (unsigned)take(in, 3), n = (unsigned)take(in, 1);
    bool ok;

    block_drain();
    devices_save(&b);
    if (n != 0 && b.len > 0) {
        b.data[at % b.len] ^= (uint8_t)n;
    }
    b.pos = 0;
    ok = devices_load(&b, NULL);
    if (!ok) {
        devices_reset();
    }
    state_buf_free(&b);
    return ok;
}

#endif
