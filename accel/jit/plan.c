/*
 * Which instructions are translated, and how: by opcode. Flags read, written and undefined are those
 * of the SDM's instruction pages; a flag that is undefined counts as written.
 */
#include "accel/jit/plan.h"

#include "base/mem.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"

void plan_flags(Plan *p, uint8_t reads, uint8_t sets)
{
    p->reads = reads;
    p->sets = sets;
    p->touches = true;
}

static uint8_t cond_reads(unsigned cc)
{
    static const uint8_t by_pair[8] = { FL_OF, FL_CF, FL_ZF, FL_CF | FL_ZF, FL_SF, FL_PF,
                                        FL_SF | FL_OF, FL_SF | FL_OF | FL_ZF };

    return by_pair[cc >> 1 & 7];
}

/* With one processor LOCK orders stores and loads against devices only, for which kernels use an OR or ADD
 * of 0. */
static bool keep_lock(const Insn *i)
{
    return cpu_many || !trick_on(TRICK_NO_LOCK) || (i->imm == 0 && i->opcode >= 0x80 && i->opcode <= 0x83);
}

/* Operands Eb or Ev, with or without a register one. */
static void op_rm(const Insn *i, Plan *p, bool rm_w)
{
    p->kind = PLAN_OP;
    p->op = i->opcode;
    p->rm = i->rm;
    p->mem = insn_mem(i);
    p->size = i->opsize;
    p->write = p->mem && rm_w;
    p->rm_w = rm_w;
    p->f |= (i->opsize == 8 ? F_W : i->opsize == 2 ? F_66 : 0) |
            (i->flags & INSN_LOCK && keep_lock(i) ? F_LOCKED : 0);
    if (i->opsize == 1) {
        p->f |= F_BRM | (i->flags & INSN_REX ? 0 : F_HIGH);
    }
}

static void op_rm_reg(const Insn *i, Plan *p, bool rm_w, bool reg_w)
{
    op_rm(i, p, rm_w);
    p->reg = i->reg;
    p->reg_op = true;
    p->reg_w = reg_w;
    p->f |= i->opsize == 1 ? F_BREG : 0;
}

static void op_rm_ext(const Insn *i, Plan *p, bool rm_w, unsigned imm)
{
    op_rm(i, p, rm_w);
    p->ext = i->modrm >> 3 & 7;
    p->imm = (uint8_t)imm;
}

static unsigned imm_z(const Insn *i)
{
    return i->opsize == 1 ? 1 : i->opsize == 2 ? 2 : 4;
}

static void plan_alu(const Insn *i, Plan *p, unsigned alu)
{
    plan_flags(p, alu == 2 || alu == 3 ? FL_CF : 0, FL_ALL);
}

static void plan_alu_forms(const Insn *i, Plan *p)
{
    unsigned alu = i->opcode >> 3, form = i->opcode & 7;

    if (form < 4) {
        op_rm_reg(i, p, form < 2 && alu != 7, form >= 2 && alu != 7);
    } else { /* AL, rAX with an immediate: by the group's opcode */
        op_rm(i, p, alu != 7);
        p->op = form == 4 ? 0x80 : 0x81;
        p->ext = (uint8_t)alu;
        p->rm = GPR_RAX;
        p->imm = (uint8_t)imm_z(i);
    }
    plan_alu(i, p, alu);
}

static void plan_shift(const Insn *i, Plan *p)
{
    unsigned ext = i->modrm >> 3 & 7, op = i->opcode & 0xfe;
    unsigned n = op == 0xc0 ? (unsigned)i->imm & (i->opsize == 8 ? 63 : 31) : 1;
    bool known = op != 0xd2 && n != 0;

    op_rm_ext(i, p, true, op == 0xc0 ? 1 : 0);
    p->ext = (uint8_t)(ext == 6 ? 4 : ext);
    if (ext == 2 || ext == 3) {
        plan_flags(p, FL_CF, 0);
    } else {
        plan_flags(p, 0, !known ? 0 : ext < 2 ? FL_CF | FL_OF : FL_ALL);
    }
}

static void plan_group3(const Insn *i, Plan *p)
{
    unsigned ext = i->modrm >> 3 & 7;

    if (ext >= 6) { /* of bytes and words: the reference's */
        if (i->opsize >= 4) {
            op_rm_ext(i, p, false, 0);
            p->kind = PLAN_DIV;
            plan_flags(p, 0, FL_ALL);
        }
        return;
    }
    op_rm_ext(i, p, ext == 2 || ext == 3, ext < 2 ? imm_z(i) : 0);
    p->ext = (uint8_t)(ext == 1 ? 0 : ext);
    if (ext != 2) {
        plan_flags(p, 0, FL_ALL);
    }
}

static void plan_branch(const Insn *i, Plan *p, PlanKind kind, bool code64)
{
    if (i->opsize == (code64 ? 8 : 4)) {
        p->kind = kind;
    }
}

static void plan_group5(const Insn *i, Plan *p, bool code64)
{
    unsigned ext = i->modrm >> 3 & 7;
    bool full = i->opsize == (code64 ? 8 : 4);

    if (ext < 2) {
        op_rm_ext(i, p, true, 0);
        plan_flags(p, 0, FL_ALL & ~FL_CF);
    } else if (full && (ext == 2 || ext == 4 || ext == 6)) {
        op_rm(i, p, false);
        p->kind = ext == 2 ? PLAN_CALL_RM : ext == 4 ? PLAN_JMP_RM : PLAN_PUSH_M;
        if (ext == 6 && !p->mem) {
            p->kind = PLAN_PUSH;
            p->reg = i->rm;
        }
    }
}

/* A move between registers has two forms: the one that names a register in memory as its ModRM operand. */
static void turn_move(const Insn *i, Plan *p)
{
    bool stores = p->rm_w, to_memory = stores ? in_slot(p->rm) : in_slot(p->reg);
    uint8_t reg = p->reg;

    if (p->mem || i->opsize < 4 || stores == (to_memory && i->opsize == 8)) {
        return;
    }
    p->op ^= 2;
    p->reg = p->rm;
    p->rm = reg;
    p->rm_w = !stores;
    p->reg_w = stores;
}

static void plan_map1(const Insn *i, Plan *p, bool code64)
{
    unsigned op = i->opcode;
    bool full = i->opsize == (code64 ? 8 : 4);

    if (op < 0x40 && (op & 7) < 6) {
        plan_alu_forms(i, p);
        return;
    }
    switch (op) {
    case 0x40 ... 0x4f: /* not in 64-bit code */
        op_rm(i, p, true);
        p->op = 0xff;
        p->ext = op >> 3 & 1;
        p->rm = i->reg;
        plan_flags(p, 0, FL_ALL & ~FL_CF);
        break;
    case 0x50 ... 0x5f:
        if (full) {
            p->kind = op < 0x58 ? PLAN_PUSH : PLAN_POP;
            p->reg = i->reg;
        }
        break;
    case 0x63:
        if (code64) {
            op_rm_reg(i, p, false, true);
            p->size = i->opsize == 2 ? 2 : 4;
        }
        break;
    case 0x68: case 0x6a:
        p->kind = full ? PLAN_PUSH_I : PLAN_HELP;
        break;
    case 0x69: case 0x6b:
        op_rm_reg(i, p, false, true);
        p->imm = (uint8_t)(op == 0x6b ? 1 : imm_z(i));
        plan_flags(p, 0, FL_ALL);
        break;
    case 0x70 ... 0x7f:
        plan_branch(i, p, PLAN_JCC, code64);
        p->reads = cond_reads(op & 15);
        break;
    case 0x80 ... 0x83:
        op_rm_ext(i, p, (i->modrm >> 3 & 7) != 7, op == 0x81 ? imm_z(i) : 1);
        p->op = op == 0x82 ? 0x80 : (uint8_t)op;
        plan_alu(i, p, i->modrm >> 3 & 7);
        break;
    case 0x84: case 0x85:
        op_rm_reg(i, p, false, false);
        plan_flags(p, 0, FL_ALL);
        break;
    case 0x86: case 0x87:
        op_rm_reg(i, p, true, true);
        break;
    case 0x88: case 0x89:
        op_rm_reg(i, p, true, false);
        turn_move(i, p);
        break;
    case 0x8a: case 0x8b:
        op_rm_reg(i, p, false, true);
        turn_move(i, p);
        break;
    case 0x8d:
        p->kind = i->asize == 2 ? PLAN_HELP : PLAN_LEA;
        op = i->opsize;
        p->f = op == 8 ? F_W : op == 2 ? F_66 : 0;
        p->reg = i->reg;
        break;
    case 0x90 ... 0x97:
        if (i->reg == GPR_RAX) {
            p->kind = PLAN_NOP; /* PAUSE too */
            break;
        }
        op_rm_reg(i, p, true, true);
        p->op = 0x87;
        p->rm = GPR_RAX;
        break;
    case 0x98: case 0x99:
        p->kind = PLAN_RAW;
        p->op = (uint8_t)op;
        p->f = i->opsize == 8 ? F_W : i->opsize == 2 ? F_66 : 0;
        break;
    case 0xa0 ... 0xa3:
        op_rm_reg(i, p, op >= 0xa2, op < 0xa2);
        p->op = (uint8_t)(op < 0xa2 ? op - 0xa0 + 0x8a : op - 0xa2 + 0x88);
        p->reg = GPR_RAX;
        p->mem = p->moffs = true;
        p->write = op >= 0xa2;
        break;
    case 0xa8: case 0xa9:
        op_rm(i, p, false);
        p->op = op == 0xa8 ? 0xf6 : 0xf7;
        p->rm = GPR_RAX;
        p->imm = (uint8_t)imm_z(i);
        plan_flags(p, 0, FL_ALL);
        break;
    case 0xb0 ... 0xbf:
        if (i->opsize >= 4) {
            p->kind = PLAN_CONST;
            p->reg = i->reg;
            break;
        }
        op_rm(i, p, true);
        p->op = op < 0xb8 ? 0xc6 : 0xc7;
        p->rm = i->reg;
        p->imm = (uint8_t)imm_z(i);
        break;
    case 0xc0: case 0xc1: case 0xd0 ... 0xd3:
        plan_shift(i, p);
        break;
    case 0xc2: case 0xc3:
        plan_branch(i, p, PLAN_RET, code64);
        break;
    case 0xc6: case 0xc7:
        op_rm_ext(i, p, true, imm_z(i));
        break;
    case 0xc9:
        p->kind = full ? PLAN_LEAVE : PLAN_HELP;
        break;
    case 0xe2: case 0xe3:
        if (i->asize >= 4) {
            plan_branch(i, p, PLAN_LOOP, code64);
            p->reads = FL_ALL;
        }
        break;
    case 0xe8:
        plan_branch(i, p, PLAN_CALL, code64);
        break;
    case 0xe9: case 0xeb:
        plan_branch(i, p, PLAN_JMP, code64);
        break;
    case 0xf5: case 0xf8: case 0xf9:
        p->kind = PLAN_RAW;
        p->op = (uint8_t)op;
        plan_flags(p, op == 0xf5 ? FL_CF : 0, FL_CF);
        break;
    case 0xf6: case 0xf7:
        plan_group3(i, p);
        break;
    case 0xfe: case 0xff:
        plan_group5(i, p, code64);
        break;
    default:
        break;
    }
}

static void plan_0f(const Insn *i, Plan *p, bool code64)
{
    unsigned op = i->opcode;
    bool mem = insn_mem(i);

    p->f = F_0F;
    switch (op) {
    case 0x0d: case 0x18 ... 0x1f: /* PREFETCHW, PREFETCHh, NOP */
        p->kind = PLAN_NOP;
        break;
    case 0x40 ... 0x4f:
        op_rm_reg(i, p, false, true);
        p->reads = cond_reads(op & 15);
        break;
    case 0x80 ... 0x8f:
        plan_branch(i, p, PLAN_JCC, code64);
        p->reads = cond_reads(op & 15);
        break;
    case 0x90 ... 0x9f:
        op_rm(i, p, true);
        p->reads = cond_reads(op & 15);
        break;
    case 0xa3: case 0xab: case 0xb3: case 0xbb:
        if (!mem || (i->opsize >= 4 && i->asize == (code64 ? 8 : 4))) {
            op_rm_reg(i, p, op != 0xa3, false);
            plan_flags(p, 0, FL_CF);
            p->kind = mem ? PLAN_BT : PLAN_OP; /* in memory they reach beyond the operand */
        }
        break;
    case 0xba:
        op_rm_ext(i, p, (i->modrm >> 3 & 7) != 4, 1);
        plan_flags(p, 0, FL_CF);
        break;
    case 0xa4: case 0xac: case 0xa5: case 0xad:
        if (i->opsize >= 4) {
            bool imm = !(op & 1);

            op_rm_reg(i, p, true, false);
            p->imm = imm;
            plan_flags(p, 0, imm && ((unsigned)i->imm & (i->opsize == 8 ? 63 : 31)) ? FL_ALL : 0);
        }
        break;
    case 0xc3: /* MOVNTI */
        op_rm_reg(i, p, true, false);
        break;
    case 0xaf: case 0xb8: case 0xbc: case 0xbd: /* IMUL, POPCNT, BSF, BSR, TZCNT, LZCNT */
        op_rm_reg(i, p, false, true);
        p->f |= opcode_row(i)->prefix == P_F3 ? F_F3 : 0;
        plan_flags(p, 0, FL_ALL);
        break;
    case 0xb0: case 0xb1:
        op_rm_reg(i, p, true, false);
        plan_flags(p, 0, FL_ALL);
        break;
    case 0xb6: case 0xb7: case 0xbe: case 0xbf:
        op_rm_reg(i, p, false, true);
        p->size = op & 1 ? 2 : 1;
        p->f |= op & 1 ? 0 : F_BRM | (i->flags & INSN_REX ? 0 : F_HIGH);
        break;
    case 0xc0: case 0xc1:
        op_rm_reg(i, p, true, true);
        plan_flags(p, 0, FL_ALL);
        break;
    case 0xc7: /* CMPXCHG8B, CMPXCHG16B */
        if (mem && (i->modrm >> 3 & 7) == 1) {
            op_rm_ext(i, p, true, 0);
            p->f &= ~(uint32_t)F_66;
            p->size = p->f & F_W ? 16 : 8;
            p->align = p->f & F_W ? 16 : 0;
            plan_flags(p, 0, FL_ZF);
        }
        break;
    case 0xc8 ... 0xcf:
        if (i->opsize >= 4) {
            p->kind = PLAN_BSWAP;
            p->f |= i->opsize == 8 ? F_W : 0;
            p->reg = i->reg;
        }
        break;
    default:
        break;
    }
}

/* MOVBE, CRC32, ADCX, ADOX: ModRM operands as in the other maps. */
static void plan_0f38(const Insn *i, const OpRow *row, Plan *p)
{
    p->f = F_0F38;
    if (row->op == 0xf6 && !(row->flags & OP_VEX)) {
        op_rm_reg(i, p, false, true);
        p->size = i->opsize == 8 ? 8 : 4; /* 66 is no operand size here */
        p->f = (p->f & ~(uint32_t)F_66) | (row->prefix == P_66 ? F_66 : F_F3);
        plan_flags(p, row->prefix == P_66 ? FL_CF : FL_OF, row->prefix == P_66 ? FL_CF : FL_OF);
    } else if (row->prefix == P_F2 && (row->op & 0xfe) == 0xf0) {
        op_rm_reg(i, p, false, true);
        p->f |= F_F2;
        if (row->op == 0xf0) {
            p->size = 1;
            p->f = (p->f & ~(uint32_t)F_66) | F_BRM | (i->flags & INSN_REX ? 0 : F_HIGH);
        }
    } else if ((row->op & 0xfe) == 0xf0 && row->prefix != P_F2) {
        op_rm_reg(i, p, row->op == 0xf1, row->op == 0xf0);
    }
}

/* BMI1 and BMI2. */
static void plan_bmi(const Insn *i, const OpRow *row, Plan *p)
{
    static const uint32_t prefix[] = { [P_66] = F_66, [P_F3] = F_F3, [P_F2] = F_F2 };
    bool ext = row->ext != EXT_ANY; /* BLSR and kin: the destination is vvvv */

    if (row->map < MAP_0F38) {
        return;
    }
    op_rm(i, p, false);
    p->kind = PLAN_BMI;
    p->size = i->opsize == 8 ? 8 : 4;
    p->f = (row->map == MAP_0F38 ? F_0F38 : F_0F3A) | prefix[row->prefix] |
           (i->opsize == 8 ? F_W : 0);
    p->imm = row->map == MAP_0F3A;
    p->reg = ext ? row->ext : i->reg;
    p->reg_op = p->reg_w = !ext;
    p->vvvv_w = ext || strcmp(row->name, "mulx") == 0;
    if (row->op == 0xf2 || row->op == 0xf3 || (row->prefix == P_NONE && row->op != 0xf6)) {
        plan_flags(p, 0, FL_ALL);
    }
}

/* Moves and kin, which write all of a register without reading it. */
static bool is_fresh(const Insn *i, const Plan *p)
{
    if (p->kind != PLAN_OP || i->opsize < 4 || (p->f & (F_0F38 | F_0F3A))) {
        return false;
    }
    if (p->f & F_0F) {
        return p->op == 0xb6 || p->op == 0xb7 || p->op == 0xbe || p->op == 0xbf;
    }
    return p->op == 0x8b || p->op == 0x89 || p->op == 0x63 || p->op == 0xc7 || p->op == 0x69 || p->op == 0x6b;
}

/* Bytes AH..BH cannot be named beside a register that needs REX, and in a memory form are swapped
 * with AL..BL for the time of the instruction, which CMPXCHG would notice. */
static bool high_byte_trouble(const Plan *p)
{
    bool high_reg = (p->f & F_HIGH) && (p->f & F_BREG) && p->reg_op && p->reg >= 4;
    bool high_rm = (p->f & F_HIGH) && !p->mem && p->rm >= 4;

    if (high_reg && p->mem) {
        return (p->f & F_0F) && (p->op & 0xfe) == 0xb0;
    }
    return high_rm && p->reg_op && !(p->f & F_BREG) && (p->reg == GPR_RSP || p->reg >= 8);
}

/* The option that leaves this one to the reference was given. */
static bool switched_off(PlanKind k)
{
    switch (k) {
    case PLAN_BMI:
        return !trick_on(TRICK_BMI);
    case PLAN_DIV:
        return !trick_on(TRICK_DIV);
    case PLAN_STRING:
        return !trick_on(TRICK_STRING);
    case PLAN_CLI: case PLAN_STI: case PLAN_DF: case PLAN_SWAPGS: case PLAN_FENCE: case PLAN_SELECTOR: case PLAN_PUSHF:
        return !trick_on(TRICK_SYSTEM);
    default:
        return false;
    }
}

static bool uses_stack(PlanKind k)
{
    return (k >= PLAN_PUSHF && k <= PLAN_LEAVE) || k == PLAN_CALL || k == PLAN_RET ||
           k == PLAN_CALL_RM;
}

static uint16_t bit(unsigned reg)
{
    return reg < 16 ? (uint16_t)(1u << reg) : 0;
}

/* Those of an instruction with ModRM or VEX operands. */
static uint16_t written_operands(const Insn *i, const Plan *p)
{
    bool high = (p->f & F_HIGH) && (p->f & (F_BREG | F_BRM)); /* AH is in RAX */
    uint16_t set = 0;

    if (p->reg_op && p->reg_w) {
        set |= bit(p->reg) | (high && p->reg >= 4 ? bit(p->reg - 4u) : 0);
    }
    if (p->kind == PLAN_BMI) {
        return set | (p->vvvv_w ? bit(i->vvvv) : 0);
    }
    if (!p->mem && p->rm_w) {
        set |= bit(p->rm) | (high && p->rm >= 4 ? bit(p->rm - 4u) : 0);
    }
    if ((!(p->f & F_0F) && (p->op & 0xfe) == 0xf6 && p->ext >= 4) ||
        ((p->f & F_0F) && ((p->op & 0xfe) == 0xb0 || p->op == 0xc7))) { /* multiplications, CMPXCHG */
        set |= bit(GPR_RAX) | bit(GPR_RDX);
    }
    return set;
}

static uint16_t written(const Insn *i, const Plan *p)
{
    switch (p->kind) {
    case PLAN_HELP: case PLAN_END: case PLAN_STRING: case PLAN_SELECTOR:
        return 0xffff;
    case PLAN_OP: case PLAN_BMI:
        return written_operands(i, p);
    case PLAN_RAW: case PLAN_DIV:
        return bit(GPR_RAX) | bit(GPR_RDX);
    case PLAN_LEA: case PLAN_CONST: case PLAN_BSWAP:
        return bit(p->reg);
    case PLAN_VEC:
        return p->g_write ? bit(i->reg) | bit(i->rm) : 0;
    case PLAN_X87:
        return bit(GPR_RAX); /* FNSTSW */
    case PLAN_POP:
        return bit(p->reg) | bit(GPR_RSP);
    case PLAN_LEAVE:
        return bit(GPR_RSP) | bit(GPR_RBP);
    case PLAN_LOOP:
        return bit(GPR_RCX);
    case PLAN_PUSHF: case PLAN_PUSH: case PLAN_PUSH_I: case PLAN_PUSH_M: case PLAN_CALL: case PLAN_CALL_RM: case PLAN_RET:
        return bit(GPR_RSP);
    default:
        return 0;
    }
}

void plan_insn(const Insn *i, uint32_t key, Plan *p)
{
    bool code64 = (key & KEY_64) != 0;
    uint32_t segs = key >> KEY_SEG_SHIFT & 31;
    static const uint8_t seg_bit[SEG_COUNT] = { [SEG_ES] = 1, [SEG_CS] = 0, [SEG_SS] = 2,
                                                [SEG_DS] = 4, [SEG_FS] = 8, [SEG_GS] = 16 };
    const OpRow *row = opcode_row(i);
    bool ends = (row->flags & (OP_END | OP_IO)) != 0;
    bool invalid = i->exec != row->exec[i->opsize == 8 ? 2 : i->opsize == 4 ? 1 : 0];
    PlanKind fallback;

    memset(p, 0, sizeof(*p));
    if (invalid) {
        ends = true;
    } else if (row->feature != FEAT_NONE && !cpu_host_has(row->feature)) {
        p->kind = PLAN_HELP;
    } else if ((row->flags & OP_FPU) && row->map == MAP_1) {
        if (key & KEY_X87) {
            plan_x87(i, p);
        }
    } else if ((row->flags & OP_FPU) && row->map != MAP_1) {
        if (key & (insn_vex(i) ? KEY_AVX : KEY_SSE)) {
            plan_vec(i, row, code64, p);
        }
    } else if (insn_vex(i) && (row->feature == FEAT_BMI1 || row->feature == FEAT_BMI2)) {
        plan_bmi(i, row, p);
    } else if (!insn_vex(i) && row->map == MAP_0F38) {
        plan_0f38(i, row, p);
    } else if (!insn_vex(i) && row->map == MAP_1) {
        plan_map1(i, p, code64);
    } else if (!insn_vex(i) && row->map == MAP_0F) {
        plan_0f(i, p, code64);
    }
    if (p->kind == PLAN_HELP && !invalid) {
        plan_system(i, row, key, p);
    }
    fallback = ends ? PLAN_END : PLAN_HELP;
    if (p->kind == PLAN_HELP || switched_off(p->kind) || high_byte_trouble(p) || (p->mem && i->asize == 2) ||
        (p->mem && !code64 && !(segs & seg_bit[i->seg])) ||
        (uses_stack(p->kind) && !code64 && !(segs & 2)) ||
        (p->kind == PLAN_STRING && !code64 && (!(segs & 1) || !(segs & seg_bit[i->seg])))) {
        memset(p, 0, sizeof(*p));
        p->kind = fallback;
    }
    p->fresh = is_fresh(i, p);
    p->written = written(i, p);
    if (p->kind == PLAN_HELP || p->kind == PLAN_END) {
        p->reads = FL_ALL;
    }
}
