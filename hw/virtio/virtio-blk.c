/*
 * virtio-blk: a disk. Source: VIRTIO 1.2, 5.2 "Block Device".
 *
 * A request is taken apart into pieces that the block room takes, one at a time; what the guest reads is put into its memory
 * as each piece comes, and the request ends with the last. Requests are taken from the rings while those under way need
 * less than FLIGHT of memory, so what a guest asks for costs no more than that.
 */
#include "hw/virtio/virtio.h"

#include <string.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "block/block.h"
#include "hw/block/disk-props.h"
#include "hw/board.h"
#include "hw/boot-order.h"

enum { F_SEG_MAX = 2, F_GEOMETRY = 4, F_RO = 5, F_BLK_SIZE = 6, F_FLUSH = 9, F_TOPOLOGY = 10, F_MQ = 12, F_DISCARD = 13 };
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };
enum { HEADER = 16, SECTOR = 512, ID_LEN = 20, DISCARD_SEG = 16, DISCARD_SEGS = 16, QUEUES_MAX = 60, QUEUE_SIZE_MAX = 1024 };
/* 5.2.4, "Device configuration layout" */
enum { C_CAPACITY = 0, C_SEG_MAX = 12, C_GEOMETRY = 16, C_BLK_SIZE = 20, C_TOPOLOGY = 24, C_QUEUES = 34,
       C_DISCARD_SECTORS = 36, C_DISCARD_SEG = 40, C_DISCARD_ALIGN = 44, C_LEN = 60 };
#define BOOT_NONE UINT32_MAX
#define FLIGHT (16u << 20)
#define DISCARD_MAX (1u << 21) /* sectors: 1 GiB */

typedef struct Request Request;

typedef struct VirtioBlk {
    VirtioDevice virtio; /* first member */
    Request *first;      /* under way */
    uint32_t flight;     /* bytes of memory that they take */
    uint64_t full;       /* a bit for each queue that waits for some of that */
    /* properties */
    BlockBackend *blk;
    char *serial;
    uint32_t bootindex, queues, queue_size;
    DiskProps disk;
} VirtioBlk;

/* What the block room does for a request. */
typedef struct Piece {
    Request *r;
    struct Piece *next;
    BlockReq *req;
    uint32_t at, len; /* of a read: where in the guest's buffers it goes; else 0 */
} Piece;

/* One of the guest's, until its last piece is done. */
struct Request {
    VirtioBlk *s;
    VirtElem *e;
    Request *next;
    Piece *pieces; /* under way */
    uint64_t sector;
    uint32_t at, len; /* of a read or write: bytes begun, and of all */
    uint32_t cost;    /* of FLIGHT */
    uint32_t written;
    bool write;
    uint8_t status;
};

static VirtioBlk *blk_of(VirtioDevice *d)
{
    return container_of(d, VirtioBlk, virtio);
}

/* ---- requests ---- */

/* There is room again: queues that waited are looked at soon. */
static void resume(VirtioBlk *s)
{
    uint64_t full = s->full;

    if (s->flight > FLIGHT / 2) {
        return;
    }
    s->full = 0;
    for (unsigned n = 0; n < s->virtio.queue_count; n++) {
        if (full & BIT64(n)) {
            virtq_later(&s->virtio.queues[n]);
        }
    }
}

static void forget(Request *r)
{
    r->s->flight -= r->cost;
    resume(r->s);
    for (Request **p = &r->s->first; *p != NULL; p = &(*p)->next) {
        if (*p == r) {
            *p = r->next;
            break;
        }
    }
    free(r);
}

/* finish - when nothing of it is under way. */
static void finish(Request *r)
{
    VirtQueue *q = r->e->queue;

    if (r->pieces == NULL) {
        elem_write(r->e, r->e->in_len - 1, &r->status, 1); /* 5.2.6: the last byte */
        virtq_push(r->e, r->written + 1);
        virtq_notify(q);
        forget(r);
    }
}

static void next_piece(Request *r);

static void on_done(void *opaque, int ret, const uint8_t *data)
{
    Piece *p = opaque;
    Request *r = p->r;

    for (Piece **at = &r->pieces; *at != NULL; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            break;
        }
    }
    if (ret == 0 && p->len > 0) {
        r->written += (uint32_t)elem_write(r->e, p->at, data, p->len);
    }
    if (ret < 0) {
        r->status = S_IOERR;
        r->at = r->len;
    }
    free(p);
    next_piece(r);
    finish(r);
}

static Piece *new_piece(Request *r, uint32_t at, uint32_t len)
{
    Piece *p = xnew(Piece);

    *p = (Piece){ .r = r, .next = r->pieces, .at = at, .len = len };
    r->pieces = p;
    return p;
}

/* The next one of a read or write, if there is one. */
static void next_piece(Request *r)
{
    uint32_t n = MIN(r->len - r->at, BLK_REQUEST_MAX), at = r->at;
    uint8_t *buf = r->write && n > 0 ? blk_buffer(n) : NULL;
    uint64_t from = r->sector * SECTOR + at;
    Piece *p;

    if (n == 0) {
        return;
    }
    r->at += n;
    if (buf != NULL && elem_read(r->e, HEADER + at, buf, n) != n) {
        blk_buffer_free(buf, n);
        r->status = S_IOERR;
        r->at = r->len;
        return;
    }
    p = new_piece(r, at, r->write ? 0 : n);
    p->req = r->write ? blk_write_buffer(r->s->blk, from, buf, n, on_done, p) : blk_read(r->s->blk, from, n, on_done, p);
}

static void read_or_write(Request *r, uint64_t sector, bool write)
{
    uint32_t len = write ? r->e->out_len - HEADER : r->e->in_len - 1;
    uint64_t size = blk_size(r->s->blk);

    if (len % r->s->disk.logical != 0 || sector % (r->s->disk.logical / SECTOR) != 0 || sector > size / SECTOR ||
        len > size - sector * SECTOR) {
        r->status = S_IOERR;
        return;
    }
    r->sector = sector;
    r->len = len;
    r->write = write;
    r->cost = MIN(len, BLK_REQUEST_MAX);
    r->s->flight += r->cost;
    next_piece(r);
}

static void discard(Request *r)
{
    unsigned count = (r->e->out_len - HEADER) / DISCARD_SEG;

    if (!virtio_has(&r->s->virtio, BIT64(F_DISCARD)) || count == 0 || count > DISCARD_SEGS || (r->e->out_len - HEADER) % DISCARD_SEG != 0) {
        r->status = S_UNSUPP;
        return;
    }
    for (unsigned n = 0; n < count; n++) {
        uint64_t size = blk_size(r->s->blk) / SECTOR, sector;
        uint8_t seg[DISCARD_SEG];
        uint32_t sectors;

        elem_read(r->e, HEADER + n * DISCARD_SEG, seg, sizeof(seg));
        sector = ld_le64(seg);
        sectors = ld_le32(seg + 8);
        if (ld_le32(seg + 12) != 0) { /* flags: none for discards */
            r->status = S_UNSUPP;
        } else if (sectors > DISCARD_MAX || sector > size || sectors > size - sector) {
            r->status = S_IOERR;
        } else {
            Piece *p = new_piece(r, 0, 0);

            p->req = blk_discard(r->s->blk, sector * SECTOR, (uint64_t)sectors * SECTOR, on_done, p);
        }
    }
}

static void get_id(Request *r)
{
    char id[ID_LEN] = "";
    const char *serial = r->s->serial != NULL ? r->s->serial : blk_serial(r->s->blk);

    if (serial != NULL) {
        memcpy(id, serial, MIN(strlen(serial), sizeof(id)));
    }
    r->written = (uint32_t)elem_write(r->e, 0, id, MIN((size_t)ID_LEN, r->e->in_len - 1));
}

static void start(VirtioBlk *s, VirtElem *e)
{
    uint8_t head[HEADER];
    Request *r;
    Piece *p;

    if (e->out_len < HEADER || e->in_len < 1 || elem_read(e, 0, head, HEADER) != HEADER) {
        virtio_fail(&s->virtio, "a request without its header or status");
        virtq_drop(e);
        return;
    }
    r = xnew(Request);
    *r = (Request){ .s = s, .e = e, .next = s->first, .status = S_OK };
    s->first = r;
    switch (ld_le32(head)) {
    case T_IN:
    case T_OUT:
        read_or_write(r, ld_le64(head + 8), ld_le32(head) == T_OUT);
        break;
    case T_FLUSH:
        p = new_piece(r, 0, 0);
        p->req = blk_flush(s->blk, on_done, p);
        break;
    case T_GET_ID:
        get_id(r);
        break;
    case T_DISCARD:
        discard(r);
        break;
    default:
        r->status = S_UNSUPP;
    }
    finish(r);
}

static void blk_kick(VirtioDevice *d, VirtQueue *q)
{
    VirtioBlk *s = blk_of(d);
    VirtElem *e;
    unsigned count = 0;

    virtq_quiet(q);
    do {
        while (count < VIRTIO_BATCH && s->flight < FLIGHT && (e = virtq_pop(q)) != NULL) {
            start(s, e);
            count++;
        }
        if (s->flight >= FLIGHT) {
            s->full |= BIT64(q->index);
            return;
        }
        if (count == VIRTIO_BATCH) {
            virtq_later(q);
            return;
        }
    } while (virtq_wait(q));
}

/* ---- the device ---- */

static void blk_dev_reset(VirtioDevice *d)
{
    VirtioBlk *s = blk_of(d);

    s->full = 0;
    while (s->first != NULL) {
        Request *r = s->first;

        while (r->pieces != NULL) {
            Piece *p = r->pieces;

            r->pieces = p->next;
            blk_cancel(p->req);
            free(p);
        }
        virtq_drop(r->e);
        forget(r);
    }
}

static void set_capacity(VirtioBlk *s)
{
    st_le64(s->virtio.config + C_CAPACITY, blk_size(s->blk) / SECTOR / (s->disk.logical / SECTOR) * (s->disk.logical / SECTOR));
}

static void set_config(VirtioBlk *s)
{
    uint8_t *c = s->virtio.config, exp = 0;
    uint64_t cyls = blk_size(s->blk) / SECTOR / (16 * 63);

    while (s->disk.logical << exp < s->disk.physical) {
        exp++;
    }
    set_capacity(s);
    st_le32(c + C_SEG_MAX, s->queue_size - 2);
    st_le16(c + C_GEOMETRY, (uint16_t)MIN(cyls, 16383));
    c[C_GEOMETRY + 2] = 16;
    c[C_GEOMETRY + 3] = 63;
    st_le32(c + C_BLK_SIZE, (uint32_t)s->disk.logical);
    c[C_TOPOLOGY] = exp;
    st_le16(c + C_TOPOLOGY + 2, (uint16_t)(s->disk.min_io / s->disk.logical));
    st_le32(c + C_TOPOLOGY + 4, (uint32_t)(s->disk.opt_io / s->disk.logical));
    st_le16(c + C_QUEUES, (uint16_t)s->queues);
    st_le32(c + C_DISCARD_SECTORS, DISCARD_MAX);
    st_le32(c + C_DISCARD_SEG, DISCARD_SEGS);
    st_le32(c + C_DISCARD_ALIGN, (uint32_t)((s->disk.granularity == DISK_SIZE_AUTO ? s->disk.logical : s->disk.granularity) / SECTOR));
}

static void on_resized(void *opaque)
{
    VirtioBlk *s = opaque;

    set_capacity(s);
    virtio_config_changed(&s->virtio);
}

static const BlockDevOps block_ops = { .resized = on_resized };
static const VirtioOps virtio_ops = { .reset = blk_dev_reset, .kick = blk_kick };

static bool check(VirtioBlk *s, Error **errp)
{
    if (s->blk == NULL || !blk_present(s->blk)) {
        error_set(errp, s->blk == NULL ? "drive property not set" : "Device needs media, but drive is empty");
        return false;
    }
    if (!disk_props_check(&s->disk, 32768, errp)) {
        return false;
    }
    if (s->queues < 1 || s->queues > QUEUES_MAX) {
        error_set(errp, "num-queues=%u: 1 to %d", s->queues, QUEUES_MAX);
        return false;
    }
    if (s->queue_size < 4 || s->queue_size > QUEUE_SIZE_MAX || (s->queue_size & (s->queue_size - 1)) != 0) {
        error_set(errp, "queue-size=%u: a power of two from 4 to %d", s->queue_size, QUEUE_SIZE_MAX);
        return false;
    }
    if (s->bootindex != BOOT_NONE && s->bootindex > INT32_MAX) {
        error_set(errp, "bootindex=%u: too large", s->bootindex);
        return false;
    }
    return true;
}

static bool add_to_boot_order(VirtioBlk *s, Error **errp)
{
    const PciDevice *p = &s->virtio.pci;
    autofree char *fn = (p->devfn & 7) != 0 ? xasprintf(",%x", p->devfn & 7) : xstrdup("");
    autofree char *path = xasprintf("/pci@i0cf8/scsi@%x%s/disk@0,0", p->devfn >> 3, fn);

    return boot_order_add(&s->virtio.pci.dev, (int32_t)s->bootindex, path, errp);
}

static bool blk_realize(Device *dev, Error **errp)
{
    VirtioBlk *s = container_of(dev, VirtioBlk, virtio.pci.dev);
    VirtioDevice *d = &s->virtio;
    uint64_t features = BIT64(F_SEG_MAX) | BIT64(F_GEOMETRY) | BIT64(F_BLK_SIZE) | BIT64(F_TOPOLOGY);
    uint16_t device;
    uint8_t revision;

    virtio_queues(d, &s->queues, QUEUES_MAX, 1);
    if (!check(s, errp) || !virtio_ids(d, VIRTIO_ID_BLOCK, 1, &device, &revision, errp) ||
        !disk_props_attach(&s->disk, s->blk, dev->id, &block_ops, s, errp)) {
        return false;
    }
    features |= blk_read_only(s->blk) ? BIT64(F_RO) : 0;
    features |= s->queues > 1 ? BIT64(F_MQ) : 0;
    features |= disk_props_discards(&s->disk, s->blk) ? BIT64(F_DISCARD) : 0;
    features |= s->disk.cache ? BIT64(F_FLUSH) : 0; /* 5.2.5.1: without, what is written is on stable storage */
    if (!pci_plug(&d->pci, 0x1af4, device, 0x010000, revision, 1, errp)) {
        blk_detach(s->blk);
        return false;
    }
    if (!add_to_boot_order(s, errp)) {
        pci_remove(&d->pci);
        blk_detach(s->blk);
        return false;
    }
    virtio_init(d, &virtio_ops, features, C_LEN);
    for (unsigned n = 0; n < s->queues; n++) {
        virtio_add_queue(d, s->queue_size);
    }
    virtio_plug(d, VIRTIO_ID_BLOCK);
    set_config(s);
    return true;
}

static void blk_unrealize(Device *dev)
{
    VirtioBlk *s = container_of(dev, VirtioBlk, virtio.pci.dev);

    virtio_unplug(&s->virtio);
    blk_dev_reset(&s->virtio);
    blk_detach(s->blk);
    boot_order_remove(dev);
    pci_remove(&s->virtio.pci);
}

static void blk_reset(Device *dev)
{
    VirtioBlk *s = container_of(dev, VirtioBlk, virtio.pci.dev);

    virtio_reset(&s->virtio);
}

static bool blk_post_load(Device *dev, Error **errp)
{
    VirtioBlk *s = container_of(dev, VirtioBlk, virtio.pci.dev);

    set_config(s); /* of the medium that is there now */
    return virtio_post_load(&s->virtio, errp);
}

static const Property blk_props[] = {
    PROP_DRIVE("drive", VirtioBlk, blk, "the -drive that is behind it"),
    PROP_STR("serial", VirtioBlk, serial, NULL, "serial number, 20 characters"),
    PROP_U32("bootindex", VirtioBlk, bootindex, BOOT_NONE, "place in the firmware's boot order"),
    DISK_POLICY_PROPS(VirtioBlk, disk),
    DISK_SIZE_PROPS(VirtioBlk, disk),
    PROP_U32("num-queues", VirtioBlk, queues, VIRTIO_AUTO, "queues; none: one a processor"),
    PROP_U32("queue-size", VirtioBlk, queue_size, 256, "descriptors of a queue"),
    VIRTIO_PROPS(VirtioBlk, VIRTIO_AUTO),
    PCI_PROPS_AT(VirtioBlk, virtio.pci, NULL),
    PROP_END,
};

static const StateField blk_fields[] = {
    STATE_STRUCT(VirtioBlk, virtio, virtio_fields), STATE_END,
};

extern const DeviceClass virtio_blk_class;
const DeviceClass virtio_blk_class = {
    .name = "virtio-blk-pci",
    .alias = "virtio-blk",
    .desc = "virtio disk",
    .size = sizeof(VirtioBlk),
    .bus = BUS_PCI,
    .user_creatable = true,
    .props = blk_props,
    .fields = blk_fields,
    .realize = blk_realize,
    .unrealize = blk_unrealize,
    .reset = blk_reset,
    .post_load = blk_post_load,
};
