/*
 * What the host's KVM is and what it can run.
 *
 * There are modules that give /dev/kvm without the processor's help: they emulate, some modes and some instructions,
 * a few hundred thousand a second. That cannot be asked for, so a few instructions are run. Sources: api.rst 4.1
 * KVM_GET_API_VERSION, 4.4 KVM_CHECK_EXTENSION, 4.7 KVM_CREATE_VCPU, 4.10 KVM_RUN; Intel SDM vol. 3A, chapters 3 and 4.
 */
#include "accel/kvm/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#define ROOM (1u << 20)       /* of a machine that is made for a look */
#define CODE 0x1000u
#define GDT 0x500u
#define TABLES 0x10000u
#define PATIENCE_MS 3000
#define LOOPS 4000u           /* so many that they, and not entry and exit, are what takes time */
#define SLOW_PS 100000u       /* an instruction: no processor takes 100 ns for one in a loop */

static const struct {
    int cap;
    const char *name;
} needed[] = {
    { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },       { KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
    { KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },           { KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM" },
    { KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS" },       { KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS" },
    { KVM_CAP_XSAVE, "KVM_CAP_XSAVE" },                   { KVM_CAP_XCRS, "KVM_CAP_XCRS" },
    { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" }, { KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ" },
    { KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK" },
    { KVM_CAP_X86_USER_SPACE_MSR, "KVM_CAP_X86_USER_SPACE_MSR" },
    { KVM_CAP_X86_MSR_FILTER, "KVM_CAP_X86_MSR_FILTER" },
};

bool kvm_host_check(Error **errp)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), version;
    const char *lacks = NULL;

    if (fd < 0) {
        error_set_errno(errp, errno, "kvm: cannot open /dev/kvm");
        return false;
    }
    version = ioctl(fd, KVM_GET_API_VERSION, 0);
    for (size_t n = 0; n < ARRAY_SIZE(needed) && lacks == NULL; n++) {
        lacks = ioctl(fd, KVM_CHECK_EXTENSION, needed[n].cap) > 0 ? NULL : needed[n].name;
    }
    close(fd);
    if (version != KVM_API_VERSION) {
        error_set(errp, "kvm: /dev/kvm has version %d, not %d", version, KVM_API_VERSION);
        return false;
    }
    if (lacks != NULL) {
        error_set(errp, "kvm: this kernel's KVM is too old: it has no %s (Linux 5.10 has)", lacks);
        return false;
    }
    return true;
}

/* ---- a machine for a look, in the child ---- */

typedef struct Look {
    int dev, vm, cpu;
    uint8_t *mem;
    struct kvm_run *run;
    struct kvm_sregs sregs;
} Look;

static bool look_open(Look *l)
{
    uint64_t map = 0xfeffc000;
    struct kvm_userspace_memory_region slot = { .memory_size = ROOM };
    int bytes;

    l->dev = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    l->vm = ioctl(l->dev, KVM_CREATE_VM, 0);
    if (l->vm < 0 || ioctl(l->vm, KVM_SET_TSS_ADDR, 0xfeffd000ul) < 0 ||
        ioctl(l->vm, KVM_SET_IDENTITY_MAP_ADDR, &map) < 0) {
        return false;
    }
    l->mem = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    slot.userspace_addr = (uintptr_t)l->mem;
    bytes = ioctl(l->dev, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (l->mem == MAP_FAILED || bytes < 0 || ioctl(l->vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0) {
        return false;
    }
    l->cpu = ioctl(l->vm, KVM_CREATE_VCPU, 0);
    l->run = l->cpu < 0 ? MAP_FAILED : mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, l->cpu, 0);
    return l->run != MAP_FAILED && ioctl(l->cpu, KVM_GET_SREGS, &l->sregs) == 0;
}

/* CPUID as the kernel offers it: EFER.LME and CR4's bits are refused to a processor without. */
static bool look_cpuid(Look *l)
{
    struct kvm_cpuid2 *all = xalloc0(1, sizeof(*all) + 256 * sizeof(all->entries[0]));
    bool ok;

    all->nent = 256;
    ok = ioctl(l->dev, KVM_GET_SUPPORTED_CPUID, all) == 0 && ioctl(l->cpu, KVM_SET_CPUID2, all) == 0;
    free(all);
    return ok;
}

static struct kvm_segment segment(uint16_t sel, uint8_t type, bool db, bool l)
{
    return (struct kvm_segment){ .limit = UINT32_MAX, .selector = sel, .type = type, .present = 1,
                                 .s = 1, .db = db, .l = l, .g = 1 };
}

enum { REAL, PROTECT, PAGING32, PAGING64 };

/* The first 2 MiB (4 MiB) are where they are. */
static void look_tables(Look *l, unsigned mode)
{
    if (mode == PAGING32) {
        uint32_t *dir = (uint32_t *)(l->mem + TABLES), *table = dir + 1024;

        dir[0] = (TABLES + PAGE_SIZE) | 3;
        for (unsigned n = 0; n < 1024; n++) {
            table[n] = n << PAGE_SHIFT | 3;
        }
    } else {
        uint64_t *top = (uint64_t *)(l->mem + TABLES);

        top[0] = (TABLES + PAGE_SIZE) | 3;
        top[512] = (TABLES + 2 * PAGE_SIZE) | 3;
        top[1024] = 0x83;
    }
}

/* look_run - @code from a clean start; true when it came to its HLT. */
static bool look_run(Look *l, unsigned mode, const uint8_t *code, size_t bytes)
{
    static const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff };
    struct kvm_sregs s = l->sregs;
    struct kvm_regs r = { .rip = CODE, .rsp = 0x8000, .rflags = 2 };

    memset(l->mem, 0, TABLES + 4 * PAGE_SIZE);
    memcpy(l->mem + GDT, gdt, sizeof(gdt));
    memcpy(l->mem + CODE, code, bytes);
    s.cs.base = s.cs.selector = 0;
    if (mode != REAL) {
        s.cr0 = CR0_PE | CR0_ET;
        s.gdt = (struct kvm_dtable){ .base = GDT, .limit = sizeof(gdt) - 1 };
        s.cs = mode == PAGING64 ? segment(24, 11, false, true) : segment(8, 11, true, false);
        s.ds = s.es = s.ss = s.fs = s.gs = segment(16, 3, true, false);
    }
    if (mode >= PAGING32) {
        look_tables(l, mode);
        s.cr0 |= CR0_PG | CR0_NE | CR0_MP;
        s.cr3 = TABLES;
        s.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | (mode == PAGING64 ? CR4_PAE : 0);
        s.efer = mode == PAGING64 ? EFER_LME | EFER_LMA : 0;
    }
    return ioctl(l->cpu, KVM_SET_SREGS, &s) == 0 && ioctl(l->cpu, KVM_SET_REGS, &r) == 0 &&
           ioctl(l->cpu, KVM_RUN, 0) == 0 && l->run->exit_reason == KVM_EXIT_HLT;
}

static void look_speed(Look *l, unsigned mode, KvmHost *h)
{
    static const uint8_t loop[] = { 0xb9, LOOPS & 0xff, LOOPS >> 8, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0xf4 }; /* mov ecx; dec; jnz */
    int64_t best = INT64_MAX;

    for (unsigned n = 0; n < 3; n++) {
        int64_t start = clock_now(CLK_REAL), took;

        if (!look_run(l, mode, loop, sizeof(loop))) {
            return;
        }
        took = clock_now(CLK_REAL) - start;
        best = MIN(best, took);
    }
    h->insn_ps = (uint64_t)best * 1000 / (2 * LOOPS);
}

static void look(KvmHost *h)
{
    static const uint8_t plain[] = { 0xb8, 0x34, 0x12, 0x90, 0x90, 0x90, 0xf4 };
    static const uint8_t sse[] = { 0x0f, 0x57, 0xc0, 0xf4 }; /* xorps */
    Look l = { .dev = -1 };

    if (!look_open(&l) || !look_cpuid(&l)) {
        return;
    }
    h->real = look_run(&l, REAL, plain, sizeof(plain));
    h->protect = look_run(&l, PROTECT, plain, sizeof(plain));
    h->paging64 = look_run(&l, PAGING64, plain, sizeof(plain));
    h->paging32 = look_run(&l, PAGING32, plain, sizeof(plain));
    h->vectors = h->paging64 && look_run(&l, PAGING64, sse, sizeof(sse));
    look_speed(&l, h->paging64 ? PAGING64 : PROTECT, h);
}

/* ---- */

bool kvm_host_probe(KvmHost *h, Error **errp)
{
    struct pollfd wait = { .events = POLLIN };
    int fd[2];
    ssize_t got = 0;
    pid_t child;

    *h = (KvmHost){ .insn_ps = 0 };
    if (pipe2(fd, O_CLOEXEC) < 0 || (child = fork()) < 0) {
        error_set_errno(errp, errno, "kvm: cannot look what /dev/kvm can");
        return false;
    }
    if (child == 0) {
        look(h);
        _exit(write(fd[1], h, sizeof(*h)) == sizeof(*h) ? 0 : 1);
    }
    close(fd[1]);
    wait.fd = fd[0];
    if (poll(&wait, 1, PATIENCE_MS) > 0) {
        got = read(fd[0], h, sizeof(*h));
    }
    close(fd[0]);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    if (got != (ssize_t)sizeof(*h)) {
        *h = (KvmHost){ .insn_ps = 0 };
        error_set(errp, "kvm: /dev/kvm here did not come back from a few instructions within %d seconds", PATIENCE_MS / 1000);
        return false;
    }
    if (!h->real && !h->protect) {
        error_set(errp, "kvm: /dev/kvm here runs nothing");
        return false;
    }
    return true;
}

bool kvm_host_whole(const KvmHost *h)
{
    return h->real && h->protect && h->paging32 && h->paging64 && h->vectors && h->insn_ps < SLOW_PS;
}

void kvm_host_lacks(const KvmHost *h, char *text, size_t size)
{
    const struct {
        bool has;
        const char *name;
    } parts[] = { { h->real, "real mode" }, { h->protect, "protected mode" }, { h->paging32, "32-bit paging" },
                  { h->paging64, "long mode" }, { h->vectors, "SSE" } };
    bool any = false;
    size_t at;

    *text = 0;
    for (size_t n = 0; n < ARRAY_SIZE(parts); n++) {
        at = strlen(text);
        if (!parts[n].has) {
            snprintf(text + at, size - at, "%s %s", any ? "," : "runs no", parts[n].name);
            any = true;
        }
    }
    at = strlen(text);
    if (h->insn_ps >= SLOW_PS) {
        snprintf(text + at, size - at, "%semulates: %llu ns for an instruction", any ? ", and " : "",
                 (unsigned long long)(h->insn_ps / 1000));
    }
}
