/*
 * The balloon, for the monitors. Machine lock held.
 */
#ifndef HW_VIRTIO_VIRTIO_BALLOON_H
#define HW_VIRTIO_VIRTIO_BALLOON_H

#include <stdbool.h>
#include <stdint.h>

struct Error;

/* balloon_set - the guest shall have @bytes of memory. balloon_get - what it has. False with @errp: there is no balloon. */
bool balloon_set(int64_t bytes, struct Error **errp);
bool balloon_get(uint64_t *bytes, struct Error **errp);

#endif
