/*
 * Virtio over PCI: the registers of both kinds of drivers. Source: VIRTIO 1.2, 4.1 "Virtio Over PCI Bus"; legacy
 * interfaces by the sections of that name.
 *
 * Modern registers are in BAR 4, legacy ones in BAR 0 (ports), the MSI-X table in BAR 1. The access through
 * configuration space (4.1.4.9) is not there.
 */
#include "hw/virtio/virtio.h"

#include <string.h>
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/board.h"

enum { CAP_VENDOR = 0x09 };
enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_ISR = 3, CFG_DEVICE = 4, CFG_WINDOW = 5 }; /* 4.1.4 */
enum { AT_COMMON = 0, AT_ISR = 0x1000, AT_DEVICE = 0x2000, AT_NOTIFY = 0x3000, MODERN_SIZE = 0x4000, PART_SIZE = 0x1000 };
enum { NOTIFY_STEP = 4, LEGACY_SIZE = 0x80, LEGACY_ALIGN = 4096 };

/* 4.1.4.3, "Common configuration structure layout" */
enum { C_FEATURE_SELECT = 0x00, C_FEATURE = 0x04, C_GUEST_SELECT = 0x08, C_GUEST = 0x0c, C_CONFIG_VECTOR = 0x10,
       C_NUM_QUEUES = 0x12, C_STATUS = 0x14, C_GENERATION = 0x15, C_Q_SELECT = 0x16, C_Q_SIZE = 0x18,
       C_Q_VECTOR = 0x1a, C_Q_ENABLE = 0x1c, C_Q_NOTIFY = 0x1e, C_Q_DESC = 0x20, C_Q_AVAIL = 0x28, C_Q_USED = 0x30,
       C_END = 0x38 };
/* 4.1.4.10, "Legacy Interfaces: A Note on PCI Device Layout" */
enum { L_FEATURES = 0, L_GUEST = 4, L_PFN = 8, L_Q_SIZE = 12, L_Q_SELECT = 14, L_NOTIFY = 16, L_STATUS = 18, L_ISR = 19,
       L_CONFIG_VECTOR = 20, L_Q_VECTOR = 22 };

bool virtio_has(const VirtioDevice *d, uint64_t feature)
{
    return d->guest_features & feature;
}

bool virtio_running(const VirtioDevice *d)
{
    return (d->status & VIRTIO_DRIVER_OK) && !d->broken && (ld_le16(d->pci.config + PCI_COMMAND) & PCI_CMD_MASTER);
}

/* ---- interrupts ---- */

void virtio_interrupt(VirtioDevice *d, uint16_t vector, uint8_t isr)
{
    if (msix_enabled(&d->pci)) {
        if (vector != VIRTIO_NO_VECTOR) {
            msix_notify(&d->pci, vector);
        }
        return;
    }
    d->isr |= isr;
    pci_set_irq(&d->pci, 1);
}

/* read_isr - 4.1.4.5: reading clears it. */
static uint8_t read_isr(VirtioDevice *d)
{
    uint8_t isr = d->isr;

    d->isr = 0;
    pci_set_irq(&d->pci, 0);
    return isr;
}

void virtio_config_changed(VirtioDevice *d)
{
    d->generation++;
    if (d->status & VIRTIO_DRIVER_OK) {
        virtio_interrupt(d, d->config_vector, 3);
    }
}

void virtio_fail(VirtioDevice *d, const char *why)
{
    if (!d->broken) {
        log_guest("%s: the driver broke the rules: %s", d->pci.dev.id, why);
        d->broken = true;
        if (virtio_has(d, VIRTIO_F_VERSION_1)) {
            d->status |= VIRTIO_NEEDS_RESET;
            virtio_config_changed(d);
        }
    }
}

/* ---- what both have ---- */

static VirtQueue *selected(VirtioDevice *d)
{
    return d->queue_select < d->queue_count ? &d->queues[d->queue_select] : NULL;
}

static uint16_t vector_ok(const VirtioDevice *d, uint32_t v)
{
    return d->pci.msix != NULL && v < d->pci.msix->vectors ? (uint16_t)v : VIRTIO_NO_VECTOR;
}

static void reset(VirtioDevice *d)
{
    bool running = d->status & VIRTIO_DRIVER_OK;

    d->status = 0;
    if (running && d->ops->started != NULL) {
        d->ops->started(d, false);
    }
    d->guest_features = 0;
    d->feature_select = d->guest_select = 0;
    d->queue_select = 0;
    d->config_vector = VIRTIO_NO_VECTOR;
    d->broken = false;
    d->later = 0;
    timer_cancel(&d->later_timer);
    for (unsigned n = 0; n < d->queue_count; n++) {
        virtq_reset(&d->queues[n]);
    }
    read_isr(d);
    d->ops->reset(d);
}

static void set_status(VirtioDevice *d, uint8_t val)
{
    uint8_t old = d->status;

    if (val == 0) {
        reset(d);
        return;
    }
    if ((val & VIRTIO_FEATURES_OK) && !(old & VIRTIO_FEATURES_OK)) {
        if ((d->guest_features & ~d->host_features) || /* 2.2.2: not what was offered */
            (virtio_has(d, VIRTIO_F_RING_PACKED) && !virtio_has(d, VIRTIO_F_VERSION_1))) {
            val &= (uint8_t)~VIRTIO_FEATURES_OK;
        }
    }
    d->status = (uint8_t)(val | (old & VIRTIO_NEEDS_RESET));
    if ((val & VIRTIO_DRIVER_OK) && !(old & VIRTIO_DRIVER_OK) && d->ops->started != NULL) {
        d->ops->started(d, true);
    }
}

static void notify(VirtioDevice *d, unsigned n)
{
    if (n < d->queue_count && d->queues[n].enabled && virtio_running(d)) {
        d->ops->kick(d, &d->queues[n]);
    }
}

void virtq_later(VirtQueue *q)
{
    q->dev->later |= BIT64(q->index);
    timer_arm(&q->dev->later_timer, clock_now(CLK_VIRTUAL));
}

static void on_later(void *opaque)
{
    VirtioDevice *d = opaque;
    uint64_t queues = d->later;

    d->later = 0;
    for (unsigned n = 0; n < d->queue_count; n++) {
        if (queues & BIT64(n)) {
            notify(d, n);
        }
    }
}

static uint64_t config_read(VirtioDevice *d, uint64_t offset, unsigned size)
{
    uint64_t val = 0;

    for (unsigned n = 0; n < size && offset + n < d->config_len; n++) {
        val |= (uint64_t)d->config[offset + n] << (8 * n);
    }
    return val;
}

static void config_write(VirtioDevice *d, uint64_t offset, uint64_t val, unsigned size)
{
    if (d->ops->config_writable == NULL || offset + size > d->config_len ||
        !d->ops->config_writable(d, (unsigned)offset, size)) {
        return;
    }
    for (unsigned n = 0; n < size; n++) {
        d->config[offset + n] = (uint8_t)(val >> (8 * n));
    }
    if (d->ops->config_written != NULL) {
        d->ops->config_written(d, (unsigned)offset, size);
    }
}

/* ---- modern ---- */

static uint32_t common_read(VirtioDevice *d, uint64_t offset)
{
    const VirtQueue *q = selected(d);

    switch (offset) {
    case C_FEATURE_SELECT: return d->feature_select;
    case C_FEATURE: return d->feature_select < 2 ? (uint32_t)(d->host_features >> (32 * d->feature_select)) : 0;
    case C_GUEST_SELECT: return d->guest_select;
    case C_GUEST: return d->guest_select < 2 ? (uint32_t)(d->guest_features >> (32 * d->guest_select)) : 0;
    case C_CONFIG_VECTOR: return d->config_vector;
    case C_NUM_QUEUES: return d->queue_count;
    case C_STATUS: return d->status;
    case C_GENERATION: return d->generation;
    case C_Q_SELECT: return d->queue_select;
    default: break;
    }
    if (q == NULL) {
        return 0;
    }
    switch (offset) {
    case C_Q_SIZE: return q->size;
    case C_Q_VECTOR: return q->vector;
    case C_Q_ENABLE: return q->enabled;
    case C_Q_NOTIFY: return q->index;
    case C_Q_DESC: return (uint32_t)q->desc;
    case C_Q_DESC + 4: return (uint32_t)(q->desc >> 32);
    case C_Q_AVAIL: return (uint32_t)q->avail;
    case C_Q_AVAIL + 4: return (uint32_t)(q->avail >> 32);
    case C_Q_USED: return (uint32_t)q->used;
    case C_Q_USED + 4: return (uint32_t)(q->used >> 32);
    default: return 0;
    }
}

static void set_half(uint64_t *to, bool high, uint32_t val)
{
    *to = high ? (uint32_t)*to | (uint64_t)val << 32 : (*to & 0xffffffff00000000ull) | val;
}

/* ring_write - 4.1.4.3.2: rings are set up before they are enabled. */
static void ring_write(VirtQueue *q, uint64_t offset, uint32_t val)
{
    if (offset == C_Q_VECTOR) {
        q->vector = vector_ok(q->dev, val);
        return;
    }
    if (q->enabled) {
        return;
    }
    switch (offset) {
    case C_Q_SIZE:
        if (val != 0 && val <= q->max && ((val & (val - 1)) == 0 || virtio_has(q->dev, VIRTIO_F_RING_PACKED))) {
            q->size = (uint16_t)val;
        }
        break;
    case C_Q_ENABLE:
        if (val == 1) {
            virtq_enable(q);
        }
        break;
    case C_Q_DESC:
    case C_Q_DESC + 4: set_half(&q->desc, offset & 4, val); break;
    case C_Q_AVAIL:
    case C_Q_AVAIL + 4: set_half(&q->avail, offset & 4, val); break;
    case C_Q_USED:
    case C_Q_USED + 4: set_half(&q->used, offset & 4, val); break;
    default: break;
    }
}

static void common_write(VirtioDevice *d, uint64_t offset, uint32_t val)
{
    VirtQueue *q = selected(d);

    switch (offset) {
    case C_FEATURE_SELECT: d->feature_select = val; break;
    case C_GUEST_SELECT: d->guest_select = val; break;
    case C_GUEST:
        if (d->guest_select < 2 && !(d->status & VIRTIO_FEATURES_OK)) {
            set_half(&d->guest_features, d->guest_select == 1, val);
        }
        break;
    case C_CONFIG_VECTOR: d->config_vector = vector_ok(d, val); break;
    case C_STATUS: set_status(d, (uint8_t)val); break;
    case C_Q_SELECT: d->queue_select = (uint16_t)val; break;
    default:
        if (q != NULL && offset < C_END) {
            ring_write(q, offset, val);
        }
    }
}

static uint64_t modern_read(void *opaque, uint64_t offset, unsigned size)
{
    VirtioDevice *d = opaque;
    uint64_t in = offset % PART_SIZE;

    switch (offset - in) {
    case AT_COMMON: return common_read(d, in);
    case AT_ISR: return in == 0 ? read_isr(d) : 0;
    case AT_DEVICE: return config_read(d, in, size);
    default: return 0;
    }
}

static void modern_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    VirtioDevice *d = opaque;
    uint64_t in = offset % PART_SIZE;

    switch (offset - in) {
    case AT_COMMON: common_write(d, in, (uint32_t)val); break;
    case AT_DEVICE: config_write(d, in, val, size); break;
    case AT_NOTIFY: notify(d, (unsigned)(in / NOTIFY_STEP)); break;
    default: break;
    }
}

/* 4.1.3.1: a driver uses the field's width; 64-bit ones in two accesses, or one, which comes as two */
static const IoOps modern_ops = { .read = modern_read, .write = modern_write, .min_size = 1, .max_size = 4 };

/* ---- legacy ---- */

static unsigned legacy_config(const VirtioDevice *d)
{
    return msix_enabled(&d->pci) ? 24 : 20;
}

static uint64_t legacy_read(void *opaque, uint64_t offset, unsigned size)
{
    VirtioDevice *d = opaque;
    const VirtQueue *q = selected(d);
    unsigned config = legacy_config(d);

    if (offset >= config) {
        return config_read(d, offset - config, size);
    }
    switch (offset) {
    case L_FEATURES: return (uint32_t)d->host_features;
    case L_GUEST: return (uint32_t)d->guest_features;
    case L_PFN: return q != NULL ? (uint32_t)(q->desc / LEGACY_ALIGN) : 0;
    case L_Q_SIZE: return q != NULL ? q->max : 0;
    case L_Q_SELECT: return d->queue_select;
    case L_STATUS: return d->status;
    case L_ISR: return read_isr(d);
    case L_CONFIG_VECTOR: return d->config_vector;
    case L_Q_VECTOR: return q != NULL ? q->vector : VIRTIO_NO_VECTOR;
    default: return 0;
    }
}

/* set_pfn - 2.7.2, "Legacy Interfaces: A Note on Virtqueue Layout". */
static void set_pfn(VirtioDevice *d, VirtQueue *q, uint32_t pfn)
{
    uint64_t end;

    if (pfn == 0) {
        reset(d);
        return;
    }
    q->size = q->max;
    q->desc = (uint64_t)pfn * LEGACY_ALIGN;
    q->avail = q->desc + 16ull * q->size;
    end = q->avail + 4 + 2ull * q->size + 2;
    q->used = (end + LEGACY_ALIGN - 1) & ~(uint64_t)(LEGACY_ALIGN - 1);
    q->packed = false;
    q->enabled = true;
}

static void legacy_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    VirtioDevice *d = opaque;
    VirtQueue *q = selected(d);
    unsigned config = legacy_config(d);

    if (offset >= config) {
        config_write(d, offset - config, val, size);
        return;
    }
    switch (offset) {
    case L_GUEST: d->guest_features = (uint32_t)val & (uint32_t)d->host_features; break;
    case L_PFN:
        if (q != NULL) {
            set_pfn(d, q, (uint32_t)val);
        }
        break;
    case L_Q_SELECT: d->queue_select = (uint16_t)val; break;
    case L_NOTIFY: notify(d, (unsigned)val); break;
    case L_STATUS: set_status(d, (uint8_t)val); break;
    case L_CONFIG_VECTOR: d->config_vector = vector_ok(d, (uint32_t)val); break;
    case L_Q_VECTOR:
        if (q != NULL) {
            q->vector = vector_ok(d, (uint32_t)val);
        }
        break;
    default: break;
    }
}

static const IoOps legacy_ops = { .read = legacy_read, .write = legacy_write, .min_size = 1, .max_size = 4 };

/* ---- the device ---- */

void virtio_queues(VirtioDevice *d, uint32_t *queues, unsigned most, unsigned more)
{
    const Board *board = d->pci.dev.board;

    if (*queues == VIRTIO_AUTO) {
        *queues = board == NULL ? 1 : MAX(MIN(board->cpus, most), 1u);
    }
    if (d->vectors == VIRTIO_AUTO) {
        d->vectors = MIN(*queues, most) + more;
    }
}

void virtio_init(VirtioDevice *d, const VirtioOps *ops, uint64_t features, unsigned config_len)
{
    d->ops = ops;
    d->config_len = config_len;
    timer_init(&d->later_timer, CLK_VIRTUAL, on_later, d, &machine_lock_guard);
    d->host_features = features;
}

VirtQueue *virtio_add_queue(VirtioDevice *d, unsigned size)
{
    VirtQueue *q = &d->queues[d->queue_count];

    q->dev = d;
    q->max = (uint16_t)size;
    q->index = (uint16_t)d->queue_count++;
    virtq_reset(q);
    return q;
}

bool virtio_ids(VirtioDevice *d, unsigned id, unsigned old, uint16_t *device, uint8_t *revision, Error **errp)
{
    const char *legacy = d->disable_legacy != NULL ? d->disable_legacy : "auto";

    if (strcmp(legacy, "on") != 0 && strcmp(legacy, "off") != 0 && strcmp(legacy, "auto") != 0) {
        error_set(errp, "disable-legacy=%s: want on, off or auto", legacy);
        return false;
    }
    d->legacy = strcmp(legacy, "on") != 0;
    d->modern = !d->disable_modern;
    if (!d->legacy && !d->modern) {
        error_set(errp, "disable-legacy=on,disable-modern=on: no driver is left");
        return false;
    }
    if (d->vectors > MSIX_VECTORS_MAX) {
        error_set(errp, "vectors=%u: at most %u", d->vectors, MSIX_VECTORS_MAX);
        return false;
    }
    *device = (uint16_t)(d->legacy ? 0x1000 + old : 0x1040 + id); /* 4.1.2.1 */
    *revision = d->legacy ? 0 : 1;
    return true;
}

/* window - 4.1.4.9 "PCI configuration access capability": what the driver points it at, in the modern BAR. False: nothing. */
static bool window(const VirtioDevice *d, uint32_t *offset, uint32_t *len)
{
    const uint8_t *cap = d->pci.config + d->window_cap;

    *offset = ld_le32(cap + 8);
    *len = ld_le32(cap + 12);
    return cap[4] == 4 && (*len == 1 || *len == 2 || *len == 4) && *offset % *len == 0 && *offset <= MODERN_SIZE - *len;
}

/* Of its data, [@offset, @offset + @len) of the configuration space has some. */
static bool has_window_data(const VirtioDevice *d, unsigned offset, unsigned len)
{
    return offset < d->window_cap + 20u && offset + len > d->window_cap + 16u;
}

static void window_reading(PciDevice *p, unsigned offset, unsigned len)
{
    VirtioDevice *d = container_of(p, VirtioDevice, pci);
    uint32_t at, n;

    if (has_window_data(d, offset, len) && window(d, &at, &n)) {
        uint64_t val = modern_read(d, at, n);

        for (unsigned k = 0; k < n; k++) {
            p->config[d->window_cap + 16 + k] = (uint8_t)(val >> 8 * k);
        }
    }
}

static void window_written(PciDevice *p, unsigned offset, unsigned len)
{
    VirtioDevice *d = container_of(p, VirtioDevice, pci);
    uint32_t at, n;

    if (has_window_data(d, offset, len) && window(d, &at, &n)) {
        modern_write(d, at, ld_le32(p->config + d->window_cap + 16) & (~0u >> (32 - 8 * n)), n);
    }
}

static void add_window(VirtioDevice *d)
{
    PciDevice *p = &d->pci;
    uint8_t at = pci_add_cap(p, CAP_VENDOR, 0, 20);

    p->config[at + 2] = 20;
    p->config[at + 3] = CFG_WINDOW;
    p->wmask[at + 4] = 0xff;
    memset(p->wmask + at + 8, 0xff, 12);
    d->window_cap = at;
    p->config_reading = window_reading;
    p->config_written = window_written;
}

/* add_cap - 4.1.4, "Virtio Structure PCI Capabilities". */
static void add_cap(PciDevice *d, uint8_t type, uint32_t offset, uint32_t len)
{
    uint8_t size = type == CFG_NOTIFY ? 20 : 16, at = pci_add_cap(d, CAP_VENDOR, 0, size);

    d->config[at + 2] = size;
    d->config[at + 3] = type;
    d->config[at + 4] = 4; /* the BAR */
    st_le32(d->config + at + 8, offset);
    st_le32(d->config + at + 12, len);
    if (type == CFG_NOTIFY) {
        st_le32(d->config + at + 16, NOTIFY_STEP);
    }
}

void virtio_plug(VirtioDevice *d, unsigned id)
{
    PciDevice *p = &d->pci;

    st_le16(p->config + PCI_SUBSYS_VENDOR, 0x1af4);
    st_le16(p->config + PCI_SUBSYS, (uint16_t)(d->legacy ? id : 0x1100));
    d->host_features |= (d->event_idx ? VIRTIO_F_EVENT_IDX : 0) | (d->indirect_desc ? VIRTIO_F_INDIRECT_DESC : 0) |
                        (d->modern ? VIRTIO_F_VERSION_1 | (d->packed ? VIRTIO_F_RING_PACKED : 0) : 0) | VIRTIO_F_ANY_LAYOUT;
    if (d->vectors > 0) {
        msix_init_bar(&d->msix, p, 0, d->vectors, 1);
    }
    if (d->legacy) {
        io_region_init(&d->legacy_bar, &legacy_ops, d, "virtio-legacy", LEGACY_SIZE);
        pci_bar(p, 0, &d->legacy_bar, PCI_BAR_IO);
    }
    if (d->modern) {
        io_region_init(&d->modern_bar, &modern_ops, d, "virtio", MODERN_SIZE);
        pci_bar(p, 4, &d->modern_bar, PCI_BAR_64 | PCI_BAR_PREFETCH);
        add_cap(p, CFG_COMMON, AT_COMMON, C_END);
        add_cap(p, CFG_ISR, AT_ISR, 1);
        add_cap(p, CFG_DEVICE, AT_DEVICE, PART_SIZE);
        add_cap(p, CFG_NOTIFY, AT_NOTIFY, PART_SIZE);
        add_window(d);
    }
    pci_ready(p);
}

void virtio_unplug(VirtioDevice *d)
{
    timer_cancel(&d->later_timer);
}

void virtio_reset(VirtioDevice *d)
{
    pci_reset(&d->pci);
    d->generation = 0;
    reset(d);
}

bool virtio_post_load(VirtioDevice *d, Error **errp)
{
    pci_post_load(&d->pci);
    for (unsigned n = 0; n < VIRTIO_QUEUES_MAX; n++) {
        VirtQueue *q = &d->queues[n];

        if (n < d->queue_count && (q->size == 0 || q->size > q->max || (!q->packed && q->enabled && (q->size & (q->size - 1)) != 0))) {
            error_set(errp, "%s: a ring of %u descriptors", d->pci.dev.id, q->size);
            return false;
        }
        if (q->packed && !vring_packed_ok(q)) {
            error_set(errp, "%s: places outside of a ring", d->pci.dev.id);
            return false;
        }
        q->vector = n < d->queue_count ? vector_ok(d, q->vector) : VIRTIO_NO_VECTOR;
    }
    if (d->guest_features & ~d->host_features) {
        error_set(errp, "%s: features that this device does not have", d->pci.dev.id);
        return false;
    }
    return true;
}

static const StateField queue_fields[] = {
    STATE_U64(VirtQueue, desc), STATE_U64(VirtQueue, avail), STATE_U64(VirtQueue, used), STATE_U16(VirtQueue, size),
    STATE_U16(VirtQueue, vector), STATE_U16(VirtQueue, last_avail), STATE_U16(VirtQueue, used_idx),
    STATE_U16(VirtQueue, unsignalled), STATE_BOOL(VirtQueue, avail_wrap), STATE_BOOL(VirtQueue, used_wrap),
    STATE_BOOL(VirtQueue, enabled), STATE_BOOL(VirtQueue, packed), STATE_END,
};

const StateField virtio_fields[] = {
    STATE_STRUCT(VirtioDevice, pci, pci_fields), STATE_STRUCT(VirtioDevice, msix, msix_fields),
    STATE_U64(VirtioDevice, guest_features), STATE_U32(VirtioDevice, feature_select),
    STATE_U32(VirtioDevice, guest_select), STATE_U16(VirtioDevice, queue_select),
    STATE_U16(VirtioDevice, config_vector), STATE_U8(VirtioDevice, status), STATE_U8(VirtioDevice, isr),
    STATE_U8(VirtioDevice, generation), STATE_BOOL(VirtioDevice, broken), STATE_BYTES(VirtioDevice, config),
    STATE_ARRAY(VirtioDevice, queues, queue_fields),
    STATE_U64(VirtioDevice, later), STATE_TIMER(VirtioDevice, later_timer), STATE_END,
};
