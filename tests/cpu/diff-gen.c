/*
 * Random instances of table rows for tests/cpu/test-diff.c.
 */
#include "tests/cpu/diff-gen.h"
#include "accel/lockstep/lockstep.h"

#include <string.h>
#include "base/mem.h"
#include "cpu/flags.h"

#define DATA (diff_place[place].data)

const DiffPlaceInfo diff_place[PLACES] = {
    [PLACE_ANY] = { "anywhere", DIFF_DATA, 0 },
    [PLACE_ACROSS] = { "two pages of RAM", DIFF_DATA, DIFF_DATA_SIZE / 2 },
    [PLACE_NONE] = { "not present", DIFF_DATA, DIFF_DATA_SIZE },
    [PLACE_READ_ONLY] = { "read-only", DIFF_BASE + 0x7000, DIFF_DATA_SIZE / 2 },
    [PLACE_SUPERVISOR] = { "supervisor's", DIFF_BASE + 0xa000, DIFF_DATA_SIZE / 2 },
    [PLACE_DEVICE] = { "a device's", DIFF_BASE + 0xd000, DIFF_DATA_SIZE / 2 },
};

static uint64_t rng_state;
static DiffPlace place;

void diff_put_at(DiffPlace p)
{
    place = p;
}

void diff_seed(uint64_t seed)
{
    rng_state = seed * 0x9e3779b97f4a7c15ull + 0x1234567;
    rng_state = rng_state ? rng_state : 1;
    diff_rnd();
}

uint64_t diff_rnd(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state * 0x2545f4914f6cdd1dull;
}

static bool one_in(unsigned n)
{
    return (diff_rnd() >> 20) % n == 0;
}

bool diff_can_test(const OpRow *row, unsigned bits)
{
    static const char *const skip[] = {
        /* kernel entries, identity, time */
        "int", "int3", "int1", "into", "syscall", "sysenter", "sysret", "sysexit", "cpuid", "rdtsc",
        "rdtscp", "rdrand", "rdseed", "rdpmc", "rdpid", "xgetbv", "monitor", "mwait", "vmcall",
        "vmmcall",
        /* segments and descriptor tables: the host's are not ours */
        "iret", "lret", "lcall", "ljmp", "lds", "les", "lfs", "lgs", "lss", "lar",
        "lsl", "verr", "verw", "arpl", "sgdt", "sidt", "sldt", "str", "smsw", "rdfsbase",
        "rdgsbase", "wrfsbase", "wrgsbase", "pop ss",
    };
    const char *s = row->operands ? row->operands : "";

    for (unsigned k = 0; k < ARRAY_SIZE(skip); k++) {
        if (strcmp(skip[k], row->name) == 0) {
            return false;
        }
    }
    if (strchr(s, 'S') != NULL || strstr(s, "Ap") != NULL || strstr(s, "Mp") != NULL ||
        strstr(s, "Ep") != NULL) {
        return false;
    }
    if (strcmp(row->name, "pop") == 0 && strlen(s) == 2 && s[1] == 's') {
        return false;
    }
    return !((bits == 64 && (row->flags & OP_I64)) || (bits != 64 && (row->flags & OP_O64)));
}

bool diff_is_string(const DiffCase *t)
{
    static const char *const prefixes[] = { "movs", "stos", "lods", "cmps", "scas", "ins", "outs" };

    if (t->row->flags & OP_VSIB) {
        return true;
    }
    for (unsigned k = 0; k < ARRAY_SIZE(prefixes); k++) {
        if (t->row->map == MAP_1 && strncmp(t->row->name, prefixes[k], strlen(prefixes[k])) == 0) {
            return true;
        }
    }
    return false;
}

/* An offset by the place's edge: before it, across it, behind it. */
static uint64_t by_edge(void)
{
    uint64_t edge = diff_place[place].edge, r = diff_rnd();

    switch (r >> 40 & 3) {
    case 0: return edge + r % 128;
    case 1: return edge - 64 + (r & ~63ull) % 192; /* aligned */
    default: return edge - 1 - r % (1u << (r >> 32) % 6);
    }
}

/* ---- instructions ---- */

/* ModRM, SIB and displacement of a memory operand; absolute and RIP-relative ones hit the data. */
static unsigned gen_memory(uint8_t *p, unsigned reg, unsigned bits, bool a16, bool vsib,
                           int32_t *fix_rip)
{
    unsigned n = 0, mod = diff_rnd() % 3, rm = diff_rnd() % 8;
    uint32_t abs = (uint32_t)(place != PLACE_ANY ? by_edge() : diff_rnd() % (DIFF_DATA_SIZE + 8));

    *fix_rip = -1;
    rm = vsib || (rm == 4 && a16) ? 4 : rm;
    p[n++] = (uint8_t)(mod << 6 | reg << 3 | rm);
    if (a16) {
        if (mod == 0 && rm == 6) {
            abs += (uint32_t)(DATA - DIFF_BASE);
            memcpy(p + n, &abs, 2);
            return n + 2;
        }
        return n + mod;
    }
    if (rm == 4) {
        p[n] = (uint8_t)diff_rnd();
        if (mod == 0 && (p[n] & 7) == 5) {
            abs += (uint32_t)(DATA - (bits == 16 ? DIFF_BASE : 0));
            memcpy(p + n + 1, &abs, 4);
        } else if (mod == 2) {
            memcpy(p + n + 1, &(int32_t){ (int16_t)diff_rnd() }, 4);
        }
        n++;
        return n + (mod == 1 ? 1 : mod == 2 || (p[n - 1] & 7) == 5 ? 4 : 0);
    }
    if (mod == 0 && rm == 5) {
        abs += (uint32_t)(DATA - (bits == 16 ? DIFF_BASE : 0));
        if (bits == 64) {
            *fix_rip = (int32_t)n;
        }
        memcpy(p + n, &abs, 4);
        return n + 4;
    }
    if (mod == 2) {
        memcpy(p + n, &(int32_t){ (int16_t)diff_rnd() }, 4);
    }
    return n + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

static bool has_operand(const OpRow *row, char letter)
{
    const char *s = row->operands ? row->operands : "";

    for (bool start = true; *s; s++) {
        if (start && *s == letter) {
            return true;
        }
        start = *s == ',';
    }
    return false;
}

static bool needs_modrm(const OpRow *row)
{
    return row->ext != EXT_ANY || (row->flags & (OP_REG | OP_MEM)) || has_operand(row, 'E') ||
           has_operand(row, 'G') || has_operand(row, 'M') || has_operand(row, 'R') ||
           has_operand(row, 'V') || has_operand(row, 'W') || has_operand(row, 'U') ||
           has_operand(row, 'P') || has_operand(row, 'Q') || has_operand(row, 'N') ||
           has_operand(row, 'C') || has_operand(row, 'D');
}

static unsigned gen_prefixes(const OpRow *row, unsigned bits, uint8_t *p)
{
    static const uint8_t pp[5] = { 0, 0, 0x66, 0xf3, 0xf2 };
    unsigned n = 0;
    bool flow = (row->flags & OP_END) != 0;

    if (row->prefix == P_ANY) {
        if (!flow && one_in(3)) {
            p[n++] = 0x66;
        }
        if (has_operand(row, 'X') || has_operand(row, 'Y') || (!flow && one_in(20))) {
            p[n++] = diff_rnd() & 1 ? 0xf2 : 0xf3;
        }
    } else if (pp[row->prefix]) {
        p[n++] = pp[row->prefix];
    }
    if (row->prefix > P_66 && !flow && one_in(8)) {
        p[n++] = 0x66;
    }
    if ((row->flags & OP_LOCK ? one_in(6) : one_in(200))) {
        p[n++] = 0xf0;
    }
    return n;
}

static unsigned gen_vex(const OpRow *row, unsigned bits, uint8_t *p)
{
    static const uint8_t pp[5] = { 0, 0, 1, 2, 3 };
    uint64_t r = diff_rnd();
    bool w = row->flags & OP_W1 ? true : row->flags & OP_W0 ? false : r & 1;
    bool l = row->flags & OP_L1 ? true : row->flags & OP_L0 ? false : r & 2;
    uint8_t vvvv = row->flags & OP_NOVVVV ? 15 : r >> 2 & 15;
    uint8_t rxb = bits == 64 ? r >> 6 & 7 : 7, last;

    last = (uint8_t)(vvvv << 3 | (l ? 4 : 0) | pp[row->prefix]);
    if (row->map == MAP_0F && !w && (rxb & 3) == 3 && r >> 10 & 1) {
        p[0] = 0xc5;
        p[1] = (uint8_t)((rxb & 4 ? 0x80 : 0) | last);
        return 2;
    }
    p[0] = 0xc4;
    p[1] = (uint8_t)(rxb << 5 | row->map);
    p[2] = (uint8_t)((w ? 0x80 : 0) | last);
    return 3;
}

static void gen_bytes(const OpRow *row, unsigned bits, uint8_t *p)
{
    unsigned n = 0, reg = diff_rnd() % 8, span;
    bool a16 = bits == 16, mem;
    int32_t fix = -1;

    for (unsigned k = 0; k < 16; k++) {
        p[k] = (uint8_t)diff_rnd();
    }
    if (one_in(12)) { /* ES CS SS DS GS; FS is the host's thread pointer */
        static const uint8_t segs[] = { 0x26, 0x2e, 0x36, 0x3e, 0x65, 0x65 };

        p[n++] = segs[diff_rnd() % (bits == 64 ? 6 : 4)];
    }
    if (one_in(16)) {
        p[n++] = 0x67;
        a16 = bits == 32 ? true : false;
    }
    if (row->flags & OP_VEX) {
        n += gen_vex(row, bits, p + n);
    } else {
        n += gen_prefixes(row, bits, p + n);
        if (bits == 64 && ((row->flags & OP_W1) || one_in(2))) {
            p[n++] = (uint8_t)(0x40 | (diff_rnd() & 7) |
                               (row->flags & OP_W1 ? 8 : row->flags & OP_W0 ? 0 : diff_rnd() & 8));
        }
        if (row->map != MAP_1) {
            p[n++] = 0x0f;
        }
        if (row->map > MAP_0F) {
            p[n++] = row->map == MAP_0F38 ? 0x38 : 0x3a;
        }
    }
    span = row->flags & OP_CC ? 16 : has_operand(row, 'Z') ? 8 : 1;
    p[n++] = (uint8_t)(row->op + diff_rnd() % span);
    if (has_operand(row, 'O')) {
        uint64_t at = DATA - (bits == 16 ? DIFF_BASE : 0) + (place != PLACE_ANY ? by_edge() : diff_rnd() % DIFF_DATA_SIZE);

        memcpy(p + n, &at, 8);
    }
    if (!needs_modrm(row)) {
        return;
    }
    reg = row->ext != EXT_ANY ? row->ext : reg;
    mem = !(row->flags & OP_REG) && row->rm == EXT_ANY && ((row->flags & OP_MEM) || one_in(2));
    if (mem) {
        unsigned at = n;

        n += gen_memory(p + n, reg, bits, a16, (row->flags & OP_VSIB) != 0, &fix);
        if (fix >= 0) { /* the length is not known yet: a few bytes off matters not */
            int32_t disp;

            memcpy(&disp, p + at + fix, 4);
            disp -= (int32_t)(DIFF_CODE + n);
            memcpy(p + at + fix, &disp, 4);
        }
    } else {
        p[n] = (uint8_t)(0xc0 | reg << 3 | (row->rm != EXT_ANY ? row->rm : diff_rnd() % 8));
    }
}

bool diff_gen_insn(const DecodeMode *m, unsigned n, DiffCase *t)
{
    t->row = opcode_row_at(n);
    for (unsigned tries = 0; tries < 40; tries++) {
        gen_bytes(t->row, m->bits, t->code);
        t->decoded = decode_insn(m, t->code, 15, &t->insn);
        t->len = t->insn.len;
        if (t->decoded == DECODE_OK && t->insn.row == n) {
            return true;
        }
    }
    return false;
}

/* ---- states ---- */

static uint64_t rnd_int(void)
{
    uint64_t r = diff_rnd();

    switch (diff_rnd() % 8) {
    case 0: return r & 0xff;
    case 1: return (uint64_t)((int64_t)(r & 0xff) - 128);
    case 2: return 1ull << (r & 63);
    case 3: return (1ull << (r & 63)) - 1;
    case 4: return r >> (r & 63);
    case 5: return ~0ull << (r & 63);
    default: return r;
    }
}

/* Floats of @ebits and @fbits: specials, denormals, values near each other. */
static uint64_t rnd_float(unsigned ebits, unsigned fbits)
{
    uint64_t top = (1ull << ebits) - 1, r = diff_rnd(), exp, frac = diff_rnd();

    switch (diff_rnd() % 10) {
    case 0: exp = 0; break;
    case 1: exp = top; break;
    case 2: exp = r & top; break;
    case 3: exp = top / 2 + r % 70 - 4; break;
    case 4: exp = r & 1 ? 1 + (r >> 1) % 3 : top - 1 - (r >> 1) % 3; break;
    default: exp = top / 2 + r % 5 - 2; break;
    }
    switch (diff_rnd() % 6) {
    case 0: frac = 0; break;
    case 1: frac = ~0ull << (frac & 63); break;
    case 2: frac = 1ull << (frac & 63); break;
    default: break;
    }
    return (r >> 63) << (ebits + fbits) | (exp & top) << fbits | (frac & ((1ull << fbits) - 1));
}

static void rnd_vector(uint8_t *p, unsigned kind)
{
    for (unsigned n = 0; n < 4; n++) {
        uint64_t v = kind == 0   ? rnd_int()
                     : kind == 1 ? rnd_float(8, 23) | rnd_float(8, 23) << 32
                                 : rnd_float(11, 52);

        memcpy(p + 8 * n, &v, 8);
    }
}

/* Data is a window of one pool, made once: filling two pages for each case is dear. */
static void rnd_data(uint8_t *data)
{
    static uint8_t pool[8 * DIFF_DATA_SIZE];
    static bool made;

    if (!made) {
        uint64_t saved = rng_state;

        rng_state = 0x5851f42d4c957f2d;
        for (unsigned n = 0; n < sizeof(pool); n += 32) {
            rnd_vector(pool + n, n / 2048 % 4 == 3 ? diff_rnd() % 3 : n / 2048 % 4);
        }
        rng_state = saved;
        made = true;
    }
    memcpy(data, pool + diff_rnd() % (7 * DIFF_DATA_SIZE / 64) * 64, DIFF_DATA_SIZE);
}

static void gen_fpu(DiffState *s)
{
    uint16_t fcw = 0x40 | (diff_rnd() & 0xf00) | (one_in(4) ? diff_rnd() & 0x3f : 0x3f);
    uint16_t fsw = (uint16_t)(diff_rnd() & 0x7f00);
    unsigned kind = diff_rnd() % 3;
    uint32_t mxcsr = 0x1f80 | (diff_rnd() & 0x6000);

    if (one_in(4)) {
        mxcsr = (uint32_t)(diff_rnd() & 0xffff) | (one_in(2) ? 0x1f80 : 0);
    }
    if (one_in(8)) {
        fsw |= diff_rnd() & 0x7f;
    }
    memset(s->fx, 0, sizeof(s->fx));
    if (fsw & ~fcw & 0x3f) {
        fsw |= 0x8080;
    }
    memcpy(s->fx, &fcw, 2);
    memcpy(s->fx + 2, &fsw, 2);
    s->fx[4] = (uint8_t)(one_in(3) ? diff_rnd() : one_in(2) ? 0xff : diff_rnd() | diff_rnd());
    memcpy(s->fx + 24, &mxcsr, 4);
    for (unsigned n = 0; n < 8; n++) {
        uint64_t frac = rnd_float(11, 52) << 11 | (one_in(3) ? diff_rnd() & 0x7ff : 0);
        uint16_t exp = (uint16_t)(rnd_float(15, 0));

        frac = exp ? frac | 1ull << 63 : frac & ~(1ull << 63);
        frac ^= one_in(20) ? 1ull << 63 : 0;
        frac = one_in(8) ? 1ull << 63 : frac;
        memcpy(s->fx + 32 + 16 * n, &frac, 8);
        memcpy(s->fx + 40 + 16 * n, &exp, 2);
    }
    for (unsigned n = 0; n < 16; n++) {
        uint8_t v[32];

        rnd_vector(v, one_in(4) ? diff_rnd() % 3 : kind);
        memcpy(s->fx + 160 + 16 * n, v, 16);
        memcpy(s->ymmh + 16 * n, v + 16, 16);
    }
}

static uint64_t rnd_offset(void)
{
    uint64_t r = diff_rnd();

    if (place != PLACE_ANY && !one_in(8)) {
        return by_edge();
    }
    switch (diff_rnd() % 16) {
    case 0: return DIFF_DATA_SIZE - r % 72; /* near the end, or over it */
    case 1: return DIFF_DATA_SIZE / 2 - r % 40; /* across the pages */
    case 2: return r % 64 - 32;             /* near the start */
    case 3: case 4: case 5: return r % DIFF_DATA_SIZE;
    default: return r % (DIFF_DATA_SIZE - 64) & ~63ull;
    }
}

/* The memory operand's place in the data, or a value beyond its end. */
uint64_t diff_operand_at(const DiffCase *t, unsigned bits, const DiffState *s)
{
    const Insn *i = &t->insn;
    uint64_t ea = (uint64_t)(int64_t)i->disp;

    ea += i->base == GPR_RIP ? s->rip + t->len : i->base < 16 ? s->gpr[i->base] : 0;
    ea += i->index < 16 ? s->gpr[i->index] << i->scale : 0;
    ea = i->asize == 8 ? ea : i->asize == 4 ? (uint32_t)ea : (uint16_t)ea;
    ea += bits == 64 && i->seg == SEG_GS ? DIFF_GS_BASE : 0;
    return ea + (bits == 16 ? DIFF_BASE : 0) - DATA;
}

/* XSAVE and FXSAVE: components that both sides have, images that can be loaded. */
static void gen_image(const DiffCase *t, unsigned bits, DiffState *s, uint8_t *data)
{
    uint64_t at = diff_operand_at(t, bits, s), header[8] = { diff_rnd() & 7 };

    if (t->row->name[0] == 'x') {
        s->gpr[GPR_RAX] &= 0x1f;
        s->gpr[GPR_RDX] = 0;
    }
    if (at <= DIFF_DATA_SIZE - 32) {
        data[at + 26] &= ~2; /* AMD's misaligned exception mask is reserved with us */
    }
    if (at > DIFF_DATA_SIZE - 832 || one_in(12)) {
        return;
    }
    data[at + 26] = data[at + 27] = 0; /* MXCSR's reserved bits */
    if (strcmp(t->row->name, "xrstor") == 0 && one_in(3)) {
        header[1] = 1ull << 63 | header[0] | (diff_rnd() & 7);
    }
    if (t->row->name[0] == 'x') {
        memcpy(data + at + 512, header, 64);
    }
}

void diff_gen_state(const DiffCase *t, unsigned bits, DiffState *s, uint8_t *data)
{
    uint64_t base = bits == 16 ? DATA - DIFF_BASE : DATA;
    const Insn *i = &t->insn;

    memset(s, 0, sizeof(*s));
    for (unsigned n = 0; n < 16; n++) {
        s->gpr[n] = one_in(4) ? base + rnd_offset() : rnd_int();
    }
    s->rip = bits == 16 ? DIFF_CODE - DIFF_BASE : DIFF_CODE;
    s->rflags = (diff_rnd() & FLAGS_ARITH) | (one_in(4) ? FLAG_DF : 0) | 0x202;
    gen_fpu(s);
    rnd_data(data);
    s->gpr[GPR_RSP] = base + (one_in(16) ? rnd_offset() : 0x1000 + (diff_rnd() % 64) * 8);
    if (one_in(2)) { /* string operands, XLAT, MASKMOV, ENTER, LEAVE */
        s->gpr[GPR_RSI] = base + 0x400 + diff_rnd() % 0x800;
        s->gpr[GPR_RDI] = base + 0x400 + (one_in(2) ? diff_rnd() % 0x1800 : diff_rnd() % 64 * 16);
        s->gpr[GPR_RBX] = base + diff_rnd() % 0x1000;
        s->gpr[GPR_RBP] = base + 0x200 + diff_rnd() % 0x1000;
    }
    if (place != PLACE_ANY && one_in(2)) { /* the same by the edge */
        s->gpr[GPR_RSI] = base + by_edge();
        s->gpr[GPR_RDI] = base + by_edge();
        s->gpr[GPR_RBX] = base + by_edge() - 32;
        s->gpr[GPR_RBP] = base + by_edge();
        s->gpr[GPR_RSP] = base + by_edge();
    }
    if (diff_is_string(t) && !(t->row->flags & OP_VSIB)) {
        s->gpr[GPR_RCX] = diff_rnd() % 24;
    }
    if (insn_mem(i) && i->base < 16 && !one_in(24)) {
        uint64_t idx = i->index < 16 && !(t->row->flags & OP_VSIB) ? s->gpr[i->index] : 0;

        if (i->index < 16 && !(t->row->flags & OP_VSIB) && i->index != i->base) {
            idx = s->gpr[i->index] = one_in(2) ? diff_rnd() % 64 : s->gpr[i->index];
        }
        if (i->index == i->base) {
            s->gpr[i->base] = base / (1 + (1u << i->scale)) + diff_rnd() % 512;
        } else {
            s->gpr[i->base] = base + rnd_offset() - (uint64_t)(int64_t)i->disp - (idx << i->scale);
        }
    }
    if ((t->row->flags & OP_VSIB) && !one_in(8)) { /* small indexes for gathers */
        for (unsigned n = 0; n < 16; n++) {
            uint32_t v = (uint32_t)(diff_rnd() % 512) - (diff_rnd() & 1 ? 256 : 0);

            memcpy(s->fx + 160 + 16 * i->index + 4 * (n & 3), &v, 4);
            memcpy(s->ymmh + 16 * i->index + 4 * (n & 3), &v, 4);
        }
        if (one_in(2)) {
            for (unsigned n = 0; n < 16; n += 8) {
                int64_t v = (int64_t)(diff_rnd() % 512) - 256;

                memcpy(s->fx + 160 + 16 * i->index + n, &v, 8);
                memcpy(s->ymmh + 16 * i->index + n, &v, 8);
            }
        }
    }
    if (bits != 64) {
        for (unsigned n = 0; n < 16; n++) {
            s->gpr[n] = n < 8 ? (uint32_t)s->gpr[n] : 0;
        }
        memset(s->fx + 160 + 128, 0, 128);
        memset(s->ymmh + 128, 0, 128);
    }
    if (bits == 16) {
        s->gpr[GPR_RSP] &= 0xffff;
    }
    if (strstr(t->row->name, "xsave") || strstr(t->row->name, "xrstor")) {
        gen_image(t, bits, s, data);
    }
}

/* ---- what the manuals leave undefined ---- */

uint64_t diff_undefined_flags(const DiffCase *t, const DiffState *before)
{
    return step_undefined(&t->insn, (uint8_t)before->gpr[GPR_RCX]);
}

static unsigned shift_count(const DiffCase *t, const DiffState *before)
{
    unsigned n = strstr(t->row->operands, "cl") ? (uint8_t)before->gpr[GPR_RCX]
                                                : (uint8_t)t->insn.imm;

    return n & (t->insn.opsize == 8 ? 63 : 31);
}

/* x87 and MMX: where AMD and Intel are known to differ. */
static bool fpu_excused(const DiffCase *t, const DiffState *h, const DiffState *d)
{
    const char *name = t->row->name;

    if (strncmp(name, "fcom", 4) == 0 || strncmp(name, "ficom", 5) == 0 ||
        strncmp(name, "fucom", 5) == 0 || strcmp(name, "ftst") == 0) {
        return d->fx[2] & ~d->fx[0] & 3; /* unmasked IE, DE: AMD sets the codes all the same */
    }
    if (strcmp(name, "cvtpi2ps") == 0 && insn_mem(&t->insn)) {
        return true; /* AMD: no change to MMX state with a memory operand */
    }
    if (h->vector >= 0 && h->vector == d->vector && strpbrk(t->row->operands, "PQN")) {
        return true; /* a fault after (AMD) or before the change to MMX state */
    }
    return false;
}

bool diff_excused(const DiffCase *t, const DiffState *before, const DiffState *h,
                  const DiffState *d)
{
    const char *name = t->row->name;

    if (strncmp(name, "sh", 2) == 0 && strlen(name) == 4 && name[3] == 'd' &&
        shift_count(t, before) > 8u * t->insn.opsize) {
        return true; /* SHLD, SHRD: "if the count is greater than the operand size" */
    }
    if (t->row->feature == FEAT_SHA && d->vector == EXC_GP && h->vector != EXC_GP) {
        return true; /* AMD does not want SHA's operands aligned */
    }
    if (t->row->map == MAP_0F && t->row->op == 0x0d && h->vector == EXC_UD) {
        return true; /* Intel: 0F 0D with a register is a NOP */
    }
    if (t->row->map == MAP_1 && diff_is_string(t) && h->vector >= 0 && d->vector >= 0) {
        return true; /* both operands fault: which comes first is the processor's affair */
    }
    if (strstr(name, "ldmxcsr") && d->vector == EXC_GP && h->vector < 0) {
        return true; /* AMD: bit 17 is the misaligned exception mask */
    }
    if (strstr(name, "maskmov") && has_operand(t->row, 'U') + has_operand(t->row, 'N') &&
        h->vector >= 0) {
        return true; /* MASKMOVDQU: whether bytes that are not selected can fault is open */
    }
    if (strcmp(name, "movsxd") == 0 && t->insn.opsize == 2 && h->vector == EXC_PF && d->vector < 0) {
        return true; /* AMD reads 32 bits also for a 16-bit destination, Intel 16 */
    }
    if (strcmp(name, "push") == 0 && (t->row->map == MAP_0F || t->row->op < 0x20) && h->vector == EXC_PF && d->vector < 0) {
        return true; /* of a segment register: AMD stores the zeros above, too */
    }
    if (strcmp(name, "xrstor") == 0 && h->vector == EXC_PF && d->vector < 0) {
        return true; /* whether parts of the image are read that are not loaded is open */
    }
    if (h->vector == EXC_GP && d->vector == EXC_PF && t->insn.seg == SEG_GS && d->cr2 >= 0xffff800000000000) {
        return true; /* an offset that is not canonical, with the base it is: AMD looks at both */
    }
    if (h->vector == EXC_PF && d->vector == EXC_GP && h->cr2 >= 0x7fffffffff00 && h->cr2 < 0x800000000000) {
        return true; /* an operand into what is not canonical, written in parts: which is looked at first is open */
    }
    if (h->vector == EXC_PF && d->vector == EXC_GP && h->cr2 >= 0xffffff00 && h->cr2 <= 0xffffffff) {
        return true; /* the same of one beyond 4 GiB (FBSTP) */
    }
    if ((t->row->flags & OP_FPU) && h->vector == EXC_PF && (d->vector == EXC_GP || d->vector == EXC_SS) && (h->cr2 & 0xffff) > 0xfff0) {
        return true; /* and of one beyond the end of 64 KiB (FSTP, 80 bits): AMD stores its first 8 bytes before it looks */
    }
    if (strcmp(name, "popa") == 0 && h->vector >= 0 && h->vector == d->vector) {
        return true; /* AMD: what was popped before the fault stays */
    }
    if (h->vector >= 0 && d->vector >= 0 &&
        (strcmp(name, "call") == 0 || strstr(name, "save") || strstr(name, "rstor") ||
         strstr(name, "env"))) {
        return true; /* an image or CALL across two reasons to fault: the order is open */
    }
    if ((strcmp(name, "vpextrd") == 0 || strcmp(name, "vpinsrd") == 0) && h->vector == EXC_UD) {
        return true; /* AMD: VEX.W must be 0 outside of 64-bit mode */
    }
    return fpu_excused(t, h, d);
}
