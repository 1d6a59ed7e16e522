/*
 * The arithmetic flags, kept lazily.
 *
 * An ALU instruction stores its sign-extended result and its carry-out vector; a flag is computed
 * when it is read:
 *   ZF  lf_result == 0
 *   SF  bit 63 of lf_result, inverted where LF_SD is set
 *   PF  parity of the low byte of lf_result ^ (lf_aux >> 8)
 *   AF  lf_aux bit 3   CF  lf_aux bit 31   OF  lf_aux bit 31 ^ bit 30 (carry into the top bit)
 * LF_SD and bits 15:8 exist so that any combination of flags can be set (POPF, FCOMI).
 */
#ifndef CPU_FLAGS_H
#define CPU_FLAGS_H

#include "cpu/cpu.h"

#define LF_CF 0x80000000u
#define LF_PO 0x40000000u
#define LF_AF 0x8u
#define LF_SD 0x1u

static inline bool flag_cf(const CpuState *c)
{
    return c->lf_aux >> 31;
}
static inline bool flag_zf(const CpuState *c)
{
    return c->lf_result == 0;
}
static inline bool flag_sf(const CpuState *c)
{
    return (c->lf_result >> 63) ^ (c->lf_aux & LF_SD);
}
static inline bool flag_of(const CpuState *c)
{
    return ((c->lf_aux >> 31) ^ (c->lf_aux >> 30)) & 1;
}
static inline bool flag_pf(const CpuState *c)
{
    return !__builtin_parity((unsigned)((c->lf_result ^ (c->lf_aux >> 8)) & 0xff));
}
static inline bool flag_af(const CpuState *c)
{
    return c->lf_aux >> 3 & 1;
}

/* flags_get - CF PF AF ZF SF OF in their RFLAGS places. */
static inline uint64_t flags_get(const CpuState *c)
{
    return (flag_cf(c) ? FLAG_CF : 0) | (flag_pf(c) ? FLAG_PF : 0) | (flag_af(c) ? FLAG_AF : 0) |
           (flag_zf(c) ? FLAG_ZF : 0) | (flag_sf(c) ? FLAG_SF : 0) | (flag_of(c) ? FLAG_OF : 0);
}

/* flags_set - the six arithmetic flags from an RFLAGS image; other bits are ignored. */
static inline void flags_set(CpuState *c, uint64_t f)
{
    uint64_t res = f & FLAG_ZF ? 0 : 0x100; /* low byte even parity, sign clear */
    uint32_t aux = f & FLAG_AF ? LF_AF : 0;
    bool cf = (f & FLAG_CF) != 0, of = (f & FLAG_OF) != 0;

    aux |= (cf ? LF_CF : 0) | (cf != of ? LF_PO : 0);
    aux |= f & FLAG_SF ? LF_SD : 0;
    aux |= f & FLAG_PF ? 0 : 0x100; /* one bit flips the parity */
    c->lf_result = res;
    c->lf_aux = aux;
}

/* flag_set_cf, flag_set_of - one flag, the others as they are. */
static inline void flag_set_cf(CpuState *c, bool cf)
{
    bool of = flag_of(c);

    c->lf_aux = (c->lf_aux & ~(LF_CF | LF_PO)) | (cf ? LF_CF : 0) | (cf != of ? LF_PO : 0);
}

/* rflags_get/rflags_set - the whole register; set takes every bit as given (no privilege checks,
 * the caller masks) and does not call cpu_update_mode(). */
static inline uint64_t rflags_get(const CpuState *c)
{
    return c->rflags | flags_get(c) | 2;
}
static inline void rflags_put(CpuState *c, uint64_t f)
{
    flags_set(c, f);
    c->rflags = (f & ~FLAGS_ARITH) | 2;
}

#endif
