/*
 * Regions, and one access to a region of registers: split, widened and bounded as its IoOps say.
 */
#include "bus/internal.h"

#include "base/mem.h"
#include "bus/lock.h"
#include "bus/shared.h"

void io_region_init(IoRegion *r, const IoOps *ops, void *opaque, const char *name, uint64_t size)
{
    *r = (IoRegion){ .name = name, .kind = REGION_IO, .ops = ops, .opaque = opaque, .size = size };
}

void ram_region_init(IoRegion *r, const char *name, uint64_t ram_offset, uint64_t size)
{
    *r = (IoRegion){ .name = name,
                     .kind = REGION_RAM,
                     .host = ram_host() + ram_offset,
                     .ram_offset = ram_offset,
                     .size = size };
}

void rom_region_init(IoRegion *r, const char *name, uint8_t *host, uint64_t size)
{
    *r = (IoRegion){ .name = name, .kind = REGION_ROM, .host = host, .size = size };
}

/* The size of the piece that an access of @left bytes at @offset begins with. */
static unsigned piece_size(const IoOps *ops, uint64_t offset, unsigned left)
{
    unsigned size = MIN(left, ops->max_size != 0 ? ops->max_size : 4u);

    while ((size & (size - 1)) != 0) {
        size &= size - 1; /* the largest power of two in it */
    }
    while (!ops->unaligned && (offset & (size - 1)) != 0) {
        size /= 2;
    }
    return size;
}

static uint64_t read_piece(IoRegion *r, uint64_t offset, unsigned size)
{
    unsigned min = r->ops->min_size;

    if (size < min && !(r->ops->unaligned && size == min)) {
        uint64_t start = offset & ~(uint64_t)(min - 1);
        return (r->ops->read(r->opaque, start, min) >> ((offset - start) * 8)) & all_ones(size);
    }
    return r->ops->read(r->opaque, offset, size) & all_ones(size);
}

/* A write narrower than the device's registers arrives as a full one with zeros around it: reading
 * first could have side effects, and the data sheets of such devices leave it undefined. */
static void write_piece(IoRegion *r, uint64_t offset, uint64_t val, unsigned size)
{
    unsigned min = r->ops->min_size;

    val &= all_ones(size);
    if (size < min) {
        uint64_t start = offset & ~(uint64_t)(min - 1);
        r->ops->write(r->opaque, start, val << ((offset - start) * 8), min);
        return;
    }
    r->ops->write(r->opaque, offset, val, size);
}

static bool enter(const IoRegion *r)
{
    if (r->ops->lockless || machine_lock_held()) {
        return false;
    }
    machine_lock();
    return true;
}

uint64_t region_read(IoRegion *r, uint64_t offset, unsigned size)
{
    uint64_t val = 0;
    bool locked;

    if (r->ops == NULL || r->ops->read == NULL || offset >= r->size) {
        return all_ones(size);
    }
    locked = enter(r);
    for (unsigned done = 0, n; done < size; done += n) {
        uint64_t off = offset + done;
        if (off >= r->size) {
            val |= all_ones(size - done) << (done * 8);
            break;
        }
        n = piece_size(r->ops, off, size - done);
        val |= read_piece(r, off, n) << (done * 8);
    }
    if (locked) {
        machine_unlock();
    }
    return val;
}

void region_write(IoRegion *r, uint64_t offset, uint64_t val, unsigned size)
{
    bool locked;

    if (r->ops == NULL || r->ops->write == NULL || offset >= r->size) {
        return;
    }
    locked = enter(r);
    for (unsigned done = 0, n; done < size; done += n) {
        uint64_t off = offset + done;
        if (off >= r->size) {
            break;
        }
        n = piece_size(r->ops, off, size - done);
        write_piece(r, off, val >> (done * 8), n);
    }
    if (locked) {
        machine_unlock();
    }
}

uint64_t mmio_read(IoRegion *r, uint64_t offset, unsigned size)
{
    uint64_t val = all_ones(size);

    if (r == NULL) {
        return val;
    }
    if (r->kind != REGION_IO && r->host != NULL) {
        if (offset < r->size && size <= r->size - offset) {
            val = 0;
            shared_copy(&val, r->host + offset, size);
        }
        return val;
    }
    return region_read(r, offset, size);
}

void mmio_write(IoRegion *r, uint64_t offset, uint64_t val, unsigned size)
{
    if (r == NULL) {
        return;
    }
    if (r->kind == REGION_RAM) {
        bool locked = !machine_lock_held();
        if (offset >= r->size || size > r->size - offset) {
            return;
        }
        if (locked) {
            machine_lock();
        }
        shared_copy(r->host + offset, &val, size);
        mem_written(r->ram_offset + offset, size);
        if (locked) {
            machine_unlock();
        }
        return;
    }
    region_write(r, offset, val, size); /* a ROM without ops drops it */
}
