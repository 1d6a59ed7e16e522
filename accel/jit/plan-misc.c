/*
 * x87, string and system instructions.
 */
#include "accel/jit/plan.h"

/* ---- x87: Intel SDM vol. 2D, "Escape Opcode Instructions" ---- */

/* Bytes of a memory operand by opcode D8..DF and ModRM.reg; 0: the reference's. */
static const uint8_t x87_bytes[8][8] = {
    { 4, 4, 4, 4, 4, 4, 4, 4 }, { 4, 0, 4, 4, 0, 2, 0, 2 },   { 4, 4, 4, 4, 4, 4, 4, 4 },
    { 4, 4, 4, 4, 0, 10, 0, 10 }, { 8, 8, 8, 8, 8, 8, 8, 8 }, { 8, 8, 8, 8, 0, 0, 0, 2 },
    { 2, 2, 2, 2, 2, 2, 2, 2 }, { 2, 2, 2, 2, 10, 8, 10, 8 },
};

static void plan_x87_memory(const Insn *i, Plan *p)
{
    unsigned op = i->opcode & 7, reg = i->modrm >> 3 & 7;

    if (x87_bytes[op][reg] == 0) {
        return; /* FLDENV, FNSTENV, FRSTOR, FNSAVE */
    }
    p->kind = PLAN_X87;
    p->op = i->opcode;
    p->ext = (uint8_t)reg;
    p->mem = true;
    p->size = x87_bytes[op][reg];
    p->control = (op == 1 && reg >= 5) || (op == 5 && reg == 7);
    /* D9, DB, DD, DF: stores but for FLD, FILD, FLDCW, FBLD */
    p->write = (op & 1) && reg != 0 && reg != 5 && !(op == 7 && reg == 4);
}

void plan_x87(const Insn *i, Plan *p)
{
    unsigned op = i->opcode & 7, reg = i->modrm >> 3 & 7;

    if (i->opcode == 0x9b) {
        p->kind = PLAN_NOP; /* FWAIT: nothing is pending, and CR0.TS is clear */
        return;
    }
    if (insn_mem(i)) {
        plan_x87_memory(i, p);
        return;
    }
    if (op == 3 && reg == 4 && i->modrm != 0xe2) {
        return; /* FNINIT; FENI and other names without a meaning */
    }
    p->kind = PLAN_X87;
    p->op = i->opcode;
    p->control = (op == 3 && reg == 4) || (op == 7 && reg == 4); /* FNCLEX, FNSTSW AX */
    if ((op == 2 || op == 3) && reg < 4) {
        p->reads = FL_CF | FL_PF | FL_ZF; /* FCMOVcc */
    } else if ((op == 3 || op == 7) && (reg == 5 || reg == 6)) {
        plan_flags(p, 0, FL_ALL); /* FCOMI and kin */
    }
}

/* ---- system ---- */

static bool is_string(const Insn *i, const OpRow *row)
{
    return row->map == MAP_1 && row->op >= 0xa4 && row->op <= 0xaf && row->op != 0xa8 &&
           row->op != 0xa9 && i->asize >= 4;
}

static void plan_string(const Insn *i, Plan *p)
{
    bool compares = (i->opcode & 0xf6) == 0xa6; /* A6, A7, AE, AF */

    p->kind = PLAN_STRING;
    p->touches = compares;
    p->sets = compares && !(i->flags & (INSN_REP | INSN_REPNE)) ? FL_ALL : 0;
}

void plan_system(const Insn *i, const OpRow *row, uint32_t key, Plan *p)
{
    bool cpl0 = (key & KEY_CPL0) != 0, full = i->opsize == (key & KEY_64 ? 8 : 4);

    if (insn_vex(i)) {
        return;
    }
    if (is_string(i, row)) {
        plan_string(i, p);
    } else if (row->map == MAP_1 && row->op == 0xfa && cpl0) {
        p->kind = PLAN_CLI;
    } else if (row->map == MAP_1 && row->op == 0xfb && cpl0) {
        p->kind = PLAN_STI;
    } else if (row->map == MAP_1 && (row->op == 0xfc || row->op == 0xfd)) {
        p->kind = PLAN_DF;
    } else if (row->map == MAP_1 && row->op == 0x9c && full) {
        p->kind = PLAN_PUSHF;
        p->reads = FL_ALL;
    } else if (row->map == MAP_0F && row->op == 0xae && !insn_mem(i) && row->prefix != P_F3 &&
               (i->modrm >> 3 & 7) >= 5) {
        p->kind = PLAN_FENCE;
    } else if (row->map == MAP_1 && row->op == 0x8c && !insn_mem(i) && i->opsize >= 4) {
        p->kind = PLAN_SELECTOR;
    } else if (strcmp(row->name, "swapgs") == 0 && cpl0) {
        p->kind = PLAN_SWAPGS;
    }
}
