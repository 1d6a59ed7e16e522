/*
 * x87 control instructions and the images of FSTENV and FSAVE.
 *
 * Sources: Intel SDM vol. 1, figures "Protected Mode x87 FPU State Image in Memory, 32-Bit Format"
 * and its three siblings; vol. 2 under FSAVE and FSTENV. Reserved fields are stored as ones.
 */
#include "cpu/ops-x87.h"
#include "cpu/x87.h"
#include <string.h>

static void x87_available(CpuState *c)
{
    if (c->cr0 & (CR0_EM | CR0_TS)) {
        cpu_raise(c, EXC_NM);
    }
}

void x87_reset(CpuState *c)
{
    c->fcw = 0x37f;
    c->fsw = (uint16_t)(c->fsw & FSW_ES); /* for the FERR# edge below */
    c->fptag = 0;
    c->fop = 0;
    c->fip = c->fdp = 0;
    c->fcs = c->fds = 0;
    x87_update_es(c);
}

uint16_t x87_tag_word(const CpuState *c)
{
    uint16_t tags = 0;

    for (unsigned n = 0; n < 8; n++) {
        Float80 v = c->fpr[n];
        unsigned exp = v.sexp & 0x7fff, tag;

        if (!(c->fptag >> n & 1)) {
            tag = 3;
        } else if (exp == 0 && v.frac == 0) {
            tag = 1;
        } else {
            tag = exp == 0 || exp == 0x7fff || !(v.frac >> 63) ? 2 : 0;
        }
        tags |= (uint16_t)(tag << 2 * n);
    }
    return tags;
}

/* ---- environment images ---- */

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v);
    put16(p + 2, v >> 16);
}
static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static uint32_t get32(const uint8_t *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static bool env_real(const CpuState *c)
{
    return !(c->cr0 & CR0_PE) || (c->rflags & FLAG_VM);
}
static unsigned env_size(const Insn *i)
{
    return i->opsize == 2 ? 14 : 28;
}

static void env_build(const CpuState *c, const Insn *i, uint8_t *p)
{
    uint32_t ip = (uint32_t)c->fip, dp = (uint32_t)c->fdp;

    if (env_real(c)) {
        ip += (uint32_t)c->fcs << 4;
        dp += (uint32_t)c->fds << 4;
    }
    if (i->opsize == 2) {
        put16(p, c->fcw);
        put16(p + 2, c->fsw);
        put16(p + 4, x87_tag_word(c));
        put16(p + 6, ip);
        put16(p + 8, env_real(c) ? (ip >> 4 & 0xf000) | c->fop : c->fcs);
        put16(p + 10, dp);
        put16(p + 12, env_real(c) ? dp >> 4 & 0xf000 : c->fds);
        return;
    }
    put32(p, 0xffff0000 | c->fcw);
    put32(p + 4, 0xffff0000 | c->fsw);
    put32(p + 8, 0xffff0000 | x87_tag_word(c));
    if (env_real(c)) {
        put32(p + 12, 0xffff0000 | (ip & 0xffff));
        put32(p + 16, (ip >> 4 & 0x0ffff000) | c->fop);
        put32(p + 20, 0xffff0000 | (dp & 0xffff));
        put32(p + 24, dp >> 4 & 0x0ffff000);
    } else {
        put32(p + 12, ip);
        put32(p + 16, (uint32_t)c->fop << 16 | c->fcs);
        put32(p + 20, dp);
        put32(p + 24, 0xffff0000 | c->fds);
    }
}

static void env_apply(CpuState *c, const Insn *i, const uint8_t *p)
{
    unsigned step = i->opsize == 2 ? 2 : 4;
    uint16_t tags = get16(p + 2 * step);

    c->fcw = (get16(p) & FCW_BITS) | 0x40;
    c->fsw = (uint16_t)(get16(p + step) & ~(FSW_ES | FSW_B)) | (c->fsw & FSW_ES);
    c->fptag = 0;
    for (unsigned n = 0; n < 8; n++) {
        c->fptag |= (uint8_t)((tags >> 2 * n & 3) == 3 ? 0 : 1u << n);
    }
    p += 3 * step;
    if (step == 2) {
        c->fip = get16(p);
        c->fdp = get16(p + 4);
        c->fcs = get16(p + 2);
        c->fds = get16(p + 6);
        if (env_real(c)) {
            c->fop = c->fcs & 0x7ff;
            c->fip |= (uint32_t)(c->fcs & 0xf000) << 4;
            c->fdp |= (uint32_t)(c->fds & 0xf000) << 4;
            c->fcs = c->fds = 0;
        }
    } else if (env_real(c)) {
        c->fop = get32(p + 4) & 0x7ff;
        c->fip = get16(p) | (get32(p + 4) & 0x0ffff000) << 4;
        c->fdp = get16(p + 8) | (get32(p + 12) & 0x0ffff000) << 4;
        c->fcs = c->fds = 0;
    } else {
        c->fip = get32(p);
        c->fcs = get16(p + 4);
        c->fop = get16(p + 6) & 0x7ff;
        c->fdp = get32(p + 8);
        c->fds = get16(p + 12);
    }
    x87_update_es(c);
}

void op_fnstenv(CpuState *c, const Insn *i)
{
    uint8_t buf[28];

    x87_available(c);
    env_build(c, i, buf);
    st_bytes(c, i->seg, insn_ea(c, i), buf, env_size(i));
    c->fcw |= 0x3f;
    x87_update_es(c);
}

void op_fldenv(CpuState *c, const Insn *i)
{
    uint8_t buf[28];

    x87_available(c);
    x87_check_pending(c);
    ld_bytes(c, i->seg, insn_ea(c, i), buf, env_size(i));
    env_apply(c, i, buf);
}

static vaddr wrap(const Insn *i, vaddr ea)
{
    return i->asize == 8 ? ea : i->asize == 4 ? (uint32_t)ea : (uint16_t)ea;
}

/* FSAVE's image is longer than one access may be: the environment, then two halves of ST. */
void op_fnsave(CpuState *c, const Insn *i)
{
    uint8_t env[28], regs[80];
    unsigned n = env_size(i);
    vaddr ea = insn_ea(c, i);

    x87_available(c);
    env_build(c, i, env);
    for (unsigned k = 0; k < 8; k++) {
        Float80 v = x87_st(c, k);

        memcpy(regs + 10 * k, &v.frac, 8);
        put16(regs + 10 * k + 8, v.sexp);
    }
    mem_probe_write(c, i->seg, ea, n + 80);
    st_bytes(c, i->seg, ea, env, n);
    st_bytes(c, i->seg, wrap(i, ea + n), regs, 40);
    st_bytes(c, i->seg, wrap(i, ea + n + 40), regs + 40, 40);
    x87_reset(c);
}

void op_frstor(CpuState *c, const Insn *i)
{
    uint8_t env[28], regs[80];
    unsigned n = env_size(i);
    vaddr ea = insn_ea(c, i);

    x87_available(c);
    x87_check_pending(c);
    ld_bytes(c, i->seg, ea, env, n);
    ld_bytes(c, i->seg, wrap(i, ea + n), regs, 40);
    ld_bytes(c, i->seg, wrap(i, ea + n + 40), regs + 40, 40);
    env_apply(c, i, env);
    for (unsigned k = 0; k < 8; k++) {
        Float80 *v = &c->fpr[x87_phys(c, k)];

        memcpy(&v->frac, regs + 10 * k, 8);
        v->sexp = get16(regs + 10 * k + 8);
    }
}

/* ---- control ---- */

void op_fwait(CpuState *c, const Insn *i)
{
    if ((c->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)) {
        cpu_raise(c, EXC_NM);
    }
    x87_check_pending(c);
}

void op_fldcw(CpuState *c, const Insn *i)
{
    uint16_t v;

    x87_available(c);
    x87_check_pending(c);
    v = ld_u16(c, i->seg, insn_ea(c, i));
    c->fcw = (v & FCW_BITS) | 0x40;
    x87_update_es(c);
}

void op_fnstcw(CpuState *c, const Insn *i)
{
    x87_available(c);
    st_u16(c, i->seg, insn_ea(c, i), c->fcw);
}

void op_fnstsw_mem(CpuState *c, const Insn *i)
{
    x87_available(c);
    st_u16(c, i->seg, insn_ea(c, i), c->fsw);
}

void op_fnstsw_ax(CpuState *c, const Insn *i)
{
    x87_available(c);
    reg16_set(c, GPR_RAX, c->fsw);
}

void op_fnclex(CpuState *c, const Insn *i)
{
    x87_available(c);
    c->fsw &= (uint16_t)~(0x3f | FSW_SF);
    x87_update_es(c);
}

void op_fninit(CpuState *c, const Insn *i)
{
    x87_available(c);
    x87_reset(c);
}

/* FENI, FDISI (8087) and FSETPM (80287): no operation since the 80387. */
void op_fsetpm(CpuState *c, const Insn *i)
{
    x87_available(c);
}
