/*
 * Engines for asynchronous reads and writes: see host-aio.h.
 *
 * Sources: io_uring_setup(2), io_uring_register(2), io_submit(2), io_getevents(2).
 */
#include "block/host-aio.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include <config.h>
#ifdef CONFIG_LIBURING
#include <liburing.h>
#endif

enum { BATCH = 32 };

typedef struct Engine {
    const char *name;
    int (*setup)(void);            /* 0 or -errno */
    int (*submit)(AioPiece *p);    /* the same. Any thread */
    unsigned (*wait)(AioPiece **p); /* at least one of those under way, at most BATCH; 0: interrupted. The engine's thread */
    bool ready;                    /* loop thread */
    bool running;                  /* atomic */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t some;
    int busy;    /* under `lock`: pieces, below zero for as long as one ended before it was counted */
    bool ending; /* under `lock` */
    uint64_t count; /* under `lock`: pieces that ended */
} Engine;

/* What was written to a piece before the kernel got it is seen by who gets it back from there: the kernel sees to that, but
 * neither the compiler nor TSan knows. */
static uint64_t handed;

static void hand_over(void)
{
    __atomic_fetch_add(&handed, 1, __ATOMIC_RELEASE);
}

static void take_over(void)
{
    (void)__atomic_load_n(&handed, __ATOMIC_ACQUIRE);
}

/* ---- native ---- */

static aio_context_t context;

static int native_setup(void)
{
    return syscall(__NR_io_setup, AIO_DEPTH, &context) < 0 ? -errno : 0;
}

static int native_submit(AioPiece *p)
{
    struct iocb cb = { .aio_data = (uintptr_t)p, .aio_lio_opcode = p->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
                       .aio_fildes = (uint32_t)p->fd, .aio_buf = (uintptr_t)p->buf, .aio_nbytes = p->len,
                       .aio_offset = (int64_t)p->offset };
    struct iocb *list[] = { &cb }; /* the kernel copies it */
    long n;

    hand_over();
    n = syscall(__NR_io_submit, context, 1L, list);
    return n == 1 ? 0 : n == 0 ? -EAGAIN : -errno;
}

static unsigned native_wait(AioPiece **p)
{
    struct io_event events[BATCH];
    long n = syscall(__NR_io_getevents, context, 1L, (long)BATCH, events, NULL);

    take_over();
    for (long k = 0; k < n; k++) {
        p[k] = (AioPiece *)(uintptr_t)events[k].data; /* NOLINT(performance-no-int-to-ptr) */
        p[k]->result = events[k].res;
    }
    return n > 0 ? (unsigned)n : 0;
}

/* ---- io_uring ---- */

#ifdef CONFIG_LIBURING

static struct io_uring ring;
static pthread_mutex_t ring_lock = PTHREAD_MUTEX_INITIALIZER; /* of its submission side */

static int ring_setup(void)
{
    struct io_uring_restriction only[] = {
        { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READ },
        { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITE },
    };
    int r = io_uring_queue_init(AIO_DEPTH, &ring, IORING_SETUP_R_DISABLED);

    if (r < 0) {
        return r;
    }
    /* liburing 2.3 lacks both of these in its shared library */
    if (syscall(__NR_io_uring_register, ring.ring_fd, IORING_REGISTER_RESTRICTIONS, only, ARRAY_SIZE(only)) < 0 ||
        syscall(__NR_io_uring_register, ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0) {
        r = -errno;
    }
    if (r < 0) {
        io_uring_queue_exit(&ring);
    }
    return r;
}

static int ring_submit(AioPiece *p)
{
    struct io_uring_sqe *sqe;
    int r = -EAGAIN;

    pthread_mutex_lock(&ring_lock);
    sqe = io_uring_get_sqe(&ring);
    if (sqe != NULL) {
        if (p->write) {
            io_uring_prep_write(sqe, p->fd, p->buf, p->len, p->offset);
        } else {
            io_uring_prep_read(sqe, p->fd, p->buf, p->len, p->offset);
        }
        io_uring_sqe_set_data(sqe, p);
        hand_over();
        while (io_uring_submit(&ring) < 0) { /* interrupted, no memory: an entry that was made stays in the ring */
            sched_yield();
        }
        r = 0;
    }
    pthread_mutex_unlock(&ring_lock);
    return r;
}

static unsigned ring_wait(AioPiece **p)
{
    struct io_uring_cqe *cqe, *more[BATCH];
    unsigned n;

    if (io_uring_wait_cqe(&ring, &cqe) < 0) {
        return 0;
    }
    n = io_uring_peek_batch_cqe(&ring, more, BATCH);
    take_over();
    for (unsigned k = 0; k < n; k++) {
        p[k] = io_uring_cqe_get_data(more[k]);
        p[k]->result = more[k]->res;
    }
    io_uring_cq_advance(&ring, n);
    return n;
}

#else

static int ring_setup(void)
{
    return -ENOTSUP;
}

#define ring_submit NULL
#define ring_wait NULL

#endif

/* ---- engines ---- */

static Engine engines[] = {
    [HOST_AIO_NATIVE] = { .name = "native", .setup = native_setup, .submit = native_submit, .wait = native_wait,
                          .lock = PTHREAD_MUTEX_INITIALIZER, .some = PTHREAD_COND_INITIALIZER },
    [HOST_AIO_URING] = { .name = "io_uring", .setup = ring_setup, .submit = ring_submit, .wait = ring_wait,
                         .lock = PTHREAD_MUTEX_INITIALIZER, .some = PTHREAD_COND_INITIALIZER },
};

bool host_aio_parse(const char *name, HostAio *aio)
{
    for (unsigned n = HOST_AIO_THREADS; n < ARRAY_SIZE(engines); n++) {
        if (strcmp(name, n == HOST_AIO_THREADS ? "threads" : engines[n].name) == 0) {
            *aio = (HostAio)n;
            return true;
        }
    }
    return false;
}

bool host_aio_want(HostAio aio, Error **errp)
{
    Engine *e = &engines[aio];
    int r;

    if (aio == HOST_AIO_THREADS || e->ready) {
        return true;
    }
    if (sandbox_on()) {
        error_set(errp, "aio=%s: a confined process cannot set it up any more (give it to a disk that is there at the start)",
                  e->name);
        return false;
    }
    if (e->submit == NULL) {
        error_set(errp, "aio=%s was specified, but is not supported in this build.", e->name);
        return false;
    }
    r = e->setup();
    if (r < 0) {
        error_set_errno(errp, -r, "aio=%s: the kernel refuses it", e->name);
        return false;
    }
    sandbox_want_aio();
    e->ready = true;
    return true;
}

static void *reap(void *arg)
{
    Engine *e = arg;
    AioPiece *done[BATCH];

    prctl(PR_SET_NAME, "aio");
    sandbox_thread(SANDBOX_DISK);
    pthread_mutex_lock(&e->lock);
    while (e->busy != 0 || !e->ending) {
        unsigned n;

        if (e->busy <= 0) {
            pthread_cond_wait(&e->some, &e->lock);
            continue;
        }
        pthread_mutex_unlock(&e->lock);
        n = e->wait(done);
        for (unsigned k = 0; k < n; k++) {
            done[k]->done(done[k]);
        }
        pthread_mutex_lock(&e->lock);
        e->busy -= (int)n;
        e->count += n;
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

bool host_aio_threads_made(void)
{
    bool all = true;

    for (unsigned n = HOST_AIO_NATIVE; n < ARRAY_SIZE(engines); n++) {
        all = all && (!engines[n].ready || __atomic_load_n(&engines[n].running, __ATOMIC_RELAXED));
    }
    return all;
}

bool host_aio_threads(void)
{
    bool all = true;
    sigset_t every, old;

    sigfillset(&every);
    pthread_sigmask(SIG_BLOCK, &every, &old);
    for (unsigned n = HOST_AIO_NATIVE; n < ARRAY_SIZE(engines); n++) {
        Engine *e = &engines[n];

        if (e->ready && !__atomic_load_n(&e->running, __ATOMIC_RELAXED)) {
            bool made = pthread_create(&e->thread, NULL, reap, e) == 0;

            __atomic_store_n(&e->running, made, __ATOMIC_RELEASE);
            all = all && made;
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return all;
}

bool host_aio_start(HostAio aio, AioPiece *p)
{
    Engine *e = &engines[aio];
    bool room;

    if (aio == HOST_AIO_THREADS || !__atomic_load_n(&e->running, __ATOMIC_ACQUIRE)) {
        return false;
    }
    pthread_mutex_lock(&e->lock);
    room = e->busy < AIO_DEPTH;
    pthread_mutex_unlock(&e->lock);
    if (!room || e->submit(p) != 0) {
        return false;
    }
    pthread_mutex_lock(&e->lock); /* p may be gone by now */
    e->busy++;
    pthread_cond_signal(&e->some);
    pthread_mutex_unlock(&e->lock);
    return true;
}

uint64_t host_aio_count(HostAio aio)
{
    Engine *e = &engines[aio];
    uint64_t n;

    pthread_mutex_lock(&e->lock);
    n = e->count;
    pthread_mutex_unlock(&e->lock);
    return n;
}

void host_aio_fini(void)
{
    for (unsigned n = HOST_AIO_NATIVE; n < ARRAY_SIZE(engines); n++) {
        Engine *e = &engines[n];

        if (__atomic_load_n(&e->running, __ATOMIC_RELAXED)) {
            pthread_mutex_lock(&e->lock);
            e->ending = true;
            pthread_cond_signal(&e->some);
            pthread_mutex_unlock(&e->lock);
            pthread_join(e->thread, NULL);
            e->ending = false;
            __atomic_store_n(&e->running, false, __ATOMIC_RELAXED);
        }
    }
}
