/*
 * qcow2: reference counts and free clusters. See qcow2.h.
 */
#include "block/qcow2.h"

#include <errno.h>
#include <stdlib.h>

/* "Refcounts": count @n of a block, of 1 to 64 bits; those below a byte start at its least significant bit. */
uint64_t count_get(const Qcow2 *q, const uint8_t *block, uint64_t n)
{
    switch (q->refcount_order) {
    case 3: return block[n];
    case 4: return (uint64_t)(block[2 * n] << 8 | block[2 * n + 1]);
    case 5: return ld_be32(block + 4 * n);
    case 6: return ld_be64(block + 8 * n);
    default: {
        unsigned bits = 1u << q->refcount_order, per = 8 / bits;

        return block[n / per] >> (n % per * bits) & ((1u << bits) - 1);
    }
    }
}

void count_set(const Qcow2 *q, uint8_t *block, uint64_t n, uint64_t val)
{
    switch (q->refcount_order) {
    case 3: block[n] = (uint8_t)val; break;
    case 4:
        block[2 * n] = (uint8_t)(val >> 8);
        block[2 * n + 1] = (uint8_t)val;
        break;
    case 5: st_be32(block + 4 * n, (uint32_t)val); break;
    case 6: st_be64(block + 8 * n, val); break;
    default: {
        unsigned bits = 1u << q->refcount_order, per = 8 / bits, shift = n % per * bits;
        uint8_t mask = (uint8_t)(((1u << bits) - 1) << shift);

        block[n / per] = (uint8_t)((block[n / per] & ~mask) | val << shift);
    }
    }
}

uint64_t count_max(const Qcow2 *q)
{
    return q->refcount_order == 6 ? UINT64_MAX : (1ull << (1u << q->refcount_order)) - 1;
}

/* Clusters that are counted ahead, so that the counts are durable when tables need them: one flush of the host's instead of two
 * for a guest that flushes each write. */
#define RESERVE 64ull

static uint64_t block_mask(const Qcow2 *q)
{
    return (1ull << q->block_bits) - 1;
}

/* count_block - the refcount block of @cluster; *t is NULL where there is none, and all counts are 0. */
static int count_block(Qcow2 *q, uint64_t cluster, QTable **t)
{
    uint64_t n = cluster >> q->block_bits;

    *t = NULL;
    if (n >= q->reftable_size || (q->reftable[n] & REFTABLE_OFFSET) == 0) {
        return 0;
    }
    return table_get(q, q->reftable[n] & REFTABLE_OFFSET, true, false, t);
}

int refcount_get(Qcow2 *q, uint64_t cluster, uint64_t *count)
{
    QTable *t;
    int r = count_block(q, cluster, &t);

    *count = r == 0 && t != NULL ? count_get(q, t->data, cluster & block_mask(q)) : 0;
    return r;
}

/* put_count - into the block @t, which has it. */
static void put_count(Qcow2 *q, QTable *t, uint64_t cluster, uint64_t count)
{
    uint64_t n = cluster & block_mask(q), bits = 1ull << q->refcount_order;

    count_set(q, t->data, n, count);
    table_changed(t, n * bits / 8, (bits + 7) / 8);
    q->counts_first |= count != 0; /* what nothing leads to any more may be counted a while longer */
}

int refcount_set(Qcow2 *q, uint64_t cluster, uint64_t count)
{
    QTable *t;
    int r = count_block(q, cluster, &t);

    if (r == 0 && t == NULL) {
        return -EIO;
    }
    if (count > count_max(q)) {
        return -ERANGE;
    }
    if (r == 0) {
        put_count(q, t, cluster, count);
    }
    return r;
}

int refcount_last(Qcow2 *q, uint32_t n, uint64_t *cluster)
{
    uint64_t first = (uint64_t)n << q->block_bits;
    QTable *t;
    int r = count_block(q, first, &t);

    *cluster = 0;
    for (uint64_t k = block_mask(q) + 1; r == 0 && t != NULL && k > 0; k--) {
        if (count_get(q, t->data, k - 1) != 0) {
            *cluster = first + k;
            break;
        }
    }
    return r;
}

int refcount_add(Qcow2 *q, uint64_t cluster, int delta)
{
    uint64_t count;
    int r = refcount_get(q, cluster, &count);

    if (r != 0) {
        return r;
    }
    if ((delta < 0 && count == 0) || (delta > 0 && count == count_max(q))) {
        return delta < 0 ? -EIO : -ERANGE;
    }
    r = refcount_set(q, cluster, delta < 0 ? count - 1 : count + 1);
    if (r == 0 && delta < 0 && count == 1) {
        q->free_hint = MIN(q->free_hint, cluster);
        q->packed = q->packed >> q->cluster_bits == cluster ? 0 : q->packed;
        tables_drop(q, cluster << q->cluster_bits);
    }
    return r;
}

/* ---- allocation ---- */

/* find_free - a free cluster among those that have a refcount block already; UINT64_MAX for none. */
static int find_free(Qcow2 *q, uint64_t *cluster)
{
    uint64_t n = q->free_hint;

    *cluster = UINT64_MAX;
    while (n < q->end && n >> q->block_bits < q->reftable_size) {
        QTable *t;
        int r = count_block(q, n, &t);

        if (r != 0) {
            return r;
        }
        if (t == NULL) {
            n = ((n >> q->block_bits) + 1) << q->block_bits;
            continue;
        }
        do {
            if (count_get(q, t->data, n & block_mask(q)) == 0) {
                *cluster = q->free_hint = n;
                return 0;
            }
            n++;
        } while ((n & block_mask(q)) != 0);
    }
    q->free_hint = n;
    return 0;
}

/* missing_blocks - how many refcount blocks are not there for clusters [first, end). */
static uint64_t missing_blocks(const Qcow2 *q, uint64_t first, uint64_t end)
{
    uint64_t count = 0;

    for (uint64_t n = first >> q->block_bits; n << q->block_bits < end; n++) {
        count += n >= q->reftable_size || (q->reftable[n] & REFTABLE_OFFSET) == 0;
    }
    return count;
}

/* write_reftable - the table in memory to where it belongs. */
static int write_reftable(Qcow2 *q, uint64_t offset)
{
    uint64_t bytes = qcow2_clusters(q, q->reftable_size * 8ull) << q->cluster_bits;
    uint8_t *be = try_newn(uint8_t, bytes);
    int r;

    if (be == NULL) {
        return -ENOMEM;
    }
    for (uint32_t n = 0; n < q->reftable_size; n++) {
        st_be64(be + 8ull * n, q->reftable[n]);
    }
    r = host_write(&q->img->host, offset, be, bytes);
    free(be);
    return r;
}

int reftable_publish(Qcow2 *q, bool sync)
{
    HostFile *f = &q->img->host;
    uint64_t old = q->reftable_offset, next = q->reftable_next;
    uint32_t old_clusters = q->reftable_clusters;
    uint8_t be[12];
    int r = write_reftable(q, next != 0 ? next : old);

    r = r == 0 && sync ? host_flush(f) : r;
    if (r == 0 && next != 0) {
        q->reftable_clusters = (uint32_t)qcow2_clusters(q, q->reftable_size * 8ull);
        st_be64(be, next);
        st_be32(be + 8, q->reftable_clusters);
        r = host_write(f, QH_REFTABLE_OFFSET, be, sizeof(be));
        r = r == 0 && sync ? host_flush(f) : r;
        if (r != 0) { /* the next flush tries again; the tables say the same, whichever the header names */
            q->reftable_clusters = old_clusters;
            return r;
        }
        q->reftable_offset = next;
        q->reftable_next = 0;
        for (uint64_t k = 0; k < old_clusters; k++) {
            qcow2_give_up(q, (old >> q->cluster_bits) + k);
        }
    }
    q->reftable_dirty = r != 0;
    return r;
}

/* reftable_copy - with room for @clusters of entries; *size of them. NULL: too large. */
static uint64_t *reftable_copy(const Qcow2 *q, uint64_t clusters, uint32_t *size)
{
    uint64_t entries = MAX(clusters << (q->cluster_bits - 3), q->reftable_size);
    uint64_t *copy = entries <= UINT32_MAX ? try_newn(uint64_t, entries) : NULL;

    if (copy != NULL) {
        memcpy(copy, q->reftable, q->reftable_size * 8ull);
        *size = (uint32_t)entries;
    }
    return copy;
}

/* Clusters at the end of the file: refcount blocks, refcount table, what was asked for. */
typedef struct Area {
    uint64_t start, blocks, table, n; /* clusters; table 0: the old one will do */
} Area;

static uint64_t area_end(const Area *a)
{
    return a->start + a->blocks + a->table + a->n;
}

/* area_plan - how much it takes: what is added needs counts itself. */
static void area_plan(const Qcow2 *q, Area *a)
{
    for (;;) {
        uint64_t end = area_end(a), entries = ((end - 1) >> q->block_bits) + 1, table = 0;
        uint64_t blocks = missing_blocks(q, a->start, end);

        if (entries > q->reftable_size) {
            table = qcow2_clusters(q, MAX(entries, q->reftable_size + q->reftable_size / 2) * 8);
        }
        if (blocks <= a->blocks && table <= a->table) {
            return;
        }
        a->blocks = MAX(blocks, a->blocks);
        a->table = MAX(table, a->table);
    }
}

/* area_count - make the blocks, and count every cluster of the area that is taken. */
static int area_count(Qcow2 *q, const Area *a)
{
    uint64_t next = a->start;
    int r = 0;

    for (uint64_t k = a->start >> q->block_bits; r == 0 && k << q->block_bits < area_end(a); k++) {
        QTable *t;

        if ((q->reftable[k] & REFTABLE_OFFSET) == 0) {
            r = table_get(q, next << q->cluster_bits, true, true, &t);
            if (r == 0) {
                q->reftable[k] = next++ << q->cluster_bits;
            }
        }
    }
    for (uint64_t k = a->start; r == 0 && k < area_end(a); k++) {
        /* blocks that proved unnecessary are not taken */
        r = k >= next && k < a->start + a->blocks ? 0 : refcount_set(q, k, 1);
    }
    return r;
}

/* area_make - the blocks and counts of @a; all or nothing of the refcount table. */
static int area_make(Qcow2 *q, const Area *a)
{
    uint64_t *old = q->reftable;
    uint32_t old_size = q->reftable_size, size = old_size;
    uint64_t *table = reftable_copy(q, a->table, &size);
    int r;

    if (table == NULL) {
        return -EFBIG;
    }
    q->reftable = table;
    q->reftable_size = size;
    r = area_count(q, a);
    if (r != 0) {
        for (uint64_t k = 0; k < a->blocks; k++) {
            tables_drop(q, (a->start + k) << q->cluster_bits);
        }
        q->reftable = old;
        q->reftable_size = old_size;
        free(table);
        return r;
    }
    free(old);
    if (a->table != 0) {
        q->reftable_next = (a->start + a->blocks) << q->cluster_bits;
    }
    q->reftable_dirty |= a->blocks != 0 || a->table != 0;
    return 0;
}

/* area - @n contiguous clusters at the end of the file, with what must be added to count them. The next flush writes
 * the counts, then the table that leads to them, then what refers to the clusters. */
static int area(Qcow2 *q, uint64_t n, uint64_t *offset)
{
    Area a = { .start = q->end, .n = n };
    int r;

    area_plan(q, &a);
    if (area_end(&a) > 1ull << (62 - q->cluster_bits)) {
        return -EFBIG;
    }
    /* a flush in the middle would write a table that leads to half-made blocks; it moves once between two flushes */
    r = a.table != 0 && q->reftable_dirty ? qcow2_flush_locked(q, true) : 0;
    r = r == 0 ? tables_reserve(q, ((area_end(&a) - 1) >> q->block_bits) - (a.start >> q->block_bits) + 1) : r;
    if (r == 0 && a.blocks == 0 && a.table == 0) {
        r = area_count(q, &a);
    } else if (r == 0) {
        r = area_make(q, &a);
    }
    q->end = r == 0 ? area_end(&a) : q->end;
    *offset = (area_end(&a) - n) << q->cluster_bits;
    q->touched = MAX(q->touched, *offset);
    return r;
}

/* take_more - the free clusters behind @cluster, in the same block; as many as *n in all. */
static int take_more(Qcow2 *q, uint64_t cluster, uint64_t *n)
{
    uint64_t k = cluster + 1;
    QTable *t;
    int r = count_block(q, cluster, &t);

    for (; r == 0 && t != NULL && k < cluster + *n && (k & block_mask(q)) != 0; k++) {
        if (count_get(q, t->data, k & block_mask(q)) != 0) {
            break;
        }
        put_count(q, t, k, 1);
    }
    *n = k - cluster;
    return r;
}

static int alloc_run(Qcow2 *q, uint64_t *n, uint64_t *offset)
{
    uint64_t cluster;
    int r = find_free(q, &cluster);

    if (r != 0 || cluster == UINT64_MAX) {
        return r != 0 ? r : area(q, *n, offset);
    }
    r = refcount_set(q, cluster, 1);
    r = r == 0 ? take_more(q, cluster, n) : r;
    q->free_hint = cluster + *n;
    q->end = MAX(q->end, cluster + *n); /* a block's counts go on behind it */
    *offset = cluster << q->cluster_bits;
    return r;
}

int qcow2_alloc_run(Qcow2 *q, uint64_t *n, uint64_t *offset)
{
    uint64_t more = q->version >= 3 ? MAX(*n, RESERVE) : *n; /* what a crash leaves of it only the dirty bit tells of */
    int r = 0;

    if (q->reserve_count == 0) {
        r = alloc_run(q, &more, offset);
        q->unsure |= r != 0; /* clusters may be counted that nothing will refer to */
        if (r != 0) {
            return r;
        }
        q->reserve = *offset >> q->cluster_bits;
        q->reserve_count = more;
    }
    *offset = q->reserve << q->cluster_bits;
    *n = MIN(*n, q->reserve_count);
    q->reserve += *n;
    q->reserve_count -= *n;
    return 0;
}

int qcow2_alloc(Qcow2 *q, uint64_t n, uint64_t *offset)
{
    int r = n == 1 ? qcow2_alloc_run(q, &n, offset) : area(q, n, offset);

    q->unsure |= r != 0;
    return r;
}

/* give_back - the reserve. */
static int give_back(Qcow2 *q)
{
    int r = 0;

    if (q->reserve + q->reserve_count == q->end) {
        q->end = q->reserve;
    }
    for (uint64_t n = q->reserve_count; n > 0 && r == 0; n--) {
        r = refcount_add(q, q->reserve + n - 1, -1);
    }
    q->reserve_count = 0;
    q->unsure |= r != 0;
    return r;
}

int qcow2_settle(Qcow2 *q)
{
    bool pending = q->pending_count != 0; /* given up by the first flush, written by the second */
    int r = q->img->read_only ? 0 : give_back(q);

    for (unsigned n = 0; n < 1u + pending && r == 0 && !q->img->read_only; n++) {
        r = qcow2_flush_locked(q, true);
    }
    return r;
}

/* ---- giving up ---- */

void qcow2_give_up(Qcow2 *q, uint64_t cluster)
{
    if ((q->pending_count & (q->pending_count - 1)) == 0) { /* full: 0, 1, 2, 4, ... */
        q->pending = xrealloc(q->pending, MAX(q->pending_count * 2, 1u), sizeof(*q->pending));
    }
    q->pending[q->pending_count++] = cluster;
}

void qcow2_take_back(Qcow2 *q, uint64_t cluster)
{
    if (refcount_add(q, cluster, -1) != 0) {
        qcow2_give_up(q, cluster);
        return;
    }
    host_discard(&q->img->host, cluster << q->cluster_bits, q->cluster_size);
}

int qcow2_give_up_now(Qcow2 *q)
{
    uint64_t *list = q->pending;
    size_t count = q->pending_count;
    int r = 0;

    if (q->active != 0) {
        return 0; /* somebody may still read there; the next flush */
    }
    q->pending = NULL;
    q->pending_count = 0;
    for (size_t n = 0; n < count && r == 0; n++) {
        uint64_t left;

        r = refcount_add(q, list[n], -1);
        if (r == 0 && refcount_get(q, list[n], &left) == 0 && left == 0) {
            host_discard(&q->img->host, list[n] << q->cluster_bits, q->cluster_size);
        }
    }
    free(list);
    return r;
}
