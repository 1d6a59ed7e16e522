/* A fuzzer's input as a program: values are taken from its front; behind its end are zeros. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include "base/mem.h"

typedef struct Input {
    const uint8_t *p;
    size_t left;
} Input;

/* take - a little-endian number of @n bytes, at most 8. */
static inline uint64_t take(Input *in, unsigned n)
{
    uint64_t v = 0;

    n = (unsigned)MIN(n, in->left);
    memcpy(&v, in->p, n);
    in->p += n;
    in->left -= n;
    return v;
}

#endif
