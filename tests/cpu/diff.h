/*
 * One instruction on the host and on doppel: what both sides share. The host side knows nothing of
 * cpu/cpu.h, whose register names are also those of <ucontext.h>.
 *
 * Linear memory, the same on both sides:
 *   DIFF_BASE + 0x0000  code, not writable; the instruction stands at DIFF_CODE
 *   DIFF_BASE + 0x4000  two pages of data
 *   DIFF_BASE + 0x6000  nothing
 *   DIFF_BASE + 0x7000  a page of data, and one that is not writable; nothing behind it
 *   DIFF_BASE + 0xa000  a page of data, and one of the supervisor's (on the host: one that is not present)
 *   DIFF_BASE + 0xd000  a page of data, and one of a device that is like memory (on the host: it is memory)
 */
#ifndef TESTS_CPU_DIFF_H
#define TESTS_CPU_DIFF_H

#include <stdbool.h>
#include <stdint.h>
#include "tests/lib/sanitized.h"

#define DIFF_BASE 0x10000000ull
#define DIFF_CODE (DIFF_BASE + 0x800)
#define DIFF_DATA (DIFF_BASE + 0x4000)
#define DIFF_DATA_SIZE 0x2000u
#define DIFF_GS_BASE 0x140ull /* in 64-bit code */

/* Where operands are put: anywhere in the two pages, or by and across the end of a page behind which another one is. */
typedef enum DiffPlace {
    PLACE_ANY,
    PLACE_ACROSS, /* both are memory */
    PLACE_NONE,   /* nothing is behind it */
    PLACE_READ_ONLY,
    PLACE_SUPERVISOR,
    PLACE_DEVICE,
    PLACES
} DiffPlace;

typedef struct DiffPlaceInfo {
    const char *name;
    uint64_t data; /* the first of the two pages */
    uint32_t edge; /* the page's end that operands are put by, from there; 0: none */
} DiffPlaceInfo;
extern const DiffPlaceInfo diff_place[PLACES];

typedef struct DiffState {
    uint64_t gpr[16]; /* by register number */
    uint64_t rip;     /* offset in CS */
    uint64_t rflags;
    uint8_t fx[416] __attribute__((aligned(16))); /* FXSAVE64's image */
    uint8_t ymmh[256];
    /* outcome */
    int vector; /* -1: none */
    uint32_t error;
    uint64_t cr2;
} DiffState;

/* diff_host_init - map the pages, set up segments and signals. False (with a reason) where the host
 * cannot do it. */
bool diff_host_init(const char **why);
/* diff_host_signals - take the signals; cmocka installs its own handlers for every test. */
void diff_host_signals(void);
/* diff_host_run - execute the instruction of 15 bytes at @code, in @bits-bit code from
 * state @s. */
void diff_host_run(unsigned bits, const uint8_t *code, bool string, DiffState *s);
/* diff_host_put, diff_host_get - the DIFF_DATA_SIZE bytes of a place, whether code may reach them or not. */
void diff_host_put(DiffPlace place, const uint8_t *data);
void diff_host_get(DiffPlace place, uint8_t *data);
/* diff_host_gs - give GS its base back. */
void diff_host_gs(void);
/* Selectors in force: CS, then SS, DS, ES in @bits-bit code. */
uint16_t diff_host_cs(unsigned bits);
uint16_t diff_host_ds(unsigned bits);
bool diff_host_has(unsigned bits);

#endif
