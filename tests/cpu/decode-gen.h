/*
 * Random byte strings for the decoder's tests.
 */
#ifndef TESTS_CPU_DECODE_GEN_H
#define TESTS_CPU_DECODE_GEN_H

#include <stdint.h>

/* decode_random_seed - start the sequence of @bits-bit code; DECODE_SEED in the environment: another
 * one. */
void decode_random_seed(unsigned bits);
/* decode_random - 16 bytes that are likely to be an instruction: prefixes, an escape or VEX, then
 * noise. */
void decode_random(uint8_t *p, unsigned bits);
/* decode_random_count - strings a mode: DECODE_COUNT of the environment, or so many that the three
 * modes together have ten millions (a tenth under a sanitizer). */
uint64_t decode_random_count(void);

#endif
