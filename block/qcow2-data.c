/*
 * qcow2: reading and writing what the guest sees. See qcow2.h.
 */
#include "block/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include "block/qcow2-bitmap.h"
#include "block/qcow2-data.h"

static uint32_t in_cluster(const Qcow2 *q, uint64_t offset, uint32_t len)
{
    return MIN(len, q->cluster_size - (uint32_t)(offset & (q->cluster_size - 1)));
}

static uint32_t in_unit(const Qcow2 *q, uint64_t offset, uint32_t len)
{
    uint32_t unit = 1u << q->unit_bits;

    return MIN(len, unit - (uint32_t)(offset & (unit - 1)));
}

/* ---- clusters that a write allocates ---- */

static bool is_busy(const Qcow2 *q, uint64_t cluster)
{
    const QBusy *b = q->busy;

    while (b != NULL && cluster - b->cluster >= b->count) {
        b = b->next;
    }
    return b != NULL;
}

static void wait_idle(Qcow2 *q, uint64_t cluster)
{
    while (is_busy(q, cluster)) {
        pthread_cond_wait(&q->idle, &q->lock);
    }
}

static void set_idle(Qcow2 *q, QBusy *mine)
{
    QBusy **p = &q->busy;

    while (*p != mine) {
        p = &(*p)->next;
    }
    *p = mine->next;
    pthread_cond_broadcast(&q->idle);
}

/* ---- runs ---- */

/* Bytes that are alike, from an offset on. */
typedef struct QRun {
    QKind kind;
    QEntry entry; /* of the first cluster */
    uint64_t host; /* Q_DATA: where they lie, in a row */
    uint32_t len;
} QRun;

/* find_run - at most @len bytes from @offset on. @write: Q_DATA only as far as it can be written where it is. Lock held. */
static int find_run(Qcow2 *q, uint64_t offset, uint32_t len, bool write, QRun *run)
{
    QEntry e;
    int r = l2_find(q, offset, &e);

    run->len = in_unit(q, offset, len);
    if (r != 0) {
        return r;
    }
    *run = (QRun){ .kind = qcow2_kind(q, e, offset), .entry = e, .host = qcow2_place(q, e, offset) };
    if (write && !qcow2_owns(q, e)) {
        run->kind = Q_NOTHING;
        run->len = in_cluster(q, offset, len);
        return 0;
    }
    for (run->len = in_unit(q, offset, len); run->len < len; run->len += in_unit(q, offset + run->len, len - run->len)) {
        uint64_t at = offset + run->len;

        if ((at & (q->cluster_size - 1)) == 0) {
            r = l2_find(q, at, &e);
            if (r != 0 || run->kind == Q_PACKED || (write && (is_busy(q, at >> q->cluster_bits) || !qcow2_owns(q, e)))) {
                break;
            }
        }
        if (qcow2_kind(q, e, at) != run->kind || (run->kind == Q_DATA && qcow2_place(q, e, at) != run->host + run->len)) {
            break;
        }
    }
    return r;
}

/* ---- reading ---- */

/* read_behind - from the backing image; behind its end are zeros. */
static int read_behind(Qcow2 *q, uint64_t offset, uint8_t *buf, uint32_t len)
{
    BlockImage *back = q->img->backing;
    uint32_t n = back == NULL || offset >= back->size ? 0 : (uint32_t)MIN(len, back->size - offset);

    memset(buf + n, 0, len - n);
    return n > 0 ? image_read(back, offset, buf, n) : 0;
}

/* read_packed - of one cluster. */
static int read_packed(Qcow2 *q, QEntry entry, uint64_t offset, uint8_t *buf, uint32_t len)
{
    uint8_t *whole = try_newn(uint8_t, q->cluster_size);
    int r = whole == NULL ? -ENOMEM : qcow2_read_packed(q, entry, whole);

    if (r == 0) {
        memcpy(buf, whole + (offset & (q->cluster_size - 1)), len);
    }
    free(whole);
    return r;
}

/* read_run - without the lock. */
static int read_run(Qcow2 *q, const QRun *run, uint64_t offset, uint8_t *buf)
{
    switch (run->kind) {
    case Q_NOTHING: return read_behind(q, offset, buf, run->len);
    case Q_ZERO: memset(buf, 0, run->len); return 0;
    case Q_DATA: return host_read(q->data, run->host, buf, run->len);
    case Q_PACKED: return read_packed(q, run->entry, offset, buf, run->len);
    default: return -EIO;
    }
}

/* read_cluster - [@offset, +@len) of the guest, inside the cluster that @entry describes. Without the lock. */
static int read_cluster(Qcow2 *q, QEntry entry, uint64_t offset, uint8_t *buf, uint32_t len)
{
    int r = 0;

    while (len > 0 && r == 0) {
        QRun run = { .kind = qcow2_kind(q, entry, offset), .entry = entry, .host = qcow2_place(q, entry, offset) };

        run.len = run.kind == Q_PACKED ? len : in_unit(q, offset, len);
        r = read_run(q, &run, offset, buf);
        offset += run.len;
        buf += run.len;
        len -= run.len;
    }
    return r;
}

int qcow2_read(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len)
{
    Qcow2 *q = img->priv;
    int r = 0;

    while (len > 0 && r == 0) {
        QRun run;

        pthread_mutex_lock(&q->lock);
        r = find_run(q, offset, len, false, &run);
        q->active++;
        pthread_mutex_unlock(&q->lock);
        r = r == 0 ? read_run(q, &run, offset, buf) : r;
        pthread_mutex_lock(&q->lock);
        q->active--;
        pthread_mutex_unlock(&q->lock);
        offset += run.len;
        buf += run.len;
        len -= run.len;
    }
    return r;
}

/* ---- writing ---- */

/* A write of a part of a cluster that changes its entry. */
typedef struct QFill {
    QEntry old;
    uint64_t to;         /* its cluster from now on */
    uint64_t start, end; /* whole units: what is written there, in the guest */
    bool fresh;          /* the file reads as zeros there */
} QFill;

/* blank - does the unit of @entry that has the guest's byte @offset read as zeros? */
static bool blank(const Qcow2 *q, QEntry entry, uint64_t offset)
{
    QKind kind = qcow2_kind(q, entry, offset);

    return kind == Q_ZERO || (kind == Q_NOTHING && (q->img->backing == NULL || offset >= q->img->backing->size));
}

/* all_blank - the same of all of its cluster: then it does not matter whether data or the entry are in the file first. */
static bool all_blank(const Qcow2 *q, QEntry entry, uint64_t offset)
{
    uint64_t at = offset & ~(uint64_t)(q->cluster_size - 1), end = at + q->cluster_size;

    while (at < end && blank(q, entry, at)) {
        at += 1ull << q->unit_bits;
    }
    return at == end;
}

/* zeros_around - is what else lies in the units that [@offset, +@len) touches nothing but zeros? */
static bool zeros_around(const Qcow2 *q, const QFill *f, uint64_t offset, uint32_t len)
{
    const uint64_t edges[] = { offset, offset + len - 1 };
    const bool cut[] = { f->start < offset, f->end > offset + len };

    for (unsigned n = 0; n < 2; n++) {
        uint64_t unit = edges[n] & ~((1ull << q->unit_bits) - 1);

        if (cut[n] && !blank(q, f->old, unit)) {
            return false;
        }
    }
    return offset - f->start < 1u << q->unit_bits && f->end - (offset + len) < 1u << q->unit_bits;
}

/* fill - write it: @buf where the guest writes, what was there around it. Without the lock. */
static int fill(Qcow2 *q, const QFill *f, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    uint64_t cluster = offset & ~(uint64_t)(q->cluster_size - 1);
    uint32_t all = (uint32_t)(f->end - f->start), in = (uint32_t)(offset - f->start);
    uint8_t *whole;
    int r;

    if (len == all || (f->fresh && zeros_around(q, f, offset, len))) {
        return host_write(q->data, f->to + (offset - cluster), buf, len);
    }
    whole = try_newn(uint8_t, all);
    if (whole == NULL) {
        return -ENOMEM;
    }
    r = read_cluster(q, f->old, f->start, whole, all);
    if (r == 0) {
        memcpy(whole + in, buf, len);
        r = host_write(q->data, f->to + (f->start - cluster), whole, all);
    }
    free(whole);
    return r;
}

/* plan - which units a write of [@offset, +@len) fills; all, where the cluster moves and has data elsewhere too. */
static void plan(const Qcow2 *q, QFill *f, uint64_t offset, uint32_t len, bool moves)
{
    uint64_t unit = 1ull << q->unit_bits, cluster = offset & ~(uint64_t)(q->cluster_size - 1), at;

    f->start = offset & ~(unit - 1);
    f->end = (offset + len + unit - 1) & ~(unit - 1);
    for (at = cluster; moves && at < cluster + q->cluster_size; at += unit) {
        QKind kind = qcow2_kind(q, f->old, at);

        if ((at < f->start || at >= f->end) && (kind == Q_DATA || kind == Q_PACKED || kind == Q_DAMAGED)) {
            f->start = cluster;
            f->end = cluster + q->cluster_size;
            return;
        }
    }
}

/* filled - the entry after it. */
static QEntry filled(const Qcow2 *q, const QFill *f)
{
    uint64_t first = f->start >> q->unit_bits & (QCOW2_UNITS - 1), n = (f->end - f->start) >> q->unit_bits;
    uint64_t units = (n < QCOW2_UNITS ? (1ull << n) - 1 : L2_ALL_DATA) << first;
    QEntry e = { f->to | L2_COPIED, 0 };

    if (q->extended) {
        e.units = ((f->old.desc & L2_COMPRESSED ? 0 : f->old.units) | units) & ~(units << QCOW2_UNITS);
    }
    return e;
}

/* write_new - the cluster of @entry gets a place of its own, or units of it their data. Lock held, and given back meanwhile. */
static int write_new(Qcow2 *q, QEntry entry, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    QBusy mine = { offset >> q->cluster_bits, 1, q->busy };
    QFill f = { .old = entry, .to = entry.desc & L2_OFFSET };
    bool keep = qcow2_owns(q, entry);
    uint64_t one = 1;
    int r;

    q->busy = &mine;
    plan(q, &f, offset, len, !keep);
    r = keep ? 0 : qcow2_new_places(q, offset, &one, &f.to);
    if (r == 0) {
        if (q->data_file == NULL) {
            f.fresh = f.to >= q->touched;
            q->touched = MAX(q->touched, f.to + q->cluster_size);
        }
        q->active++;
        pthread_mutex_unlock(&q->lock);
        r = fill(q, &f, offset, buf, len);
        pthread_mutex_lock(&q->lock);
        q->active--;
        if (r != 0) {
            if (!keep) {
                qcow2_no_place(q, f.to, true);
            }
        } else {
            r = l2_set(q, offset, filled(q, &f), !f.fresh || !all_blank(q, entry, offset));
            if (r == 0 && !keep) {
                qcow2_free_entry(q, entry);
            } else if (r != 0 && !keep) {
                qcow2_no_place(q, f.to, false);
            }
        }
    }
    set_idle(q, &mine);
    return r;
}

/* count_new - whole clusters from @offset on, at most @max, that need new places; not those that have one already. */
static int count_new(Qcow2 *q, uint64_t offset, uint32_t max, uint32_t *n)
{
    int r = 0;

    for (*n = 0; *n < max && r == 0; ++*n) {
        uint64_t at = offset + ((uint64_t)*n << q->cluster_bits);
        QEntry entry;

        r = l2_find(q, at, &entry);
        if (r != 0 || is_busy(q, at >> q->cluster_bits) || qcow2_owns(q, entry)) {
            break;
        }
    }
    return r;
}

/* set_run - @n clusters from @offset on lie at @to; @fresh: where the file read as zeros. */
static int set_run(Qcow2 *q, uint64_t offset, uint64_t to, uint64_t n, bool fresh)
{
    int r = 0;

    for (uint64_t k = 0; k < n; k++) {
        uint64_t at = offset + (k << q->cluster_bits), here = to + (k << q->cluster_bits);
        QEntry old;

        r = r == 0 ? l2_find(q, at, &old) : r;
        r = r == 0 ? l2_set(q, at, (QEntry){ here | L2_COPIED, q->extended ? L2_ALL_DATA : 0 },
                            !fresh || !all_blank(q, old, at)) : r;
        if (r == 0) {
            qcow2_free_entry(q, old);
        } else {
            qcow2_no_place(q, here, false);
        }
    }
    return r;
}

/* write_run - @n whole clusters get new ones, which lie in a row; *done of them. Lock held, and given back meanwhile. */
static int write_run(Qcow2 *q, uint64_t offset, const uint8_t *buf, uint32_t n, uint32_t *done)
{
    QBusy mine = { offset >> q->cluster_bits, n, q->busy };
    uint64_t to, got = n;
    bool fresh = false;
    int r;

    q->busy = &mine;
    r = qcow2_new_places(q, offset, &got, &to);
    if (r == 0) {
        if (q->data_file == NULL) {
            fresh = to >= q->touched;
            q->touched = MAX(q->touched, to + (got << q->cluster_bits));
        }
        q->active++;
        pthread_mutex_unlock(&q->lock);
        r = host_write(q->data, to, buf, got << q->cluster_bits);
        pthread_mutex_lock(&q->lock);
        q->active--;
        for (uint64_t k = 0; k < got && r != 0; k++) {
            qcow2_no_place(q, to + (k << q->cluster_bits), true);
        }
        r = r == 0 ? set_run(q, offset, to, got, fresh) : r;
    }
    *done = (uint32_t)got << q->cluster_bits;
    set_idle(q, &mine);
    return r;
}

/* write_some - as much as goes at once; *n bytes of it. Lock held, and given back meanwhile. */
static int write_some(Qcow2 *q, uint64_t offset, const uint8_t *buf, uint32_t len, uint32_t *n)
{
    uint32_t whole = 0;
    QRun run = { 0 };
    int r;

    *n = in_cluster(q, offset, len);
    wait_idle(q, offset >> q->cluster_bits);
    r = q->broken ? -EIO : find_run(q, offset, len, true, &run);
    if (r != 0) {
        return r;
    }
    if (run.kind == Q_DATA) {
        *n = run.len;
        q->active++;
        pthread_mutex_unlock(&q->lock);
        r = host_write(q->data, run.host, buf, run.len);
        pthread_mutex_lock(&q->lock);
        q->active--;
        return r;
    }
    if (*n == q->cluster_size && len >= 2 * q->cluster_size) {
        r = count_new(q, offset, len >> q->cluster_bits, &whole);
    }
    if (r == 0 && whole > 1) {
        return write_run(q, offset, buf, whole, n);
    }
    return r == 0 ? write_new(q, run.entry, offset, buf, *n) : r;
}

int qcow2_write(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    Qcow2 *q = img->priv;
    int r = 0;

    qcow2_bitmaps_mark(q, offset, len);
    while (len > 0 && r == 0) {
        uint32_t n;

        pthread_mutex_lock(&q->lock);
        r = write_some(q, offset, buf, len, &n);
        pthread_mutex_unlock(&q->lock);
        offset += n;
        buf += n;
        len -= n;
    }
    return r;
}

/* ---- in a row ---- */

bool qcow2_map(BlockImage *img, uint64_t offset, uint32_t len, bool write, uint64_t *at, const HostFile **file)
{
    Qcow2 *q = img->priv;
    QRun run;
    bool ok;

    pthread_mutex_lock(&q->lock);
    ok = !q->broken && !is_busy(q, offset >> q->cluster_bits) && find_run(q, offset, len, write, &run) == 0 &&
         run.kind == Q_DATA && run.len == len;
    q->active += ok;
    pthread_mutex_unlock(&q->lock);
    if (ok) {
        *at = run.host;
        *file = q->data;
        if (write) {
            qcow2_bitmaps_mark(q, offset, len);
        }
    }
    return ok;
}

void qcow2_unmap(BlockImage *img)
{
    Qcow2 *q = img->priv;

    pthread_mutex_lock(&q->lock);
    q->active--;
    pthread_mutex_unlock(&q->lock);
}

/* ---- zeros ---- */

/* zero_units - whole units of one cluster, which read as zeros; a whole cluster gives its place back. -EAGAIN: they must be
 * written. Lock held. */
static int zero_units(Qcow2 *q, uint64_t offset, uint32_t len)
{
    bool all = len == q->cluster_size, hides = q->version >= 3 && q->img->backing != NULL;
    uint64_t units = len >> q->unit_bits < QCOW2_UNITS ? (1ull << (len >> q->unit_bits)) - 1 : L2_ALL_DATA;
    QEntry entry, to;
    int r;

    wait_idle(q, offset >> q->cluster_bits);
    r = q->broken ? -EIO : l2_find(q, offset, &entry);
    if (r != 0 || (!all && (entry.desc & L2_COMPRESSED))) {
        return r != 0 ? r : -EAGAIN;
    }
    if (all) {
        to = (QEntry){ hides && !q->extended ? L2_ZERO : 0, hides && q->extended ? L2_ALL_ZERO : 0 };
    } else {
        units <<= offset >> q->unit_bits & (QCOW2_UNITS - 1);
        if (!hides && (entry.units & (units | units << QCOW2_UNITS)) == 0) {
            return 0;
        }
        to = (QEntry){ entry.desc, (entry.units & ~units) | units << QCOW2_UNITS };
    }
    if (to.desc == entry.desc && to.units == entry.units) {
        return 0;
    }
    r = l2_set(q, offset, to, false);
    if (r == 0 && all) {
        qcow2_free_entry(q, entry);
        if (q->data_file != NULL && qcow2_has_place(q, entry)) {
            host_discard(q->data, entry.desc & L2_OFFSET, q->cluster_size);
        }
    }
    return r;
}

/* zero_some - of one cluster; *n bytes. */
static int zero_some(Qcow2 *q, uint64_t offset, uint64_t len, uint32_t *n)
{
    uint32_t unit = 1u << q->unit_bits;
    uint8_t *zeros;
    int r = -EAGAIN;

    *n = in_cluster(q, offset, (uint32_t)MIN(len, q->cluster_size));
    if (q->extended && *n != q->cluster_size) {
        *n = (offset & (unit - 1)) != 0 || *n < unit ? in_unit(q, offset, *n) : *n & ~(unit - 1);
    }
    if (*n == q->cluster_size ? q->version >= 3 || q->img->backing == NULL
                              : q->extended && (offset & (unit - 1)) == 0 && *n % unit == 0) {
        pthread_mutex_lock(&q->lock);
        r = zero_units(q, offset, *n);
        pthread_mutex_unlock(&q->lock);
    }
    if (r == -EAGAIN) {
        zeros = try_newn(uint8_t, *n);
        r = zeros == NULL ? -ENOMEM : qcow2_write(q->img, offset, zeros, *n);
        free(zeros);
    }
    return r;
}

int qcow2_zero(BlockImage *img, uint64_t offset, uint64_t len, bool unmap)
{
    Qcow2 *q = img->priv;
    int r = 0;

    qcow2_bitmaps_mark(q, offset, len);
    if (q->data_raw) { /* who knows nothing of this image must see them as well */
        return host_zero(q->data, offset, len, unmap);
    }
    while (len > 0 && r == 0) {
        uint32_t n;

        r = zero_some(q, offset, len, &n);
        offset += n;
        len -= n;
    }
    return r;
}

int qcow2_discard(BlockImage *img, uint64_t offset, uint64_t len)
{
    Qcow2 *q = img->priv;
    uint64_t end = offset + len, at = (offset + q->cluster_size - 1) & ~(uint64_t)(q->cluster_size - 1);
    int r = 0;

    if (q->version < 3 && img->backing != NULL) {
        return 0; /* what is behind would come to light */
    }
    if (q->data_raw) {
        return qcow2_zero(img, offset, len, true);
    }
    qcow2_bitmaps_mark(q, offset, len);
    end = end == img->size ? qcow2_clusters(q, end) << q->cluster_bits : end;
    for (; at < end && end - at >= q->cluster_size && r == 0; at += q->cluster_size) {
        pthread_mutex_lock(&q->lock);
        r = zero_units(q, at, q->cluster_size);
        pthread_mutex_unlock(&q->lock);
    }
    return r;
}

/* ---- status ---- */

static void classify(const Qcow2 *q, QEntry entry, uint64_t offset, ImageRange *r)
{
    QKind kind = qcow2_kind(q, entry, offset);

    *r = (ImageRange){ .flags = kind == Q_NOTHING ? (q->img->backing == NULL ? IMAGE_ZERO : 0)
                                : kind == Q_ZERO  ? IMAGE_ZERO | IMAGE_ALLOCATED
                                                  : IMAGE_DATA | IMAGE_ALLOCATED };
    if (kind != Q_DAMAGED && qcow2_has_place(q, entry)) {
        r->flags |= IMAGE_OFFSET;
        r->offset = qcow2_place(q, entry, offset);
        r->file = q->data_file != NULL ? q->data_file->file : NULL;
    }
}

/* alike_until - how far from @offset on, at most @len, all is like *r. Lock held. */
static int alike_until(Qcow2 *q, uint64_t offset, uint64_t len, QEntry entry, ImageRange *r)
{
    uint64_t unit = 1ull << q->unit_bits, done;
    int ret = 0;

    done = MAX(l2_absent(q, offset), unit - (offset & (unit - 1)));
    while (done < len && ret == 0) {
        uint64_t at = offset + done;
        ImageRange next;

        ret = (at & (q->cluster_size - 1)) == 0 ? l2_find(q, at, &entry) : 0;
        if (ret != 0) {
            break;
        }
        classify(q, entry, at, &next);
        if (next.flags != r->flags || ((r->flags & IMAGE_OFFSET) && next.offset != r->offset + done)) {
            break;
        }
        done += MAX(l2_absent(q, at), unit);
    }
    r->len = MIN(done, len);
    return ret;
}

int qcow2_status(BlockImage *img, uint64_t offset, uint64_t len, ImageRange *r)
{
    Qcow2 *q = img->priv;
    QEntry entry;
    int ret;

    pthread_mutex_lock(&q->lock);
    ret = l2_find(q, offset, &entry);
    if (ret == 0) {
        classify(q, entry, offset, r);
        ret = alike_until(q, offset, len, entry, r);
    }
    pthread_mutex_unlock(&q->lock);
    if (ret == 0 && q->data_file == NULL && (r->flags & (IMAGE_DATA | IMAGE_OFFSET)) == (IMAGE_DATA | IMAGE_OFFSET)) {
        bool hole; /* a cluster that was only preallocated */

        r->len = host_extent(&img->host, r->offset, r->len, &hole);
        r->flags |= hole ? IMAGE_ZERO : 0;
    }
    return ret;
}
