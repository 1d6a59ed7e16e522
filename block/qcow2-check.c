/*
 * qcow2: is the image consistent? Counts every reference to every cluster, and compares. See qcow2.h.
 */
#include "block/qcow2-bitmap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Clusters of an image: more are not believed (16 TiB of 512-byte clusters' counts are 64 GiB). */
#define CLUSTERS_MAX (1ull << 32)

typedef struct Check {
    Qcow2 *q;
    Qcow2Check *result;
    uint32_t *seen; /* references to each cluster */
    uint64_t clusters;
    unsigned fix;
    bool partial; /* not all that refers to clusters could be seen: no count is lowered */
    void (*report)(void *opaque, const char *line);
    void *opaque;
} Check;

__attribute__((format(printf, 2, 3))) static void say(Check *c, const char *fmt, ...)
{
    va_list ap;
    char *line;

    if (c->report == NULL) {
        return;
    }
    va_start(ap, fmt);
    line = xvasprintf(fmt, ap);
    va_end(ap);
    c->report(c->opaque, line);
    free(line);
}

static void refer(Check *c, uint64_t offset, uint64_t bytes, const char *what)
{
    uint64_t first = offset >> c->q->cluster_bits, last = (offset + bytes - 1) >> c->q->cluster_bits;

    if (bytes == 0) {
        return;
    }
    if (last < first || last >= c->clusters) {
        say(c, "ERROR: %s at 0x%" PRIx64 " lies outside of the file", what, offset);
        c->result->corruptions++;
        return;
    }
    for (uint64_t n = first; n <= last; n++) {
        c->seen[n]++;
    }
}

/* check_units - "Extended L2 Entries": a subcluster is not both data and zeros, and has data only where there is a place. */
static void check_units(Check *c, QEntry e, uint64_t guest)
{
    const Qcow2 *q = c->q;
    bool place = qcow2_has_place(q, e);

    if (q->extended && ((e.units & e.units >> QCOW2_UNITS & L2_ALL_DATA) != 0 || (!place && (e.units & L2_ALL_DATA) != 0) ||
                        (e.desc & L2_COMPRESSED ? e.units != 0 : (e.desc & L2_ZERO) != 0))) {
        say(c, "ERROR: entry of 0x%" PRIx64 " does not make sense: 0x%" PRIx64 ", 0x%" PRIx64, guest, e.desc, e.units);
        c->result->corruptions++;
    }
}

static void check_entry(Check *c, QEntry e, uint64_t guest, bool active, uint64_t *next)
{
    const Qcow2 *q = c->q;
    uint64_t entry = e.desc;
    bool zeros = !q->extended && q->version >= 3 && (entry & L2_ZERO);

    check_units(c, e, guest);
    if ((entry & L2_COMPRESSED) && q->data_file != NULL) {
        say(c, "ERROR: compressed data of 0x%" PRIx64 " and an external data file", guest);
        c->result->corruptions++;
        return;
    }
    if (entry & L2_COMPRESSED) {
        unsigned x = 62 - (q->cluster_bits - 8);
        uint64_t at = entry & ((1ull << x) - 1), sectors = (entry >> x & ((1ull << (62 - x)) - 1)) + 1;

        refer(c, at & ~511ull, sectors * 512, "compressed data");
        c->result->allocated += active;
        c->result->compressed += active;
        c->result->fragmented += active;
        return;
    }
    if (!qcow2_has_place(q, e)) {
        return;
    }
    if ((entry & L2_OFFSET) % q->cluster_size != 0) {
        say(c, "ERROR: data of 0x%" PRIx64 " is not aligned: entry 0x%" PRIx64, guest, entry);
        c->result->corruptions++;
        return;
    }
    if (q->data_file == NULL) {
        refer(c, entry & L2_OFFSET, q->cluster_size, "data");
    } else if (!(entry & L2_COPIED) || (entry & L2_OFFSET) != guest) {
        say(c, "ERROR: data of 0x%" PRIx64 " is not at its place in the data file: entry 0x%" PRIx64, guest, entry);
        c->result->corruptions++;
    }
    if (active && !zeros) {
        c->result->allocated++;
        c->result->fragmented += *next != 0 && *next != (entry & L2_OFFSET);
        *next = (entry & L2_OFFSET) + q->cluster_size;
    }
}

static int check_l1(Check *c, const uint64_t *l1, uint32_t size, bool active)
{
    Qcow2 *q = c->q;
    uint64_t next = 0;

    for (uint32_t n = 0; n < size; n++) {
        uint64_t at = l1[n] & L2_OFFSET;
        QTable *t;
        int r;

        if (at == 0) {
            continue;
        }
        if (at % q->cluster_size != 0) {
            say(c, "ERROR: L2 table at 0x%" PRIx64 " is not aligned", at);
            c->result->corruptions++;
            c->partial = true;
            continue;
        }
        refer(c, at, q->cluster_size, "L2 table");
        if (at >> q->cluster_bits >= c->clusters || c->seen[at >> q->cluster_bits] > q->snapshots + 1u) {
            c->result->corruptions++; /* one image uses a table once */
            c->partial = true;
            continue;
        }
        r = table_get(q, at, false, false, &t);
        if (r != 0) {
            return r;
        }
        for (uint64_t k = 0; k < 1ull << q->l2_bits; k++) {
            check_entry(c, l2_get(q, t->data, k), ((uint64_t)n << q->l2_bits | k) << q->cluster_bits, active,
                        &next);
        }
    }
    return 0;
}

/* check_snapshots - "Snapshots": their own L1 tables refer to clusters too. */
static int check_snapshots(Check *c)
{
    Qcow2 *q = c->q;
    Qcow2Snapshot *list;
    uint32_t count;
    uint64_t bytes;
    int r = qcow2_snapshots_read(q, &list, &count, &bytes);

    if (r != 0) {
        say(c, "ERROR: cannot read the snapshot table: %s", strerror(-r));
        c->result->corruptions++;
        c->partial = true;
        return 0;
    }
    for (uint32_t n = 0; n < count && r == 0; n++) {
        uint64_t *l1;

        r = qcow2_snapshot_l1(q, &list[n], &l1);
        if (r != 0) {
            say(c, "ERROR: cannot read the L1 table of snapshot %s (%s): %s", list[n].id, list[n].name,
                strerror(-r));
            c->result->corruptions++;
            c->partial = true;
            r = 0;
            continue;
        }
        refer(c, list[n].l1_offset, list[n].l1_size * 8ull, "a snapshot's L1 table");
        r = check_l1(c, l1, list[n].l1_size, false);
        free(l1);
    }
    refer(c, q->snapshots_offset, bytes, "the snapshot table");
    qcow2_snapshots_free(list, count);
    return r;
}

static void refer_bitmap(void *opaque, uint64_t offset, uint64_t bytes, const char *what)
{
    refer(opaque, offset, bytes, what);
}

static int check_bitmaps(Check *c)
{
    int r = qcow2_bitmaps_refer(c->q, refer_bitmap, c);

    if (r == -EINVAL) {
        say(c, "ERROR: the table of a bitmap does not make sense");
        c->result->corruptions++;
        c->partial = true;
    }
    return r == -EINVAL ? 0 : r;
}

static int compare(Check *c)
{
    Qcow2Check *res = c->result;

    for (uint64_t n = 0; n < c->clusters; n++) {
        uint64_t stored;
        int r = refcount_get(c->q, n, &stored);

        if (r != 0) {
            return r;
        }
        if (c->seen[n] != 0) {
            res->end = (n + 1) << c->q->cluster_bits;
        }
        if (stored == c->seen[n]) {
            continue;
        }
        if (stored > c->seen[n]) {
            say(c, "Leaked cluster %" PRIu64 " refcount=%" PRIu64 " reference=%u", n, stored, c->seen[n]);
            if ((c->fix & QCOW2_FIX_LEAKS) && !c->partial) {
                r = refcount_set(c->q, n, c->seen[n]);
                res->leaks_fixed += r == 0;
            }
            res->leaks += !(c->fix & QCOW2_FIX_LEAKS) || c->partial || r != 0;
        } else {
            say(c, "ERROR cluster %" PRIu64 " refcount=%" PRIu64 " reference=%u", n, stored, c->seen[n]);
            if (c->fix & QCOW2_FIX_ERRORS) {
                r = refcount_set(c->q, n, c->seen[n]);
                res->corruptions_fixed += r == 0;
            }
            res->corruptions += !(c->fix & QCOW2_FIX_ERRORS) || r != 0;
        }
    }
    return 0;
}

static int walk(Check *c)
{
    Qcow2 *q = c->q;
    int r;

    refer(c, 0, q->cluster_size, "the header");
    refer(c, q->l1_offset, q->l1_size * 8ull, "the L1 table");
    refer(c, q->reftable_offset, q->reftable_size * 8ull, "the refcount table");
    for (uint32_t n = 0; n < q->reftable_size; n++) {
        if ((q->reftable[n] & REFTABLE_OFFSET) != 0) {
            refer(c, q->reftable[n] & REFTABLE_OFFSET, q->cluster_size, "a refcount block");
        }
    }
    r = check_l1(c, q->l1, q->l1_size, true);
    r = r == 0 ? check_snapshots(c) : r;
    r = r == 0 ? check_bitmaps(c) : r;
    return r == 0 ? compare(c) : r;
}

/* flags_of - the table at @offset holds entries of @count; each says COPIED exactly where the count is one. */
static int check_copied(Check *c)
{
    Qcow2 *q = c->q;

    for (uint32_t n = 0; n < q->l1_size; n++) {
        uint64_t at = q->l1[n] & L2_OFFSET, count;
        QTable *t;
        int r;

        if (at == 0 || at % q->cluster_size != 0) {
            continue;
        }
        r = refcount_get(q, at >> q->cluster_bits, &count);
        if (r == 0 && ((q->l1[n] & L2_COPIED) != 0) != (count == 1)) {
            say(c, "ERROR OFLAG_COPIED L2 cluster: l1_index=%u l1_entry=%" PRIx64 " refcount=%" PRIu64, n,
                q->l1[n], count);
            if (c->fix & QCOW2_FIX_ERRORS) {
                q->l1[n] = at | (count == 1 ? L2_COPIED : 0);
                q->l1_dirty = true;
                c->result->corruptions_fixed++;
            } else {
                c->result->corruptions++;
            }
        }
        for (uint64_t k = 0; r == 0 && k < 1ull << q->l2_bits && q->data_file == NULL; k++) {
            QEntry entry;
            uint64_t e;

            r = table_get(q, at, false, false, &t); /* the counts' tables come in between */
            if (r != 0) {
                break;
            }
            entry = l2_get(q, t->data, k);
            e = entry.desc;
            if ((e & L2_COMPRESSED) || (e & L2_OFFSET) == 0) {
                continue;
            }
            r = refcount_get(q, (e & L2_OFFSET) >> q->cluster_bits, &count);
            if (r == 0 && ((e & L2_COPIED) != 0) != (count == 1)) {
                say(c, "ERROR OFLAG_COPIED data cluster: l2_entry=%" PRIx64 " refcount=%" PRIu64, e, count);
                if (!(c->fix & QCOW2_FIX_ERRORS)) {
                    c->result->corruptions++;
                } else if ((r = table_get(q, at, false, false, &t)) == 0) {
                    entry.desc = (e & ~L2_COPIED) | (count == 1 ? L2_COPIED : 0);
                    l2_change(q, t, k, entry);
                    c->result->corruptions_fixed++;
                }
            }
        }
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

int qcow2_check(BlockImage *img, unsigned fix, Qcow2Check *result,
                void (*report)(void *opaque, const char *line), void *opaque)
{
    Qcow2 *q = img->priv;
    Check c = { .q = q, .result = result, .fix = fix, .report = report, .opaque = opaque };
    int r;

    *result = (Qcow2Check){ .total = qcow2_clusters(q, img->size) };
    pthread_mutex_lock(&q->lock);
    r = qcow2_settle(q);
    c.clusters = MAX(q->end, qcow2_clusters(q, img->file_size));
    c.seen = c.clusters <= CLUSTERS_MAX ? try_newn(uint32_t, MAX(c.clusters, 1u)) : NULL;
    r = r == 0 && c.seen == NULL ? -ENOMEM : r;
    r = r == 0 ? walk(&c) : r;
    r = r == 0 ? check_copied(&c) : r;
    if (r == 0 && fix != 0) {
        r = qcow2_flush_locked(q, true);
        if (r == 0 && result->corruptions == 0) {
            q->unsure = false;
            r = qcow2_set_dirty(q, false);
        }
        if (r == 0 && (fix & QCOW2_FIX_ERRORS) && result->corruptions == 0 && (q->incompatible & INCOMPAT_CORRUPT)) {
            q->incompatible &= ~(uint64_t)INCOMPAT_CORRUPT;
            r = qcow2_write_header(q);
        }
    }
    pthread_mutex_unlock(&q->lock);
    free(c.seen);
    result->errors += r != 0;
    return r;
}
