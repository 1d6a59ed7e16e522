/*
 * qcow2: from guest offsets to clusters of the file. See qcow2.h; "Cluster mapping".
 */
#include "block/qcow2.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t l1_index(const Qcow2 *q, uint64_t guest)
{
    return guest >> (q->cluster_bits + q->l2_bits);
}

static uint64_t l2_index(const Qcow2 *q, uint64_t guest)
{
    return guest >> q->cluster_bits & ((1ull << q->l2_bits) - 1);
}

int l2_find(Qcow2 *q, uint64_t guest, uint64_t *entry)
{
    uint64_t n = l1_index(q, guest), at;
    QTable *t;
    int r;

    *entry = 0;
    if (n >= q->l1_size) {
        return -EIO;
    }
    at = q->l1[n] & L2_OFFSET;
    if (at == 0) {
        return 0;
    }
    r = table_get(q, at, false, false, &t);
    if (r == 0) {
        *entry = ld_be64(t->data + 8 * l2_index(q, guest));
    }
    return r;
}

uint64_t l2_absent(Qcow2 *q, uint64_t guest)
{
    uint64_t n = l1_index(q, guest), span = 1ull << (q->cluster_bits + q->l2_bits);

    return n < q->l1_size && (q->l1[n] & L2_OFFSET) == 0 ? span - (guest & (span - 1)) : 0;
}

/* own_table - the L2 table of L1 entry @n, made if there is none, copied if a snapshot has it too. */
static int own_table(Qcow2 *q, uint64_t n, QTable **t)
{
    uint64_t old = q->l1[n] & L2_OFFSET, offset;
    uint8_t *copy = NULL;
    bool got;
    int r;

    if (old != 0 && (q->l1[n] & L2_COPIED)) {
        return table_get(q, old, false, false, t);
    }
    r = qcow2_alloc(q, 1, &offset);
    got = r == 0;
    if (r == 0 && old != 0) {
        copy = try_newn(uint8_t, q->cluster_size);
        r = copy == NULL ? -ENOMEM : table_get(q, old, false, false, t);
        if (r == 0) {
            memcpy(copy, (*t)->data, q->cluster_size);
        }
    }
    if (r == 0) {
        r = table_get(q, offset, false, true, t);
    }
    if (r == 0) {
        if (old != 0) {
            memcpy((*t)->data, copy, q->cluster_size);
            qcow2_give_up(q, old >> q->cluster_bits);
        }
        q->l1[n] = offset | L2_COPIED;
        q->l1_dirty = true;
    }
    if (r != 0 && got) {
        qcow2_give_up(q, offset >> q->cluster_bits);
    }
    free(copy);
    return r;
}

int l2_set(Qcow2 *q, uint64_t guest, uint64_t entry)
{
    uint64_t n = l1_index(q, guest);
    QTable *t;
    int r = n < q->l1_size ? own_table(q, n, &t) : -EIO;

    if (r == 0) {
        st_be64(t->data + 8 * l2_index(q, guest), entry);
        t->dirty = true;
    }
    return r;
}

uint64_t compressed_clusters(const Qcow2 *q, uint64_t entry, uint64_t *last)
{
    unsigned x = 62 - (q->cluster_bits - 8);
    uint64_t at = entry & ((1ull << x) - 1), sectors = (entry >> x & ((1ull << (62 - x)) - 1)) + 1;

    *last = ((at & ~511ull) + sectors * 512 - 1) >> q->cluster_bits;
    return at >> q->cluster_bits;
}

void qcow2_free_entry(Qcow2 *q, uint64_t entry)
{
    if (entry & L2_COMPRESSED) {
        uint64_t last;

        for (uint64_t n = compressed_clusters(q, entry, &last); n <= last; n++) {
            qcow2_give_up(q, n);
        }
    } else if ((entry & L2_OFFSET) != 0) {
        qcow2_give_up(q, (entry & L2_OFFSET) >> q->cluster_bits);
    }
}
