/*
 * Several threads take a piece each, read and compress it; they write in the order of the pieces, so that the target is laid
 * out as the guest sees it, unless -W says that it does not matter.
 */
#include "img/convert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "block/qcow2.h"
#include "block/vmdk.h"

#define CHUNK (2u << 20) /* also the largest cluster */
#define PACED (256u << 10) /* bytes of a piece that only a rate holds up */
enum { SECTOR = 512 };

/* A piece of work: bytes of one source. */
typedef struct Piece {
    BlockImage *in;
    uint64_t from, to, len, number;
    uint64_t host;     /* where it lies in the source's file */
    uint64_t due_ns;   /* since c->begun: not before */
    bool zero, skip, as_it_is; /* as_it_is: at `host` */
} Piece;

/* put_data - write what is not zero. */
static int put_data(Convert *c, uint64_t at, const uint8_t *buf, uint32_t len)
{
    int r = 0;

    for (uint32_t n = 0; n < len && r == 0;) {
        uint32_t step = (uint32_t)(c->sparse != 0 ? MIN(c->sparse, len - n) : len - n), run = step;
        bool zero = c->sparse != 0 && mem_is_zero(buf + n, step);

        while (n + run < len && c->sparse != 0) {
            step = (uint32_t)MIN(c->sparse, len - n - run);
            if (mem_is_zero(buf + n + run, step) != zero) {
                break;
            }
            run += step;
        }
        if (!zero) {
            r = image_write(c->out, at + n, buf + n, run);
        } else if (c->dirty_target) {
            r = image_zero(c->out, at + n, run);
        }
        n += run;
    }
    return r;
}

/* put_clusters - compressed by @packed (NULL: as it is where it does not shrink), cluster by cluster. */
static int put_clusters(Convert *c, uint64_t at, const uint8_t *buf, uint32_t len, uint8_t *packed,
                        const uint32_t *lens)
{
    uint32_t size = ((const Qcow2 *)c->out->priv)->cluster_size;
    int r = 0;

    for (uint32_t n = 0, k = 0; n < len && r == 0; n += size, k++) {
        uint32_t part = MIN(size, len - n);

        if (lens[k] == 0) {
            r = put_data(c, at + n, buf + n, part);
        } else {
            r = qcow2_write_compressed(c->out, at + n, packed + n, lens[k]);
            r = r == -EEXIST ? put_data(c, at + n, buf + n, part) : r; /* a target that was there before */
        }
    }
    return r;
}

/* put_whole - to an image that compresses what it is given: whole clusters, but for those that are zero. */
static int put_whole(Convert *c, uint64_t at, const uint8_t *buf, uint32_t len)
{
    int r = 0;

    for (uint32_t n = 0, part; n < len && r == 0; n += part) {
        part = MIN(c->cluster - (uint32_t)((at + n) & (c->cluster - 1)), len - n);
        if (c->dirty_target || !mem_is_zero(buf + n, part)) {
            r = image_write(c->out, at + n, buf + n, part);
        }
    }
    return r;
}

/* pack_clusters - lens[]: bytes of each compressed cluster, 0: write it as it is. */
static void pack_clusters(const Convert *c, Qcow2Packer *p, uint64_t at, uint8_t *buf, uint32_t len, uint8_t *packed,
                          uint32_t *lens)
{
    const Qcow2 *q = c->out->priv;
    uint32_t size = q->cluster_size;

    memset(buf + len, 0, -len & (size - 1)); /* the disk may end inside of a cluster */
    for (uint32_t n = 0, k = 0; n < len; n += size, k++) {
        lens[k] = 0;
        if (at % size == 0 && !mem_is_zero(buf + n, size) &&
            (len - n >= size || at + len == c->out->size) && qcow2_compress(q, p, buf + n, packed + n, &lens[k]) != 0) {
            lens[k] = 0;
        }
    }
}

/* stop - for an error; under the lock. */
static void stop(Convert *c, int error)
{
    c->error = c->error != 0 ? c->error : error;
    for (unsigned n = 0; n < CONVERT_THREADS_MAX; n++) {
        pthread_cond_signal(&c->turn[n]);
    }
}

/* next_piece - under the lock; false: none is left, or there was an error. */
static bool next_piece(Convert *c, Piece *p)
{
    uint32_t cluster = c->cluster;
    ImageRange r;
    uint64_t to;
    int ret = 0;

    while (c->current < c->count && c->at >= c->in[c->current]->size) {
        c->base += c->in[c->current++]->size;
        c->at = 0;
    }
    if (c->current == c->count || c->error != 0) {
        return false;
    }
    *p = (Piece){ .in = c->in[c->current], .from = c->at, .to = c->base + c->at, .number = c->taken };
    if (c->range.len == 0) {
        ret = image_status(p->in, c->at, p->in->size - c->at, !c->own, &c->range);
    }
    if (ret != 0) {
        stop(c, ret);
        return false;
    }
    r = c->range;
    p->skip = c->own && !(r.flags & IMAGE_ALLOCATED);
    p->zero = !p->skip && (r.flags & IMAGE_ZERO) && (c->sparse != 0 || c->own || c->offload);
    p->as_it_is = c->offload && (r.flags & IMAGE_OFFSET) && r.file == NULL && p->in->host.fd >= 0;
    p->host = r.offset;
    p->len = r.len;
    to = p->to + r.len;
    if (to % cluster != 0 && c->at + r.len < p->in->size) { /* whole clusters of the target */
        p->len = to - to % cluster > p->to ? r.len - to % cluster : 0;
        if (p->len == 0) {
            p->zero = p->skip = false;
            p->len = cluster - p->to % cluster;
        }
    }
    p->len = MIN(p->len, p->in->size - c->at);
    if (!p->zero && !p->skip) {
        p->len = MIN(p->len, (c->rate != 0 && cluster == 1 ? PACED : CHUNK) - (p->to & (cluster - 1)));
    }
    p->as_it_is = p->as_it_is && p->len <= r.len;
    c->at += p->len;
    c->range.len -= MIN(p->len, r.len);
    c->range.offset += p->len;
    c->taken++;
    if (c->rate != 0 && !p->zero && !p->skip) {
        p->due_ns = (uint64_t)((double)c->paced / (double)c->rate * 1e9);
        c->paced += p->len;
    }
    return true;
}

/* wait_turn - until all pieces before @number are written; false: stop, there was an error. */
static bool wait_turn(Convert *c, uint64_t number)
{
    bool go;

    pthread_mutex_lock(&c->lock);
    while (!c->any_order && c->written != number && c->error == 0) {
        pthread_cond_wait(&c->turn[number % CONVERT_THREADS_MAX], &c->lock);
    }
    go = c->error == 0;
    pthread_mutex_unlock(&c->lock);
    return go;
}

/* put_piece - to its place in the target. */
static int put_piece(Convert *c, const Piece *p, const uint8_t *buf, uint8_t *packed, const uint32_t *lens)
{
    bool data = !p->zero && !p->skip;
    int r = 0;

    if (c->one_writes) {
        pthread_mutex_lock(&c->writing);
    }
    if (data) {
        r = c->compressed    ? put_clusters(c, p->to, buf, (uint32_t)p->len, packed, lens)
            : c->cluster > 1 ? put_whole(c, p->to, buf, (uint32_t)p->len)
                             : put_data(c, p->to, buf, (uint32_t)p->len);
    } else if (p->zero && (c->dirty_target || c->own)) {
        r = image_zero(c->out, p->to, p->len);
    }
    if (c->one_writes) {
        pthread_mutex_unlock(&c->writing);
    }
    return r;
}

/* salvage - what can be read of a piece, block by block; the rest is zeros. */
static void salvage(const Convert *c, const Piece *p, uint8_t *buf)
{
    for (uint64_t n = 0; n < p->len; n += SECTOR) {
        int r = image_read(p->in, p->from + n, buf + n, SECTOR);

        if (r != 0) {
            memset(buf + n, 0, SECTOR);
            if (!c->quiet) {
                report("warning: error while reading offset %" PRIu64 ": %s", p->from + n, strerror(-r));
            }
        }
    }
}

static int get_data(const Convert *c, const Piece *p, uint8_t *buf)
{
    int r = image_read(p->in, p->from, buf, (uint32_t)p->len);

    if (r != 0 && c->salvage) {
        salvage(c, p, buf);
        r = 0;
    }
    return r;
}

/* by_host - the host copies it from file to file; false: it does not. */
static bool by_host(const Convert *c, const Piece *p)
{
    off_t from = (off_t)p->host, to = (off_t)p->to;
    uint64_t left = p->as_it_is ? p->len : 1;
    ssize_t n = p->as_it_is ? 1 : 0;

    while (left > 0 && n > 0) {
        n = copy_file_range(p->in->host.fd, &from, c->out->host.fd, &to, left, 0);
        left -= n > 0 ? (uint64_t)n : 0;
    }
    return left == 0;
}

static void *work(void *opaque)
{
    Convert *c = opaque;
    uint8_t *buf = mem_large(CHUNK), *packed = c->compressed ? xnewn(uint8_t, CHUNK) : NULL;
    uint32_t *lens = xnewn(uint32_t, CHUNK / 512);
    Qcow2Packer *packer = qcow2_packer_new();
    Piece p;

    pthread_mutex_lock(&c->lock);
    while (next_piece(c, &p)) {
        bool data = !p.zero && !p.skip;
        int r;

        pthread_mutex_unlock(&c->lock);
        img_pace(&c->begun, p.due_ns);
        p.skip |= data && by_host(c, &p);
        data = data && !p.skip;
        r = data ? get_data(c, &p, buf) : 0;
        if (r == 0 && data && c->compressed) {
            pack_clusters(c, packer, p.to, buf, (uint32_t)p.len, packed, lens);
        }
        if (r == 0 && wait_turn(c, p.number)) {
            r = put_piece(c, &p, buf, packed, lens);
        }
        pthread_mutex_lock(&c->lock);
        c->written++;
        if (r != 0) {
            stop(c, r);
        }
        pthread_cond_signal(&c->turn[c->written % CONVERT_THREADS_MAX]);
        progress_add(&c->progress, r == 0 ? p.len : 0);
    }
    pthread_mutex_unlock(&c->lock);
    free(buf);
    free(packed);
    free(lens);
    qcow2_packer_free(packer);
    return NULL;
}

int convert_copy(Convert *c, unsigned threads)
{
    pthread_t thread[CONVERT_THREADS_MAX];
    unsigned n = 0;

    clock_gettime(CLOCK_MONOTONIC, &c->begun);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->writing, NULL);
    c->one_writes = c->any_order && c->out->host.fd >= 0 && c->out->host.align == 1;
    for (unsigned k = 0; k < CONVERT_THREADS_MAX; k++) {
        pthread_cond_init(&c->turn[k], NULL);
    }
    while (n + 1 < threads && pthread_create(&thread[n], NULL, work, c) == 0) {
        n++;
    }
    work(c);
    while (n > 0) {
        pthread_join(thread[--n], NULL);
    }
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->writing);
    for (unsigned k = 0; k < CONVERT_THREADS_MAX; k++) {
        pthread_cond_destroy(&c->turn[k]);
    }
    return c->error;
}
