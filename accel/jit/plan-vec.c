/*
 * SSE and AVX instructions: all of one shape, planned by their rows' operands.
 *
 * They run as they are on the guest's vector registers in the host's of the same number. What reads
 * memory by a mask or an index, and what differs between hosts, is the reference's.
 */
#include "accel/jit/plan.h"

#include "base/mem.h"
#include "cpu/vec.h"

static bool one_of(ExecFn *f, ExecFn *const *list, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        if (list[k] == f) {
            return true;
        }
    }
    return false;
}
#define ONE_OF(f, ...) one_of(f, (ExecFn *const[]){ __VA_ARGS__ }, ARRAY_SIZE(((ExecFn *const[]){ __VA_ARGS__ })))

/* Left to the reference. */
static bool excluded(const Insn *i, const OpRow *row)
{
    return (row->flags & OP_VSIB) || strpbrk(row->operands, "PQN") != NULL ||
           strpbrk(row->operands, "VWUH") == NULL ||
           strstr(row->name, "mask") != NULL ||
           ONE_OF(i->exec, op_ldmxcsr, op_stmxcsr, op_rcpps, op_rcpss, op_rsqrtps, op_rsqrtss,
                  op_pcmpestrm, op_pcmpestri, op_pcmpistrm, op_pcmpistri);
}

static uint8_t operand_bytes(const Insn *i, const char *tok, bool wide)
{
    unsigned x = insn_l256(i) ? 32 : 16;

    switch (tok[1]) {
    case 'x': return (uint8_t)x;
    case 'p': return (uint8_t)x;
    case 's': return tok[2] == 's' ? 4 : 8;
    case 'q': return tok[2] == 'q' ? 32 : 8;
    case 'd': return tok[2] == 'q' ? 16 : 4;
    case 'w': return 2;
    case 'b': return 1;
    default: return wide ? 8 : 4; /* y */
    }
}

static void vec_memory(const Insn *i, Plan *p, const char *tok, bool wide)
{
    bool moves = ONE_OF(i->exec, op_vload, op_vstore);

    p->mem = true;
    p->size = i->exec == op_cvtps2pd && !insn_vex(i) ? 8 : operand_bytes(i, tok, wide);
    if (ONE_OF(i->exec, op_vload_aligned, op_vstore_aligned)) {
        p->align = (uint8_t)vec_bytes(i);
    } else if (!insn_vex(i) && p->size == 16 && !moves) {
        p->align = 16;
    }
}

/* One operand; @dest: the first, which is written. */
static void vec_operand(const Insn *i, Plan *p, const char *tok, bool dest, bool wide)
{
    switch (tok[0]) {
    case 'L':
    case 'I':
        p->imm = 1;
        break;
    case 'G':
        p->g_reg = true;
        p->g_write |= dest;
        break;
    case 'E':
        p->g_rm = !insn_mem(i);
        p->g_write |= dest && !insn_mem(i);
        break;
    default:
        break;
    }
    if (strchr("WUME", tok[0]) != NULL && insn_mem(i)) {
        vec_memory(i, p, tok, wide);
        p->write |= dest;
    }
}

void plan_vec(const Insn *i, const OpRow *row, bool code64, Plan *p)
{
    static const uint32_t prefix[] = { [P_ANY] = 0, [P_NONE] = 0, [P_66] = F_66, [P_F3] = F_F3,
                                       [P_F2] = F_F2 };
    static const uint32_t map[] = { [MAP_0F] = F_0F, [MAP_0F38] = F_0F38, [MAP_0F3A] = F_0F3A };
    bool wide = (i->flags & INSN_W) && code64, flags_only;

    if (row->operands[0] == 0) {
        if (strcmp(row->name, "vzeroupper") == 0) {
            p->kind = PLAN_VZERO;
        }
        return;
    }
    if (excluded(i, row)) {
        return;
    }
    flags_only = ONE_OF(i->exec, op_comiss, op_comisd, op_ucomiss, op_ucomisd, op_ptest) ||
                 strncmp(row->name, "vtest", 5) == 0;
    p->kind = PLAN_VEC;
    p->op = i->opcode;
    p->ext = (uint8_t)(row->ext == EXT_ANY ? 0 : row->ext);
    p->has_ext = row->ext != EXT_ANY;
    p->f = prefix[row->prefix] | map[row->map];
    p->vex = insn_vex(i);
    p->l256 = insn_l256(i);
    for (const char *s = row->operands; *s != 0;) {
        vec_operand(i, p, s, s == row->operands && !flags_only, wide);
        s += strcspn(s, ",");
        s += *s == ',';
    }
    if ((i->flags & INSN_W) && (code64 || strpbrk(row->operands, "EG") == NULL)) {
        p->f |= F_W;
    }
    if (flags_only) {
        p->touches = true;
        p->sets = FL_ALL;
    }
}
