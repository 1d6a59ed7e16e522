/*
 * A bare processor with RAM for tests: code is copied in, runs on the calling thread until HLT,
 * and its registers and memory are looked at.
 */
#ifndef TESTS_LIB_GUEST_H
#define TESTS_LIB_GUEST_H

#include "cpu/cpu.h"

#define GUEST_RAM (4u << 20)

/* guest_begin - 4 MiB of RAM at 0 and one processor of @model ("max"), in its reset state.
 * guest_end - all gone again. */
CpuState *guest_begin(const char *model);
/* guest_begin_many - with @n processors, threads not started; guest_go() starts them and waits until
 * all have halted. */
#define GUEST_CPUS 4
void guest_begin_many(const char *model, unsigned n, CpuState **out);
void guest_go(void);
void guest_end(void);
void guest_put(hwaddr at, const void *bytes, size_t n);
uint8_t *guest_ram(hwaddr at);

/* guest_real - real mode at 0:@ip with zero segments. guest_flat - flat 32-bit protected mode
 * (@bits 32) or 64-bit mode with the first 4 MiB mapped one to one (@bits 64), CPL 0, SP 0x9000. */
void guest_real(CpuState *c, uint16_t ip);
void guest_flat(CpuState *c, unsigned bits, uint32_t ip);

/* guest_run - until HLT or shutdown, at most @limit instructions. True on HLT. */
bool guest_run(CpuState *c, uint64_t limit);

#endif
