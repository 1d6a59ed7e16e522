/*
 * The decoder against Zydis: for random byte strings in 16-, 32- and 64-bit code, is it an
 * instruction, and how long. All features are on; what we do not implement is told apart by Zydis'
 * name of the instruction set. Capstone, which knows fewer invalid forms, is asked for the length of
 * every sixteenth string.
 *
 * DECODE_COUNT: strings a mode (see decode-gen.h). DECODE_SEED: another sequence.
 */
#include "cpu/insn.h"
#include "tests/cpu/decode-gen.h"
#include "tests/test.h"

#if __has_include(<Zydis/Zydis.h>) && __has_include(<capstone/capstone.h>)
#include <Zydis/Zydis.h>
#include <capstone/capstone.h>

/* Instruction sets that Zydis knows and we do not implement. */
static bool not_ours(const ZydisDecodedInstruction *z)
{
    static const char *const sets[] = {
        "AMD3DNOW", "AVX512", "AVX_", "AMX", "CET", "CLDEMOTE", "CLZERO", "ENQCMD", "FMA4", "GFNI",
        "HRESET", "KEYLOCKER", "KNC", "LWP", "MCOMMIT", "MONITORX", "MOVDIR", "MPX",
        "MSRLIST", "PADLOCK", "PBNDKB", "PCONFIG", "PKU", "PREFETCHWT1", "PT", "PTWRITE", "RAO_INT",
        "RDPRU", "RTM", "SERIALIZE", "SGX", "SMX", "SNP", "SSE4A", "SVM", "TBM", "TDX", "TSX_LDTRK",
        "UINTR", "VAES", "VPCLMULQDQ", "VTX", "WAITPKG", "WRMSRNS", "XOP", "WBNOINVD",
        "AMD_INVLPGB", "ICACHE_PREFETCH", "PREFETCH_NOP_",
    };
    const char *set = ZydisISASetGetString(z->meta.isa_set);
    const char *ext = ZydisISAExtGetString(z->meta.isa_ext);

    for (unsigned k = 0; k < ARRAY_SIZE(sets); k++) {
        if (strncmp(set, sets[k], strlen(sets[k])) == 0 ||
            strncmp(ext, sets[k], strlen(sets[k])) == 0) {
            return true;
        }
    }
    return false;
}

typedef struct Tools {
    ZydisDecoder zydis;
    csh capstone;
    DecodeMode mode;
} Tools;

static void show(const Tools *t, const uint8_t *p, const char *judge, const char *name, int len,
                 const Insn *i, DecodeResult res)
{
    char hex[48], *h = hex;

    for (unsigned k = 0; k < 15; k++) {
        h += sprintf(h, "%02x ", p[k]);
    }
    printf("%2u-bit %s: %s %s/%d, ours %s/%d\n", t->mode.bits, hex, judge, name, len,
           res == DECODE_OK ? opcode_row(i)->name : res == DECODE_UD ? "#UD" : "#GP",
           res == DECODE_OK ? i->len : 0);
}

/* Where we and Zydis differ and we are right: one line of reason each. */
static bool listed(const Tools *t, const uint8_t *p, bool zok, const Insn *i, DecodeResult res)
{
    const OpRow *r = res == DECODE_OK ? opcode_row(i) : NULL;

    if (!zok && r && r->map == MAP_0F && r->op >= 0x20 && r->op <= 0x23) {
        return true; /* CR1, CR5, DR8..: #UD when executed */
    }
    if (r && r->map == MAP_0F && (r->op == 0x1a || r->op == 0x1b)) {
        return true; /* MPX, which is not there: NOPs */
    }
    if (!zok && r && (r->flags & OP_VSIB) && (i->reg == i->vvvv || i->reg == i->index ||
                                              i->vvvv == i->index)) {
        return true; /* #UD when executed */
    }
    return false;
}

static unsigned compare_one(Tools *t, const uint8_t *p)
{
    ZydisDecodedInstruction z;
    Insn i;
    DecodeResult res = decode_insn(&t->mode, p, 15, &i);
    bool zok = ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&t->zydis, NULL, p, 15, &z));
    unsigned bad = 0;

    if (zok && not_ours(&z)) {
        return 0;
    }
    if ((zok != (res == DECODE_OK) || (zok && z.length != i.len)) &&
        !listed(t, p, zok, &i, res)) {
        /* One line for each pair of names. */
        static struct { int mnemonic; unsigned row; } seen[64];
        static unsigned seen_count;
        int m = zok ? (int)z.mnemonic : -1;
        unsigned row = res == DECODE_OK ? i.row : (unsigned)p[0] << 16 | 0x80000000u;

        for (unsigned k = 0; k < seen_count; k++) {
            if (seen[k].mnemonic == m && seen[k].row == (m >= 0 && res != DECODE_OK ? 0 : row)) {
                return 1;
            }
        }
        if (seen_count < ARRAY_SIZE(seen)) {
            seen[seen_count].mnemonic = m;
            seen[seen_count++].row = m >= 0 && res != DECODE_OK ? 0 : row;
        }
        show(t, p, "zydis", zok ? ZydisMnemonicGetString(z.mnemonic) : "invalid", zok ? z.length : 0, &i,
               res);
        bad = 1;
    }
    return bad;
}

/* Capstone's length where it finds an instruction and we do. */
static unsigned compare_capstone(Tools *t, const uint8_t *p)
{
    cs_insn *cs = NULL;
    Insn i;
    unsigned bad = 0;

    if (decode_insn(&t->mode, p, 15, &i) != DECODE_OK ||
        cs_disasm(t->capstone, p, 15, 0, 1, &cs) != 1) {
        return 0;
    }
    /* Capstone gives UD0 and UD1 no ModRM, and near branches AMD's 16-bit form with 66; F2 or F3
     * makes it forget 66 on PUSH of an immediate. */
    bool push = i.opcode == 0x68 && i.opsize == 2 && (i.flags & (INSN_REP | INSN_REPNE));
    if (cs->size != i.len && !push && strncmp(opcode_row(&i)->name, "ud", 2) != 0 &&
        (opcode_row(&i)->flags & (OP_F64 | OP_END)) != (OP_F64 | OP_END)) {
        show(t, p, "capstone", cs->mnemonic, cs->size, &i, DECODE_OK);
        bad = 1;
    }
    cs_free(cs, 1);
    return bad;
}

static void compare_mode(unsigned bits)
{
    static const uint64_t all[2] = { ~0ull, ~0ull };
    uint64_t n = decode_random_count();
    Tools t = { .mode = { .bits = (uint8_t)bits, .protected_mode = true, .features = all } };
    unsigned bad = 0;

    ZydisDecoderInit(&t.zydis,
                     bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                     : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                  : ZYDIS_MACHINE_MODE_LEGACY_16,
                     bits == 64   ? ZYDIS_STACK_WIDTH_64
                     : bits == 32 ? ZYDIS_STACK_WIDTH_32
                                  : ZYDIS_STACK_WIDTH_16);
    assert_int_equal(cs_open(CS_ARCH_X86,
                             bits == 64   ? CS_MODE_64
                             : bits == 32 ? CS_MODE_32
                                          : CS_MODE_16,
                             &t.capstone),
                     CS_ERR_OK);
    decode_random_seed(bits);
    decode_init();
    while (n-- > 0) {
        uint8_t p[16];

        decode_random(p, bits);
        bad += compare_one(&t, p);
        if (n % 16 == 0) {
            bad += compare_capstone(&t, p);
        }
    }
    cs_close(&t.capstone);
    assert_int_equal(bad, 0);
}

static void decode_16(void **state)
{
    compare_mode(16);
}
static void decode_32(void **state)
{
    compare_mode(32);
}
static void decode_64(void **state)
{
    compare_mode(64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_16),
        cmocka_unit_test(decode_32),
        cmocka_unit_test(decode_64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    printf("1..0 # SKIP built without libzydis-dev or libcapstone-dev\n");
    return 0;
}

#endif
