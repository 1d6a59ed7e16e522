/*
 * The decoder: bytes to a struct Insn, by the rows of the instruction tables.
 *
 * Source: Intel SDM vol. 2A, chapter 2 "Instruction Format" and vol. 2D, appendix A. decode_init()
 * compiles every row's operand string into RowInfo and sorts the rows into two indexes (legacy and
 * VEX) by map and opcode byte; several rows of one opcode are tried in table order.
 */
#include "cpu/insn.h"

#include <assert.h>
#include <stdlib.h>
#include "base/mem.h"

enum ImmKind { IMM_NONE, IMM_B, IMM_W, IMM_Z, IMM_V, IMM_FAR, IMM_MOFFS, IMM_W_B, IMM_IS4 };

typedef struct RowInfo {
    const OpRow *row;
    uint8_t modrm;     /* has a ModRM byte */
    uint8_t always_reg; /* mod is ignored: MOV to and from CR and DR */
    uint8_t imm;       /* enum ImmKind */
    uint8_t byte_op;   /* first operand is a byte */
    uint8_t zreg;      /* register in the opcode */
} RowInfo;

/* All rows that an opcode may mean, in order; `rows` indexes row_info. */
typedef struct OpSlot {
    uint16_t *rows;
    uint8_t count;
    bool modrm;
} OpSlot;

static RowInfo *row_info; /* written once by decode_init(), read-only after */
static unsigned row_count;
static OpSlot slots[2][MAP_COUNT][256]; /* [VEX][map][opcode]; likewise */

static const OpRow *const families[] = {
    op_rows_int,  op_rows_flow,   op_rows_string, op_rows_sys, op_rows_bmi, op_rows_x87,
    op_rows_mmx,  op_rows_sse_fp, op_rows_sse_int, op_rows_avx, op_rows_crypto, op_rows_xsave,
};

static void parse_operand(RowInfo *ri, const char *tok, unsigned n, bool first)
{
    char size = n > 1 ? tok[1] : 0;

    switch (tok[0]) {
    case 'E': case 'G': case 'M': case 'V': case 'W': case 'U': case 'P': case 'Q': case 'N':
    case 'S':
        ri->modrm = 1;
        break;
    case 'R':
        ri->modrm = 1;
        break;
    case 'C': case 'D':
        ri->modrm = 1;
        ri->always_reg = 1;
        break;
    case 'Z':
        ri->zreg = 1;
        break;
    case 'L':
        ri->imm = IMM_IS4;
        break;
    case 'A':
        ri->imm = IMM_FAR;
        break;
    case 'O':
        ri->imm = IMM_MOFFS;
        break;
    case 'I': case 'J':
        if (size == 'b' || size == 's') {
            ri->imm = ri->imm == IMM_W ? IMM_W_B : ri->imm == IMM_IS4 ? IMM_IS4 : IMM_B;
        } else if (size == 'w') {
            ri->imm = IMM_W;
        } else if (size == 'v') {
            ri->imm = IMM_V;
        } else {
            ri->imm = IMM_Z;
        }
        break;
    default: /* a fixed register or an implied operand */
        break;
    }
    if (first && n == 2 && size == 'b' && strchr("EGZ", tok[0])) {
        ri->byte_op = 1;
    }
    if (first && n == 2 && tok[0] == 'a' && tok[1] == 'l') {
        ri->byte_op = 1;
    }
}

static void parse_row(RowInfo *ri, const OpRow *row)
{
    const char *s = row->operands;
    bool first = true;

    ri->row = row;
    ri->modrm = row->ext != EXT_ANY || (row->flags & (OP_REG | OP_MEM));
    while (s != NULL && *s != 0) {
        unsigned n = (unsigned)strcspn(s, ",");

        parse_operand(ri, s, n, first);
        first = false;
        s += n + (s[n] == ',');
    }
}

static void add_slot(const OpRow *row, unsigned op, uint16_t n, bool modrm)
{
    OpSlot *sl = &slots[(row->flags & OP_VEX) != 0][row->map][op];

    sl->rows = xrealloc(sl->rows, sl->count + 1u, sizeof(uint16_t));
    sl->rows[sl->count++] = n;
    sl->modrm |= modrm;
}

void decode_init(void)
{
    if (row_info != NULL) {
        return;
    }
    for (unsigned f = 0; f < ARRAY_SIZE(families); f++) {
        for (const OpRow *r = families[f]; r->name != NULL; r++) {
            row_count++;
        }
    }
    row_info = xnewn(RowInfo, row_count);
    unsigned n = 0;
    for (unsigned f = 0; f < ARRAY_SIZE(families); f++) {
        for (const OpRow *r = families[f]; r->name != NULL; r++, n++) {
            RowInfo *ri = &row_info[n];
            unsigned span;

            parse_row(ri, r);
            span = r->flags & OP_CC ? 16 : ri->zreg ? 8 : 1;
            for (unsigned k = 0; k < span; k++) {
                add_slot(r, r->op + k, (uint16_t)n, ri->modrm);
            }
        }
    }
}

const OpRow *opcode_row(const Insn *i)
{
    return row_info[i->row].row;
}

unsigned opcode_row_count(void)
{
    return row_count;
}

const OpRow *opcode_row_at(unsigned n)
{
    return row_info[n].row;
}

static void exec_ud(CpuState *c, const Insn *i)
{
    cpu_ud(c);
}

static void exec_gp(CpuState *c, const Insn *i)
{
    cpu_gp0(c);
}

/* What the prefixes said, and where the reading is. */
typedef struct Fetch {
    const DecodeMode *m;
    const uint8_t *buf;
    unsigned pos, avail;
    bool more;       /* ran past avail */
    bool opsize, adsize, lock, vex;
    uint8_t rep;     /* 0, 0xf2 or 0xf3: the last one */
    uint8_t rex;     /* 0x40..0x4f, or 0; VEX gives R, X, B, W in the same places */
    int seg;         /* override, or -1 */
    uint8_t map, op, modrm, vvvv, vex_l, vex_pp;
    uint8_t vvvv_raw;
} Fetch;

static uint8_t next8(Fetch *f)
{
    if (f->pos >= f->avail) {
        f->more = true;
        return 0;
    }
    return f->buf[f->pos++];
}

static uint64_t next_le(Fetch *f, unsigned n)
{
    uint64_t v = 0;

    for (unsigned k = 0; k < n; k++) {
        v |= (uint64_t)next8(f) << (8 * k);
    }
    return v;
}

static uint8_t peek8(Fetch *f)
{
    if (f->pos >= f->avail) {
        f->more = true;
        return 0;
    }
    return f->buf[f->pos];
}

/* Legacy prefixes and REX. Returns the first byte that is neither. */
static uint8_t read_prefixes(Fetch *f)
{
    for (;;) {
        uint8_t b = next8(f);

        if (f->more) {
            return 0;
        }
        switch (b) {
        case 0x26: case 0x2e: case 0x36: case 0x3e: /* ES CS SS DS: ignored in 64-bit mode */
            if (f->m->bits != 64) {
                f->seg = (b >> 3) & 3;
            }
            break;
        case 0x64: case 0x65:
            f->seg = b == 0x64 ? SEG_FS : SEG_GS;
            break;
        case 0x66:
            f->opsize = true;
            break;
        case 0x67:
            f->adsize = true;
            break;
        case 0xf0:
            f->lock = true;
            break;
        case 0xf2: case 0xf3:
            f->rep = b;
            break;
        default:
            if (f->m->bits == 64 && (b & 0xf0) == 0x40) {
                f->rex = b;
                continue; /* takes effect only right before the opcode */
            }
            return b;
        }
        f->rex = 0;
        if (f->pos >= 15) {
            f->more = true;
            return 0;
        }
    }
}

/* VEX prefix: SDM vol. 2A, "VEX Prefix". @b is C4 or C5. False: #UD. */
static bool read_vex(Fetch *f, uint8_t b)
{
    uint8_t p1 = next8(f), p2;

    if (f->rex != 0 || f->opsize || f->rep != 0 || f->lock) {
        return false;
    }
    f->vex = true;
    if (b == 0xc5) {
        f->rex = 0x40 | (p1 & 0x80 ? 0 : 4);
        f->map = MAP_0F;
        p2 = p1;
    } else {
        f->rex = 0x40 | (~(p1 >> 5) & 7);
        if ((p1 & 0x1f) < 1 || (p1 & 0x1f) > 3) {
            return false;
        }
        f->map = p1 & 0x1f;
        p2 = next8(f);
        f->rex |= p2 & 0x80 ? 8 : 0;
    }
    if (f->m->bits != 64) {
        f->rex &= 0x48; /* R, X, B are not there */
    }
    f->vvvv_raw = (~(p2 >> 3)) & 15;
    f->vvvv = f->m->bits == 64 ? f->vvvv_raw : f->vvvv_raw & 7;
    f->vex_l = p2 >> 2 & 1;
    f->vex_pp = p2 & 3;
    return true;
}

static uint8_t address_size(const Fetch *f)
{
    return f->m->bits == 64 ? (f->adsize ? 4 : 8) : (f->m->bits == 32) != f->adsize ? 4 : 2;
}

static bool row_matches(const Fetch *f, const RowInfo *ri)
{
    static const uint8_t vex_prefix[4] = { P_NONE, P_66, P_F3, P_F2 };
    const OpRow *r = ri->row;
    unsigned mod = f->modrm >> 6;
    bool w = (f->rex & 8) != 0;
    uint8_t p;

    if (f->vex) {
        p = vex_prefix[f->vex_pp];
    } else {
        p = f->rep == 0xf3 ? P_F3 : f->rep == 0xf2 ? P_F2 : f->opsize ? P_66 : P_NONE;
    }
    if (r->prefix != P_ANY && r->prefix != p) {
        return false;
    }
    if (r->ext != EXT_ANY && r->ext != (f->modrm >> 3 & 7)) {
        return false;
    }
    if (r->rm != EXT_ANY && (mod != 3 || r->rm != (f->modrm & 7))) {
        return false;
    }
    if (((r->flags & OP_REG) && mod != 3) || ((r->flags & OP_MEM) && mod == 3)) {
        return false;
    }
    if ((f->m->bits == 64 && (r->flags & OP_I64)) || (f->m->bits != 64 && (r->flags & OP_O64))) {
        return false;
    }
    if (((r->flags & OP_W0) && w) || ((r->flags & OP_W1) && !w)) {
        return false;
    }
    if (((r->flags & OP_L0) && f->vex_l) || ((r->flags & OP_L1) && !f->vex_l)) {
        return false;
    }
    if ((r->flags & OP_NOVVVV) && f->vvvv_raw != 0) {
        return false;
    }
    if (((r->flags & OP_PROT) || f->vex) && !f->m->protected_mode) {
        return false;
    }
    if ((r->flags & OP_NO66) && f->opsize) {
        return false;
    }
    if ((r->flags & OP_NOREXB) && (f->rex & 1)) {
        return false;
    }
    if ((r->flags & OP_VSIB) && ((f->modrm & 7) != 4 || address_size(f) == 2)) {
        return false; /* a vector index needs a SIB byte */
    }
    return r->feature == FEAT_NONE ||
           (f->m->features[r->feature / 64] >> (r->feature % 64) & 1);
}

/* 16-bit addressing forms: SDM vol. 2A, table 2-1. */
static void memory16(Fetch *f, Insn *i, unsigned mod, unsigned rm)
{
    static const uint8_t base[8] = { GPR_RBX, GPR_RBX, GPR_RBP, GPR_RBP,
                                     GPR_RSI, GPR_RDI, GPR_RBP, GPR_RBX };
    static const uint8_t index[8] = { GPR_RSI, GPR_RDI, GPR_RSI, GPR_RDI,
                                      GPR_ZERO, GPR_ZERO, GPR_ZERO, GPR_ZERO };

    i->base = base[rm];
    i->index = index[rm];
    if (mod == 0 && rm == 6) {
        i->base = GPR_ZERO;
        i->disp = (int16_t)next_le(f, 2);
    } else if (mod == 1) {
        i->disp = (int8_t)next8(f);
    } else if (mod == 2) {
        i->disp = (int16_t)next_le(f, 2);
    }
    i->seg = i->base == GPR_RBP ? SEG_SS : SEG_DS;
}

/* 32- and 64-bit forms: SDM vol. 2A, tables 2-2 and 2-3, and "RIP-Relative Addressing". */
static void memory32(Fetch *f, Insn *i, unsigned mod, unsigned rm, bool vsib)
{
    uint8_t rex = f->rex;

    i->seg = SEG_DS;
    if (rm == 4) {
        uint8_t sib = next8(f);
        unsigned idx = (sib >> 3 & 7) | (rex & 2 ? 8 : 0), b = sib & 7;

        i->scale = sib >> 6;
        i->index = idx == 4 && !vsib ? GPR_ZERO : (uint8_t)idx;
        if (i->index == GPR_ZERO) {
            i->scale = 0;
        }
        if (b == 5 && mod == 0) {
            i->base = GPR_ZERO;
            i->disp = (int32_t)next_le(f, 4);
        } else {
            i->base = (uint8_t)(b | (rex & 1 ? 8 : 0));
        }
    } else if (rm == 5 && mod == 0) {
        i->base = f->m->bits == 64 ? GPR_RIP : GPR_ZERO;
        i->disp = (int32_t)next_le(f, 4);
        return;
    } else {
        i->base = (uint8_t)(rm | (rex & 1 ? 8 : 0));
    }
    if (mod == 1) {
        i->disp = (int8_t)next8(f);
    } else if (mod == 2) {
        i->disp = (int32_t)next_le(f, 4);
    }
    if (i->base == GPR_RSP || i->base == GPR_RBP) {
        i->seg = SEG_SS;
    }
}

static void read_immediate(Fetch *f, Insn *i, enum ImmKind kind)
{
    unsigned z = i->opsize == 2 ? 2 : 4;

    switch (kind) {
    case IMM_NONE:
        break;
    case IMM_B:
        i->imm = (uint64_t)(int8_t)next8(f);
        break;
    case IMM_W:
        i->imm = next_le(f, 2);
        break;
    case IMM_Z:
        i->imm = z == 2 ? (uint64_t)(int16_t)next_le(f, 2) : (uint64_t)(int32_t)next_le(f, 4);
        break;
    case IMM_V:
        i->imm = i->opsize == 8   ? next_le(f, 8)
                 : i->opsize == 4 ? (uint64_t)(int32_t)next_le(f, 4)
                                  : (uint64_t)(int16_t)next_le(f, 2);
        break;
    case IMM_FAR:
        i->imm = next_le(f, z);
        i->imm2 = (uint16_t)next_le(f, 2);
        break;
    case IMM_MOFFS:
        i->imm = next_le(f, i->asize);
        break;
    case IMM_W_B:
        i->imm = next_le(f, 2);
        i->imm2 = next8(f);
        break;
    case IMM_IS4:
        i->imm = next8(f);
        i->is4 = (uint8_t)(f->m->bits == 64 ? i->imm >> 4 & 15 : i->imm >> 4 & 7);
        break;
    }
}

static uint8_t operand_size(const Fetch *f, const RowInfo *ri)
{
    uint32_t flags = ri->row->flags;

    if (ri->byte_op) {
        return 1;
    }
    if (f->m->bits == 64) {
        if (flags & OP_F64) {
            return 8;
        }
        if (f->rex & 8) {
            return 8;
        }
        return f->opsize ? 2 : flags & OP_D64 ? 8 : 4;
    }
    return (f->m->bits == 32) != f->opsize ? 4 : 2;
}

static DecodeResult fail(Insn *i, const Fetch *f, ExecFn *fn, DecodeResult res)
{
    i->exec = fn;
    i->len = (uint8_t)(f->pos ? f->pos : 1);
    return res;
}

/* The opcode's map and byte. False: #UD. */
static bool read_opcode(Fetch *f, uint8_t b)
{
    f->map = MAP_1;
    if ((b == 0xc4 || b == 0xc5) && (f->m->bits == 64 || (peek8(f) & 0xc0) == 0xc0) && !f->more) {
        if (!read_vex(f, b)) {
            return false;
        }
        f->op = next8(f);
        return true;
    }
    if (b == 0x0f) {
        b = next8(f);
        f->map = MAP_0F;
        if (b == 0x38 || b == 0x3a) {
            f->map = b == 0x38 ? MAP_0F38 : MAP_0F3A;
            b = next8(f);
        }
    }
    f->op = b;
    return true;
}

static void fill_modrm(Fetch *f, Insn *i, const RowInfo *ri)
{
    unsigned mod = f->modrm >> 6, rm = f->modrm & 7;

    i->modrm = f->modrm;
    i->reg = (uint8_t)((f->modrm >> 3 & 7) | (f->rex & 4 ? 8 : 0));
    i->rm = (uint8_t)(rm | (f->rex & 1 ? 8 : 0));
    if (mod == 3 || ri->always_reg) {
        return;
    }
    i->flags |= INSN_MEM;
    if (i->asize == 2) {
        memory16(f, i, mod, rm);
    } else {
        memory32(f, i, mod, rm, (ri->row->flags & OP_VSIB) != 0);
    }
    if (f->seg >= 0) {
        i->seg = (uint8_t)f->seg;
    }
}

static const RowInfo *find_row(const Fetch *f, const OpSlot *sl, Insn *i)
{
    for (unsigned k = 0; k < sl->count; k++) {
        const RowInfo *ri = &row_info[sl->rows[k]];

        if (row_matches(f, ri)) {
            i->row = sl->rows[k];
            return ri;
        }
    }
    return NULL;
}

DecodeResult decode_insn(const DecodeMode *m, const uint8_t *buf, unsigned avail, Insn *i)
{
    Fetch f = { .m = m, .buf = buf, .avail = MIN(avail, 15u), .seg = -1 };
    DecodeResult short_of = avail >= 15 ? DECODE_GP : DECODE_MORE;
    const RowInfo *ri;
    const OpSlot *sl;
    uint8_t b;

    memset(i, 0, sizeof(*i));
    i->base = i->index = GPR_ZERO;
    b = read_prefixes(&f);
    if (f.more || (!read_opcode(&f, b) && !f.more)) {
        return f.more ? fail(i, &f, exec_gp, short_of) : fail(i, &f, exec_ud, DECODE_UD);
    }
    sl = &slots[f.vex][f.map][f.op];
    if (sl->modrm && !f.more) {
        f.modrm = next8(&f);
    }
    if (f.more) {
        return fail(i, &f, exec_gp, short_of);
    }
    ri = find_row(&f, sl, i);
    if (ri == NULL) {
        return fail(i, &f, exec_ud, DECODE_UD);
    }
    i->asize = address_size(&f);
    i->opsize = operand_size(&f, ri);
    i->opcode = f.op;
    i->vvvv = f.vvvv;
    i->seg = f.seg >= 0 ? (uint8_t)f.seg : SEG_DS;
    i->flags = (uint8_t)((f.lock ? INSN_LOCK : 0) | (f.rep == 0xf3 ? INSN_REP : 0) |
                         (f.rep == 0xf2 ? INSN_REPNE : 0) | (f.rex && !f.vex ? INSN_REX : 0) |
                         (f.vex ? INSN_VEX : 0) | (f.vex_l ? INSN_L256 : 0) |
                         (f.rex & 8 ? INSN_W : 0));
    if (ri->zreg) {
        i->reg = (uint8_t)((f.op & 7) | (f.rex & 1 ? 8 : 0));
    }
    if (ri->modrm) {
        fill_modrm(&f, i, ri);
    }
    read_immediate(&f, i, ri->imm);
    if (f.more) {
        return fail(i, &f, exec_gp, short_of);
    }
    i->len = (uint8_t)f.pos;
    if (f.lock && !((ri->row->flags & OP_LOCK) && insn_mem(i))) {
        i->exec = exec_ud;
        return DECODE_UD;
    }
    i->exec = ri->row->exec[i->opsize == 8 ? 2 : i->opsize == 4 ? 1 : 0];
    return DECODE_OK;
}
