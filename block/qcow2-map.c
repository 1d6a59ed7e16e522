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

QEntry l2_get(const Qcow2 *q, const uint8_t *table, uint64_t n)
{
    const uint8_t *p = table + (n << (q->extended ? 4 : 3));

    return (QEntry){ ld_be64(p), q->extended ? ld_be64(p + 8) : 0 };
}

void l2_put(const Qcow2 *q, uint8_t *table, uint64_t n, QEntry entry)
{
    uint8_t *p = table + (n << (q->extended ? 4 : 3));

    st_be64(p, entry.desc);
    if (q->extended) {
        st_be64(p + 8, entry.units);
    }
}

/* "Standard Cluster Descriptor": in an external file 0 is a place like others, and the bit says that there is one. */
bool qcow2_has_place(const Qcow2 *q, QEntry entry)
{
    return !(entry.desc & L2_COMPRESSED) &&
           ((entry.desc & L2_OFFSET) != 0 || (q->data_file != NULL && (entry.desc & L2_COPIED)));
}

bool qcow2_owns(const Qcow2 *q, QEntry entry)
{
    return qcow2_has_place(q, entry) && (entry.desc & L2_COPIED) && (entry.desc & L2_OFFSET) % q->cluster_size == 0;
}

QKind qcow2_kind(const Qcow2 *q, QEntry entry, uint64_t offset)
{
    bool place = qcow2_has_place(q, entry);

    if (entry.desc & L2_COMPRESSED) {
        return q->data_file != NULL || entry.units != 0 ? Q_DAMAGED : Q_PACKED;
    }
    if (place && (entry.desc & L2_OFFSET) % q->cluster_size != 0) {
        return Q_DAMAGED;
    }
    if (q->extended) {
        unsigned n = (unsigned)(offset >> q->unit_bits & (QCOW2_UNITS - 1));
        bool data = entry.units >> n & 1, zero = entry.units >> (n + QCOW2_UNITS) & 1;

        return (data && (zero || !place)) || (entry.desc & L2_ZERO) ? Q_DAMAGED : data ? Q_DATA : zero ? Q_ZERO : Q_NOTHING;
    }
    return q->version >= 3 && (entry.desc & L2_ZERO) ? Q_ZERO : place ? Q_DATA : Q_NOTHING;
}

uint64_t qcow2_place(const Qcow2 *q, QEntry entry, uint64_t offset)
{
    return (entry.desc & L2_OFFSET) + (offset & (q->cluster_size - 1));
}

void l2_change(const Qcow2 *q, QTable *t, uint64_t n, QEntry entry)
{
    unsigned bits = q->extended ? 4 : 3;

    l2_put(q, t->data, n, entry);
    table_changed(t, n << bits, 1u << bits);
}

int l2_find(Qcow2 *q, uint64_t guest, QEntry *entry)
{
    uint64_t n = l1_index(q, guest), at;
    QTable *t;
    int r;

    *entry = (QEntry){ 0, 0 };
    if (n >= q->l1_size) {
        return -EIO;
    }
    at = q->l1[n] & L2_OFFSET;
    if (at == 0) {
        return 0;
    }
    r = table_get(q, at, false, false, &t);
    if (r == 0) {
        *entry = l2_get(q, t->data, l2_index(q, guest));
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
        q->touched = MAX(q->touched, offset + q->cluster_size);
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

int l2_set(Qcow2 *q, uint64_t guest, QEntry entry, bool data)
{
    uint64_t n = l1_index(q, guest);
    QTable *t;
    int r = n < q->l1_size ? own_table(q, n, &t) : -EIO;

    if (r == 0) {
        l2_change(q, t, l2_index(q, guest), entry);
        q->data_first |= data;
    }
    return r;
}

uint64_t compressed_clusters(const Qcow2 *q, uint64_t desc, uint64_t *last)
{
    unsigned x = 62 - (q->cluster_bits - 8);
    uint64_t at = desc & ((1ull << x) - 1), sectors = (desc >> x & ((1ull << (62 - x)) - 1)) + 1;

    *last = ((at & ~511ull) + sectors * 512 - 1) >> q->cluster_bits;
    return at >> q->cluster_bits;
}

void qcow2_free_entry(Qcow2 *q, QEntry entry)
{
    if (entry.desc & L2_COMPRESSED) {
        uint64_t last;

        for (uint64_t n = compressed_clusters(q, entry.desc, &last); n <= last; n++) {
            qcow2_give_up(q, n);
        }
    } else if ((entry.desc & L2_OFFSET) != 0 && q->data_file == NULL) {
        qcow2_give_up(q, (entry.desc & L2_OFFSET) >> q->cluster_bits);
    }
}

int qcow2_new_places(Qcow2 *q, uint64_t guest, uint64_t *n, uint64_t *offset)
{
    if (q->data_file != NULL) {
        *offset = guest & ~(uint64_t)(q->cluster_size - 1);
        return 0;
    }
    return *n == 1 ? qcow2_alloc(q, 1, offset) : qcow2_alloc_run(q, n, offset);
}

void qcow2_no_place(Qcow2 *q, uint64_t offset, bool at_once)
{
    if (q->data_file == NULL && at_once) {
        qcow2_take_back(q, offset >> q->cluster_bits);
    } else if (q->data_file == NULL) {
        qcow2_give_up(q, offset >> q->cluster_bits);
    }
}

int qcow2_place_all(Qcow2 *q, uint64_t from, uint64_t to)
{
    int r = 0;

    for (uint64_t at = from & ~(uint64_t)(q->cluster_size - 1); r == 0 && at < to; at += q->cluster_size) {
        uint64_t offset, one = 1;
        QEntry e;

        r = l2_find(q, at, &e);
        if (r != 0 || (e.desc | e.units) != 0) {
            continue;
        }
        r = qcow2_new_places(q, at, &one, &offset);
        r = r == 0 ? l2_set(q, at, (QEntry){ offset | L2_COPIED, q->extended && q->data_raw ? L2_ALL_DATA : 0 }, true) : r;
    }
    return r;
}
