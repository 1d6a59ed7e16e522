/*
 * Allocation: the x-functions abort when the host has no memory, try_alloc0() reports it.
 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static void *must(void *p)
{
    if (p == NULL) {
        static const char text[] = "doppel: the host is out of memory\n";
        fputs(text, stderr);
        abort();
    }
    return p;
}

void *try_alloc0(size_t n, size_t size)
{
    /* calloc() itself refuses a product that overflows; it may return NULL for nothing at all */
    return n == 0 || size == 0 ? calloc(1, 1) : calloc(n, size);
}

void *xalloc0(size_t n, size_t size)
{
    return must(try_alloc0(n, size));
}

void *xalloc_pages(size_t size)
{
    size_t whole = (size + 4095) & ~(size_t)4095;
    void *p = must(whole < size ? NULL : aligned_alloc(4096, whole));

    return memset(p, 0, whole);
}

void *xrealloc(void *p, size_t n, size_t size)
{
    return must(n == 0 || size == 0 ? realloc(p, 1) : reallocarray(p, n, size));
}

char *xstrdup(const char *s)
{
    return s == NULL ? NULL : must(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
    return must(strndup(s, n));
}

char *xvasprintf(const char *fmt, va_list ap)
{
    char *s = NULL;

    return vasprintf(&s, fmt, ap) < 0 ? must(NULL) : s;
}

char *xasprintf(const char *fmt, ...)
{
    va_list ap;
    char *s;

    va_start(ap, fmt);
    s = xvasprintf(fmt, ap);
    va_end(ap);
    return s;
}

void autofree_fn(void *p)
{
    free(*(void **)p);
}

enum { HUGE_PAGE = 2 << 20 };

void *mem_large(size_t size)
{
    void *p = NULL;

    must(posix_memalign(&p, HUGE_PAGE, size) == 0 ? p : NULL);
    madvise(p, size, MADV_HUGEPAGE); /* advice: without them it is memory all the same */
    return p;
}
