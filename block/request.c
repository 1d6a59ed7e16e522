/*
 * Requests: see block.h. All of a request's fields are under the machine lock, but that between
 * start() and finish() the worker has it for itself. The pool's mutex is a leaf: nothing is taken
 * under it but the loop's, by loop_post().
 */
#include "block/internal.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include "base/event.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/sandbox.h"

#define WORKERS 4
#define TURN 32                  /* requests, and */
#define TURN_BYTES (4u << 20)    /* bytes that are completed in a turn of the loop: others want the machine, too */
#define VIRTUAL_NS (100 * NS_PER_US) /* what a request takes under -icount */

typedef enum BlockOp {
    OP_READ,
    OP_WRITE,
    OP_FLUSH,
    OP_DISCARD,
} BlockOp;

struct BlockReq {
    BlockImage *img; /* NULL: it fails */
    BlockOp op;
    uint64_t offset, len;
    uint8_t *data; /* ours */
    int64_t begun; /* CLK_REAL */
    int ret;
    bool started, cancelled;
    bool performed;   /* the host was asked */
    bool held;        /* it failed, and waits for block_retry() */
    bool plain;       /* not by an engine of host-aio.h, which had it already */
    AioPiece piece;   /* for that */
    BlockBackend *blk;
    BlockDone *done;
    void *opaque;
    Timer timer;         /* deterministic runs */
    BlockReq *next;      /* of all requests, in the order in which they were made */
    BlockReq *next_pool; /* waiting for a worker, or finished */
};

typedef struct Queue {
    BlockReq *first, **end;
} Queue;

static const TimerGuard *guard; /* constant after block_setup() */
static bool deterministic;
static BlockReq *requests;      /* under the machine lock */
static void (*stop_machine)(void); /* constant after block_on_stop() */

static pthread_mutex_t mutex = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP; /* held for some instructions: waited for awake */
static pthread_cond_t work = PTHREAD_COND_INITIALIZER, finished_one = PTHREAD_COND_INITIALIZER;
static Queue waiting = { NULL, &waiting.first }, finished = { NULL, &finished.first }; /* mutex */
static unsigned asleep;         /* workers, under the mutex */
static bool woken;              /* one of them is on its way; the same */
static bool ending;             /* under the mutex */
static pthread_t workers[WORKERS];
static unsigned worker_count;   /* under the machine lock */

void block_setup(const TimerGuard *g, bool det)
{
    guard = g;
    deterministic = det;
}

void block_on_stop(void (*stop)(void))
{
    stop_machine = stop;
}

void block_lock(void)
{
    if (guard != NULL) {
        guard->lock();
    }
}

void block_unlock(void)
{
    if (guard != NULL) {
        guard->unlock();
    }
}

static void queue_put(Queue *q, BlockReq *req)
{
    req->next_pool = NULL;
    *q->end = req;
    q->end = &req->next_pool;
}

static BlockReq *queue_take(Queue *q)
{
    BlockReq *req = q->first;

    if (req != NULL) {
        q->first = req->next_pool;
        if (q->first == NULL) {
            q->end = &q->first;
        }
    }
    return req;
}

/* ---- workers ---- */

/* wake_one - there is work; under the mutex. One is on its way at most, and wakes the next if there is still work then: a
 * burst of requests costs who makes them one call of the host. */
static void wake_one(void)
{
    if (asleep > 0 && !woken && waiting.first != NULL) {
        woken = true;
        pthread_cond_signal(&work);
    }
}

/* wait_request - the next one; NULL: it is the end. Under the mutex. */
static BlockReq *wait_request(void)
{
    BlockReq *req;

    while ((req = queue_take(&waiting)) == NULL && !ending) {
        asleep++;
        pthread_cond_wait(&work, &mutex);
        asleep--;
        woken = false; /* if it was another that was meant, he finds nothing or is awake */
    }
    wake_one();
    return req;
}

static int perform_write(BlockReq *req)
{
    BlockDetect detect = req->blk->detect_zeroes;

    if (detect != BLK_DETECT_OFF && req->len > 0 && mem_is_zero(req->data, req->len)) {
        return detect == BLK_DETECT_UNMAP && req->blk->discard ? image_zero(req->img, req->offset, req->len)
                                                               : image_zero_keep(req->img, req->offset, req->len);
    }
    return image_write(req->img, req->offset, req->data, (uint32_t)req->len);
}

/* keep_read - copy-on-read: what came from behind is written to the image. That it cannot be is no harm to who reads. */
static void keep_read(const BlockReq *req)
{
    uint64_t at = 0;
    ImageRange range;
    int r = req->img->backing == NULL || req->img->read_only ? -EROFS : 0;

    for (; r == 0 && at < req->len; at += range.len) {
        const uint8_t *from = req->data + at;

        r = image_status(req->img, req->offset + at, req->len - at, false, &range);
        if (r == 0 && !(range.flags & IMAGE_ALLOCATED)) {
            r = mem_is_zero(from, range.len) ? image_zero(req->img, req->offset + at, range.len)
                                             : image_write(req->img, req->offset + at, from, (uint32_t)range.len);
        }
    }
}

static int perform_read(BlockReq *req)
{
    int r = image_read(req->img, req->offset, req->data, (uint32_t)req->len);

    if (r == 0 && req->blk->copy_on_read) {
        keep_read(req);
    }
    return r;
}

static int perform(BlockReq *req)
{
    req->performed = true;
    switch (req->op) {
    case OP_READ:
        return perform_read(req);
    case OP_WRITE:
        return perform_write(req);
    case OP_DISCARD:
        return req->blk->discard ? image_discard(req->img, req->offset, req->len) : 0;
    default:
        return image_flush(req->img);
    }
}

static void serve_posted(void *opaque);

/* finish - the loop will complete it. */
static void finish(BlockReq *req)
{
    bool first;

    pthread_mutex_lock(&mutex);
    first = finished.first == NULL;
    queue_put(&finished, req);
    pthread_cond_signal(&finished_one);
    pthread_mutex_unlock(&mutex);
    if (first) {
        loop_post(serve_posted, NULL);
    }
}

/* piece_done - on the engine's thread. What it could not do wholly (the end of a file, an error), a worker does again. */
static void piece_done(AioPiece *p)
{
    BlockReq *req = container_of(p, BlockReq, piece);

    image_unmap(req->img);
    if (p->result == (int64_t)req->len) {
        req->performed = true;
        finish(req);
        return;
    }
    req->plain = true;
    pthread_mutex_lock(&mutex);
    queue_put(&waiting, req);
    wake_one();
    pthread_mutex_unlock(&mutex);
}

/* by_engine - aio=native or io_uring, and nothing but bytes of the host file are to be moved. */
static bool by_engine(BlockReq *req)
{
    HostAio aio = image_aio(req->img);
    bool write = req->op == OP_WRITE;

    if (aio == HOST_AIO_THREADS || req->plain || req->len == 0 || (req->op != OP_READ && !write) ||
        (write && req->blk->detect_zeroes != BLK_DETECT_OFF && mem_is_zero(req->data, req->len))) {
        return false;
    }
    req->piece = (AioPiece){ .write = write, .buf = req->data, .len = (uint32_t)req->len, .done = piece_done };
    if (!image_map(req->img, req->offset, &req->piece)) {
        return false;
    }
    if (!host_aio_start(aio, &req->piece)) {
        image_unmap(req->img);
        return false;
    }
    return true;
}

static void *worker(void *arg)
{
    BlockReq *req;

    prctl(PR_SET_NAME, "block");
    sandbox_thread(SANDBOX_DISK);
    pthread_mutex_lock(&mutex);
    while ((req = wait_request()) != NULL) {
        pthread_mutex_unlock(&mutex);
        if (!by_engine(req)) {
            req->ret = perform(req);
            finish(req);
        }
        pthread_mutex_lock(&mutex);
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* make_workers - with the first request, so that a machine without disks has none; or by block_workers(). */
static bool make_workers(void)
{
    sigset_t all, old;

    if (worker_count > 0 && host_aio_threads_made()) {
        return true;
    }
    host_aio_threads(); /* without one, workers do all */
    if (worker_count > 0) {
        return true;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    while (worker_count < WORKERS &&
           pthread_create(&workers[worker_count], NULL, worker, NULL) == 0) {
        worker_count++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return worker_count > 0;
}

void block_workers(void)
{
    make_workers(); /* where there are none, each request says so */
}

/* ---- order ---- */

/* conflicts - would their order be seen? @a was made first. */
static bool conflicts(const BlockReq *a, const BlockReq *b)
{
    if (a->img != b->img || a->op == OP_FLUSH || b->op == OP_FLUSH ||
        (a->op == OP_READ && b->op == OP_READ && !a->blk->copy_on_read && !b->blk->copy_on_read)) {
        return false;
    }
    return a->offset < b->offset + b->len && b->offset < a->offset + a->len;
}

static bool must_wait(const BlockReq *req)
{
    for (const BlockReq *r = requests; r != req; r = r->next) {
        if (conflicts(r, req)) {
            return true;
        }
    }
    return false;
}

static void timer_fired(void *opaque);

/* begin - hand it to a worker. */
static void begin(BlockReq *req)
{
    if (deterministic) {
        if (req->ret == 0 && !req->cancelled) {
            req->ret = perform(req);
        }
        timer_init(&req->timer, CLK_VIRTUAL, timer_fired, req, guard);
        timer_arm(&req->timer, clock_now(CLK_VIRTUAL) + VIRTUAL_NS);
        return;
    }
    if (req->ret == 0 && !make_workers()) {
        req->ret = -EAGAIN;
    }
    if (req->ret != 0 || req->cancelled) {
        finish(req);
        return;
    }
    pthread_mutex_lock(&mutex);
    queue_put(&waiting, req);
    wake_one();
    pthread_mutex_unlock(&mutex);
}

/* ---- limits ---- */

struct ThrottleGroup {
    char *name;
    unsigned refs;
    BlockLimits limits;
    Buckets buckets;
    Queue waiting; /* for their time */
    Timer timer;
    ThrottleGroup *next;
};
static ThrottleGroup *groups; /* under the machine lock */
static bool draining;         /* under the machine lock: nobody waits for his time */

/* admit - those whose time has come; for the next one, a timer. */
static void admit(ThrottleGroup *g)
{
    BlockReq *req;

    while ((req = g->waiting.first) != NULL) {
        int64_t now = clock_now(CLK_VIRTUAL), wait = 0;

        if (!draining && !req->cancelled) {
            wait = buckets_take(&g->buckets, &g->limits, req->op != OP_READ, req->len, now);
        }
        if (wait > 0) {
            timer_arm(&g->timer, now + wait);
            return;
        }
        queue_take(&g->waiting);
        begin(req);
    }
}

static void admit_timer(void *opaque)
{
    admit(opaque);
}

static void start(BlockReq *req)
{
    ThrottleGroup *g = req->blk->throttle;
    bool first;

    req->started = true;
    if (g == NULL || req->ret != 0 || req->cancelled || req->op == OP_FLUSH) {
        begin(req);
        return;
    }
    first = g->waiting.first == NULL;
    queue_put(&g->waiting, req);
    if (first) {
        admit(g);
    }
}

ThrottleGroup *throttle_group(const char *name, const BlockLimits *l)
{
    ThrottleGroup *g = groups;

    while (g != NULL && strcmp(g->name, name) != 0) {
        g = g->next;
    }
    if (g == NULL) {
        g = xnew(ThrottleGroup);
        g->name = xstrdup(name);
        g->waiting.end = &g->waiting.first;
        g->buckets.then = clock_now(CLK_VIRTUAL);
        timer_init(&g->timer, CLK_VIRTUAL, admit_timer, g, guard);
        g->next = groups;
        groups = g;
    }
    g->refs++;
    g->limits = *l;
    timer_cancel(&g->timer);
    admit(g);
    return g;
}

void throttle_unref(ThrottleGroup *g)
{
    ThrottleGroup **p = &groups;
    BlockReq *req;

    if (g == NULL || --g->refs > 0) {
        return;
    }
    while ((req = queue_take(&g->waiting)) != NULL) {
        begin(req);
    }
    while (*p != g) {
        p = &(*p)->next;
    }
    *p = g->next;
    timer_cancel(&g->timer);
    free(g->name);
    free(g);
}

const BlockLimits *throttle_limits(const ThrottleGroup *g, const char **name)
{
    if (name != NULL) {
        *name = g->name;
    }
    return &g->limits;
}

/* drain_limits - nobody waits for his time, as long as @on. */
static void drain_limits(bool on)
{
    block_lock();
    draining = on;
    for (ThrottleGroup *g = groups; g != NULL && on; g = g->next) {
        timer_cancel(&g->timer);
        admit(g);
    }
    block_unlock();
}

/* ---- buffers ---- */

/* Those of large requests are kept: memory that malloc() gives back to the host would be made anew, page by page. */
enum { LARGE = 128 << 10, KEPT_MAX = 8 };
static uint8_t *kept[KEPT_MAX]; /* of BLK_REQUEST_MAX bytes; under the machine lock */
static unsigned kept_count;     /* the same */

uint8_t *blk_buffer(uint32_t len)
{
    void *p = NULL;

    if (len >= LARGE && len <= BLK_REQUEST_MAX && kept_count > 0) {
        return kept[--kept_count];
    }
    len = len >= LARGE ? MAX(len, BLK_REQUEST_MAX) : len;
    return posix_memalign(&p, 4096, len) == 0 ? p : NULL; /* so that O_DIRECT needs no other */
}

void blk_buffer_free(uint8_t *buf, uint64_t len)
{
    if (buf != NULL && len >= LARGE && len <= BLK_REQUEST_MAX && kept_count < KEPT_MAX) {
        kept[kept_count++] = buf;
    } else {
        free(buf);
    }
}

/* ---- the host failed ---- */

static BlockOnError policy(const BlockReq *req)
{
    BlockOnError on = req->op == OP_READ ? req->blk->read_error : req->blk->write_error;

    if (on == BLK_ENOSPC) {
        on = req->ret == -ENOSPC ? BLK_STOP : BLK_REPORT;
    }
    return on == BLK_STOP && stop_machine == NULL ? BLK_REPORT : on;
}

static void tell_error(const BlockReq *req, BlockOnError on)
{
    static const char *const actions[] = { [BLK_REPORT] = "report", [BLK_IGNORE] = "ignore", [BLK_STOP] = "stop" };
    const EventField fields[] = {
        EV_STR("device", req->blk->name), EV_STR("operation", req->op == OP_READ ? "read" : "write"),
        EV_STR("action", actions[on]), EV_BOOL("nospace", req->ret == -ENOSPC),
        EV_STR("reason", strerror(-req->ret)), EV_END,
    };

    event_emit("BLOCK_IO_ERROR", fields);
}

/* failed - what is done about it; true: the request is held back. */
static bool failed(BlockReq *req)
{
    BlockOnError on = policy(req);

    tell_error(req, on);
    if (on == BLK_IGNORE) {
        req->ret = 0;
        if (req->op == OP_READ && req->data != NULL) {
            memset(req->data, 0, req->len);
        }
        return false;
    }
    if (on != BLK_STOP || req->cancelled) {
        return false;
    }
    if (req->blk->io_status == BLK_OK) { /* the first says why */
        req->blk->io_status = req->ret == -ENOSPC ? BLK_NO_SPACE : BLK_FAILED;
    }
    req->held = true; /* its time runs on */
    stop_machine();
    return true;
}

static void forget_status(void *opaque, BlockBackend *b)
{
    b->io_status = BLK_OK;
}

void block_retry(void)
{
    blk_each(forget_status, NULL);
    for (BlockReq *r = requests; r != NULL; r = r->next) {
        if (r->held) {
            r->held = r->plain = false;
            r->ret = 0;
            start(r);
        }
    }
}

bool block_held(void)
{
    const BlockReq *r = requests;

    while (r != NULL && !r->held) {
        r = r->next;
    }
    return r != NULL;
}

/* count - a request that was made and ended. */
static void count(const BlockReq *req)
{
    BlockStats *s = &req->blk->stats;
    BlockCount *const counts[] = { [OP_READ] = &s->read, [OP_WRITE] = &s->write, [OP_FLUSH] = &s->flush,
                                   [OP_DISCARD] = &s->unmap };
    BlockCount *c = counts[req->op];
    int64_t now = clock_now(CLK_REAL);

    c->ns += (uint64_t)(now - req->begun);
    s->last_ns = now;
    if (req->ret != 0 && !req->performed) {
        c->invalid++;
    } else if (req->ret != 0) {
        c->failed++;
    } else {
        c->operations++;
        c->bytes += req->len;
        s->highest = req->op == OP_WRITE ? MAX(s->highest, req->offset + req->len) : s->highest;
    }
}

/* complete - tell the device, and start what waited for it. */
static void complete(BlockReq *req)
{
    BlockReq **p = &requests;

    if (req->ret < 0 && req->performed && failed(req)) {
        return;
    }
    count(req);
    while (*p != req) {
        p = &(*p)->next;
    }
    *p = req->next;
    for (BlockReq *r = requests; r != NULL; r = r->next) {
        if (!r->started && !must_wait(r)) {
            start(r);
        }
    }
    if (!req->cancelled) {
        req->done(req->opaque, req->ret,
                  req->op == OP_READ && req->ret == 0 ? req->data : NULL);
    }
    image_unref(req->img);
    blk_buffer_free(req->data, req->len);
    free(req);
}

static void timer_fired(void *opaque)
{
    complete(opaque);
}

/* Machine lock held. False: there may be more. */
static bool serve_finished(void)
{
    uint64_t bytes = 0;
    BlockReq *req;

    for (unsigned n = 0; n < TURN && bytes < TURN_BYTES; n++) {
        pthread_mutex_lock(&mutex);
        req = queue_take(&finished);
        pthread_mutex_unlock(&mutex);
        if (req == NULL) {
            return true;
        }
        bytes += req->op == OP_READ ? req->len : 0;
        complete(req);
    }
    return false;
}

static void serve_posted(void *opaque)
{
    bool all;

    block_lock();
    all = serve_finished();
    block_unlock();
    if (!all) {
        loop_post(serve_posted, NULL);
    }
}

/* ---- making requests ---- */

static int check(const BlockReq *req)
{
    if (req->img == NULL) {
        return -ENOMEDIUM;
    }
    if ((req->len > BLK_REQUEST_MAX && req->op != OP_DISCARD) || req->offset > req->img->size ||
        req->len > req->img->size - req->offset) {
        return -EINVAL;
    }
    return (req->op == OP_WRITE || req->op == OP_DISCARD) && req->img->read_only ? -EROFS : 0;
}

static BlockReq *submit(BlockBackend *b, BlockOp op, uint64_t offset, uint8_t *data, uint64_t len, BlockDone *done,
                        void *opaque)
{
    BlockReq *req = xnew(BlockReq), **end = &requests;

    *req = (BlockReq){ .img = b->img != NULL ? image_ref(b->img) : NULL, .op = op, .blk = b, .data = data,
                       .offset = offset, .len = len, .begun = clock_now(CLK_REAL), .done = done, .opaque = opaque };
    req->ret = check(req);
    if (req->ret == 0 && len > 0 && op == OP_READ) {
        req->data = blk_buffer((uint32_t)len);
    }
    if (req->ret == 0 && len > 0 && req->data == NULL && (op == OP_READ || op == OP_WRITE)) {
        req->ret = -ENOMEM;
    }
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = req;
    if (req->ret != 0 || !must_wait(req)) {
        start(req);
    }
    return req;
}

BlockReq *blk_read(BlockBackend *b, uint64_t offset, uint32_t len, BlockDone *done, void *opaque)
{
    return submit(b, OP_READ, offset, NULL, len, done, opaque);
}

BlockReq *blk_write_buffer(BlockBackend *b, uint64_t offset, uint8_t *buf, uint32_t len, BlockDone *done, void *opaque)
{
    return submit(b, OP_WRITE, offset, buf, len, done, opaque);
}

BlockReq *blk_write(BlockBackend *b, uint64_t offset, const void *data, uint32_t len,
                    BlockDone *done, void *opaque)
{
    uint8_t *buf = len <= BLK_REQUEST_MAX ? blk_buffer(len) : NULL;

    if (buf != NULL) {
        memcpy(buf, data, len);
    }
    return blk_write_buffer(b, offset, buf, len, done, opaque);
}

BlockReq *blk_flush(BlockBackend *b, BlockDone *done, void *opaque)
{
    return submit(b, OP_FLUSH, 0, NULL, 0, done, opaque);
}

BlockReq *blk_discard(BlockBackend *b, uint64_t offset, uint64_t len, BlockDone *done, void *opaque)
{
    return submit(b, OP_DISCARD, offset, NULL, len, done, opaque);
}

void blk_cancel(BlockReq *req)
{
    if (req != NULL) {
        req->cancelled = true;
        if (req->held) { /* what waits for it may go on */
            req->held = false;
            req->ret = 0;
            start(req);
        }
    }
}

/* ---- waiting for all ---- */

/* under_way - not held back, nor behind one that is. */
static bool under_way(void)
{
    const BlockReq *r = requests;

    while (r != NULL && (!r->started || r->held)) {
        r = r->next;
    }
    return r != NULL;
}

/* Under -icount nothing is waited for: what would complete later does so now. */
static void complete_timed(void)
{
    BlockReq *req = requests;

    while (req != NULL && (!req->started || req->held || !timer_pending(&req->timer))) {
        req = req->next;
    }
    if (req != NULL) {
        timer_cancel(&req->timer);
        complete(req);
    }
}

bool block_timed_busy(void)
{
    bool busy;

    block_lock();
    busy = deterministic && requests != NULL;
    block_unlock();
    return busy;
}

void block_drain(void)
{
    bool more;

    drain_limits(true);
    do {
        block_lock();
        if (deterministic && requests != NULL) {
            complete_timed();
        }
        while (!serve_finished()) {
        }
        more = under_way();
        block_unlock();
        if (more && !deterministic) {
            pthread_mutex_lock(&mutex);
            while (finished.first == NULL) {
                pthread_cond_wait(&finished_one, &mutex);
            }
            pthread_mutex_unlock(&mutex);
        }
    } while (more);
    drain_limits(false);
}

void requests_fini(void)
{
    block_lock();
    for (BlockReq *r = requests; r != NULL; r = r->next) {
        blk_cancel(r);
    }
    block_unlock();
    block_drain();
    pthread_mutex_lock(&mutex);
    ending = true;
    pthread_cond_broadcast(&work);
    pthread_mutex_unlock(&mutex);
    while (worker_count > 0) {
        pthread_join(workers[--worker_count], NULL);
    }
    host_aio_fini();
    while (kept_count > 0) {
        free(kept[--kept_count]);
    }
    ending = false;
}
