/*
 * Packed virtqueues: see vring.h. Source: VIRTIO 1.2, 2.8 "Packed Virtqueues".
 *
 * One ring of descriptors, written by both sides, and a structure each by which one tells the other when to notify. In
 * VirtQueue, `avail` is the driver's structure and `used` the device's. A place is told from what it was in the turn
 * before by two bits against a wrap counter that each side has.
 */
#include "hw/virtio/vring.h"

#include "base/mem.h"

enum { D_LEN = 8, D_ID = 12, D_FLAGS = 14 };            /* 2.8, "The Virtqueue Descriptor Table" */
enum { AVAIL = 1 << 7, USED = 1 << 15 };                /* 2.8.1 */
enum { EVENT_SIZE = 4, E_PLACE = 0, E_FLAGS = 2 };      /* "Event Suppression Structure Format" */
enum { E_ENABLE = 0, E_DISABLE = 1, E_DESC = 2 };
#define PLACE_WRAP 0x8000u

static uint64_t place(const VirtQueue *q, unsigned n)
{
    return q->desc + (uint64_t)VRING_DESC_SIZE * n;
}

/* step - @count places on from *@at. */
static void step(const VirtQueue *q, uint16_t *at, bool *wrap, unsigned count)
{
    unsigned to = *at + count;

    if (to >= q->size) {
        to -= q->size;
        *wrap = !*wrap;
    }
    *at = (uint16_t)to;
}

/* taken - places between what was given back and what was taken. */
static unsigned taken(const VirtQueue *q)
{
    return (unsigned)q->last_avail + (q->avail_wrap != q->used_wrap ? q->size : 0) - q->used_idx;
}

bool vring_packed_ok(const VirtQueue *q)
{
    return q->last_avail < q->size && q->used_idx < q->size && taken(q) <= q->size;
}

static bool available(VirtQueue *q)
{
    uint8_t b[2];
    unsigned flags;

    vring_read(q, place(q, q->last_avail) + D_FLAGS, b, sizeof(b));
    flags = ld_le16(b);
    return !(flags & AVAIL) != q->avail_wrap && !(flags & USED) == q->avail_wrap && !q->dev->broken;
}

/* walk - the chain from last_avail on; the buffer's number is in its last descriptor ("Next Flag: Descriptor Chaining"). */
static bool walk(VirtElem *e)
{
    VirtQueue *q = e->queue;
    unsigned room = q->size - taken(q), n = q->last_avail, flags;

    do {
        uint8_t d[VRING_DESC_SIZE];

        if (e->places == room) {
            virtio_fail(q->dev, "a chain has no end");
            return false;
        }
        vring_read(q, place(q, n), d, sizeof(d));
        flags = ld_le16(d + D_FLAGS);
        n = n + 1 < q->size ? n + 1 : 0;
        e->places++;
        e->id = ld_le16(d + D_ID);
        if (q->dev->broken) {
            return false;
        }
        if (flags & VRING_INDIRECT) {
            if ((flags & VRING_NEXT) || e->places > 1) {
                virtio_fail(q->dev, "a table of descriptors that may not be");
                return false;
            }
            return vring_table(e, ld_le64(d), ld_le32(d + D_LEN), false);
        }
        if (!vring_add(e, ld_le64(d), ld_le32(d + D_LEN), flags)) {
            return false;
        }
    } while (flags & VRING_NEXT);
    return true;
}

static bool take(VirtElem *e)
{
    VirtQueue *q = e->queue;

    if (!walk(e)) {
        return false;
    }
    step(q, &q->last_avail, &q->avail_wrap, e->places);
    return true;
}

static void untake(const VirtElem *e)
{
    VirtQueue *q = e->queue;

    if (e->places > q->last_avail) {
        q->avail_wrap = !q->avail_wrap;
        q->last_avail = (uint16_t)(q->last_avail + q->size - e->places);
    } else {
        q->last_avail = (uint16_t)(q->last_avail - e->places);
    }
}

static void put_flags(VirtQueue *q, unsigned n, bool wrap, uint32_t written)
{
    uint8_t b[2];

    st_le16(b, (uint16_t)((wrap ? AVAIL | USED : 0) | (written > 0 ? VRING_WRITE : 0)));
    vring_write(q, place(q, n) + D_FLAGS, b, sizeof(b));
}

/* A descriptor for each chain, where its first place would be if they were given back in order; then the places of
 * the chain are skipped. The flags of the first one come last, since the driver looks at that first. */
static unsigned give(VirtQueue *q, VirtElem *const e[], const uint32_t written[], unsigned count)
{
    unsigned first = q->used_idx, places = 0;
    bool first_wrap = q->used_wrap;

    for (unsigned n = 0; n < count; n++) {
        uint8_t b[6];

        st_le32(b, written[n]);
        st_le16(b + 4, e[n]->id);
        vring_write(q, place(q, q->used_idx) + D_LEN, b, sizeof(b));
        if (n > 0) {
            __atomic_thread_fence(__ATOMIC_RELEASE);
            put_flags(q, q->used_idx, q->used_wrap, written[n]);
        }
        step(q, &q->used_idx, &q->used_wrap, e[n]->places);
        places += e[n]->places;
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);
    put_flags(q, first, first_wrap, written[0]);
    return places;
}

static void put_event(VirtQueue *q, unsigned at, unsigned flags)
{
    uint8_t b[EVENT_SIZE];

    st_le16(b + E_PLACE, (uint16_t)at);
    st_le16(b + E_FLAGS, (uint16_t)flags);
    vring_write(q, q->used, b, sizeof(b)); /* in one piece: the driver reads it so */
}

static void ask(VirtQueue *q)
{
    if (virtio_has(q->dev, VIRTIO_F_EVENT_IDX)) {
        put_event(q, q->last_avail | (q->avail_wrap ? PLACE_WRAP : 0), E_DESC);
    } else {
        put_event(q, 0, E_ENABLE);
    }
}

static void hush(VirtQueue *q)
{
    put_event(q, 0, E_DISABLE);
}

/* "Driver and Device Event Suppression". */
static bool wanted(VirtQueue *q)
{
    uint8_t b[EVENT_SIZE];
    unsigned at, event;

    vring_read(q, q->avail, b, sizeof(b));
    if (ld_le16(b + E_FLAGS) != E_DESC || !virtio_has(q->dev, VIRTIO_F_EVENT_IDX)) {
        return ld_le16(b + E_FLAGS) != E_DISABLE;
    }
    at = ld_le16(b + E_PLACE);
    event = at & ~PLACE_WRAP;
    if (!(at & PLACE_WRAP) == q->used_wrap) { /* of the turn before */
        event -= q->size;
    }
    return vring_need((uint16_t)event, q->used_idx, q->unsignalled);
}

const VirtRing vring_packed = { available, take, untake, give, ask, hush, wanted };
