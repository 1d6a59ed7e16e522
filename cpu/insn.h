/*
 * A decoded instruction, and the table rows from which the decoder makes one.
 *
 * Every instruction is defined once: a row in the table of its family (cpu/ops-*.c) gives its
 * encoding, its operands in the notation of the SDM's opcode maps (vol. 2D, appendix A.2) and the
 * handler that executes it. The decoder compiles all rows at start into its index.
 */
#ifndef CPU_INSN_H
#define CPU_INSN_H

#include "cpu/cpu.h"

typedef struct Insn Insn;
typedef void ExecFn(CpuState *c, const Insn *i);

struct Insn {
    ExecFn *exec;
    uint64_t imm;   /* immediate, sign-extended to 64 bits; moffs; offset of a far pointer */
    int32_t disp;
    uint16_t imm2;  /* selector of a far pointer; ENTER's level; second immediate */
    uint16_t row;   /* index of the table row: opcode_row(i) */
    uint8_t len;    /* bytes, 1..15 */
    uint8_t reg;    /* ModRM.reg with REX.R/VEX.R, or the opcode's register (with REX.B) */
    uint8_t rm;     /* ModRM.rm with REX.B; a register number where !mem */
    uint8_t base, index, scale; /* memory operand: REG_*, GPR_ZERO for none; scale 0..3 */
    uint8_t seg;    /* segment of the memory operand, override applied */
    uint8_t opsize; /* operand size in bytes: 1, 2, 4 or 8 */
    uint8_t asize;  /* address size in bytes: 2, 4 or 8 */
    uint8_t vvvv;   /* VEX.vvvv as a register number (0 when none) */
    uint8_t flags;  /* INSN_* */
    uint8_t opcode; /* last opcode byte (cc in its low bits) */
    uint8_t modrm;
    uint8_t is4;    /* register number in bits 7:4 of a trailing immediate byte */
    uint16_t end;   /* the engine's: bytes from the start of its block to the next instruction */
};

enum {
    INSN_MEM = 1 << 0,   /* ModRM names memory */
    INSN_LOCK = 1 << 1,
    INSN_REP = 1 << 2,   /* F3 */
    INSN_REPNE = 1 << 3, /* F2 */
    INSN_REX = 1 << 4,   /* a REX prefix was there: SPL, BPL, SIL, DIL instead of AH.. */
    INSN_VEX = 1 << 5,
    INSN_L256 = 1 << 6,  /* VEX.L */
    INSN_W = 1 << 7,     /* REX.W or VEX.W */
};

#define insn_mem(i) (((i)->flags & INSN_MEM) != 0)

/* insn_pass - RIP, which is @i's, goes behind it: with less than 64 bits from 4 GiB on at 0. */
static inline void insn_pass(CpuState *c, const Insn *i)
{
    uint64_t rip = c->regs[GPR_RIP] + i->len;

    c->regs[GPR_RIP] = c->code64 ? rip : (uint32_t)rip;
}

/* insn_rip - RIP of @i, behind which RIP is. */
static inline uint64_t insn_rip(const CpuState *c, const Insn *i)
{
    uint64_t rip = c->regs[GPR_RIP] - i->len;

    return c->code64 ? rip : (uint32_t)rip;
}
#define insn_vex(i) (((i)->flags & INSN_VEX) != 0)
#define insn_l256(i) (((i)->flags & INSN_L256) != 0)

/* Opcode maps and mandatory prefixes. */
enum { MAP_1, MAP_0F, MAP_0F38, MAP_0F3A, MAP_COUNT };
enum { P_ANY, P_NONE, P_66, P_F3, P_F2 }; /* P_ANY: 66/F2/F3 keep their ordinary meaning */

/* Row flags. */
enum {
    OP_LOCK = 1 << 0,     /* LOCK allowed when the destination is memory */
    OP_D64 = 1 << 1,      /* operand size defaults to 64 in 64-bit mode (66 gives 16) */
    OP_F64 = 1 << 2,      /* operand size is 64 in 64-bit mode whatever the prefixes */
    OP_I64 = 1 << 3,      /* invalid in 64-bit mode */
    OP_O64 = 1 << 4,      /* only in 64-bit mode */
    OP_VEX = 1 << 5,      /* VEX encoding (else legacy) */
    OP_L0 = 1 << 6,       /* VEX.L must be 0 */
    OP_L1 = 1 << 7,       /* VEX.L must be 1 */
    OP_W0 = 1 << 8,       /* REX.W/VEX.W must be 0 */
    OP_W1 = 1 << 9,       /* REX.W/VEX.W must be 1 */
    OP_REG = 1 << 10,     /* ModRM.mod must be 3 */
    OP_MEM = 1 << 11,     /* ModRM.mod must not be 3 */
    OP_END = 1 << 12,     /* ends a block: control flow, or state that decoding depends on */
    OP_NOVVVV = 1 << 13,  /* VEX.vvvv must be 1111b */
    OP_PROT = 1 << 14,    /* #UD in real and virtual-8086 mode */
    OP_IO = 1 << 15,      /* string or port instruction: may be interrupted, ends the block */
    OP_NO66 = 1 << 16,    /* 66 makes it #UD */
    OP_VSIB = 1 << 17,    /* index register is a vector register */
    OP_FPU = 1 << 18,     /* x87/MMX/SSE: for the engine's bookkeeping */
    OP_NOREXB = 1 << 20,  /* REX.B makes it another instruction (PAUSE: XCHG with R8) */
    OP_CC = 1 << 19,      /* sixteen opcodes from `op` on, condition in the low four bits */
};

#define EXT_ANY 0xff
typedef struct OpRow {
    uint8_t map;     /* MAP_* */
    uint8_t op;      /* opcode byte; rows with 'Z' operands or cc stand for one opcode each */
    uint8_t prefix;  /* P_* */
    uint8_t ext;     /* ModRM.reg 0..7, or EXT_ANY */
    uint8_t rm;      /* ModRM.rm 0..7 with mod 3, or EXT_ANY */
    uint8_t feature; /* enum CpuFeature */
    uint32_t flags;  /* OP_* */
    const char *name;
    /* Operands, comma-separated, destination first. Method letter and size letters:
     *   E ModRM general register/memory   G ModRM.reg general   R ModRM.rm general register only
     *   M memory only   V ModRM.reg vector   W ModRM vector/memory   U ModRM.rm vector only
     *   H VEX.vvvv vector   B VEX.vvvv general   L is4 vector   P/Q/N the same for MMX
     *   S segment register   C control   D debug register   I immediate   J relative
     *   A far pointer   O moffs   Z register in the opcode's low 3 bits (with REX.B)
     *   X [rSI]   Y [rDI]   a fixed register by name in lower case (al, eAX, dx, cl, 1)
     * Sizes: b w d q; v (16/32/64 by operand size); y (32, 64 with W); z (16/32, imm sign-extended);
     *   s (imm 8 sign-extended to operand size); x (128/256 by VEX.L); dq, qq; ps pd ss sd; p (far).
      * The decoder takes from them: is there a ModRM, which immediates follow, byte operand size. */
    const char *operands;
    ExecFn *exec[3]; /* by operand size 16, 32, 64 (byte instructions: all the same) */
} OpRow;

/* Row makers for the tables. X1: one handler; X3: name_16, name_32, name_64. */
#define X1(f) { f, f, f }
#define X3(f) { f##_16, f##_32, f##_64 }

/* The families' tables; each ends with name == NULL. */
extern const OpRow op_rows_int[], op_rows_sys[], op_rows_flow[], op_rows_string[], op_rows_bmi[];
extern const OpRow op_rows_x87[], op_rows_mmx[], op_rows_sse_fp[], op_rows_sse_int[],
    op_rows_avx[], op_rows_crypto[], op_rows_xsave[];

/* decode_init - compile the tables; once, before the first decode. */
void decode_init(void);

typedef enum DecodeResult {
    DECODE_OK,
    DECODE_UD,    /* no such instruction for this processor: exec raises #UD */
    DECODE_GP,    /* longer than 15 bytes: exec raises #GP(0) */
    DECODE_MORE,  /* @avail bytes are not enough: the caller fetches more (or faults) */
} DecodeResult;

/* What decoding depends on. */
typedef struct DecodeMode {
    uint8_t bits;             /* 16, 32 or 64 */
    bool protected_mode;      /* CR0.PE and not VM86 */
    const uint64_t *features; /* CpuState.features */
} DecodeMode;

/* decode_insn - decode at most 15 bytes from @buf (@avail are there) into *i. With DECODE_UD and
 * DECODE_GP, i->exec raises the fault and i->len is what was consumed. */
DecodeResult decode_insn(const DecodeMode *m, const uint8_t *buf, unsigned avail, Insn *i);

/* opcode_row - the table row of a decoded instruction. */
const OpRow *opcode_row(const Insn *i);
unsigned opcode_row_count(void);
const OpRow *opcode_row_at(unsigned n);

#endif
