/*
 * Arithmetic with flags, for every operand width. Each function computes a result and leaves the
 * lazy flags (cpu/flags.h) as the SDM's "Flags Affected" says; where a flag is undefined the value
 * is what current processors leave, as far as one rule serves all.
 */
#ifndef CPU_ALU_H
#define CPU_ALU_H

#include "cpu/flags.h"

#define LF_FOLD_8(v) (((uint32_t)(v) << 24 & 0xc0000000u) | ((v)&8))
#define LF_FOLD_16(v) (((uint32_t)(v) << 16 & 0xc0000000u) | ((v)&8))
#define LF_FOLD_32(v) (((uint32_t)(v)&0xc0000000u) | ((v)&8))
#define LF_FOLD_64(v) (((uint32_t)((v) >> 32) & 0xc0000000u) | (uint32_t)((v)&8))

#define DEF_ALU(bits)                                                                              \
    static inline void lf_set_##bits(CpuState *c, uint##bits##_t r, uint##bits##_t carries)        \
    {                                                                                              \
        c->lf_result = (uint64_t)(int64_t)(int##bits##_t)r;                                        \
        c->lf_aux = LF_FOLD_##bits(carries);                                                       \
    }                                                                                              \
    static inline void lf_logic_##bits(CpuState *c, uint##bits##_t r)                              \
    {                                                                                              \
        c->lf_result = (uint64_t)(int64_t)(int##bits##_t)r;                                        \
        c->lf_aux = 0;                                                                             \
    }                                                                                              \
    /* result flags, with CF and OF given (shifts, multiplications) */                            \
    static inline void lf_cf_of_##bits(CpuState *c, uint##bits##_t r, bool cf, bool of)            \
    {                                                                                              \
        c->lf_result = (uint64_t)(int64_t)(int##bits##_t)r;                                        \
        c->lf_aux = (cf ? LF_CF : 0) | (cf != of ? LF_PO : 0);                                     \
    }                                                                                              \
    static inline uint##bits##_t alu_add_##bits(CpuState *c, uint##bits##_t a, uint##bits##_t b)   \
    {                                                                                              \
        uint##bits##_t r = (uint##bits##_t)(a + b);                                                \
        lf_set_##bits(c, r, (uint##bits##_t)((a & b) | ((a | b) & ~r)));                           \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_adc_##bits(CpuState *c, uint##bits##_t a, uint##bits##_t b)   \
    {                                                                                              \
        uint##bits##_t r = (uint##bits##_t)(a + b + flag_cf(c));                                   \
        lf_set_##bits(c, r, (uint##bits##_t)((a & b) | ((a | b) & ~r)));                           \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_sub_##bits(CpuState *c, uint##bits##_t a, uint##bits##_t b)   \
    {                                                                                              \
        uint##bits##_t r = (uint##bits##_t)(a - b);                                                \
        lf_set_##bits(c, r, (uint##bits##_t)((~a & b) | ((~a | b) & r)));                          \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_sbb_##bits(CpuState *c, uint##bits##_t a, uint##bits##_t b)   \
    {                                                                                              \
        uint##bits##_t r = (uint##bits##_t)(a - b - flag_cf(c));                                   \
        lf_set_##bits(c, r, (uint##bits##_t)((~a & b) | ((~a | b) & r)));                          \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_and_##bits(CpuState *c, uint##bits##_t a, uint##bits##_t b)   \
    {                                                                                              \
        uint##bits##_t r = a & b;                                                                  \
        lf_logic_##bits(c, r);                                                                     \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_or_##bits(CpuState *c, uint##bits##_t a, uint##bits##_t b)    \
    {                                                                                              \
        uint##bits##_t r = a | b;                                                                  \
        lf_logic_##bits(c, r);                                                                     \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_xor_##bits(CpuState *c, uint##bits##_t a, uint##bits##_t b)   \
    {                                                                                              \
        uint##bits##_t r = a ^ b;                                                                  \
        lf_logic_##bits(c, r);                                                                     \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_inc_##bits(CpuState *c, uint##bits##_t a)                     \
    {                                                                                              \
        bool cf = flag_cf(c);                                                                      \
        uint##bits##_t r = alu_add_##bits(c, a, 1);                                                \
        flag_set_cf(c, cf);                                                                        \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_dec_##bits(CpuState *c, uint##bits##_t a)                     \
    {                                                                                              \
        bool cf = flag_cf(c);                                                                      \
        uint##bits##_t r = alu_sub_##bits(c, a, 1);                                                \
        flag_set_cf(c, cf);                                                                        \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_neg_##bits(CpuState *c, uint##bits##_t a)                     \
    {                                                                                              \
        return alu_sub_##bits(c, 0, a);                                                            \
    }                                                                                              \
    /* Shifts and rotates: @n is the masked count; 0 changes nothing. */                           \
    static inline uint##bits##_t alu_shl_##bits(CpuState *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        uint##bits##_t r;                                                                          \
        bool cf;                                                                                   \
        if (n == 0) {                                                                              \
            return a;                                                                              \
        }                                                                                          \
        r = n < bits ? (uint##bits##_t)(a << n) : 0;                                               \
        cf = n <= bits && (a >> (bits - n) & 1);                                                   \
        lf_cf_of_##bits(c, r, cf, (r >> (bits - 1)) ^ cf);                                         \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_shr_##bits(CpuState *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        uint##bits##_t r;                                                                          \
        if (n == 0) {                                                                              \
            return a;                                                                              \
        }                                                                                          \
        r = n < bits ? (uint##bits##_t)(a >> n) : 0;                                               \
        lf_cf_of_##bits(c, r, n <= bits && (a >> (n - 1) & 1),                                     \
                        n == 1 ? a >> (bits - 1) : ((r << 1 ^ r) >> (bits - 1)) & 1);              \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_sar_##bits(CpuState *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        unsigned k = n < bits ? n : bits - 1;                                                      \
        uint##bits##_t r;                                                                          \
        if (n == 0) {                                                                              \
            return a;                                                                              \
        }                                                                                          \
        r = (uint##bits##_t)((int##bits##_t)a >> k);                                               \
        lf_cf_of_##bits(c, r, (int##bits##_t)a >> (n <= bits ? n - 1 : bits - 1) & 1, false);      \
        return r;                                                                                  \
    }                                                                                              \
    static inline void lf_rotate_##bits(CpuState *c, bool cf, bool of)                             \
    {                                                                                              \
        c->lf_aux = (c->lf_aux & ~(LF_CF | LF_PO)) | (cf ? LF_CF : 0) | (cf != of ? LF_PO : 0);    \
    }                                                                                              \
    static inline uint##bits##_t alu_rol_##bits(CpuState *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        unsigned k = n & (bits - 1);                                                               \
        uint##bits##_t r = k ? (uint##bits##_t)(a << k | a >> (bits - k)) : a;                     \
        if (n != 0) {                                                                              \
            lf_rotate_##bits(c, r & 1, (r >> (bits - 1)) ^ (r & 1));                               \
        }                                                                                          \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_ror_##bits(CpuState *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        unsigned k = n & (bits - 1);                                                               \
        uint##bits##_t r = k ? (uint##bits##_t)(a >> k | a << (bits - k)) : a;                     \
        if (n != 0) {                                                                              \
            lf_rotate_##bits(c, r >> (bits - 1), ((r >> (bits - 1)) ^ (r >> (bits - 2))) & 1);     \
        }                                                                                          \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_rcl_##bits(CpuState *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        bool cf = flag_cf(c);                                                                      \
        n %= bits + 1;                                                                             \
        if (n == 0) {                                                                              \
            return a;                                                                              \
        }                                                                                          \
        uint##bits##_t r = n < bits ? (uint##bits##_t)(a << n) : 0;                                \
        r |= (uint##bits##_t)((uint##bits##_t)cf << (n - 1));                                      \
        r |= n > 1 ? (uint##bits##_t)(a >> (bits + 1 - n)) : 0;                                    \
        cf = a >> (bits - n) & 1;                                                                  \
        lf_rotate_##bits(c, cf, (r >> (bits - 1)) ^ cf);                                           \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t alu_rcr_##bits(CpuState *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        bool cf = flag_cf(c);                                                                      \
        n %= bits + 1;                                                                             \
        if (n == 0) {                                                                              \
            return a;                                                                              \
        }                                                                                          \
        uint##bits##_t r = n < bits ? (uint##bits##_t)(a >> n) : 0;                                \
        r |= (uint##bits##_t)((uint##bits##_t)cf << (bits - n));                                   \
        r |= n > 1 ? (uint##bits##_t)(a << (bits + 1 - n)) : 0;                                    \
        cf = a >> (n - 1) & 1;                                                                     \
        lf_rotate_##bits(c, cf, ((r >> (bits - 1)) ^ (r >> (bits - 2))) & 1);                      \
        return r;                                                                                  \
    }
DEF_ALU(8)
DEF_ALU(16)
DEF_ALU(32)
DEF_ALU(64)
#undef DEF_ALU

/* cond - condition code @cc (low four bits of Jcc, SETcc, CMOVcc): SDM vol. 1, appendix B. */
static inline bool cond(const CpuState *c, unsigned cc)
{
    bool r = false;

    switch (cc >> 1 & 7) {
    case 0: r = flag_of(c); break;
    case 1: r = flag_cf(c); break;
    case 2: r = flag_zf(c); break;
    case 3: r = flag_cf(c) || flag_zf(c); break;
    case 4: r = flag_sf(c); break;
    case 5: r = flag_pf(c); break;
    case 6: r = flag_sf(c) != flag_of(c); break;
    case 7: r = flag_zf(c) || flag_sf(c) != flag_of(c); break;
    }
    return r != (cc & 1);
}

#endif
