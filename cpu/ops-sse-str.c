/*
 * SSE4.2: the packed string comparisons and CRC32.
 *
 * Source: Intel SDM vol. 1, "Programming with SSE4.2", "String and Text Processing Instructions";
 * vol. 2, "Imm8 Control Byte Operation for PCMPESTRI / PCMPESTRM / PCMPISTRI / PCMPISTRM".
 */
#include "cpu/flags.h"
#include "cpu/vec.h"

/* imm8: bit 0 words; bit 1 signed; bits 3:2 aggregation; bits 5:4 polarity; bit 6 output. */
enum { AGG_ANY, AGG_RANGES, AGG_EACH, AGG_ORDERED };

static int32_t element(const VecReg *v, unsigned k, unsigned imm)
{
    if (imm & 1) {
        return imm & 2 ? (int16_t)v->w[k] : v->w[k];
    }
    return imm & 2 ? (int8_t)v->b[k] : v->b[k];
}

static unsigned implicit_length(const VecReg *v, unsigned imm, unsigned n)
{
    unsigned k = 0;

    while (k < n && element(v, k, imm)) {
        k++;
    }
    return k;
}

/* The length in EAX or EDX (RAX, RDX with W): its magnitude, at most n. */
static unsigned explicit_length(uint64_t reg, bool wide, unsigned n)
{
    int64_t len = wide ? (int64_t)reg : (int32_t)reg;

    return len > (int64_t)n || len < -(int64_t)n ? n : (unsigned)(len < 0 ? -len : len);
}

/* Result bit j of the aggregation before polarity: a has la valid elements, b has lb. */
static bool aggregate(const VecReg *a, unsigned la, const VecReg *b, unsigned lb, unsigned imm,
                      unsigned n, unsigned j)
{
    switch (imm >> 2 & 3) {
    case AGG_ANY:
        for (unsigned k = 0; j < lb && k < la; k++) {
            if (element(a, k, imm) == element(b, j, imm)) {
                return true;
            }
        }
        return false;
    case AGG_RANGES:
        for (unsigned k = 0; j < lb && k + 1 < la; k += 2) {
            int32_t v = element(b, j, imm);

            if (v >= element(a, k, imm) && v <= element(a, k + 1, imm)) {
                return true;
            }
        }
        return false;
    case AGG_EACH:
        if (j >= la || j >= lb) {
            return j >= la && j >= lb;
        }
        return element(a, j, imm) == element(b, j, imm);
    default:
        for (unsigned k = 0; k < la && j + k < n; k++) {
            if (j + k >= lb || element(a, k, imm) != element(b, j + k, imm)) {
                return false;
            }
        }
        return true;
    }
}

static void compare_strings(CpuState *c, const Insn *i, bool explicit, bool mask)
{
    unsigned imm = (unsigned)i->imm & 0xff, n = imm & 1 ? 8 : 16, la, lb, res = 0, all;
    VecReg a, b, r = { 0 };

    sse_check(c, i);
    b = c->xmm[i->rm];
    if (insn_mem(i)) { /* unlike all other legacy forms, not checked for alignment */
        ld_bytes(c, i->seg, insn_ea(c, i), &b, 16);
    }
    a = c->xmm[i->reg];
    if (explicit) {
        la = explicit_length(c->regs[GPR_RAX], vec_wide(c, i), n);
        lb = explicit_length(c->regs[GPR_RDX], vec_wide(c, i), n);
    } else {
        la = implicit_length(&a, imm, n);
        lb = implicit_length(&b, imm, n);
    }
    for (unsigned j = 0; j < n; j++) {
        res |= (unsigned)aggregate(&a, la, &b, lb, imm, n, j) << j;
    }
    all = (1u << n) - 1;
    if (imm & 0x10) {
        res ^= imm & 0x20 ? (1u << lb) - 1 : all;
    }
    if (!mask) {
        unsigned index = res == 0 ? n : imm & 0x40 ? 31 - (unsigned)__builtin_clz(res)
                                                   : (unsigned)__builtin_ctz(res);

        c->regs[GPR_RCX] = index;
    } else if (imm & 0x40) {
        for (unsigned j = 0; j < n; j++) {
            if (imm & 1) {
                r.w[j] = res >> j & 1 ? 0xffff : 0;
            } else {
                r.b[j] = res >> j & 1 ? 0xff : 0;
            }
        }
        vec_put128(c, i, 0, &r);
    } else {
        r.q[0] = res;
        vec_put128(c, i, 0, &r);
    }
    flags_set(c, (res ? FLAG_CF : 0) | (lb < n ? FLAG_ZF : 0) | (la < n ? FLAG_SF : 0) |
                     (res & 1 ? FLAG_OF : 0));
}

void op_pcmpestrm(CpuState *c, const Insn *i)
{
    compare_strings(c, i, true, true);
}
void op_pcmpestri(CpuState *c, const Insn *i)
{
    compare_strings(c, i, true, false);
}
void op_pcmpistrm(CpuState *c, const Insn *i)
{
    compare_strings(c, i, false, true);
}
void op_pcmpistri(CpuState *c, const Insn *i)
{
    compare_strings(c, i, false, false);
}

/* CRC32 accumulates with the reflected polynomial 11EDC6F41h, a bit at a time. */
static void crc32c(CpuState *c, const Insn *i, uint64_t v, unsigned bytes)
{
    uint32_t crc = (uint32_t)c->regs[i->reg];

    while (bytes--) {
        crc ^= (uint8_t)v;
        v >>= 8;
        for (unsigned k = 0; k < 8; k++) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
        }
    }
    c->regs[i->reg] = crc;
}

void op_crc32_8(CpuState *c, const Insn *i)
{
    crc32c(c, i, insn_mem(i) ? ld_u8(c, i->seg, insn_ea(c, i)) : reg8_get(c, i, i->rm), 1);
}
void op_crc32_16(CpuState *c, const Insn *i)
{
    crc32c(c, i, insn_mem(i) ? ld_u16(c, i->seg, insn_ea(c, i)) : c->regs[i->rm], 2);
}
void op_crc32_32(CpuState *c, const Insn *i)
{
    crc32c(c, i, insn_mem(i) ? ld_u32(c, i->seg, insn_ea(c, i)) : c->regs[i->rm], 4);
}
void op_crc32_64(CpuState *c, const Insn *i)
{
    crc32c(c, i, insn_mem(i) ? ld_u64(c, i->seg, insn_ea(c, i)) : c->regs[i->rm], 8);
}
