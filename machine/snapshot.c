/*
 * Saving and loading the machine.
 */
#include "machine/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "accel/accel.h"
#include "accel/icount.h"
#include "base/broker.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "block/block.h"
#include "bus/lock.h"
#include "chardev/chardev.h"
#include "cpu/cpuid.h"
#include "cpu/mmu.h"
#include "machine/pc.h"
#include "machine/plug.h"

#define TSC_HZ_MIN 1000000ull
#define TSC_HZ_MAX 1000000000000ull

/* What belongs to no device. */
typedef struct Common {
    int64_t virtual_ns;
    uint64_t random_state;
    uint64_t tsc_hz; /* of the processors' counters, which engines have different ones of */
    IcountState icount;
} Common;

static const StateField common_fields[] = {
    STATE_U64(Common, virtual_ns),
    STATE_U64(Common, random_state),
    STATE_U64(Common, tsc_hz),
    STATE_U64(Common, icount.behind),
    STATE_U64(Common, icount.cost),
    STATE_END,
};

/* Requests that are part of the guest's state; the others are between threads. */
#define SAVED_REQUESTS ((uint32_t)(REQ_INTR | REQ_NMI | REQ_SMI | REQ_INIT | REQ_SIPI))

static void save_cpu(StateBuf *b, CpuState *c)
{
    char id[16];
    uint32_t live = __atomic_load_n(&c->requests, __ATOMIC_SEQ_CST);

    snprintf(id, sizeof(id), "cpu%u", c->index);
    c->icount_last = icount_on ? c->icount_last : c->insns; /* of one that loads this with -icount */
    c->requests = live & SAVED_REQUESTS;
    state_put(b, id, 1, cpu_fields, c);
    __atomic_store_n(&c->requests, live, __ATOMIC_SEQ_CST);
}

static bool load_cpu(StateBuf *b, CpuState *c, Error **errp)
{
    uint32_t live = __atomic_load_n(&c->requests, __ATOMIC_SEQ_CST) & ~SAVED_REQUESTS;
    char id[16];

    snprintf(id, sizeof(id), "cpu%u", c->index);
    if (!state_get(b, id, 1, cpu_fields, c, errp)) {
        return false;
    }
    if (c->activity > CPU_SHUTDOWN || c->cpl > 3) {
        error_set(errp, "section \"%s\": no such processor state", id);
        return false;
    }
    c->regs[GPR_ZERO] = 0;
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        seg_update(&c->segs[n]);
    }
    c->requests = (c->requests & SAVED_REQUESTS) | live;
    c->delivering = -1;
    c->ext_event = false;
    c->insn = NULL;
    cpu_update_mode(c);
    cpu_take_view(c);
    return true;
}

void snapshot_save(StateBuf *b)
{
    Common common;

    unplug_now();
    block_drain(); /* no device waits for a disk while it is saved */
    common = (Common){ clock_now(CLK_VIRTUAL), cpu_random_state(), cpu_tsc_hz(), icount_save() };
    machine_lock();
    state_put(b, "machine", 1, common_fields, &common);
    devices_save(b);
    chardevs_save(b);
    for (unsigned n = 0; n < accel_cpu_count(); n++) {
        save_cpu(b, accel_cpu(n));
    }
    ram_save(b);
    machine_unlock();
}

/* tsc_goes_on - the counters are where they were, at another rate from here on; KVM's clock learns it. */
static void tsc_goes_on(const Common *common)
{
    __int128 ticks = (__int128)common->virtual_ns * ((int64_t)common->tsc_hz - (int64_t)cpu_tsc_hz()) / NS_PER_SEC;

    for (unsigned n = 0; n < accel_cpu_count() && common->tsc_hz != cpu_tsc_hz(); n++) {
        accel_cpu(n)->tsc_offset += (int64_t)ticks;
        kvmclock_update(accel_cpu(n));
    }
}

static bool load_locked(StateBuf *b, Error **errp)
{
    Common common;

    if (!state_get(b, "machine", 1, common_fields, &common, errp)) {
        return false;
    }
    if (common.tsc_hz < TSC_HZ_MIN || common.tsc_hz > TSC_HZ_MAX) {
        error_set(errp, "section \"machine\": tsc_hz is %" PRIu64, common.tsc_hz);
        return false;
    }
    clock_set_virtual(common.virtual_ns);
    icount_load(&common.icount);
    cpu_random_set_state(common.random_state);
    if (!devices_load(b, errp) || !chardevs_load(b, errp)) {
        return false;
    }
    for (unsigned n = 0; n < accel_cpu_count(); n++) {
        if (!load_cpu(b, accel_cpu(n), errp)) {
            return false;
        }
    }
    if (!ram_load(b, errp)) {
        return false;
    }
    tsc_goes_on(&common);
    pc_loaded();
    return true;
}

bool snapshot_load(StateBuf *b, Error **errp)
{
    bool ok;

    block_drain();
    machine_lock();
    ok = load_locked(b, errp);
    machine_unlock();
    accel_drop_code();
    return ok;
}

static bool write_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(fd, p, n);

        if (k < 0 && errno != EINTR) {
            return false;
        }
        p += MAX(k, 0);
        n -= (size_t)MAX(k, 0);
    }
    return true;
}

bool snapshot_to_file(const char *path, Error **errp)
{
    autofree char *tmp = xasprintf("%s.part", path);
    StateBuf b = { 0 };
    bool ok;
    int fd;

    block_drain();
    machine_lock();
    ok = !block_held();
    machine_unlock();
    if (!ok) {
        error_set(errp, "a disk's request waits since the host failed (info block): cont makes it again");
        return false;
    }
    fd = host_open(tmp, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) {
        error_set_errno(errp, errno, "cannot write '%s'", tmp);
        return false;
    }
    snapshot_save(&b);
    ok = write_all(fd, b.data, b.len) && fsync(fd) == 0;
    state_buf_free(&b);
    if (close(fd) != 0 || !ok || host_rename(tmp, path) != 0) {
        error_set_errno(errp, errno, "cannot write '%s'", path);
        host_unlink(tmp);
        return false;
    }
    return true;
}

bool snapshot_from_file(const char *path, Error **errp)
{
    int fd = host_open(path, O_RDONLY, 0);
    StateBuf b = { 0 };
    struct stat st;
    bool ok;

    if (fd < 0 || fstat(fd, &st) != 0) {
        error_set_errno(errp, errno, "cannot open '%s'", path);
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    b.data = try_alloc0(1, (size_t)st.st_size + 1);
    if (b.data != NULL) {
        ssize_t k = 1;

        while (b.len < (size_t)st.st_size && k > 0) {
            k = read(fd, b.data + b.len, (size_t)st.st_size - b.len);
            b.len += (size_t)MAX(k, 0);
        }
    }
    close(fd);
    ok = snapshot_load(&b, errp);
    if (!ok) {
        error_prepend(errp, "%s: ", path);
    }
    state_buf_free(&b);
    return ok;
}

uint64_t snapshot_hash(void)
{
    StateBuf b = { 0 };
    uint64_t h = 0xcbf29ce484222325ull;

    snapshot_save(&b);
    for (size_t n = 0; n < b.len; n++) {
        h = (h ^ b.data[n]) * 0x100000001b3ull;
    }
    state_buf_free(&b);
    return h;
}
