/*
 * Executes one instruction on the host's processor. A signal frame is filled with the wanted state
 * (and TF) and handed to rt_sigreturn, which loads all of it at once; the trap after the
 * instruction, or its fault, saves all of it again for the signal handler, which jumps out. The
 * frame's form is taken from a first signal.
 */
#include "tests/cpu/diff.h"

#if defined(__x86_64__) && defined(__linux__)

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define FLAG_TF 0x100

static uint8_t *code_alias, *protected_page[PLACES]; /* writable views; NULL: the page itself is */
static bool has_ldt;
static ucontext_t frame;                                     /* what rt_sigreturn loads */
static uint8_t frame_fp[16384] __attribute__((aligned(64))); /* its FPU state */
static struct {
    enum { IDLE, CAPTURE, RUNNING } phase;
    unsigned bits;
    bool string;
    DiffState *s;
} job;

/* diff_enter - rt_sigreturn to @uc; comes back when the handler calls diff_leave(). Two halves of
 * one function, in effect: the stack pointer lies between them. */
void diff_enter(ucontext_t *uc);
_Noreturn void diff_leave(void);
__asm__(".pushsection .text\n"
        "diff_enter:\n\t"
        "push %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\tpush %r15\n\t"
        "mov %rsp, diff_rsp(%rip)\n\t"
        "mov %rdi, %rsp\n\tmov $15, %eax\n\tsyscall\n"
        "diff_leave:\n\t"
        "mov diff_rsp(%rip), %rsp\n\t"
        "pop %r15\n\tpop %r14\n\tpop %r13\n\tpop %r12\n\tpop %rbp\n\tpop %rbx\n\tret\n"
        ".popsection\n"
        ".local diff_rsp\n.comm diff_rsp, 8, 8\n");

static const uint8_t greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                     REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12,
                                     REG_R13, REG_R14, REG_R15 };

uint16_t diff_host_cs(unsigned bits)
{
    return bits == 64 ? 0x33 : bits == 32 ? 0x23 : 0 << 3 | 7;
}
uint16_t diff_host_ds(unsigned bits)
{
    return bits == 64 ? 0 : bits == 32 ? 0x2b : 1 << 3 | 7;
}
static uint16_t host_ss(unsigned bits)
{
    return bits == 16 ? diff_host_ds(16) : 0x2b;
}

static void set_ds(uint16_t sel)
{
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"((uint32_t)sel));
}

static void load_frame(mcontext_t *m)
{
    DiffState *s = job.s;
    uint8_t *fp = (uint8_t *)m->fpregs;
    uint64_t bv = 7;

    for (unsigned n = 0; n < 16; n++) {
        m->gregs[greg_of[n]] = (greg_t)s->gpr[n];
    }
    m->gregs[REG_RIP] = (greg_t)s->rip;
    m->gregs[REG_EFL] = (greg_t)(s->rflags | FLAG_TF | 0x202);
    m->gregs[REG_CSGSFS] = (greg_t)(((uint64_t)m->gregs[REG_CSGSFS] & 0x0000ffffffff0000ull) |
                                    diff_host_cs(job.bits) | (uint64_t)host_ss(job.bits) << 48);
    memcpy(fp, s->fx, 416);
    memcpy(fp + 512, &bv, 8);
    memcpy(fp + 576, s->ymmh, 256);
}

static void take_frame(const mcontext_t *m)
{
    DiffState *s = job.s;
    const uint8_t *fp = (const uint8_t *)m->fpregs;
    uint64_t bv;

    for (unsigned n = 0; n < 16; n++) {
        s->gpr[n] = (uint64_t)m->gregs[greg_of[n]];
    }
    s->rip = (uint64_t)m->gregs[REG_RIP];
    s->rflags = (uint64_t)m->gregs[REG_EFL];
    memcpy(s->fx, fp, 416);
    memcpy(&bv, fp + 512, 8);
    memcpy(s->ymmh, fp + 576, 256);
    if (!(bv & 1)) { /* the initial configuration is not written out */
        memset(s->fx, 0, 24);
        memset(s->fx + 32, 0, 128);
        s->fx[0] = 0x7f;
        s->fx[1] = 3;
    }
    if (!(bv & 2)) {
        memset(s->fx + 160, 0, 256);
    }
    if (!(bv & 4)) {
        memset(s->ymmh, 0, 256);
    }
}

/* Keep the frame of a first signal as the form of all that follow. */
static void capture(ucontext_t *uc)
{
    const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
    uint32_t size;

    memcpy(&size, fp + 468, 4); /* sw_reserved.extended_size */
    frame = *uc;
    memcpy(frame_fp, fp, size <= sizeof(frame_fp) ? size : 0);
    frame.uc_mcontext.fpregs = (struct _libc_fpstate *)frame_fp;
    uc->uc_mcontext.gregs[REG_RIP] += 2; /* past UD2 */
}

__attribute__((no_sanitize("address"))) static void on_signal(int sig, siginfo_t *info, void *uc)
{
    mcontext_t *m = &((ucontext_t *)uc)->uc_mcontext;
    int trap;

    /* The instruction may have set AC: no misaligned access before this. */
    __asm__ volatile("pushfq\n\tandq $~0x40000, (%%rsp)\n\tpopfq" : : : "cc", "memory");
    trap = (int)m->gregs[REG_TRAPNO];
    (void)info;
    if (job.phase == CAPTURE) {
        job.phase = IDLE;
        capture(uc);
        return;
    }
    if (job.phase != RUNNING) {
        signal(sig, SIG_DFL); /* a fault of the test itself */
        return;
    }
    if (trap == 1 && job.string && (uint64_t)m->gregs[REG_RIP] == job.s->rip) {
        m->gregs[REG_EFL] |= FLAG_TF; /* between iterations, or elements of a gather */
        return;
    }
    take_frame(m);
    job.s->vector = trap == 1 ? -1 : trap;
    job.s->error = (uint32_t)m->gregs[REG_ERR];
    job.s->cr2 = (uint64_t)m->gregs[REG_CR2];
    job.phase = IDLE;
    diff_leave(); /* the kernel gave the handler a fresh FPU state */
}

static bool ldt_entry(unsigned n, bool code)
{
    struct user_desc d = { .entry_number = n, .base_addr = DIFF_BASE, .limit = 0xffff,
                           .contents = code ? 2 : 0, .useable = 1 };

    return syscall(SYS_modify_ldt, 1, &d, sizeof(d)) == 0;
}

void diff_host_signals(void)
{
    static const int signals[] = { SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP };
    struct sigaction sa = { .sa_sigaction = on_signal,
                            .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

    for (unsigned n = 0; n < sizeof(signals) / sizeof(signals[0]); n++) {
        sigaction(signals[n], &sa, NULL);
    }
}

void diff_host_gs(void)
{
    syscall(SYS_arch_prctl, ARCH_SET_GS, DIFF_GS_BASE);
}

/* The two pages of a place; the second with @prot, and a view of it that can be written. */
static bool map_place(DiffPlace place, int prot)
{
    uint64_t at = diff_place[place].data;
    int rw = PROT_READ | PROT_WRITE, fd = -1;

    if (mmap((void *)at, DIFF_DATA_SIZE, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)at) {
        return false;
    }
    if (prot == rw) {
        return true;
    }
    fd = (int)syscall(SYS_memfd_create, "diff-data", 0);
    if (fd < 0 || ftruncate(fd, 4096) != 0) {
        return false;
    }
    protected_page[place] = mmap(NULL, 4096, rw, MAP_SHARED | MAP_POPULATE, fd, 0);
    at += DIFF_DATA_SIZE / 2;
    if (protected_page[place] == MAP_FAILED ||
        mmap((void *)at, 4096, prot, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) != (void *)at) {
        return false;
    }
    close(fd);
    return true;
}

bool diff_host_init(const char **why)
{
    static uint8_t stack[1 << 17];
    stack_t st = { .ss_sp = stack, .ss_size = sizeof(stack) };
    int fd = (int)syscall(SYS_memfd_create, "diff-code", 0);
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 27)) {
        *why = "no XSAVE";
        return false;
    }
    if (fd < 0 || ftruncate(fd, 4096) != 0) {
        *why = "memfd_create failed";
        return false;
    }
    code_alias = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mmap((void *)DIFF_BASE, 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
             0) != (void *)DIFF_BASE ||
        !map_place(PLACE_ANY, PROT_READ | PROT_WRITE) || !map_place(PLACE_READ_ONLY, PROT_READ) ||
        !map_place(PLACE_SUPERVISOR, PROT_NONE) || !map_place(PLACE_DEVICE, PROT_READ | PROT_WRITE)) {
        *why = "the test's addresses are taken";
        return false;
    }
    close(fd);
    memset(code_alias, 0xcc, 4096);
    sigaltstack(&st, NULL);
    diff_host_gs();
    has_ldt = ldt_entry(0, true) && ldt_entry(1, false);
    return true;
}

bool diff_host_has(unsigned bits)
{
    return bits != 16 || has_ldt;
}

static uint8_t *second_page(DiffPlace place)
{
    return protected_page[place] != NULL ? protected_page[place] : (uint8_t *)diff_place[place].data + 4096;
}

void diff_host_put(DiffPlace place, const uint8_t *data)
{
    memcpy((void *)diff_place[place].data, data, 4096);
    memcpy(second_page(place), data + 4096, 4096);
}

void diff_host_get(DiffPlace place, uint8_t *data)
{
    memcpy(data, (void *)diff_place[place].data, 4096);
    memcpy(data + 4096, second_page(place), 4096);
}

void diff_host_run(unsigned bits, const uint8_t *code, bool string, DiffState *s)
{
    memcpy(code_alias + (DIFF_CODE - DIFF_BASE), code, 15); /* operands may lie here, too */
    job.bits = bits;
    job.string = string;
    job.s = s;
    if (frame.uc_mcontext.fpregs == NULL) {
        job.phase = CAPTURE;
        __asm__ volatile("ud2" : : : "memory");
    }
    load_frame(&frame.uc_mcontext);
    /* NT and ID as POPF of an earlier case left them: sigreturn does not load them. */
    __asm__ volatile("sub $128, %%rsp\n\tpushfq\n\tandq $~0x204000, (%%rsp)\n\tpopfq\n\t"
                     "add $128, %%rsp" : : : "cc", "memory");
    if (bits != 64) {
        set_ds(diff_host_ds(bits));
    }
    job.phase = RUNNING;
    diff_enter(&frame);
    if (bits != 64) {
        set_ds(0);
    }
}

#else

bool diff_host_init(const char **why)
{
    *why = "the host is not x86-64 Linux";
    return false;
}
void diff_host_signals(void)
{
}
uint16_t diff_host_cs(unsigned bits)
{
    return 0;
}
uint16_t diff_host_ds(unsigned bits)
{
    return 0;
}
bool diff_host_has(unsigned bits)
{
    return false;
}
void diff_host_put(DiffPlace place, const uint8_t *data)
{
}
void diff_host_get(DiffPlace place, uint8_t *data)
{
}
void diff_host_run(unsigned bits, const uint8_t *code, bool string, DiffState *s)
{
}

#endif
