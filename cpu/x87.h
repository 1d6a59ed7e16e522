/*
 * The x87 register stack and status word, for cpu/ops-x87*.c and the state-saving instructions.
 *
 * Source: Intel SDM vol. 1, chapter 8, "x87 FPU Status Register", "x87 FPU Instruction and Data
 * (Operand) Pointers"; vol. 3, "MS-DOS compatibility" for CR0.NE=0.
 */
#ifndef CPU_X87_H
#define CPU_X87_H

#include "cpu/access.h"
#include "cpu/softfloat.h"

#define FCW_BITS 0x1f3fu /* bit 6 reads as one, the others as zero */
#define FSW_SF 0x40u
#define FSW_ES 0x80u
#define FSW_C0 0x100u
#define FSW_C1 0x200u
#define FSW_C2 0x400u
#define FSW_C3 0x4000u
#define FSW_CC (FSW_C0 | FSW_C2 | FSW_C3)
#define FSW_B 0x8000u
#define FSW_TOP 0x3800u

static inline unsigned x87_phys(const CpuState *c, unsigned n)
{
    return ((c->fsw >> 11) + n) & 7;
}
static inline Float80 x87_st(const CpuState *c, unsigned n)
{
    return c->fpr[x87_phys(c, n)];
}
static inline bool x87_empty(const CpuState *c, unsigned n)
{
    return !(c->fptag >> x87_phys(c, n) & 1);
}
static inline void x87_set(CpuState *c, unsigned n, Float80 v)
{
    c->fpr[x87_phys(c, n)] = v;
    c->fptag |= (uint8_t)(1u << x87_phys(c, n));
}
static inline void x87_free(CpuState *c, unsigned n)
{
    c->fptag &= (uint8_t)~(1u << x87_phys(c, n));
}
static inline void x87_rotate(CpuState *c, unsigned by)
{
    c->fsw = (uint16_t)((c->fsw & ~FSW_TOP) | ((x87_phys(c, by)) << 11));
}
static inline void x87_pop(CpuState *c)
{
    x87_free(c, 0);
    x87_rotate(c, 1);
}
static inline void x87_push_reg(CpuState *c, Float80 v)
{
    x87_rotate(c, 7);
    x87_set(c, 0, v);
}

/* x87_update_es - ES and B from the flags and masks; FERR# follows where CR0.NE=0. */
void x87_update_es(CpuState *c);
/* x87_check_pending - #MF for an unmasked exception of an earlier instruction. */
void x87_check_pending(CpuState *c);
/* x87_reset - FNINIT. */
void x87_reset(CpuState *c);
/* x87_tag_word - the 16-bit tag word of FSTENV. */
uint16_t x87_tag_word(const CpuState *c);

#endif
