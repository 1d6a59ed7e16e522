/*
 * doppel-img bench: how long do so many requests take?
 */
#include "img/img.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/text.h"

enum { OPT_FLUSH = 256, OPT_NO_DRAIN, OPT_PATTERN, DEPTH_MAX = 64 };

typedef struct Bench {
    const char *format;
    uint64_t count, depth, offset, size, step, flush_every, pattern;
    bool write, quiet, no_drain, bad;
    unsigned flags;
    HostAio aio;
    ImgCache cache;
    BlockImage *img;
    /* under `lock` */
    pthread_mutex_t lock;
    uint64_t begun, at;
    unsigned running; /* slots */
    pthread_cond_t ended;
    int error;
} Bench;

static bool number(const char *text, const char *what, uint64_t max, uint64_t *to, Error **errp)
{
    if (!text_size(text, 1, to) || *to > max) {
        error_set(errp, "Invalid %s specified", what);
        return false;
    }
    return true;
}

static bool bench_args(Bench *b, int argc, char **argv, Error **errp)
{
    static const struct option options[] = {
        { "flush-interval", required_argument, NULL, OPT_FLUSH }, { "no-drain", no_argument, NULL, OPT_NO_DRAIN },
        { "pattern", required_argument, NULL, OPT_PATTERN },      { NULL, 0, NULL, 0 },
    };
    bool ok = true;
    int c;

    optind = 1;
    while (ok && (c = getopt_long(argc, argv, ":c:d:f:i:no:qs:S:t:wU", options, NULL)) != -1) {
        switch (c) {
        case 'c': ok = number(optarg, "request count", INT32_MAX, &b->count, errp); break;
        case 'd': ok = number(optarg, "queue depth", INT32_MAX, &b->depth, errp); break;
        case 'f': b->format = optarg; break;
        case 'i':
            if (!host_aio_parse(optarg, &b->aio)) {
                error_set(errp, "Invalid aio option: %s", optarg);
                return false;
            }
            break;
        case 'n': b->aio = HOST_AIO_NATIVE; break;
        case 'o': ok = number(optarg, "offset", INT64_MAX, &b->offset, errp); break;
        case 'q': b->quiet = true; break;
        case 's': ok = number(optarg, "buffer size", 1u << 30, &b->size, errp); break;
        case 'S': ok = number(optarg, "step size", INT32_MAX, &b->step, errp); break;
        case 't': ok = img_cache(optarg, &b->cache, errp); break;
        case 'w': b->write = true; break;
        case 'U': b->flags |= IMAGE_FORCE_SHARE; break;
        case OPT_FLUSH: ok = number(optarg, "flush interval", INT32_MAX, &b->flush_every, errp); break;
        case OPT_NO_DRAIN: b->no_drain = true; break;
        case OPT_PATTERN: ok = number(optarg, "pattern byte", 255, &b->pattern, errp); break;
        default: b->bad = true; return true;
        }
    }
    if (ok && (b->flush_every != 0 || b->no_drain) && !b->write) {
        error_set(errp, "%s is only available in write tests", b->flush_every != 0 ? "--flush-interval" : "--no-drain");
        return false;
    }
    b->bad = argc - optind != 1 || b->depth == 0 || b->size == 0;
    if (ok && b->aio == HOST_AIO_NATIVE && !(b->cache.flags & IMAGE_DIRECT)) {
        error_set(errp, "aio=native was specified, but it requires cache.direct=on, which was not specified.");
        return false;
    }
    b->flags |= b->cache.flags | image_aio_flags(b->aio) | (b->write ? 0 : IMAGE_READ_ONLY);
    b->step = b->step != 0 ? b->step : b->size;
    return ok;
}

/* one - the request at @at; the end of the image ends it too. */
static int one(Bench *b, uint64_t n, uint64_t at, uint8_t *buf)
{
    uint32_t len = (uint32_t)MIN(b->size, b->img->size - at);
    int r = b->write ? image_write(b->img, at, buf, len) : image_read(b->img, at, buf, len);

    return r == 0 && b->flush_every != 0 && n % b->flush_every == 0 ? image_flush(b->img) : r;
}

static void *work(void *opaque)
{
    Bench *b = opaque;
    void *buf = NULL;

    if (posix_memalign(&buf, 4096, (b->size + 4095) & ~4095ull) != 0) {
        return NULL;
    }
    memset(buf, (int)b->pattern, b->size);
    pthread_mutex_lock(&b->lock);
    while (b->begun < b->count && b->error == 0) {
        uint64_t at = b->at, n = ++b->begun;
        int r;

        b->at = b->img->size > b->size ? (b->at + b->step) % (b->img->size - b->size) : 0;
        pthread_mutex_unlock(&b->lock);
        r = one(b, n, at, buf);
        pthread_mutex_lock(&b->lock);
        b->error = b->error != 0 ? b->error : r;
    }
    pthread_mutex_unlock(&b->lock);
    free(buf);
    return NULL;
}

/* ---- by an engine: a slot's next request begins where its last one ends ---- */

typedef struct Slot {
    Bench *b;
    AioPiece piece;
    uint64_t n, at;
    uint8_t *buf;
} Slot;

static void slot_next(Slot *s);

static void slot_done(AioPiece *p)
{
    Slot *s = container_of(p, Slot, piece);
    Bench *b = s->b;
    int r = p->result == (int64_t)p->len ? 0 : one(b, s->n, s->at, s->buf);

    image_unmap(b->img);
    if (r == 0 && p->result == (int64_t)p->len && b->flush_every != 0 && s->n % b->flush_every == 0) {
        r = image_flush(b->img);
    }
    pthread_mutex_lock(&b->lock);
    b->error = b->error != 0 ? b->error : r;
    pthread_mutex_unlock(&b->lock);
    slot_next(s);
}

/* slot_take - the next request, its place; false: there is none. */
static bool slot_take(Slot *s, int r)
{
    Bench *b = s->b;
    bool more;

    pthread_mutex_lock(&b->lock);
    b->error = b->error != 0 ? b->error : r;
    more = b->begun < b->count && b->error == 0;
    if (more) {
        s->at = b->at;
        s->n = ++b->begun;
        b->at = b->img->size > b->size ? (b->at + b->step) % (b->img->size - b->size) : 0;
    } else {
        b->running--;
        pthread_cond_signal(&b->ended);
    }
    pthread_mutex_unlock(&b->lock);
    return more;
}

static void slot_next(Slot *s)
{
    Bench *b = s->b;
    int r = 0;

    while (slot_take(s, r)) {
        uint32_t len = (uint32_t)MIN(b->size, b->img->size - s->at);

        s->piece = (AioPiece){ .write = b->write, .buf = s->buf, .len = len, .done = slot_done };
        if (image_map(b->img, s->at, &s->piece)) {
            if (host_aio_start(b->aio, &s->piece)) {
                return;
            }
            image_unmap(b->img);
        }
        r = one(b, s->n, s->at, s->buf);
    }
}

static void run_engine(Bench *b)
{
    unsigned depth = (unsigned)MIN(b->depth, DEPTH_MAX);
    Slot *slots = xnewn(Slot, depth);

    host_aio_threads();
    b->running = depth;
    for (unsigned n = 0; n < depth; n++) {
        slots[n].b = b;
        if (posix_memalign((void **)&slots[n].buf, 4096, (b->size + 4095) & ~4095ull) != 0) {
            slots[n].buf = NULL;
            b->error = -ENOMEM;
        } else {
            memset(slots[n].buf, (int)b->pattern, b->size);
        }
    }
    for (unsigned n = 0; n < depth; n++) {
        slot_next(&slots[n]);
    }
    pthread_mutex_lock(&b->lock);
    while (b->running > 0) {
        pthread_cond_wait(&b->ended, &b->lock);
    }
    pthread_mutex_unlock(&b->lock);
    host_aio_fini();
    for (unsigned n = 0; n < depth; n++) {
        free(slots[n].buf);
    }
    free(slots);
}

static void run_threads(Bench *b)
{
    pthread_t threads[DEPTH_MAX];
    unsigned n = 0;

    while (n < MIN(b->depth, DEPTH_MAX) && pthread_create(&threads[n], NULL, work, b) == 0) {
        n++;
    }
    while (n > 0) {
        pthread_join(threads[--n], NULL);
    }
}

static void run(Bench *b)
{
    struct timespec t0, t1;

    clock_gettime(CLOCK_MONOTONIC, &t0);
    if (b->aio != HOST_AIO_THREADS) {
        run_engine(b);
    } else {
        run_threads(b);
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    if (b->error == 0 && b->begun == b->count) {
        printf("Run completed in %3.3f seconds.\n",
               (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9);
    }
}

int cmd_bench(int argc, char **argv)
{
    Bench b = { .count = 75000, .depth = 64, .size = 4096, .lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER };
    Error *err = NULL;

    if (!bench_args(&b, argc, argv, &err)) {
        return img_fail(err);
    }
    if (b.bad) {
        return img_usage("bench", "Expecting one image file name");
    }
    b.img = img_open(argv[optind], b.format, b.flags, b.cache.mode, &err);
    if (b.img == NULL) {
        return img_fail(err);
    }
    b.at = b.offset;
    if (b.offset >= b.img->size) {
        error_set(&err, "the offset is beyond the end of the image");
    } else {
        if (!b.quiet) {
            printf("Sending %llu %s requests, %llu bytes each, %llu in parallel (starting at offset %llu, step size %llu)\n",
                   (unsigned long long)b.count, b.write ? "write" : "read", (unsigned long long)b.size,
                   (unsigned long long)b.depth, (unsigned long long)b.offset, (unsigned long long)b.step);
        }
        if (b.flush_every != 0 && !b.quiet) {
            printf("Sending flush every %llu requests\n", (unsigned long long)b.flush_every);
        }
        run(&b);
        if (b.error != 0 || b.begun != b.count) {
            error_set_errno(&err, b.error != 0 ? -b.error : ENOMEM, "%s", argv[optind]);
        }
    }
    image_unref(b.img);
    return err != NULL ? img_fail(err) : 0;
}
