/*
 * Vector registers: loaded into the host's when a translation first uses them, stored before it is
 * left or C is called. A register is held with 128 or 256 bits.
 */
#include "accel/jit/trans.h"

#include "cpu/vec.h"

static void emit_vex(Emit *e, const Plan *p, unsigned reg, unsigned vvvv, Rm rm)
{
    unsigned map = p->f & F_0F ? 1 : p->f & F_0F38 ? 2 : 3;
    unsigned pp = p->f & F_66 ? 1 : p->f & F_F3 ? 2 : p->f & F_F2 ? 3 : 0;
    bool b = rm.kind != RM_GS && (rm.base & 8);
    bool x = rm.kind == RM_MEM && rm.index != RM_NONE && (rm.index & 8);
    uint8_t *at;

    if (rm.kind >= RM_GS) {
        put8(e, 0x65);
    }
    put8(e, 0xc4);
    put8(e, (reg & 8 ? 0 : 0x80) | (x ? 0 : 0x40) | (b ? 0 : 0x20) | map);
    put8(e, (p->f & F_W ? 0x80 : 0) | (~vvvv & 15) << 3 | (p->l256 ? 4 : 0) | pp);
    /* opcode, ModRM and the rest as in the legacy form without its prefixes */
    at = e->p;
    rm.base &= rm.base == RM_NONE ? 0xff : 7;
    if (rm.kind == RM_MEM) {
        rm.index &= rm.index == RM_NONE ? 0xff : 7;
    }
    emit_op(e, 0, p->op, reg & 7, rm);
    if (rm.kind >= RM_GS) { /* it wrote the segment prefix once more */
        memmove(at, at + 1, (size_t)(e->p - at - 1));
        e->p--;
    }
}

static void move(Tr *t, unsigned n, bool whole, bool store)
{
    Rm at = GS_AT(offsetof(CpuState, xmm) + n * sizeof(VecReg));
    const Plan mov = { .f = F_0F, .op = store ? 0x11 : 0x10, .l256 = true };

    if (whole) {
        emit_vex(&t->e, &mov, n, 0, at);
    } else {
        emit_op(&t->e, F_0F, mov.op, n, at);
    }
}

void vec_store(Tr *t, uint16_t half, uint16_t whole)
{
    for (unsigned n = 0; n < 16; n++) {
        if ((half | whole) >> n & 1) {
            move(t, n, whole >> n & 1, true);
        }
    }
}

void vec_load(Tr *t, uint16_t half, uint16_t whole)
{
    for (unsigned n = 0; n < 16; n++) {
        if ((half | whole) >> n & 1) {
            move(t, n, whole >> n & 1, false);
        }
    }
}

void vec_spill(Tr *t)
{
    vec_store(t, t->x_dirty & (uint16_t)~t->x_whole, t->x_dirty & t->x_whole);
    t->x_dirty = 0;
}

void vec_forget(Tr *t)
{
    vec_spill(t);
    t->x_held = t->x_whole = 0;
}

/* The registers of @mask are in the host's, with 256 bits if @whole. */
static void need(Tr *t, uint16_t mask, bool whole)
{
    uint16_t widen = whole ? mask & t->x_held & (uint16_t)~t->x_whole : 0;
    uint16_t missing = mask & (uint16_t)~t->x_held;

    vec_store(t, widen & t->x_dirty, 0);
    t->x_dirty &= (uint16_t)~widen;
    missing |= widen;
    vec_load(t, whole ? 0 : missing, whole ? missing : 0);
    t->x_held |= mask;
    t->x_whole |= whole ? mask : 0;
}

static void written(Tr *t, uint16_t mask, bool vex)
{
    t->x_held |= mask;
    t->x_dirty |= mask;
    t->x_whole |= vex ? mask : 0; /* VEX clears what it does not write */
}

/* The general register of an operand: its own, or @scratch. */
static unsigned general(Tr *t, unsigned guest, unsigned scratch, bool load)
{
    if (in_slot(guest)) {
        if (load) {
            emit_load(&t->e, scratch, slot_of(guest));
        }
        return scratch;
    }
    return host_reg(guest);
}

static Rm operand(Tr *t, const Plan *p, Cold *slow)
{
    const Insn *i = t->insn;

    if (!p->mem) {
        return REG(p->g_rm ? general(t, i->rm, H_S1, !p->g_write) : i->rm);
    }
    mem_address(t, false);
    mem_check(t, p->size, p->write, slow);
    if (p->align) {
        emit_op(&t->e, F_BRM, 0xf6, 0, REG(H_S1));
        put8(&t->e, p->align - 1u);
        cold_jump(t, slow, 5);
    }
    return MEM_OPERAND;
}

void vec_insn(Tr *t, const Plan *p)
{
    const Insn *i = t->insn;
    unsigned reg = p->has_ext ? p->ext : i->reg;
    Cold *slow = NULL;
    Rm rm;

    need(t, p->xr, p->l256);
    if (p->mem) {
        slow = cold_help(t);
        mem_flags(t);
    }
    rm = operand(t, p, slow);
    if (p->g_reg && p->mem && in_slot(i->reg) && !p->g_write) {
        mem_one(t);
        rm = MEM(H_S1, RM_NONE, 0, 0);
    }
    if (p->g_reg) {
        reg = general(t, i->reg, H_S2, !p->g_write);
    }
    if (p->vex) {
        emit_vex(&t->e, p, reg, i->vvvv, rm);
    } else {
        emit_op(&t->e, p->f, p->op, reg, rm);
    }
    if (p->imm) {
        put8(&t->e, (uint8_t)(strchr(opcode_row(i)->operands, 'L') != NULL
                                  ? i->is4 << 4 | (i->imm & 15) : i->imm));
    }
    if (p->g_write) {
        unsigned g = p->g_reg ? i->reg : i->rm;

        if (in_slot(g)) {
            emit_store(&t->e, p->g_reg ? H_S2 : H_S1, slot_of(g));
        }
    }
    written(t, p->xw, p->vex);
    if (p->touches) {
        t->flags = FLAGS_HOST;
    }
    if (slow != NULL) {
        slow->back = t->e.p;
        slow->host_after = t->flags == FLAGS_HOST;
        slow->x_held = t->x_held;
        slow->x_whole = t->x_whole;
    }
}

/* VZEROUPPER */
void vec_zero_upper(Tr *t)
{
    vec_forget(t);
    emit_jump(&t->e, JUMP_CALL, t->j->zero_upper);
}

/* ---- BMI: general registers, VEX ---- */

void bmi_insn(Tr *t, const Plan *p)
{
    const Insn *i = t->insn;
    unsigned scratch[2] = { H_S1, H_S2 }, used = 0, g[3] = { p->reg, i->vvvv, i->rm }, h[3];
    Cold *slow = NULL;
    Rm rm;

    if (p->mem) {
        slow = cold_help(t);
        mem_flags(t);
        mem_address(t, false);
        mem_check(t, p->size, false, slow);
        mem_one(t);
        used = 1; /* the address */
    }
    for (unsigned n = 0; n < 3; n++) {
        h[n] = host_reg(g[n]);
        if ((n == 0 && !p->reg_op) || (n == 2 && p->mem)) {
            h[n] = g[n];
        } else if (in_slot(g[n])) {
            for (unsigned k = 0; k < n; k++) { /* one register may be named twice */
                h[n] = in_slot(g[k]) && g[k] == g[n] && (k != 0 || p->reg_op) ? h[k] : h[n];
            }
            if (h[n] == host_reg(g[n])) {
                h[n] = 0x80 | scratch[used++];
            }
        }
    }
    for (unsigned n = 0; n < 3; n++) {
        if (h[n] & 0x80) {
            h[n] &= 0x7f;
            emit_load(&t->e, h[n], slot_of(g[n]));
        }
    }
    rm = p->mem ? MEM(H_S1, RM_NONE, 0, 0) : REG(h[2]);
    emit_vex(&t->e, p, h[0] & 0x7f, h[1] & 0x7f, rm);
    emit_imm(&t->e, i->imm, p->imm);
    if (p->vvvv_w && in_slot(g[1])) {
        emit_store(&t->e, h[1] & 0x7f, slot_of(g[1]));
    }
    if (p->reg_w && in_slot(g[0])) {
        emit_store(&t->e, h[0] & 0x7f, slot_of(g[0]));
    }
    if (p->touches) {
        t->flags = FLAGS_HOST;
    }
    if (slow != NULL) {
        slow->back = t->e.p;
        slow->host_after = t->flags == FLAGS_HOST;
    }
}
