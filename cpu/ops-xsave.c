/*
 * FXSAVE, XSAVE and their kin, XCR0, cache-line hints and fences.
 *
 * Sources: Intel SDM vol. 1, chapter 13, "Managing State Using the XSAVE Feature Set"; vol. 2,
 * tables "Non-64-bit-Mode Layout of FXSAVE and FXRSTOR Memory Region" and its 64-bit sibling.
 * Instruction pointers are always stored (AMD's processors do it only with an exception pending).
 * IA32_XSS has no bit that may be set: XSAVES and XRSTORS move what XSAVEC and XRSTOR do.
 */
#include "cpu/vec.h"

#define FX_SIZE 416u /* bytes of the legacy region that are written */
#define AVX_OFFSET 576u
#define HEADER_OFFSET 512u

static vaddr wrap(const Insn *i, vaddr ea)
{
    return i->asize == 8 ? ea : i->asize == 4 ? (uint32_t)ea : (uint16_t)ea;
}

/* Long images in pieces that one access may have. */
static void put_image(CpuState *c, const Insn *i, unsigned off, const uint8_t *p, unsigned n)
{
    vaddr ea = insn_ea(c, i);

    for (unsigned k = 0; k < n; k += 16) {
        unsigned len = n - k < 16 ? n - k : 16;

        st_bytes(c, i->seg, wrap(i, ea + off + k), p + k, len);
    }
}
static void get_image(CpuState *c, const Insn *i, unsigned off, uint8_t *p, unsigned n)
{
    vaddr ea = insn_ea(c, i);

    for (unsigned k = 0; k < n; k += 16) {
        ld_bytes(c, i->seg, wrap(i, ea + off + k), p + k, n - k < 16 ? n - k : 16);
    }
}

static unsigned xmm_count(const CpuState *c)
{
    return c->code64 ? 16 : 8;
}

/* ---- the legacy region: x87 in bytes 0-23 and 32-159, MXCSR in 24-31, XMM from 160 ---- */

static void fx_put_x87(const CpuState *c, const Insn *i, uint8_t *p)
{
    uint32_t ip = (uint32_t)c->fip, dp = (uint32_t)c->fdp;

    memset(p, 0, 24);
    memcpy(p, &c->fcw, 2);
    memcpy(p + 2, &c->fsw, 2);
    p[4] = c->fptag;
    memcpy(p + 6, &c->fop, 2);
    if (c->code64 && (i->flags & INSN_W)) {
        memcpy(p + 8, &c->fip, 8);
        memcpy(p + 16, &c->fdp, 8);
    } else {
        memcpy(p + 8, &ip, 4);
        memcpy(p + 12, &c->fcs, 2);
        memcpy(p + 16, &dp, 4);
        memcpy(p + 20, &c->fds, 2);
    }
    memset(p + 32, 0, 128);
    for (unsigned n = 0; n < 8; n++) {
        Float80 v = x87_st(c, n);

        memcpy(p + 32 + 16 * n, &v.frac, 8);
        memcpy(p + 40 + 16 * n, &v.sexp, 2);
    }
}

static void fx_put_mxcsr(const CpuState *c, uint8_t *p)
{
    static const uint32_t mask = 0xffff;

    memcpy(p + 24, &c->mxcsr, 4);
    memcpy(p + 28, &mask, 4);
}

static void fx_get_x87(CpuState *c, const Insn *i, const uint8_t *p)
{
    memcpy(&c->fcw, p, 2);
    memcpy(&c->fsw, p + 2, 2);
    c->fcw = (c->fcw & FCW_BITS) | 0x40;
    c->fptag = p[4];
    memcpy(&c->fop, p + 6, 2);
    c->fop &= 0x7ff;
    if (c->code64 && (i->flags & INSN_W)) {
        memcpy(&c->fip, p + 8, 8);
        memcpy(&c->fdp, p + 16, 8);
        c->fcs = c->fds = 0;
    } else {
        c->fip = c->fdp = 0;
        memcpy(&c->fip, p + 8, 4);
        memcpy(&c->fcs, p + 12, 2);
        memcpy(&c->fdp, p + 16, 4);
        memcpy(&c->fds, p + 20, 2);
    }
    for (unsigned n = 0; n < 8; n++) {
        Float80 *v = &c->fpr[x87_phys(c, n)];

        memcpy(&v->frac, p + 32 + 16 * n, 8);
        memcpy(&v->sexp, p + 40 + 16 * n, 2);
    }
    x87_update_es(c);
}

static uint32_t fx_mxcsr(CpuState *c, const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p + 24, 4);
    if (v & ~0xffffu) {
        cpu_gp0(c);
    }
    return v;
}

static void fx_check(CpuState *c, const Insn *i)
{
    if (c->cr0 & CR0_EM) {
        cpu_ud(c);
    }
    if (c->cr0 & CR0_TS) {
        cpu_raise(c, EXC_NM);
    }
    check_aligned(c, i->seg, insn_ea(c, i), 16);
}

static void op_fxsave(CpuState *c, const Insn *i)
{
    uint8_t p[FX_SIZE];
    unsigned n = 160 + 16 * xmm_count(c);

    fx_check(c, i);
    fx_put_x87(c, i, p);
    fx_put_mxcsr(c, p);
    for (unsigned k = 0; k < xmm_count(c); k++) {
        memcpy(p + 160 + 16 * k, &c->xmm[k], 16);
    }
    mem_probe_write(c, i->seg, insn_ea(c, i), 512);
    put_image(c, i, 0, p, n);
}

static void op_fxrstor(CpuState *c, const Insn *i)
{
    uint8_t p[FX_SIZE];
    unsigned n = 160 + 16 * xmm_count(c);

    fx_check(c, i);
    mem_probe_read(c, i->seg, insn_ea(c, i), 512);
    get_image(c, i, 0, p, n);
    c->mxcsr = fx_mxcsr(c, p);
    fx_get_x87(c, i, p);
    for (unsigned k = 0; k < xmm_count(c); k++) {
        memcpy(&c->xmm[k], p + 160 + 16 * k, 16);
    }
}

/* ---- XSAVE ---- */

/* XINUSE: components that are not in their initial configuration. */
static uint64_t xinuse(const CpuState *c)
{
    uint64_t r = 0, any = 0, high = 0;

    for (unsigned n = 0; n < 16; n++) {
        any |= c->xmm[n].q[0] | c->xmm[n].q[1];
        high |= c->xmm[n].q[2] | c->xmm[n].q[3];
    }
    r |= any ? XCR0_SSE : 0;
    r |= high ? XCR0_AVX : 0;
    any = c->fip | c->fdp | c->fop | c->fcs | c->fds | c->fsw | c->fptag | (c->fcw ^ 0x37f);
    for (unsigned n = 0; n < 8; n++) {
        any |= c->fpr[n].frac | c->fpr[n].sexp;
    }
    return r | (any ? XCR0_X87 : 0);
}

static void xsaves_check(CpuState *c)
{
    if (!(c->cr4 & CR4_OSXSAVE)) {
        cpu_ud(c);
    }
    if (c->cr0 & CR0_TS) {
        cpu_raise(c, EXC_NM);
    }
    if (c->cpl != 0) {
        cpu_gp0(c);
    }
}

static uint64_t xsave_check(CpuState *c, const Insn *i)
{
    uint64_t rfbm = (c->regs[GPR_RDX] << 32 | (uint32_t)c->regs[GPR_RAX]) & c->xcr0;

    if (!(c->cr4 & CR4_OSXSAVE)) {
        cpu_ud(c);
    }
    if (c->cr0 & CR0_TS) {
        cpu_raise(c, EXC_NM);
    }
    check_aligned(c, i->seg, insn_ea(c, i), 64);
    return rfbm;
}

/* The components @mask, of which AVX goes to @avx. MXCSR goes with SSE, and with AVX in the
 * standard form (@mxcsr). */
static void xsave_store(CpuState *c, const Insn *i, uint64_t mask, bool mxcsr, unsigned avx)
{
    uint8_t p[FX_SIZE];
    unsigned n = xmm_count(c);

    if (mask & XCR0_X87) {
        fx_put_x87(c, i, p);
        put_image(c, i, 0, p, 24);
        put_image(c, i, 32, p + 32, 128);
    }
    if (mxcsr) {
        fx_put_mxcsr(c, p);
        put_image(c, i, 24, p + 24, 8);
    }
    for (unsigned k = 0; k < n; k++) {
        if (mask & XCR0_SSE) {
            put_image(c, i, 160 + 16 * k, c->xmm[k].b, 16);
        }
        if (mask & XCR0_AVX) {
            put_image(c, i, avx + 16 * k, c->xmm[k].b + 16, 16);
        }
    }
}

static void xsave(CpuState *c, const Insn *i, bool optimise)
{
    uint64_t rfbm = xsave_check(c, i), inuse = xinuse(c), bv;
    vaddr ea = insn_ea(c, i), header = wrap(i, ea + HEADER_OFFSET);
    unsigned size = rfbm & XCR0_AVX ? AVX_OFFSET + 256 : AVX_OFFSET;

    mem_probe_write(c, i->seg, ea, size);
    bv = ld_u64(c, i->seg, header);
    bv = (bv & ~rfbm) | (inuse & rfbm);
    xsave_store(c, i, optimise ? rfbm & inuse : rfbm, rfbm & (XCR0_SSE | XCR0_AVX), AVX_OFFSET);
    st_u64(c, i->seg, header, bv);
}
static void op_xsave(CpuState *c, const Insn *i)
{
    xsave(c, i, false);
}
static void op_xsaveopt(CpuState *c, const Insn *i)
{
    xsave(c, i, true);
}

/* Compacted form. Only XSTATE_BV and XCOMP_BV of the header are written. */
static void op_xsavec(CpuState *c, const Insn *i)
{
    uint64_t rfbm = xsave_check(c, i), bv = xinuse(c);
    vaddr ea = insn_ea(c, i);
    unsigned size = rfbm & XCR0_AVX ? AVX_OFFSET + 256 : AVX_OFFSET;

    if (c->mxcsr != 0x1f80) {
        bv |= XCR0_SSE;
    }
    bv &= rfbm;
    mem_probe_write(c, i->seg, ea, size);
    xsave_store(c, i, bv, bv & XCR0_SSE, AVX_OFFSET);
    st_u64(c, i->seg, wrap(i, ea + HEADER_OFFSET), bv);
    st_u64(c, i->seg, wrap(i, ea + HEADER_OFFSET + 8), rfbm | 1ull << 63);
}

static void op_xsaves(CpuState *c, const Insn *i)
{
    xsaves_check(c);
    op_xsavec(c, i);
}

/* The header's rules: SDM vol. 1, "Standard Form of XRSTOR", "Compacted Form of XRSTOR". */
static bool xrstor_header_bad(const CpuState *c, const uint64_t *h, bool compact)
{
    uint64_t rest = 0;

    for (unsigned n = 2; n < 8; n++) {
        rest |= h[n];
    }
    if (compact) {
        return (h[1] & ~(c->xcr0 | 1ull << 63)) || (h[0] & ~h[1]) || rest ||
               !cpu_has(c, FEAT_XSAVEC);
    }
    return (h[0] & ~c->xcr0) || h[1] || h[2];
}

static void xrstor(CpuState *c, const Insn *i, bool supervisor)
{
    uint64_t rfbm = xsave_check(c, i), h[8], load;
    uint8_t p[FX_SIZE], avx[256];
    unsigned n = xmm_count(c);
    uint32_t mxcsr = c->mxcsr;
    bool compact;

    get_image(c, i, HEADER_OFFSET, (uint8_t *)h, 64);
    compact = h[1] >> 63;
    if (xrstor_header_bad(c, h, compact) || (supervisor && !compact)) {
        cpu_gp0(c);
    }
    load = rfbm & h[0];
    get_image(c, i, 0, p, 160 + 16 * n);
    if (compact ? load & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX)) {
        mxcsr = fx_mxcsr(c, p);
    } else if (compact && rfbm & XCR0_SSE) {
        mxcsr = 0x1f80;
    }
    if (load & XCR0_AVX) {
        get_image(c, i, AVX_OFFSET, avx, 16 * n);
    }
    /* Nothing faults from here on. */
    c->mxcsr = mxcsr;
    if (load & XCR0_X87) {
        fx_get_x87(c, i, p);
    } else if (rfbm & XCR0_X87) {
        x87_reset(c);
        memset(c->fpr, 0, sizeof(c->fpr));
    }
    for (unsigned k = 0; k < n; k++) {
        if (rfbm & XCR0_SSE) {
            memset(&c->xmm[k].q[0], 0, 16);
            memcpy(&c->xmm[k].q[0], p + 160 + 16 * k, load & XCR0_SSE ? 16 : 0);
        }
        if (rfbm & XCR0_AVX) {
            memset(&c->xmm[k].q[2], 0, 16);
            memcpy(&c->xmm[k].q[2], avx + 16 * k, load & XCR0_AVX ? 16 : 0);
        }
    }
}

static void op_xrstor(CpuState *c, const Insn *i)
{
    xrstor(c, i, false);
}
static void op_xrstors(CpuState *c, const Insn *i)
{
    xsaves_check(c);
    xrstor(c, i, true);
}

/* ---- XCR0 ---- */

static void op_xgetbv(CpuState *c, const Insn *i)
{
    uint32_t n = (uint32_t)c->regs[GPR_RCX];
    uint64_t v;

    if (!(c->cr4 & CR4_OSXSAVE)) {
        cpu_ud(c);
    }
    if (n > 1 || (n == 1 && !cpu_has(c, FEAT_XGETBV1))) {
        cpu_gp0(c);
    }
    v = n == 0 ? c->xcr0 : c->xcr0 & xinuse(c);
    c->regs[GPR_RAX] = (uint32_t)v;
    c->regs[GPR_RDX] = v >> 32;
}

static void op_xsetbv(CpuState *c, const Insn *i)
{
    uint64_t v = c->regs[GPR_RDX] << 32 | (uint32_t)c->regs[GPR_RAX];
    uint64_t all = XCR0_X87 | XCR0_SSE | (cpu_has(c, FEAT_AVX) ? XCR0_AVX : 0);

    if (!(c->cr4 & CR4_OSXSAVE)) {
        cpu_ud(c);
    }
    if (c->cpl != 0 || (uint32_t)c->regs[GPR_RCX] != 0 || !(v & XCR0_X87) || (v & ~all) ||
        (v & (XCR0_SSE | XCR0_AVX)) == XCR0_AVX) {
        cpu_gp0(c);
    }
    c->xcr0 = v;
}

/* ---- cache lines and fences: only their faults are modelled ---- */

static void op_clflush(CpuState *c, const Insn *i)
{
    mem_probe_read(c, i->seg, insn_ea(c, i), 1);
}
static void op_hint(CpuState *c, const Insn *i)
{
}
static void op_fence(CpuState *c, const Insn *i)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* ---- the table ---- */

#define XM(op, prefix, ext, feat, flags, name, fn)                                                 \
    { MAP_0F, op, prefix, ext, EXT_ANY, FEAT_##feat, OP_MEM | (flags), name, "M", X1(fn) }

const OpRow op_rows_xsave[] = {
    /* clang-format off */
    XM(0xae, P_NONE, 0, FXSR, OP_FPU, "fxsave", op_fxsave),
    XM(0xae, P_NONE, 1, FXSR, OP_FPU, "fxrstor", op_fxrstor),
    XM(0xae, P_NONE, 4, XSAVE, OP_FPU, "xsave", op_xsave),
    XM(0xae, P_NONE, 5, XSAVE, OP_FPU, "xrstor", op_xrstor),
    XM(0xae, P_NONE, 6, XSAVEOPT, OP_FPU, "xsaveopt", op_xsaveopt),
    XM(0xc7, P_NONE, 4, XSAVEC, OP_FPU, "xsavec", op_xsavec),
    XM(0xc7, P_NONE, 5, XSAVES, OP_FPU, "xsaves", op_xsaves),
    XM(0xc7, P_NONE, 3, XSAVES, OP_FPU, "xrstors", op_xrstors),
    XM(0xae, P_NONE, 7, CLFLUSH, 0, "clflush", op_clflush),
    XM(0xae, P_66, 7, CLFLUSHOPT, 0, "clflushopt", op_clflush),
    XM(0xae, P_66, 6, CLWB, 0, "clwb", op_clflush),
    { MAP_0F, 0xae, P_NONE, 5, EXT_ANY, FEAT_SSE2, OP_REG, "lfence", "", X1(op_fence) },
    { MAP_0F, 0xae, P_NONE, 6, EXT_ANY, FEAT_SSE2, OP_REG, "mfence", "", X1(op_fence) },
    { MAP_0F, 0xae, P_NONE, 7, EXT_ANY, FEAT_SSE, OP_REG, "sfence", "", X1(op_fence) },
    { MAP_0F, 0x01, P_NONE, 2, 0, FEAT_XSAVE, OP_REG, "xgetbv", "", X1(op_xgetbv) },
    { MAP_0F, 0x01, P_NONE, 2, 1, FEAT_XSAVE, OP_REG | OP_END, "xsetbv", "", X1(op_xsetbv) },
    XM(0x18, P_ANY, 0, SSE, 0, "prefetchnta", op_hint),
    XM(0x18, P_ANY, 1, SSE, 0, "prefetcht0", op_hint),
    XM(0x18, P_ANY, 2, SSE, 0, "prefetcht1", op_hint),
    XM(0x18, P_ANY, 3, SSE, 0, "prefetcht2", op_hint),
    { MAP_0F, 0x18, P_ANY, EXT_ANY, EXT_ANY, FEAT_NONE, 0, "nop", "Ev,Gv", X1(op_hint) },
    XM(0x0d, P_ANY, EXT_ANY, 3DNOWPREFETCH, 0, "prefetchw", op_hint),
    { MAP_0F, 0x0d, P_ANY, EXT_ANY, EXT_ANY, FEAT_3DNOWPREFETCH, OP_REG, "nop", "Ev,Gv", X1(op_hint) },
    /* long mode, too, says that it is there: AMD64 APM volume 3, "PREFETCH"; kernels rely on it */
    XM(0x0d, P_ANY, EXT_ANY, LM, 0, "prefetchw", op_hint),
    { MAP_0F, 0x0d, P_ANY, EXT_ANY, EXT_ANY, FEAT_LM, OP_REG, "nop", "Ev,Gv", X1(op_hint) },
    { 0 },
    /* clang-format on */
};
