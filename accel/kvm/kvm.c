/*
 * Processors on the host's KVM.
 *
 * The registers are in one of two places: in CpuState ("out"), where everybody may look at them while the processor is
 * parked, or in the kernel ("in"). A halted processor parks with them inside, and the loop's thread has them out
 * (sync_halted()). A processor goes in to run, and comes out for all that the kernel does not do here:
 * SMM, a masked A20, INIT, breakpoints and steps of a debugger, and single instructions that the kernel refuses. These
 * the reference executes, an instruction at a time from memory as it is: KVM's stores do not tell about code.
 *
 * A kick closes the race before KVM_RUN as api.rst 5 says of immediate_exit: the request is set, then immediate_exit,
 * then the signal is sent, which is unblocked only inside of KVM_RUN (4.21 KVM_SET_SIGNAL_MASK); the processor clears
 * immediate_exit, then looks at its requests.
 *
 * Sources: api.rst 4.10 KVM_RUN, 4.16 KVM_INTERRUPT, 4.64 KVM_NMI, 5 "The kvm_run structure".
 */
#include "accel/kvm/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "accel/interp/interp.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "cpu/mmu.h"
#include "cpu/segment.h"

#define KICK SIGUSR1
#define BURST_MAX 16384u         /* instructions on the reference for one that the kernel refused */
#define BURST_GROWS_NS 1000000   /* refusals that follow each other faster double it */
#define VMPORT 0x5658u           /* hw/misc/vmport.c reads registers */

/* constant after kvm_setup() */
static bool used, checks_faults;
static KvmHost host;

void kvm_setup(const KvmHost *h)
{
    used = true;
    host = *h;
    checks_faults = !kvm_host_whole(h);
}

/* ---- going in and out ---- */

/* fail - this processor cannot go on. The registers are out. */
static void fail(CpuState *c, const char *why)
{
    char code[64] = "";
    uint8_t b[15];
    hwaddr pa;

    if (mmu_peek(c, linear_rip(c), &pa) && mem_peek(pa, b, sizeof(b), c->in_smm)) {
        for (unsigned n = 0; n < sizeof(b); n++) {
            snprintf(code + 3 * n, sizeof(code) - 3 * n, " %02x", b[n]);
        }
    }
    report("kvm: processor %u cannot go on at %04x:%016" PRIx64 ": %s; code there:%s", c->index,
           c->segs[SEG_CS].selector, c->regs[GPR_RIP], why, *code ? code : " not mapped");
    accel_fail();
}

static void fail_call(CpuState *c, const char *what, int err)
{
    char why[96];

    snprintf(why, sizeof(why), "%s: %s", what, strerror(-err));
    fail(c, why);
}

static void fail_exit(CpuState *c)
{
    const KvmCpu *k = c->kvm;
    const struct kvm_run *run = k->run;
    char why[128];

    if (k->error != 0) {
        snprintf(why, sizeof(why), "KVM_RUN: %s", strerror(k->error));
    } else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
        snprintf(why, sizeof(why), "internal error of the kernel, suberror %u", run->internal.suberror);
    } else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY) {
        snprintf(why, sizeof(why), "the processor does not enter the guest, reason 0x%" PRIx64,
                 (uint64_t)run->fail_entry.hardware_entry_failure_reason);
    } else {
        snprintf(why, sizeof(why), "exit for the unknown reason %u", run->exit_reason);
    }
    fail(c, why);
}

/* The kernel was about to deliver something: the reference does it. RIP is what an event pushes; a software interrupt is
 * executed again instead, and so is an instruction that was refused, which some kernels have raise #UD. May raise. */
static void deliver_pending(CpuState *c, const struct kvm_vcpu_events *e, bool was_refused)
{
    if (e->nmi.pending) {
        cpu_request(c, REQ_NMI);
    }
    c->insn = NULL;
    if (e->exception.injected && !was_refused && e->exception.nr != EXC_BP && e->exception.nr != EXC_OF) {
        c->exc_vector = e->exception.nr;
        c->exc_has_error = e->exception.has_error_code;
        c->exc_error = e->exception.has_error_code ? e->exception.error_code : 0;
        exception_dispatch(c);
    } else if (e->nmi.injected) {
        c->nmi_blocked = true;
        interrupt_deliver(c, EXC_NMI, INT_EXTERNAL, false, 0, c->regs[GPR_RIP]);
    } else if (e->interrupt.injected && !e->interrupt.soft) {
        interrupt_deliver(c, e->interrupt.nr, INT_EXTERNAL, false, 0, c->regs[GPR_RIP]);
    }
}

static void refused(CpuState *c)
{
    KvmCpu *k = c->kvm;
    bool soon = clock_now(CLK_REAL) - k->burst_end < BURST_GROWS_NS;

    k->refused++;
    k->last_burst = soon ? MIN(MAX(k->last_burst, 1u) * 2, BURST_MAX) : 1;
    k->burst = k->last_burst;
}

static void shut_down(CpuState *c)
{
    c->activity = CPU_SHUTDOWN;
    log_guest("cpu %u: triple fault at %04x:%016" PRIx64 "\n", c->index, c->segs[SEG_CS].selector, c->regs[GPR_RIP]);
    if (c->hooks.shutdown != NULL) {
        c->hooks.shutdown(c);
    }
}

static void finish_io(CpuState *c);

/* go_out - the registers are in CpuState from here on. May raise. */
static void go_out(CpuState *c)
{
    KvmCpu *k = c->kvm;
    KvmAfter after;
    const char *what;
    int r;

    if (!k->in) {
        return;
    }
    finish_io(c);
    r = kvm_regs_pull(c, &what);
    k->in = false;
    after = k->after;
    k->after = AFTER_NOTHING;
    if (r < 0) {
        fail_call(c, what, r);
        return;
    }
    switch (after) {
    case AFTER_REFUSED:
        refused(c);
        break;
    case AFTER_SHUTDOWN:
        if (checks_faults) {
            refused(c); /* the reference will say whether it is one */
        } else {
            shut_down(c);
        }
        return;
    case AFTER_ERROR:
        fail_exit(c);
        return;
    default:
        break;
    }
    deliver_pending(c, &k->now.events, after == AFTER_REFUSED);
}

/* go_in - false: something failed, and was said. */
static bool go_in(CpuState *c)
{
    KvmCpu *k = c->kvm;
    const char *what = "memory slots";
    int r = 0;

    tlb_flush(c, true); /* what the guest maps anew is not told here */
    if (kvm_slots_stale()) {
        r = kvm_slots_update(c);
    }
    if (r == 0) {
        r = kvm_regs_push(c, &what);
    }
    if (r < 0) {
        fail_call(c, what, r);
        return false;
    }
    c->mid_repeat = false;
    c->debug_pass = false;
    kvm_clock_sync(c);
    k->in = true;
    k->injected = true; /* whether it can take an interrupt is not known before the first exit */
    return true;
}

/* ---- the reference's part ---- */

/* A mode that the host does not run. */
static bool mode_missing(const CpuState *c)
{
    if (!checks_faults) {
        return false;
    }
    if (c->cr0 & CR0_PG) {
        return c->efer & EFER_LMA ? !host.paging64 : !host.paging32;
    }
    return c->cr0 & CR0_PE ? !host.protect : !host.real;
}

static bool wants_reference(const CpuState *c)
{
    return c->kvm->burst != 0 || mode_missing(c) || c->in_smm || c->a20_mask != ~0ull || accel_breakpoints != 0 || c->debug_step ||
           engine_watch_count != 0 || c->pending_db != 0;
}

static void reference(CpuState *c)
{
    KvmCpu *k = c->kvm;

    k->on_reference++;
    if (k->burst != 0 && --k->burst == 0) {
        k->burst_end = clock_now(CLK_REAL);
    }
    if (!interp_event(c)) {
        interp_careful_step(c);
    }
}

/* ---- exits ---- */

static void io(CpuState *c, struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    unsigned size = run->io.size;

    for (uint32_t n = 0; n < run->io.count; n++, data += size) {
        uint32_t v = 0;

        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&v, data, size);
            port_write(run->io.port, v, size);
        } else {
            v = port_read(run->io.port, size);
            memcpy(data, &v, size);
        }
    }
}

/* A port whose device reads and writes general registers. The kernel puts what was read into EAX itself. */
static void io_registers(CpuState *c, struct kvm_run *run)
{
    KvmCpu *k = c->kvm;
    struct kvm_regs r;

    if (ioctl(k->fd, KVM_GET_REGS, &r) < 0) {
        return;
    }
    c->regs[GPR_RAX] = r.rax;
    c->regs[GPR_RBX] = r.rbx;
    c->regs[GPR_RCX] = r.rcx;
    c->regs[GPR_RDX] = r.rdx;
    c->regs[GPR_RSI] = r.rsi;
    c->regs[GPR_RDI] = r.rdi;
    io(c, run);
    r.rbx = c->regs[GPR_RBX];
    r.rcx = c->regs[GPR_RCX];
    r.rdx = c->regs[GPR_RDX];
    r.rsi = c->regs[GPR_RSI];
    r.rdi = c->regs[GPR_RDI];
    ioctl(k->fd, KVM_SET_REGS, &r);
}

static void mmio(CpuState *c, struct kvm_run *run)
{
    unsigned len = MIN(run->mmio.len, 8u);
    bool whole = (len & (len - 1)) == 0;

    for (unsigned at = 0; at < len; at += whole ? len : 1) {
        unsigned n = whole ? len : 1;
        uint64_t v = 0;

        if (run->mmio.is_write) {
            memcpy(&v, run->mmio.data + at, n);
            phys_st(c, run->mmio.phys_addr + at, v, n);
        } else {
            v = phys_ld(c, run->mmio.phys_addr + at, n);
            memcpy(run->mmio.data + at, &v, n);
        }
    }
}

static void msr(CpuState *c, struct kvm_run *run)
{
    uint64_t val = run->msr.data, system = c->kvm_system;

    if (run->exit_reason == KVM_EXIT_X86_RDMSR) {
        run->msr.error = !cpu_rdmsr(c, run->msr.index, &val);
        run->msr.data = val;
        return;
    }
    c->kvm_system = 0; /* the page of KVM's clock is the kernel's to write */
    run->msr.error = !cpu_wrmsr(c, run->msr.index, val);
    c->kvm_system = system;
    kvm_clock_sync(c);
}

/* halt - the registers stay inside; accel/accel.c asks for IF. */
static void halt(CpuState *c)
{
    c->activity = CPU_HALTED;
    c->rflags = (c->rflags & ~FLAG_IF) | (c->kvm->run->if_flag ? FLAG_IF : 0);
}

/* take_exit - what KVM_RUN came back for. False: the registers have to come out for what k->after says. */
static bool take_exit(CpuState *c)
{
    KvmCpu *k = c->kvm;
    struct kvm_run *run = k->run;

    k->exits[MIN(run->exit_reason, ARRAY_SIZE(k->exits) - 1)]++;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        k->pending = true;
        if (run->io.port == VMPORT && run->io.size == 4 && run->io.direction == KVM_EXIT_IO_IN) {
            io_registers(c, run);
        } else {
            io(c, run);
        }
        return true;
    case KVM_EXIT_MMIO:
        k->pending = true;
        mmio(c, run);
        return true;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        k->pending = true;
        msr(c, run);
        return true;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_INTR:
    case KVM_EXIT_SET_TPR:
        return true;
    case KVM_EXIT_HLT:
        halt(c);
        return true;
    case KVM_EXIT_SHUTDOWN:
        k->after = AFTER_SHUTDOWN;
        return false;
    case KVM_EXIT_INTERNAL_ERROR:
        k->after = run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ? AFTER_REFUSED : AFTER_ERROR;
        return false;
    default:
        k->after = AFTER_ERROR;
        return false;
    }
}

static void forget_kick(void)
{
    const struct timespec now = { 0 };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, KICK);
    while (sigtimedwait(&set, NULL, &now) == KICK) {
    }
}

/* call_run - KVM_RUN. False: the registers have to come out. */
static bool call_run(CpuState *c)
{
    KvmCpu *k = c->kvm;
    struct kvm_run *run = k->run;
    uint8_t cr8 = c->hooks.get_cr8 != NULL ? c->hooks.get_cr8(c) : 0;
    int r;

    run->cr8 = cr8;
    r = ioctl(k->fd, KVM_RUN, 0) < 0 ? errno : 0;
    k->pending = k->injected = false;
    __atomic_store_n(&k->inside, false, __ATOMIC_SEQ_CST);
    if (run->cr8 != cr8 && c->hooks.set_cr8 != NULL) {
        c->hooks.set_cr8(c, (uint8_t)run->cr8);
    }
    if (r == EINTR || r == EAGAIN) {
        k->kicked++;
        forget_kick();
        return true;
    }
    if (r != 0) {
        k->error = r;
        k->after = AFTER_ERROR;
        return false;
    }
    return take_exit(c);
}

/* finish_io - let the kernel complete the instruction whose exit was handled, and run nothing. */
static void finish_io(CpuState *c)
{
    KvmCpu *k = c->kvm;

    while (k->pending) {
        __atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        call_run(c);
    }
}

/* ---- interrupts ---- */

/* inject - what the processor is asked for and the kernel delivers. */
static void inject(CpuState *c, uint32_t r)
{
    KvmCpu *k = c->kvm;
    struct kvm_interrupt irq;
    int vec;

    if (r & REQ_NMI) {
        cpu_unrequest(c, REQ_NMI);
        ioctl(k->fd, KVM_NMI, 0);
    }
    if ((r & REQ_INTR) && k->run->ready_for_interrupt_injection && !k->injected) {
        vec = c->hooks.ack_interrupt != NULL ? c->hooks.ack_interrupt(c) : -1;
        if (vec < 0) {
            cpu_unrequest(c, REQ_INTR);
        } else {
            irq.irq = (uint32_t)vec;
            ioctl(k->fd, KVM_INTERRUPT, &irq);
            k->injected = true;
        }
        r = requests(c);
    }
    k->run->request_interrupt_window = (r & REQ_INTR) != 0;
}

/* ---- the loop ---- */

/* What can be done while the registers are in the kernel. */
#define TAKEN_INSIDE ((uint32_t)(REQ_INTR | REQ_NMI | REQ_MAP_CHANGED | REQ_PROTECT))

static void take_inside(CpuState *c, uint32_t r)
{
    if (r & REQ_MAP_CHANGED) {
        cpu_unrequest(c, REQ_MAP_CHANGED);
        cpu_take_view(c);
    }
    if (r & REQ_PROTECT) {
        accel_take_protect(c);
    }
}

/* run_inside - one KVM_RUN, unless there is something else to do. */
static void run_inside(CpuState *c)
{
    KvmCpu *k = c->kvm;
    uint32_t r;

    __atomic_store_n(&k->inside, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(&k->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    r = requests(c); /* a kick from here on makes KVM_RUN come back */
    if ((r & ~TAKEN_INSIDE) || kvm_slots_stale()) {
        __atomic_store_n(&k->inside, false, __ATOMIC_SEQ_CST);
        go_out(c);
        return;
    }
    take_inside(c, r);
    inject(c, r);
    if (!call_run(c)) {
        go_out(c);
    }
}

/* still_halted - with the registers inside: is there nothing that ends it? What needs them has them out then. */
static bool still_halted(CpuState *c)
{
    uint32_t r = requests(c);
    struct kvm_interrupt irq;
    int vec;

    if (r & REQ_STOP) {
        return true;
    }
    if (r & (~TAKEN_INSIDE | REQ_NMI)) { /* an NMI may be blocked, which is not known here */
        go_out(c);
        return false;
    }
    take_inside(c, r);
    if ((r & REQ_INTR) && (c->rflags & FLAG_IF)) {
        vec = c->hooks.ack_interrupt != NULL ? c->hooks.ack_interrupt(c) : -1;
        if (vec < 0) {
            cpu_unrequest(c, REQ_INTR);
            return true;
        }
        irq.irq = (uint32_t)vec;
        ioctl(c->kvm->fd, KVM_INTERRUPT, &irq);
        c->kvm->injected = true;
        c->activity = CPU_RUNNING;
    }
    return c->activity == CPU_HALTED;
}

/* False: nothing to do here, and the registers are out, or inside of a halted processor. */
static bool turn(CpuState *c)
{
    if (c->kvm->in && c->activity == CPU_HALTED) {
        return !still_halted(c);
    }
    if (!c->kvm->in) {
        if (requests(c) != 0 && !interp_take_requests(c)) {
            return false;
        }
        if (c->activity != CPU_RUNNING) {
            return false;
        }
        if (wants_reference(c)) {
            reference(c);
            return true;
        }
        if (!go_in(c)) {
            return false;
        }
    }
    run_inside(c);
    return true;
}

static __attribute__((noinline)) void loop(CpuState *c)
{
    while (turn(c)) {
    }
}

/* As interp_run(): the reference raises by longjmp. */
static void run(CpuState *c)
{
    if (_setjmp(c->fault_env) == 0) {
        loop(c);
    } else {
        interp_after_fault(c);
        loop(c);
    }
}

static void kick(CpuState *c)
{
    KvmCpu *k = c->kvm;
    int tid = accel_cpu_tid(c->index);

    if (k == NULL) {
        return; /* it is being made */
    }
    __atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&k->inside, __ATOMIC_SEQ_CST)) {
        tgkill(getpid(), tid, KICK);
    }
}

/* sync_halted - only a halted processor parks with its registers inside: nothing is about to be delivered, so that
 * nothing raises. */
static void sync_halted(CpuState *c)
{
    if (c->kvm != NULL && c->kvm->in) {
        go_out(c);
    }
}

/* ---- life ---- */

static void no_handler(int sig)
{
}

/* KICK is blocked in each thread; a handler there must be, or the kernel ends the process where it is not. */
static bool set_signal(KvmCpu *k)
{
    struct sigaction sa = { .sa_handler = no_handler };
    struct {
        struct kvm_signal_mask head;
        uint8_t set[8];
    } __attribute__((packed)) mask = { .head = { .len = 8 } };
    uint64_t all = ~0ull & ~(1ull << (KICK - 1)) & ~(1ull << (SIGSEGV - 1)) & ~(1ull << (SIGBUS - 1));

    memcpy(mask.set, &all, sizeof(mask.set));
    return sigaction(KICK, &sa, NULL) == 0 && ioctl(k->fd, KVM_SET_SIGNAL_MASK, &mask) == 0;
}

static bool open_cpu(CpuState *c, Error **errp)
{
    KvmCpu *k = c->kvm;
    int bytes = ioctl(kvm_dev_fd(), KVM_GET_VCPU_MMAP_SIZE, 0), khz;

    k->fd = ioctl(kvm_vm_fd(), KVM_CREATE_VCPU, (unsigned long)c->apic_id);
    if (bytes < (int)sizeof(*k->run) || k->fd < 0) {
        error_set_errno(errp, errno, "kvm: cannot make processor %u", c->index);
        return false;
    }
    k->run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
    if (k->run == MAP_FAILED || !set_signal(k)) {
        error_set_errno(errp, errno, "kvm: cannot set up processor %u", c->index);
        return false;
    }
    k->run_bytes = (uint32_t)bytes;
    khz = ioctl(k->fd, KVM_GET_TSC_KHZ, 0);
    if (khz <= 0) {
        error_set(errp, "kvm: this host's time-stamp counter has no fixed frequency");
        return false;
    }
    cpu_tsc_set_hz((uint64_t)khz * 1000);
    kvm_clock_init(k);
    return true;
}

static bool cpu_start(CpuState *c, Error **errp)
{
    int r;

    if (c->index == 0 && !kvm_vm_open(errp)) {
        return false;
    }
    if (c->index == 0) {
        sandbox_want_kvm();
    }
    if (!block_init(c, errp)) { /* the reference's part */
        return false;
    }
    c->kvm = xnew(KvmCpu);
    if (!open_cpu(c, errp)) {
        return false;
    }
    r = kvm_cpuid_set(c);
    if (r < 0) {
        error_set_errno(errp, -r, "kvm: CPUID of processor %u was refused", c->index);
        return false;
    }
    kvm_regs_init(c);
    c->hooks.tsc_now = kvm_tsc_now;
    return true;
}

static void cpu_end(CpuState *c)
{
    KvmCpu *k = c->kvm;

    block_fini(c);
    if (k != NULL) {
        if (k->run != NULL && k->run != MAP_FAILED) {
            munmap(k->run, k->run_bytes);
        }
        close(k->fd);
        free(k);
        c->kvm = NULL;
    }
    if (c->index == accel_cpu_count() - 1) {
        kvm_vm_close();
    }
}

static void nothing(CpuState *c)
{
}

static void nothing_written(CpuState *c, uint64_t ram_offset, unsigned len)
{
}

static void nothing_queued(CpuState *c, uint64_t ram_offset, uint64_t len)
{
}

/* ---- info ---- */

bool kvm_used(void)
{
    return used;
}

static const char *exit_name(unsigned reason)
{
    static const char *const names[] = {
        [KVM_EXIT_IO] = "ports", [KVM_EXIT_HLT] = "HLT", [KVM_EXIT_MMIO] = "MMIO",
        [KVM_EXIT_IRQ_WINDOW_OPEN] = "interrupt window", [KVM_EXIT_SHUTDOWN] = "triple fault",
        [KVM_EXIT_INTR] = "signal", [KVM_EXIT_SET_TPR] = "CR8", [KVM_EXIT_INTERNAL_ERROR] = "internal error",
        [KVM_EXIT_X86_RDMSR] = "RDMSR", [KVM_EXIT_X86_WRMSR] = "WRMSR",
    };

    return reason < ARRAY_SIZE(names) ? names[reason] : NULL;
}

static void info_cpu(const CpuState *c, FILE *out)
{
    const KvmCpu *k = c->kvm;

    fprintf(out, "processor %u: %" PRIu64 " refused, %" PRIu64 " instructions on the reference; exits:", c->index, k->refused,
            k->on_reference);
    for (unsigned n = 0; n < ARRAY_SIZE(k->exits); n++) {
        if (k->exits[n] != 0 && exit_name(n) != NULL) {
            fprintf(out, " %s %" PRIu64, exit_name(n), k->exits[n]);
        } else if (k->exits[n] != 0) {
            fprintf(out, " reason %u %" PRIu64, n, k->exits[n]);
        }
    }
    fprintf(out, " kicks %" PRIu64 "\n", k->kicked);
}

void kvm_info(FILE *out)
{
    fprintf(out, "kvm support: %s\n", kvm_used() ? "enabled" : "disabled");
    if (!kvm_used()) {
        return;
    }
    fprintf(out, "interrupt chips: doppel's (kernel-irqchip=off)\n");
    kvm_slots_info(out);
    kvm_clock_info(out);
    for (unsigned n = 0; n < accel_cpu_count(); n++) {
        info_cpu(accel_cpu(n), out);
    }
}

const AccelOps accel_kvm = {
    .name = "kvm",
    .cpu_init = cpu_start,
    .cpu_fini = cpu_end,
    .run = run,
    .drop_code = nothing,
    .code_written = nothing_written,
    .queue_drop = nothing_queued,
    .flush = block_flush,
    .flush_page = block_flush_page,
    .kick = kick,
    .map_changed = kvm_map_changed,
    .collect = kvm_collect,
    .sync = sync_halted,
};
