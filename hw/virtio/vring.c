/*
 * Virtqueues: see virtio.h. What is the same for split and packed rings; those are in vring-split.c and vring-packed.c.
 */
#include "hw/virtio/vring.h"

#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

void virtq_reset(VirtQueue *q)
{
    q->desc = q->avail = q->used = 0;
    q->size = q->max;
    q->vector = VIRTIO_NO_VECTOR;
    q->last_avail = q->used_idx = 0;
    q->avail_wrap = q->used_wrap = true; /* 2.8.1 */
    q->unsignalled = UINT16_MAX;
    q->enabled = q->packed = false;
}

void virtq_enable(VirtQueue *q)
{
    q->packed = virtio_has(q->dev, VIRTIO_F_RING_PACKED);
    q->enabled = q->packed || (q->size & (q->size - 1)) == 0;
}

static const VirtRing *ring_of(const VirtQueue *q)
{
    return q->packed ? &vring_packed : &vring_split;
}

/* ---- for the rings ---- */

void vring_read(VirtQueue *q, uint64_t addr, void *buf, unsigned len)
{
    if (!dma_read(addr, buf, len)) {
        virtio_fail(q->dev, "a ring is not in memory");
        memset(buf, 0, len);
    }
}

void vring_write(VirtQueue *q, uint64_t addr, const void *buf, unsigned len)
{
    if (!dma_write(addr, buf, len)) {
        virtio_fail(q->dev, "a ring is not in memory");
    }
}

bool vring_add(VirtElem *e, uint64_t addr, uint32_t len, unsigned flags)
{
    VirtioDevice *dev = e->queue->dev;
    uint32_t *sum = flags & VRING_WRITE ? &e->in_len : &e->out_len;

    if (!(flags & VRING_WRITE) && e->in_count > 0) {
        virtio_fail(dev, "a buffer to read stands behind one to write");
        return false;
    }
    if (len > UINT32_MAX - *sum) {
        virtio_fail(dev, "a chain of 4 GiB");
        return false;
    }
    if (e->out_count + e->in_count >= VIRTIO_RING_MAX) {
        virtio_fail(dev, "a chain has no end");
        return false;
    }
    *sum += len;
    e->seg[e->out_count + e->in_count] = (VirtSeg){ addr, len };
    *(flags & VRING_WRITE ? &e->in_count : &e->out_count) += 1;
    return true;
}

bool vring_table(VirtElem *e, uint64_t addr, uint32_t len, bool chained)
{
    VirtQueue *q = e->queue;
    unsigned count = len / VRING_DESC_SIZE, n = 0;

    if (!virtio_has(q->dev, VIRTIO_F_INDIRECT_DESC) || len % VRING_DESC_SIZE != 0 || count == 0 || count > VIRTIO_RING_MAX) {
        virtio_fail(q->dev, "a table of descriptors that may not be");
        return false;
    }
    for (unsigned steps = 0; steps < count; steps++) {
        uint8_t d[VRING_DESC_SIZE];
        unsigned flags;

        vring_read(q, addr + (uint64_t)VRING_DESC_SIZE * n, d, sizeof(d));
        flags = ld_le16(d + (chained ? 12 : 14));
        if (q->dev->broken || !vring_add(e, ld_le64(d), ld_le32(d + 8), flags)) {
            return false;
        }
        if (flags & VRING_INDIRECT) {
            virtio_fail(q->dev, "a table of descriptors in another");
            return false;
        }
        if (chained && !(flags & VRING_NEXT)) {
            return true;
        }
        n = chained ? ld_le16(d + 14) : n + 1;
        if (chained && n >= count) {
            virtio_fail(q->dev, "a descriptor's number is too large");
            return false;
        }
    }
    if (chained) {
        virtio_fail(q->dev, "a chain has no end");
    }
    return !chained;
}

/* ---- for devices ---- */

static bool usable(const VirtQueue *q)
{
    return q->enabled && virtio_running(q->dev);
}

bool virtq_empty(VirtQueue *q)
{
    return !usable(q) || !ring_of(q)->available(q);
}

bool virtq_wait(VirtQueue *q)
{
    if (!usable(q)) {
        return false;
    }
    ring_of(q)->ask(q);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* "2.7.10.1": it is looked again after it is asked for */
    return ring_of(q)->available(q);
}

void virtq_quiet(VirtQueue *q)
{
    if (usable(q)) {
        ring_of(q)->hush(q);
    }
}

VirtElem *virtq_pop(VirtQueue *q)
{
    VirtElem *e;

    if (virtq_empty(q)) {
        return NULL;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    e = xrealloc(NULL, 1, sizeof(*e) + VIRTIO_RING_MAX * sizeof(e->seg[0]));
    *e = (VirtElem){ .queue = q };
    if (!ring_of(q)->take(e)) {
        free(e);
        return NULL;
    }
    return e;
}

void virtq_unpop(VirtElem *e)
{
    ring_of(e->queue)->untake(e);
    free(e);
}

void virtq_drop(VirtElem *e)
{
    free(e);
}

void virtq_push_all(VirtElem *const e[], const uint32_t written[], unsigned count)
{
    VirtQueue *q = e[0]->queue;

    if (usable(q)) {
        unsigned places = ring_of(q)->give(q, e, written, count);

        q->unsignalled = (uint16_t)MIN(q->unsignalled + places, UINT16_MAX);
    }
    for (unsigned n = 0; n < count; n++) {
        free(e[n]);
    }
}

void virtq_push(VirtElem *e, uint32_t written)
{
    virtq_push_all(&e, &written, 1);
}

void virtq_notify(VirtQueue *q)
{
    bool wanted;

    if (!usable(q)) {
        return;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    wanted = ring_of(q)->wanted(q);
    q->unsignalled = 0;
    if (wanted) {
        virtio_interrupt(q->dev, q->vector, 1);
    }
}

/* ---- bytes of a chain ---- */

/* copy - between @buf and the bytes from @offset on of @count segments. */
static size_t copy(const VirtSeg *seg, unsigned count, size_t offset, uint8_t *buf, size_t len, bool write)
{
    size_t done = 0;

    for (unsigned n = 0; n < count && done < len; n++) {
        size_t room = seg[n].len, part;

        if (offset >= room) {
            offset -= room;
            continue;
        }
        part = MIN(room - offset, len - done);
        if (write ? !dma_write(seg[n].addr + offset, buf + done, part)
                  : !dma_read(seg[n].addr + offset, buf + done, part)) {
            return done; /* no memory, or a device's registers */
        }
        done += part;
        offset = 0;
    }
    return done;
}

size_t elem_read(const VirtElem *e, size_t offset, void *buf, size_t len)
{
    return copy(e->seg, e->out_count, offset, buf, len, false);
}

size_t elem_write(const VirtElem *e, size_t offset, const void *buf, size_t len)
{
    return copy(e->seg + e->out_count, e->in_count, offset, (uint8_t *)buf, len, true);
}
