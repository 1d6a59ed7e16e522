/*
 * How each instruction is translated.
 */
#ifndef ACCEL_JIT_PLAN_H
#define ACCEL_JIT_PLAN_H

#include "accel/jit/jit.h"
#include "accel/options.h"

/* Arithmetic flags as a set. */
enum { FL_CF = 1, FL_PF = 2, FL_AF = 4, FL_ZF = 8, FL_SF = 16, FL_OF = 32, FL_ALL = 63 };

typedef enum PlanKind {
    PLAN_HELP,  /* the reference, then go on */
    PLAN_END,   /* the reference, then out */
    PLAN_NOP,
    PLAN_OP,    /* an opcode with ModRM operands: copied, operands replaced */
    PLAN_RAW,   /* an opcode without operands: copied */
    PLAN_LEA,
    PLAN_CONST, /* register = immediate, 32 or 64 bits */
    PLAN_BSWAP,
    PLAN_BMI,   /* three general registers, by VEX */
    PLAN_VEC,   /* SSE and AVX */
    PLAN_VZERO, /* VZEROUPPER */
    PLAN_X87,   /* copied; see trans-x87.c */
    PLAN_DIV,
    PLAN_STRING,
    PLAN_CLI, PLAN_STI, PLAN_DF, PLAN_SWAPGS,
    PLAN_FENCE, /* 0F AE, copied */
    PLAN_SELECTOR, /* MOV from a segment register */
    PLAN_BT,    /* a bit anywhere in memory, by a register */
    PLAN_PUSHF,
    PLAN_PUSH, PLAN_PUSH_I, PLAN_PUSH_M, PLAN_POP, PLAN_LEAVE,
    PLAN_LOOP, /* LOOP, JRCXZ */
    PLAN_JCC, PLAN_JMP, PLAN_CALL, PLAN_RET, PLAN_JMP_RM, PLAN_CALL_RM,
} PlanKind;

typedef struct Plan {
    PlanKind kind;
    uint32_t f;      /* F_* of emit.h */
    uint8_t op, ext; /* PLAN_OP: opcode; ModRM.reg where it is no register */
    uint8_t reg, rm; /* guest registers */
    uint8_t imm;     /* bytes of immediate */
    uint8_t size;    /* of the memory operand */
    bool mem, write; /* there is one; it is written */
    bool moffs;      /* its address is the immediate */
    bool reg_op;     /* ModRM.reg is a register */
    bool reg_w, rm_w; /* register operands that are written */
    bool fresh;      /* the register that is written, one of these, is not read */
    bool touches;    /* changes flags, `sets` of them for certain */
    bool vvvv_w;     /* PLAN_BMI: VEX.vvvv is written */
    uint8_t reads, sets;
    uint16_t written; /* general registers, bit by number: changed, or perhaps by C that is called */
    /* PLAN_X87 */
    bool control;  /* it does not change the instruction and operand pointers */
    /* PLAN_VEC */
    bool vex, l256, has_ext;
    bool g_reg, g_rm, g_write; /* ModRM.reg, .rm name a general register; it is written */
    uint8_t align;             /* of the memory operand, 0 for any */
} Plan;

/* in_slot - a guest register that has no host register of its own. */
static inline bool in_slot(unsigned guest)
{
    return guest >= GPR_R9 && guest <= GPR_R11;
}

/* plan_insn - @key as of the translation. */
void plan_insn(const Insn *i, uint32_t key, Plan *p);
/* plan_flags - it reads and sets these flags. */
void plan_flags(Plan *p, uint8_t reads, uint8_t sets);
/* plan_constant - what PLAN_CONST stores. */
static inline uint64_t plan_constant(const Insn *i)
{
    return i->opsize == 8 ? i->imm : (uint32_t)i->imm;
}
/* plan_x87, plan_system - of one byte or two; they leave what they do not know alone. */
void plan_x87(const Insn *i, Plan *p);
void plan_system(const Insn *i, const OpRow *row, uint32_t key, Plan *p);
/* plan_vec - for SSE and AVX. */
void plan_vec(const Insn *i, const OpRow *row, bool code64, Plan *p);

#endif
