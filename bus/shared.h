/*
 * Access to memory that others read and write at the same time: a guest's RAM, which its processors share. One of 1, 2, 4 or
 * 8 bytes is one access of the host's, so it is whole for everybody where the guest's would be (SDM vol. 3A, "Guaranteed
 * Atomic Operations"); memcpy() with a length that the compiler does not know may store twice, and the second store undo
 * what another processor did in between. Longer ones have no such promise. What races here is the guest's business, so the
 * thread sanitizer does not look.
 */
#ifndef BUS_SHARED_H
#define BUS_SHARED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SANITIZE_THREAD__
#define SHARED_ACCESS __attribute__((noinline, unused, no_sanitize("thread"))) static
#else
#define SHARED_ACCESS static inline
#endif

#define DEF_SHARED(bits)                                                                           \
    typedef uint##bits##_t SharedU##bits __attribute__((aligned(1), may_alias));                   \
    SHARED_ACCESS uint##bits##_t shared_ld##bits(const void *p)                                    \
    {                                                                                              \
        return *(const volatile SharedU##bits *)p;                                                 \
    }                                                                                              \
    SHARED_ACCESS void shared_st##bits(void *p, uint##bits##_t v)                                  \
    {                                                                                              \
        *(volatile SharedU##bits *)p = v;                                                          \
    }
DEF_SHARED(8)
DEF_SHARED(16)
DEF_SHARED(32)
DEF_SHARED(64)
#undef DEF_SHARED

/* shared_copy - @n bytes that do not overlap; one end is shared memory. shared_move - as memmove(). shared_fill - as memset(). */
#ifdef __SANITIZE_THREAD__
SHARED_ACCESS void shared_move(void *dst, const void *src, size_t n)
{
    volatile uint8_t *d = dst;
    const volatile uint8_t *s = src;

    for (size_t k = 0; k < n; k++) {
        size_t at = dst <= src ? k : n - 1 - k;

        d[at] = s[at];
    }
}
SHARED_ACCESS void shared_fill(void *dst, uint8_t v, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        ((volatile uint8_t *)dst)[k] = v;
    }
}
#define shared_long shared_move
#else
#define shared_move memmove
#define shared_fill memset
#define shared_long memcpy
#endif

static inline void shared_copy(void *dst, const void *src, size_t n)
{
    switch (n) {
    case 1:
        shared_st8(dst, shared_ld8(src));
        break;
    case 2:
        shared_st16(dst, shared_ld16(src));
        break;
    case 4:
        shared_st32(dst, shared_ld32(src));
        break;
    case 8:
        shared_st64(dst, shared_ld64(src));
        break;
    default:
        shared_long(dst, src, n);
    }
}

#endif
