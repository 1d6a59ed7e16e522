/* ELF executables for i386 and x86-64, loaded by their physical addresses. */
#ifndef MACHINE_ELF_H
#define MACHINE_ELF_H

#include "machine/boot.h"

typedef struct ElfInfo {
    bool is64;
    uint64_t entry;
} ElfInfo;

/* elf_probe - is it ELF at all? */
bool elf_probe(const uint8_t *file, size_t len);
/* elf_load - every PT_LOAD segment becomes a piece. @file may hold anything. */
bool elf_load(Boot *b, const BootInput *in, const uint8_t *file, size_t len, ElfInfo *info,
              struct Error **errp);
/* elf_note - find note @type of owner @name in the PT_NOTE segments; its descriptor's length, or 0
 * when there is none. *desc points into @file. */
size_t elf_note(const uint8_t *file, size_t len, const char *name, uint32_t type,
                const uint8_t **desc);

#endif
