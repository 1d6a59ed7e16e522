/*
 * Disassembly for logs, the monitor and gdb sessions: Capstone's text, our decoder's length.
 */
#ifndef CPU_DISAS_H
#define CPU_DISAS_H

#include "cpu/cpu.h"

/* disas_one - text of the instruction in @buf (@avail bytes) at @addr for @bits (16, 32, 64) into
 * @text. Returns its length (at least 1). Without Capstone the text is the mnemonic alone. */
unsigned disas_one(unsigned bits, vaddr addr, const uint8_t *buf, unsigned avail, char *text,
                   size_t size);

/* disas_log - `-d in_asm`: the block of @n bytes at @lin. */
void disas_log(CpuState *c, vaddr lin, const uint8_t *code, unsigned n);

#endif
