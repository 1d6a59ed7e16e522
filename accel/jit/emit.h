/*
 * The encoder: host instructions by their parts. It writes through the writable view of the code
 * cache; jumps inside of the cache are relative, so that the view does not matter.
 *
 * Source: Intel SDM vol. 2A, chapter 2 "Instruction Format".
 */
#ifndef ACCEL_JIT_EMIT_H
#define ACCEL_JIT_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct Emit {
    uint8_t *p;
    uint32_t state; /* address of CpuState, which the RM_GS kinds are relative to; 0: the GS segment's base is */
} Emit;

/* Host registers with a part of their own: ENGINE.md, 3.2. The guest's RSP is in r15, its r13, r14 and r15
 * are in r9 to r11, and its r9 to r11 in memory. */
enum { H_RAX = 0, H_RCX = 1, H_RDX = 2, H_RSP = 4, H_RSI = 6, H_RDI = 7, H_S1 = 13, H_S2 = 14,
       H_SP = 15 };

/* How an instruction is encoded, beside opcode and operands. */
enum {
    F_W = 1 << 0,      /* 64-bit operands */
    F_66 = 1 << 1,
    F_F3 = 1 << 2,
    F_F2 = 1 << 3,
    F_LOCKED = 1 << 4,
    F_BREG = 1 << 5,   /* the register operand is a byte: 4..7 are SPL..DIL */
    F_BRM = 1 << 6,    /* likewise the ModRM operand, where it is a register */
    F_HIGH = 1 << 7,   /* no REX: bytes 4..7 are AH..BH */
    F_0F = 1 << 8,     /* opcode map */
    F_0F38 = 1 << 9,
    F_0F3A = 1 << 10,
};

typedef struct Rm {
    enum { RM_REG, RM_MEM, RM_GS, RM_GSX } kind;
    uint8_t base, index, scale; /* RM_NONE: none */
    int32_t disp;
} Rm;
#define RM_NONE 0xff
#define REG(n) ((Rm){ .kind = RM_REG, .base = (uint8_t)(n) })
#define MEM(b, x, s, d) ((Rm){ RM_MEM, (uint8_t)(b), (uint8_t)(x), (uint8_t)(s), (d) })
#define GS(field) ((Rm){ .kind = RM_GS, .disp = (int32_t)offsetof(CpuState, field) })
#define GS_AT(off) ((Rm){ .kind = RM_GS, .disp = (int32_t)(off) })
#define GS_IDX(b, off) ((Rm){ RM_GSX, (uint8_t)(b), RM_NONE, 0, (int32_t)(off) }) /* gs:[b + off] */
#define GS_SCALED(x, s, off) ((Rm){ RM_GSX, RM_NONE, (uint8_t)(x), (s), (int32_t)(off) }) /* gs:[x << s + off] */

static inline void put8(Emit *e, unsigned v)
{
    *e->p++ = (uint8_t)v;
}
static inline void put32(Emit *e, uint32_t v)
{
    memcpy(e->p, &v, 4);
    e->p += 4;
}
static inline void put64(Emit *e, uint64_t v)
{
    memcpy(e->p, &v, 8);
    e->p += 8;
}

/* emit_op - @op with register (or extension) @reg and operand @rm; immediates follow by put*(). */
void emit_op(Emit *e, unsigned f, unsigned op, unsigned reg, Rm rm);
/* emit_imm - the low @n bytes of @v. */
void emit_imm(Emit *e, uint64_t v, unsigned n);
/* emit_const - @reg = @v, flags untouched. */
void emit_const(Emit *e, unsigned reg, uint64_t v);
/* emit_jump - a jump (@cc 0..15: conditional; JUMP_ALWAYS, JUMP_CALL) to @to, or, NULL, to be set by
 * emit_set_jump(); the address of its displacement. */
enum { JUMP_ALWAYS = 16, JUMP_CALL = 17 };
uint8_t *emit_jump(Emit *e, unsigned cc, const uint8_t *to);
void emit_set_jump(uint8_t *disp, const uint8_t *to);

/* emit_flags_save - the arithmetic flags to CpuState.jit.flags; @scratch is lost. emit_flags_restore - and back. */
void emit_flags_save(Emit *e, unsigned scratch);
void emit_flags_restore(Emit *e);

/* is_imm32 - an immediate of 32 bits, which is sign-extended, can be @v. */
static inline bool is_imm32(uint64_t v)
{
    return v == (uint64_t)(int64_t)(int32_t)v;
}

/* Register moves, 64 bits. */
static inline void emit_load(Emit *e, unsigned reg, Rm rm)
{
    emit_op(e, F_W, 0x8b, reg, rm);
}
static inline void emit_store(Emit *e, unsigned reg, Rm rm)
{
    emit_op(e, F_W, 0x89, reg, rm);
}

#endif
