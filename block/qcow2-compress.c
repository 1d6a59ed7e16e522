/*
 * qcow2: writing compressed clusters. They lie one behind the other, byte by byte; each counts once for every cluster
 * of the file that it touches.
 */
#include "block/qcow2-bitmap.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <config.h>
#ifdef CONFIG_ZSTD
#include <zstd.h>
#endif

struct Qcow2Packer {
    z_stream z; /* begun once: what it needs is a quarter of a megabyte */
    bool begun;
#ifdef CONFIG_ZSTD
    ZSTD_CCtx *zstd;
#endif
};

Qcow2Packer *qcow2_packer_new(void)
{
    return xnew(Qcow2Packer);
}

void qcow2_packer_free(Qcow2Packer *p)
{
    if (p != NULL && p->begun) {
        deflateEnd(&p->z);
    }
#ifdef CONFIG_ZSTD
    if (p != NULL) {
        ZSTD_freeCCtx(p->zstd);
    }
#endif
    free(p);
}

/* As far as a reader's window goes: "Compression type", zlib is raw deflate with 12 bits of it. */
static int pack_zlib(Qcow2Packer *p, const uint8_t *in, uint32_t size, uint8_t *out, uint32_t *len)
{
    int r;

    if (!p->begun && deflateInit2(&p->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
        return -ENOMEM;
    }
    if (p->begun && deflateReset(&p->z) != Z_OK) {
        return -EIO;
    }
    p->begun = true;
    p->z.next_in = (uint8_t *)in;
    p->z.avail_in = size;
    p->z.next_out = out;
    p->z.avail_out = size - 1;
    r = deflate(&p->z, Z_FINISH);
    *len = size - 1 - p->z.avail_out;
    return r == Z_STREAM_END ? 0 : -ENOSPC;
}

int qcow2_compress(const Qcow2 *q, Qcow2Packer *p, const uint8_t *in, uint8_t *out, uint32_t *len)
{
    if (q->compression == 0) {
        return pack_zlib(p, in, q->cluster_size, out, len);
    }
#ifdef CONFIG_ZSTD
    p->zstd = p->zstd != NULL ? p->zstd : ZSTD_createCCtx();
    if (p->zstd == NULL) {
        return -ENOMEM;
    }
    size_t n = ZSTD_compressCCtx(p->zstd, out, q->cluster_size - 1, in, q->cluster_size, ZSTD_CLEVEL_DEFAULT);

    *len = ZSTD_isError(n) ? 0 : (uint32_t)n;
    return ZSTD_isError(n) ? -ENOSPC : 0;
#else
    return -ENOTSUP;
#endif
}

/* place_packed - @len bytes, counted; behind the last ones if there is room, or the next cluster follows. */
static int place_packed(Qcow2 *q, uint32_t len, uint64_t *at)
{
    uint64_t mask = q->cluster_size - 1, here = q->packed, left = here & mask ? q->cluster_size - (here & mask) : 0;
    uint64_t next = 0;
    int r;

    if (left >= len) {
        r = refcount_add(q, here >> q->cluster_bits, 1);
        if (r == 0) {
            *at = here;
            q->packed = here + len;
        }
        if (r != -ERANGE) {
            return r;
        }
        left = 0; /* the count is not wide enough for one more */
    }
    r = qcow2_alloc(q, 1, &next);
    if (r == 0 && left != 0 && next == here + left && refcount_add(q, here >> q->cluster_bits, 1) == 0) {
        *at = here;
    } else {
        *at = next;
    }
    q->packed = *at + len;
    q->touched = MAX(q->touched, next + q->cluster_size);
    return r;
}

int qcow2_write_compressed(BlockImage *img, uint64_t offset, const uint8_t *data, uint32_t len)
{
    Qcow2 *q = img->priv;
    unsigned x = 62 - (q->cluster_bits - 8);
    uint64_t at, sectors;
    QEntry old, entry;
    int r;

    if (img->read_only || len == 0 || len >= q->cluster_size || offset % q->cluster_size != 0) {
        return img->read_only ? -EROFS : -EINVAL;
    }
    qcow2_bitmaps_mark(q, offset, MIN(q->cluster_size, img->size - offset));
    pthread_mutex_lock(&q->lock);
    r = q->broken ? -EIO : q->data_file != NULL ? -ENOTSUP : l2_find(q, offset, &old);
    if (r == 0 && (old.desc | old.units) != 0) {
        r = -EEXIST; /* only what is not there yet, as qemu-img has it */
    }
    r = r == 0 ? place_packed(q, len, &at) : r;
    if (r == 0) {
        sectors = ((at + len - 1) >> 9) - (at >> 9);
        entry = (QEntry){ L2_COMPRESSED | sectors << x | at, 0 };
        q->active++;
        pthread_mutex_unlock(&q->lock);
        r = host_write(&img->host, at, data, len);
        pthread_mutex_lock(&q->lock);
        q->active--;
        r = r == 0 ? l2_set(q, offset, entry, true) : r;
        if (r != 0) {
            qcow2_free_entry(q, entry);
        }
    }
    pthread_mutex_unlock(&q->lock);
    return r;
}

/* ---- reading ---- */

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

int qcow2_read_packed(Qcow2 *q, QEntry entry, uint8_t *out)
{
    unsigned x = 62 - (q->cluster_bits - 8);
    uint64_t at = entry.desc & ((1ull << x) - 1), sectors = (entry.desc >> x & ((1ull << (62 - x)) - 1)) + 1;
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
