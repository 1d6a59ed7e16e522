/*
 * What the local APIC needs of cpu/ and accel/, for tests that run without a processor. Weak: the
 * real ones win where a test links them, and a test may define its own.
 */
#include "cpu/cpu.h"

#define WEAK __attribute__((weak))

extern _Thread_local CpuState *cpu_current;
WEAK _Thread_local CpuState *cpu_current;
uint64_t cpu_tsc_hz(void);

WEAK void cpu_request(CpuState *c, uint32_t bits)
{
    __atomic_fetch_or(&c->requests, bits, __ATOMIC_SEQ_CST);
}

WEAK void cpu_unrequest(CpuState *c, uint32_t bits)
{
    __atomic_fetch_and(&c->requests, ~bits, __ATOMIC_SEQ_CST);
}

WEAK uint64_t cpu_tsc(CpuState *c)
{
    return 0;
}

WEAK uint64_t cpu_tsc_hz(void)
{
    return 1000000000;
}
