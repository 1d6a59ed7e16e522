/*
 * Split virtqueues: see virtio.h. Source: VIRTIO 1.2, 2.7 "Split Virtqueues".
 */
#include "hw/virtio/virtio.h"

#include <stdlib.h>
#include "base/mem.h"

enum { DESC_SIZE = 16, USED_ELEM = 8 };
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 }; /* 2.7.5 */
enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };       /* 2.7.6, 2.7.8 */

typedef struct Desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} Desc;

void virtq_reset(VirtQueue *q)
{
    q->desc = q->avail = q->used = 0;
    q->size = q->max;
    q->vector = VIRTIO_NO_VECTOR;
    q->last_avail = q->used_idx = q->signalled = 0;
    q->enabled = q->signalled_valid = false;
}

static uint16_t read16(VirtQueue *q, uint64_t addr)
{
    uint8_t b[2];

    if (!dma_read(addr, b, sizeof(b))) {
        virtio_fail(q->dev, "a ring is not in memory");
        return 0;
    }
    return ld_le16(b);
}

static void write16(VirtQueue *q, uint64_t addr, uint16_t val)
{
    uint8_t b[2];

    st_le16(b, val);
    if (!dma_write(addr, b, sizeof(b))) {
        virtio_fail(q->dev, "a ring is not in memory");
    }
}

static uint64_t used_event(const VirtQueue *q)
{
    return q->avail + 4 + 2ull * q->size;
}

static uint64_t avail_event(const VirtQueue *q)
{
    return q->used + 4 + (uint64_t)USED_ELEM * q->size;
}

static bool usable(const VirtQueue *q)
{
    return q->enabled && virtio_running(q->dev);
}

/* waiting - how many chains the driver has put in that were not taken. */
static unsigned waiting(VirtQueue *q)
{
    uint16_t n = (uint16_t)(read16(q, q->avail + 2) - q->last_avail);

    if (n > q->size) {
        virtio_fail(q->dev, "more is available than the ring holds");
        return 0;
    }
    return q->dev->broken ? 0 : n;
}

bool virtq_empty(VirtQueue *q)
{
    return !usable(q) || waiting(q) == 0;
}

bool virtq_wait(VirtQueue *q)
{
    if (!usable(q)) {
        return false;
    }
    if (virtio_has(q->dev, VIRTIO_F_EVENT_IDX)) {
        write16(q, avail_event(q), q->last_avail);
    } else {
        write16(q, q->used, 0);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* "2.7.10.1": the index is read again after it is asked for */
    return waiting(q) > 0;
}

void virtq_quiet(VirtQueue *q)
{
    if (usable(q) && !virtio_has(q->dev, VIRTIO_F_EVENT_IDX)) {
        write16(q, q->used, USED_NO_NOTIFY);
    }
}

static bool read_desc(VirtQueue *q, uint64_t table, unsigned n, Desc *d)
{
    uint8_t b[DESC_SIZE];

    if (!dma_read(table + (uint64_t)DESC_SIZE * n, b, sizeof(b))) {
        virtio_fail(q->dev, "a descriptor is not in memory");
        return false;
    }
    *d = (Desc){ ld_le64(b), ld_le32(b + 8), ld_le16(b + 12), ld_le16(b + 14) };
    return true;
}

static bool add(VirtElem *e, const Desc *d)
{
    VirtioDevice *dev = e->queue->dev;
    uint32_t *len = d->flags & DESC_WRITE ? &e->in_len : &e->out_len;

    if (!(d->flags & DESC_WRITE) && e->in_count > 0) {
        virtio_fail(dev, "a buffer to read stands behind one to write");
        return false;
    }
    if (d->len > UINT32_MAX - *len) {
        virtio_fail(dev, "a chain of 4 GiB");
        return false;
    }
    *len += d->len;
    e->seg[e->out_count + e->in_count] = (VirtSeg){ d->addr, d->len };
    *(d->flags & DESC_WRITE ? &e->in_count : &e->out_count) += 1;
    return true;
}

/* walk - the chain from @head on in a table of @count descriptors. */
static bool walk(VirtElem *e, uint64_t table, unsigned count, unsigned head, bool indirect)
{
    VirtQueue *q = e->queue;
    unsigned n = head;
    Desc d;

    for (unsigned steps = 0;; steps++) {
        if (steps == count || n >= count || e->out_count + e->in_count >= VIRTIO_RING_MAX) {
            virtio_fail(q->dev, n >= count ? "a descriptor's number is too large" : "a chain has no end");
            return false;
        }
        if (!read_desc(q, table, n, &d)) {
            return false;
        }
        if (d.flags & DESC_INDIRECT) {
            unsigned inner = d.len / DESC_SIZE;

            if (indirect || !virtio_has(q->dev, VIRTIO_F_INDIRECT_DESC) || (d.flags & DESC_NEXT) ||
                d.len % DESC_SIZE != 0 || inner == 0 || inner > VIRTIO_RING_MAX) {
                virtio_fail(q->dev, "a table of descriptors that may not be");
                return false;
            }
            return walk(e, d.addr, inner, 0, true);
        }
        if (!add(e, &d)) {
            return false;
        }
        if (!(d.flags & DESC_NEXT)) {
            return true;
        }
        n = d.next;
    }
}

VirtElem *virtq_pop(VirtQueue *q)
{
    VirtElem *e;
    unsigned head;

    if (virtq_empty(q)) {
        return NULL;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    head = read16(q, q->avail + 4 + 2ull * (q->last_avail % q->size));
    e = xrealloc(NULL, 1, sizeof(*e) + VIRTIO_RING_MAX * sizeof(e->seg[0]));
    *e = (VirtElem){ .queue = q, .head = (uint16_t)head };
    if (!walk(e, q->desc, q->size, head, false)) {
        free(e);
        return NULL;
    }
    q->last_avail++;
    return e;
}

void virtq_unpop(VirtElem *e)
{
    e->queue->last_avail--;
    free(e);
}

void virtq_drop(VirtElem *e)
{
    free(e);
}

void virtq_push(VirtElem *e, uint32_t written)
{
    VirtQueue *q = e->queue;
    uint8_t b[USED_ELEM];

    if (usable(q)) {
        st_le32(b, e->head);
        st_le32(b + 4, written);
        if (!dma_write(q->used + 4 + (uint64_t)USED_ELEM * (q->used_idx % q->size), b, sizeof(b))) {
            virtio_fail(q->dev, "a ring is not in memory");
        }
        __atomic_thread_fence(__ATOMIC_RELEASE);
        q->used_idx++;
        write16(q, q->used + 2, q->used_idx);
    }
    free(e);
}

/* wanted - 2.7.7, "Used Buffer Notification Suppression". */
static bool wanted(VirtQueue *q)
{
    uint16_t old = q->signalled, now = q->used_idx;
    bool valid = q->signalled_valid;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!virtio_has(q->dev, VIRTIO_F_EVENT_IDX)) {
        return !(read16(q, q->avail) & AVAIL_NO_INTERRUPT);
    }
    q->signalled = now;
    q->signalled_valid = true;
    return !valid || (uint16_t)(now - read16(q, used_event(q)) - 1) < (uint16_t)(now - old);
}

void virtq_notify(VirtQueue *q)
{
    if (usable(q) && wanted(q)) {
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
