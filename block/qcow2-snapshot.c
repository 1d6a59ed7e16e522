/*
 * qcow2: internal snapshots ("Snapshots"). A snapshot is a copy of the L1 table; what both refer to is counted for
 * each. Making, applying and deleting one happen at once or not at all: see qcow2-shadow.h.
 */
#include "block/qcow2-shadow.h"
#include "block/qcow2-bitmap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

/* "Snapshot table entry" */
enum { SN_L1_OFFSET = 0, SN_L1_SIZE = 8, SN_ID_LEN = 12, SN_NAME_LEN = 14, SN_SEC = 16, SN_NSEC = 20,
       SN_CLOCK = 24, SN_STATE = 32, SN_EXTRA_LEN = 36, SN_HEAD = 40 };
enum { SX_STATE = 0, SX_SIZE = 8, SX_ICOUNT = 16, SX_KNOWN = 24 };
#define TABLE_MAX (64u << 20)
#define EXTRA_MAX 1024u

void qcow2_snapshots_free(Qcow2Snapshot *list, uint32_t count)
{
    for (uint32_t n = 0; n < count && list != NULL; n++) {
        free(list[n].id);
        free(list[n].name);
        free(list[n].extra);
    }
    free(list);
}

/* read_one - the entry at *at, which moves behind it. */
static int read_one(Qcow2 *q, uint64_t *at, Qcow2Snapshot *sn)
{
    uint8_t h[SN_HEAD], *rest;
    uint32_t extra, id_len, name_len;
    int r = host_read(&q->img->host, *at, h, sizeof(h));

    extra = ld_be32(h + SN_EXTRA_LEN);
    id_len = ld_be16(h + SN_ID_LEN);
    name_len = ld_be16(h + SN_NAME_LEN);
    if (r != 0 || extra > EXTRA_MAX) {
        return r != 0 ? r : -EIO;
    }
    *sn = (Qcow2Snapshot){ .l1_offset = ld_be64(h + SN_L1_OFFSET), .l1_size = ld_be32(h + SN_L1_SIZE),
                           .sec = ld_be32(h + SN_SEC), .nsec = ld_be32(h + SN_NSEC),
                           .clock_ns = ld_be64(h + SN_CLOCK), .state_bytes = ld_be32(h + SN_STATE),
                           .size = UINT64_MAX, .icount = UINT64_MAX };
    rest = xnewn(uint8_t, extra + id_len + name_len + 1u);
    r = host_read(&q->img->host, *at + SN_HEAD, rest, extra + id_len + name_len);
    if (r == 0) {
        sn->state_bytes = extra >= SX_STATE + 8 ? ld_be64(rest + SX_STATE) : sn->state_bytes;
        sn->size = extra >= SX_SIZE + 8 ? (ld_be64(rest + SX_SIZE) + 511) & ~511ull : sn->size;
        sn->icount = extra >= SX_ICOUNT + 8 ? ld_be64(rest + SX_ICOUNT) : sn->icount;
        if (extra > SX_KNOWN) {
            sn->extra_bytes = extra - SX_KNOWN;
            sn->extra = xnewn(uint8_t, sn->extra_bytes);
            memcpy(sn->extra, rest + SX_KNOWN, sn->extra_bytes);
        }
        sn->id = xstrndup((char *)rest + extra, id_len);
        sn->name = xstrndup((char *)rest + extra + id_len, name_len);
        *at = (*at + SN_HEAD + extra + id_len + name_len + 7) & ~7ull;
    }
    free(rest);
    return r;
}

int qcow2_snapshots_read(Qcow2 *q, Qcow2Snapshot **out, uint32_t *count, uint64_t *bytes)
{
    uint64_t at = q->snapshots_offset;
    Qcow2Snapshot *list = xnewn(Qcow2Snapshot, MAX(q->snapshots, 1u));
    int r = 0;

    for (uint32_t n = 0; n < q->snapshots && r == 0; n++) {
        r = read_one(q, &at, &list[n]);
        if (at - q->snapshots_offset > TABLE_MAX) {
            r = -EFBIG;
        }
    }
    if (r != 0) {
        qcow2_snapshots_free(list, q->snapshots);
        return r;
    }
    *out = list;
    *count = q->snapshots;
    *bytes = at - q->snapshots_offset;
    return 0;
}

/* write_one - as @p, or only its length when that is NULL. Old entries get the known extra data. */
static size_t write_one(const Qcow2 *q, const Qcow2Snapshot *sn, uint8_t *p)
{
    uint32_t extra = SX_KNOWN + sn->extra_bytes;
    size_t id = strlen(sn->id), name = strlen(sn->name), len = SN_HEAD + extra + id + name;

    if (p != NULL) {
        st_be64(p + SN_L1_OFFSET, sn->l1_offset);
        st_be32(p + SN_L1_SIZE, sn->l1_size);
        st_be32(p + SN_ID_LEN, (uint32_t)(id << 16 | name)); /* two of 16 bits */
        st_be32(p + SN_SEC, sn->sec);
        st_be32(p + SN_NSEC, sn->nsec);
        st_be64(p + SN_CLOCK, sn->clock_ns);
        st_be32(p + SN_STATE, sn->state_bytes <= UINT32_MAX ? (uint32_t)sn->state_bytes : 0);
        st_be32(p + SN_EXTRA_LEN, extra);
        st_be64(p + SN_HEAD + SX_STATE, sn->state_bytes);
        st_be64(p + SN_HEAD + SX_SIZE, sn->size != UINT64_MAX ? sn->size : q->img->size);
        st_be64(p + SN_HEAD + SX_ICOUNT, sn->icount);
        if (sn->extra_bytes != 0) {
            memcpy(p + SN_HEAD + SX_KNOWN, sn->extra, sn->extra_bytes);
        }
        memcpy(p + SN_HEAD + extra, sn->id, id);
        memcpy(p + SN_HEAD + extra + id, sn->name, name);
    }
    return (len + 7) & ~(size_t)7;
}

/* put_list - the new list but for entry @without, instead of the old one. */
static int put_list(Shadow *s, const Qcow2Snapshot *list, uint32_t count, uint32_t without, uint64_t old_bytes)
{
    size_t bytes = 0, at = 0;
    uint8_t *table;
    int r;

    for (uint32_t n = 0; n < count; n++) {
        bytes += n != without ? write_one(s->q, &list[n], NULL) : 0;
    }
    if (bytes > TABLE_MAX) {
        return -EFBIG;
    }
    table = xnewn(uint8_t, MAX(bytes, 1u));
    for (uint32_t n = 0; n < count; n++) {
        at += n != without ? write_one(s->q, &list[n], table + at) : 0;
    }
    r = shadow_put(s, table, bytes, &s->snapshots_offset);
    free(table);
    s->snapshots = count - (without < count);
    return r == 0 ? shadow_give_up(s, s->q->snapshots_offset, old_bytes) : r;
}

/* ---- what is done to them ---- */

/* A change to the snapshots of an image, under its lock. */
typedef struct Change {
    Qcow2 *q;
    Shadow s;
    Qcow2Snapshot *list;
    uint32_t count, found;
    uint64_t list_bytes;
    uint64_t *l1; /* of the one that was found */
} Change;

static int find(const Change *c, const char *name, bool by_id, uint32_t *n)
{
    for (unsigned pass = 0; pass < 1u + by_id; pass++) { /* an id first, as qemu-img */
        for (*n = 0; *n < c->count; (*n)++) {
            const char *has = by_id && pass == 0 ? c->list[*n].id : c->list[*n].name;

            if (strcmp(has, name) == 0) {
                return 0;
            }
        }
    }
    return -ENOENT;
}

int qcow2_snapshot_l1(const Qcow2 *q, const Qcow2Snapshot *sn, uint64_t **l1)
{
    uint64_t end = q->end << q->cluster_bits;
    int r;

    if (sn->l1_size > QCOW2_L1_MAX / 8 || sn->l1_offset % q->cluster_size != 0 || sn->l1_offset > end ||
        sn->l1_size * 8ull > end - sn->l1_offset) {
        return -EIO;
    }
    *l1 = try_newn(uint64_t, MAX(sn->l1_size, 1u));
    r = *l1 == NULL ? -ENOMEM : host_read(&q->img->host, sn->l1_offset, *l1, sn->l1_size * 8ull);
    for (uint32_t k = 0; r == 0 && k < sn->l1_size; k++) {
        (*l1)[k] = __builtin_bswap64((*l1)[k]);
    }
    if (r != 0) {
        free(*l1);
        *l1 = NULL;
    }
    return r;
}

/* begin - all is in the file, nothing is pending; @name (may be NULL) is found. */
static int begin(Change *c, BlockImage *img, const char *name, bool by_id)
{
    Qcow2 *q = img->priv;
    int r;

    *c = (Change){ .q = q };
    pthread_mutex_lock(&q->lock);
    if (img->read_only || q->data_file != NULL) {
        return img->read_only ? -EROFS : -ENOTSUP; /* a place is one cluster's of the guest's for good */
    }
    r = qcow2_settle(q);
    r = r == 0 ? qcow2_snapshots_read(q, &c->list, &c->count, &c->list_bytes) : r;
    r = r == 0 && name != NULL ? find(c, name, by_id, &c->found) : r;
    r = r == 0 && name != NULL ? qcow2_snapshot_l1(q, &c->list[c->found], &c->l1) : r;
    return r == 0 ? shadow_begin(&c->s, q) : r;
}

static int end(Change *c, int r)
{
    r = r == 0 ? shadow_commit(&c->s) : r;
    shadow_end(&c->s);
    qcow2_snapshots_free(c->list, c->count);
    free(c->l1);
    pthread_mutex_unlock(&c->q->lock);
    return r;
}

/* next_id - a number above all that are there. */
static char *next_id(const Change *c)
{
    unsigned long max = 0;

    for (uint32_t n = 0; n < c->count; n++) {
        unsigned long id = strtoul(c->list[n].id, NULL, 10);

        max = id > max && id < UINT32_MAX ? id : max;
    }
    return xasprintf("%lu", max + 1);
}

int qcow2_snapshot_create(BlockImage *img, const char *name)
{
    Qcow2Snapshot *sn;
    struct timespec now;
    Change c;
    int r = begin(&c, img, NULL, false);

    if (r == 0 && (strlen(name) > UINT16_MAX || c.count >= QCOW2_SNAPSHOTS_MAX)) {
        r = strlen(name) > UINT16_MAX ? -ENAMETOOLONG : -EFBIG;
    }
    if (r == 0) {
        clock_gettime(CLOCK_REALTIME, &now);
        c.list = xrealloc(c.list, c.count + 1u, sizeof(*c.list));
        sn = &c.list[c.count];
        /* the old table is the snapshot's; the image goes on with a new one */
        *sn = (Qcow2Snapshot){ .id = next_id(&c), .name = xstrdup(name), .l1_offset = c.q->l1_offset,
                               .l1_size = c.q->l1_size, .sec = (uint32_t)now.tv_sec,
                               .nsec = (uint32_t)now.tv_nsec, .size = img->size };
        c.count++;
        r = shadow_tree(&c.s, c.q->l1, c.q->l1_size, 1);
        r = r == 0 ? put_list(&c.s, c.list, c.count, UINT32_MAX, c.list_bytes) : r;
    }
    return end(&c, r);
}

int qcow2_snapshot_apply(BlockImage *img, const char *name)
{
    Change c;
    int r = begin(&c, img, name, true);

    if (r == 0) {
        const Qcow2Snapshot *sn = &c.list[c.found];
        uint64_t size = sn->size != UINT64_MAX ? sn->size : img->size;
        uint64_t need = qcow2_l1_entries(c.q, size);

        r = size > 1ull << 62 || need > QCOW2_L1_MAX / 8 ? -EIO : 0;
        r = r == 0 && size != img->size && c.q->bitmap_count != 0 ? -EBUSY : r; /* they are for one size */
        qcow2_bitmaps_mark(c.q, 0, img->size);
        r = r == 0 ? shadow_tree(&c.s, c.q->l1, c.q->l1_size, -1) : r; /* first: counts can be narrow */
        r = r == 0 ? shadow_tree(&c.s, c.l1, sn->l1_size, 1) : r;
        r = r == 0 ? shadow_give_up(&c.s, c.q->l1_offset, c.q->l1_size * 8ull) : r;
        if (r == 0) {
            c.s.size = size;
            c.s.l1_size = (uint32_t)MAX(need, sn->l1_size);
            c.s.l1 = xrealloc(c.s.l1, MAX(c.s.l1_size, 1u), 8);
            memset(c.s.l1, 0, c.s.l1_size * 8ull);
            memcpy(c.s.l1, c.l1, sn->l1_size * 8ull);
        }
    }
    return end(&c, r);
}

int qcow2_snapshot_delete(BlockImage *img, const char *name)
{
    Change c;
    int r = begin(&c, img, name, false);

    if (r == 0) {
        const Qcow2Snapshot *sn = &c.list[c.found];

        r = shadow_tree(&c.s, c.l1, sn->l1_size, -1);
        r = r == 0 ? shadow_give_up(&c.s, sn->l1_offset, sn->l1_size * 8ull) : r;
        r = r == 0 ? shadow_give_up(&c.s, c.q->l1_offset, c.q->l1_size * 8ull) : r;
        r = r == 0 ? put_list(&c.s, c.list, c.count, c.found, c.list_bytes) : r;
    }
    return end(&c, r);
}

int qcow2_snapshot_view(BlockImage *img, const char *name)
{
    Change c = { .q = img->priv };
    Qcow2 *q = c.q;
    int r = img->read_only ? qcow2_snapshots_read(q, &c.list, &c.count, &c.list_bytes) : -EINVAL;

    r = r == 0 ? find(&c, name, true, &c.found) : r;
    r = r == 0 ? qcow2_snapshot_l1(q, &c.list[c.found], &c.l1) : r;
    if (r == 0) {
        const Qcow2Snapshot *sn = &c.list[c.found];
        uint64_t size = sn->size != UINT64_MAX ? sn->size : img->size;

        if (qcow2_l1_entries(q, size) > sn->l1_size) {
            r = -EIO;
        } else {
            free(q->l1);
            q->l1 = c.l1;
            c.l1 = NULL;
            q->l1_size = sn->l1_size;
            img->size = size;
        }
    }
    qcow2_snapshots_free(c.list, c.count);
    free(c.l1);
    return r;
}
