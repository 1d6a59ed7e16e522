/*
 * What both monitors can do: see ops.h.
 */
#include "monitor/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "accel/accel.h"
#include "base/broker.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "cpu/mmu.h"
#include "hw/display/screen.h"
#include "machine/pc.h"
#include "machine/run.h"
#include "ui/key-queue.h"
#include "ui/seat.h"
#include "ui/vnc.h"

bool op_cont(Error **errp)
{
    if (vm_state() == RUN_SHUTDOWN) {
        error_set(errp, "the guest is powered off: system_reset first");
        return false;
    }
    vm_start();
    return true;
}

void op_nmi(void)
{
    machine_lock();
    pc_nmi();
    machine_unlock();
}

/* ---- keys ---- */

bool op_keys(const unsigned *keys, unsigned count, unsigned ms, Error **errp)
{
    bool room;

    machine_lock();
    room = key_queue_room() >= 2 * count + 2;
    for (unsigned n = 0; room && n < count; n++) {
        key_queue_put(keys[n], true);
    }
    if (room) {
        key_queue_pause(ms);
    }
    for (unsigned n = count; room && n > 0; n--) {
        key_queue_put(keys[n - 1], false);
    }
    if (room) {
        key_queue_pause(ms);
    }
    machine_unlock();
    if (!room) {
        error_set(errp, "too many keys are waiting");
    }
    return room;
}

static const struct Keymap *keymap; /* constant after op_setup() */

void op_setup(const struct Keymap *map)
{
    keymap = map;
}

const struct Keymap *op_keymap(void)
{
    return keymap;
}

Seat *op_seat(void)
{
    static Seat *seat;

    seat = seat != NULL ? seat : seat_new(keymap, 0, false);
    return seat;
}

/* ---- the screen ---- */

bool op_screendump(const char *name, const char *path, DumpFormat format, Error **errp)
{
    Screen *screen = name != NULL ? screen_find(name) : screen_first();
    Surface *s;
    bool ok;

    if (screen == NULL) {
        if (name != NULL) {
            error_set_class(errp, ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", name);
        } else {
            error_set(errp, "there is no graphics card");
        }
        return false;
    }
    accel_pause(); /* so that all they stored is there */
    machine_lock();
    s = screendump_take(screen);
    machine_unlock();
    accel_resume();
    if (s == NULL) {
        error_set(errp, "no memory for a picture of the screen");
        return false;
    }
    ok = screendump_write(s, path, format, errp);
    surface_unref(s);
    return ok;
}

/* ---- VNC ---- */

bool op_expire_password(const char *display, const char *text, Error **errp)
{
    int64_t now = clock_now(CLK_HOST), when;
    uint64_t s;

    if (strcmp(text, "now") == 0) {
        when = now;
    } else if (strcmp(text, "never") == 0) {
        when = INT64_MAX;
    } else if (text_u64(text + (*text == '+'), 4000000000, &s)) {
        when = (*text == '+' ? now : 0) + (int64_t)s * NS_PER_SEC;
    } else {
        error_set(errp, "'%s' is not now, never, +seconds or seconds", text);
        return false;
    }
    return vnc_expire_password(display, when, errp);
}

/* ---- memory ---- */

static bool save(CpuState *c, uint64_t addr, uint64_t size, FILE *f, Error **errp)
{
    uint8_t page[4096];

    while (size > 0) {
        size_t n = MIN(size, sizeof(page) - (addr & (sizeof(page) - 1)));
        hwaddr pa = addr;

        if (c != NULL && !mmu_peek(c, addr, &pa)) {
            error_set(errp, "Invalid addr 0x%016llx/size %llu specified", (unsigned long long)addr,
                      (unsigned long long)size);
            return false;
        }
        memset(page, 0, n);
        if (!mem_peek(pa, page, (unsigned)n, c != NULL && c->in_smm)) {
            for (size_t k = 0; k < n; k++) { /* what there is of it */
                mem_peek(pa + k, page + k, 1, c != NULL && c->in_smm);
            }
        }
        if (fwrite(page, 1, n, f) != n) {
            error_set_errno(errp, errno, "cannot write");
            return false;
        }
        addr += n;
        size -= n;
    }
    return true;
}

bool op_memory_save(CpuState *c, uint64_t addr, uint64_t size, const char *path, Error **errp)
{
    FILE *f;
    bool ok;

    if (c == NULL && (addr > UINT64_MAX - size || addr + size > 1ull << 52)) {
        error_set(errp, "0x%llx bytes at 0x%llx are not in the physical address space",
                  (unsigned long long)size, (unsigned long long)addr);
        return false;
    }
    f = host_fopen(path, "w");
    if (f == NULL) {
        error_set_errno(errp, errno, "Could not open '%s'", path);
        return false;
    }
    accel_pause();
    ok = save(c, addr, size, f, errp);
    accel_resume();
    if (fclose(f) != 0 && ok) {
        error_set_errno(errp, errno, "cannot write '%s'", path);
        ok = false;
    }
    return ok;
}
