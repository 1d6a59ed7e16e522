/*
 * Random byte strings for the decoder's tests.
 */
#include "tests/cpu/decode-gen.h"

#include <stdlib.h>
#include "tests/cpu/diff.h"

static uint64_t rng_state;

static uint64_t rnd(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state * 0x2545f4914f6cdd1dull;
}

void decode_random_seed(unsigned bits)
{
    const char *s = getenv("DECODE_SEED");

    rng_state = 0x9e3779b97f4a7c15ull * bits + (s ? strtoull(s, NULL, 0) : 1);
}

uint64_t decode_random_count(void)
{
    const char *s = getenv("DECODE_COUNT");

    return s ? strtoull(s, NULL, 0) : SANITIZED ? 340000 : 3400000;
}

void decode_random(uint8_t *p, unsigned bits)
{
    static const uint8_t prefixes[] = { 0x66, 0xf2, 0xf3, 0x66, 0xf2, 0xf3, 0x67, 0xf0,
                                        0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65 };
    unsigned n = 0, prefix_count = rnd() % 8 == 0 ? rnd() % 4 : rnd() % 3 == 0;
    unsigned kind = rnd() % 16;

    for (unsigned k = 0; k < 16; k++) {
        p[k] = (uint8_t)rnd();
    }
    while (n < prefix_count) {
        p[n++] = prefixes[rnd() % sizeof(prefixes)];
    }
    if (kind >= 11) {
        n = rnd() % 32 ? 0 : n;
        p[n] = rnd() & 1 ? 0xc5 : 0xc4;
        if (p[n] == 0xc4) {
            p[n + 1] = (uint8_t)((p[n + 1] & 0xe0) | (rnd() % 16 ? 1 + rnd() % 3 : rnd() % 32));
        }
        if (bits != 64) {
            p[n + 1] |= 0xc0;
        }
        if (rnd() & 1) {
            p[n + (p[n] == 0xc4 ? 2 : 1)] |= 0x78; /* vvvv = 1111 */
        }
        return;
    }
    if (bits == 64 && rnd() % 3 == 0) {
        p[n++] = 0x40 | (rnd() & 15);
    }
    if (kind >= 4) {
        p[n++] = 0x0f;
        if (kind >= 9) {
            p[n++] = kind == 9 ? 0x38 : 0x3a;
        }
    }
}
