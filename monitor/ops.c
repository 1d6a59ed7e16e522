/*
 * What both monitors can do: see ops.h.
 */
#include "monitor/ops.h"

#include "accel/accel.h"
#include "base/error.h"
#include "base/optlist.h"
#include "block/block.h"
#include "block/node.h"
#include "bus/lock.h"
#include "chardev/chardev.h"
#include "hw/display/screen.h"
#include "ui/key-queue.h"
#include "ui/seat.h"

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

Screen *op_screen(const char *name, Error **errp)
{
    Screen *screen = name != NULL ? screen_find(name) : screen_first();

    if (screen == NULL && name != NULL) {
        error_set_class(errp, ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", name);
    } else if (screen == NULL) {
        error_set(errp, "there is no graphics card");
    }
    return screen;
}

bool op_screendump(const char *name, const char *path, DumpFormat format, Error **errp)
{
    Screen *screen = op_screen(name, errp);
    Surface *s;
    bool ok;

    if (screen == NULL) {
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

/* ---- character devices ---- */

Chardev *op_chardev_add(OptList *l, Error **errp)
{
    if (opt_get_bool(l, "server", false)) {
        if (opt_has(l, "wait") && opt_get_bool(l, "wait", false)) {
            error_set(errp, "wait=on: nobody is waited for while the machine runs");
            return NULL;
        }
        opt_set(l, "wait", "off");
    }
    return chardev_new(l, errp);
}

/* ---- disks ---- */

bool op_block_resize(BlockBackend *b, uint64_t size, Error **errp)
{
    bool ok;

    accel_pause();
    ok = blk_resize(b, size, errp);
    accel_resume();
    return ok;
}

bool op_blockdev_del(const char *name, Error **errp)
{
    bool ok;

    accel_pause();
    ok = node_del(name, errp);
    accel_resume();
    return ok;
}

bool op_drive_del(const char *name, Error **errp)
{
    BlockBackend *b = blk_find(name);

    if (b == NULL || node_known(name)) {
        error_set(errp, b == NULL && !node_known(name) ? "Device '%s' not found" : "Node %s is in use", name);
        return false;
    }
    accel_pause();
    blk_delete(b);
    accel_resume();
    return true;
}
