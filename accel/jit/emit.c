/*
 * Encoding of host instructions.
 */
#include "accel/jit/emit.h"
#include "cpu/cpu.h"

static void put_prefixes(Emit *e, unsigned f, Rm rm)
{
    if (rm.kind >= RM_GS && e->state == 0) {
        put8(e, 0x65);
    }
    if (f & F_LOCKED) {
        put8(e, 0xf0);
    }
    if (f & F_66) {
        put8(e, 0x66);
    }
    if (f & (F_F3 | F_F2)) {
        put8(e, f & F_F3 ? 0xf3 : 0xf2);
    }
}

static void put_rex(Emit *e, unsigned f, unsigned reg, Rm rm)
{
    unsigned rex = (f & F_W ? 8 : 0) | (reg & 8 ? 4 : 0);
    bool need = (f & F_BREG) && reg >= 4;

    if (rm.kind != RM_GS) {
        rex |= rm.base != RM_NONE && (rm.base & 8) ? 1 : 0;
    }
    if ((rm.kind == RM_MEM || rm.kind == RM_GSX) && rm.index != RM_NONE) {
        rex |= rm.index & 8 ? 2 : 0;
    }
    need |= (f & F_BRM) && rm.kind == RM_REG && rm.base >= 4;
    if (rex != 0 || (need && !(f & F_HIGH))) {
        put8(e, 0x40 | rex);
    }
}

static void put_memory(Emit *e, unsigned reg, Rm rm)
{
    bool small = rm.disp == (int8_t)rm.disp;
    unsigned mod, r = (reg & 7) << 3;

    if (rm.base == RM_NONE) {
        put8(e, r | 4);
        put8(e, (unsigned)(rm.scale << 6 | (rm.index == RM_NONE ? 4 : rm.index & 7) << 3 | 5));
        put32(e, (uint32_t)rm.disp);
        return;
    }
    mod = rm.disp == 0 && (rm.base & 7) != 5 ? 0 : small ? 0x40 : 0x80;
    if (rm.index != RM_NONE || (rm.base & 7) == 4) {
        put8(e, mod | r | 4);
        put8(e, (unsigned)(rm.scale << 6 | (rm.index == RM_NONE ? 4 : rm.index & 7) << 3 |
                           (rm.base & 7)));
    } else {
        put8(e, mod | r | (rm.base & 7));
    }
    if (mod == 0x40) {
        put8(e, (uint8_t)rm.disp);
    } else if (mod == 0x80) {
        put32(e, (uint32_t)rm.disp);
    }
}

void emit_op(Emit *e, unsigned f, unsigned op, unsigned reg, Rm rm)
{
    if (rm.kind >= RM_GS) {
        rm.disp += (int32_t)e->state;
    }
    put_prefixes(e, f, rm);
    put_rex(e, f, reg, rm);
    if (f & (F_0F | F_0F38 | F_0F3A)) {
        put8(e, 0x0f);
    }
    if (f & (F_0F38 | F_0F3A)) {
        put8(e, f & F_0F38 ? 0x38 : 0x3a);
    }
    put8(e, op);
    switch (rm.kind) {
    case RM_REG:
        put8(e, 0xc0 | (reg & 7) << 3 | (rm.base & 7));
        break;
    case RM_MEM: case RM_GSX:
        put_memory(e, reg, rm);
        break;
    case RM_GS:
        put8(e, (reg & 7) << 3 | 4);
        put8(e, 0x25);
        put32(e, (uint32_t)rm.disp);
        break;
    }
}

void emit_imm(Emit *e, uint64_t v, unsigned n)
{
    memcpy(e->p, &v, sizeof(v)); /* there is room behind; what comes next goes over the rest */
    e->p += n;
}

void emit_const(Emit *e, unsigned reg, uint64_t v)
{
    if (v == (uint32_t)v) {
        if (reg & 8) {
            put8(e, 0x41);
        }
        put8(e, 0xb8 | (reg & 7));
        put32(e, (uint32_t)v);
    } else if (v == (uint64_t)(int32_t)v) {
        emit_op(e, F_W, 0xc7, 0, REG(reg));
        put32(e, (uint32_t)v);
    } else {
        put8(e, 0x48 | (reg >> 3));
        put8(e, 0xb8 | (reg & 7));
        put64(e, v);
    }
}

void emit_set_jump(uint8_t *disp, const uint8_t *to)
{
    int32_t rel = (int32_t)(to - (disp + 4));

    __atomic_store_n((int32_t *)disp, rel, __ATOMIC_RELAXED);
}

uint8_t *emit_jump(Emit *e, unsigned cc, const uint8_t *to)
{
    uint8_t *disp;

    if (cc < 16) {
        put8(e, 0x0f);
        put8(e, 0x80 | cc);
    } else {
        put8(e, cc == JUMP_CALL ? 0xe8 : 0xe9);
    }
    disp = e->p;
    put32(e, 0);
    if (to != NULL) {
        emit_set_jump(disp, to);
    }
    return disp;
}

void emit_flags_save(Emit *e, unsigned scratch)
{
    emit_op(e, F_W, 0x89, H_RAX, REG(scratch));
    put8(e, 0x9f); /* LAHF */
    emit_op(e, F_0F, 0x90, 0, REG(H_RAX)); /* SETO AL */
    emit_op(e, F_66, 0x89, H_RAX, GS(jit.flags));
    emit_op(e, F_W, 0x89, scratch, REG(H_RAX));
}

void emit_flags_restore(Emit *e)
{
    emit_store(e, H_RAX, GS(jit.tmp[1]));
    emit_op(e, F_0F, 0xb7, H_RAX, GS(jit.flags));
    put8(e, 0x04); /* ADD AL, 127: OF = AL */
    put8(e, 0x7f);
    put8(e, 0x9e); /* SAHF */
    emit_load(e, H_RAX, GS(jit.tmp[1]));
}
