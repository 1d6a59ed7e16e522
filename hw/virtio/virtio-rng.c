/*
 * virtio-rng: randomness of the host's. Source: VIRTIO 1.2, 5.4 "Entropy Device".
 */
#include "hw/virtio/virtio.h"

#include <sys/random.h>
#include "base/clock.h"
#include "base/mem.h"
#include "bus/lock.h"

enum { QUEUE_SIZE = 8, CHUNK = 256, REQUEST_MAX = 65536 };

typedef struct VirtioRng {
    VirtioDevice virtio; /* first member */
    uint64_t left;       /* bytes that may still be given in this period */
    Timer period;
    /* properties */
    uint64_t max_bytes;
    uint32_t period_ms;
} VirtioRng;

static VirtioRng *rng_of(VirtioDevice *d)
{
    return container_of(d, VirtioRng, virtio);
}

/* fill - how many bytes of @e got any. */
static uint32_t fill(const VirtElem *e, uint32_t want)
{
    uint32_t done = 0;

    while (done < want) {
        uint8_t bytes[CHUNK];
        ssize_t n = getrandom(bytes, MIN(want - done, sizeof(bytes)), 0);

        if (n <= 0 || elem_write(e, done, bytes, (size_t)n) != (size_t)n) {
            break;
        }
        done += (uint32_t)n;
    }
    return done;
}

static void serve(VirtioRng *s)
{
    VirtQueue *q = &s->virtio.queues[0];
    unsigned count = 0;
    VirtElem *e;

    do {
        if (count == VIRTIO_BATCH) {
            virtq_later(q);
            return;
        }
        while (count < VIRTIO_BATCH && s->left > 0 && (e = virtq_pop(q)) != NULL) {
            uint32_t done = fill(e, (uint32_t)MIN(e->in_len, MIN(s->left, REQUEST_MAX)));

            count++;
            s->left -= done;
            virtq_push(e, done);
            virtq_notify(q);
            if (!timer_pending(&s->period)) {
                timer_arm(&s->period, clock_now(CLK_VIRTUAL) + (int64_t)s->period_ms * NS_PER_MS);
            }
        }
    } while (s->left > 0 && virtq_wait(q));
}

static void on_period(void *opaque)
{
    VirtioRng *s = opaque;

    s->left = s->max_bytes;
    serve(s);
}

static void rng_kick(VirtioDevice *d, VirtQueue *q)
{
    serve(rng_of(d));
}

static void rng_dev_reset(VirtioDevice *d)
{
    VirtioRng *s = rng_of(d);

    timer_cancel(&s->period);
    s->left = s->max_bytes;
}

static const VirtioOps virtio_ops = { .reset = rng_dev_reset, .kick = rng_kick };

static bool rng_realize(Device *dev, struct Error **errp)
{
    VirtioRng *s = container_of(dev, VirtioRng, virtio.pci.dev);
    VirtioDevice *d = &s->virtio;
    uint16_t device;
    uint8_t revision;

    s->period_ms = MAX(s->period_ms, 1u);
    timer_init(&s->period, CLK_VIRTUAL, on_period, s, &machine_lock_guard);
    if (!virtio_ids(d, VIRTIO_ID_RNG, 5, &device, &revision, errp) ||
        !pci_plug(&d->pci, 0x1af4, device, 0x00ff00, revision, 1, errp)) {
        return false;
    }
    virtio_init(d, &virtio_ops, 0, 0);
    virtio_add_queue(d, QUEUE_SIZE);
    virtio_plug(d, VIRTIO_ID_RNG);
    return true;
}

static void rng_unrealize(Device *dev)
{
    VirtioRng *s = container_of(dev, VirtioRng, virtio.pci.dev);

    virtio_unplug(&s->virtio);
    timer_cancel(&s->period);
    pci_remove(&s->virtio.pci);
}

static void rng_reset(Device *dev)
{
    virtio_reset(&container_of(dev, VirtioRng, virtio.pci.dev)->virtio);
}

static bool rng_post_load(Device *dev, struct Error **errp)
{
    return virtio_post_load(&container_of(dev, VirtioRng, virtio.pci.dev)->virtio, errp);
}

static const Property rng_props[] = {
    PROP_U64("max-bytes", VirtioRng, max_bytes, INT64_MAX, "at most so many in a period"),
    PROP_U32("period", VirtioRng, period_ms, 1 << 16, "ms"),
    VIRTIO_PROPS(VirtioRng, 2),
    PCI_PROPS_AT(VirtioRng, virtio.pci, NULL),
    PROP_END,
};

static const StateField rng_fields[] = {
    STATE_STRUCT(VirtioRng, virtio, virtio_fields), STATE_U64(VirtioRng, left), STATE_TIMER(VirtioRng, period),
    STATE_END,
};

extern const DeviceClass virtio_rng_class;
const DeviceClass virtio_rng_class = {
    .name = "virtio-rng-pci",
    .alias = "virtio-rng",
    .desc = "virtio entropy device",
    .size = sizeof(VirtioRng),
    .bus = BUS_PCI,
    .user_creatable = true,
    .props = rng_props,
    .fields = rng_fields,
    .realize = rng_realize,
    .unrealize = rng_unrealize,
    .reset = rng_reset,
    .post_load = rng_post_load,
};
