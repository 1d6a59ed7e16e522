/* Doppel's side of the differential tests. */
#ifndef TESTS_CPU_DIFF_DOPPEL_H
#define TESTS_CPU_DIFF_DOPPEL_H

#include "cpu/cpu.h"
#include "tests/cpu/diff.h"

#define PHYS_CODE 0x100000u
#define PHYS_DATA 0x104000u
#define PHYS_TABLES 0x10000u
#define PHYS_DEVICE 0x1000000u

/* diff_doppel_init - the processor, with the host's features and diff.h's memory, run by its handlers
 * alone. After diff_host_init(). diff_doppel_jit - from now on by the translator. */
CpuState *diff_doppel_init(void);
void diff_doppel_jit(void);
void diff_doppel_mode(unsigned bits);
void diff_doppel_load(const DiffState *s);
void diff_doppel_store(DiffState *s);
/* diff_doppel_places - map what is behind the pages of DIFF_DATA, too. */
void diff_doppel_places(void);
/* diff_doppel_put, diff_doppel_get - the bytes of a place. diff_device_accesses - ever made. */
void diff_doppel_put(DiffPlace place, const uint8_t *data);
void diff_doppel_get(DiffPlace place, uint8_t *data);
extern uint64_t diff_device_accesses;

#endif
