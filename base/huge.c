/*
 * Huge pages. Source: madvise(2), "MADV_COLLAPSE" (Linux 6.1).
 */
#include "base/huge.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "base/mem.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

void *huge_map(size_t n, int prot, int flags, int fd)
{
    uint8_t *all = mmap(NULL, n + HUGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t before = (HUGE_BYTES - (uintptr_t)all % HUGE_BYTES) % HUGE_BYTES;
    void *p;

    if (all == MAP_FAILED) {
        return NULL;
    }
    p = mmap(all + before, n, prot, flags | MAP_FIXED, fd, 0);
    if (p == MAP_FAILED) {
        int err = errno;

        munmap(all, n + HUGE_BYTES);
        errno = err;
        return NULL;
    }
    if (before != 0) {
        munmap(all, before);
    }
    n = (n + 4095) & ~(size_t)4095;
    munmap(all + before + n, HUGE_BYTES - before);
    return p;
}

void *huge_alloc0(size_t n)
{
    void *p;

    n = (n + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
    p = aligned_alloc(HUGE_BYTES, n);
    if (p == NULL) {
        p = xalloc0(1, n); /* says so */
    }
    madvise(p, n, MADV_HUGEPAGE);
    memset(p, 0, n);
    return p;
}

void huge_collapse(void *p, size_t n)
{
    int err = errno;

    madvise(p, n, MADV_COLLAPSE);
    errno = err;
}
