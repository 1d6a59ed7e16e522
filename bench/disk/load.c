/*
 * A disk's load, run inside guests past the page cache.
 *
 *   load DEVICE read|write|sync SIZE COUNT DEPTH MIB [random]
 *
 * COUNT operations of SIZE bytes, DEPTH of them under way at a time, on the first MIB of the device: one after the other from
 * its start, or at random places of their own size. sync: a write, and a flush after each; DEPTH is 1, and DEVICE may be several
 * with commas between, which have each operation in turns: how long it took is printed, so that they can be compared.
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
#include <time.h>
#include <unistd.h>

enum { DEPTH_MAX = 64, DEVICES_MAX = 4 };

static void bad(const char *what)
{
    printf("LOAD BAD %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t next(void)
{
    static uint64_t x = 88172645463325252ull;

    x ^= x << 13;
    x ^= x >> 7;
    return x ^= x << 17;
}

static struct iocb cb[DEPTH_MAX];
static uint64_t size, count, depth, slots;
static int in_a_row = 1;

/* prepare - the operations that are under way at a time. */
static void prepare(int fd, int write)
{
    for (uint64_t n = 0; n < depth; n++) {
        void *buf;

        if (posix_memalign(&buf, 4096, size) != 0) {
            bad("memory");
        }
        memset(buf, (int)n + 1, size);
        cb[n] = (struct iocb){ .aio_data = n, .aio_lio_opcode = write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
                               .aio_fildes = (uint32_t)fd, .aio_buf = (uintptr_t)buf, .aio_nbytes = size };
    }
}

static uint64_t place(uint64_t number)
{
    return (in_a_row ? number % slots : next() % slots) * size;
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* run_synced - one at a time, on stable storage each. */
static void run_synced(const int *fd, unsigned devices)
{
    const void *buf = (const void *)(uintptr_t)cb[0].aio_buf;
    double took[DEVICES_MAX] = { 0 };

    for (uint64_t n = 0; n < count; n++) {
        off_t at = (off_t)place(n);

        for (unsigned k = 0; k < devices; k++) {
            double start = seconds();

            if (pwrite(fd[k], buf, size, at) != (ssize_t)size || fsync(fd[k]) != 0) {
                bad("write or flush");
            }
            took[k] += seconds() - start;
        }
    }
    for (unsigned k = 0; k < devices; k++) {
        printf("LOAD TOOK %u %.6f\n", k, took[k]);
    }
}

static void run(aio_context_t aio)
{
    struct iocb *list[DEPTH_MAX];
    struct io_event done[DEPTH_MAX];
    uint64_t started = 0, ended = 0, fresh = depth < count ? depth : count;

    for (uint64_t n = 0; n < fresh; n++) {
        list[n] = &cb[n];
    }
    while (ended < count) {
        long got;

        for (uint64_t n = 0; n < fresh; n++) {
            list[n]->aio_offset = (int64_t)place(started + n);
        }
        if (fresh > 0 && syscall(SYS_io_submit, aio, (long)fresh, list) != (long)fresh) {
            bad("io_submit");
        }
        started += fresh;
        got = syscall(SYS_io_getevents, aio, 1L, (long)DEPTH_MAX, done, NULL);
        if (got < 1) {
            bad("io_getevents");
        }
        fresh = 0;
        for (long n = 0; n < got; n++) {
            if (done[n].res != (long long)size) {
                errno = done[n].res < 0 ? (int)-done[n].res : EIO;
                bad("operation");
            }
            if (started + fresh < count) {
                list[fresh++] = &cb[done[n].data];
            }
        }
        ended += (uint64_t)got;
    }
}

int main(int argc, char **argv)
{
    aio_context_t aio = 0;
    int fd[DEVICES_MAX], write, synced;
    unsigned devices = 0;

    if (argc < 7) {
        errno = EINVAL;
        bad("arguments");
    }
    synced = strcmp(argv[2], "sync") == 0;
    write = synced || strcmp(argv[2], "write") == 0;
    size = strtoull(argv[3], NULL, 0);
    count = strtoull(argv[4], NULL, 0);
    depth = strtoull(argv[5], NULL, 0);
    slots = size != 0 ? (strtoull(argv[6], NULL, 0) << 20) / size : 0;
    in_a_row = argc == 7;
    for (char *s = strtok(argv[1], ","); s != NULL; s = strtok(NULL, ",")) {
        if (devices == (synced ? DEVICES_MAX : 1u)) {
            errno = EINVAL;
            bad("too many devices");
        }
        fd[devices] = open(s, (write ? O_WRONLY : O_RDONLY) | O_DIRECT);
        if (fd[devices++] < 0) {
            bad(s);
        }
    }
    if (devices == 0 || depth < 1 || depth > (synced ? 1 : DEPTH_MAX) || slots == 0 || syscall(SYS_io_setup, DEPTH_MAX, &aio) != 0) {
        bad("arguments");
    }
    prepare(fd[0], write);
    if (synced) {
        run_synced(fd, devices);
    } else {
        run(aio);
    }
    puts("LOAD OK");
    return 0;
}
