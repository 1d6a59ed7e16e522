/*
 * x87 instructions: loads, stores, arithmetic, comparisons, transcendentals, and the table of all.
 * The control instructions and the state images are in cpu/ops-x87-env.c.
 *
 * Sources: Intel SDM vol. 1, chapter 8; vol. 2 under each instruction; vol. 2D, "Escape Opcode
 * Instructions". Aliases that the map leaves blank (FCOM2, FXCH4, FSTP8...) work as they do on
 * every processor since the 80287.
 *
 * Order in a handler: device-not-available and pending faults, memory operand, computation, store
 * (last possible fault), then flags, pointers, register and pop.
 */
#include "cpu/x87.h"
#include "cpu/ops-x87.h"
#include "cpu/flags.h"
#include "cpu/tape.h"

/* ---- frame of every instruction ---- */

void x87_update_es(CpuState *c)
{
    bool on = (c->fsw & ~c->fcw & 0x3f) != 0, was = (c->fsw & FSW_ES) != 0;

    c->fsw = (uint16_t)((c->fsw & ~(FSW_ES | FSW_B)) | (on ? FSW_ES | FSW_B : 0));
    if (on != was && !(c->cr0 & CR0_NE) && c->hooks.ferr && !tape_plays(c)) {
        c->hooks.ferr(c, on);
    }
}

void x87_check_pending(CpuState *c)
{
    if (!(c->fsw & FSW_ES)) {
        return;
    }
    if (c->cr0 & CR0_NE) {
        cpu_raise(c, EXC_MF);
    }
    /* The real processor would freeze until the interrupt that FERR# asked for; it was asked for
     * when ES rose, so going on is what a handler that sets IGNNE# sees. */
    if (c->hooks.ferr && !tape_plays(c)) {
        c->hooks.ferr(c, true);
    }
}

static void x87_begin(CpuState *c)
{
    if (c->cr0 & (CR0_EM | CR0_TS)) {
        cpu_raise(c, EXC_NM);
    }
    x87_check_pending(c);
}

/* Instruction and operand pointers of a non-control instruction. */
static void x87_track(CpuState *c, const Insn *i)
{
    uint64_t ip = insn_rip(c, i);

    c->fop = (uint16_t)((i->opcode & 7) << 8 | i->modrm);
    c->fip = c->mode_bits == 16 ? (uint16_t)ip : ip;
    c->fcs = c->segs[SEG_CS].selector;
    if (insn_mem(i)) {
        c->fdp = insn_ea(c, i);
        c->fds = c->segs[i->seg].selector;
    }
}

static void x87_flag(CpuState *c, unsigned flags, bool c1)
{
    c->fsw = (uint16_t)((c->fsw & ~FSW_C1) | flags | (c1 ? FSW_C1 : 0));
    x87_update_es(c);
}

/* End of a computation: flags, C1, pointers. False: an unmasked exception keeps the result back. */
static bool x87_finish(CpuState *c, const Insn *i, FpEnv *e)
{
    bool ok = !fp_blocked(e);

    x87_track(c, i);
    x87_flag(c, ok ? e->flags : e->flags & FP_PRE, ok && e->up);
    return ok;
}

/* Stack overflow (@over) or underflow; true when masked: the indefinite value is the result. */
static bool x87_stack_fault(CpuState *c, const Insn *i, bool over)
{
    x87_track(c, i);
    x87_flag(c, FP_IE | FSW_SF, over);
    return c->fcw & FP_IE;
}

static unsigned sti(const Insn *i)
{
    return i->modrm & 7;
}

/* ---- memory operands ---- */

/* An operand widened without flags; *denorm tells that it was denormal. */
static Float80 widen32(uint32_t v, bool *denorm)
{
    uint32_t exp = v >> 23 & 0xff, frac = v & 0x7fffff;
    uint16_t sign = (uint16_t)(v >> 16 & 0x8000);
    FpEnv e = { .x87 = true, .prec = 64, .masks = 0x3f };

    *denorm = !exp && frac;
    if (exp == 0xff) {
        return (Float80){ 1ull << 63 | (uint64_t)frac << 40, sign | 0x7fff };
    }
    return f32_to_f80(&e, v);
}

static Float80 widen64(uint64_t v, bool *denorm)
{
    uint64_t exp = v >> 52 & 0x7ff, frac = v & ~(~0ull << 52);
    uint16_t sign = (uint16_t)(v >> 48 & 0x8000);
    FpEnv e = { .x87 = true, .prec = 64, .masks = 0x3f };

    *denorm = !exp && frac;
    if (exp == 0x7ff) {
        return (Float80){ 1ull << 63 | frac << 11, sign | 0x7fff };
    }
    return f64_to_f80(&e, v);
}

/* The operand of D8, DA, DC and DE with memory. */
static Float80 ld_operand(CpuState *c, const Insn *i, bool *denorm)
{
    vaddr ea = insn_ea(c, i);

    *denorm = false;
    switch (i->opcode) {
    case 0xd8: return widen32(ld_u32(c, i->seg, ea), denorm);
    case 0xdc: return widen64(ld_u64(c, i->seg, ea), denorm);
    case 0xda: return int_to_f80((int32_t)ld_u32(c, i->seg, ea));
    default: return int_to_f80((int16_t)ld_u16(c, i->seg, ea));
    }
}

static Float80 ld_f80(CpuState *c, unsigned seg, vaddr off)
{
    uint8_t buf[10];
    Float80 v = { 0, 0 };

    ld_bytes(c, seg, off, buf, 10);
    for (unsigned n = 0; n < 8; n++) {
        v.frac |= (uint64_t)buf[n] << 8 * n;
    }
    v.sexp = (uint16_t)(buf[8] | buf[9] << 8);
    return v;
}

static void st_f80(CpuState *c, unsigned seg, vaddr off, Float80 v)
{
    uint8_t buf[10];

    for (unsigned n = 0; n < 8; n++) {
        buf[n] = (uint8_t)(v.frac >> 8 * n);
    }
    buf[8] = (uint8_t)v.sexp;
    buf[9] = (uint8_t)(v.sexp >> 8);
    st_bytes(c, seg, off, buf, 10);
}

/* A denormal memory operand is flagged where nothing of higher priority is. */
static void note_mem_denormal(FpEnv *e, bool denorm, Float80 other)
{
    if (denorm && !(e->flags & (FP_IE | FP_ZE)) && !f80_is_nan(other)) {
        e->flags |= FP_DE;
    }
}

/* ---- arithmetic: ModRM.reg says which ---- */

static Float80 f80_subr(FpEnv *e, Float80 a, Float80 b)
{
    return f80_sub(e, b, a);
}
static Float80 f80_divr(FpEnv *e, Float80 a, Float80 b)
{
    return f80_div(e, b, a);
}
static Float80 (*const x87_arith[8])(FpEnv *, Float80, Float80) = {
    f80_add, f80_mul, NULL, NULL, f80_sub, f80_subr, f80_div, f80_divr,
};

static void arith(CpuState *c, const Insn *i, Float80 src, bool denorm, bool empty, unsigned dest,
                  bool pop)
{
    FpEnv e = fp_env_x87(c->fcw);
    Float80 r = f80_indefinite, st0 = x87_st(c, 0);

    if (empty || x87_empty(c, 0)) {
        if (!x87_stack_fault(c, i, false)) {
            return;
        }
    } else {
        r = x87_arith[i->modrm >> 3 & 7](&e, st0, src);
        note_mem_denormal(&e, denorm, st0);
        if (!x87_finish(c, i, &e)) {
            return;
        }
    }
    x87_set(c, dest, r);
    if (pop) {
        x87_pop(c);
    }
}

static void op_farith_mem(CpuState *c, const Insn *i)
{
    bool denorm;
    Float80 src;

    x87_begin(c);
    src = ld_operand(c, i, &denorm);
    arith(c, i, src, denorm, false, 0, false);
}
static void op_farith_st0(CpuState *c, const Insn *i)
{
    x87_begin(c);
    arith(c, i, x87_st(c, sti(i)), false, x87_empty(c, sti(i)), 0, false);
}
static void op_farith_sti(CpuState *c, const Insn *i)
{
    x87_begin(c);
    arith(c, i, x87_st(c, sti(i)), false, x87_empty(c, sti(i)), sti(i), i->opcode == 0xde);
}

/* ---- comparisons ---- */

enum { CMP_QUIET = 1, CMP_EFLAGS = 2 };

static void compare(CpuState *c, const Insn *i, Float80 src, bool denorm, bool empty, unsigned how,
                    unsigned pops)
{
    static const uint16_t cc[4] = { FSW_C0, FSW_C3, 0, FSW_CC };
    static const uint8_t eflags[4] = { FLAG_CF, FLAG_ZF, 0, FLAG_CF | FLAG_PF | FLAG_ZF };
    FpEnv e = fp_env_x87(c->fcw);
    FpRel rel = FP_UNORDERED;
    bool ok;

    if (empty || x87_empty(c, 0)) {
        ok = x87_stack_fault(c, i, false);
    } else {
        Float80 st0 = x87_st(c, 0);

        rel = f80_compare(&e, st0, src, how & CMP_QUIET);
        if (rel != FP_UNORDERED) {
            note_mem_denormal(&e, denorm, st0);
        }
        e.up = how & CMP_EFLAGS && c->fsw & FSW_C1; /* FCOMI leaves C1 */
        ok = x87_finish(c, i, &e);
    }
    if (!ok) {
        return;
    }
    if (how & CMP_EFLAGS) {
        flags_set(c, eflags[rel]);
    } else {
        c->fsw = (uint16_t)((c->fsw & ~FSW_CC) | cc[rel]);
    }
    while (pops--) {
        x87_pop(c);
    }
}

static void op_fcom_mem(CpuState *c, const Insn *i)
{
    bool denorm;
    Float80 src;

    x87_begin(c);
    src = ld_operand(c, i, &denorm);
    compare(c, i, src, denorm, false, 0, i->modrm >> 3 & 1);
}
#define FCOM(name, how, pops)                                                                      \
    static void name(CpuState *c, const Insn *i)                                                   \
    {                                                                                              \
        x87_begin(c);                                                                              \
        compare(c, i, x87_st(c, sti(i)), false, x87_empty(c, sti(i)), how, pops);                  \
    }
FCOM(op_fcom, 0, 0)
FCOM(op_fcomp, 0, 1)
FCOM(op_fcompp, 0, 2)
FCOM(op_fucom, CMP_QUIET, 0)
FCOM(op_fucomp, CMP_QUIET, 1)
FCOM(op_fucompp, CMP_QUIET, 2)
FCOM(op_fcomi, CMP_EFLAGS, 0)
FCOM(op_fcomip, CMP_EFLAGS, 1)
FCOM(op_fucomi, CMP_EFLAGS | CMP_QUIET, 0)
FCOM(op_fucomip, CMP_EFLAGS | CMP_QUIET, 1)

static void op_ftst(CpuState *c, const Insn *i)
{
    x87_begin(c);
    compare(c, i, f80_zero, false, false, 0, 0);
}

static void op_fxam(CpuState *c, const Insn *i)
{
    Float80 v = x87_st(c, 0);
    unsigned exp = v.sexp & 0x7fff, cc;

    x87_begin(c);
    if (x87_empty(c, 0)) {
        cc = FSW_C3 | FSW_C0;
    } else if (f80_is_unsupported(v)) {
        cc = 0;
    } else if (exp == 0x7fff) {
        cc = f80_is_nan(v) ? FSW_C0 : FSW_C2 | FSW_C0;
    } else if (exp) {
        cc = FSW_C2;
    } else {
        cc = v.frac ? FSW_C3 | FSW_C2 : FSW_C3;
    }
    x87_track(c, i);
    c->fsw = (uint16_t)((c->fsw & ~(FSW_CC | FSW_C1)) | cc | (v.sexp & 0x8000 ? FSW_C1 : 0));
}

/* ---- loads ---- */

/* A denormal is loaded even where DE is not masked. */
static void push(CpuState *c, const Insn *i, FpEnv *e, Float80 v)
{
    if (!x87_empty(c, 7)) {
        if (!x87_stack_fault(c, i, true)) {
            return;
        }
        v = f80_indefinite;
    } else if (!x87_finish(c, i, e) && e->flags & FP_IE) {
        return;
    }
    x87_push_reg(c, v);
}

#define FLOAD(name, expr)                                                                          \
    static void name(CpuState *c, const Insn *i)                                                   \
    {                                                                                              \
        FpEnv e = fp_env_x87(c->fcw);                                                              \
        Float80 v;                                                                                 \
                                                                                                   \
        x87_begin(c);                                                                              \
        v = expr;                                                                                  \
        push(c, i, &e, v);                                                                         \
    }
FLOAD(op_fld_m32, f32_to_f80(&e, ld_u32(c, i->seg, insn_ea(c, i))))
FLOAD(op_fld_m64, f64_to_f80(&e, ld_u64(c, i->seg, insn_ea(c, i))))
FLOAD(op_fld_m80, ld_f80(c, i->seg, insn_ea(c, i)))
FLOAD(op_fild_m16, int_to_f80((int16_t)ld_u16(c, i->seg, insn_ea(c, i))))
FLOAD(op_fild_m32, int_to_f80((int32_t)ld_u32(c, i->seg, insn_ea(c, i))))
FLOAD(op_fild_m64, int_to_f80((int64_t)ld_u64(c, i->seg, insn_ea(c, i))))

static void op_fbld(CpuState *c, const Insn *i)
{
    FpEnv e = fp_env_x87(c->fcw);
    uint8_t bcd[10];

    x87_begin(c);
    ld_bytes(c, i->seg, insn_ea(c, i), bcd, 10);
    push(c, i, &e, bcd_to_f80(bcd));
}

static void op_fld_sti(CpuState *c, const Insn *i)
{
    FpEnv e = fp_env_x87(c->fcw);
    Float80 v = x87_st(c, sti(i));

    x87_begin(c);
    if (!x87_empty(c, sti(i))) {
        push(c, i, &e, v);
    } else if (x87_stack_fault(c, i, false)) {
        x87_push_reg(c, f80_indefinite);
    }
}

/* FLD1 FLDL2T FLDL2E FLDPI FLDLG2 FLDLN2 FLDZ: truncated, and whether the next bit is set. */
static void op_fld_const(CpuState *c, const Insn *i)
{
    static const struct {
        Float80 v;
        bool inexact, half;
    } consts[8] = {
        { { 0x8000000000000000, 0x3fff }, false, false },
        { { 0xd49a784bcd1b8afe, 0x4000 }, true, false },
        { { 0xb8aa3b295c17f0bb, 0x3fff }, true, true },
        { { 0xc90fdaa22168c234, 0x4000 }, true, true },
        { { 0x9a209a84fbcff798, 0x3ffd }, true, true },
        { { 0xb17217f7d1cf79ab, 0x3ffe }, true, true },
        { { 0, 0 }, false, false },
    };
    FpEnv e = fp_env_x87(c->fcw);
    Float80 v = consts[sti(i)].v;

    x87_begin(c);
    if (consts[sti(i)].inexact) {
        v.frac += e.rc == RC_UP || (e.rc == RC_NEAREST && consts[sti(i)].half);
    }
    push(c, i, &e, v);
}

/* ---- stores ---- */

/* May the converted ST(0) be stored? */
static bool store_allowed(const FpEnv *e)
{
    return !(fp_unmasked(e) & ~FP_PE);
}

/* `expr` converts v with e; the store comes before anything is committed. @indef: of an empty
 * register. FISTTP and the 64-bit and BCD forms always pop, FST and FIST where reg is odd. */
#define FSTORE(name, T, st, expr, indef, pop)                                                      \
    static void name(CpuState *c, const Insn *i)                                                   \
    {                                                                                              \
        FpEnv e = fp_env_x87(c->fcw);                                                              \
        Float80 v = x87_st(c, 0);                                                                  \
        bool empty = x87_empty(c, 0), ok;                                                          \
        T r;                                                                                       \
                                                                                                   \
        x87_begin(c);                                                                              \
        if (empty) {                                                                               \
            r = indef;                                                                             \
            ok = c->fcw & FP_IE;                                                                   \
        } else {                                                                                   \
            r = (T)(expr);                                                                         \
            ok = store_allowed(&e);                                                                \
        }                                                                                          \
        if (ok) {                                                                                  \
            st(c, i->seg, insn_ea(c, i), r);                                                       \
        } else { /* the address is checked all the same */                                         \
            mem_probe_write(c, i->seg, insn_ea(c, i), sizeof(r) > 10 ? 10 : sizeof(r));            \
        }                                                                                          \
        if (empty) {                                                                               \
            x87_stack_fault(c, i, false);                                                          \
        } else {                                                                                   \
            x87_finish(c, i, &e);                                                                  \
        }                                                                                          \
        if (ok && (pop)) {                                                                         \
            x87_pop(c);                                                                            \
        }                                                                                          \
    }
#define POP_ODD (i->modrm >> 3 & 1)
FSTORE(op_fst_m32, uint32_t, st_u32, f80_to_f32(&e, v), 0xffc00000, POP_ODD)
FSTORE(op_fst_m64, uint64_t, st_u64, f80_to_f64(&e, v), 0xfff8000000000000, POP_ODD)
FSTORE(op_fst_m80, Float80, st_f80, v, f80_indefinite, true)
FSTORE(op_fist_m16, uint16_t, st_u16, f80_to_int(&e, v, 16, e.rc), 0x8000, POP_ODD)
FSTORE(op_fist_m32, uint32_t, st_u32, f80_to_int(&e, v, 32, e.rc), 0x80000000, POP_ODD)
FSTORE(op_fist_m64, uint64_t, st_u64, f80_to_int(&e, v, 64, e.rc), 1ull << 63, true)
FSTORE(op_fisttp_m16, uint16_t, st_u16, f80_to_int(&e, v, 16, RC_ZERO), 0x8000, true)
FSTORE(op_fisttp_m32, uint32_t, st_u32, f80_to_int(&e, v, 32, RC_ZERO), 0x80000000, true)
FSTORE(op_fisttp_m64, uint64_t, st_u64, f80_to_int(&e, v, 64, RC_ZERO), 1ull << 63, true)

typedef struct Bcd {
    uint8_t b[10];
} Bcd;
static Bcd to_bcd(FpEnv *e, Float80 v)
{
    Bcd r;

    f80_to_bcd(e, v, r.b);
    return r;
}
static void st_bcd(CpuState *c, unsigned seg, vaddr off, Bcd v)
{
    st_bytes(c, seg, off, v.b, 10);
}
static const Bcd bcd_indefinite = { { [7] = 0xc0, 0xff, 0xff } };
FSTORE(op_fbstp, Bcd, st_bcd, to_bcd(&e, v), bcd_indefinite, true)

static void store_sti(CpuState *c, const Insn *i, bool pop)
{
    FpEnv e = fp_env_x87(c->fcw);
    Float80 v = x87_st(c, 0);

    x87_begin(c);
    if (!x87_empty(c, 0)) {
        x87_finish(c, i, &e);
    } else if (x87_stack_fault(c, i, false)) {
        v = f80_indefinite;
    } else {
        return;
    }
    x87_set(c, sti(i), v);
    if (pop) {
        x87_pop(c);
    }
}
static void op_fst_sti(CpuState *c, const Insn *i)
{
    store_sti(c, i, false);
}
static void op_fstp_sti(CpuState *c, const Insn *i)
{
    store_sti(c, i, true);
}
/* D9 D8+i: FSTP without the underflow exception; an empty register is popped and not stored. */
static void op_fstpnouflow(CpuState *c, const Insn *i)
{
    Float80 v = x87_st(c, 0);

    x87_begin(c);
    x87_track(c, i);
    c->fsw &= (uint16_t)~FSW_C1;
    if (!x87_empty(c, 0)) {
        x87_set(c, sti(i), v);
    }
    x87_pop(c);
}

static void op_fxch(CpuState *c, const Insn *i)
{
    FpEnv e = fp_env_x87(c->fcw);
    bool e0 = x87_empty(c, 0), en = x87_empty(c, sti(i));
    Float80 a = e0 ? f80_indefinite : x87_st(c, 0), b = en ? f80_indefinite : x87_st(c, sti(i));

    x87_begin(c);
    if (!e0 && !en) {
        x87_finish(c, i, &e);
    } else if (!x87_stack_fault(c, i, false)) {
        return;
    }
    x87_set(c, 0, b);
    x87_set(c, sti(i), a);
}

static void op_fcmov(CpuState *c, const Insn *i)
{
    static const uint16_t masks[4] = { FLAG_CF, FLAG_ZF, FLAG_CF | FLAG_ZF, FLAG_PF };
    bool taken = ((flags_get(c) & masks[i->modrm >> 3 & 3]) != 0) == (i->opcode == 0xda);

    x87_begin(c);
    if (x87_empty(c, 0) || x87_empty(c, sti(i))) {
        if (x87_stack_fault(c, i, false)) {
            x87_set(c, 0, f80_indefinite);
        }
        return;
    }
    x87_track(c, i);
    if (taken) {
        x87_set(c, 0, x87_st(c, sti(i)));
    }
}

/* ---- one operand ---- */

/* `expr` computes from v (ST(0)) with e. */
#define FUNARY(name, expr)                                                                         \
    static void name(CpuState *c, const Insn *i)                                                   \
    {                                                                                              \
        FpEnv e = fp_env_x87(c->fcw);                                                              \
        Float80 v = x87_st(c, 0);                                                                  \
                                                                                                   \
        x87_begin(c);                                                                              \
        if (x87_empty(c, 0)) {                                                                     \
            if (x87_stack_fault(c, i, false)) {                                                    \
                x87_set(c, 0, f80_indefinite);                                                     \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        v = expr;                                                                                  \
        if (x87_finish(c, i, &e)) {                                                                \
            x87_set(c, 0, v);                                                                      \
        }                                                                                          \
    }
FUNARY(op_fchs, ((Float80){ v.frac, v.sexp ^ 0x8000 }))
FUNARY(op_fabs, ((Float80){ v.frac, v.sexp & 0x7fff }))
FUNARY(op_fsqrt, f80_sqrt(&e, v))
FUNARY(op_frndint, f80_rint(&e, v))

static bool underflow2(CpuState *c, const Insn *i, unsigned dest, bool pop)
{
    if (!x87_empty(c, 0) && !x87_empty(c, 1)) {
        return false;
    }
    if (x87_stack_fault(c, i, false)) {
        x87_set(c, dest, f80_indefinite);
        if (pop) {
            x87_pop(c);
        }
    }
    return true;
}

static void op_fscale(CpuState *c, const Insn *i)
{
    FpEnv e = fp_env_x87(c->fcw);
    Float80 r;

    x87_begin(c);
    if (underflow2(c, i, 0, false)) {
        return;
    }
    r = f80_scale(&e, x87_st(c, 0), x87_st(c, 1));
    if (x87_finish(c, i, &e)) {
        x87_set(c, 0, r);
    }
}

static void fprem(CpuState *c, const Insn *i, bool nearest)
{
    FpEnv e = fp_env_x87(c->fcw);
    unsigned quot = 0, cc;
    bool done;
    Float80 r;

    x87_begin(c);
    c->fsw &= (uint16_t)~FSW_C2;
    if (underflow2(c, i, 0, false)) {
        return;
    }
    done = f80_rem(&e, x87_st(c, 0), x87_st(c, 1), nearest, &r, &quot);
    if (!x87_finish(c, i, &e)) {
        return;
    }
    x87_set(c, 0, r);
    if (f80_is_nan(r)) {
        return; /* C0 and C3 stay */
    }
    cc = (quot & 4 ? FSW_C0 : 0) | (quot & 2 ? FSW_C3 : 0) | (quot & 1 ? FSW_C1 : 0) |
         (done ? 0 : FSW_C2);
    c->fsw = (uint16_t)((c->fsw & ~(FSW_CC | FSW_C1)) | cc);
}
static void op_fprem(CpuState *c, const Insn *i)
{
    fprem(c, i, false);
}
static void op_fprem1(CpuState *c, const Insn *i)
{
    fprem(c, i, true);
}

/* ---- two results, and the transcendentals ---- */

/* ST(0) is not empty and there is room for one more; else the masked response is done here. */
static bool room_for_two(CpuState *c, const Insn *i)
{
    bool under = x87_empty(c, 0);

    if (!under && x87_empty(c, 7)) {
        return true;
    }
    if (x87_stack_fault(c, i, !under)) {
        x87_set(c, 0, f80_indefinite);
        x87_push_reg(c, f80_indefinite);
    }
    return false;
}

static void op_fxtract(CpuState *c, const Insn *i)
{
    FpEnv e = fp_env_x87(c->fcw);
    Float80 x, s;

    x87_begin(c);
    if (!room_for_two(c, i)) {
        return;
    }
    f80_extract(&e, x87_st(c, 0), &x, &s);
    if (x87_finish(c, i, &e)) {
        x87_set(c, 0, x);
        x87_push_reg(c, s);
    }
}

static void trans_push(CpuState *c, const Insn *i, FpTrans op)
{
    FpEnv e = fp_env_x87(c->fcw);
    Float80 r, second = f80_zero;
    bool done;

    x87_begin(c);
    c->fsw &= (uint16_t)~FSW_C2;
    if (!room_for_two(c, i)) {
        return;
    }
    done = f80_transcendental(&e, c->fcw, op, x87_st(c, 0), x87_st(c, 0), &r, &second);
    if (!x87_finish(c, i, &e)) {
        return;
    }
    c->fsw = (uint16_t)((c->fsw & ~FSW_C2) | (done ? 0 : FSW_C2));
    if (done) {
        x87_set(c, 0, r);
        x87_push_reg(c, second);
    }
}
static void op_fptan(CpuState *c, const Insn *i)
{
    trans_push(c, i, FT_FPTAN);
}
static void op_fsincos(CpuState *c, const Insn *i)
{
    trans_push(c, i, FT_FSINCOS);
}

static void trans_unary(CpuState *c, const Insn *i, FpTrans op)
{
    FpEnv e = fp_env_x87(c->fcw);
    Float80 r, second;
    bool done;

    x87_begin(c);
    if (op != FT_F2XM1) {
        c->fsw &= (uint16_t)~FSW_C2;
    }
    if (x87_empty(c, 0)) {
        if (x87_stack_fault(c, i, false)) {
            x87_set(c, 0, f80_indefinite);
        }
        return;
    }
    done = f80_transcendental(&e, c->fcw, op, x87_st(c, 0), x87_st(c, 0), &r, &second);
    if (!x87_finish(c, i, &e)) {
        return;
    }
    if (op != FT_F2XM1) {
        c->fsw = (uint16_t)((c->fsw & ~FSW_C2) | (done ? 0 : FSW_C2));
    }
    if (done) {
        x87_set(c, 0, r);
    }
}
static void op_f2xm1(CpuState *c, const Insn *i)
{
    trans_unary(c, i, FT_F2XM1);
}
static void op_fsin(CpuState *c, const Insn *i)
{
    trans_unary(c, i, FT_FSIN);
}
static void op_fcos(CpuState *c, const Insn *i)
{
    trans_unary(c, i, FT_FCOS);
}

static void trans_pop(CpuState *c, const Insn *i, FpTrans op)
{
    FpEnv e = fp_env_x87(c->fcw);
    Float80 r, second;

    x87_begin(c);
    if (underflow2(c, i, 1, true)) {
        return;
    }
    f80_transcendental(&e, c->fcw, op, x87_st(c, 0), x87_st(c, 1), &r, &second);
    if (x87_finish(c, i, &e)) {
        x87_set(c, 1, r);
        x87_pop(c);
    }
}
static void op_fyl2x(CpuState *c, const Insn *i)
{
    trans_pop(c, i, FT_FYL2X);
}
static void op_fpatan(CpuState *c, const Insn *i)
{
    trans_pop(c, i, FT_FPATAN);
}
static void op_fyl2xp1(CpuState *c, const Insn *i)
{
    trans_pop(c, i, FT_FYL2XP1);
}

/* ---- stack housekeeping ---- */

static void op_fnop(CpuState *c, const Insn *i)
{
    x87_begin(c);
    x87_track(c, i);
}
static void op_fincdec(CpuState *c, const Insn *i)
{
    x87_begin(c);
    x87_track(c, i);
    x87_rotate(c, sti(i) == 7 ? 1 : 7); /* F7 FINCSTP, F6 FDECSTP */
    c->fsw &= (uint16_t)~FSW_C1;
}
static void op_ffree(CpuState *c, const Insn *i)
{
    x87_begin(c);
    x87_track(c, i);
    x87_free(c, sti(i));
    if (i->opcode == 0xdf) { /* FFREEP */
        x87_pop(c);
    }
    c->fsw &= (uint16_t)~FSW_C1;
}

/* ---- the table ---- */

/* FM: memory form. FR: register form, any ST(i). F1: one encoding. */
#define FM(op, ext, feat, name, operands, fn)                                                      \
    { MAP_1, op, P_ANY, ext, EXT_ANY, feat, OP_MEM | OP_FPU, name, operands, X1(fn) }
#define FR(op, ext, feat, name, operands, fn)                                                      \
    { MAP_1, op, P_ANY, ext, EXT_ANY, feat, OP_REG | OP_FPU, name, operands, X1(fn) }
#define F1(op, ext, rm, name, fn)                                                                  \
    { MAP_1, op, P_ANY, ext, rm, FEAT_FPU, OP_REG | OP_FPU, name, "", X1(fn) }
#define ARITH_MEM(op, p, size)                                                                     \
    FM(op, 0, FEAT_FPU, p "add", size, op_farith_mem),                                             \
        FM(op, 1, FEAT_FPU, p "mul", size, op_farith_mem),                                         \
        FM(op, 2, FEAT_FPU, p "com", size, op_fcom_mem),                                           \
        FM(op, 3, FEAT_FPU, p "comp", size, op_fcom_mem),                                          \
        FM(op, 4, FEAT_FPU, p "sub", size, op_farith_mem),                                         \
        FM(op, 5, FEAT_FPU, p "subr", size, op_farith_mem),                                        \
        FM(op, 6, FEAT_FPU, p "div", size, op_farith_mem),                                         \
        FM(op, 7, FEAT_FPU, p "divr", size, op_farith_mem)
#define ST_ST "st0,sti"
#define STI "sti"

const OpRow op_rows_x87[] = {
    /* clang-format off */
    { MAP_1, 0x9b, P_ANY, EXT_ANY, EXT_ANY, FEAT_FPU, OP_FPU, "fwait", "", X1(op_fwait) },

    ARITH_MEM(0xd8, "f", "Md"),
    FR(0xd8, 0, FEAT_FPU, "fadd", ST_ST, op_farith_st0),
    FR(0xd8, 1, FEAT_FPU, "fmul", ST_ST, op_farith_st0),
    FR(0xd8, 2, FEAT_FPU, "fcom", ST_ST, op_fcom),
    FR(0xd8, 3, FEAT_FPU, "fcomp", ST_ST, op_fcomp),
    FR(0xd8, 4, FEAT_FPU, "fsub", ST_ST, op_farith_st0),
    FR(0xd8, 5, FEAT_FPU, "fsubr", ST_ST, op_farith_st0),
    FR(0xd8, 6, FEAT_FPU, "fdiv", ST_ST, op_farith_st0),
    FR(0xd8, 7, FEAT_FPU, "fdivr", ST_ST, op_farith_st0),

    FM(0xd9, 0, FEAT_FPU, "fld", "Md", op_fld_m32),
    FM(0xd9, 2, FEAT_FPU, "fst", "Md", op_fst_m32),
    FM(0xd9, 3, FEAT_FPU, "fstp", "Md", op_fst_m32),
    FM(0xd9, 4, FEAT_FPU, "fldenv", "M", op_fldenv),
    FM(0xd9, 5, FEAT_FPU, "fldcw", "Mw", op_fldcw),
    FM(0xd9, 6, FEAT_FPU, "fnstenv", "M", op_fnstenv),
    FM(0xd9, 7, FEAT_FPU, "fnstcw", "Mw", op_fnstcw),
    FR(0xd9, 0, FEAT_FPU, "fld", STI, op_fld_sti),
    FR(0xd9, 1, FEAT_FPU, "fxch", ST_ST, op_fxch),
    F1(0xd9, 2, 0, "fnop", op_fnop),
    FR(0xd9, 3, FEAT_FPU, "fstpnouflow", STI, op_fstpnouflow),
    F1(0xd9, 4, 0, "fchs", op_fchs),
    F1(0xd9, 4, 1, "fabs", op_fabs),
    F1(0xd9, 4, 4, "ftst", op_ftst),
    F1(0xd9, 4, 5, "fxam", op_fxam),
    F1(0xd9, 5, 0, "fld1", op_fld_const),
    F1(0xd9, 5, 1, "fldl2t", op_fld_const),
    F1(0xd9, 5, 2, "fldl2e", op_fld_const),
    F1(0xd9, 5, 3, "fldpi", op_fld_const),
    F1(0xd9, 5, 4, "fldlg2", op_fld_const),
    F1(0xd9, 5, 5, "fldln2", op_fld_const),
    F1(0xd9, 5, 6, "fldz", op_fld_const),
    F1(0xd9, 6, 0, "f2xm1", op_f2xm1),
    F1(0xd9, 6, 1, "fyl2x", op_fyl2x),
    F1(0xd9, 6, 2, "fptan", op_fptan),
    F1(0xd9, 6, 3, "fpatan", op_fpatan),
    F1(0xd9, 6, 4, "fxtract", op_fxtract),
    F1(0xd9, 6, 5, "fprem1", op_fprem1),
    F1(0xd9, 6, 6, "fdecstp", op_fincdec),
    F1(0xd9, 6, 7, "fincstp", op_fincdec),
    F1(0xd9, 7, 0, "fprem", op_fprem),
    F1(0xd9, 7, 1, "fyl2xp1", op_fyl2xp1),
    F1(0xd9, 7, 2, "fsqrt", op_fsqrt),
    F1(0xd9, 7, 3, "fsincos", op_fsincos),
    F1(0xd9, 7, 4, "frndint", op_frndint),
    F1(0xd9, 7, 5, "fscale", op_fscale),
    F1(0xd9, 7, 6, "fsin", op_fsin),
    F1(0xd9, 7, 7, "fcos", op_fcos),

    ARITH_MEM(0xda, "fi", "Md"),
    FR(0xda, 0, FEAT_CMOV, "fcmovb", ST_ST, op_fcmov),
    FR(0xda, 1, FEAT_CMOV, "fcmove", ST_ST, op_fcmov),
    FR(0xda, 2, FEAT_CMOV, "fcmovbe", ST_ST, op_fcmov),
    FR(0xda, 3, FEAT_CMOV, "fcmovu", ST_ST, op_fcmov),
    F1(0xda, 5, 1, "fucompp", op_fucompp),

    FM(0xdb, 0, FEAT_FPU, "fild", "Md", op_fild_m32),
    FM(0xdb, 1, FEAT_SSE3, "fisttp", "Md", op_fisttp_m32),
    FM(0xdb, 2, FEAT_FPU, "fist", "Md", op_fist_m32),
    FM(0xdb, 3, FEAT_FPU, "fistp", "Md", op_fist_m32),
    FM(0xdb, 5, FEAT_FPU, "fld", "M", op_fld_m80),
    FM(0xdb, 7, FEAT_FPU, "fstp", "M", op_fst_m80),
    FR(0xdb, 0, FEAT_CMOV, "fcmovnb", ST_ST, op_fcmov),
    FR(0xdb, 1, FEAT_CMOV, "fcmovne", ST_ST, op_fcmov),
    FR(0xdb, 2, FEAT_CMOV, "fcmovnbe", ST_ST, op_fcmov),
    FR(0xdb, 3, FEAT_CMOV, "fcmovnu", ST_ST, op_fcmov),
    F1(0xdb, 4, 0, "feni8087_nop", op_fsetpm),
    F1(0xdb, 4, 1, "fdisi8087_nop", op_fsetpm),
    F1(0xdb, 4, 2, "fnclex", op_fnclex),
    F1(0xdb, 4, 3, "fninit", op_fninit),
    F1(0xdb, 4, 4, "fsetpm287_nop", op_fsetpm),
    FR(0xdb, 5, FEAT_CMOV, "fucomi", ST_ST, op_fucomi),
    FR(0xdb, 6, FEAT_CMOV, "fcomi", ST_ST, op_fcomi),

    ARITH_MEM(0xdc, "f", "Mq"),
    FR(0xdc, 0, FEAT_FPU, "fadd", "sti,st0", op_farith_sti),
    FR(0xdc, 1, FEAT_FPU, "fmul", "sti,st0", op_farith_sti),
    FR(0xdc, 2, FEAT_FPU, "fcom2", ST_ST, op_fcom),
    FR(0xdc, 3, FEAT_FPU, "fcomp3", ST_ST, op_fcomp),
    FR(0xdc, 4, FEAT_FPU, "fsubr", "sti,st0", op_farith_sti),
    FR(0xdc, 5, FEAT_FPU, "fsub", "sti,st0", op_farith_sti),
    FR(0xdc, 6, FEAT_FPU, "fdivr", "sti,st0", op_farith_sti),
    FR(0xdc, 7, FEAT_FPU, "fdiv", "sti,st0", op_farith_sti),

    FM(0xdd, 0, FEAT_FPU, "fld", "Mq", op_fld_m64),
    FM(0xdd, 1, FEAT_SSE3, "fisttp", "Mq", op_fisttp_m64),
    FM(0xdd, 2, FEAT_FPU, "fst", "Mq", op_fst_m64),
    FM(0xdd, 3, FEAT_FPU, "fstp", "Mq", op_fst_m64),
    FM(0xdd, 4, FEAT_FPU, "frstor", "M", op_frstor),
    FM(0xdd, 6, FEAT_FPU, "fnsave", "M", op_fnsave),
    FM(0xdd, 7, FEAT_FPU, "fnstsw", "Mw", op_fnstsw_mem),
    FR(0xdd, 0, FEAT_FPU, "ffree", STI, op_ffree),
    FR(0xdd, 1, FEAT_FPU, "fxch4", ST_ST, op_fxch),
    FR(0xdd, 2, FEAT_FPU, "fst", STI, op_fst_sti),
    FR(0xdd, 3, FEAT_FPU, "fstp", STI, op_fstp_sti),
    FR(0xdd, 4, FEAT_FPU, "fucom", ST_ST, op_fucom),
    FR(0xdd, 5, FEAT_FPU, "fucomp", ST_ST, op_fucomp),

    ARITH_MEM(0xde, "fi", "Mw"),
    FR(0xde, 0, FEAT_FPU, "faddp", "sti,st0", op_farith_sti),
    FR(0xde, 1, FEAT_FPU, "fmulp", "sti,st0", op_farith_sti),
    FR(0xde, 2, FEAT_FPU, "fcomp5", ST_ST, op_fcomp),
    F1(0xde, 3, 1, "fcompp", op_fcompp),
    FR(0xde, 4, FEAT_FPU, "fsubrp", "sti,st0", op_farith_sti),
    FR(0xde, 5, FEAT_FPU, "fsubp", "sti,st0", op_farith_sti),
    FR(0xde, 6, FEAT_FPU, "fdivrp", "sti,st0", op_farith_sti),
    FR(0xde, 7, FEAT_FPU, "fdivp", "sti,st0", op_farith_sti),

    FM(0xdf, 0, FEAT_FPU, "fild", "Mw", op_fild_m16),
    FM(0xdf, 1, FEAT_SSE3, "fisttp", "Mw", op_fisttp_m16),
    FM(0xdf, 2, FEAT_FPU, "fist", "Mw", op_fist_m16),
    FM(0xdf, 3, FEAT_FPU, "fistp", "Mw", op_fist_m16),
    FM(0xdf, 4, FEAT_FPU, "fbld", "M", op_fbld),
    FM(0xdf, 5, FEAT_FPU, "fild", "Mq", op_fild_m64),
    FM(0xdf, 6, FEAT_FPU, "fbstp", "M", op_fbstp),
    FM(0xdf, 7, FEAT_FPU, "fistp", "Mq", op_fist_m64),
    FR(0xdf, 0, FEAT_FPU, "ffreep", STI, op_ffree),
    FR(0xdf, 1, FEAT_FPU, "fxch7", ST_ST, op_fxch),
    FR(0xdf, 2, FEAT_FPU, "fstp8", STI, op_fstp_sti),
    FR(0xdf, 3, FEAT_FPU, "fstp9", STI, op_fstp_sti),
    F1(0xdf, 4, 0, "fnstsw", op_fnstsw_ax),
    FR(0xdf, 5, FEAT_CMOV, "fucomip", ST_ST, op_fucomip),
    FR(0xdf, 6, FEAT_CMOV, "fcomip", ST_ST, op_fcomip),
    { 0 },
    /* clang-format on */
};
