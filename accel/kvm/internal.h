/*
 * What the files of accel/kvm/ share.
 */
#ifndef ACCEL_KVM_INTERNAL_H
#define ACCEL_KVM_INTERNAL_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include "accel/accel.h"
#include "accel/kvm/kvm.h"

/* A processor's registers as the kernel takes them: api.rst 4.3 KVM_SET_REGS, 4.14 KVM_SET_SREGS, 4.31 KVM_SET_VCPU_EVENTS,
 * 4.33 KVM_SET_DEBUGREGS, 4.43 KVM_SET_XSAVE, 4.45 KVM_SET_XCRS, 4.19 KVM_SET_MSRS. */
enum { KVM_MSRS = 16 };
typedef struct KvmImage {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_vcpu_events events;
    struct kvm_debugregs debug;
    struct kvm_xcrs xcrs;
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry[KVM_MSRS];
    } msrs;
    struct kvm_xsave xsave;
} KvmImage;

/* What is to happen once the registers are in CpuState. */
typedef enum KvmAfter {
    AFTER_NOTHING,
    AFTER_REFUSED,  /* the kernel does not run this instruction */
    AFTER_SHUTDOWN, /* a triple fault, it says */
    AFTER_ERROR,    /* nothing goes on here: run->exit_reason says why */
} KvmAfter;

typedef struct KvmCpu {
    int fd;
    struct kvm_run *run;
    uint32_t run_bytes;
    /* own thread only, or parked */
    bool in;           /* the kernel has the registers, not CpuState */
    bool known;        /* `now` is what the kernel has */
    bool pending;      /* the exit is complete only after KVM_RUN was called again: api.rst 5, KVM_EXIT_IO */
    bool injected;     /* an interrupt was queued since the last exit */
    KvmAfter after;
    int error;         /* of AFTER_ERROR: KVM_RUN's errno, or 0 */
    uint32_t burst, last_burst; /* instructions that the reference still runs; that it ran last time */
    int64_t burst_end; /* CLK_REAL */
    uint64_t tsc_offset;
    bool tsc_known;
    KvmImage now, want;
    uint16_t msr_at[KVM_MSRS]; /* offset in CpuState */
    /* any thread */
    bool inside; /* in KVM_RUN, or about to be: a kick needs the signal; atomic */
    /* own thread; read while parked */
    uint64_t exits[64], refused, on_reference, kicked;
} KvmCpu;

/* ---- vm.c ---- */

/* kvm_vm_open - the machine in the kernel; once. kvm_vm_close. */
bool kvm_vm_open(struct Error **errp);
void kvm_vm_close(void);
int kvm_vm_fd(void);
int kvm_dev_fd(void);
bool kvm_has(int capability);
/* kvm_slots_stale - the memory map has changed since kvm_slots_update(). The latter: -errno where the kernel refuses. Own
 * thread of a processor, machine lock not held. */
bool kvm_slots_stale(void);
int kvm_slots_update(CpuState *c);
void kvm_map_changed(void);
/* kvm_collect - tell the dirty log what the kernel logged of [@ram_offset, +@len). Machine lock held. */
void kvm_collect(uint64_t ram_offset, uint64_t len);
/* kvm_clock_init - look whether the guest's counter can be set. */
void kvm_clock_init(const KvmCpu *k);
void kvm_clock_info(FILE *out);
/* kvm_clock_sync - the kernel's clocks go with CLK_VIRTUAL. kvm_tsc_now - CpuHooks.tsc_now. */
void kvm_clock_sync(CpuState *c);
int64_t kvm_tsc_now(CpuState *c);
void kvm_slots_info(FILE *out);

/* ---- regs.c ---- */

/* kvm_regs_init - which MSRs are moved. */
void kvm_regs_init(CpuState *c);
/* kvm_regs_push - CpuState to the kernel, as far as it has something else. kvm_regs_pull - back; events that the kernel was
 * about to deliver are left in now.events. 0 or -errno, *what: of which call. */
int kvm_regs_push(CpuState *c, const char **what);
int kvm_regs_pull(CpuState *c, const char **what);

/* ---- cpuid.c ---- */

/* kvm_cpuid_set - tell the kernel what CPUID answers on @c. 0 or -errno. */
int kvm_cpuid_set(CpuState *c);

#endif
