/*
 * Pieces of guest RAM in files: see ram-back.h.
 */
#include "bus/ram-back.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/memory.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

typedef struct Back {
    uint64_t offset, size;
    int fd;
    bool shared;
} Back;

static Back backs[RAM_BACKS]; /* constant once the board is there */
static unsigned back_count;

bool ram_back(uint64_t offset, uint64_t size, int fd, bool shared, Error **errp)
{
    void *p = MAP_FAILED;

    errno = ENOSPC;
    if (back_count < RAM_BACKS && offset <= ram_size() && size <= ram_size() - offset) {
        p = mmap(ram_host() + offset, size, PROT_READ | PROT_WRITE,
                 (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED | MAP_NORESERVE, fd, 0);
    }
    if (p == MAP_FAILED) {
        error_set_errno(errp, errno, "cannot map guest memory");
        close(fd);
        return false;
    }
    madvise(p, size, MADV_DONTDUMP); /* a wish */
    backs[back_count++] = (Back){ offset, size, fd, shared };
    return true;
}

bool ram_fill(uint64_t offset, uint64_t size, Error **errp)
{
    if (madvise(ram_host() + offset, size, MADV_POPULATE_WRITE) == 0) {
        return true;
    }
    error_set_errno(errp, errno, "preallocating memory failed");
    return false;
}

int ram_backing(uint64_t offset, uint64_t *place, uint64_t *end)
{
    *place = offset;
    *end = ram_total();
    for (unsigned n = 0; n < back_count; n++) {
        const Back *b = &backs[n];

        if (offset >= b->offset && offset - b->offset < b->size) {
            *place = offset - b->offset;
            *end = b->offset + b->size;
            return b->shared ? b->fd : -1;
        }
        if (b->offset > offset) {
            *end = MIN(*end, b->offset);
        }
    }
    return ram_fd();
}

static bool punch_piece(uint64_t offset, uint64_t len, int fd, uint64_t place)
{
    if (fd >= 0) {
        return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)place, (off_t)len) == 0;
    }
    return false; /* what the file has would come back */
}

bool ram_punch(uint64_t offset, uint64_t len)
{
    bool done = true;

    while (len > 0) {
        uint64_t place, end, n;
        int fd = ram_backing(offset, &place, &end);

        n = MIN(len, end - offset);
        if (!punch_piece(offset, n, fd, place)) {
            done = false;
        }
        offset += n;
        len -= n;
    }
    return done;
}

void ram_back_fini(void)
{
    while (back_count > 0) {
        close(backs[--back_count].fd);
    }
}
