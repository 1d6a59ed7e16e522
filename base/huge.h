/*
 * Huge pages: memory that is in use all the time costs fewer misses of the host's own TLB in them. All of
 * it is a wish; a host that does not grant it is only slower.
 */
#ifndef BASE_HUGE_H
#define BASE_HUGE_H

#include <stdbool.h>
#include <stddef.h>

#define HUGE_BYTES ((size_t)2 << 20)

/* huge_map - mmap() at a multiple of HUGE_BYTES that the kernel chooses. NULL and errno when it fails. */
void *huge_map(size_t n, int prot, int flags, int fd);
/* huge_alloc0 - zeroed memory for a large structure, for free(); aborts when there is none. */
void *huge_alloc0(size_t n);
/* huge_low - false: nothing goes below 2 GiB; for tests that give the host a guest's addresses. */
extern bool huge_low;
/* huge_alloc_low - the same for huge_free(), below 2 GiB, where an address is a displacement of code; elsewhere if there
 * is no room. Aborts when there is none at all. huge_try_low - NULL then. huge_free - @n as it was; @p may be NULL. */
void *huge_alloc_low(size_t n);
void *huge_try_low(size_t n);
void huge_free(void *p, size_t n);
/* huge_collapse - what lies in [@p, @p + @n), multiples of HUGE_BYTES, moves to huge pages now; also in a
 * shared mapping, where the kernel would not do it by itself. Takes about half a millisecond each. */
void huge_collapse(void *p, size_t n);

#endif
