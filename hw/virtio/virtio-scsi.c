/*
 * virtio-scsi: a SCSI host adapter. Source: VIRTIO 1.2, 5.6 "SCSI Host Device"; sections are quoted.
 *
 * Queue 0 is for task management, 1 for events, the others for commands. Not modelled: task attributes (all are simple),
 * protection information, asynchronous notification.
 */
#include "hw/virtio/virtio.h"

#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "hw/scsi/scsi.h"

enum { ID_SCSI = 8, F_HOTPLUG = 1, F_CHANGE = 2 };
enum { CONTROL = 0, EVENTS = 1, COMMANDS = 2, QUEUES_MAX = 60, QUEUE_SIZE_MAX = 1024, CONTROL_SIZE = 64 };
/* 5.6.4, "Device configuration layout" */
enum { C_QUEUES = 0, C_SEG_MAX = 4, C_MAX_SECTORS = 8, C_PER_LUN = 12, C_EVENT_SIZE = 16, C_SENSE_SIZE = 20,
       C_CDB_SIZE = 24, C_MAX_CHANNEL = 28, C_MAX_TARGET = 30, C_MAX_LUN = 32, C_LEN = 36 };
enum { MAX_TARGET = 255, MAX_LUN = 16383, SENSE_SIZE = 96, SIZES_MAX = 256 };
/* 5.6.6.1, requests: LUN, tag, three bytes, and the command; answers: sense length, residual, qualifier, status, response */
enum { REQ_HEAD = 19, RESP_HEAD = 12 };
enum { R_OK = 0, R_OVERRUN = 1, R_ABORTED = 2, R_BAD_TARGET = 3, R_RESET = 4, R_FAILURE = 9, R_SUCCEEDED = 10,
       R_REJECTED = 11, R_BAD_LUN = 12 };
/* 5.6.6.2 */
enum { TMF_LEN = 24, T_TMF = 0, T_QUERY = 1, T_SUBSCRIBE = 2 };
enum { ABORT_TASK = 0, ABORT_TASK_SET = 1, CLEAR_ACA = 2, CLEAR_TASK_SET = 3, NEXUS_RESET = 4, UNIT_RESET = 5,
       QUERY_TASK = 6, QUERY_TASK_SET = 7 };
/* 5.6.6.3 */
enum { EVENT_LEN = 16, E_TRANSPORT_RESET = 1, E_PARAM_CHANGE = 3, RESCAN = 1, REMOVED = 2 };
#define E_MISSED 0x80000000u

typedef struct Command Command;

typedef struct VirtioScsi {
    VirtioDevice virtio; /* first member */
    ScsiBus bus;
    Command *first; /* under way */
    bool missed;    /* events that found no buffer */
    /* properties */
    uint32_t queues, queue_size, max_sectors, per_lun;
    bool hotplug, param_change;
} VirtioScsi;

struct Command {
    ScsiReq r; /* first member */
    VirtioScsi *s;
    VirtElem *e;
    Command *next;
    uint32_t out_at, in_at; /* where the data begin in the guest's buffers */
};

static VirtioScsi *scsi_of(VirtioDevice *d)
{
    return container_of(d, VirtioScsi, virtio);
}

static uint32_t sense_size(const VirtioScsi *s)
{
    return ld_le32(s->virtio.config + C_SENSE_SIZE);
}

static uint32_t cdb_size(const VirtioScsi *s)
{
    return ld_le32(s->virtio.config + C_CDB_SIZE);
}

/* ---- commands ---- */

static void unlink_command(Command *c)
{
    for (Command **p = &c->s->first; *p != NULL; p = &(*p)->next) {
        if (*p == c) {
            *p = c->next;
            break;
        }
    }
}

/* answer - the command's end, and its own. */
static void answer(Command *c, uint8_t response)
{
    uint8_t head[RESP_HEAD] = { 0 };
    const ScsiReq *r = &c->r;
    VirtQueue *q = c->e->queue;
    bool status = response == R_OK;
    uint32_t sense = status ? MIN((uint32_t)r->sense_len, c->in_at - RESP_HEAD) : 0;
    uint32_t wanted = r->in_len > 0 ? r->in_len : r->out_len;

    st_le32(head, sense);
    st_le32(head + 4, wanted - MIN(wanted, r->moved));
    head[10] = status ? r->status : 0;
    head[11] = response;
    elem_write(c->e, 0, head, sizeof(head));
    elem_write(c->e, RESP_HEAD, r->sense, sense);
    virtq_push(c->e, c->in_at + (r->in_len > 0 ? r->moved : 0));
    virtq_notify(q);
    unlink_command(c);
    free(c);
}

static bool put(ScsiReq *r, uint32_t at, const void *buf, uint32_t len)
{
    Command *c = container_of(r, Command, r);

    return elem_write(c->e, (size_t)c->in_at + at, buf, len) == len;
}

static bool get(ScsiReq *r, uint32_t at, void *buf, uint32_t len)
{
    Command *c = container_of(r, Command, r);

    return elem_read(c->e, (size_t)c->out_at + at, buf, len) == len;
}

static void done(ScsiReq *r)
{
    static const uint8_t responses[] = { [SCSI_END_STATUS] = R_OK, [SCSI_END_OVERRUN] = R_OVERRUN,
                                         [SCSI_END_FAULT] = R_FAILURE };

    answer(container_of(r, Command, r), responses[r->end]);
}

static const ScsiReqOps req_ops = { .put = put, .get = get, .done = done };

/* target_of - 5.6.6.1: "first byte set to 1, second byte set to target, third and fourth byte representing a single
 * level LUN structure, followed by four zero bytes". */
static ScsiDisk *target_of(VirtioScsi *s, const uint8_t *lun, unsigned *unit)
{
    *unit = ld_be16(lun + 2) & 0x3fff;
    return lun[0] == 1 && ld_be32(lun + 4) == 0 ? scsi_target(&s->bus, 0, lun[1]) : NULL;
}

static void start(VirtioScsi *s, VirtElem *e)
{
    uint32_t out = REQ_HEAD + cdb_size(s), in = RESP_HEAD + sense_size(s);
    uint8_t head[REQ_HEAD];
    ScsiDisk *target;
    Command *c;
    unsigned lun;

    if (e->out_len < out || e->in_len < in || elem_read(e, 0, head, sizeof(head)) != sizeof(head)) {
        virtio_fail(&s->virtio, "a request without its header or answer");
        virtq_drop(e);
        return;
    }
    c = xnew(Command);
    *c = (Command){ .s = s, .e = e, .next = s->first, .out_at = out, .in_at = in };
    c->r = (ScsiReq){ .ops = &req_ops, .in_len = e->in_len - in, .out_len = e->out_len - out, .tag = ld_le64(head + 8) };
    s->first = c;
    elem_read(e, REQ_HEAD, c->r.cdb, MIN((size_t)cdb_size(s), sizeof(c->r.cdb)));
    target = target_of(s, head, &lun);
    if (target == NULL) {
        answer(c, R_BAD_TARGET);
    } else if (c->r.in_len > 0 && c->r.out_len > 0) { /* F_INOUT was not offered */
        answer(c, R_FAILURE);
    } else {
        scsi_start(target, lun, &c->r);
    }
}

/* ---- task management ---- */

static bool concerns(const Command *c, ScsiDisk *target, ScsiDisk *unit, uint64_t tag, bool one)
{
    unsigned channel[2], id[2], lun;

    if (unit != NULL) {
        return c->r.unit == unit && (!one || c->r.tag == tag);
    }
    scsi_place(c->r.unit, &channel[0], &id[0], &lun);
    scsi_place(target, &channel[1], &id[1], &lun);
    return channel[0] == channel[1] && id[0] == id[1];
}

/* end_tasks - of the unit, or of all of the target where @unit is NULL; with @one that of @tag alone. How many. */
static unsigned end_tasks(VirtioScsi *s, ScsiDisk *target, ScsiDisk *unit, uint64_t tag, bool one, uint8_t response)
{
    unsigned count = 0;
    Command *next;

    for (Command *c = s->first; c != NULL; c = next) {
        next = c->next;
        if (concerns(c, target, unit, tag, one)) {
            count++;
            if (response != R_OK) { /* else they are only counted */
                scsi_cancel(&c->r);
                c->r.moved = 0;
                answer(c, response);
            }
        }
    }
    return count;
}

static uint8_t manage(VirtioScsi *s, const uint8_t *req)
{
    uint32_t what = ld_le32(req + 4);
    uint64_t tag = ld_le64(req + 16);
    unsigned lun, channel, id, n;
    ScsiDisk *target = target_of(s, req + 8, &lun), *unit;

    if (target == NULL) {
        return R_BAD_TARGET;
    }
    scsi_place(target, &channel, &id, &n);
    unit = scsi_unit(&s->bus, channel, id, lun);
    if (what != NEXUS_RESET && unit == NULL) {
        return R_BAD_LUN;
    }
    switch (what) {
    case ABORT_TASK:
        end_tasks(s, target, unit, tag, true, R_ABORTED);
        return R_OK;
    case ABORT_TASK_SET:
    case CLEAR_TASK_SET:
        end_tasks(s, target, unit, 0, false, R_ABORTED);
        return R_OK;
    case NEXUS_RESET:
        end_tasks(s, target, NULL, 0, false, R_RESET);
        return R_OK;
    case UNIT_RESET:
        end_tasks(s, target, unit, 0, false, R_RESET);
        scsi_unit_reset(unit);
        return R_OK;
    case QUERY_TASK:
        return end_tasks(s, target, unit, tag, true, R_OK) > 0 ? R_SUCCEEDED : R_OK;
    case QUERY_TASK_SET:
        return end_tasks(s, target, unit, 0, false, R_OK) > 0 ? R_SUCCEEDED : R_OK;
    default:
        return R_REJECTED;
    }
}

static void control(VirtioScsi *s, VirtElem *e)
{
    uint8_t req[TMF_LEN] = { 0 }, resp[5] = { 0 };
    size_t len = elem_read(e, 0, req, sizeof(req));
    uint32_t type = ld_le32(req), written;
    VirtQueue *q = e->queue;

    if (len == TMF_LEN && type == T_TMF && e->in_len >= 1) {
        resp[0] = manage(s, req);
        written = (uint32_t)elem_write(e, 0, resp, 1);
    } else if (len >= 16 && (type == T_QUERY || type == T_SUBSCRIBE) && e->in_len >= 5) {
        written = (uint32_t)elem_write(e, 0, resp, 5); /* no event of those that were asked for */
    } else {
        virtio_fail(&s->virtio, "a control request that is none");
        virtq_drop(e);
        return;
    }
    virtq_push(e, written);
    virtq_notify(q);
}

/* ---- events ---- */

static void event(VirtioScsi *s, uint32_t what, const ScsiDisk *d, uint32_t reason)
{
    uint8_t buf[EVENT_LEN] = { 0 };
    unsigned channel, id, lun;
    VirtQueue *q = &s->virtio.queues[EVENTS];
    VirtElem *e = virtq_pop(q);

    if (e == NULL) {
        s->missed = s->virtio.status & VIRTIO_DRIVER_OK;
        return;
    }
    if (d != NULL) {
        scsi_place(d, &channel, &id, &lun);
        buf[4] = 1;
        buf[5] = (uint8_t)id;
        st_be16(buf + 6, lun < 256 ? lun : 0x4000 | lun);
    }
    st_le32(buf, what | (s->missed ? E_MISSED : 0));
    st_le32(buf + 12, reason);
    s->missed = false;
    virtq_push(e, (uint32_t)elem_write(e, 0, buf, sizeof(buf)));
    virtq_notify(q);
}

static void unit_came(void *opaque, ScsiDisk *d)
{
    VirtioScsi *s = opaque;

    if (virtio_has(&s->virtio, BIT64(F_HOTPLUG))) {
        event(s, E_TRANSPORT_RESET, d, RESCAN);
    }
}

static void unit_going(void *opaque, ScsiDisk *d)
{
    VirtioScsi *s = opaque;

    end_tasks(s, d, d, 0, false, R_BAD_TARGET);
    if (virtio_has(&s->virtio, BIT64(F_HOTPLUG))) {
        event(s, E_TRANSPORT_RESET, d, REMOVED);
    }
}

static void unit_changed(void *opaque, ScsiDisk *d, uint8_t asc, uint8_t ascq)
{
    VirtioScsi *s = opaque;

    if (virtio_has(&s->virtio, BIT64(F_CHANGE))) {
        event(s, E_PARAM_CHANGE, d, asc | (uint32_t)ascq << 8);
    }
}

static const ScsiBusOps bus_ops = { .came = unit_came, .going = unit_going, .changed = unit_changed };

/* ---- the device ---- */

static void scsi_kick(VirtioDevice *d, VirtQueue *q)
{
    VirtElem *e;
    unsigned count = 0;

    if (q->index == EVENTS) { /* buffers are taken when there is something to put in */
        if (scsi_of(d)->missed && !virtq_empty(q)) {
            event(scsi_of(d), 0, NULL, 0);
        }
        return;
    }
    if (cdb_size(scsi_of(d)) > SIZES_MAX || sense_size(scsi_of(d)) > SIZES_MAX) {
        virtio_fail(d, "commands or sense data of that size");
        return;
    }
    virtq_quiet(q);
    do {
        while (count < VIRTIO_BATCH && (e = virtq_pop(q)) != NULL) {
            if (q->index == CONTROL) {
                control(scsi_of(d), e);
            } else {
                start(scsi_of(d), e);
            }
            count++;
        }
        if (count == VIRTIO_BATCH) {
            virtq_later(q);
            return;
        }
    } while (virtq_wait(q));
}

static void set_config(VirtioScsi *s)
{
    uint8_t *c = s->virtio.config;

    st_le32(c + C_QUEUES, s->queues);
    st_le32(c + C_SEG_MAX, s->queue_size - 2);
    st_le32(c + C_MAX_SECTORS, s->max_sectors);
    st_le32(c + C_PER_LUN, s->per_lun);
    st_le32(c + C_EVENT_SIZE, EVENT_LEN);
    st_le16(c + C_MAX_TARGET, MAX_TARGET);
    st_le32(c + C_MAX_LUN, MAX_LUN);
}

static void scsi_dev_reset(VirtioDevice *d)
{
    VirtioScsi *s = scsi_of(d);

    while (s->first != NULL) {
        Command *c = s->first;

        scsi_cancel(&c->r);
        virtq_drop(c->e);
        s->first = c->next;
        free(c);
    }
    s->missed = false;
    st_le32(d->config + C_SENSE_SIZE, SENSE_SIZE);
    st_le32(d->config + C_CDB_SIZE, SCSI_CDB_MAX);
}

static bool config_writable(VirtioDevice *d, unsigned offset, unsigned len)
{
    return offset >= C_SENSE_SIZE && len <= C_MAX_CHANNEL - offset && offset < C_MAX_CHANNEL;
}

static const VirtioOps virtio_ops = { .reset = scsi_dev_reset, .kick = scsi_kick, .config_writable = config_writable };

static bool check(VirtioScsi *s, Error **errp)
{
    if (s->queues < 1 || s->queues > QUEUES_MAX) {
        error_set(errp, "num_queues=%u: 1 to %d", s->queues, QUEUES_MAX);
        return false;
    }
    if (s->queue_size < 4 || s->queue_size > QUEUE_SIZE_MAX || (s->queue_size & (s->queue_size - 1)) != 0) {
        error_set(errp, "virtqueue_size=%u: a power of two from 4 to %d", s->queue_size, QUEUE_SIZE_MAX);
        return false;
    }
    if (s->max_sectors < 1 || s->per_lun < 1) {
        error_set(errp, "max_sectors=%u, cmd_per_lun=%u: at least 1", s->max_sectors, s->per_lun);
        return false;
    }
    return true;
}

static bool scsi_realize(Device *dev, Error **errp)
{
    VirtioScsi *s = container_of(dev, VirtioScsi, virtio.pci.dev);
    VirtioDevice *d = &s->virtio;
    uint64_t features = (s->hotplug ? BIT64(F_HOTPLUG) : 0) | (s->param_change ? BIT64(F_CHANGE) : 0);
    autofree char *path = NULL, *fn = NULL;
    uint16_t device;
    uint8_t revision;

    virtio_queues(d, &s->queues, QUEUES_MAX, 3); /* control, events, changes */
    if (!check(s, errp) || !virtio_ids(d, ID_SCSI, 4, &device, &revision, errp) ||
        !pci_plug(&d->pci, 0x1af4, device, 0x010000, revision, 1, errp)) {
        return false;
    }
    virtio_init(d, &virtio_ops, features, C_LEN);
    virtio_add_queue(d, CONTROL_SIZE);
    virtio_add_queue(d, CONTROL_SIZE);
    for (unsigned n = 0; n < s->queues; n++) {
        virtio_add_queue(d, s->queue_size);
    }
    virtio_plug(d, ID_SCSI);
    set_config(s);
    fn = (d->pci.devfn & 7) != 0 ? xasprintf(",%x", d->pci.devfn & 7) : xstrdup("");
    path = xasprintf("/pci@i0cf8/scsi@%x%s", d->pci.devfn >> 3, fn);
    s->bus.max_channel = 0;
    s->bus.max_id = MAX_TARGET;
    s->bus.max_lun = MAX_LUN;
    scsi_bus_init(&s->bus, dev, path, &bus_ops, s);
    return true;
}

static void scsi_unrealize(Device *dev)
{
    VirtioScsi *s = container_of(dev, VirtioScsi, virtio.pci.dev);

    virtio_unplug(&s->virtio);
    scsi_dev_reset(&s->virtio);
    scsi_bus_fini(&s->bus);
    pci_remove(&s->virtio.pci);
}

static void scsi_reset(Device *dev)
{
    virtio_reset(&container_of(dev, VirtioScsi, virtio.pci.dev)->virtio);
}

static bool scsi_post_load(Device *dev, Error **errp)
{
    VirtioScsi *s = container_of(dev, VirtioScsi, virtio.pci.dev);

    set_config(s); /* as this command line has it */
    return virtio_post_load(&s->virtio, errp);
}

static const Property scsi_props[] = {
    PROP_U32("num_queues", VirtioScsi, queues, VIRTIO_AUTO, "queues for commands; none: one a processor"),
    PROP_U32("virtqueue_size", VirtioScsi, queue_size, 256, "descriptors of each"),
    PROP_U32("max_sectors", VirtioScsi, max_sectors, 65535, "sectors that a command should transfer at most"),
    PROP_U32("cmd_per_lun", VirtioScsi, per_lun, 128, "commands that a unit should be given at a time"),
    PROP_BOOL("hotplug", VirtioScsi, hotplug, true, "tells the guest of units that come and go"),
    PROP_BOOL("param_change", VirtioScsi, param_change, true, "and of those that change"),
    VIRTIO_PROPS(VirtioScsi, VIRTIO_AUTO),
    PCI_PROPS_AT(VirtioScsi, virtio.pci, NULL),
    PROP_END,
};

static const StateField scsi_fields[] = {
    STATE_STRUCT(VirtioScsi, virtio, virtio_fields), STATE_BOOL(VirtioScsi, missed), STATE_END,
};

extern const DeviceClass virtio_scsi_class;
const DeviceClass virtio_scsi_class = {
    .name = "virtio-scsi-pci",
    .alias = "virtio-scsi",
    .desc = "virtio SCSI host adapter",
    .size = sizeof(VirtioScsi),
    .bus = BUS_PCI,
    .user_creatable = true,
    .props = scsi_props,
    .fields = scsi_fields,
    .realize = scsi_realize,
    .unrealize = scsi_unrealize,
    .reset = scsi_reset,
    .post_load = scsi_post_load,
};
