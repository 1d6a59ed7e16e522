/*
 * The engine that compares the translator with the reference.
 */
#include "accel/lockstep/lockstep.h"

#include <inttypes.h>
#include <stdlib.h>
#include "accel/accel.h"
#include "accel/interp/interp.h"
#include "accel/jit/plan.h"
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "cpu/disas.h"
#include "cpu/flags.h"
#include "cpu/mmu.h"

#define REPEAT_COST 100 /* instructions, as time, of a part of a repeated one */
#define TRAIL 48u /* last instructions that a report shows */

StepStats lockstep_stats;
void (*lockstep_differs)(const CpuState *before);

static struct {
    CpuState *cpu, *ref;   /* that lives; that plays */
    CpuState *before, *after; /* of cpu: the part in front of CpuState.insn */
    CpuTape tape;
    uint64_t random;
    bool running;          /* a stretch of translated code */
    bool faulted, fetch;   /* it ended by a fault; that of fetching an instruction */
    vaddr fault_lin;       /* of the instruction that faulted */
    unsigned fault_bits;
    bool nested;           /* its delivery faulted, too */
    bool foreign;          /* the machine's memory map or modes changed without ref: its TLB is worth nothing */
    uint64_t translations; /* made before it */
    uint64_t count, done;  /* instructions of the stretch; that ref did */
    bool ref_faulted, ref_fetch;
    uint64_t undefined;    /* flags, as of ref */
    bool tainted;          /* one of them was read, or pushed */
    struct Decoded *decoded;
    vaddr trail[TRAIL];    /* where instructions were that ref did last */
} ls;

static uint64_t rnd(void)
{
    uint64_t v = ls.random += 0x9e3779b97f4a7c15ull; /* splitmix64 (public domain, Vigna) */

    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ull;
    v = (v ^ v >> 27) * 0x94d049bb133111ebull;
    return v ^ v >> 31;
}

void lockstep_seed(uint64_t seed)
{
    ls.random = seed;
}

static void copy_state(CpuState *to, const CpuState *from)
{
    memcpy(to, from, offsetof(CpuState, insn));
}

/* ---- the reference plays ---- */

/* Decoded instructions by where their bytes are, which must be what they were. */
typedef struct Decoded {
    const uint8_t *host;
    uint32_t key;
    uint8_t code[15], reads, sets; /* flags, as in Plan */
    Insn insn;
} Decoded;

#define DECODED 65536u
#define KEY_DECODE 7u /* of mode_key: accel/interp/block.c */

static const Decoded *decoded(CpuState *r, vaddr lin)
{
    const uint8_t *host = block_fetch(r, lin);
    Decoded *d = &ls.decoded[(uintptr_t)host % DECODED];
    uint32_t key = r->mode_key & KEY_DECODE;
    bool whole = (lin & 0xfff) + sizeof(d->code) <= PAGE_SIZE; /* an invalid one may depend on more than it has */
    Plan p;

    if (host != NULL && whole && d->host == host && d->key == key && memcmp(d->code, host, sizeof(d->code)) == 0 &&
        (r->code64 || r->regs[GPR_RIP] + d->insn.len - 1 <= r->segs[SEG_CS].limit)) {
        return d;
    }
    d->host = NULL;
    d->insn = *block_single(r, lin);
    plan_insn(&d->insn, (r->code64 ? KEY_64 : 0) | 31u << KEY_SEG_SHIFT | KEY_VEC | KEY_CPL0, &p);
    d->reads = p.reads;
    d->sets = p.sets;
    if (host != NULL && whole) {
        d->host = host;
        d->key = key;
        memcpy(d->code, host, sizeof(d->code));
    }
    return d;
}

static void step(CpuState *r)
{
    const Decoded *d;
    const Insn *i;
    uint64_t undefined, start;

    if (r->inhibit_irq) {
        r->inhibit_irq = r->inhibit_db = false;
        cpu_update_careful(r);
    }
    r->insn = NULL;
    d = decoded(r, linear_rip(r));
    i = &d->insn;
    ls.tainted |= (ls.undefined & step_flags(d->reads)) != 0;
    undefined = step_undefined(i, (uint8_t)r->regs[GPR_RCX]);
    r->insn = i;
    ls.trail[ls.done % TRAIL] = linear_rip(r);
    ls.done++;
    start = r->regs[GPR_RIP];
    insn_pass(r, i);
    i->exec(r, i);
    while (r->mid_repeat && r->regs[GPR_RIP] == start) {
        insn_pass(r, i);
        i->exec(r, i);
    }
    ls.undefined = (ls.undefined & ~step_flags(d->sets)) | undefined;
    r->insn = NULL;
}

static void play_on(CpuState *r)
{
    while (ls.done < ls.count && r->activity == CPU_RUNNING) {
        step(r);
    }
    if (ls.faulted && ls.fetch && ls.done == ls.count) {
        block_single(r, linear_rip(r));
    }
}

static __attribute__((noinline)) void play(CpuState *r)
{
    ls.done = 0;
    ls.undefined = 0;
    ls.tainted = false;
    ls.ref_faulted = ls.ref_fetch = false;
    if (_setjmp(r->fault_env) == 0) {
        play_on(r);
    } else {
        if (!ls.ref_faulted) {
            ls.ref_faulted = true;
            ls.ref_fetch = r->insn == NULL;
            ls.tainted |= ls.undefined != 0;
        }
        interp_after_fault(r); /* which may fault in turn */
    }
    r->insn = NULL;
}

/* ---- comparing ---- */

static void show_trail(void)
{
    uint64_t n = MIN(ls.done, (uint64_t)TRAIL);

    fprintf(stderr, "the last %" PRIu64 " of %" PRIu64 " instructions by the reference:\n", n, ls.done);
    for (uint64_t k = ls.done - n; k < ls.done; k++) {
        char text[160] = "?";
        uint8_t code[15] = { 0 };
        hwaddr pa;

        if (mmu_peek(ls.cpu, ls.trail[k % TRAIL], &pa) && mem_peek(pa, code, sizeof(code), false)) {
            disas_one(ls.before->mode_bits, ls.trail[k % TRAIL], code, sizeof(code), text, sizeof(text));
        }
        fprintf(stderr, "  %016" PRIx64 "  %s\n", ls.trail[k % TRAIL], text);
    }
}

static void show_next(void)
{
    char text[160] = "?";
    uint8_t code[15] = { 0 };
    vaddr lin = linear_rip(ls.ref);
    hwaddr pa;

    if (mmu_peek(ls.cpu, lin, &pa) && mem_peek(pa, code, sizeof(code), false)) {
        disas_one(ls.ref->mode_bits, lin, code, sizeof(code), text, sizeof(text));
    }
    fprintf(stderr, "next:\n  %016" PRIx64 "  %s\n", lin, text);
}

static void show_end(const char *who, const CpuState *c)
{
    fprintf(stderr, "%-10s ends at %04x:%016" PRIx64 ", cr2 %" PRIx64 ", activity %u, last vector %d error %x\n", who,
            c->segs[SEG_CS].selector, c->regs[GPR_RIP], c->cr2, c->activity, c->exc_vector, c->exc_error);
}

static void report_difference(const char *what)
{
    const CpuState *b = ls.before;

    lockstep_stats.differences++;
    fprintf(stderr,
            "x-lockstep: the translator differs from the reference: %s\n"
            "stretch %" PRIu64 " of seed %" PRIu64 ", %" PRIu64 " instructions from %04x:%016" PRIx64
            " (%u bits, CPL %u, cr0 %" PRIx64 ", cr3 %" PRIx64 "), %" PRIu64 " instructions compared before%s\n",
            what, lockstep_stats.stretches, accel_options.lockstep, ls.count, b->segs[SEG_CS].selector,
            b->regs[GPR_RIP], b->mode_bits, b->cpl, b->cr0, b->cr3, lockstep_stats.insns,
            ls.faulted ? "; a fault ends it" : "");
    show_end("translated", ls.after);
    show_end("reference", ls.ref);
    show_trail();
    show_next();
    fprintf(stderr, "again: the same command line (with -icount it does the same); then with x-NAME=off of each trick\n");
    if (lockstep_differs == NULL) {
        machine_unlock();
        exit(3);
    }
    lockstep_differs(b);
}

static bool tape_text(char *text, size_t size)
{
    const CpuTape *t = &ls.tape;

    if (t->differs) {
        snprintf(text, size, "the reference: %s %" PRIx64 " of %" PRIx64 "; translated: %s %" PRIx64 " of %" PRIx64,
                 tape_name(t->wrong.kind), t->wrong.addr, t->wrong.val,
                 t->at < t->count ? tape_name(t->event[t->at].kind) : "nothing",
                 t->at < t->count ? t->event[t->at].addr : 0, t->at < t->count ? t->event[t->at].val : 0);
        return true;
    }
    if (t->at != t->count) {
        snprintf(text, size, "the reference did not come to a %s of %" PRIx64, tape_name(t->event[t->at].kind),
                 t->event[t->at].addr);
        return true;
    }
    return false;
}

static bool flow_text(char *text, size_t size)
{
    if (ls.faulted != ls.ref_faulted || ls.fetch != ls.ref_fetch || ls.done != ls.count) {
        snprintf(text, size, "%s after %" PRIu64 " instructions translated, %s after %" PRIu64 " by the reference",
                 ls.fetch ? "a fetch fault" : ls.faulted ? "a fault" : "no fault", ls.count,
                 ls.ref_fetch ? "a fetch fault" : ls.ref_faulted ? "a fault" : "no fault", ls.done);
        return true;
    }
    return false;
}

static void add_text(char *all, size_t size, const char *text)
{
    snprintf(all + strlen(all), size - strlen(all), "%s%s", *all != '\0' ? "; " : "", text);
}

/* Flags that the translation had not kept up to date where the stretch ended. */
static uint64_t dead_flags(void)
{
    const CpuState *c = ls.after;

    if (ls.cpu->jit.cpu->strict || ls.fetch) {
        return 0;
    }
    return ls.faulted ? step_dead(ls.cpu, ls.fault_lin, ls.fault_bits) : step_dead(ls.cpu, linear_rip(c), c->mode_bits);
}

/* They were pushed, when a fault ended it: RFLAGS in a frame of a 64- or 32-bit gate. */
static void level_frame(uint64_t dead)
{
    CpuState *c = ls.cpu;
    bool wide = c->efer & EFER_LMA;
    vaddr base = wide ? 0 : c->segs[SEG_SS].base; /* 64-bit mode may have kept one that it does not use */
    vaddr at = base + c->regs[GPR_RSP] + (wide ? 16 : 8) + (c->exc_has_error ? (wide ? 8 : 4) : 0);

    for (unsigned n = 0; n < 2; n++) {
        vaddr lin = wide ? at + n : (uint32_t)(at + n);
        const FlatRange *r;
        hwaddr pa;

        if (mmu_peek(c, lin, &pa) && (r = flat_find(cpu_view(c), pa)) != NULL && r->region->kind == REGION_RAM) {
            step_ram_level(r->region->ram_offset + r->offset + (pa - r->first), (uint8_t)(dead >> 8 * n));
        }
    }
}

static void compare(void)
{
    char text[256], all[1024] = "";
    uint8_t was, is;
    uint64_t dead = 0;
    int64_t at;

    if (ls.faulted || ((flags_get(ls.after) ^ flags_get(ls.ref)) & ~ls.undefined) != 0) {
        dead = dead_flags();
        lockstep_stats.late += dead != 0;
    }
    if (ls.faulted && dead != 0) {
        level_frame(dead);
        ls.tainted |= ls.nested; /* parts of frames may be anywhere */
    }
    at = step_ram_compare(&was, &is, &lockstep_stats.accessed);
    if (flow_text(text, sizeof(text))) {
        add_text(all, sizeof(all), text);
    }
    if (tape_text(text, sizeof(text))) {
        add_text(all, sizeof(all), text);
    }
    if (step_compare(ls.after, ls.ref, ls.undefined | dead, text, sizeof(text))) {
        add_text(all, sizeof(all), text);
    }
    if (at >= 0) {
        snprintf(text, sizeof(text), "RAM byte %" PRIx64 ": translated %02x, reference %02x", (uint64_t)at, was, is);
        add_text(all, sizeof(all), text);
    }
    if (*all == '\0') {
        return;
    }
    if (ls.tainted) {
        lockstep_stats.undefined++;
        ls.foreign = true;
        step_ram_adopt(ls.cpu);
        return;
    }

    report_difference(all);
}

/* ---- a stretch ---- */

/* Things that a guest must not notice. */
static void disturb(CpuState *c)
{
    uint64_t r = rnd();

    if (r % 512 == 0) {
        accel_jit.drop_code(c);
    }
    if (r >> 16 & 15) {
        return;
    }
    switch (r >> 20 & 3) {
    case 0:
        tlb_flush(c, true);
        ls.foreign = true;
        break;
    case 1:
        jit_new_generation(c, true);
        break;
    case 2: /* the return stack */
        c->jit.ret_stamp = 0;
        memset(c->jit.cpu->ret_stamps, 0, sizeof(c->jit.cpu->ret_stamps));
        break;
    default:
        tlb_flush_page(c, c->regs[GPR_RSP]);
        ls.foreign = true;
        break;
    }
}

static unsigned length(void)
{
    uint64_t r = rnd();

    return (unsigned)(r & 3 ? r >> 8 & 511 : r >> 8 & 15);
}

/* Old code need not be compared each time. */
static bool chosen(const CpuState *c)
{
    unsigned n = accel_options.lockstep_sample;

    return n <= 1 || c->jit.cpu->translations != ls.translations || rnd() % n == 0;
}

/* The stretch that ran is in memory and in CpuState: is it what the reference does? */
static void check(CpuState *c)
{
    CpuState *r = ls.ref;

    ls.running = false;
    c->tape = NULL;
    c->insn = NULL;
    ls.count = c->jit.count;
    c->insns += ls.count + (c->mid_repeat ? REPEAT_COST : 0);
    if (!chosen(c)) {
        lockstep_stats.unchosen++;
        ls.foreign = true;
        return;
    }
    if (c->mid_repeat || ls.tape.full || !step_ram_rollback(c)) {
        lockstep_stats.skipped++;
        ls.foreign = true;
        return;
    }
    lockstep_stats.stretches++;
    copy_state(ls.after, c);
    copy_state(r, ls.before);
    r->requests = 0;
    r->hooks = c->hooks;
    if (r->view != c->view) {
        cpu_take_view(r);
    }
    if (ls.foreign) {
        ls.foreign = false;
        tlb_flush(r, true);
    }
    tlb_protect_tracked(r);
    tape_rewind(&ls.tape, true);
    r->tape = &ls.tape;
    play(r);
    compare();
    lockstep_stats.insns += ls.count;
    tlb_protect_tracked(c);
    disturb(c);
}

static void live(CpuState *c, vaddr lin)
{
    lockstep_stats.live++;
    ls.foreign = true;
    interp_block(c, lin, block_find(c, lin));
}

static void stretch(CpuState *c)
{
    vaddr lin = linear_rip(c);

    block_find(c, lin); /* a fault of this is not the stretch's */
    if (!jit_mode(c)) {
        live(c, lin);
        return;
    }
    machine_lock(); /* so that no device changes memory meanwhile but in what the processor asks of it */
    ls.translations = c->jit.cpu->translations;
    step_ram_sync();
    tlb_protect_tracked(c);
    copy_state(ls.before, c);
    c->jit.count = 0;
    tape_rewind(&ls.tape, false);
    c->tape = &ls.tape;
    ls.faulted = ls.fetch = false;
    ls.running = true;
    if (jit_chain(c, length())) {
        check(c);
        machine_unlock();
        return;
    }
    ls.running = false;
    c->tape = NULL;
    machine_unlock();
    live(c, lin);
}

/* ---- the engine ---- */

static __attribute__((noinline)) void loop(CpuState *c)
{
    for (;;) {
        uint64_t cr3 = c->cr3;
        uint32_t key = c->mode_key;

        if (requests(c) != 0 && !interp_take_requests(c)) {
            return;
        }
        if (c->activity != CPU_RUNNING) {
            return;
        }
        if (interp_event(c)) {
            ls.foreign = true;
            continue;
        }
        ls.foreign |= cr3 != c->cr3 || key != c->mode_key;
        stretch(c);
    }
}

static void lockstep_run(CpuState *c)
{
    c->jit.site = NULL;
    ls.foreign = true; /* a reset, a loaded state: anything may have been done to it */
    if (_setjmp(c->fault_env) != 0) {
        ls.nested = ls.running && ls.faulted;
        if (ls.running && !ls.faulted) {
            ls.faulted = true;
            ls.fetch = c->insn == NULL;
            ls.fault_lin = c->insn != NULL && !c->insn_faults_here ? linear_of(c, c->insn) : linear_rip(c);
            ls.fault_bits = c->mode_bits;
        }
        interp_after_fault(c); /* which may fault in turn */
        if (ls.running) {
            check(c);
            machine_unlock();
        }
    }
    loop(c);
}

static bool lockstep_init(CpuState *c, Error **errp)
{
    if (c->index != 0) {
        error_set(errp, "x-lockstep: not with more than one processor");
        return false;
    }
    if (!accel_jit.cpu_init(c, errp)) {
        return false;
    }
    jit_counting(c);
    ls.cpu = c;
    ls.ref = cpu_new(0, c->model);
    ls.decoded = xnewn(Decoded, DECODED);
    ls.before = cpu_new(0, c->model);
    ls.after = cpu_new(0, c->model);
    ls.random = accel_options.lockstep;
    ls.tape.played = step_ram_play;
    ls.foreign = true;
    memset(&lockstep_stats, 0, sizeof(lockstep_stats));
    return block_init(ls.ref, errp) && step_ram_init(errp);
}

static void lockstep_fini(CpuState *c)
{
    step_ram_fini();
    accel_jit.cpu_fini(c);
    block_fini(ls.ref);
    cpu_free(ls.ref);
    free(ls.decoded);
    cpu_free(ls.before);
    cpu_free(ls.after);
    memset(&ls, 0, sizeof(ls));
}

static void code_written(CpuState *c, uint64_t ram_offset, unsigned len)
{
    accel_jit.code_written(ls.cpu, ram_offset, len); /* the other holds no blocks */
}

/* A device wrote. With the lock held while a stretch runs, it is this processor that made it do so. */
static void queue_drop(CpuState *c, uint64_t ram_offset, uint64_t len)
{
    if (ls.running) {
        step_ram_dma(&ls.tape, ram_offset, len);
    }
    accel_jit.queue_drop(c, ram_offset, len);
}

static void flush(CpuState *c, bool global)
{
    (c == ls.cpu ? accel_jit.flush : block_flush)(c, global);
}

static void flush_page(CpuState *c, vaddr page)
{
    (c == ls.cpu ? accel_jit.flush_page : block_flush_page)(c, page);
}

static void switch_space(CpuState *c, uint64_t space, bool keep)
{
    if (c == ls.cpu) {
        accel_jit.switch_space(c, space, keep);
    } else {
        block_flush(c, false);
    }
}

static void info(CpuState *c, FILE *out)
{
    const StepStats *s = &lockstep_stats;

    fprintf(out,
            "lockstep: seed %" PRIu64 ": %" PRIu64 " stretches of %" PRIu64 " instructions compared, %" PRIu64
            " not, and %" PRIu64 " by lot; %" PRIu64 " blocks by the reference alone; %" PRIu64 " accessed bits, %" PRIu64
            " by undefined flags, %" PRIu64 " by flags set again and %" PRIu64 " stretches differ; %" PRIu64 " writes by devices played\n",
            accel_options.lockstep, s->stretches, s->insns, s->skipped, s->unchosen, s->live, s->accessed, s->undefined, s->late,
            s->differences, s->dma);
    accel_jit.info(c, out);
}

const AccelOps accel_lockstep = {
    .name = "lockstep",
    .cpu_init = lockstep_init,
    .cpu_fini = lockstep_fini,
    .run = lockstep_run,
    .drop_code = block_drop_all,
    .code_written = code_written,
    .queue_drop = queue_drop,
    .flush = flush,
    .flush_page = flush_page,
    .switch_space = switch_space,
    .info = info,
};
