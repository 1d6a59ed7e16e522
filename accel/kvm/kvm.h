/*
 * The engine that uses the host's KVM. docs/decisions/014 says what is the kernel's part and what is ours.
 *
 * Sources: Linux, Documentation/virt/kvm/api.rst ("api.rst" with the section's number below) and
 * Documentation/virt/kvm/devices/vcpu.rst.
 */
#ifndef ACCEL_KVM_KVM_H
#define ACCEL_KVM_KVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct CpuModel;
struct Error;

/* What this host's KVM runs, found out by running it. */
typedef struct KvmHost {
    bool real, protect, paging32, paging64; /* modes whose code runs */
    bool vectors;        /* SSE instructions run */
    uint64_t insn_ps;    /* picoseconds an instruction takes, in a loop of two */
} KvmHost;

/* kvm_host_check - /dev/kvm is there, may be opened, and has what this engine needs. */
bool kvm_host_check(struct Error **errp);
/* kvm_host_probe - run a few instructions of each kind, in a process of its own that is ended when it takes too
 * long. False: none of them ran. Before threads are made. */
bool kvm_host_probe(KvmHost *h, struct Error **errp);
/* kvm_host_whole - all of it, by the processor itself. kvm_host_lacks - what is missing, as half a sentence. */
bool kvm_host_whole(const KvmHost *h);
void kvm_host_lacks(const KvmHost *h, char *text, size_t size);

/* kvm_setup - this engine is used; before accel_init(). Where @h is not whole, the reference has the modes that
 * it lacks, and is asked about its triple faults. */
void kvm_setup(const KvmHost *h);

/* kvm_limit_model - take from @m what this host's KVM cannot give; for "host", say whose processor it is. What was
 * asked for by name and is missing is said on a line, or is an error where @m says enforce. */
bool kvm_limit_model(struct CpuModel *m, struct Error **errp);

/* kvm_info - for `info kvm`, while paused. kvm_used - is this the engine? */
void kvm_info(FILE *out);
bool kvm_used(void);

#endif
