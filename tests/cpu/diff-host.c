/*
 * Executes one instruction on the host's processor. UD2 enters a signal handler, which puts the
 * wanted state (with TF) into its frame; SIGRETURN loads it; the trap after the instruction, or its
 * fault, comes back to the handler, which takes the state from the frame and restores the first.
 */
#include "tests/cpu/diff.h"

#if defined(__x86_64__) && defined(__linux__)

#include <asm/ldt.h>
#include <cpuid.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define FLAG_TF 0x100

static uint8_t *code_alias, *data_page;
static bool has_ldt;
static struct {
    enum { IDLE, START, RUNNING } phase;
    unsigned bits;
    bool string;
    unsigned len;
    DiffState *s;
    mcontext_t saved;
    uint8_t saved_fp[832];
} job;

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

static void on_signal(int sig, siginfo_t *info, void *uc)
{
    mcontext_t *m = &((ucontext_t *)uc)->uc_mcontext;
    int trap;

    /* The instruction may have set AC: no misaligned access before this. */
    __asm__ volatile("pushfq\n\tandq $~0x40000, (%%rsp)\n\tpopfq" : : : "cc", "memory");
    trap = (int)m->gregs[REG_TRAPNO];
    if (job.phase == START) {
        job.phase = RUNNING;
        memcpy(&job.saved, m, sizeof(job.saved));
        memcpy(job.saved_fp, m->fpregs, sizeof(job.saved_fp));
        load_frame(m);
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
    (void)info;
    take_frame(m);
    job.s->vector = trap == 1 ? -1 : trap;
    job.s->error = (uint32_t)m->gregs[REG_ERR];
    job.s->cr2 = (uint64_t)m->gregs[REG_CR2];
    job.phase = IDLE;
    {
        struct _libc_fpstate *fp = m->fpregs;

        memcpy(m, &job.saved, sizeof(*m));
        m->fpregs = fp;
        memcpy(fp, job.saved_fp, sizeof(job.saved_fp));
    }
    m->gregs[REG_RIP] += 2; /* past UD2 */
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

bool diff_host_init(const char **why)
{
    stack_t st = { .ss_sp = malloc(1 << 17), .ss_size = 1 << 17 };
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
        mmap((void *)DIFF_DATA, DIFF_DATA_SIZE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)DIFF_DATA) {
        *why = "the test's addresses are taken";
        return false;
    }
    close(fd);
    data_page = (uint8_t *)DIFF_DATA;
    memset(code_alias, 0xcc, 4096);
    sigaltstack(&st, NULL);
    has_ldt = ldt_entry(0, true) && ldt_entry(1, false);
    return true;
}

bool diff_host_has(unsigned bits)
{
    return bits != 16 || has_ldt;
}

uint8_t *diff_host_data(void)
{
    return data_page;
}

void diff_host_run(unsigned bits, const uint8_t *code, unsigned len, bool string, DiffState *s)
{
    memcpy(code_alias + (DIFF_CODE - DIFF_BASE), code, 15);
    job.bits = bits;
    job.len = len;
    job.string = string;
    job.s = s;
    job.phase = START;
    if (bits != 64) {
        set_ds(diff_host_ds(bits));
    }
    /* NT and ID as POPF of an earlier case left them: sigreturn does not load them. */
    __asm__ volatile("sub $128, %%rsp\n\tpushfq\n\tandq $~0x204000, (%%rsp)\n\tpopfq\n\t"
                     "add $128, %%rsp\n\tud2" : : : "cc", "memory");
    if (bits != 64) {
        set_ds(0);
    }
}

uint32_t diff_host_cpuid(uint32_t leaf, uint32_t sub, unsigned reg)
{
    uint32_t r[4] = { 0 };

    __get_cpuid_count(leaf, sub, &r[0], &r[1], &r[2], &r[3]);
    return r[reg];
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
uint8_t *diff_host_data(void)
{
    return NULL;
}
void diff_host_run(unsigned bits, const uint8_t *code, unsigned len, bool string, DiffState *s)
{
}
uint32_t diff_host_cpuid(uint32_t leaf, uint32_t sub, unsigned reg)
{
    return 0;
}

#endif
