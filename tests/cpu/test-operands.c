/*
 * The operands of decoded instructions against Zydis': registers by number and width, memory by
 * base, index, scale, displacement, segment and width, immediates, relative and far targets.
 * Random strings that are an instruction for both; the row's operand string (cpu/insn.h) says what
 * the fields of Insn mean.
 *
 * DECODE_COUNT: strings a mode (see decode-gen.h). DECODE_SEED: another sequence.
 */
#include "cpu/insn.h"
#include "tests/cpu/decode-gen.h"
#include "tests/test.h"

#if __has_include(<Zydis/Zydis.h>)
#include <Zydis/Zydis.h>

typedef struct Case {
    const uint8_t *p;
    unsigned bits;
    Insn i;
    const OpRow *row;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
} Case;

/* ---- what a token of the operand string means for this instruction ---- */

/* Bits of a size letter; 0: the manual gives none, or it is not compared. */
static unsigned size_bits(const Case *t, const char *s)
{
    unsigned n = (unsigned)strcspn(s, ","), vec = t->i.flags & INSN_L256 ? 256 : 128;
    unsigned op = t->i.opsize * 8u;
    static const struct {
        const char *name;
        uint16_t bits;
    } fixed[] = { { "b", 8 },    { "w", 16 },  { "d", 32 },  { "q", 64 },
                  { "dq", 128 }, { "qq", 256 }, { "ss", 32 }, { "sd", 64 } };

    for (unsigned k = 0; k < ARRAY_SIZE(fixed); k++) {
        if (strlen(fixed[k].name) == n && strncmp(s, fixed[k].name, n) == 0) {
            return fixed[k].bits;
        }
    }
    if (n == 2 && s[0] == 'p') { /* ps pd */
        return vec;
    }
    switch (n == 1 ? s[0] : 0) {
    case 'v': return op;
    case 'z': return op == 16 ? 16 : 32;
    case 'y': return t->bits == 64 && ((t->i.flags & INSN_W) || op == 64) ? 64 : 32;
    case 'x': return vec;
    case 'p': return op == 16 ? 32 : op == 64 ? 80 : 48;
    default: return 0;
    }
}

static ZydisRegister gpr(const Case *t, unsigned n, unsigned bits)
{
    switch (bits) {
    case 8:
        return n < 4                                    ? ZYDIS_REGISTER_AL + n
               : n < 8 && !(t->i.flags & (INSN_REX))    ? ZYDIS_REGISTER_AH + n - 4
               : n < 8                                  ? ZYDIS_REGISTER_SPL + n - 4
                                                        : ZYDIS_REGISTER_R8B + n - 8;
    case 16: return ZYDIS_REGISTER_AX + n;
    case 32: return ZYDIS_REGISTER_EAX + n;
    default: return ZYDIS_REGISTER_RAX + n;
    }
}

static ZydisRegister vec(unsigned n, unsigned bits)
{
    return bits == 256 ? ZYDIS_REGISTER_YMM0 + n : ZYDIS_REGISTER_XMM0 + n;
}

static ZydisRegister seg(unsigned n)
{
    static const ZydisRegister regs[8] = { ZYDIS_REGISTER_ES, ZYDIS_REGISTER_CS, ZYDIS_REGISTER_SS,
                                           ZYDIS_REGISTER_DS, ZYDIS_REGISTER_FS, ZYDIS_REGISTER_GS };

    return regs[n & 7];
}

static ZydisRegister address_reg(const Case *t, unsigned n)
{
    if (n == GPR_ZERO) {
        return ZYDIS_REGISTER_NONE;
    }
    if (n == GPR_RIP) {
        return t->i.asize == 8 ? ZYDIS_REGISTER_RIP : ZYDIS_REGISTER_EIP;
    }
    return gpr(t, n, t->i.asize * 8u);
}

/* Memory, or the source register, that is narrower than the letter says: the manual's notation for
 * these is "Ux/Mq", "Ry/Mb" and the like. @div: of a vector; @bits: whatever the register. */
static const struct {
    const char *name; /* of the row, "v" in front included by the comparison */
    char method;      /* of the operand */
    uint8_t div, bits;
} narrow[] = {
    { "pmovsxbw", 'W', 2, 0 },   { "pmovsxbd", 'W', 4, 0 },   { "pmovsxbq", 'W', 8, 0 },
    { "pmovsxwd", 'W', 2, 0 },   { "pmovsxwq", 'W', 4, 0 },   { "pmovsxdq", 'W', 2, 0 },
    { "pmovzxbw", 'W', 2, 0 },   { "pmovzxbd", 'W', 4, 0 },   { "pmovzxbq", 'W', 8, 0 },
    { "pmovzxwd", 'W', 2, 0 },   { "pmovzxwq", 'W', 4, 0 },   { "pmovzxdq", 'W', 2, 0 },
    { "cvtps2pd", 'W', 2, 0 },   { "cvtdq2pd", 'W', 2, 0 },   { "cvtph2ps", 'W', 2, 0 },
    { "cvtps2ph", 'W', 2, 0 },   { "pinsrb", 'E', 1, 8 },     { "pinsrw", 'E', 1, 16 },
    { "pextrb", 'E', 1, 8 },     { "pextrw", 'E', 1, 16 },    { "mov", 'E', 1, 16 },
    { "sldt", 'E', 1, 16 },      { "str", 'E', 1, 16 },       { "smsw", 'E', 1, 16 },
};

static unsigned narrowed(const Case *t, char method, unsigned bits, bool mem)
{
    const char *n = t->row->name;
    bool vex = (t->row->flags & OP_VEX) != 0;

    if (strcmp(n, "mov") == 0 && t->row->op != 0x8c) {
        return bits; /* only MOV from a segment register */
    }
    if (strcmp(n, "movsxd") == 0 && !mem && t->i.opsize == 2) {
        return method == 'E' ? 16 : bits;
    }
    for (unsigned k = 0; k < ARRAY_SIZE(narrow); k++) {
        if (narrow[k].method == method && strcmp(n + (*n == 'v'), narrow[k].name) == 0 &&
            (narrow[k].div == 1 || vex || bits == 128)) {
            return narrow[k].div > 1 ? bits / narrow[k].div : mem ? narrow[k].bits : bits;
        }
    }
    if (strcmp(n + (*n == 'v'), "movddup") == 0 && method == 'W' && bits == 128 && mem) {
        return 64;
    }
    /* The selector operand of LAR and LSL is a whole register, of which 16 bits count. */
    if ((strcmp(n, "lar") == 0 || strcmp(n, "lsl") == 0) && method == 'E' && !mem) {
        return *(n + 1) == 's' ? MIN(t->i.opsize * 8u, 32u) : t->i.opsize * 8u;
    }
    return bits;
}

/* ---- comparison: NULL when equal, or what differs ---- */

static const char *cmp_reg(const ZydisDecodedOperand *o, ZydisRegister want)
{
    return o->type != ZYDIS_OPERAND_TYPE_REGISTER ? "not a register"
           : o->reg.value != want                 ? "register"
                                                  : NULL;
}

static const char *cmp_mem(const Case *t, const ZydisDecodedOperand *o, unsigned bits)
{
    const Insn *i = &t->i;
    ZydisRegister index = address_reg(t, i->index);
    bool agen = o->mem.type == ZYDIS_MEMOP_TYPE_AGEN;

    if (o->type != ZYDIS_OPERAND_TYPE_MEMORY) {
        return "not memory";
    }
    if (t->row->flags & OP_VSIB) { /* a vector's number */
        if (ZydisRegisterGetId(o->mem.index) != i->index) {
            return "vector index";
        }
        index = o->mem.index;
    }
    if (i->base == GPR_ZERO && i->asize == 4 && o->mem.base == ZYDIS_REGISTER_R13D) {
        return NULL; /* Zydis 4.0 is wrong with REX.B: SDM vol. 2A, table 2-5, note */
    }
    if (o->mem.base != address_reg(t, i->base)) {
        return "base";
    }
    if (o->mem.index != index) {
        return "index";
    }
    if (index != ZYDIS_REGISTER_NONE && o->mem.scale != 1u << i->scale) {
        return "scale";
    }
    if ((o->mem.disp.has_displacement ? o->mem.disp.value : 0) != i->disp) {
        return "displacement";
    }
    if (strncmp(t->row->name, "call", 4) == 0 || strncmp(t->row->name, "jmp", 3) == 0) {
        agen = true; /* Zydis takes 3E for NOTRACK and no longer for DS */
    }
    if (!agen && o->mem.segment != seg(i->seg)) {
        return "segment";
    }
    return bits != 0 && !agen && o->size != bits ? "memory width" : NULL;
}

static const char *cmp_imm(const Case *t, const ZydisDecodedOperand *o, uint64_t want, bool relative)
{
    /* Zydis keeps what is not sign-extended as it stands in the code. */
    uint64_t mask = o->size >= 64 ? ~0ull : (1ull << o->size) - 1;

    if (o->type != ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        return "not an immediate";
    }
    if (o->imm.is_relative != relative) {
        return "relative";
    }
    return (o->imm.value.u ^ want) & (relative || o->imm.is_signed ? ~0ull : mask) ? "immediate" : NULL;
}

static const char *cmp_moffs(const Case *t, const ZydisDecodedOperand *o, unsigned bits)
{
    if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.base != ZYDIS_REGISTER_NONE ||
        o->mem.index != ZYDIS_REGISTER_NONE) {
        return "not an offset";
    }
    uint64_t mask = t->i.asize == 8 ? ~0ull : (1ull << 8 * t->i.asize) - 1;
    if (((uint64_t)o->mem.disp.value ^ t->i.imm) & mask) {
        return "offset";
    }
    if (o->mem.segment != seg(t->i.seg)) {
        return "segment";
    }
    return o->size != bits ? "memory width" : NULL;
}

static const char *cmp_string(const Case *t, const ZydisDecodedOperand *o, unsigned n, unsigned bits)
{
    if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.base != address_reg(t, n)) {
        return "string operand";
    }
    if (o->mem.segment != (n == GPR_RDI ? ZYDIS_REGISTER_ES : seg(t->i.seg))) {
        return "segment";
    }
    return o->size != bits ? "memory width" : NULL;
}

/* Lower-case tokens: a register by name, or 1. */
static const char *cmp_fixed(const Case *t, const ZydisDecodedOperand *o, const char *s, unsigned n)
{
    static const char *const segs[] = { "es", "cs", "ss", "ds", "fs", "gs" };
    unsigned op = t->i.opsize * 8u;

    if (n == 1 && *s == '1') {
        return cmp_imm(t, o, 1, false);
    }
    if (n == 3 && strncmp(s, "st", 2) == 0) {
        return cmp_reg(o, ZYDIS_REGISTER_ST0 + (s[2] == 'i' ? (t->i.modrm & 7) : 0));
    }
    for (unsigned k = 0; k < 6; k++) {
        if (n == 2 && strncmp(s, segs[k], 2) == 0) {
            return cmp_reg(o, seg(k));
        }
    }
    if (strncmp(s, "al", n) == 0 || strncmp(s, "cl", n) == 0) {
        return cmp_reg(o, *s == 'a' ? ZYDIS_REGISTER_AL : ZYDIS_REGISTER_CL);
    }
    if (strncmp(s, "dx", n) == 0) {
        return cmp_reg(o, ZYDIS_REGISTER_DX);
    }
    if (n == 3 && strncmp(s + 1, "AX", 2) == 0) { /* eAX stops at 32 bits */
        return cmp_reg(o, gpr(t, 0, *s == 'e' && op == 64 ? 32 : op));
    }
    return "a token that the test does not know";
}

static const char *cmp_operand(const Case *t, const ZydisDecodedOperand *o, const char *s)
{
    unsigned n = (unsigned)strcspn(s, ","), bits = size_bits(t, s + 1);
    const Insn *i = &t->i;
    bool mem = insn_mem(i), second = s - t->row->operands > 2 && s[-2] == 'w' && s[-3] == 'I';

    bits = narrowed(t, *s, bits, mem);
    switch (*s) {
    case 'E': return mem ? cmp_mem(t, o, bits) : cmp_reg(o, gpr(t, i->rm, bits));
    case 'R': return cmp_reg(o, gpr(t, i->rm, bits));
    case 'G': return cmp_reg(o, gpr(t, i->reg, bits));
    case 'B': return cmp_reg(o, gpr(t, i->vvvv, bits));
    case 'Z': return cmp_reg(o, gpr(t, i->reg, bits));
    case 'M': return cmp_mem(t, o, bits);
    case 'V': return cmp_reg(o, vec(i->reg, bits));
    case 'W': return mem ? cmp_mem(t, o, bits) : cmp_reg(o, vec(i->rm, bits));
    case 'U': return cmp_reg(o, vec(i->rm, bits));
    case 'H': return cmp_reg(o, vec(i->vvvv, bits));
    case 'L': return cmp_reg(o, vec(i->is4, bits));
    case 'P': return cmp_reg(o, ZYDIS_REGISTER_MM0 + (i->reg & 7));
    case 'Q': return mem ? cmp_mem(t, o, bits) : cmp_reg(o, ZYDIS_REGISTER_MM0 + (i->rm & 7));
    case 'N': return cmp_reg(o, ZYDIS_REGISTER_MM0 + (i->rm & 7));
    case 'S': return cmp_reg(o, seg(i->reg));
    case 'C': return cmp_reg(o, ZYDIS_REGISTER_CR0 + i->reg);
    case 'D': return cmp_reg(o, ZYDIS_REGISTER_DR0 + i->reg);
    case 'I': return cmp_imm(t, o, second ? i->imm2 : i->imm, false);
    case 'J': return cmp_imm(t, o, i->imm, true);
    case 'O': return cmp_moffs(t, o, bits);
    case 'X': return cmp_string(t, o, GPR_RSI, bits);
    case 'Y': return cmp_string(t, o, GPR_RDI, bits);
    case 'A':
        return o->type != ZYDIS_OPERAND_TYPE_POINTER   ? "not a far pointer"
               : o->ptr.segment != i->imm2             ? "selector"
               : (o->ptr.offset ^ i->imm) & (i->opsize == 2 ? 0xffff : 0xffffffff) ? "offset"
                                                                                  : NULL;
    default: return cmp_fixed(t, o, s, n);
    }
}

/* ---- a string ---- */

static unsigned failures;

static void complain(const Case *t, const char *what, const char *tok)
{
    static uint64_t seen[512]; /* one line for a row, mode and reason */
    uint64_t key = (uint64_t)t->i.row << 32 | t->bits << 16 | ((uint64_t)(uintptr_t)what & 0xffff);

    failures++;
    for (unsigned k = 0; k < ARRAY_SIZE(seen); k++) {
        if (seen[k] == key) {
            return;
        }
        if (seen[k] == 0) {
            seen[k] = key;
            break;
        }
    }
    printf("%2u-bit ", t->bits);
    for (unsigned k = 0; k < t->i.len; k++) {
        printf("%02x ", t->p[k]);
    }
    printf("- %s %s, at %s: %s (zydis %s", t->row->name, t->row->operands, tok, what,
           ZydisMnemonicGetString(t->z.mnemonic));
    for (unsigned k = 0; k < t->z.operand_count_visible; k++) {
        const ZydisDecodedOperand *o = &t->ops[k];

        printf(", %u:%u:%s", o->type, o->size,
               o->type == ZYDIS_OPERAND_TYPE_REGISTER ? ZydisRegisterGetString(o->reg.value) : "");
    }
    printf(")\n");
}

/* Rows that are not compared: why. */
static bool not_compared(const Case *t)
{
    const char *n = t->row->name;

    return strcmp(n, "nop") == 0 ||       /* reserved NOPs: nothing is accessed; Zydis knows MPX, CET */
           strcmp(n, "ud0") == 0 ||       /* Zydis: 32-bit registers whatever the operand size */
           strcmp(n, "ud1") == 0 ||
           /* XCHG eAX,eAX: "nop"; F3 90 with REX.B is XCHG on processors, PAUSE to Zydis */
           (t->row->map == MAP_1 && t->row->op == 0x90 && t->z.mnemonic != ZYDIS_MNEMONIC_XCHG);
}

/* Zydis shows one operand where the other is ST(0) in any case. */
static bool one_st_shown(const Case *t, const char *s)
{
    return strcmp(s, "st0,sti") == 0 && t->z.operand_count_visible == 1;
}

static void compare(Case *t)
{
    const char *s = t->row->operands ? t->row->operands : "";
    unsigned k = 0;

    if (not_compared(t)) {
        return;
    }
    if (one_st_shown(t, s)) {
        s += 4;
    }
    while (*s != 0) {
        const char *what = "operand missing";

        /* Operands that Zydis hides (string instructions) come after the others, in order. */
        if (k < t->z.operand_count) {
            what = cmp_operand(t, &t->ops[k], s);
        }
        if (what != NULL) {
            complain(t, what, s);
            return;
        }
        k++;
        s += strcspn(s, ",");
        s += *s == ',';
    }
    if (k < t->z.operand_count_visible && t->ops[k].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
        complain(t, "one more", "end");
    }
}

static void compare_mode(unsigned bits)
{
    static const uint64_t all[2] = { ~0ull, ~0ull };
    DecodeMode mode = { .bits = (uint8_t)bits, .protected_mode = true, .features = all };
    uint64_t compared = 0;
    ZydisDecoder z;

    ZydisDecoderInit(&z,
                     bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                     : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                  : ZYDIS_MACHINE_MODE_LEGACY_16,
                     bits == 64   ? ZYDIS_STACK_WIDTH_64
                     : bits == 32 ? ZYDIS_STACK_WIDTH_32
                                  : ZYDIS_STACK_WIDTH_16);
    decode_random_seed(bits);
    decode_init();
    failures = 0;
    for (uint64_t n = decode_random_count(); n > 0; n--) {
        uint8_t p[16];
        Case t = { .p = p, .bits = bits };

        decode_random(p, bits);
        if (decode_insn(&mode, p, 15, &t.i) != DECODE_OK ||
            !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&z, p, 15, &t.z, t.ops)) || t.z.length != t.i.len) {
            continue; /* tests/cpu/test-decode.c's business */
        }
        t.row = opcode_row(&t.i);
        compare(&t);
        compared++;
    }
    if (failures) {
        printf("%u-bit: %u of %llu differ\n", bits, failures, (unsigned long long)compared);
    }
    assert_int_equal(failures, 0);
}

static void operands_16(void **state)
{
    compare_mode(16);
}
static void operands_32(void **state)
{
    compare_mode(32);
}
static void operands_64(void **state)
{
    compare_mode(64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_16),
        cmocka_unit_test(operands_32),
        cmocka_unit_test(operands_64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    printf("1..0 # SKIP built without libzydis-dev\n");
    return 0;
}

#endif
