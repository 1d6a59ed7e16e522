/*
 * Huge pages. Source: madvise(2), "MADV_COLLAPSE" (Linux 6.1).
 */
#include "base/huge.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include "base/mem.h"
#ifndef __has_feature /* of clang */
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/lsan_interface.h>
#define SANITIZED
#endif

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

bool huge_low = true;

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

static size_t whole(size_t n)
{
    return (n + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
}

void *huge_alloc0(size_t n)
{
    void *p;

    n = whole(n);
    p = aligned_alloc(HUGE_BYTES, n);
    if (p == NULL) {
        p = xalloc0(1, n); /* says so */
    }
    madvise(p, n, MADV_HUGEPAGE);
    memset(p, 0, n);
    return p;
}

/* What only such memory points to is not leaked. */
static void known_to_sanitizer(const void *p, size_t n, bool here)
{
#ifdef SANITIZED
    (here ? __lsan_register_root_region : __lsan_unregister_root_region)(p, n);
#endif
}

/* At a place that nobody foresees. */
static void *try_low(size_t n)
{
    const uintptr_t first = (uintptr_t)64 << 20, room = ((uintptr_t)1 << 31) - first - n;
    uint32_t r;
    void *at, *p;

    if (getrandom(&r, sizeof(r), 0) != sizeof(r)) {
        return NULL;
    }
    at = (void *)(first + (uintptr_t)r % (room / HUGE_BYTES) * HUGE_BYTES);
    p = mmap(at, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (p != MAP_FAILED && p != at) { /* a kernel that does not know the flag */
        munmap(p, n);
        return NULL;
    }
    return p == MAP_FAILED ? NULL : p;
}

void *huge_try_low(size_t n)
{
    void *p = NULL;

    for (unsigned k = 0; k < 16 && p == NULL && huge_low; k++) {
        p = try_low(whole(n));
    }
    if (p == NULL) {
        p = huge_map(whole(n), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    }
    if (p != NULL) {
        madvise(p, whole(n), MADV_HUGEPAGE);
        known_to_sanitizer(p, whole(n), true);
    }
    return p;
}

void *huge_alloc_low(size_t n)
{
    void *p = huge_try_low(n);

    return p != NULL ? p : xalloc0(SIZE_MAX, 1); /* says so */
}

void huge_free(void *p, size_t n)
{
    if (p != NULL) {
        known_to_sanitizer(p, whole(n), false);
        munmap(p, whole(n));
    }
}

void huge_collapse(void *p, size_t n)
{
    int err = errno;

    madvise(p, n, MADV_COLLAPSE);
    errno = err;
}
