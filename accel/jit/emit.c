/*
 * Encoding of host instructions.
 */
#include "accel/jit/emit.h"
#include "cpu/cpu.h"

/* Bytes are put by a pointer of one's own: one in *e would be stored and loaded again for each. */

static uint8_t *put_prefixes(uint8_t *p, const Emit *e, unsigned f, Rm rm)
{
    if (rm.kind >= RM_GS && e->state == 0) {
        *p++ = 0x65;
    }
    if (f & F_LOCKED) {
        *p++ = 0xf0;
    }
    if (f & F_66) {
        *p++ = 0x66;
    }
    if (f & (F_F3 | F_F2)) {
        *p++ = f & F_F3 ? 0xf3 : 0xf2;
    }
    return p;
}

static uint8_t *put_rex(uint8_t *p, unsigned f, unsigned reg, Rm rm)
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
        *p++ = (uint8_t)(0x40 | rex);
    }
    return p;
}

static uint8_t *put_disp(uint8_t *p, int32_t disp)
{
    memcpy(p, &disp, sizeof(disp));
    return p + sizeof(disp);
}

static uint8_t *put_memory(uint8_t *p, unsigned reg, Rm rm)
{
    bool small = rm.disp == (int8_t)rm.disp;
    unsigned mod, r = (reg & 7) << 3;

    if (rm.base == RM_NONE) {
        *p++ = (uint8_t)(r | 4);
        *p++ = (uint8_t)(rm.scale << 6 | (rm.index == RM_NONE ? 4 : rm.index & 7) << 3 | 5);
        return put_disp(p, rm.disp);
    }
    mod = rm.disp == 0 && (rm.base & 7) != 5 ? 0 : small ? 0x40 : 0x80;
    if (rm.index != RM_NONE || (rm.base & 7) == 4) {
        *p++ = (uint8_t)(mod | r | 4);
        *p++ = (uint8_t)(rm.scale << 6 | (rm.index == RM_NONE ? 4 : rm.index & 7) << 3 | (rm.base & 7));
    } else {
        *p++ = (uint8_t)(mod | r | (rm.base & 7));
    }
    if (mod == 0x40) {
        *p++ = (uint8_t)rm.disp;
    }
    return mod == 0x80 ? put_disp(p, rm.disp) : p;
}

void emit_op(Emit *e, unsigned f, unsigned op, unsigned reg, Rm rm)
{
    uint8_t *p = e->p;

    if (rm.kind >= RM_GS) {
        rm.disp += (int32_t)e->state;
    }
    p = put_rex(put_prefixes(p, e, f, rm), f, reg, rm);
    if (f & (F_0F | F_0F38 | F_0F3A)) {
        *p++ = 0x0f;
    }
    if (f & (F_0F38 | F_0F3A)) {
        *p++ = f & F_0F38 ? 0x38 : 0x3a;
    }
    *p++ = (uint8_t)op;
    switch (rm.kind) {
    case RM_REG:
        *p++ = (uint8_t)(0xc0 | (reg & 7) << 3 | (rm.base & 7));
        break;
    case RM_MEM: case RM_GSX:
        p = put_memory(p, reg, rm);
        break;
    case RM_GS:
        *p++ = (uint8_t)((reg & 7) << 3 | 4);
        *p++ = 0x25;
        p = put_disp(p, rm.disp);
        break;
    }
    e->p = p;
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
    uint8_t *disp = e->p + (cc < 16 ? 2 : 1);

    e->p[0] = cc < 16 ? 0x0f : cc == JUMP_CALL ? 0xe8 : 0xe9;
    e->p[1] = (uint8_t)(0x80 | cc); /* or of the displacement, which comes now */
    put_disp(disp, to != NULL ? (int32_t)(to - (disp + 4)) : 0);
    e->p = disp + 4;
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
