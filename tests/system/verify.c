/*
 * A disk's verifier, run inside guests: blocks that carry their number, their generation and a checksum are written and
 * read at random past the page cache, one or many at a time, flushed now and then, and all read at the end.
 *
 *   verify run DEVICE BLOCKS OPERATIONS DEPTH SEED FLUSH_EVERY
 *   verify check FILE BLOCKS OPERATIONS DEPTH SEED FLUSH_EVERY    - on the host: what `run` must have left
 *
 * What is done is a function of the seed alone: an operation that meets blocks that are busy waits for them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BLOCK = 4096, RUN_MAX = 16, DEPTH_MAX = 64, WORDS = BLOCK / 8 };
#define MAGIC 0x626c6f636b303176ull

typedef struct Op {
    struct iocb cb; /* first member */
    uint64_t *buf;
    unsigned first, count;
    int write, busy;
} Op;

static unsigned blocks, depth;
static uint64_t seed, state, *generation;
static unsigned char *busy;
static int fd;
static aio_context_t aio;
static Op ops[DEPTH_MAX];
static unsigned under_way;

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    return x ^ x >> 33;
}

static uint64_t next(void)
{
    state += 0x9e3779b97f4a7c15ull;
    return mix(state);
}

static void bad(const char *what, unsigned block, uint64_t want, uint64_t got)
{
    printf("VERIFY BAD %s block %u want %llx got %llx errno %d\n", what, block, (unsigned long long)want,
           (unsigned long long)got, errno);
    exit(1);
}

static void fill(uint64_t *b, unsigned block, uint64_t gen)
{
    uint64_t x = seed ^ mix(block * 0x10001ull + gen), sum = 0;

    b[0] = MAGIC;
    b[1] = block;
    b[2] = gen;
    for (unsigned n = 3; n < WORDS - 1; n++) {
        x += 0x9e3779b97f4a7c15ull;
        b[n] = x ^ x >> 29;
    }
    for (unsigned n = 0; n < WORDS - 1; n++) {
        sum = (sum ^ b[n]) * 0x100000001b3ull;
    }
    b[WORDS - 1] = sum;
}

static void check(const uint64_t *b, unsigned block, uint64_t gen)
{
    static uint64_t want[WORDS];

    if (gen == 0) { /* never written */
        memset(want, 0, sizeof(want));
    } else {
        fill(want, block, gen);
    }
    for (unsigned n = 0; n < WORDS; n++) {
        if (b[n] != want[n]) {
            printf("word %u of generation %llu, is of block %llu generation %llu\n", n, (unsigned long long)gen,
                   (unsigned long long)b[1], (unsigned long long)b[2]);
            bad("data", block, want[n], b[n]);
        }
    }
}

static void ended(Op *op, long long res)
{
    if (res != (long long)op->count * BLOCK) {
        errno = res < 0 ? (int)-res : 0;
        bad(op->write ? "write" : "read", op->first, op->count * BLOCK, (uint64_t)res);
    }
    for (unsigned n = 0; n < op->count; n++) {
        if (!op->write) {
            check(op->buf + n * WORDS, op->first + n, generation[op->first + n]);
        }
        busy[op->first + n] = 0;
    }
    op->busy = 0;
    under_way--;
}

static void wait_some(void)
{
    struct io_event e[DEPTH_MAX];
    long n = syscall(SYS_io_getevents, aio, 1L, (long)DEPTH_MAX, e, NULL);

    if (n < 1) {
        bad("io_getevents", 0, 1, (uint64_t)n);
    }
    for (long i = 0; i < n; i++) {
        ended((Op *)(uintptr_t)e[i].data, e[i].res);
    }
}

static int blocked(unsigned first, unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        if (busy[first + n]) {
            return 1;
        }
    }
    return 0;
}

static void start(Op *op)
{
    struct iocb *list = &op->cb;

    memset(busy + op->first, 1, op->count);
    op->busy = 1;
    under_way++;
    if (depth == 1) {
        off_t at = (off_t)op->first * BLOCK;

        ended(op, op->write ? pwrite(fd, op->buf, op->count * BLOCK, at) : pread(fd, op->buf, op->count * BLOCK, at));
        return;
    }
    memset(&op->cb, 0, sizeof(op->cb));
    op->cb.aio_data = (uintptr_t)op;
    op->cb.aio_lio_opcode = op->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
    op->cb.aio_fildes = (unsigned)fd;
    op->cb.aio_buf = (uintptr_t)op->buf;
    op->cb.aio_nbytes = op->count * BLOCK;
    op->cb.aio_offset = (long long)op->first * BLOCK;
    if (syscall(SYS_io_submit, aio, 1L, &list) != 1) {
        bad("io_submit", op->first, 1, 0);
    }
}

static void flush(void)
{
    if (fdatasync(fd) != 0) {
        bad("flush", 0, 0, 0);
    }
}

/* work - the operations; @real: do them, else only keep the books. */
static void work(unsigned long count, unsigned long flush_every, int real)
{
    for (unsigned long n = 1; n <= count; n++) {
        uint64_t r = next();
        unsigned run = 1 + (unsigned)(r >> 8) % RUN_MAX, first = (unsigned)((r >> 16) % (blocks - run + 1));
        int write = (r & 3) != 0;
        Op *op = ops;

        while (real && blocked(first, run)) {
            wait_some();
        }
        for (unsigned i = 0; write && i < run; i++) {
            generation[first + i]++;
        }
        if (!real) {
            continue;
        }
        if (under_way == depth) {
            wait_some();
        }
        while (op->busy) {
            op++;
        }
        op->first = first;
        op->count = run;
        op->write = write;
        for (unsigned i = 0; write && i < run; i++) {
            fill(op->buf + i * WORDS, first + i, generation[first + i]);
        }
        start(op);
        if (n % flush_every == 0) {
            flush();
        }
    }
    while (under_way > 0) {
        wait_some();
    }
}

static void check_all(void)
{
    for (unsigned b = 0; b < blocks; b++) {
        if (pread(fd, ops[0].buf, BLOCK, (off_t)b * BLOCK) != BLOCK) {
            bad("last read", b, BLOCK, 0);
        }
        check(ops[0].buf, b, generation[b]);
    }
}

int main(int argc, char **argv)
{
    int real = argc == 8 && strcmp(argv[1], "run") == 0;

    if (argc != 8) {
        fprintf(stderr, "usage: verify run|check FILE BLOCKS OPERATIONS DEPTH SEED FLUSH_EVERY\n");
        return 2;
    }
    blocks = (unsigned)atoi(argv[3]);
    depth = (unsigned)atoi(argv[5]);
    state = seed = strtoull(argv[6], NULL, 0);
    generation = calloc(blocks, sizeof(*generation));
    busy = calloc(blocks, 1);
    fd = open(argv[2], real ? O_RDWR | O_DIRECT : O_RDONLY);
    if (fd < 0 || blocks < RUN_MAX || depth < 1 || depth > DEPTH_MAX || generation == NULL || busy == NULL ||
        syscall(SYS_io_setup, DEPTH_MAX, &aio) != 0) {
        bad("begin", 0, 0, 0);
    }
    for (unsigned n = 0; n < depth; n++) {
        if (posix_memalign((void **)&ops[n].buf, BLOCK, RUN_MAX * BLOCK) != 0) {
            bad("memory", 0, 0, 0);
        }
    }
    work(strtoul(argv[4], NULL, 0), strtoul(argv[7], NULL, 0), real);
    if (real) {
        flush();
    }
    check_all();
    printf("VERIFY OK\n");
    return 0;
}
