/*
 * Copies between host memory and guest-physical memory: for devices, and for debuggers.
 * Device registers are never reached from here, so no device can be made to program itself.
 */
#include "bus/internal.h"

#include <assert.h>
#include <fcntl.h>
#include "base/log.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "bus/ram-back.h"
#include "bus/shared.h"

/* The part of [addr, addr + len) that lies in one range, or in the gap before the next one. */
static const FlatRange *span(const FlatView *v, hwaddr addr, uint64_t len, uint64_t *n)
{
    const FlatRange *r = flat_find(v, addr);
    unsigned lo = 0, hi = v->count;

    if (r != NULL) {
        *n = MIN(len, r->last - addr + 1);
        if (*n == 0) { /* the range ends at 2^64 - 1 and begins at 0 */
            *n = len;
        }
        return r;
    }
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        if (v->ranges[mid].first <= addr) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *n = lo < v->count ? MIN(len, v->ranges[lo].first - addr) : len;
    return NULL;
}

/* Bytes that lie beyond the end of the address space are nobody's. */
static uint64_t clip(hwaddr addr, uint64_t len)
{
    return addr != 0 && len > UINT64_MAX - addr + 1 ? UINT64_MAX - addr + 1 : len;
}

static bool copy_in(const FlatView *v, hwaddr addr, uint8_t *buf, uint64_t len)
{
    uint64_t fit = clip(addr, len), n;
    bool ok = fit == len;

    memset(buf + fit, 0xff, len - fit);
    for (uint64_t done = 0; done < fit; done += n) {
        const FlatRange *r = span(v, addr + done, fit - done, &n);
        if (r != NULL && r->host != NULL) {
            shared_copy(buf + done, r->host + (addr + done - r->first), n);
        } else {
            memset(buf + done, 0xff, n);
            ok = false;
        }
    }
    return ok;
}

static bool copy_out(const FlatView *v, hwaddr addr, const uint8_t *buf, uint64_t len, bool rom)
{
    uint64_t fit = clip(addr, len), n;
    bool ok = fit == len;

    for (uint64_t done = 0; done < fit; done += n) {
        const FlatRange *r = span(v, addr + done, fit - done, &n);
        uint64_t at;
        if (r == NULL || r->host == NULL || !(r->writable || rom)) {
            ok = false;
            continue;
        }
        at = addr + done - r->first;
        shared_copy(r->host + at, buf + done, n);
        if (r->region->kind == REGION_RAM) {
            mem_written(r->region->ram_offset + r->offset + at, n);
        }
    }
    return ok;
}

static uint64_t refused; /* under the machine lock */

/* refuse - if [@addr, @addr + @len) has a device's registers, that counts. */
static void refuse(const FlatView *v, hwaddr addr, uint64_t len, const char *what)
{
    uint64_t fit = clip(addr, len), n;

    for (uint64_t done = 0; done < fit; done += n) {
        const FlatRange *r = span(v, addr + done, fit - done, &n);

        if (r != NULL && r->host == NULL) {
            log_guest("dma: a device may not %s %s (0x%llx)", what, r->region->name, (unsigned long long)(addr + done));
            refused++;
            return;
        }
    }
}

bool dma_read(hwaddr addr, void *buf, uint64_t len)
{
    const FlatView *v = mem_view(false);
    bool ok = copy_in(v, addr, buf, len);

    if (!ok) {
        refuse(v, addr, len, "read");
    }
    return ok;
}

bool dma_write(hwaddr addr, const void *buf, uint64_t len)
{
    const FlatView *v = mem_view(false);
    bool ok = copy_out(v, addr, buf, len, false);

    if (!ok) {
        refuse(v, addr, len, "write");
    }
    return ok;
}

uint64_t dma_refused(void)
{
    return refused;
}

void ram_write(uint64_t ram_offset, const void *buf, uint64_t len)
{
    assert(machine_lock_held() && ram_offset <= ram_total() && len <= ram_total() - ram_offset);
    memcpy(ram_host() + ram_offset, buf, len);
    mem_written(ram_offset, len);
}

/* punch - pages of a piece of RAM. */
static void punch(const FlatRange *r, hwaddr addr, uint64_t len)
{
    uint64_t at = flat_ram(r, addr), skip = -at & (PAGE_SIZE - 1);

    if (len <= skip || (len = (len - skip) & ~(uint64_t)(PAGE_SIZE - 1)) == 0) {
        return;
    }
    at += skip;
    if (ram_punch(at, len)) {
        mem_written(at, len);
    }
}

void ram_discard(hwaddr addr, uint64_t len)
{
    uint64_t n;

    len = clip(addr, len);
    for (uint64_t done = 0; done < len; done += n) {
        const FlatRange *r = span(mem_view(false), addr + done, len - done, &n);

        if (r != NULL && r->region->kind == REGION_RAM && r->writable && r->region->ram_offset < ram_size()) {
            punch(r, addr + done, n);
        }
    }
}

bool mem_peek(hwaddr addr, void *buf, uint64_t len, bool smm)
{
    FlatView *v = flat_view(smm);
    bool ok = copy_in(v, addr, buf, len);

    flat_view_unref(v);
    return ok;
}

bool mem_poke(hwaddr addr, const void *buf, uint64_t len, bool smm)
{
    bool locked = !machine_lock_held(), ok;

    if (locked) {
        machine_lock();
    }
    ok = copy_out(mem_view(smm), addr, buf, len, true);
    if (locked) {
        machine_unlock();
    }
    return ok;
}
