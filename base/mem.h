/*
 * Memory of the process: allocation that aborts when the host has none, allocation that may fail
 * (for every size that a guest or an image names), and little-endian accessors for guest layouts.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

void *xalloc0(size_t n, size_t size);          /* zeroed; aborts when there is no memory */
void *xrealloc(void *p, size_t n, size_t size); /* aborts likewise, and on n * size overflow */
void *xalloc_pages(size_t size);                /* zeroed, at a multiple of 4096; freed by free(); aborts likewise */
char *xstrdup(const char *s);                   /* NULL gives NULL */
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
void *try_alloc0(size_t n, size_t size);       /* NULL when there is no memory or on overflow */

/* mem_large - @size bytes for data in bulk, undefined: aligned for direct I/O, and where @size holds 2 MiB on the host's huge
 * pages if it has some, from and to which it copies a quarter faster. Aborts when there is no memory; free() ends it. */
void *mem_large(size_t size);

#define xnew(T) ((T *)xalloc0(1, sizeof(T)))
#define xnewn(T, n) ((T *)xalloc0((n), sizeof(T)))
#define try_newn(T, n) ((T *)try_alloc0((n), sizeof(T)))

#define container_of(ptr, T, member) ((T *)((char *)(ptr) - offsetof(T, member)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (1u << (n))
#define BIT64(n) (1ull << (n))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* mem_is_zero - all @n bytes, of which there may be none, are 0. */
static inline bool mem_is_zero(const void *p, size_t n)
{
    const uint8_t *b = p;

    return n == 0 || (b[0] == 0 && memcmp(b, b + 1, n - 1) == 0);
}

/* Freed at the end of the scope: `autofree char *s = ...`. */
void autofree_fn(void *p);
#define autofree __attribute__((cleanup(autofree_fn)))

#define DEF_LE(bits)                                                                               \
    static inline uint##bits##_t ld_le##bits(const void *p)                                        \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, p, sizeof(v));                                                                  \
        return v; /* the host is x86-64 or another little-endian machine */                        \
    }                                                                                              \
    static inline void st_le##bits(void *p, uint##bits##_t v)                                      \
    {                                                                                              \
        memcpy(p, &v, sizeof(v));                                                                  \
    }
DEF_LE(16)
DEF_LE(32)
DEF_LE(64)
#undef DEF_LE

#endif
