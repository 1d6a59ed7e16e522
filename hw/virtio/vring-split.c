/*
 * Split virtqueues: see vring.h. Source: VIRTIO 1.2, 2.7 "Split Virtqueues".
 */
#include "hw/virtio/vring.h"

#include "base/mem.h"

enum { USED_ELEM = 8 };
enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 }; /* 2.7.6, 2.7.8 */

static uint16_t read16(VirtQueue *q, uint64_t addr)
{
    uint8_t b[2];

    vring_read(q, addr, b, sizeof(b));
    return ld_le16(b);
}

static void write16(VirtQueue *q, uint64_t addr, uint16_t val)
{
    uint8_t b[2];

    st_le16(b, val);
    vring_write(q, addr, b, sizeof(b));
}

static uint64_t used_event(const VirtQueue *q)
{
    return q->avail + 4 + 2ull * q->size;
}

static uint64_t avail_event(const VirtQueue *q)
{
    return q->used + 4 + (uint64_t)USED_ELEM * q->size;
}

static bool available(VirtQueue *q)
{
    uint16_t n = (uint16_t)(read16(q, q->avail + 2) - q->last_avail);

    if (n > q->size) {
        virtio_fail(q->dev, "more is available than the ring holds");
    }
    return n > 0 && !q->dev->broken;
}

/* walk - the chain from @n on in the ring's own table. */
static bool walk(VirtElem *e, unsigned n)
{
    VirtQueue *q = e->queue;

    for (unsigned steps = 0;; steps++) {
        uint8_t d[VRING_DESC_SIZE];
        unsigned flags;

        if (steps == q->size || n >= q->size) {
            virtio_fail(q->dev, n >= q->size ? "a descriptor's number is too large" : "a chain has no end");
            return false;
        }
        vring_read(q, q->desc + (uint64_t)VRING_DESC_SIZE * n, d, sizeof(d));
        flags = ld_le16(d + 12);
        if (q->dev->broken) {
            return false;
        }
        if (flags & VRING_INDIRECT) {
            if (flags & VRING_NEXT) {
                virtio_fail(q->dev, "a table of descriptors that may not be");
                return false;
            }
            return vring_table(e, ld_le64(d), ld_le32(d + 8), true);
        }
        if (!vring_add(e, ld_le64(d), ld_le32(d + 8), flags)) {
            return false;
        }
        if (!(flags & VRING_NEXT)) {
            return true;
        }
        n = ld_le16(d + 14);
    }
}

static bool take(VirtElem *e)
{
    VirtQueue *q = e->queue;

    if ((uint16_t)(q->last_avail - q->used_idx) >= q->size) {
        virtio_fail(q->dev, "more was taken than the ring holds");
        return false;
    }
    e->id = read16(q, q->avail + 4 + 2ull * (q->last_avail % q->size));
    e->places = 1;
    if (!walk(e, e->id)) {
        return false;
    }
    q->last_avail++;
    return true;
}

static void untake(const VirtElem *e)
{
    e->queue->last_avail--;
}

static unsigned give(VirtQueue *q, VirtElem *const e[], const uint32_t written[], unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        uint8_t b[USED_ELEM];

        st_le32(b, e[n]->id);
        st_le32(b + 4, written[n]);
        vring_write(q, q->used + 4 + (uint64_t)USED_ELEM * (q->used_idx++ % q->size), b, sizeof(b));
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);
    write16(q, q->used + 2, q->used_idx);
    return count;
}

static void ask(VirtQueue *q)
{
    if (virtio_has(q->dev, VIRTIO_F_EVENT_IDX)) {
        write16(q, avail_event(q), q->last_avail);
    } else {
        write16(q, q->used, 0);
    }
}

static void hush(VirtQueue *q)
{
    if (!virtio_has(q->dev, VIRTIO_F_EVENT_IDX)) {
        write16(q, q->used, USED_NO_NOTIFY);
    }
}

/* 2.7.7, "Used Buffer Notification Suppression". */
static bool wanted(VirtQueue *q)
{
    if (!virtio_has(q->dev, VIRTIO_F_EVENT_IDX)) {
        return !(read16(q, q->avail) & AVAIL_NO_INTERRUPT);
    }
    return vring_need(read16(q, used_event(q)), q->used_idx, q->unsignalled);
}

const VirtRing vring_split = { available, take, untake, give, ask, hush, wanted };
