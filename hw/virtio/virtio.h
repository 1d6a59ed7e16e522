/*
 * Virtio devices on PCI: what they share. A device is a struct (VirtioDevice first) with a VirtioOps and queues; the
 * transport (virtio-pci.c) offers it to drivers of before 1.0 ("legacy") and to those of today ("modern").
 *
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, OASIS; sections are quoted. Split and packed rings.
 *
 * Everything a ring says is the guest's word: addresses are only used through dma_read() and dma_write(), chains are cut
 * at as many descriptors as the ring has, each of which is read once. A driver that breaks the rules finds its device
 * broken (DEVICE_NEEDS_RESET) until it resets it. All under the machine lock.
 */
#ifndef HW_VIRTIO_VIRTIO_H
#define HW_VIRTIO_VIRTIO_H

#include "base/clock.h"
#include "hw/pci/msi.h"
#include "hw/pci/pci.h"

/* VIRTIO_BATCH: chains that a device takes at a time, then others get the machine. */
enum { VIRTIO_BATCH = 256, VIRTIO_QUEUES_MAX = 64, VIRTIO_RING_MAX = 1024, VIRTIO_CONFIG_MAX = 136 };

/* 5, "Device Types" */
enum { VIRTIO_ID_NET = 1, VIRTIO_ID_BLOCK = 2, VIRTIO_ID_CONSOLE = 3, VIRTIO_ID_RNG = 4, VIRTIO_ID_BALLOON = 5, VIRTIO_ID_INPUT = 18 };

/* 6, "Reserved Feature Bits" */
#define VIRTIO_F_ANY_LAYOUT BIT64(27)
#define VIRTIO_F_INDIRECT_DESC BIT64(28)
#define VIRTIO_F_EVENT_IDX BIT64(29)
#define VIRTIO_F_VERSION_1 BIT64(32)
#define VIRTIO_F_RING_PACKED BIT64(34)

/* 2.1, "Device Status Field" */
enum { VIRTIO_ACKNOWLEDGE = 1, VIRTIO_DRIVER = 2, VIRTIO_DRIVER_OK = 4, VIRTIO_FEATURES_OK = 8, VIRTIO_NEEDS_RESET = 64,
       VIRTIO_FAILED = 128 };

#define VIRTIO_NO_VECTOR 0xffffu

typedef struct VirtioDevice VirtioDevice;

typedef struct VirtQueue {
    uint64_t desc, avail, used; /* where the guest has it; 0: not set up */
    uint16_t size, vector;
    uint16_t last_avail;   /* what was taken */
    uint16_t used_idx;     /* what was given back */
    uint16_t unsignalled;  /* places given back since an interrupt was last considered; at most UINT16_MAX, as at the start */
    bool avail_wrap, used_wrap; /* of a packed ring: last_avail and used_idx are places of it, in an odd turn */
    bool enabled, packed;
    /* constant after realize */
    uint16_t max;
    uint16_t index;
    VirtioDevice *dev;
} VirtQueue;

/* A chain of buffers that the driver offers: those that the device reads, then those that it writes. */
typedef struct VirtSeg {
    uint64_t addr;
    uint32_t len;
} VirtSeg;
typedef struct VirtElem {
    VirtQueue *queue;
    uint16_t id;     /* the driver's name for it */
    uint16_t places; /* in the ring */
    uint16_t out_count, in_count;
    uint32_t out_len, in_len; /* bytes; the sum fits */
    VirtSeg seg[];
} VirtElem;

typedef struct VirtioOps {
    void (*reset)(VirtioDevice *d);
    /* DRIVER_OK came or went; may be NULL. */
    void (*started)(VirtioDevice *d, bool on);
    /* There may be something in @q. */
    void (*kick)(VirtioDevice *d, VirtQueue *q);
    /* The driver may write [offset, offset + len) of config[]; NULL: nothing of it. */
    bool (*config_writable)(VirtioDevice *d, unsigned offset, unsigned len);
    void (*config_written)(VirtioDevice *d, unsigned offset, unsigned len); /* then; may be NULL */
} VirtioOps;

struct VirtioDevice {
    PciDevice pci; /* first member */
    Msix msix;
    uint8_t window_cap; /* offset of the PCI configuration access capability; constant after realize */
    /* what the driver sees */
    uint64_t guest_features;
    uint32_t feature_select, guest_select;
    uint16_t queue_select, config_vector;
    uint8_t status, isr, generation;
    bool broken;
    uint8_t config[VIRTIO_CONFIG_MAX];
    VirtQueue queues[VIRTIO_QUEUES_MAX];
    uint64_t later; /* a bit for each queue that is kicked by the timer */
    Timer later_timer;
    /* constant after realize */
    const VirtioOps *ops;
    uint64_t host_features;
    unsigned queue_count, config_len;
    bool legacy, modern;
    IoRegion legacy_bar, modern_bar;
    /* properties */
    char *disable_legacy;
    bool disable_modern, event_idx, indirect_desc, packed, any_ioeventfd;
    uint32_t vectors;
};

extern const StateField virtio_fields[]; /* of VirtioDevice: STATE_STRUCT(X, virtio, virtio_fields) */

#define VIRTIO_PROPS(S, def_vectors)                                                               \
    PROP_STR("disable-legacy", S, virtio.disable_legacy, "auto", "on: only for drivers of 1.0 and later"), \
    PROP_BOOL("disable-modern", S, virtio.disable_modern, false, "only for drivers of before 1.0"), \
    PROP_BOOL("event_idx", S, virtio.event_idx, true, "fewer notifications, by indexes"),          \
    PROP_BOOL("indirect_desc", S, virtio.indirect_desc, true, "tables of descriptors"),            \
    PROP_BOOL("packed", S, virtio.packed, false, "packed rings for drivers of 1.1 and later"),     \
    PROP_BOOL("ioeventfd", S, virtio.any_ioeventfd, true, "no effect"),                            \
    PROP_U32("vectors", S, virtio.vectors, (def_vectors), "MSI-X vectors; 0: none")

#define VIRTIO_AUTO UINT32_MAX

/* virtio_queues - as many as processors, where a device was not told (VIRTIO_AUTO), at most @most; and MSI-X vectors for them and
 * @more. */
void virtio_queues(VirtioDevice *d, uint32_t *queues, unsigned most, unsigned more);
/* virtio_init - what @dev is, before virtio_plug(). @features: what the device offers beyond what all do. */
void virtio_init(VirtioDevice *d, const VirtioOps *ops, uint64_t features, unsigned config_len);
/* virtio_add_queue - one of @size descriptors (a power of two). */
VirtQueue *virtio_add_queue(VirtioDevice *d, unsigned size);
/* virtio_ids - PCI identity and class of a device of virtio type @id: @old is its place from 1000h on in transitional
 * form. False with @errp: properties that contradict each other. */
bool virtio_ids(VirtioDevice *d, unsigned id, unsigned old, uint16_t *device, uint8_t *revision, struct Error **errp);
/* virtio_unplug - for the class's unrealize, before it leaves its bus.
 * virtio_plug - after it is on its bus (pci_plug(), nic_plug()): capabilities, BARs, pci_ready(). */
void virtio_unplug(VirtioDevice *d);
void virtio_plug(VirtioDevice *d, unsigned id);
/* virtio_reset - for the class's reset. virtio_post_load - for its post_load. */
void virtio_reset(VirtioDevice *d);
bool virtio_post_load(VirtioDevice *d, struct Error **errp);

bool virtio_has(const VirtioDevice *d, uint64_t feature);
/* virtio_running - the driver is ready and has kept the rules. */
bool virtio_running(const VirtioDevice *d);
/* virtio_fail - it has not: @why, for -d guest_errors. */
void virtio_fail(VirtioDevice *d, const char *why);
/* virtio_config_changed - tell the driver that config[] is another. */
void virtio_config_changed(VirtioDevice *d);
/* virtio_interrupt - for vring.c: of a queue (its vector), or of the configuration. */
void virtio_interrupt(VirtioDevice *d, uint16_t vector, uint8_t isr);

/* ---- vring.c ---- */

/* virtq_reset - as after power-on. virtq_enable - the driver has set it up: its form is what was agreed on. */
void virtq_reset(VirtQueue *q);
void virtq_enable(VirtQueue *q);
/* vring_packed_ok - the places of a packed ring that was loaded are in it. */
bool vring_packed_ok(const VirtQueue *q);
/* virtq_pop - the next chain, the caller's until virtq_push() or virtq_drop(); NULL: there is none. */
VirtElem *virtq_pop(VirtQueue *q);
/* virtq_unpop - give the chain that was popped last back to the driver's side, as if it had not been. */
void virtq_unpop(VirtElem *e);
/* virtq_push - @written bytes of it were written; it is freed. virtq_push_all - of @count chains (at least one) of a queue,
 * which the driver finds together. virtq_notify - then tell the driver, if it wants to know. */
void virtq_push(VirtElem *e, uint32_t written);
void virtq_push_all(VirtElem *const e[], const uint32_t written[], unsigned count);
void virtq_notify(VirtQueue *q);
/* virtq_drop - free it; the device was reset in between. */
void virtq_drop(VirtElem *e);
/* virtq_empty - nothing to pop now. virtq_wait - and be kicked when there is (or is something now: true). */
bool virtq_empty(VirtQueue *q);
bool virtq_wait(VirtQueue *q);
/* virtq_later - kick it again soon, though the driver does not: there is more than was taken. */
void virtq_later(VirtQueue *q);
/* virtq_quiet - no kicks are needed until virtq_wait(). */
void virtq_quiet(VirtQueue *q);

/* elem_read - copy from what the device reads, from @offset on. elem_write - to what it writes. Bytes that were there. */
size_t elem_read(const VirtElem *e, size_t offset, void *buf, size_t len);
size_t elem_write(const VirtElem *e, size_t offset, const void *buf, size_t len);

#endif
