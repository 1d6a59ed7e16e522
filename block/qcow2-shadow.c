/*
 * qcow2: a change of much metadata that happens at once. See qcow2-shadow.h.
 */
#include "block/qcow2-shadow.h"

#include <errno.h>
#include <stdlib.h>

int shadow_begin(Shadow *s, Qcow2 *q)
{
    *s = (Shadow){ .q = q, .end = q->end, .count = q->reftable_size, .l1_size = q->l1_size,
                   .size = q->img->size, .snapshots = q->snapshots, .snapshots_offset = q->snapshots_offset };
    s->l1 = try_newn(uint64_t, MAX(q->l1_size, 1u));
    s->blocks = try_newn(uint8_t *, MAX(s->count, 1u));
    s->dirty = try_newn(bool, MAX(s->count, 1u));
    s->moved = try_newn(bool, MAX(s->count, 1u));
    s->reftable = try_newn(uint64_t, MAX(s->count, 1u));
    if (s->l1 == NULL || s->blocks == NULL || s->dirty == NULL || s->moved == NULL || s->reftable == NULL) {
        return -ENOMEM;
    }
    memcpy(s->l1, q->l1, q->l1_size * 8ull);
    memcpy(s->reftable, q->reftable, q->reftable_size * 8ull);
    return q->active != 0 || q->busy != NULL || q->pending_count != 0 ? -EBUSY : 0;
}

void shadow_end(Shadow *s)
{
    for (uint32_t n = 0; n < s->count && s->blocks != NULL; n++) {
        free(s->blocks[n]);
    }
    free(s->blocks);
    free(s->dirty);
    free(s->moved);
    free(s->reftable);
    free(s->gone);
    free(s->l1);
}

/* ---- counts ---- */

/* grow - room for block @n. */
static int grow(Shadow *s, uint64_t n)
{
    uint32_t count = (uint32_t)MAX(n + 1, s->count + s->count / 2);

    if (n >= 1u << 28) {
        return -EFBIG;
    }
    s->blocks = xrealloc(s->blocks, count, sizeof(*s->blocks));
    s->dirty = xrealloc(s->dirty, count, sizeof(*s->dirty));
    s->moved = xrealloc(s->moved, count, sizeof(*s->moved));
    s->reftable = xrealloc(s->reftable, count, sizeof(*s->reftable));
    for (uint32_t k = s->count; k < count; k++) {
        s->blocks[k] = NULL;
        s->dirty[k] = s->moved[k] = false;
        s->reftable[k] = 0;
    }
    s->count = count;
    return 0;
}

/* block_of - the block with the count of @cluster; *block is NULL where there is none, unless @make. */
static int block_of(Shadow *s, uint64_t cluster, bool make, uint8_t **block)
{
    Qcow2 *q = s->q;
    uint64_t n = cluster >> q->block_bits, at;
    int r = 0;

    *block = NULL;
    if (n >= s->count) {
        r = make ? grow(s, n) : 0;
        if (r != 0 || !make) {
            return r;
        }
    }
    at = s->reftable[n] & REFTABLE_OFFSET;
    if (s->blocks[n] == NULL && (at != 0 || make)) {
        s->blocks[n] = try_newn(uint8_t, q->cluster_size);
        r = s->blocks[n] == NULL ? -ENOMEM : at != 0 ? host_read(&q->img->host, at, s->blocks[n], q->cluster_size) : 0;
    }
    *block = s->blocks[n];
    return r;
}

static int count_of(Shadow *s, uint64_t cluster, uint64_t *count)
{
    uint8_t *block;
    int r = block_of(s, cluster, false, &block);

    *count = r == 0 && block != NULL ? count_get(s->q, block, cluster & ((1ull << s->q->block_bits) - 1)) : 0;
    return r;
}

static int add(Shadow *s, uint64_t cluster, int delta)
{
    Qcow2 *q = s->q;
    uint64_t in = cluster & ((1ull << q->block_bits) - 1), count;
    uint8_t *block;
    int r = cluster >= s->end ? -EIO : block_of(s, cluster, delta > 0, &block);

    if (r != 0) {
        return r;
    }
    count = block != NULL ? count_get(q, block, in) : 0;
    if (delta < 0 ? count == 0 : count == count_max(q)) {
        return delta < 0 ? -EIO : -EINVAL; /* damaged; the counts are not wide enough */
    }
    count_set(q, block, in, delta < 0 ? count - 1 : count + 1);
    s->dirty[cluster >> q->block_bits] = true;
    if (delta < 0 && count == 1) {
        if ((s->gone_count & (s->gone_count - 1)) == 0) {
            s->gone = xrealloc(s->gone, MAX(s->gone_count * 2, 1u), sizeof(*s->gone));
        }
        s->gone[s->gone_count++] = cluster;
    }
    return 0;
}

static int add_range(Shadow *s, uint64_t offset, uint64_t bytes, int delta)
{
    uint64_t first = offset >> s->q->cluster_bits, n = qcow2_clusters(s->q, bytes);
    int r = 0;

    for (uint64_t k = 0; k < n && r == 0; k++) {
        r = add(s, first + k, delta);
    }
    return r;
}

int shadow_give_up(Shadow *s, uint64_t offset, uint64_t bytes)
{
    return add_range(s, offset, bytes, -1);
}

static int add_entry(Shadow *s, uint64_t entry, int delta)
{
    const Qcow2 *q = s->q;

    if (entry & L2_COMPRESSED) {
        uint64_t last, n = compressed_clusters(q, entry, &last);
        int r = 0;

        for (; n <= last && r == 0; n++) {
            r = add(s, n, delta);
        }
        return r;
    }
    if ((entry & L2_OFFSET) % q->cluster_size != 0) {
        return -EIO;
    }
    return (entry & L2_OFFSET) != 0 && q->data_file == NULL ? add(s, (entry & L2_OFFSET) >> q->cluster_bits, delta) : 0;
}

int shadow_tree(Shadow *s, const uint64_t *l1, uint32_t l1_size, int delta)
{
    Qcow2 *q = s->q;
    uint8_t *l2 = try_newn(uint8_t, q->cluster_size);
    int r = l2 == NULL ? -ENOMEM : 0;

    for (uint32_t n = 0; n < l1_size && r == 0; n++) {
        uint64_t at = l1[n] & L2_OFFSET;

        if (at == 0) {
            continue;
        }
        r = at % q->cluster_size != 0 ? -EIO : add(s, at >> q->cluster_bits, delta);
        r = r == 0 ? host_read(&q->img->host, at, l2, q->cluster_size) : r;
        for (uint64_t k = 0; k < 1ull << q->l2_bits && r == 0; k++) {
            r = add_entry(s, l2_get(q, l2, k).desc, delta);
        }
    }
    free(l2);
    return r;
}

/* ---- new places ---- */

/* is_free - in the old state, which must stay as it is, and in the new one. */
static int is_free(Shadow *s, uint64_t cluster, bool *yes)
{
    uint64_t now, then = 0;
    int r = count_of(s, cluster, &now);

    if (r == 0 && now == 0 && cluster < s->q->end) {
        r = refcount_get(s->q, cluster, &then);
    }
    *yes = now == 0 && then == 0;
    return r;
}

/* place - @n free clusters in a row, counted. */
static int place(Shadow *s, uint64_t n, uint64_t *offset)
{
    Qcow2 *q = s->q;
    uint64_t run = 0, at = s->hint;
    int r = 0;

    for (; run < n && at < s->end && r == 0; at++) {
        bool yes;

        r = is_free(s, at, &yes);
        run = yes ? run + 1 : 0;
        if (!yes && n == 1) {
            s->hint = at + 1;
        }
    }
    if (r != 0) {
        return r;
    }
    at -= run;
    s->end = MAX(s->end, at + n);
    if (s->end > 1ull << (62 - q->cluster_bits)) {
        return -EFBIG;
    }
    *offset = at << q->cluster_bits;
    q->touched = MAX(q->touched, (at + n) << q->cluster_bits);
    return add_range(s, *offset, n << q->cluster_bits, 1);
}

int shadow_put(Shadow *s, const void *data, uint64_t bytes, uint64_t *offset)
{
    uint64_t padded = qcow2_clusters(s->q, bytes) << s->q->cluster_bits;
    uint8_t *whole;
    int r;

    *offset = 0;
    if (bytes == 0) {
        return 0;
    }
    r = place(s, padded >> s->q->cluster_bits, offset);
    if (r != 0 || padded == bytes) {
        return r == 0 ? host_write(&s->q->img->host, *offset, data, bytes) : r;
    }
    whole = try_newn(uint8_t, padded);
    if (whole == NULL) {
        return -ENOMEM;
    }
    memcpy(whole, data, bytes);
    r = host_write(&s->q->img->host, *offset, whole, padded);
    free(whole);
    return r;
}

static int put_table(Shadow *s, const uint64_t *t, uint32_t n, uint64_t *offset)
{
    uint8_t *be = try_newn(uint8_t, MAX(n, 1u) * 8ull);
    int r;

    if (be == NULL) {
        return -ENOMEM;
    }
    for (uint32_t k = 0; k < n; k++) {
        st_be64(be + 8ull * k, t[k]);
    }
    r = shadow_put(s, be, n * 8ull, offset);
    free(be);
    return r;
}

/* ---- commit ---- */

/* mark - L2_COPIED in the table @l2 exactly where the count is one, nowhere when the table is @shared. */
static int mark(Shadow *s, uint8_t *l2, bool shared, bool *changed)
{
    const Qcow2 *q = s->q;
    int r = 0;

    *changed = false;
    for (uint64_t k = 0; k < 1ull << q->l2_bits && r == 0; k++) {
        QEntry entry = l2_get(q, l2, k);
        uint64_t e = entry.desc, count = 0, want;

        if ((e & L2_COMPRESSED) || (e & L2_OFFSET) == 0 || q->data_file != NULL) {
            continue;
        }
        r = shared ? 0 : count_of(s, (e & L2_OFFSET) >> q->cluster_bits, &count);
        want = (e & ~L2_COPIED) | (count == 1 ? L2_COPIED : 0);
        if (want != e) {
            entry.desc = want;
            l2_put(q, l2, k, entry);
            *changed = true;
        }
    }
    return r;
}

/* mark_all - the tables of the L1 table: those whose marks change are copied. */
static int mark_all(Shadow *s)
{
    Qcow2 *q = s->q;
    uint8_t *l2 = try_newn(uint8_t, q->cluster_size);
    int r = l2 == NULL ? -ENOMEM : 0;

    for (uint32_t n = 0; n < s->l1_size && r == 0; n++) {
        uint64_t at = s->l1[n] & L2_OFFSET, count;
        bool changed = false;

        if (at == 0) {
            continue;
        }
        r = count_of(s, at >> q->cluster_bits, &count);
        r = r == 0 ? host_read(&q->img->host, at, l2, q->cluster_size) : r;
        r = r == 0 ? mark(s, l2, count != 1, &changed) : r;
        if (r == 0 && changed) {
            r = shadow_give_up(s, at, q->cluster_size);
            r = r == 0 && count != 1 ? mark(s, l2, false, &changed) : r; /* its own table now */
            r = r == 0 ? shadow_put(s, l2, q->cluster_size, &at) : r;
            count = 1;
        }
        s->l1[n] = at | (count == 1 ? L2_COPIED : 0);
    }
    free(l2);
    return r;
}

/* move_blocks - a new place for every block that has changed: which changes more of them. */
static int move_blocks(Shadow *s)
{
    Qcow2 *q = s->q;
    bool again = true;
    int r = 0;

    while (again && r == 0) {
        again = false;
        for (uint32_t n = 0; n < s->count && r == 0; n++) {
            uint64_t old = s->reftable[n] & REFTABLE_OFFSET, at;

            if (!s->dirty[n] || s->moved[n]) {
                continue;
            }
            s->moved[n] = again = true;
            r = old != 0 ? shadow_give_up(s, old, q->cluster_size) : 0;
            r = r == 0 ? place(s, 1, &at) : r;
            if (r == 0) {
                s->reftable[n] = at;
            }
        }
    }
    return r;
}

static uint32_t used_blocks(const Shadow *s)
{
    uint32_t n = s->count;

    while (n > 1 && s->reftable[n - 1] == 0 && !s->dirty[n - 1]) {
        n--;
    }
    return n;
}

/* write_counts - the blocks and their table; *table_size in entries. */
static int write_counts(Shadow *s, uint64_t *offset, uint32_t *table_size)
{
    Qcow2 *q = s->q;
    uint64_t clusters;
    uint8_t *be;
    int r = shadow_give_up(s, q->reftable_offset, q->reftable_size * 8ull);

    r = r == 0 ? move_blocks(s) : r;
    for (clusters = 0; r == 0 && (clusters << (q->cluster_bits - 3)) < used_blocks(s);) {
        if (clusters != 0) { /* the table itself needed one more block */
            r = shadow_give_up(s, *offset, clusters << q->cluster_bits);
        }
        clusters = qcow2_clusters(q, MAX(used_blocks(s) + 1, q->reftable_size) * 8ull);
        if (clusters << q->cluster_bits > QCOW2_REFTABLE_MAX) {
            return -EFBIG;
        }
        r = r == 0 ? place(s, clusters, offset) : r;
        r = r == 0 ? move_blocks(s) : r;
    }
    if (r != 0) {
        return r;
    }
    for (uint32_t n = 0; n < s->count && r == 0; n++) {
        r = s->dirty[n] ? host_write(&q->img->host, s->reftable[n], s->blocks[n], q->cluster_size) : 0;
    }
    *table_size = (uint32_t)(clusters << (q->cluster_bits - 3));
    be = try_newn(uint8_t, clusters << q->cluster_bits);
    if (r != 0 || be == NULL) {
        free(be);
        return r != 0 ? r : -ENOMEM;
    }
    for (uint32_t n = 0; n < MIN(s->count, *table_size); n++) {
        st_be64(be + 8ull * n, s->reftable[n]);
    }
    r = host_write(&q->img->host, *offset, be, clusters << q->cluster_bits);
    free(be);
    return r;
}

/* adopt - the new state is the image's. */
static void adopt(Shadow *s, uint32_t table_size)
{
    Qcow2 *q = s->q;

    tables_free(q);
    free(q->l1);
    q->l1 = s->l1;
    s->l1 = NULL;
    free(q->reftable);
    q->reftable = xnewn(uint64_t, table_size);
    memcpy(q->reftable, s->reftable, MIN(s->count, table_size) * 8ull);
    q->l1_dirty = false;
    q->end = s->end;
    q->free_hint = 0;
    q->packed = 0;
}

int shadow_commit(Shadow *s)
{
    Qcow2 *q = s->q;
    BlockImage *img = q->img;
    QHeader before = qcow2_header(q);
    uint64_t l1_offset = 0, reftable_offset = 0;
    uint32_t table_size = 0;
    int r = mark_all(s);

    r = r == 0 ? put_table(s, s->l1, s->l1_size, &l1_offset) : r;
    r = r == 0 ? write_counts(s, &reftable_offset, &table_size) : r;
    r = r == 0 ? host_flush(&img->host) : r;
    if (r != 0) {
        return r;
    }
    q->l1_offset = l1_offset;
    q->l1_size = s->l1_size;
    q->reftable_offset = reftable_offset;
    q->reftable_size = table_size;
    q->snapshots = s->snapshots;
    q->snapshots_offset = s->snapshots_offset;
    img->size = s->size;
    q->reftable_clusters = (uint32_t)qcow2_clusters(q, table_size * 8ull);
    r = qcow2_change_header(q, &before);
    if (r != 0) {
        return r;
    }
    adopt(s, table_size);
    for (size_t n = 0; n < s->gone_count && r == 0; n++) {
        uint64_t count;

        if (count_of(s, s->gone[n], &count) == 0 && count == 0) {
            host_discard(&img->host, s->gone[n] << q->cluster_bits, q->cluster_size);
        }
    }
    return r;
}
