/*
 * Processor threads, pausing, exclusive sections, waking, breakpoints.
 *
 * One mutex `m` orders who runs. `owner` is set while someone needs all others parked: a processor
 * in an exclusive section, or the loop thread in accel_pause(). Lock order: nothing is taken while
 * `m` is held, and the machine lock is never held while waiting for it.
 */
#include "accel/accel.h"

#include "accel/icount.h"
#include "accel/options.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/error.h"
#include "cpu/engine.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "bus/lock.h"
#include "cpu/engine.h"
#include "cpu/mmu.h"

_Thread_local CpuState *cpu_current;
unsigned accel_breakpoints;
AccelStats accel_stats;
static uint64_t first_ticks; /* and when that was */
static int64_t first_ns;

typedef struct Vcpu {
    CpuState *c;
    pthread_t thread;
    int tid;        /* the host's id of it; atomic, 0: not started */
    pthread_cond_t wake;
    bool running;   /* in guest code; under m */
    bool sleeping;  /* waiting in `wake`; atomic */
    bool debugging; /* parked until accel_debug_continue(); under m */
    bool held;      /* parked until accel_release(); under m */
    uint64_t protected; /* the last request of protect() that it answered; atomic */
} Vcpu;

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t parked = PTHREAD_COND_INITIALIZER; /* someone stopped running, owner left */
static const AccelOps *accel;   /* constant after accel_init() */
static Vcpu *vcpus;
static unsigned vcpu_count;
static unsigned owners;         /* exclusive sections and pauses wanted or held; under m */
static bool owned;              /* one of them has it; under m */
static unsigned pauses;         /* loop thread only */
static bool started, ending;    /* under m */
static unsigned turn;           /* thread=single: who is asked first; under m */
static uint64_t protections;    /* asked for by protect(); atomic */
static unsigned timer_news;     /* -icount: another thread changed what is due next; atomic */

static void (*debug_fn)(void *opaque, CpuState *c, DebugReason why);
static void *debug_opaque;
static void (*fail_fn)(void);
static vaddr breakpoints[ACCEL_BREAKPOINTS]; /* changed only while paused */

double accel_megabytes(uint64_t bytes, uint64_t ticks)
{
    double per_us = (double)(accel_ticks() - first_ticks) / ((double)(clock_now(CLK_REAL) - first_ns + 1) / 1e3);

    return ticks == 0 ? 0 : (double)bytes * per_us / (double)ticks;
}

/* ---- who runs ---- */

static unsigned running_others(const Vcpu *self)
{
    unsigned n = 0;

    for (unsigned k = 0; k < vcpu_count; k++) {
        n += &vcpus[k] != self && vcpus[k].running;
    }
    return n;
}

/* stop - park it at its next look around. */
static void stop(CpuState *c)
{
    __atomic_or_fetch(&c->requests, REQ_STOP, __ATOMIC_SEQ_CST);
    if (accel->kick != NULL && c != cpu_current) {
        accel->kick(c);
    }
}

static void take_exclusive(Vcpu *self)
{
    pthread_mutex_lock(&m);
    owners++;
    if (self != NULL) {
        self->running = false; /* parked while it waits for its turn */
        pthread_cond_broadcast(&parked);
    }
    while (owned) {
        pthread_cond_wait(&parked, &m);
    }
    owned = true;
    for (unsigned k = 0; k < vcpu_count; k++) {
        if (&vcpus[k] != self) {
            stop(vcpus[k].c);
        }
    }
    while (running_others(self) != 0) {
        pthread_cond_wait(&parked, &m);
    }
    pthread_mutex_unlock(&m);
    for (unsigned k = 0; self == NULL && accel->sync != NULL && k < vcpu_count; k++) {
        accel->sync(vcpus[k].c);
    }
}

static void give_exclusive(Vcpu *self)
{
    pthread_mutex_lock(&m);
    owned = false;
    owners--;
    if (self != NULL) {
        self->running = true;
    }
    for (unsigned k = 0; k < vcpu_count; k++) {
        pthread_cond_signal(&vcpus[k].wake);
    }
    pthread_cond_broadcast(&parked);
    pthread_mutex_unlock(&m);
}

static Vcpu *vcpu_of(const CpuState *c)
{
    return &vcpus[c->index];
}

static void exclusive_begin(CpuState *c)
{
    if (vcpu_count > 1) {
        assert(!machine_lock_held());
        take_exclusive(vcpu_of(c));
    }
}

static void exclusive_end(CpuState *c)
{
    if (vcpu_count > 1) {
        give_exclusive(vcpu_of(c));
    }
}

static void kick(CpuState *c)
{
    Vcpu *v;

    if (c == cpu_current || vcpus == NULL || c->index >= vcpu_count) {
        return;
    }
    v = vcpu_of(c);
    if (__atomic_load_n(&v->sleeping, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&m);
        pthread_cond_signal(&v->wake);
        pthread_mutex_unlock(&m);
    } else if (accel->kick != NULL) {
        accel->kick(c);
    }
}

static void code_written(CpuState *c, uint64_t ram_offset, unsigned len)
{
    accel->code_written(c, ram_offset, len);
    for (unsigned k = 0; k < vcpu_count && vcpu_count > 1; k++) {
        if (vcpus[k].c != c) {
            accel->queue_drop(vcpus[k].c, ram_offset, len);
        }
    }
}

static void flush(CpuState *c, bool global)
{
    accel->flush(c, global);
}

static void switch_space(CpuState *c, uint64_t space, bool keep)
{
    if (accel->switch_space != NULL) {
        accel->switch_space(c, space, keep);
    } else {
        accel->flush(c, false);
    }
}

static void flush_page(CpuState *c, vaddr page)
{
    accel->flush_page(c, page);
}

static const EngineOps vcpu_engine = {
    .code_written = code_written,
    .flush = flush,
    .flush_page = flush_page,
    .switch_space = switch_space,
    .exclusive_begin = exclusive_begin,
    .exclusive_end = exclusive_end,
    .kick = kick,
};

/* ---- taking turns: thread=single ---- */

#define TURN_NS 10000000 /* that one has while others wait */

static bool has_work(const CpuState *c);

static bool wants(const Vcpu *v)
{
    return !v->debugging && !v->held && has_work(v->c);
}

/* It is @v's turn: nobody runs, and nobody before it wants to. Under m. */
static bool is_turn(const Vcpu *v)
{
    if (!accel_options.single) {
        return true;
    }
    if (running_others(v) != 0) {
        return false;
    }
    for (unsigned k = 0; k < vcpu_count; k++) {
        const Vcpu *next = &vcpus[(turn + k) % vcpu_count];

        if (next == v || wants(next)) {
            return next == v;
        }
    }
    return true;
}

/* Wait to be woken, for @ns at most (-1: for as long as it takes); false: nobody did. Under m. */
static bool wait_for(Vcpu *v, int64_t ns)
{
    int64_t until = clock_now(CLK_REAL) + ns;
    const struct timespec at = { until / NS_PER_SEC, until % NS_PER_SEC };

    if (ns < 0) {
        pthread_cond_wait(&v->wake, &m);
        return true;
    }
    return pthread_cond_clockwait(&v->wake, &m, CLOCK_MONOTONIC, &at) != ETIMEDOUT;
}

/* Wait to be woken, or for @ns as above; or for a turn: one that runs for too long is asked to stop. Under m. */
static void wait_woken(Vcpu *v, int64_t ns)
{
    if (!accel_options.single || owners != 0 || !wants(v)) {
        wait_for(v, ns);
        return;
    }
    if (wait_for(v, TURN_NS)) {
        return;
    }
    for (unsigned k = 0; k < vcpu_count; k++) {
        if (vcpus[k].running) {
            stop(vcpus[k].c);
        }
    }
}

/* @v ran, and is parked now: the next one. Under m. */
static void end_turn(const Vcpu *v)
{
    if (accel_options.single) {
        turn = (v->c->index + 1) % vcpu_count;
        for (unsigned k = 0; k < vcpu_count; k++) {
            pthread_cond_signal(&vcpus[k].wake);
        }
    }
}

/* ---- the thread ---- */

/* True when there is something to execute or to act on. */
static bool has_work(const CpuState *c)
{
    uint32_t r = __atomic_load_n(&c->requests, __ATOMIC_SEQ_CST) & ~(uint32_t)REQ_STOP;

    switch ((CpuActivity)c->activity) {
    case CPU_RUNNING:
        return true;
    case CPU_HALTED:
        return (r & ~(uint32_t)REQ_INTR) || ((r & REQ_INTR) && (c->rflags & FLAG_IF));
    case CPU_WAIT_SIPI:
        return (r & ~(uint32_t)(REQ_INTR | REQ_NMI | REQ_SMI)) != 0;
    default: /* shutdown: until reset, INIT or NMI */
        return (r & (REQ_INIT | REQ_A20 | REQ_MAP_CHANGED | REQ_CODE_DROP)) != 0;
    }
}

/* -icount: it is the time of a halted processor that passes now. Under m. */
static bool is_idle(const Vcpu *v)
{
    return icount_on && !ending && !owners && !v->debugging && !v->held && v->c->activity == CPU_HALTED;
}

/* It passes. For how long to sleep, as wait_for(); 0: look around again. Under m, which is let go meanwhile: to others
 * the processor runs. */
static int64_t pass_time(Vcpu *v)
{
    unsigned news = __atomic_load_n(&timer_news, __ATOMIC_SEQ_CST);
    int64_t ns;

    v->running = true;
    pthread_mutex_unlock(&m);
    ns = icount_idle(v->c);
    pthread_mutex_lock(&m);
    v->running = false;
    pthread_cond_broadcast(&parked);
    if (!is_idle(v) || has_work(v->c) || __atomic_load_n(&timer_news, __ATOMIC_SEQ_CST) != news) {
        return 0;
    }
    return ns;
}

/* -icount: a timer of another thread's may be the next one now. */
static void timers_changed(void *opaque)
{
    if (cpu_current == NULL && vcpus != NULL) {
        __atomic_add_fetch(&timer_news, 1, __ATOMIC_SEQ_CST);
        kick(vcpus[0].c);
    }
}

/* Park until this processor may run. False: the machine ends. */
static bool wait_turn(Vcpu *v)
{
    bool go;

    pthread_mutex_lock(&m);
    v->running = false;
    pthread_cond_broadcast(&parked);
    end_turn(v);
    for (;;) {
        int64_t ns = -1;

        __atomic_store_n(&v->sleeping, true, __ATOMIC_SEQ_CST);
        if (ending || (!owners && wants(v) && is_turn(v))) {
            break;
        }
        if (is_idle(v)) {
            ns = pass_time(v);
        }
        if (ns != 0) {
            wait_woken(v, ns);
        }
    }
    __atomic_store_n(&v->sleeping, false, __ATOMIC_SEQ_CST);
    __atomic_and_fetch(&v->c->requests, ~(uint32_t)REQ_STOP, __ATOMIC_SEQ_CST);
    go = !ending;
    v->running = go;
    pthread_mutex_unlock(&m);
    if (go && icount_on) {
        icount_wake();
    }
    return go;
}

static void *vcpu_main(void *arg)
{
    Vcpu *v = arg;
    sigset_t all;

    sigfillset(&all);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    __atomic_store_n(&v->tid, gettid(), __ATOMIC_RELAXED);
    cpu_current = v->c;
    machine_lock_patient();
    sandbox_thread(SANDBOX_VCPU);
    while (wait_turn(v)) {
        accel->run(v->c);
    }
    return NULL;
}

void accel_debug_stop(CpuState *c, DebugReason why)
{
    Vcpu *v = vcpu_of(c);

    if (debug_fn == NULL) {
        return;
    }
    pthread_mutex_lock(&m);
    v->debugging = true;
    __atomic_or_fetch(&c->requests, REQ_STOP, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&m);
    debug_fn(debug_opaque, c, why);
}

void accel_debug_handler(void (*fn)(void *opaque, CpuState *c, DebugReason why), void *opaque)
{
    debug_fn = fn;
    debug_opaque = opaque;
}

void accel_debug_continue(CpuState *c)
{
    pthread_mutex_lock(&m);
    vcpu_of(c)->debugging = false;
    pthread_cond_signal(&vcpu_of(c)->wake);
    pthread_mutex_unlock(&m);
}

void accel_hold(void)
{
    if (cpu_current != NULL && vcpus != NULL) {
        pthread_mutex_lock(&m);
        vcpu_of(cpu_current)->held = true;
        __atomic_or_fetch(&cpu_current->requests, REQ_STOP, __ATOMIC_SEQ_CST);
        pthread_mutex_unlock(&m);
    }
}

void accel_fail(void)
{
    accel_hold();
    if (fail_fn != NULL) {
        fail_fn();
    }
}

void accel_fail_handler(void (*fn)(void))
{
    fail_fn = fn;
}

void accel_release(void)
{
    pthread_mutex_lock(&m);
    for (unsigned k = 0; k < vcpu_count; k++) {
        vcpus[k].held = false;
        pthread_cond_signal(&vcpus[k].wake);
    }
    pthread_mutex_unlock(&m);
}

/* ---- life ---- */

static void map_changed(void *opaque)
{
    if (accel->map_changed != NULL) {
        accel->map_changed();
    }
    for (unsigned k = 0; k < vcpu_count; k++) {
        cpu_request(vcpus[k].c, REQ_MAP_CHANGED);
    }
}

static void dma_written(void *opaque, uint64_t ram_offset, uint64_t len)
{
    for (unsigned k = 0; k < vcpu_count; k++) {
        accel->queue_drop(vcpus[k].c, ram_offset, len);
    }
}

/* Processors drop their fast paths to tracked pages at their next look around. One that sleeps is
 * not woken for it: it looks before it executes anything. */
static uint64_t protect(void *opaque)
{
    uint64_t ticket = __atomic_add_fetch(&protections, 1, __ATOMIC_SEQ_CST);

    for (unsigned k = 0; k < vcpu_count; k++) {
        __atomic_or_fetch(&vcpus[k].c->requests, REQ_PROTECT, __ATOMIC_SEQ_CST);
    }
    return ticket;
}

static bool is_protected(void *opaque, uint64_t ticket)
{
    bool all = true;

    pthread_mutex_lock(&m);
    for (unsigned k = 0; k < vcpu_count && started; k++) {
        all = all && (__atomic_load_n(&vcpus[k].protected, __ATOMIC_SEQ_CST) >= ticket ||
                      __atomic_load_n(&vcpus[k].sleeping, __ATOMIC_SEQ_CST));
    }
    pthread_mutex_unlock(&m);
    return all;
}

void accel_take_protect(CpuState *c)
{
    uint64_t ticket;

    cpu_unrequest(c, REQ_PROTECT);
    ticket = __atomic_load_n(&protections, __ATOMIC_SEQ_CST);
    tlb_protect_tracked(c);
    __atomic_store_n(&vcpu_of(c)->protected, ticket, __ATOMIC_SEQ_CST);
}

static void collect(void *opaque, uint64_t ram_offset, uint64_t len)
{
    if (accel->collect != NULL) {
        accel->collect(ram_offset, len);
    }
}

static void logs_changed(void *opaque)
{
    if (accel->map_changed != NULL) {
        map_changed(opaque);
    }
}

static const MemListener listener = { .map_changed = map_changed, .written = dma_written, .protect = protect,
                                      .is_protected = is_protected, .collect = collect, .logs_changed = logs_changed };

bool accel_init(const AccelOps *ops, CpuState **cpus, unsigned count, struct Error **errp)
{
    accel = ops;
    first_ticks = accel_ticks();
    first_ns = clock_now(CLK_REAL);
    vcpus = xnewn(Vcpu, count);
    vcpu_count = count;
    cpu_many = count > 1;
    tlb_spaces_on = trick_on(TRICK_SPACES);
    engine_ops = &vcpu_engine;
    owners = 1; /* paused until the first accel_resume() */
    owned = true;
    pauses = 1;
    for (unsigned k = 0; k < count; k++) {
        vcpus[k].c = cpus[k];
        pthread_cond_init(&vcpus[k].wake, NULL);
        if (!ops->cpu_init(cpus[k], errp)) {
            return false;
        }
        cpu_take_view(cpus[k]);
    }
    mem_set_listener(&listener);
    if (icount_on) {
        timers_set_wake(timers_changed, &vcpus);
    }
    return true;
}

static void start_threads(void)
{
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 1 << 20);
    for (unsigned k = 0; k < vcpu_count; k++) {
        int err = pthread_create(&vcpus[k].thread, &attr, vcpu_main, &vcpus[k]);

        if (err != 0) {
            report("cannot start a thread for processor %u: %s", k, strerror(err));
            abort(); /* the host has no threads left: nothing to go on with */
        }
    }
    pthread_attr_destroy(&attr);
    started = true;
}

void accel_fini(void)
{
    if (vcpus == NULL) {
        return;
    }
    pthread_mutex_lock(&m);
    ending = true;
    for (unsigned k = 0; k < vcpu_count; k++) {
        stop(vcpus[k].c);
        pthread_cond_signal(&vcpus[k].wake);
    }
    pthread_mutex_unlock(&m);
    for (unsigned k = 0; k < vcpu_count; k++) {
        if (started) {
            pthread_join(vcpus[k].thread, NULL);
        }
        accel->cpu_fini(vcpus[k].c);
        pthread_cond_destroy(&vcpus[k].wake);
    }
    mem_set_listener(NULL);
    timers_set_wake(NULL, &vcpus);
    free(vcpus);
    vcpus = NULL;
    vcpu_count = 0;
    owners = pauses = 0;
    owned = started = ending = false;
}

void accel_pause(void)
{
    assert(!machine_lock_held());
    if (pauses++ == 0) {
        take_exclusive(NULL);
    }
}

void accel_resume(void)
{
    assert(pauses > 0);
    if (--pauses == 0) {
        if (!started) {
            start_threads();
        }
        give_exclusive(NULL);
    }
}

bool accel_paused(void)
{
    return pauses != 0;
}

void accel_info(FILE *out, bool hot)
{
    for (unsigned n = 0; accel->info != NULL && n < vcpu_count; n++) {
        accel->info(vcpus[n].c, out);
        if (hot && accel->info_hot != NULL) {
            accel->info_hot(vcpus[n].c, out);
        }
    }
}

const char *accel_name(void)
{
    return accel != NULL ? accel->name : "none";
}

unsigned accel_cpu_count(void)
{
    return vcpu_count;
}

CpuState *accel_cpu(unsigned n)
{
    return n < vcpu_count ? vcpus[n].c : NULL;
}

int accel_cpu_tid(unsigned n)
{
    int tid = __atomic_load_n(&vcpus[n].tid, __ATOMIC_RELAXED);

    return tid != 0 ? tid : getpid();
}

/* ---- breakpoints ---- */

void accel_drop_code(void)
{
    for (unsigned k = 0; k < vcpu_count; k++) {
        accel->drop_code(vcpus[k].c);
    }
}

bool accel_breakpoint_add(vaddr addr)
{
    if (accel_breakpoints == ACCEL_BREAKPOINTS) {
        return false;
    }
    breakpoints[accel_breakpoints++] = addr;
    accel_drop_code();
    return true;
}

bool accel_breakpoint_remove(vaddr addr)
{
    for (unsigned n = 0; n < accel_breakpoints; n++) {
        if (breakpoints[n] == addr) {
            breakpoints[n] = breakpoints[--accel_breakpoints];
            accel_drop_code();
            return true;
        }
    }
    return false;
}

void accel_breakpoints_clear(void)
{
    if (accel_breakpoints != 0) {
        accel_breakpoints = 0;
        accel_drop_code();
    }
}

bool accel_breakpoint_at(vaddr lin)
{
    for (unsigned n = 0; n < accel_breakpoints; n++) {
        if (breakpoints[n] == lin) {
            return true;
        }
    }
    return false;
}

bool accel_breakpoint_offset(unsigned offset)
{
    for (unsigned n = 0; n < accel_breakpoints; n++) {
        if ((breakpoints[n] & 0xfff) == offset) {
            return true;
        }
    }
    return false;
}

void accel_watch_changed(void)
{
    for (unsigned k = 0; k < vcpu_count; k++) {
        cpu_update_careful(vcpus[k].c);
        tlb_flush(vcpus[k].c, true);
    }
}
