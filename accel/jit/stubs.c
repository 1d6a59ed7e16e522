/*
 * The stubs between C and translated code.
 *
 * Translated code runs on the return stack of its processor: a CALL of the guest is a call of the
 * host, which pushes the host's return address below the guest's, and its RET is the host's where the
 * guest's address is the one on top. The bottom holds a pair that no RET should match. Pairs mean
 * something while JitState.ret_stamp is the stamp of now: jit.c begins anew when the code or what it
 * translates may have changed. C runs on the thread's own stack, to which the stubs switch.
 *
 * Vector and x87 registers stay in the host's until C is called that is not of gpr.c; a translation
 * that uses them looks at vec_held and x87_held first.
 */
#include "accel/jit/jit.h"

#include "base/mem.h"

#define RET_NONE 0x8000d0bbe1000000ull /* not canonical */

static const uint8_t saved[] = { 3, 5, 12, 13, 14, 15 }; /* callee-saved: rbx rbp r12-r15 */
static const uint8_t lost[] = { 0, 1, 2, 6, 7, 8, 9, 10, 11 }; /* the others but rsp */

static void transfer(Emit *e, bool store)
{
    for (unsigned n = 0; n <= GPR_R15; n++) {
        if (n < GPR_R9 || n > GPR_R11) {
            emit_op(e, F_W, store ? 0x89 : 0x8b, host_reg(n), GS_AT(offsetof(CpuState, regs) + 8 * n));
        }
    }
}

static void push_pop(Emit *e, unsigned reg, bool push)
{
    if (reg & 8) {
        put8(e, 0x41);
    }
    put8(e, (push ? 0x50 : 0x58) | (reg & 7));
}

static void adjust_rsp(Emit *e, int by)
{
    emit_op(e, F_W, 0x8d, H_RSP, MEM(H_RSP, RM_NONE, 0, by));
}

static void to_host_stack(Emit *e)
{
    emit_store(e, H_RSP, GS(jit.ret_sp));
    emit_load(e, H_RSP, GS(jit.host_rsp));
}

static void call_c(Emit *e, CpuState *c, const void *fn)
{
    emit_const(e, H_RDI, (uint64_t)(uintptr_t)c);
    emit_const(e, H_RAX, (uint64_t)(uintptr_t)fn);
    emit_op(e, 0, 0xff, 2, REG(H_RAX));
}

static void byte_is(Emit *e, Rm at, unsigned v)
{
    emit_op(e, 0, 0x80, 7, at);
    put8(e, v);
}

static void set_byte(Emit *e, Rm at, unsigned v)
{
    emit_op(e, 0, 0xc6, 0, at);
    put8(e, v);
}

static void back_to_c(Emit *e)
{
    adjust_rsp(e, 8);
    for (unsigned n = ARRAY_SIZE(saved); n-- > 0;) {
        push_pop(e, saved[n], false);
    }
    put8(e, 0xc3);
}

/* ---- vector and x87 registers ---- */

static void vec_transfer(Emit *e, bool avx, bool store)
{
    for (unsigned n = 0; n < 16; n++) {
        Rm at = GS_AT(offsetof(CpuState, xmm) + n * sizeof(VecReg));

        if (avx) { /* VMOVUPS ymm; the prefix of GS comes first */
            if (e->state == 0) {
                put8(e, 0x65);
            }
            put8(e, 0xc5);
            put8(e, (n & 8 ? 0 : 0x80) | 0x7c);
            put8(e, store ? 0x11 : 0x10);
            put8(e, (n & 7) << 3 | 4);
            put8(e, 0x25);
            put32(e, e->state + (uint32_t)at.disp);
        } else {
            emit_op(e, F_0F, store ? 0x11 : 0x10, n, at);
        }
    }
}

static void mxcsr(Emit *e, Rm at, bool store)
{
    emit_op(e, F_0F, 0xae, store ? 3 : 2, at);
}

/* Called on the host's stack, with the general registers in CpuState, but for r12 to r15. */
static uint8_t *save_stub(Emit *e, CpuState *c, const Jit *j)
{
    static const uint8_t vzeroupper[] = { 0xc5, 0xf8, 0x77 };
    uint8_t *start = e->p, *skip;

    byte_is(e, GS(jit.vec_held), 0);
    skip = emit_jump(e, 4, NULL);
    vec_transfer(e, j->avx, true);
    if (j->avx) {
        memcpy(e->p, vzeroupper, sizeof(vzeroupper));
        e->p += sizeof(vzeroupper);
    }
    mxcsr(e, GS(mxcsr), true);
    mxcsr(e, GS(jit.mxcsr_host), false);
    set_byte(e, GS(jit.vec_held), 0);
    emit_set_jump(skip, e->p);
    byte_is(e, GS(jit.x87_held), 0);
    skip = emit_jump(e, 4, NULL);
    emit_op(e, 0, 0xdd, 6, GS(jit.x87)); /* FNSAVE */
    set_byte(e, GS(jit.x87_held), 0);
    adjust_rsp(e, -8);
    call_c(e, c, jit_x87_unpack);
    adjust_rsp(e, 8);
    emit_set_jump(skip, e->p);
    put8(e, 0xc3);
    return start;
}

static void save_held(Emit *e, const uint8_t *save)
{
    uint8_t *skip;

    _Static_assert(offsetof(CpuState, jit.x87_held) == offsetof(CpuState, jit.vec_held) + 1, "a word");
    emit_op(e, F_66, 0x83, 7, GS(jit.vec_held));
    put8(e, 0);
    skip = emit_jump(e, 4, NULL);
    emit_jump(e, JUMP_CALL, save);
    emit_set_jump(skip, e->p);
}

static uint8_t *load_vec_stub(Emit *e, const Jit *j)
{
    uint8_t *start = e->p;

    vec_transfer(e, j->avx, false);
    mxcsr(e, GS(mxcsr), false);
    set_byte(e, GS(jit.vec_held), 1);
    put8(e, 0xc3);
    return start;
}

/* A function of gpr.c, called from translated code. */
static void call_gpr(Emit *e, CpuState *c, const void *fn)
{
    to_host_stack(e);
    for (unsigned n = 0; n < ARRAY_SIZE(lost); n++) {
        push_pop(e, lost[n], true);
    }
    adjust_rsp(e, -8);
    emit_op(e, F_W, 0x89, H_S1, REG(H_RSI));
    emit_op(e, F_W, 0x89, H_S2, REG(H_RDX));
    call_c(e, c, fn);
    emit_op(e, 0, 0x83, 7, REG(H_RAX)); /* CMP eax */
    put8(e, FILL_AGAIN);
    adjust_rsp(e, 8);
    for (unsigned n = ARRAY_SIZE(lost); n-- > 0;) {
        push_pop(e, lost[n], false);
    }
    emit_load(e, H_RSP, GS(jit.ret_sp));
}

static uint8_t *load_x87_stub(Emit *e, CpuState *c)
{
    uint8_t *start = e->p;

    call_gpr(e, c, jit_x87_pack);
    emit_op(e, 0, 0xdd, 4, GS(jit.x87)); /* FRSTOR */
    set_byte(e, GS(jit.x87_held), 1);
    put8(e, 0xc3);
    return start;
}

/* r13 is the address. It returns to where it was called from, or 5 bytes behind that: r13 and r14 are an offset and a
 * host page; or 10: to the reference. */
static uint8_t *fill_stub(Emit *e, CpuState *c, const void *fn, bool write)
{
    uint8_t *start = e->p, *none;

    emit_const(e, H_S2, write);
    call_gpr(e, c, fn);
    none = emit_jump(e, 2, NULL);
    put8(e, 0x77); /* JA over the RET */
    put8(e, 1);
    put8(e, 0xc3);
    emit_load(e, H_S2, GS(jit.once[0]));
    emit_load(e, H_S1, GS(jit.once[1]));
    emit_op(e, F_W, 0x83, 0, MEM(H_RSP, RM_NONE, 0, 0));
    put8(e, 5);
    put8(e, 0xc3);
    emit_set_jump(none, e->p);
    emit_op(e, F_W, 0x83, 0, MEM(H_RSP, RM_NONE, 0, 0));
    put8(e, 10);
    put8(e, 0xc3);
    return start;
}

/* By mode too: r13 is the address xor the entry's tag, r14 the entry's offset. */
static void fill_stubs(Emit *e, CpuState *c, Jit *j)
{
    for (unsigned w = 0; w < 2; w++) {
        j->fill_at[w] = fill_stub(e, c, jit_fill, w);
        for (unsigned m = 0; m < MMU_MODES; m++) {
            j->fill[m][w] = e->p;
            emit_op(e, F_W, 0x33, H_S1, GS_IDX(H_S2, offsetof(CpuState, tlb) + m * sizeof(((CpuState *)0)->tlb[0]) +
                                               (w ? offsetof(TlbEntry, wtag) : offsetof(TlbEntry, rtag))));
            emit_jump(e, JUMP_ALWAYS, j->fill_at[w]);
        }
    }
}

void jit_tlb_index(Emit *e, bool bmi2)
{
    _Static_assert(sizeof(TlbEntry) == 32, "the index is scaled by 32");
    if (bmi2) { /* RORX r14, r13, 7 */
        static const uint8_t rorx[] = { 0xc4, 0x43, 0xfb, 0xf0, 0xf5, PAGE_SHIFT - 5 };

        memcpy(e->p, rorx, sizeof(rorx));
        e->p += sizeof(rorx);
    } else {
        emit_op(e, F_W, 0x89, H_S1, REG(H_S2));
        emit_op(e, F_W, 0xc1, 5, REG(H_S2)); /* SHR */
        put8(e, PAGE_SHIFT - 5);
    }
    emit_op(e, 0, 0x81, 4, REG(H_S2)); /* AND */
    put32(e, (TLB_SIZE - 1) << 5);
}

/* The same for an access off the stack pointer (r13 is the address xor tlb_stack's tag), of up to @most bytes:
 * CpuState.tlb_stack is to be its page, to which the TLB may have it. Call chains across the end of a page come here often. */
static uint8_t *stack_stub(Emit *e, const Jit *j, MmuMode m, unsigned most, const uint8_t *other)
{
    size_t entry = offsetof(CpuState, tlb) + m * sizeof(((CpuState *)0)->tlb[0]);
    size_t stack = offsetof(CpuState, tlb_stack) + m * sizeof(TlbStack);
    uint8_t *start = e->p, *miss;

    emit_op(e, F_W, 0x33, H_S1, GS_AT(stack + offsetof(TlbStack, tag)));
    jit_tlb_index(e, j->bmi2);
    emit_op(e, F_W, 0x33, H_S1, GS_IDX(H_S2, entry + offsetof(TlbEntry, wtag)));
    emit_op(e, F_W, 0x81, 7, REG(H_S1)); /* CMP */
    put32(e, PAGE_SIZE - most);
    miss = emit_jump(e, 7, NULL);
    push_pop(e, H_S1, true);
    emit_load(e, H_S1, GS_IDX(H_S2, entry + offsetof(TlbEntry, wtag)));
    emit_store(e, H_S1, GS_AT(stack + offsetof(TlbStack, tag)));
    emit_load(e, H_S2, GS_IDX(H_S2, entry + offsetof(TlbEntry, host)));
    emit_store(e, H_S2, GS_AT(stack + offsetof(TlbStack, host)));
    emit_op(e, F_W, 0x2b, H_S2, REG(H_S1)); /* SUB */
    emit_store(e, H_S2, GS_AT(stack + offsetof(TlbStack, delta)));
    emit_op(e, F_W, 0x89, H_S1, REG(H_S2));
    push_pop(e, H_S1, false);
    emit_op(e, F_W, 0x33, H_S1, REG(H_S2)); /* the address again */
    put8(e, 0xc3);
    emit_set_jump(miss, e->p);
    emit_op(e, F_W, 0x33, H_S1, GS_IDX(H_S2, entry + offsetof(TlbEntry, wtag)));
    emit_jump(e, JUMP_ALWAYS, other);
    return start;
}

static void stack_stubs(Emit *e, CpuState *c, Jit *j)
{
    static const unsigned most[STACK_SIZES] = { 8, 64, 128, 256, 1024 };
    uint8_t *other[2] = { fill_stub(e, c, jit_fill_stack, false), fill_stub(e, c, jit_fill_stack, true) };

    for (unsigned m = 0; m < MMU_MODES; m++) {
        for (unsigned n = 0; n < 2 * STACK_SIZES; n++) {
            j->stack_fill[m][n % 2][n / 2] = stack_stub(e, j, m, most[n / 2], other[n % 2]);
        }
    }
}

/* ---- the jump cache ---- */

/* The log of @w has one more entry, r14. r13 is lost. */
static void log_way(Emit *e, size_t w)
{
    uint8_t *full;

    emit_op(e, 0, 0x8b, H_S1, GS_AT(w + offsetof(JitWays, used)));
    emit_op(e, 0, 0x81, 7, REG(H_S1)); /* CMP */
    put32(e, WAY_LOG);
    full = emit_jump(e, 3, NULL);
    emit_op(e, F_66, 0x89, H_S2, GS_SCALED(H_S1, 1, w + offsetof(JitWays, log)));
    emit_op(e, 0, 0x83, 0, GS_AT(w + offsetof(JitWays, used))); /* ADD */
    put8(e, 1);
    emit_set_jump(full, e->p);
}

/* Called with a linear address in r13 and its index in JitWays in r14, which has another: that of the jump cache
 * is taken there, if it is good. ZF=1: it was; r14 is kept. */
static uint8_t *way_stub(Emit *e, MmuMode m)
{
    size_t w = offsetof(CpuState, jit.ways) + m * sizeof(JitWays);
    size_t ids = offsetof(CpuState, jit.page_id) + m * sizeof(((CpuState *)0)->jit.page_id[0]);
    uint8_t *start = e->p, *first, *none, *bad;

    _Static_assert(sizeof(JitJump) == 32, "the index is scaled by 32");
    push_pop(e, H_S2, true);
    emit_op(e, F_W, 0x89, H_S1, REG(H_S2));
    emit_op(e, F_W, 0xc1, 5, REG(H_S2)); /* SHR */
    put8(e, PAGE_SHIFT);
    emit_op(e, F_W, 0x33, H_S2, REG(H_S1));
    emit_op(e, 0, 0xc1, 4, REG(H_S2)); /* SHL */
    put8(e, 5);
    emit_op(e, 0, 0x81, 4, REG(H_S2)); /* AND */
    put32(e, (JUMP_SIZE - 1) << 5);
    emit_op(e, F_W, 0x3b, H_S1, GS_IDX(H_S2, offsetof(CpuState, jit.jump[0].lin)));
    first = emit_jump(e, 4, NULL);
    emit_op(e, 0, 0x83, 6, REG(H_S2)); /* XOR: the other of the pair */
    put8(e, sizeof(JitJump));
    emit_op(e, F_W, 0x3b, H_S1, GS_IDX(H_S2, offsetof(CpuState, jit.jump[0].lin)));
    none = emit_jump(e, 5, NULL);
    emit_set_jump(first, e->p);
    push_pop(e, H_S1, true);
    emit_op(e, 0, 0x8b, H_S1, GS_IDX(H_S2, offsetof(CpuState, jit.jump[0].slot)));
    emit_op(e, 0, 0x8b, H_S1, GS_IDX(H_S1, ids));
    emit_op(e, 0, 0x3b, H_S1, GS_IDX(H_S2, offsetof(CpuState, jit.jump[0].id)));
    bad = emit_jump(e, 5, NULL); /* the page is not where it was, or its code not of this mode */
    emit_load(e, H_S1, GS_IDX(H_S2, offsetof(CpuState, jit.jump[0].code)));
    emit_store(e, H_S1, GS(jit.tmp[1]));
    push_pop(e, H_S1, false);
    push_pop(e, H_S2, false);
    emit_store(e, H_S1, GS_SCALED(H_S2, 3, w + offsetof(JitWays, lin)));
    emit_load(e, H_S1, GS(jit.tmp[1]));
    emit_store(e, H_S1, GS_SCALED(H_S2, 3, w + offsetof(JitWays, code)));
    log_way(e, w);
    emit_op(e, 0, 0x31, H_S1, REG(H_S1)); /* XOR */
    put8(e, 0xc3);
    emit_set_jump(bad, e->p);
    push_pop(e, H_S1, false);
    emit_set_jump(none, e->p);
    push_pop(e, H_S2, false);
    put8(e, 0xc3);
    return start;
}

/* ---- ways out ---- */

/* rax says where to go on; 0: back to C. On the host's stack. */
static void go_on(Emit *e)
{
    uint8_t *out;

    emit_op(e, F_W, 0x85, H_RAX, REG(H_RAX));
    out = emit_jump(e, 4, NULL);
    emit_op(e, F_W, 0x89, H_RAX, REG(H_S1));
    transfer(e, false);
    emit_load(e, H_RSP, GS(jit.ret_sp));
    emit_op(e, 0, 0xff, 4, REG(H_S1));
    emit_set_jump(out, e->p);
    back_to_c(e);
}

/* RIP from r14, the site from r13; the flags are in the slot, or in the host's flags. */
static uint8_t *link_stub(Emit *e, CpuState *c, const uint8_t *save, bool host)
{
    uint8_t *start = e->p;

    emit_store(e, H_S1, GS(jit.site));
    emit_store(e, H_S2, GS(regs[GPR_RIP]));
    if (host) {
        emit_flags_save(e, H_S1);
    }
    to_host_stack(e);
    transfer(e, true);
    save_held(e, save);
    call_c(e, c, jit_next);
    go_on(e);
    return start;
}

/* Registers to CpuState, then fn(c, r13, r14), on the host's stack. */
static void call_help(Emit *e, CpuState *c, const uint8_t *save, const void *fn)
{
    to_host_stack(e);
    transfer(e, true);
    if (save != NULL) {
        save_held(e, save);
    }
    emit_op(e, F_W, 0x89, H_S1, REG(H_RSI));
    emit_op(e, F_W, 0x89, H_S2, REG(H_RDX));
    call_c(e, c, fn);
}

static uint8_t *string_stub(Emit *e, CpuState *c, const Jit *j, const uint8_t *save)
{
    uint8_t *start = e->p, *more, *out;

    call_help(e, c, NULL, jit_string);
    emit_op(e, 0, 0x83, 7, REG(H_RAX)); /* CMP eax */
    put8(e, STRING_HELP);
    more = emit_jump(e, 4, NULL);
    out = emit_jump(e, 7, NULL);
    transfer(e, false);
    emit_load(e, H_RSP, GS(jit.ret_sp));
    put8(e, 0xc3);
    emit_set_jump(more, e->p);
    transfer(e, false);
    emit_load(e, H_RSP, GS(jit.ret_sp));
    emit_jump(e, JUMP_ALWAYS, j->help);
    emit_set_jump(out, e->p);
    save_held(e, save);
    back_to_c(e);
    return start;
}

/* Called: comes back unless code is to be left; @host: with the flags in the host's. */
static uint8_t *help_stub(Emit *e, CpuState *c, const uint8_t *save, bool host)
{
    uint8_t *start = e->p, *out;

    call_help(e, c, save, jit_help);
    emit_op(e, 0, 0x84, H_RAX, REG(H_RAX));
    out = emit_jump(e, 5, NULL);
    transfer(e, false);
    emit_load(e, H_RSP, GS(jit.ret_sp));
    if (host) {
        emit_flags_restore(e);
    }
    put8(e, 0xc3);
    emit_set_jump(out, e->p);
    back_to_c(e);
    return start;
}

void jit_stubs(CpuState *c, Jit *j)
{
    Emit e = { j->at, j->state };
    uint8_t *save;

    c->jit.mxcsr_host = MXCSR_HOST;
    save = save_stub(&e, c, j);
    j->load_vec = load_vec_stub(&e, j);
    j->load_x87 = load_x87_stub(&e, c);
    fill_stubs(&e, c, j);
    stack_stubs(&e, c, j);
    for (unsigned n = 0; n < MMU_MODES; n++) {
        j->way[n] = way_stub(&e, (MmuMode)n);
    }

    j->enter = e.p; /* rdi: code, executable view */
    for (unsigned n = 0; n < ARRAY_SIZE(saved); n++) {
        push_pop(&e, saved[n], true);
    }
    adjust_rsp(&e, -8);
    emit_store(&e, H_RSP, GS(jit.host_rsp));
    emit_op(&e, F_W, 0x89, H_RDI, REG(H_S1));
    transfer(&e, false);
    emit_load(&e, H_RSP, GS(jit.ret_sp));
    emit_op(&e, 0, 0xff, 4, REG(H_S1));

    j->help = help_stub(&e, c, save, false);
    j->help_host = help_stub(&e, c, save, true);
    j->help_end = e.p; /* jumped to */
    call_help(&e, c, save, jit_help_end);
    go_on(&e);

    j->link_host = link_stub(&e, c, save, true);
    j->link_slot = link_stub(&e, c, save, false);
    j->string = string_stub(&e, c, j, save);

    j->ret_miss = e.p; /* a RET to RET_NONE; its address is in r13 */
    adjust_rsp(&e, -8);
    emit_op(&e, F_W, 0x89, H_S1, REG(H_S2));
    emit_const(&e, H_S1, 0);
    emit_jump(&e, JUMP_ALWAYS, j->link_slot);
    for (unsigned n = 0; n < MMU_MODES; n++) {
        uint64_t *base = (uint64_t *)jit_ret_base(j, n);

        base[0] = (uint64_t)(uintptr_t)jit_rx(j, j->ret_miss);
        base[1] = RET_NONE;
    }
    j->at = e.p;
}
