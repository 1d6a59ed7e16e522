/*
 * NBD server: requests and their replies. See nbd-server.h.
 */
#include "block/nbd-link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "base/sandbox.h"
#include "block/big-endian.h"
#include "block/image-gate.h"
#include "block/nbd.h"

enum {
    CLIENT_BYTES = 64 << 20, /* that a client's requests hold at a time */
    KEEP = 1 << 20,          /* bytes of a thread's buffer that it keeps for the next request */
    PIECE = 1 << 20,         /* of NBD_CMD_CACHE */
    RANGES_MAX = 2048,       /* of one answer to NBD_CMD_BLOCK_STATUS */
    ALIGN = 4096,
    CONFINED_THREADS = 4,    /* of a client, in the sandbox: all are made before it says anything */
};

typedef struct Request {
    NbdLink *l;
    uint16_t flags, type;
    uint64_t cookie; /* the client's name of it */
    uint64_t offset;
    uint32_t len;
    uint32_t error;  /* that was found when it was read */
    uint64_t held;   /* of the client's bytes */
    uint8_t *buf;    /* the thread's, or NULL: no memory */
    size_t room;
} Request;

static uint32_t wire_error(int r)
{
    switch (r) {
    case 0: return 0;
    case -EPERM:
    case -EROFS: return NBD_EPERM;
    case -ENOMEM: return NBD_ENOMEM;
    case -EINVAL: return NBD_EINVAL;
    case -EFBIG:
    case -EDQUOT:
    case -ENOSPC: return NBD_ENOSPC;
    case -ENOTSUP: return NBD_ENOTSUP;
    default: return NBD_EIO;
    }
}

static const char *error_words(uint32_t error)
{
    switch (error) {
    case NBD_EPERM: return "the export is read-only";
    case NBD_ENOMEM: return "out of memory";
    case NBD_EINVAL: return "invalid request";
    case NBD_ENOSPC: return "no space left";
    case NBD_ENOTSUP: return "not supported";
    default: return "the image's file cannot be read or written";
    }
}

/* ---- replies ---- */

/* chunk - of a structured reply: @head (@head_len bytes, at most 16), then @data. False: the client is gone. */
static bool chunk(const Request *r, uint16_t type, bool last, const void *head, size_t head_len, const void *data, size_t len)
{
    uint8_t out[NBD_CHUNK_BYTES + 16];

    st_be32(out, NBD_CHUNK_MAGIC);
    st_be16(out + 4, last ? NBD_CHUNK_DONE : 0);
    st_be16(out + 6, type);
    st_be64(out + 8, r->cookie);
    st_be32(out + 16, (uint32_t)(head_len + len));
    memcpy(out + NBD_CHUNK_BYTES, head, head_len);
    return nbd_send(r->l, out, NBD_CHUNK_BYTES + head_len, data, len);
}

static void simple(const Request *r, uint32_t error, const void *data, size_t len)
{
    uint8_t out[16];

    st_be32(out, NBD_SIMPLE_MAGIC);
    st_be32(out + 4, error);
    st_be64(out + 8, r->cookie);
    nbd_send(r->l, out, sizeof(out), data, len);
}

/* finish - the last of a request that brings no data. */
static void finish(const Request *r, uint32_t error)
{
    const char *words = error_words(error);
    uint8_t head[6] = { 0 };

    if (!r->l->structured) {
        simple(r, error, NULL, 0);
    } else if (error == 0 && r->type != NBD_CMD_READ && r->type != NBD_CMD_BLOCK_STATUS) {
        simple(r, 0, NULL, 0);
    } else if (error == 0) {
        chunk(r, NBD_CHUNK_NONE, true, head, 0, NULL, 0);
    } else {
        st_be32(head, error);
        st_be16(head + 4, (uint16_t)strlen(words));
        chunk(r, NBD_CHUNK_ERROR, true, head, sizeof(head), words, strlen(words));
    }
}

/* ---- the image ---- */

/* fits - inside of the gate: the image may have become smaller since the request was judged. */
static bool fits(const BlockImage *img, uint64_t offset, uint64_t len)
{
    return offset <= img->size && len <= img->size - offset;
}

/* Each of these passes the gate (image-gate.h); none sends anything inside of it. */
static int gated_read(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len)
{
    int r;

    image_gate_enter();
    r = fits(img, offset, len) ? image_read(img, offset, buf, len) : -EIO;
    image_gate_leave();
    return r;
}

static int gated_write(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    int r;

    image_gate_enter();
    r = fits(img, offset, len) ? image_write(img, offset, buf, len) : -ENOSPC;
    image_gate_leave();
    return r;
}

static int gated_zero(BlockImage *img, uint64_t offset, uint64_t len, bool unmap)
{
    int r;

    image_gate_enter();
    r = !fits(img, offset, len) ? -ENOSPC : unmap ? image_zero(img, offset, len) : image_zero_keep(img, offset, len);
    image_gate_leave();
    return r;
}

static int gated_discard(BlockImage *img, uint64_t offset, uint64_t len)
{
    int r;

    image_gate_enter();
    r = fits(img, offset, len) ? image_discard(img, offset, len) : -EIO;
    image_gate_leave();
    return r;
}

static int gated_flush(BlockImage *img)
{
    int r;

    image_gate_enter();
    r = image_flush(img);
    image_gate_leave();
    return r;
}

static int gated_status(BlockImage *img, uint64_t offset, uint64_t len, bool chain, ImageRange *range)
{
    int r;

    image_gate_enter();
    r = fits(img, offset, len) ? image_status(img, offset, len, chain, range) : -EIO;
    image_gate_leave();
    return r;
}

/* ---- carried out ---- */

static bool data_chunk(const Request *r, uint64_t offset, uint32_t len, bool last)
{
    uint8_t head[8];

    st_be64(head, offset);
    return chunk(r, NBD_CHUNK_DATA, last, head, sizeof(head), r->buf, len);
}

/* read_sparse - what is known to be zeros is told, not sent. */
static void read_sparse(const Request *r)
{
    const NbdExport *e = r->l->exp;
    uint64_t offset = r->offset;
    uint32_t left = r->len;
    bool sent = true;

    while (left > 0 && sent) {
        ImageRange range;
        uint8_t head[12];
        int ret = gated_status(e->img, e->offset + offset, left, true, &range);
        uint32_t n = ret == 0 ? (uint32_t)MIN(range.len, left) : 0;
        bool zero = ret == 0 && (range.flags & IMAGE_ZERO);

        if (ret == 0 && !zero) {
            ret = gated_read(e->img, e->offset + offset, r->buf, n);
        }
        if (ret != 0) {
            finish(r, wire_error(ret));
            return;
        }
        if (zero) {
            st_be64(head, offset);
            st_be32(head + 8, n);
            sent = chunk(r, NBD_CHUNK_HOLE, n == left, head, sizeof(head), NULL, 0);
        } else {
            sent = data_chunk(r, offset, n, n == left);
        }
        offset += n;
        left -= n;
    }
}

static void do_read(const Request *r)
{
    const NbdExport *e = r->l->exp;
    int ret;

    if (r->len == 0) {
        finish(r, 0);
    } else if (r->buf == NULL) {
        finish(r, NBD_ENOMEM);
    } else if (r->l->structured && !(r->flags & NBD_CMD_DF)) {
        read_sparse(r);
    } else {
        ret = gated_read(e->img, e->offset + r->offset, r->buf, r->len);
        if (ret != 0) {
            finish(r, wire_error(ret));
        } else if (r->l->structured) {
            data_chunk(r, r->offset, r->len, true);
        } else {
            simple(r, 0, r->buf, r->len);
        }
    }
}

static int write_zeroes(const NbdExport *e, uint64_t offset, uint32_t len, bool may_unmap)
{
    return gated_zero(e->img, offset, len, may_unmap && e->discard);
}

static int do_write(const Request *r)
{
    const NbdExport *e = r->l->exp;
    uint64_t offset = e->offset + r->offset;

    if (e->detect_zeroes != BLK_DETECT_OFF && r->len > 0 && mem_is_zero(r->buf, r->len)) {
        return write_zeroes(e, offset, r->len, e->detect_zeroes == BLK_DETECT_UNMAP);
    }
    return gated_write(e->img, offset, r->buf, r->len);
}

/* do_cache - so that the host has it at hand. */
static int do_cache(const Request *r)
{
    const NbdExport *e = r->l->exp;
    int ret = r->buf == NULL ? -ENOMEM : 0;

    for (uint32_t done = 0; done < r->len && ret == 0; done += PIECE) {
        ret = gated_read(e->img, e->offset + r->offset + done, r->buf, MIN((uint32_t)PIECE, r->len - done));
    }
    return ret;
}

/* ---- block status ---- */

typedef int Status(BlockImage *img, uint64_t offset, uint64_t len, ImageRange *range, uint32_t *flags);

static int allocation(BlockImage *img, uint64_t offset, uint64_t len, ImageRange *range, uint32_t *flags)
{
    int ret = gated_status(img, offset, len, true, range);

    *flags = (range->flags & IMAGE_DATA ? 0 : NBD_STATE_HOLE) | (range->flags & IMAGE_ZERO ? NBD_STATE_ZERO : 0);
    return ret;
}

/* depth - 1: the image itself holds it, 2: the one behind it, and so on; 0: none does. An image that ends before it holds
 * the zeros behind its end, qemu-nbd says. */
static int depth(BlockImage *img, uint64_t offset, uint64_t len, ImageRange *range, uint32_t *flags)
{
    int ret = 0;

    for (*flags = 1; img != NULL; ++*flags) {
        if (offset >= img->size) {
            *range = (ImageRange){ .len = len };
            return 0;
        }
        len = MIN(len, img->size - offset);
        ret = gated_status(img, offset, len, false, range);
        if (ret != 0 || (range->flags & IMAGE_ALLOCATED)) {
            return ret;
        }
        len = range->len;
        img = img->backing;
    }
    *flags = 0;
    range->len = len;
    return ret;
}

/* ranges - in @out, as they are sent: alike ones beside each other are one. Their number, or -errno. */
static int ranges(const Request *r, Status *status, uint8_t *out)
{
    const NbdExport *e = r->l->exp;
    int max = r->flags & NBD_CMD_REQ_ONE ? 1 : RANGES_MAX, count = 0;
    uint32_t left = r->len;

    while (left > 0) {
        uint8_t *last = out + (count - 1) * 8;
        ImageRange range = { 0 };
        uint32_t flags = 0, n;
        int ret = status(e->img, e->offset + r->offset + (r->len - left), left, &range, &flags);

        if (ret != 0) {
            return ret;
        }
        n = (uint32_t)MIN(range.len, left);
        if (count > 0 && ld_be32(last + 4) == flags) {
            st_be32(last, ld_be32(last) + n);
        } else if (count < max) {
            st_be32(out + count * 8, n);
            st_be32(out + count * 8 + 4, flags);
            count++;
        } else {
            break;
        }
        left -= n;
    }
    return count;
}

static void do_status(const Request *r)
{
    static Status *const of[NBD_CONTEXTS] = { allocation, depth };
    autofree uint8_t *out = xnewn(uint8_t, RANGES_MAX * 8);
    unsigned last = 0;

    for (unsigned n = 0; n < NBD_CONTEXTS; n++) {
        last = r->l->contexts[n] ? n : last;
    }
    for (unsigned n = 0; n < NBD_CONTEXTS; n++) {
        uint8_t id[4];
        int count = r->l->contexts[n] ? ranges(r, of[n], out) : 0;

        if (count < 0) {
            finish(r, wire_error(count));
            return;
        }
        st_be32(id, n);
        if (r->l->contexts[n]) {
            chunk(r, NBD_CHUNK_STATUS, n == last, id, sizeof(id), out, (size_t)count * 8);
        }
    }
}

/* ---- one request ---- */

static bool has_context(const NbdLink *l)
{
    for (unsigned n = 0; n < NBD_CONTEXTS; n++) {
        if (l->contexts[n]) {
            return true;
        }
    }
    return false;
}

/* judge - what is wrong with a request, before anything is done: an error, or 0. */
static uint32_t judge(const Request *r)
{
    static const struct {
        uint16_t flags; /* that it may have */
        bool writes, ranged;
    } kinds[NBD_CMD_COUNT] = {
        [NBD_CMD_READ] = { NBD_CMD_DF, false, true },
        [NBD_CMD_WRITE] = { NBD_CMD_FUA, true, true },
        [NBD_CMD_TRIM] = { NBD_CMD_FUA, true, true },
        [NBD_CMD_CACHE] = { 0, false, true },
        [NBD_CMD_WRITE_ZEROES] = { NBD_CMD_FUA | NBD_CMD_NO_HOLE, true, true },
        [NBD_CMD_BLOCK_STATUS] = { NBD_CMD_REQ_ONE, false, true },
    };
    const NbdExport *e = r->l->exp;
    uint64_t size = MIN(e->size, e->img->size - MIN(e->offset, e->img->size));
    bool df = r->flags & NBD_CMD_DF;

    /* FUA may stand with any of them once it was offered ("Command flags") */
    if (r->type >= NBD_CMD_COUNT || (r->flags & ~(kinds[r->type].flags | NBD_CMD_FUA)) || (df && !r->l->structured)) {
        return NBD_EINVAL;
    }
    if (kinds[r->type].writes && e->read_only) {
        return NBD_EPERM;
    }
    if ((r->type == NBD_CMD_READ || r->type == NBD_CMD_CACHE) && r->len > NBD_PAYLOAD_MAX) {
        return NBD_EINVAL;
    }
    if (kinds[r->type].ranged && (r->offset > size || r->len > size - r->offset)) {
        return kinds[r->type].writes && r->type != NBD_CMD_TRIM ? NBD_ENOSPC : NBD_EINVAL;
    }
    if (r->type == NBD_CMD_BLOCK_STATUS && (r->len == 0 || !has_context(r->l))) {
        return NBD_EINVAL;
    }
    return 0;
}

static void carry_out(const Request *r)
{
    const NbdExport *e = r->l->exp;
    uint64_t offset = e->offset + r->offset;
    int ret = 0;

    if (r->error != 0) {
        finish(r, r->error);
        return;
    }
    switch (r->type) {
    case NBD_CMD_READ:
        do_read(r);
        return;
    case NBD_CMD_BLOCK_STATUS:
        do_status(r);
        return;
    case NBD_CMD_WRITE: ret = r->len > 0 ? do_write(r) : 0; break;
    case NBD_CMD_TRIM: ret = r->len > 0 && e->discard ? gated_discard(e->img, offset, r->len) : 0; break;
    case NBD_CMD_CACHE: ret = do_cache(r); break;
    case NBD_CMD_WRITE_ZEROES:
        ret = r->len > 0 ? write_zeroes(e, offset, r->len, !(r->flags & NBD_CMD_NO_HOLE)) : 0;
        break;
    case NBD_CMD_FLUSH: ret = gated_flush(e->img); break;
    default: break;
    }
    if (ret == 0 && (r->flags & NBD_CMD_FUA) && !e->read_only && r->type != NBD_CMD_FLUSH) {
        ret = gated_flush(e->img);
    }
    finish(r, wire_error(ret));
}

/* ---- threads ---- */

/* hold - of the client's bytes, when there are as many. */
static void hold(Request *r, uint64_t bytes)
{
    NbdLink *l = r->l;

    pthread_mutex_lock(&l->lock);
    while (l->bytes > 0 && l->bytes + bytes > CLIENT_BYTES) {
        pthread_cond_wait(&l->room, &l->lock);
    }
    l->bytes += bytes;
    pthread_mutex_unlock(&l->lock);
    r->held = bytes;
}

static void let_go(Request *r)
{
    NbdLink *l = r->l;

    pthread_mutex_lock(&l->lock);
    l->bytes -= r->held;
    pthread_cond_signal(&l->room);
    pthread_mutex_unlock(&l->lock);
    if (r->room > KEEP) {
        free(r->buf);
        r->buf = NULL;
        r->room = 0;
    }
}

static void make_room(Request *r, size_t len)
{
    void *p;

    if (len > r->room) {
        free(r->buf);
        r->buf = posix_memalign(&p, ALIGN, (len + ALIGN - 1) & ~(size_t)(ALIGN - 1)) == 0 ? p : NULL;
        r->room = r->buf != NULL ? len : 0;
    }
}

/* next_request - with what belongs to it. False: the client has left, or speaks nonsense. Its turn is the caller's. */
static bool next_request(Request *r)
{
    uint8_t head[NBD_REQUEST_BYTES];

    if (!nbd_recv(r->l, head, sizeof(head)) || ld_be32(head) != NBD_REQUEST_MAGIC) {
        return false;
    }
    r->flags = ld_be16(head + 4);
    r->type = ld_be16(head + 6);
    r->cookie = ld_be64(head + 8);
    r->offset = ld_be64(head + 16);
    r->len = ld_be32(head + 24);
    if (r->type == NBD_CMD_DISC || (r->type == NBD_CMD_WRITE && r->len > NBD_PAYLOAD_MAX)) {
        return false; /* "the server MAY initiate a hard disconnect" */
    }
    r->error = judge(r);
    if (r->error != 0) {
        hold(r, 0);
        return r->type != NBD_CMD_WRITE || nbd_skip(r->l, r->len);
    }
    hold(r, r->type == NBD_CMD_READ || r->type == NBD_CMD_WRITE ? r->len : r->type == NBD_CMD_CACHE ? PIECE : 0);
    make_room(r, r->held);
    if (r->type != NBD_CMD_WRITE || r->len == 0) {
        return true;
    }
    if (r->buf == NULL) {
        r->error = NBD_ENOMEM;
        return nbd_skip(r->l, r->len);
    }
    return nbd_recv(r->l, r->buf, r->len);
}

static void *hand(void *opaque);

/* more_hands - nobody is left to read the next request: another thread does it. The turn is the caller's. */
static void more_hands(NbdLink *l)
{
    bool wanted;

    pthread_mutex_lock(&l->lock);
    wanted = l->waiting == 0 && l->threads < l->threads_max;
    pthread_mutex_unlock(&l->lock);
    if (wanted && !l->confined && pthread_create(&l->workers[l->threads - 1], NULL, hand, l) == 0) {
        l->threads++; /* the first is the caller of nbd_transmit() */
    }
}

static void count_waiting(NbdLink *l, unsigned change)
{
    pthread_mutex_lock(&l->lock);
    l->waiting += change;
    pthread_mutex_unlock(&l->lock);
}

static void work(NbdLink *l)
{
    Request r = { .l = l };
    bool ok = true;

    while (ok) {
        r.held = 0;
        count_waiting(l, 1);
        pthread_mutex_lock(&l->turn);
        count_waiting(l, -1u);
        ok = !l->ending && next_request(&r);
        if (ok) {
            more_hands(l);
        } else {
            l->ending = true;
        }
        pthread_mutex_unlock(&l->turn);
        if (ok) {
            carry_out(&r);
        }
        let_go(&r);
    }
    free(r.buf);
}

/* hand - a thread for a client, besides the first. */
static void *hand(void *opaque)
{
    sandbox_thread(SANDBOX_DISK);
    work(opaque);
    return NULL;
}

void nbd_prepare(NbdLink *l)
{
    l->threads = 1;
    l->confined = sandbox_on();
    pthread_mutex_lock(&l->turn);
    while (l->confined && l->threads < MIN(l->threads_max, (unsigned)CONFINED_THREADS) &&
           pthread_create(&l->workers[l->threads - 1], NULL, hand, l) == 0) {
        l->threads++;
    }
    sandbox_thread(SANDBOX_DISK);
}

void nbd_transmit(NbdLink *l, bool negotiated)
{
    l->ending = !negotiated;
    pthread_mutex_unlock(&l->turn);
    work(l);
    for (unsigned n = 0; n + 1 < l->threads; n++) { /* no more are made: the turn was ours when it ended */
        pthread_join(l->workers[n], NULL);
    }
}
