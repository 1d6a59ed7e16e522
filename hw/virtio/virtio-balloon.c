/*
 * virtio-balloon: memory that the guest lends back to the host. Source: VIRTIO 1.2, 5.5 "Traditional Memory Balloon
 * Device": inflation and deflation, statistics, reports of free pages. Not modelled: hints of free pages.
 *
 * What the guest gives up is punched out of guest RAM; read again it is zeros. The guest only names numbers of pages,
 * and those that are not RAM are passed over.
 */
#include "hw/virtio/virtio-balloon.h"

#include <string.h>
#include "base/error.h"
#include "base/event.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/virtio/virtio.h"

enum { F_STATS = 1, F_DEFLATE_ON_OOM = 2, F_POISON = 4, F_REPORTING = 5 }; /* 5.5.3 */
enum { C_NUM_PAGES = 0, C_ACTUAL = 4, C_POISON = 12, C_LEN = 16 };         /* 5.5.4 */
enum { QUEUE_SIZE = 128, REPORT_SIZE = 32, PAGE_UNIT = 12, PFNS = 256, BUDGET = 4096 };
enum { STAT_LEN = 10, STATS = 10 }; /* 5.5.6.3 */

typedef struct VirtioBalloon {
    VirtioDevice virtio; /* first member */
    uint64_t stats[STATS];  /* the guest's; all ones: it did not say */
    uint64_t stats_at;      /* CLK_HOST, in seconds; 0: never */
    uint32_t taken;         /* pages of the first waiting chain that are done */
    int64_t told_at;        /* CLK_VIRTUAL, when BALLOON_CHANGE was sent last */
    Timer tell, poll;
    bool stats_waits; /* its buffer is with us */
    /* properties */
    bool deflate_on_oom, reporting, poison;
    uint32_t interval; /* s between statistics; 0: none are asked for */
} VirtioBalloon;

static VirtioBalloon *the_balloon; /* the first one; under the machine lock */

static VirtioBalloon *balloon_of(VirtioDevice *d)
{
    return container_of(d, VirtioBalloon, virtio);
}

static uint64_t actual_bytes(const VirtioBalloon *s)
{
    uint64_t given = (uint64_t)ld_le32(s->virtio.config + C_ACTUAL) << PAGE_UNIT;

    return ram_size() - MIN(given, ram_size());
}

/* ---- pages ---- */

/* take_pages - of one chain of numbers, from s->taken on; true when it is done. */
static bool take_pages(VirtioBalloon *s, const VirtElem *e, bool inflate, unsigned *budget)
{
    uint8_t pfns[4 * PFNS];

    while (inflate && *budget > 0) {
        size_t n = elem_read(e, 4ull * s->taken, pfns, sizeof(pfns)) / 4;

        if (n == 0) {
            return true; /* the end, or no memory */
        }
        n = MIN(n, (size_t)*budget);
        for (size_t k = 0; k < n; k++) {
            ram_discard((hwaddr)ld_le32(pfns + 4 * k) << PAGE_UNIT, 1u << PAGE_UNIT);
        }
        s->taken += (uint32_t)n;
        *budget -= (unsigned)n;
    }
    return !inflate || *budget > 0;
}

static void pages(VirtioBalloon *s, VirtQueue *q, bool inflate)
{
    unsigned budget = BUDGET, count = 0;
    VirtElem *e;

    do {
        while (count < VIRTIO_BATCH && budget > 0 && (e = virtq_pop(q)) != NULL) {
            if (!take_pages(s, e, inflate, &budget)) {
                virtq_unpop(e);
                break;
            }
            s->taken = 0;
            virtq_push(e, 0);
            count++;
        }
        if (count == VIRTIO_BATCH || budget == 0) {
            virtq_later(q);
            break;
        }
    } while (virtq_wait(q));
    if (count > 0) {
        virtq_notify(q);
    }
}

/* reports - 5.5.6.5: the buffers are the free pages; a guest that wants its poison back in them gives it. */
static void reports(VirtioBalloon *s, VirtQueue *q)
{
    bool keep = virtio_has(&s->virtio, BIT64(F_POISON)) && ld_le32(s->virtio.config + C_POISON) != 0;
    unsigned count = 0;
    VirtElem *e;

    do {
        while (count < REPORT_SIZE && (e = virtq_pop(q)) != NULL) {
            for (unsigned n = 0; !keep && n < e->in_count; n++) {
                ram_discard(e->seg[e->out_count + n].addr, e->seg[e->out_count + n].len);
            }
            virtq_push(e, 0);
            count++;
        }
        if (count == REPORT_SIZE) {
            virtq_later(q);
            break;
        }
    } while (virtq_wait(q));
    if (count > 0) {
        virtq_notify(q);
    }
}

/* ---- statistics ---- */

static void arm_poll(VirtioBalloon *s)
{
    if (s->interval != 0 && s->stats_waits) {
        timer_arm(&s->poll, clock_now(CLK_VIRTUAL) + (int64_t)s->interval * NS_PER_SEC);
    }
}

/* take_stats - the guest's answer. The buffer stays with us (as not taken, for a saved state) until we ask again. */
static void take_stats(VirtioBalloon *s, VirtQueue *q)
{
    VirtElem *e = virtq_pop(q);
    uint8_t stat[STAT_LEN];

    if (e == NULL) {
        virtq_wait(q);
        return;
    }
    memset(s->stats, 0xff, sizeof(s->stats));
    for (unsigned n = 0; n < 2 * STATS && elem_read(e, n * STAT_LEN, stat, STAT_LEN) == STAT_LEN; n++) {
        if (ld_le16(stat) < STATS) {
            s->stats[ld_le16(stat)] = ld_le64(stat + 2);
        }
    }
    s->stats_at = (uint64_t)(clock_now(CLK_HOST) / NS_PER_SEC);
    s->stats_waits = true;
    virtq_unpop(e);
    arm_poll(s);
}

/* on_poll - giving the buffer back asks for new ones. */
static void on_poll(void *opaque)
{
    VirtioBalloon *s = opaque;
    VirtQueue *q = &s->virtio.queues[2];
    VirtElem *e = s->stats_waits ? virtq_pop(q) : NULL;

    if (e != NULL) {
        s->stats_waits = false;
        virtq_push(e, 0);
        virtq_notify(q);
        if (virtq_wait(q)) {
            take_stats(s, q);
        }
    }
}

static void balloon_kick(VirtioDevice *d, VirtQueue *q)
{
    VirtioBalloon *s = balloon_of(d);
    bool stats = virtio_has(d, BIT64(F_STATS));

    if (q->index < 2) {
        pages(s, q, q->index == 0);
    } else if (q->index == 2 && stats) {
        if (!s->stats_waits) {
            take_stats(s, q);
        }
    } else if (q->index == (stats ? 3 : 2) && virtio_has(d, BIT64(F_REPORTING))) {
        reports(s, q);
    }
}

/* started - Linux fills the queue of statistics, and kicks, before it is ready. */
static void balloon_started(VirtioDevice *d, bool on)
{
    for (unsigned n = 0; on && n < d->queue_count; n++) {
        if (!virtq_empty(&d->queues[n])) {
            balloon_kick(d, &d->queues[n]);
        }
    }
}

/* ---- how much it is ---- */

static void on_tell(void *opaque)
{
    VirtioBalloon *s = opaque;

    s->told_at = clock_now(CLK_VIRTUAL);
    event_emit("BALLOON_CHANGE", (const EventField[]){ EV_INT("actual", (int64_t)actual_bytes(s)), EV_END });
}

/* config_written - `actual` is another: said at most once a second. */
static void balloon_config_written(VirtioDevice *d, unsigned offset, unsigned len)
{
    VirtioBalloon *s = balloon_of(d);

    if (offset < C_ACTUAL + 4 && offset + len > C_ACTUAL && !timer_pending(&s->tell)) {
        timer_arm(&s->tell, MAX(clock_now(CLK_VIRTUAL), s->told_at + NS_PER_SEC));
    }
}

static bool balloon_config_writable(VirtioDevice *d, unsigned offset, unsigned len)
{
    return (offset >= C_ACTUAL && offset + len <= C_ACTUAL + 4) || (offset >= C_POISON && offset + len <= C_POISON + 4);
}

static VirtioBalloon *find(Error **errp)
{
    if (the_balloon == NULL) {
        error_set_class(errp, ERROR_DEVICE_NOT_ACTIVE, "No balloon device has been activated");
    }
    return the_balloon;
}

bool balloon_set(int64_t bytes, Error **errp)
{
    VirtioBalloon *s = find(errp);
    uint64_t want;

    if (s == NULL) {
        return false;
    }
    if (bytes <= 0) {
        error_set(errp, "Parameter 'target' expects a size");
        return false;
    }
    want = MIN((uint64_t)bytes, ram_size());
    st_le32(s->virtio.config + C_NUM_PAGES, (uint32_t)MIN((ram_size() - want) >> PAGE_UNIT, (uint64_t)UINT32_MAX));
    virtio_config_changed(&s->virtio);
    return true;
}

bool balloon_get(uint64_t *bytes, Error **errp)
{
    VirtioBalloon *s = find(errp);

    *bytes = s != NULL ? actual_bytes(s) : 0;
    return s != NULL;
}

/* ---- the device ---- */

static void balloon_dev_reset(VirtioDevice *d)
{
    VirtioBalloon *s = balloon_of(d);

    timer_cancel(&s->poll);
    timer_cancel(&s->tell);
    s->taken = 0;
    s->stats_waits = false;
    memset(d->config + C_POISON, 0, 4);
}

static const VirtioOps virtio_ops = {
    .reset = balloon_dev_reset, .started = balloon_started, .kick = balloon_kick, .config_writable = balloon_config_writable,
    .config_written = balloon_config_written,
};

static bool balloon_realize(Device *dev, Error **errp)
{
    VirtioBalloon *s = container_of(dev, VirtioBalloon, virtio.pci.dev);
    VirtioDevice *d = &s->virtio;
    uint64_t features = BIT64(F_STATS) | (s->deflate_on_oom ? BIT64(F_DEFLATE_ON_OOM) : 0) |
                        (s->reporting ? BIT64(F_REPORTING) : 0) | (s->reporting && s->poison ? BIT64(F_POISON) : 0);
    uint16_t device;
    uint8_t revision;

    if (the_balloon != NULL) {
        error_set(errp, "Only one balloon device is supported");
        return false;
    }
    if (!virtio_ids(d, VIRTIO_ID_BALLOON, 2, &device, &revision, errp) ||
        !pci_plug(&d->pci, 0x1af4, device, 0x00ff00, revision, 1, errp)) {
        return false;
    }
    timer_init(&s->tell, CLK_VIRTUAL, on_tell, s, &machine_lock_guard);
    timer_init(&s->poll, CLK_VIRTUAL, on_poll, s, &machine_lock_guard);
    s->told_at = -NS_PER_SEC;
    virtio_init(d, &virtio_ops, features, s->reporting ? C_LEN : C_POISON - 4);
    for (unsigned n = 0; n < (s->reporting ? 4 : 3); n++) {
        virtio_add_queue(d, n == 3 ? REPORT_SIZE : QUEUE_SIZE);
    }
    virtio_plug(d, VIRTIO_ID_BALLOON);
    the_balloon = s;
    return true;
}

static void balloon_unrealize(Device *dev)
{
    VirtioBalloon *s = container_of(dev, VirtioBalloon, virtio.pci.dev);

    the_balloon = NULL;
    virtio_unplug(&s->virtio);
    timer_cancel(&s->tell);
    timer_cancel(&s->poll);
    pci_remove(&s->virtio.pci);
}

static void balloon_reset(Device *dev)
{
    VirtioBalloon *s = container_of(dev, VirtioBalloon, virtio.pci.dev);

    virtio_reset(&s->virtio);
    st_le32(s->virtio.config + C_ACTUAL, 0); /* it has all its memory again; what it shall have stays */
}

static bool balloon_post_load(Device *dev, Error **errp)
{
    return virtio_post_load(&container_of(dev, VirtioBalloon, virtio.pci.dev)->virtio, errp);
}

static void balloon_print(Device *dev, FILE *out)
{
    static const char *const names[STATS] = {
        "swap-in", "swap-out", "major-faults", "minor-faults", "free-memory", "total-memory", "available-memory",
        "disk-caches", "hugetlb-allocations", "hugetlb-failures",
    };
    const VirtioBalloon *s = container_of(dev, VirtioBalloon, virtio.pci.dev);

    fprintf(out, "  actual %llu, last-update %llu\n", (unsigned long long)actual_bytes(s), (unsigned long long)s->stats_at);
    for (unsigned n = 0; s->stats_at != 0 && n < STATS; n++) {
        if (s->stats[n] != UINT64_MAX) {
            fprintf(out, "  stat-%s %llu\n", names[n], (unsigned long long)s->stats[n]);
        }
    }
}

static const Property balloon_props[] = {
    PROP_BOOL("deflate-on-oom", VirtioBalloon, deflate_on_oom, false, "the guest takes memory back when it has none"),
    PROP_BOOL("free-page-reporting", VirtioBalloon, reporting, false, "the guest says which pages are free"),
    PROP_BOOL("page-poison", VirtioBalloon, poison, true, "with that: it may say what it fills them with"),
    PROP_U32("guest-stats-polling-interval", VirtioBalloon, interval, 0, "s between statistics (info qtree shows them); 0: none"),
    VIRTIO_PROPS(VirtioBalloon, 2),
    PCI_PROPS_AT(VirtioBalloon, virtio.pci, NULL),
    PROP_END,
};

static const StateField balloon_fields[] = {
    STATE_STRUCT(VirtioBalloon, virtio, virtio_fields), STATE_BYTES(VirtioBalloon, stats),
    STATE_U64(VirtioBalloon, stats_at), STATE_U32(VirtioBalloon, taken), STATE_U64(VirtioBalloon, told_at),
    STATE_TIMER(VirtioBalloon, tell), STATE_TIMER(VirtioBalloon, poll), STATE_BOOL(VirtioBalloon, stats_waits), STATE_END,
};

extern const DeviceClass virtio_balloon_class;
const DeviceClass virtio_balloon_class = {
    .name = "virtio-balloon-pci",
    .alias = "virtio-balloon",
    .desc = "virtio memory balloon",
    .size = sizeof(VirtioBalloon),
    .bus = BUS_PCI,
    .user_creatable = true,
    .props = balloon_props,
    .fields = balloon_fields,
    .realize = balloon_realize,
    .unrealize = balloon_unrealize,
    .reset = balloon_reset,
    .post_load = balloon_post_load,
    .print = balloon_print,
};
