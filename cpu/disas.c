/*
 * Disassembly. Capstone is opened on first use: it is large and most runs never need it.
 */
#include "cpu/disas.h"

#include "base/log.h"
#include "base/mem.h"
#include "config.h"
#include "cpu/insn.h"
#ifdef CONFIG_CAPSTONE
#include <capstone/capstone.h>
#endif

static void mnemonic_only(const Insn *i, DecodeResult res, char *text, size_t size)
{
    snprintf(text, size, "%s", res == DECODE_OK ? opcode_row(i)->name : "(bad)");
}

unsigned disas_one(unsigned bits, vaddr addr, const uint8_t *buf, unsigned avail, char *text,
                   size_t size)
{
    static const uint64_t all[2] = { ~0ull, ~0ull };
    DecodeMode m = { (uint8_t)bits, true, all };
    DecodeResult res;
    Insn i;

    decode_init();
    res = decode_insn(&m, buf, avail, &i);
    if (res != DECODE_OK) {
        i.len = 1;
    }
    mnemonic_only(&i, res, text, size);
#ifdef CONFIG_CAPSTONE
    csh h;
    cs_insn *insn;

    if (res == DECODE_OK &&
        cs_open(CS_ARCH_X86, bits == 64 ? CS_MODE_64 : bits == 32 ? CS_MODE_32 : CS_MODE_16, &h) ==
            CS_ERR_OK) {
        if (cs_disasm(h, buf, avail, addr, 1, &insn) == 1) {
            if (insn->size == i.len) {
                snprintf(text, size, "%s %s", insn->mnemonic, insn->op_str);
            }
            cs_free(insn, 1);
        }
        cs_close(&h);
    }
#endif
    return i.len;
}

void disas_log(CpuState *c, vaddr lin, const uint8_t *code, unsigned n)
{
    char text[160];

    log_lock();
    fprintf(log_file(), "----------------\nIN: cpu %u\n", c->index);
    for (unsigned at = 0; at < n;) {
        unsigned len = disas_one(c->mode_bits, lin + at, code + at, n - at, text, sizeof(text));

        fprintf(log_file(), "0x%016lx:  ", (unsigned long)(lin + at));
        for (unsigned k = 0; k < 15; k++) {
            if (k < len && at + k < n) {
                fprintf(log_file(), "%02x", code[at + k]);
            } else if (k < 8) {
                fputs("  ", log_file());
            }
        }
        fprintf(log_file(), "  %s\n", text);
        at += len;
    }
    log_unlock();
}
