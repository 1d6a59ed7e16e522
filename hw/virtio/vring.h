/*
 * Virtqueues of both forms: what vring.c asks of the split ring (vring-split.c) and of the packed one (vring-packed.c).
 * No card includes this; a queue has its form from when the driver enables it until it is reset.
 */
#ifndef HW_VIRTIO_VRING_H
#define HW_VIRTIO_VRING_H

#include "hw/virtio/virtio.h"

enum { VRING_DESC_SIZE = 16 };
enum { VRING_NEXT = 1, VRING_WRITE = 2, VRING_INDIRECT = 4 }; /* 2.7.5 and 2.8.1 */

typedef struct VirtRing {
    /* The driver has put something in that was not taken. */
    bool (*available)(VirtQueue *q);
    /* Take the next chain, which is there: fills @e, whose queue is set, and steps on. False: the rules were broken. */
    bool (*take)(VirtElem *e);
    /* Step back over @e, which was taken last. */
    void (*untake)(const VirtElem *e);
    /* Give @count chains back, which the driver sees all at once. Returns the places in the ring that they took. */
    unsigned (*give)(VirtQueue *q, VirtElem *const e[], const uint32_t written[], unsigned count);
    /* The driver shall notify when there is more to take; it need not. */
    void (*ask)(VirtQueue *q);
    void (*hush)(VirtQueue *q);
    /* The driver wants to know that the last q->unsignalled places were given back. */
    bool (*wanted)(VirtQueue *q);
} VirtRing;

extern const VirtRing vring_split, vring_packed;

/* vring_read, vring_write - of the ring itself; one that is not in memory breaks the device, and reads as zeros. */
void vring_read(VirtQueue *q, uint64_t addr, void *buf, unsigned len);
void vring_write(VirtQueue *q, uint64_t addr, const void *buf, unsigned len);
/* vring_add - a buffer to @e. False: that may not be. vring_table - all that a table of descriptors holds, for the
 * descriptor of @len bytes at @addr: @chained, by its own links (2.7.5.3), else in its order (2.8.7). */
bool vring_add(VirtElem *e, uint64_t addr, uint32_t len, unsigned flags);
bool vring_table(VirtElem *e, uint64_t addr, uint32_t len, bool chained);

/* vring_need - 2.7.10: the place @event was passed by the last @count steps, which ended at @now. As many as can be counted
 * may have been more. */
static inline bool vring_need(uint16_t event, uint16_t now, uint16_t count)
{
    return count == UINT16_MAX || (uint16_t)(now - event - 1) < count;
}

#endif
