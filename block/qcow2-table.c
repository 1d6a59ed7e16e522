/*
 * qcow2: tables in memory and the order in which they reach the file. See qcow2.h.
 */
#include "block/qcow2.h"

#include <errno.h>
#include <stdlib.h>

#define TABLE_PAGE 4096u

static QTable **bucket(Qcow2 *q, uint64_t offset)
{
    return &q->tables[(offset >> q->cluster_bits) % QTABLE_HASH];
}

static QTable *find(Qcow2 *q, uint64_t offset)
{
    QTable *t = *bucket(q, offset);

    while (t != NULL && t->offset != offset) {
        t = t->next;
    }
    return t;
}

static void drop(Qcow2 *q, QTable **p)
{
    QTable *t = *p;

    *p = t->next;
    free(t->data);
    free(t);
    q->table_count--;
}

void tables_drop(Qcow2 *q, uint64_t offset)
{
    for (QTable **p = bucket(q, offset); *p != NULL; p = &(*p)->next) {
        if ((*p)->offset == offset) {
            drop(q, p);
            return;
        }
    }
}

void tables_free(Qcow2 *q)
{
    for (unsigned n = 0; n < QTABLE_HASH; n++) {
        while (q->tables[n] != NULL) {
            drop(q, &q->tables[n]);
        }
    }
}

/* shrink - forget half of the clean tables, those that were not needed for the longest time. */
static void shrink(Qcow2 *q)
{
    uint64_t old = q->clock > q->table_count / 2 ? q->clock - q->table_count / 2 : 0;

    for (unsigned n = 0; n < QTABLE_HASH; n++) {
        for (QTable **p = &q->tables[n]; *p != NULL;) {
            if ((*p)->to == 0 && (*p)->used < old) {
                drop(q, p);
            } else {
                p = &(*p)->next;
            }
        }
    }
}

int tables_reserve(Qcow2 *q, uint64_t n)
{
    uint64_t max = MAX(QTABLE_BYTES / q->cluster_size, 16u);
    int r;

    if (q->table_count + n <= max) {
        return 0;
    }
    shrink(q);
    if (q->table_count + n <= max) {
        return 0;
    }
    r = qcow2_flush_locked(q, true);
    if (r == 0) {
        shrink(q);
    }
    return r;
}

int table_get(Qcow2 *q, uint64_t offset, bool refcounts, bool fresh, QTable **out)
{
    QTable *t;
    int r;

    if (offset == 0 || offset % q->cluster_size != 0) {
        return -EIO; /* the image is damaged */
    }
    r = tables_reserve(q, 1);
    if (r != 0) {
        return r;
    }
    t = find(q, offset);
    if (t == NULL) {
        t = xnew(QTable);
        t->data = try_newn(uint8_t, q->cluster_size);
        r = t->data == NULL ? -ENOMEM : fresh ? 0 : host_read(&q->img->host, offset, t->data, q->cluster_size);
        if (r != 0) {
            free(t->data);
            free(t);
            return r;
        }
        t->offset = offset;
        t->next = *bucket(q, offset);
        *bucket(q, offset) = t;
        q->table_count++;
    }
    if (fresh) {
        memset(t->data, 0, q->cluster_size);
        table_changed(t, 0, q->cluster_size);
    }
    t->refcounts = refcounts;
    t->used = ++q->clock;
    *out = t;
    return 0;
}

/* write_table - what has changed of it, in whole pages: a table can be large, and a flush waits for all that is written. */
static int write_table(Qcow2 *q, QTable *t)
{
    uint32_t from = t->from & ~(TABLE_PAGE - 1), to = MIN((t->to + TABLE_PAGE - 1) & ~(TABLE_PAGE - 1), q->cluster_size);
    int r = host_write(&q->img->host, t->offset + from, t->data + from, to - from);

    if (r == 0) {
        t->from = t->to = 0;
    }
    return r;
}

/* write_tables - those of one kind that have changed. *any: there were some. */
static int write_tables(Qcow2 *q, bool refcounts, bool *any)
{
    for (unsigned n = 0; n < QTABLE_HASH; n++) {
        for (QTable *t = q->tables[n]; t != NULL; t = t->next) {
            if (t->to != 0 && t->refcounts == refcounts) {
                int r = write_table(q, t);

                if (r != 0) {
                    return r;
                }
                *any = true;
            }
        }
    }
    return 0;
}

static int write_l1(Qcow2 *q)
{
    uint8_t *be = try_newn(uint8_t, MAX(q->l1_size, 1u) * 8ull);
    int r;

    if (be == NULL) {
        return -ENOMEM;
    }
    for (uint32_t n = 0; n < q->l1_size; n++) {
        st_be64(be + 8ull * n, q->l1[n]);
    }
    r = host_write(&q->img->host, q->l1_offset, be, q->l1_size * 8ull);
    free(be);
    if (r == 0) {
        q->l1_dirty = false;
    }
    return r;
}

/* changed - what a flush that ends in the middle would leave half done. */
static bool changed(const Qcow2 *q)
{
    if (q->l1_dirty || q->pending_count != 0) {
        return true;
    }
    for (unsigned n = 0; n < QTABLE_HASH; n++) {
        for (const QTable *t = q->tables[n]; t != NULL; t = t->next) {
            if (t->to != 0) {
                return true;
            }
        }
    }
    return false;
}

/* barrier - what tables will refer to is on stable storage before they are. Counts of clusters in reserve were so before, and
 * where a hole of the file is filled either is right: what was there, zeros, or what the guest writes. */
static int barrier(Qcow2 *q, bool *durable)
{
    HostFile *f = &q->img->host;
    bool apart = q->data != f;
    int r = apart ? host_flush(q->data) : 0;

    if (r == 0 && (q->counts_first || q->reftable_dirty || (q->data_first && !apart))) {
        r = host_flush(f);
        *durable = r == 0;
    }
    if (r == 0) {
        q->counts_first = q->data_first = false;
    }
    return r;
}

static int flush_tables(Qcow2 *q, bool sync)
{
    HostFile *f = &q->img->host;
    int r;
    bool counts = false, maps = false, durable = false;

    sync = sync && q->img->cache != BLK_UNSAFE;
    r = !(q->incompatible & INCOMPAT_DIRTY) && changed(q) ? qcow2_set_dirty(q, true) : 0;
    r = r == 0 ? write_tables(q, true, &counts) : r;
    r = r == 0 && sync ? barrier(q, &durable) : r;
    if (r == 0 && q->reftable_dirty) {
        r = reftable_publish(q, sync);
    }
    if (r == 0) {
        r = write_tables(q, false, &maps);
    }
    if (r == 0 && sync && (maps || !durable)) {
        r = host_flush(f);
    }
    if (r == 0 && q->l1_dirty) {
        r = write_l1(q);
        if (r == 0 && sync) {
            r = host_flush(f);
        }
    }
    return r == 0 ? qcow2_give_up_now(q) : r;
}

int qcow2_flush_locked(Qcow2 *q, bool sync)
{
    int r = q->broken ? -EIO : flush_tables(q, sync);

    q->unsure |= r != 0;
    return r;
}
