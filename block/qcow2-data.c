/*
 * qcow2: reading and writing what the guest sees. See qcow2.h.
 */
#include "block/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include "block/qcow2-bitmap.h"
#include "block/qcow2-data.h"
#include <config.h>
#ifdef CONFIG_ZSTD
#include <zstd.h>
#endif

/* ---- compressed clusters ---- */

static int inflate_zlib(uint8_t *out, uint32_t out_len, const uint8_t *in, uint32_t in_len)
{
    z_stream z = { .next_in = (uint8_t *)in, .avail_in = in_len, .next_out = out, .avail_out = out_len };
    int r;

    if (inflateInit2(&z, -12) != Z_OK) { /* "raw deflate", window of 4 KiB */
        return -ENOMEM;
    }
    r = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    /* the sectors that hold the data may hold more behind it */
    return (r == Z_STREAM_END || r == Z_BUF_ERROR) && z.avail_out == 0 ? 0 : -EIO;
}

static int inflate_zstd(uint8_t *out, uint32_t out_len, const uint8_t *in, uint32_t in_len)
{
#ifdef CONFIG_ZSTD
    ZSTD_DCtx *d = ZSTD_createDCtx();
    ZSTD_outBuffer o = { out, out_len, 0 };
    ZSTD_inBuffer i = { in, in_len, 0 };
    size_t r = 1;

    if (d == NULL) {
        return -ENOMEM;
    }
    while (o.pos < o.size && r != 0 && !ZSTD_isError(r)) {
        size_t before = i.pos + o.pos;

        r = ZSTD_decompressStream(d, &o, &i);
        if (i.pos + o.pos == before) {
            break;
        }
    }
    ZSTD_freeDCtx(d);
    return o.pos == o.size && !ZSTD_isError(r) ? 0 : -EIO;
#else
    return -ENOTSUP; /* refused when it is opened */
#endif
}

/* read_compressed - the whole cluster of @entry into @out. Without the lock. */
static int read_compressed(Qcow2 *q, uint64_t entry, uint8_t *out)
{
    unsigned x = 62 - (q->cluster_bits - 8);
    uint64_t at = entry & ((1ull << x) - 1), sectors = (entry >> x & ((1ull << (62 - x)) - 1)) + 1;
    uint32_t len = (uint32_t)(sectors * 512 - (at & 511));
    uint8_t *in = try_newn(uint8_t, len);
    int r = in == NULL ? -ENOMEM : host_read(&q->img->host, at, in, len);

    if (r == 0) {
        r = q->compression == 1 ? inflate_zstd(out, q->cluster_size, in, len)
                                : inflate_zlib(out, q->cluster_size, in, len);
    }
    free(in);
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

/* read_entry - [@offset, +@len) of the guest, inside the cluster that @entry describes or others that follow it. Without
 * the lock. */
static int read_entry(Qcow2 *q, uint64_t entry, uint64_t offset, uint8_t *buf, uint32_t len)
{
    uint32_t in = (uint32_t)(offset & (q->cluster_size - 1));
    uint8_t *whole;
    int r;

    if (entry & L2_COMPRESSED) {
        whole = try_newn(uint8_t, q->cluster_size);
        r = whole == NULL ? -ENOMEM : read_compressed(q, entry, whole);
        if (r == 0) {
            memcpy(buf, whole + in, len);
        }
        free(whole);
        return r;
    }
    if (q->version >= 3 && (entry & L2_ZERO)) {
        memset(buf, 0, len);
        return 0;
    }
    if ((entry & L2_OFFSET) == 0) {
        return read_behind(q, offset, buf, len);
    }
    if ((entry & L2_OFFSET) % q->cluster_size != 0) {
        return -EIO;
    }
    return host_read(&q->img->host, (entry & L2_OFFSET) + in, buf, len);
}

static uint32_t in_cluster(const Qcow2 *q, uint64_t offset, uint32_t len)
{
    return MIN(len, q->cluster_size - (uint32_t)(offset & (q->cluster_size - 1)));
}

/* follows - @entry goes on in the file where @bytes from the start of cluster @first end: data as they are, or nothing at
 * all in both. */
static bool follows(const Qcow2 *q, uint64_t first, uint64_t entry, uint64_t bytes)
{
    uint64_t plain = ~(L2_COPIED | L2_OFFSET);

    if ((first & plain) != 0 || (entry & plain) != 0) {
        return (first & ~L2_OFFSET) == L2_ZERO && (entry & ~L2_OFFSET) == L2_ZERO && q->version >= 3;
    }
    return (first & L2_OFFSET) == 0 ? (entry & L2_OFFSET) == 0 : (entry & L2_OFFSET) == (first & L2_OFFSET) + bytes;
}

int qcow2_read(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len)
{
    Qcow2 *q = img->priv;
    int r = 0;

    while (len > 0 && r == 0) {
        uint32_t in = (uint32_t)(offset & (q->cluster_size - 1)), n = in_cluster(q, offset, len);
        uint64_t entry, next;

        pthread_mutex_lock(&q->lock);
        r = l2_find(q, offset, &entry);
        while (r == 0 && n < len && !(entry & L2_COMPRESSED)) {
            r = l2_find(q, offset + n, &next);
            if (r != 0 || !follows(q, entry, next, (uint64_t)in + n)) {
                break;
            }
            n += MIN(q->cluster_size, len - n);
        }
        q->active++;
        pthread_mutex_unlock(&q->lock);
        if (r == 0) {
            r = read_entry(q, entry, offset, buf, n);
        }
        pthread_mutex_lock(&q->lock);
        q->active--;
        pthread_mutex_unlock(&q->lock);
        offset += n;
        buf += n;
        len -= n;
    }
    return r;
}

/* ---- writing ---- */

static bool in_place(const Qcow2 *q, uint64_t entry)
{
    return (entry & L2_COPIED) && !(entry & L2_COMPRESSED) && (entry & L2_OFFSET) != 0 &&
           (entry & L2_OFFSET) % q->cluster_size == 0 && !(q->version >= 3 && (entry & L2_ZERO));
}

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

/* fill_cluster - write all of the new cluster at @to: @buf where the guest writes, what was there around it.
 * @fresh: the file reads as zeros there, so that zeros need not be written. Without the lock. */
static int fill_cluster(Qcow2 *q, uint64_t entry, uint64_t to, bool fresh, uint64_t offset, const uint8_t *buf,
                        uint32_t len)
{
    uint32_t in = (uint32_t)(offset & (q->cluster_size - 1));
    bool zeros = (q->version >= 3 && (entry & L2_ZERO)) ||
                 (!(entry & L2_COMPRESSED) && (entry & L2_OFFSET) == 0 &&
                  (q->img->backing == NULL || offset - in >= q->img->backing->size));
    uint8_t *whole;
    int r;

    if (len == q->cluster_size || (zeros && fresh)) {
        return host_write(&q->img->host, to + in, buf, len);
    }
    whole = try_newn(uint8_t, q->cluster_size);
    if (whole == NULL) {
        return -ENOMEM;
    }
    r = read_entry(q, entry, offset - in, whole, q->cluster_size);
    if (r == 0) {
        memcpy(whole + in, buf, len);
        r = host_write(&q->img->host, to, whole, q->cluster_size);
    }
    free(whole);
    return r;
}

/* write_new - the guest cluster gets a cluster of its own. Lock held, and given back meanwhile. */
static int write_new(Qcow2 *q, uint64_t entry, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    QBusy mine = { offset >> q->cluster_bits, 1, q->busy };
    bool keep = q->version >= 3 && (entry & L2_ZERO) && (entry & L2_COPIED) &&
                (entry & L2_OFFSET) != 0 && (entry & L2_OFFSET) % q->cluster_size == 0;
    uint64_t to = entry & L2_OFFSET;
    bool fresh;
    int r;

    q->busy = &mine;
    r = keep ? 0 : qcow2_alloc(q, 1, &to);
    if (r == 0) {
        fresh = to >= q->touched;
        q->touched = MAX(q->touched, to + q->cluster_size);
        q->active++;
        pthread_mutex_unlock(&q->lock);
        r = fill_cluster(q, entry, to, fresh, offset, buf, len);
        pthread_mutex_lock(&q->lock);
        q->active--;
        if (r != 0) {
            if (!keep) {
                qcow2_take_back(q, to >> q->cluster_bits);
            }
        } else {
            r = l2_set(q, offset, to | L2_COPIED);
            if (r == 0 && !keep) {
                qcow2_free_entry(q, entry);
            } else if (r != 0 && !keep) {
                qcow2_give_up(q, to >> q->cluster_bits);
            }
        }
    }
    set_idle(q, &mine);
    return r;
}

/* count_new - whole clusters from @offset on, at most @max, that need new ones; not those that have room already. */
static int count_new(Qcow2 *q, uint64_t offset, uint32_t max, uint32_t *n)
{
    int r = 0;

    for (*n = 0; *n < max && r == 0; ++*n) {
        uint64_t at = offset + ((uint64_t)*n << q->cluster_bits), entry;

        r = l2_find(q, at, &entry);
        if (r != 0 || is_busy(q, at >> q->cluster_bits) ||
            ((entry & L2_COPIED) && !(entry & L2_COMPRESSED) && (entry & L2_OFFSET) != 0)) {
            break;
        }
    }
    return r;
}

/* write_run - @n whole clusters get new ones, which lie in a row; *done of them. Lock held, and given back meanwhile. */
static int write_run(Qcow2 *q, uint64_t offset, const uint8_t *buf, uint32_t n, uint32_t *done)
{
    QBusy mine = { offset >> q->cluster_bits, n, q->busy };
    uint64_t to, got = n;
    bool failed;
    int r;

    q->busy = &mine;
    r = qcow2_alloc_run(q, &got, &to);
    if (r == 0) {
        q->touched = MAX(q->touched, to + (got << q->cluster_bits));
        q->active++;
        pthread_mutex_unlock(&q->lock);
        r = host_write(&q->img->host, to, buf, got << q->cluster_bits);
        failed = r != 0;
        pthread_mutex_lock(&q->lock);
        q->active--;
        for (uint64_t k = 0; k < got && failed; k++) {
            qcow2_take_back(q, (to >> q->cluster_bits) + k);
        }
        for (uint64_t k = 0; k < got && !failed; k++) {
            uint64_t at = offset + (k << q->cluster_bits), here = to + (k << q->cluster_bits), old;

            r = r == 0 ? l2_find(q, at, &old) : r;
            r = r == 0 ? l2_set(q, at, here | L2_COPIED) : r;
            if (r == 0) {
                qcow2_free_entry(q, old);
            } else {
                qcow2_give_up(q, here >> q->cluster_bits);
            }
        }
    }
    *done = (uint32_t)got << q->cluster_bits;
    set_idle(q, &mine);
    return r;
}

/* write_some - as much as goes at once; *n bytes of it. Lock held, and given back meanwhile. */
static int write_some(Qcow2 *q, uint64_t offset, const uint8_t *buf, uint32_t len, uint32_t *n)
{
    uint32_t in = (uint32_t)(offset & (q->cluster_size - 1)), whole = 0;
    uint64_t entry, next;
    int r;

    *n = in_cluster(q, offset, len);
    wait_idle(q, offset >> q->cluster_bits);
    r = q->broken ? -EIO : l2_find(q, offset, &entry);
    if (r != 0) {
        return r;
    }
    if (in_place(q, entry)) {
        while (*n < len && !is_busy(q, (offset + *n) >> q->cluster_bits)) {
            r = l2_find(q, offset + *n, &next);
            if (r != 0 || !in_place(q, next) || !follows(q, entry, next, (uint64_t)in + *n)) {
                break;
            }
            *n += MIN(q->cluster_size, len - *n);
        }
        q->active++;
        pthread_mutex_unlock(&q->lock);
        r = r == 0 ? host_write(&q->img->host, (entry & L2_OFFSET) + in, buf, *n) : r;
        pthread_mutex_lock(&q->lock);
        q->active--;
        return r;
    }
    if (in == 0 && len >= 2 * q->cluster_size) {
        r = count_new(q, offset, len >> q->cluster_bits, &whole);
    }
    if (r == 0 && whole > 1) {
        return write_run(q, offset, buf, whole, n);
    }
    return r == 0 ? write_new(q, entry, offset, buf, *n) : r;
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

bool qcow2_map(BlockImage *img, uint64_t offset, uint32_t len, bool write, uint64_t *at)
{
    Qcow2 *q = img->priv;
    uint32_t in = (uint32_t)(offset & (q->cluster_size - 1)), n = in_cluster(q, offset, len);
    uint64_t first, next;
    bool ok;

    pthread_mutex_lock(&q->lock);
    ok = !q->broken && l2_find(q, offset, &first) == 0 && !is_busy(q, offset >> q->cluster_bits) &&
         (write ? in_place(q, first)
                : !(first & (L2_COMPRESSED | L2_ZERO)) && (first & L2_OFFSET) != 0 && (first & L2_OFFSET) % q->cluster_size == 0);
    while (ok && n < len) {
        ok = l2_find(q, offset + n, &next) == 0 && !is_busy(q, (offset + n) >> q->cluster_bits) &&
             (!write || in_place(q, next)) && follows(q, first, next, (uint64_t)in + n);
        n += MIN(q->cluster_size, len - n);
    }
    if (ok) {
        *at = (first & L2_OFFSET) + in;
        q->active++;
    }
    pthread_mutex_unlock(&q->lock);
    if (ok && write) {
        qcow2_bitmaps_mark(q, offset, len);
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

/* zero_cluster - a whole one. Lock held. */
static int zero_cluster(Qcow2 *q, uint64_t offset)
{
    uint64_t entry, to;
    int r;

    wait_idle(q, offset >> q->cluster_bits);
    r = q->broken ? -EIO : l2_find(q, offset, &entry);
    to = q->version >= 3 && q->img->backing != NULL ? L2_ZERO : 0;
    if (r != 0 || entry == to) {
        return r;
    }
    r = l2_set(q, offset, to);
    if (r == 0) {
        qcow2_free_entry(q, entry);
    }
    return r;
}

int qcow2_zero(BlockImage *img, uint64_t offset, uint64_t len, bool unmap)
{
    Qcow2 *q = img->priv;
    int r = 0;

    qcow2_bitmaps_mark(q, offset, len);
    while (len > 0 && r == 0) {
        uint32_t n = in_cluster(q, offset, (uint32_t)MIN(len, q->cluster_size));

        if (n == q->cluster_size && (q->version >= 3 || img->backing == NULL)) {
            pthread_mutex_lock(&q->lock);
            r = zero_cluster(q, offset);
            pthread_mutex_unlock(&q->lock);
        } else {
            uint8_t *zeros = try_newn(uint8_t, n);

            r = zeros == NULL ? -ENOMEM : qcow2_write(img, offset, zeros, n);
            free(zeros);
        }
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
    qcow2_bitmaps_mark(q, offset, len);
    end = end == img->size ? qcow2_clusters(q, end) << q->cluster_bits : end;
    for (; at < end && end - at >= q->cluster_size && r == 0; at += q->cluster_size) {
        pthread_mutex_lock(&q->lock);
        r = zero_cluster(q, at);
        pthread_mutex_unlock(&q->lock);
    }
    return r;
}

/* ---- status ---- */

static void classify(const Qcow2 *q, uint64_t entry, uint64_t in, ImageRange *r)
{
    if (entry & L2_COMPRESSED) {
        r->flags = IMAGE_DATA | IMAGE_ALLOCATED;
    } else if (q->version >= 3 && (entry & L2_ZERO)) {
        r->flags = IMAGE_ZERO | IMAGE_ALLOCATED;
        if (entry & L2_OFFSET) {
            r->flags |= IMAGE_OFFSET;
        }
    } else if (entry & L2_OFFSET) {
        r->flags = IMAGE_DATA | IMAGE_ALLOCATED | IMAGE_OFFSET;
    } else {
        r->flags = q->img->backing == NULL ? IMAGE_ZERO : 0;
    }
    r->offset = r->flags & IMAGE_OFFSET ? (entry & L2_OFFSET) + in : 0;
}

int qcow2_status(BlockImage *img, uint64_t offset, uint64_t len, ImageRange *r)
{
    Qcow2 *q = img->priv;
    uint64_t in = offset & (q->cluster_size - 1), entry, done;
    int ret;

    pthread_mutex_lock(&q->lock);
    ret = l2_find(q, offset, &entry);
    if (ret == 0) {
        classify(q, entry, in, r);
        done = MAX(l2_absent(q, offset), q->cluster_size - in);
        while (done < len && ret == 0) { /* as long as it goes on the same way */
            ImageRange next;

            ret = l2_find(q, offset + done, &entry);
            if (ret != 0) {
                break;
            }
            classify(q, entry, 0, &next);
            if (next.flags != r->flags || ((r->flags & IMAGE_OFFSET) && next.offset != r->offset + done)) {
                break;
            }
            done += MAX(l2_absent(q, offset + done), q->cluster_size);
        }
        r->len = MIN(done, len);
    }
    pthread_mutex_unlock(&q->lock);
    if (ret == 0 && (r->flags & (IMAGE_DATA | IMAGE_OFFSET)) == (IMAGE_DATA | IMAGE_OFFSET)) {
        bool hole; /* a cluster that was only preallocated */

        r->len = host_extent(&img->host, r->offset, r->len, &hole);
        r->flags |= hole ? IMAGE_ZERO : 0;
    }
    return ret;
}
