/*
 * The commands of doppel-io. See io.h.
 */
#include "img/io/io.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "block/qcow2.h"

#define REQUEST_MAX (1u << 30)

/* ---- transfers ---- */

typedef struct Transfer {
    const char *name; /* of the operation, and its past: "wrote" */
    const char *past;
    bool quiet, machine, verbose, zero, unmap, fua, compressed, check;
    int pattern; /* -1: none was given */
    int64_t check_from, check_len;
    const char *source;
    int64_t offset, len, count;
    struct timespec begun;
} Transfer;

static double seconds_since(const struct timespec *t)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - t->tv_sec) + (double)(now.tv_nsec - t->tv_nsec) / 1e9;
}

static void print_done(const Transfer *t)
{
    double s = seconds_since(&t->begun), per = s > 0 ? 1 / s : 0;
    char len[32], rate[32];

    if (t->quiet) {
        return;
    }
    if (t->machine) {
        printf("%" PRId64 ",1,0:00:%05.2f,%.3f,%.3f\n", t->len, s, (double)t->len * per, per);
        return;
    }
    printf("%s %" PRId64 "/%" PRId64 " bytes at offset %" PRId64 "\n%s, 1 ops; %05.2f sec (%s/sec and %.4f ops/sec)\n",
           t->past, t->len, t->len, t->offset, io_human((double)t->len, len), s, io_human((double)t->len * per, rate), per);
}

static void print_bytes(const uint8_t *p, int64_t offset, int64_t len)
{
    for (int64_t n = 0; n < len; n += 16) {
        int64_t end = MIN(len, n + 16);

        printf("%08" PRIx64 ":  ", (uint64_t)(offset + n));
        for (int64_t k = n; k < end; k++) {
            printf("%02x ", p[k]);
        }
        printf(" ");
        for (int64_t k = n; k < end; k++) {
            putchar(p[k] > 32 && p[k] < 127 ? p[k] : '.');
        }
        printf("\n");
    }
}

/* take_options - of @letters; false when there is another. optind is behind them. */
static bool take_options(Transfer *t, int argc, char **argv, const char *letters)
{
    bool reading = strcmp(t->past, "read") == 0;
    int c;

    optind = 0;
    t->pattern = -1;
    t->check_len = -1;
    while ((c = getopt(argc, argv, letters)) != -1) {
        switch (c) {
        case 'C': t->machine = true; break;
        case 'q': t->quiet = true; break;
        case 'v': t->verbose = true; break;
        case 'z': t->zero = true; break;
        case 'u': t->unmap = true; break;
        case 'f': t->fua = true; break;
        case 'c': t->compressed = true; break;
        case 'P':
            t->pattern = (int)io_number(optarg) & 0xff;
            break;
        case 'l': t->check_len = io_number(optarg); break;
        case 's':
            if (reading) {
                t->check_from = io_number(optarg);
            } else {
                t->source = optarg;
            }
            break;
        case 'b': case 'n': /* the state of a machine; zeros only where they are quick */
            printf("-%c is not supported yet\n", c);
            return false;
        case 'a': case 'i': case 'p': case 'r': break; /* other ways to the same */
        default: return false;
        }
    }
    if (t->unmap && !t->zero) {
        printf("-u requires -z to be specified\n");
        return false;
    }
    return t->check_from >= 0;
}

/* take_range - the offset and one length, or several that add up. */
static bool take_range(Transfer *t, int argc, char **argv, bool many)
{
    t->offset = argc - optind >= 2 ? io_number(argv[optind]) : -1;
    if (t->offset < 0) {
        return false;
    }
    for (int n = optind + 1; n < (many ? argc : optind + 2); n++) {
        int64_t len = io_number(argv[n]);

        if (len < 0) {
            return false;
        }
        t->len += len;
        if (t->len > REQUEST_MAX && !t->zero) {
            printf("length cannot exceed %u, given %s\n", REQUEST_MAX, argv[n]);
            return false;
        }
    }
    return true;
}

static bool in_bounds(const IoState *s, const Transfer *t)
{
    return (uint64_t)t->offset <= s->img->size && (uint64_t)t->len <= s->img->size - (uint64_t)t->offset;
}

static int failed(const Transfer *t, int r)
{
    printf("%s failed: %s\n", t->name, strerror(-r));
    return r;
}

static uint8_t *buffer_new(const IoState *s, int64_t len, void **base)
{
    if (posix_memalign(base, 4096, (size_t)len + 8192) != 0) {
        *base = NULL;
        return NULL;
    }
    return (uint8_t *)*base + (s->misaligned ? 3 : 0);
}

/* verify - the part that -s and -l name holds nothing but the pattern. */
static int verify(const Transfer *t, const uint8_t *buf)
{
    int64_t from = MIN(t->check_from, t->len), len = t->check_len >= 0 ? t->check_len : t->len - from;

    len = MIN(len, t->len - from);
    for (int64_t n = 0; n < len; n++) {
        if (buf[from + n] != t->pattern) {
            printf("Pattern verification failed at offset %" PRId64 ", %" PRId64 " bytes\n", t->offset + from, len);
            return -EINVAL;
        }
    }
    return 0;
}

static int do_read(IoState *s, int argc, char **argv, const char *letters, bool many)
{
    Transfer t = { .name = "read", .past = "read" };
    void *base = NULL;
    uint8_t *buf;
    int r, bad = 0;

    if (!take_options(&t, argc, argv, letters) || !take_range(&t, argc, argv, many)) {
        return -EINVAL;
    }
    buf = buffer_new(s, t.len, &base);
    if (buf == NULL) {
        return failed(&t, -ENOMEM);
    }
    memset(buf, 0xab, (size_t)t.len);
    clock_gettime(CLOCK_MONOTONIC, &t.begun);
    r = in_bounds(s, &t) ? image_read(s->img, (uint64_t)t.offset, buf, (uint32_t)t.len) : -EIO;
    if (r != 0) {
        failed(&t, r);
    } else {
        bad = t.pattern >= 0 ? verify(&t, buf) : 0;
        if (t.verbose && !t.quiet) {
            print_bytes(buf, t.offset, t.len);
        }
        print_done(&t);
    }
    free(base);
    return r != 0 ? r : bad;
}

static int cmd_read(IoState *s, int argc, char **argv)
{
    return do_read(s, argc, argv, "abCil:pP:qrs:v", false);
}

static int cmd_readv(IoState *s, int argc, char **argv)
{
    return do_read(s, argc, argv, "CiqrvP:", true);
}

/* fill - with what is to be written: the pattern, or a file again and again. */
static int fill(const Transfer *t, uint8_t *buf)
{
    FILE *f = t->source != NULL ? fopen(t->source, "re") : NULL;
    size_t n;

    memset(buf, t->pattern >= 0 ? t->pattern : 0xcd, (size_t)t->len);
    if (t->source == NULL) {
        return 0;
    }
    n = f != NULL ? fread(buf, 1, (size_t)t->len, f) : 0;
    if (f != NULL) {
        fclose(f);
    }
    if (n == 0) {
        printf("%s: %s\n", t->source, f == NULL ? strerror(errno) : "empty");
        return -EINVAL;
    }
    for (size_t k = n; k < (size_t)t->len; k++) {
        buf[k] = buf[k - n];
    }
    return 0;
}

static int write_compressed(BlockImage *img, const Transfer *t, const uint8_t *buf)
{
    Qcow2Packer *p = qcow2_packer_new();
    const Qcow2 *q = img->priv;
    uint8_t *out;
    uint32_t len;
    int r;

    if (img->fmt != &qcow2_format || t->len != q->cluster_size) {
        qcow2_packer_free(p);
        return img->fmt != &qcow2_format ? -ENOTSUP : -EINVAL;
    }
    out = xnewn(uint8_t, q->cluster_size);
    r = qcow2_compress(q, p, buf, out, &len);
    r = r == 0 ? qcow2_write_compressed(img, (uint64_t)t->offset, out, len)
        : r == -ENOSPC ? image_write(img, (uint64_t)t->offset, buf, (uint32_t)t->len) : r;
    free(out);
    qcow2_packer_free(p);
    return r;
}

static int write_it(IoState *s, const Transfer *t)
{
    void *base = NULL;
    uint8_t *buf;
    int r;

    if (!in_bounds(s, t)) {
        return -EIO;
    }
    if (t->zero) {
        return t->unmap ? image_zero(s->img, (uint64_t)t->offset, (uint64_t)t->len)
                        : image_zero_keep(s->img, (uint64_t)t->offset, (uint64_t)t->len);
    }
    buf = buffer_new(s, t->len, &base);
    r = buf == NULL ? -ENOMEM : fill(t, buf);
    if (r == 0) {
        r = t->compressed ? write_compressed(s->img, t, buf)
                          : image_write(s->img, (uint64_t)t->offset, buf, (uint32_t)t->len);
    }
    free(base);
    return r;
}

static int do_write(IoState *s, int argc, char **argv, const char *letters, bool many)
{
    Transfer t = { .name = "write", .past = "wrote" };
    int r;

    if (!take_options(&t, argc, argv, letters) || !take_range(&t, argc, argv, many)) {
        return -EINVAL;
    }
    if (s->img->read_only) {
        report("Block node is read-only");
        return -EROFS;
    }
    clock_gettime(CLOCK_MONOTONIC, &t.begun);
    r = write_it(s, &t);
    r = r == 0 && t.fua ? image_flush(s->img) : r;
    if (r != 0) {
        return failed(&t, r);
    }
    print_done(&t);
    return 0;
}

static int cmd_write(IoState *s, int argc, char **argv)
{
    return do_write(s, argc, argv, "bcCfinpP:qs:uz", false);
}

static int cmd_writev(IoState *s, int argc, char **argv)
{
    return do_write(s, argc, argv, "CfiqP:uz", true);
}

static int cmd_aio_flush(IoState *s, int argc, char **argv)
{
    return 0; /* each was done when it was asked for */
}

static int cmd_discard(IoState *s, int argc, char **argv)
{
    Transfer t = { .name = "discard", .past = "discard", .zero = true };
    int r;

    if (!take_options(&t, argc, argv, "Cq") || !take_range(&t, argc, argv, false)) {
        return -EINVAL;
    }
    clock_gettime(CLOCK_MONOTONIC, &t.begun);
    r = in_bounds(s, &t) ? image_discard(s->img, (uint64_t)t.offset, (uint64_t)t.len) : -EIO;
    if (r != 0) {
        return failed(&t, r);
    }
    print_done(&t);
    return 0;
}

/* ---- the image ---- */

static int cmd_flush(IoState *s, int argc, char **argv)
{
    return image_flush(s->img);
}

static int cmd_length(IoState *s, int argc, char **argv)
{
    char buf[32];

    printf("%s\n", io_human((double)s->img->size, buf));
    return 0;
}

static int cmd_truncate(IoState *s, int argc, char **argv)
{
    int64_t size = io_number(argv[1]);
    int r = size < 0 ? -EINVAL : image_truncate(s->img, ((uint64_t)size + 511) & ~511ull);

    if (r != 0 && size >= 0) {
        printf("truncate: %s\n", strerror(-r));
    }
    return r;
}

static int cmd_info(IoState *s, int argc, char **argv)
{
    const Qcow2 *q = s->img->fmt == &qcow2_format ? s->img->priv : NULL;
    char buf[32];

    printf("format name: %s\n", s->img->format);
    if (q != NULL) {
        printf("cluster size: %s\n", io_human(q->cluster_size, buf));
        printf("Format specific information:\n    compat: %s\n    compression type: %s\n    refcount bits: %u\n",
               q->version >= 3 ? "1.1" : "0.10", q->compression == 1 ? "zstd" : "zlib", 1u << q->refcount_order);
    }
    return 0;
}

/* allocated_at - how far what the chain holds at @at goes on alike. */
static int allocated_at(BlockImage *img, uint64_t at, bool *yes, uint64_t *len)
{
    ImageRange r;
    int ret = 0;

    *len = 0;
    while (at + *len < img->size && ret == 0) {
        bool here;

        ret = image_status(img, at + *len, img->size - at - *len, false, &r);
        here = r.flags & IMAGE_ALLOCATED;
        if (ret == 0 && *len != 0 && here != *yes) {
            break;
        }
        *yes = here;
        *len += ret == 0 ? r.len : 0;
    }
    return ret;
}

static int cmd_map(IoState *s, int argc, char **argv)
{
    uint64_t len;

    for (uint64_t at = 0; at < s->img->size; at += len) {
        char a[32], b[32];
        bool yes;
        int r = allocated_at(s->img, at, &yes, &len);

        if (r != 0) {
            printf("Failed to query allocation status: %s\n", strerror(-r));
            return r;
        }
        printf("%s (0x%" PRIx64 ") bytes %s at offset %s (0x%" PRIx64 ")\n", io_human((double)len, a), len,
               yes ? "    allocated" : "not allocated", io_human((double)at, b), at);
    }
    return 0;
}

static int cmd_alloc(IoState *s, int argc, char **argv)
{
    int64_t at = io_number(argv[1]), count = argc > 2 ? io_number(argv[2]) : 512;
    uint64_t sum = 0, len;
    char buf[32];

    if (at < 0 || count < 0) {
        return -EINVAL;
    }
    for (uint64_t n = 0; n < (uint64_t)count && (uint64_t)at + n < s->img->size; n += len) {
        bool yes;
        int r = allocated_at(s->img, (uint64_t)at + n, &yes, &len);

        if (r != 0) {
            return r;
        }
        len = MIN(len, (uint64_t)count - n);
        sum += yes ? len : 0;
    }
    printf("%" PRIu64 "/%" PRId64 " bytes allocated at offset %s\n", sum, count, io_human((double)at, buf));
    return 0;
}

static int cmd_open(IoState *s, int argc, char **argv)
{
    unsigned flags = 0;
    int c;

    optind = 0;
    while ((c = getopt(argc, argv, "rnU")) != -1) {
        switch (c) {
        case 'r': flags |= IMAGE_READ_ONLY; break;
        case 'n': flags |= IMAGE_DIRECT; break;
        case 'U': flags |= IMAGE_FORCE_SHARE; break;
        default: return -EINVAL;
        }
    }
    return argc - optind == 1 && io_open(s, argv[optind], flags, BLK_WRITEBACK) ? 0 : -EINVAL;
}

static int cmd_close(IoState *s, int argc, char **argv)
{
    int r = image_flush(s->img);

    image_unref(s->img);
    s->img = NULL;
    return r;
}

static int cmd_sleep(IoState *s, int argc, char **argv)
{
    int64_t ms = io_number(argv[1]);

    if (ms < 0) {
        return -EINVAL;
    }
    fflush(stdout);
    usleep((useconds_t)MIN(ms, 1000000) * 1000);
    return 0;
}

static int cmd_abort(IoState *s, int argc, char **argv)
{
    fflush(stdout);
    abort(); /* what it is for: a program that crashes */
}

static int cmd_quit(IoState *s, int argc, char **argv)
{
    s->quit = true;
    return 0;
}

const IoCommand io_commands[] = {
    { "abort", "", "simulate a program crash using abort(3)", 0, 0, true, cmd_abort },
    { "aio_flush", "", "completes all outstanding aio requests", 0, 0, false, cmd_aio_flush },
    { "aio_read", "[-Ciqv] [-P pattern] off len [len..]", "asynchronously reads a number of bytes", 2, -1, false, cmd_readv },
    { "aio_write", "[-Cfiquz] [-P pattern] off len [len..]", "asynchronously writes a number of bytes", 2, -1, false,
      cmd_writev },
    { "alloc", "offset [count]", "checks if offset is allocated in the file", 1, 2, false, cmd_alloc },
    { "close", "", "close the current open file", 0, 0, false, cmd_close },
    { "discard", "[-Cq] off len", "discards a number of bytes at a specified offset", 2, -1, false, cmd_discard },
    { "flush", "", "flush all in-core file state to disk", 0, 0, false, cmd_flush },
    { "info", "", "prints information about the current file", 0, 0, false, cmd_info },
    { "length", "", "gets the length of the current file", 0, 0, false, cmd_length },
    { "map", "", "prints the allocated areas of a file", 0, 0, false, cmd_map },
    { "open", "[-rnU] path", "open the file specified by path", 1, -1, true, cmd_open },
    { "quit", "", "exit the program", 0, 0, true, cmd_quit },
    { "read", "[-aCqv] [-P pattern [-s off] [-l len]] off len", "reads a number of bytes at a specified offset", 2, -1,
      false, cmd_read },
    { "readv", "[-Cqv] [-P pattern] off len [len..]", "reads a number of bytes at a specified offset", 2, -1, false,
      cmd_readv },
    { "sleep", "ms", "waits for the given value in milliseconds", 1, 1, true, cmd_sleep },
    { "truncate", "off", "truncates the current file at the given offset", 1, 1, false, cmd_truncate },
    { "write", "[-cCfquz] [-P pattern | -s source_file] off len", "writes a number of bytes at a specified offset", 2,
      -1, false, cmd_write },
    { "writev", "[-Cfq] [-P pattern] off len [len..]", "writes a number of bytes at a specified offset", 2, -1, false,
      cmd_writev },
    { NULL },
};
