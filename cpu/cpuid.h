/*
 * Processor models, CPUID, model-specific registers. Source: Intel SDM vol. 2A "CPUID", vol. 4;
 * AMD APM vol. 3, appendix E.
 */
#ifndef CPU_CPUID_H
#define CPU_CPUID_H

#include "cpu/cpu.h"

typedef struct CpuidRegs {
    uint32_t eax, ebx, ecx, edx;
} CpuidRegs;

/* A model as the guest sees it; made from the table by cpu_model_parse(). */
typedef struct CpuModel {
    char name[32];
    char vendor[13];    /* twelve letters */
    char model_id[49];  /* brand string */
    unsigned family, model, stepping;
    uint32_t level, xlevel; /* highest basic and extended leaf */
    unsigned phys_bits;
    uint64_t features[2];
    bool check;         /* say which flags cannot be given */
    bool enforce;       /* and refuse to start */
    bool host;          /* "host": all that KVM gives here */
} CpuModel;

/* cpu_model_parse - "-cpu TEXT": a model name, then +flag, -flag, flag=on|off, vendor=, family=,
 * model=, stepping=, level=, xlevel=, model-id=, phys-bits=, check, enforce. Flags that the engine
 * does not implement are left out and named in one line on stderr (check) or in the error
 * (enforce). @long_mode false (qemu-system-i386): LM is taken away. */
bool cpu_model_parse(const char *text, bool long_mode, CpuModel *m, struct Error **errp);
/* cpu_model_allow_host - from now on "host" is a model: "max", of which the engine takes away what KVM does not give. */
void cpu_model_allow_host(void);
/* cpu_models_print - for `-cpu help`. */
void cpu_models_print(FILE *out);
/* cpu_models_each - the names of all models. */
void cpu_models_each(void (*fn)(void *opaque, const char *name), void *opaque);
/* cpu_place - where processor @n is, as cpu_topology() said. */
void cpu_place(unsigned n, unsigned *package, unsigned *core, unsigned *thread);

/* cpu_topology - cores and threads a package, and the count of processors; before the first
 * cpuid_leaf(). */
void cpu_topology(unsigned cpus, unsigned cores, unsigned threads);

CpuidRegs cpuid_leaf(CpuState *c, uint32_t leaf, uint32_t sub);

/* cpu_rdmsr, cpu_wrmsr - false: #GP(0). */
bool cpu_rdmsr(CpuState *c, uint32_t msr, uint64_t *val);
bool cpu_wrmsr(CpuState *c, uint32_t msr, uint64_t val);

/* cpu_host_has - does the host have @feature (FEAT_*)? The guest may be offered more, which the reference emulates.
 * Any thread. */
bool cpu_host_has(unsigned feature);
/* cpu_host_hide - from now on it has not (or @hide false: what it has): tests of what the translator does then. */
void cpu_host_hide(unsigned feature, bool hide);
/* cpu_feature_find - of a name of @n letters; FEAT_NONE: there is none. */
unsigned cpu_feature_find(const char *name, size_t n);
const char *cpu_feature_name(unsigned feature);
/* cpu_feature_place - where CPUID tells it: leaf, sub-leaf, register (0: EAX .. 3: EDX), bit. */
typedef struct CpuFeaturePlace {
    uint32_t leaf, sub;
    uint8_t reg, bit;
} CpuFeaturePlace;
CpuFeaturePlace cpu_feature_place(unsigned feature);

/* cpu/kvmclock.c: is @msr one of KVM's clock, which @c has; what it reads as; a write of it. kvmclock_update - after
 * CpuState.tsc_offset changed. Own thread. */
bool kvmclock_msr(const CpuState *c, uint32_t msr);
uint64_t kvmclock_read(const CpuState *c, uint32_t msr);
void kvmclock_write(CpuState *c, uint32_t msr, uint64_t val);
void kvmclock_update(CpuState *c);
/* cpu_tsc_hz - frequency of the guest's time-stamp counter. */
uint64_t cpu_tsc_hz(void);
/* cpu_tsc_set_hz - for an engine whose guests read the host's counter: CpuHooks.tsc_now then gives that. Before processors
 * run. */
void cpu_tsc_set_hz(uint64_t hz);
/* cpu_random - 64 random bits for RDRAND and RDSEED; the one place they come from. */
uint64_t cpu_random(CpuState *c);
/* cpu_random_seed - reproducible numbers from now on. */
void cpu_random_seed(uint64_t seed);
/* cpu_random_state - where that sequence is, to be saved and set again. */
uint64_t cpu_random_state(void);
void cpu_random_set_state(uint64_t state);
/* cpu_set_dr - write a debug register (number 0-3, 6, 7) and what follows from it. */
void cpu_set_dr(CpuState *c, unsigned n, uint64_t val);
/* smm_enter, smm_leave - take an SMI; RSM. Source: AMD APM vol. 2, "SMM State-Save Area". */
void smm_enter(CpuState *c);
void smm_leave(CpuState *c);

#endif
