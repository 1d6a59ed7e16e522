/*
 * What both monitors have: running, stopping and ending the machine, its memory in files, networks, lines, passwords.
 */
#include "monitor/command.h"

#include <errno.h>
#include <string.h>
#include "accel/accel.h"
#include "base/broker.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "chardev/chardev.h"
#include "cpu/mmu.h"
#include "machine/action.h"
#include "machine/objects.h"
#include "machine/pc.h"
#include "machine/plug.h"
#include "machine/run.h"
#include "net/backend.h"
#include "ui/vnc.h"

bool cmd_cont(const Args *a, Error **errp)
{
    if (vm_state() == RUN_SHUTDOWN) {
        error_set(errp, "the guest is powered off: system_reset first");
        return false;
    }
    vm_start();
    return true;
}

bool cmd_stop(const Args *a, Error **errp)
{
    vm_stop(RUN_PAUSED);
    return true;
}

bool cmd_quit(const Args *a, Error **errp)
{
    machine_quit("host-qmp-quit");
    return true;
}

bool cmd_reset(const Args *a, Error **errp)
{
    machine_reset_user();
    return true;
}

bool cmd_powerdown(const Args *a, Error **errp)
{
    machine_powerdown_request();
    return true;
}

bool cmd_nmi(const Args *a, Error **errp)
{
    machine_lock();
    pc_nmi();
    machine_unlock();
    return true;
}

bool cmd_watchdog_action(const Args *a, Error **errp)
{
    return action_set(vm_actions(), ON_WATCHDOG, arg_str(a, "action"), errp);
}

/* ---- memory ---- */

/* save - @size bytes at linear address @addr of @c, or (NULL) physical, where what is no memory reads as zeros. */
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

/* save_to - the file is made even when the guest has nothing there. */
static bool save_to(CpuState *c, const Args *a, Error **errp)
{
    uint64_t addr = (uint64_t)arg_int(a, "val", 0), size = (uint64_t)arg_int(a, "size", 0);
    const char *path = arg_str(a, "filename");
    FILE *f;
    bool ok;

    if ((int64_t)size < 0) {
        error_set(errp, "Parameter 'size' expects a number of bytes");
        return false;
    }
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

bool cmd_memsave(const Args *a, Error **errp)
{
    return save_to(accel_cpu((unsigned)arg_int(a, "cpu-index", 0)), a, errp);
}

bool cmd_pmemsave(const Args *a, Error **errp)
{
    return save_to(NULL, a, errp);
}

/* ---- networks ---- */

bool cmd_netdev_del(const Args *a, Error **errp)
{
    return net_backend_del(arg_str(a, "id"), errp);
}

bool cmd_set_link(const Args *a, Error **errp)
{
    bool ok;

    machine_lock();
    ok = net_set_link(arg_str(a, "name"), arg_bool(a, "up", true), errp);
    machine_unlock();
    return ok;
}

/* ---- devices ---- */

bool cmd_device_del(const Args *a, Error **errp)
{
    return unplug_device(arg_str(a, "id"), errp);
}

/* ---- character devices and objects ---- */

static Chardev *find_chardev(const Args *a, Error **errp)
{
    Chardev *c = chardev_find(arg_str(a, "id"));

    if (c == NULL) {
        error_set(errp, "Chardev '%s' not found", arg_str(a, "id"));
    }
    return c;
}

bool cmd_chardev_remove(const Args *a, Error **errp)
{
    Chardev *c = find_chardev(a, errp);

    if (c != NULL && chardev_has_front(c)) {
        error_set(errp, "Chardev '%s' is busy", chardev_id(c));
        return false;
    }
    chardev_free(c);
    return c != NULL;
}

bool cmd_chardev_send_break(const Args *a, Error **errp)
{
    Chardev *c = find_chardev(a, errp);

    if (c != NULL) {
        chardev_inject_break(c);
    }
    return c != NULL;
}

bool cmd_object_del(const Args *a, Error **errp)
{
    return object_del(arg_str(a, "id"), errp);
}

/* ---- passwords of VNC ---- */

static bool is_vnc(const Args *a, Error **errp)
{
    const char *protocol = arg_str(a, "protocol");

    if (strcmp(protocol, "vnc") != 0) {
        error_set_class(errp, ERROR_DEVICE_NOT_ACTIVE, "there is no %s here", protocol);
        return false;
    }
    return true;
}

bool cmd_set_password(const Args *a, Error **errp)
{
    const char *connected = arg_str(a, "connected");

    if (!is_vnc(a, errp)) {
        return false;
    }
    if (connected != NULL && strcmp(connected, "keep") != 0) {
        error_set(errp, "Invalid parameter 'connected'"); /* VNC keeps those who are there */
        return false;
    }
    return vnc_set_password(arg_str(a, "display"), arg_str(a, "password"), errp);
}

/* when - "now", "never", "+seconds", or seconds since 1970; as ns of the host's clock. */
static bool when(const char *text, int64_t *ns, Error **errp)
{
    int64_t now = clock_now(CLK_HOST);
    uint64_t s;

    if (strcmp(text, "now") == 0) {
        *ns = now;
    } else if (strcmp(text, "never") == 0) {
        *ns = INT64_MAX;
    } else if (text_u64(text + (*text == '+'), 4000000000, &s)) {
        *ns = (*text == '+' ? now : 0) + (int64_t)s * NS_PER_SEC;
    } else {
        error_set(errp, "'%s' is not now, never, +seconds or seconds", text);
        return false;
    }
    return true;
}

bool cmd_expire_password(const Args *a, Error **errp)
{
    int64_t ns;

    return is_vnc(a, errp) && when(arg_str(a, "time"), &ns, errp) &&
           vnc_expire_password(arg_str(a, "display"), ns, errp);
}
