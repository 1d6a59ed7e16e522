/*
 * The 64 Ki I/O ports: a table from port to region. Entries change under the machine lock; a
 * processor may look one up without it (to see whether the region wants the lock), so they are
 * read and written whole. A region must stay allocated after port_unmap() until processors have
 * stopped or passed the machine lock once.
 */
#include "bus/internal.h"

#include <assert.h>
#include "base/error.h"
#include "bus/lock.h"

enum { PORTS = 0x10000 };

static IoRegion *ports[PORTS];

static IoRegion *port_region(unsigned port)
{
    return port < PORTS ? __atomic_load_n(&ports[port], __ATOMIC_ACQUIRE) : NULL;
}

static void port_fill(const IoRegion *r, IoRegion *value)
{
    for (uint64_t i = 0; i < r->size; i++) {
        __atomic_store_n(&ports[r->base + i], value, __ATOMIC_RELEASE);
    }
}

bool port_map(IoRegion *r, uint16_t base, Error **errp)
{
    assert(machine_lock_held());
    if (r->mapped) {
        error_set(errp, "%s is mapped already", r->name);
        return false;
    }
    if (r->size == 0 || r->size > (uint64_t)PORTS - base) {
        error_set(errp, "%s: %llu ports at 0x%x do not fit 64K ports", r->name,
                  (unsigned long long)r->size, base);
        return false;
    }
    for (uint64_t i = 0; i < r->size; i++) {
        const IoRegion *o = ports[base + i];
        if (o != NULL) {
            error_set(errp, "%s at ports 0x%x-0x%x overlaps %s at 0x%x-0x%x", r->name, base,
                      (unsigned)(base + r->size - 1), o->name, (unsigned)o->base,
                      (unsigned)(o->base + o->size - 1));
            return false;
        }
    }
    r->base = base;
    r->mapped = true;
    port_fill(r, r);
    return true;
}

void port_unmap(IoRegion *r)
{
    assert(machine_lock_held());
    if (r->mapped) {
        port_fill(r, NULL);
        r->mapped = false;
    }
}

/* True when one region answers for all of the access. */
static bool port_whole(const IoRegion *r, uint16_t port, unsigned size)
{
    return r != NULL && size <= r->size - (port - r->base);
}

uint32_t port_read(uint16_t port, unsigned size)
{
    IoRegion *r = port_region(port);
    uint32_t val = 0;

    if (port_whole(r, port, size)) {
        return (uint32_t)region_read(r, port - r->base, size);
    }
    for (unsigned i = 0; i < size; i++) {
        r = port_region(port + i);
        val |= (r != NULL ? (uint32_t)region_read(r, port + i - r->base, 1) : 0xffu) << (i * 8);
    }
    return val;
}

void port_write(uint16_t port, uint32_t val, unsigned size)
{
    IoRegion *r = port_region(port);

    if (port_whole(r, port, size)) {
        region_write(r, port - r->base, val, size);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        r = port_region(port + i);
        if (r != NULL) {
            region_write(r, port + i - r->base, (val >> (i * 8)) & 0xff, 1);
        }
    }
}

void port_each(void (*fn)(void *opaque, const IoRegion *r), void *opaque)
{
    for (unsigned port = 0; port < PORTS; port++) {
        const IoRegion *r = port_region(port);
        if (r != NULL && r->base == port) {
            fn(opaque, r);
        }
    }
}
