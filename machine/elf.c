/*
 * ELF loading.
 *
 * Source: System V ABI, "Object Files" (ELF header, program header, note section); the AMD64
 * supplement. Every number from the file is checked where it is read.
 */
#include "machine/elf.h"

#include <elf.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"

/* A program header, of either class. */
typedef struct Phdr {
    uint32_t type;
    uint64_t offset, paddr, filesz, memsz, align;
} Phdr;

#define ELF_PHDRS_MAX 128

bool elf_probe(const uint8_t *file, size_t len)
{
    return len >= sizeof(Elf32_Ehdr) && memcmp(file, ELFMAG, SELFMAG) == 0;
}

/* elf_header - class, entry and program header table; false when it is not for an x86. */
static bool elf_header(const uint8_t *file, size_t len, ElfInfo *info, uint64_t *phoff,
                       unsigned *phnum, unsigned *phsize)
{
    Elf32_Ehdr h32;
    Elf64_Ehdr h64;

    if (!elf_probe(file, len) || file[EI_DATA] != ELFDATA2LSB) {
        return false;
    }
    if (file[EI_CLASS] == ELFCLASS64 && len >= sizeof(h64)) {
        memcpy(&h64, file, sizeof(h64));
        *info = (ElfInfo){ .is64 = true, .entry = h64.e_entry };
        *phoff = h64.e_phoff;
        *phnum = h64.e_phnum;
        *phsize = h64.e_phentsize;
        return h64.e_machine == EM_X86_64 && *phsize >= sizeof(Elf64_Phdr);
    }
    if (file[EI_CLASS] != ELFCLASS32) {
        return false;
    }
    memcpy(&h32, file, sizeof(h32));
    *info = (ElfInfo){ .is64 = false, .entry = h32.e_entry };
    *phoff = h32.e_phoff;
    *phnum = h32.e_phnum;
    *phsize = h32.e_phentsize;
    return (h32.e_machine == EM_386 || h32.e_machine == EM_X86_64) &&
           *phsize >= sizeof(Elf32_Phdr);
}

/* elf_phdr - header @n; false when it lies outside of the file. */
static bool elf_phdr(const uint8_t *file, size_t len, bool is64, uint64_t phoff, unsigned phsize,
                     unsigned n, Phdr *out)
{
    uint64_t off = (uint64_t)n * phsize;
    Elf32_Phdr p32;
    Elf64_Phdr p64;

    if (phoff > len || off > len - phoff || phsize > len - phoff - off) {
        return false;
    }
    if (is64) {
        memcpy(&p64, file + phoff + off, sizeof(p64));
        *out = (Phdr){ p64.p_type, p64.p_offset, p64.p_paddr, p64.p_filesz, p64.p_memsz,
                       p64.p_align };
    } else {
        memcpy(&p32, file + phoff + off, sizeof(p32));
        *out = (Phdr){ p32.p_type, p32.p_offset, p32.p_paddr, p32.p_filesz, p32.p_memsz,
                       p32.p_align };
    }
    return true;
}

static bool elf_load_segment(Boot *b, const BootInput *in, const uint8_t *file, size_t len,
                             const Phdr *p, struct Error **errp)
{
    uint8_t *data;

    if (p->memsz == 0) {
        return true;
    }
    if (p->offset > len || p->filesz > len - p->offset || p->filesz > p->memsz) {
        error_set(errp, "%s: segment at 0x%llx is not in the file", in->kernel,
                  (unsigned long long)p->paddr);
        return false;
    }
    data = xnewn(uint8_t, p->filesz + 1);
    memcpy(data, file + p->offset, p->filesz);
    return boot_add(b, in, p->paddr, data, p->filesz, p->memsz - p->filesz, "segment", errp);
}

bool elf_load(Boot *b, const BootInput *in, const uint8_t *file, size_t len, ElfInfo *info,
              struct Error **errp)
{
    uint64_t phoff;
    unsigned phnum, phsize;
    Phdr p;

    if (!elf_header(file, len, info, &phoff, &phnum, &phsize) || phnum == 0 ||
        phnum > ELF_PHDRS_MAX) {
        error_set(errp, "%s: not an ELF executable for x86", in->kernel);
        return false;
    }
    for (unsigned n = 0; n < phnum; n++) {
        if (!elf_phdr(file, len, info->is64, phoff, phsize, n, &p)) {
            error_set(errp, "%s: program header %u is not in the file", in->kernel, n);
            return false;
        }
        if (p.type == PT_LOAD && !elf_load_segment(b, in, file, len, &p, errp)) {
            return false;
        }
    }
    return true;
}

/* note_find - in one note segment: namesz, descsz, type, then name and descriptor, each padded. */
static size_t note_find(const uint8_t *p, size_t len, size_t align, const char *name,
                        uint32_t type, const uint8_t **desc)
{
    size_t want = strlen(name) + 1;

    while (len >= 12) {
        uint64_t namesz = ld_le32(p), descsz = ld_le32(p + 4);
        uint64_t desc_at = 12 + ((namesz + align - 1) & ~(uint64_t)(align - 1));
        uint64_t next = desc_at + ((descsz + align - 1) & ~(uint64_t)(align - 1));

        if (desc_at > len || descsz > len - desc_at) {
            return 0;
        }
        if (ld_le32(p + 8) == type && namesz == want && memcmp(p + 12, name, want) == 0) {
            *desc = p + desc_at;
            return descsz;
        }
        if (next > len) {
            return 0;
        }
        p += next;
        len -= next;
    }
    return 0;
}

size_t elf_note(const uint8_t *file, size_t len, const char *name, uint32_t type,
                const uint8_t **desc)
{
    ElfInfo info;
    uint64_t phoff;
    unsigned phnum, phsize;
    size_t found = 0;
    Phdr p;

    if (!elf_header(file, len, &info, &phoff, &phnum, &phsize)) {
        return 0;
    }
    for (unsigned n = 0; n < phnum && n < ELF_PHDRS_MAX && found == 0; n++) {
        if (elf_phdr(file, len, info.is64, phoff, phsize, n, &p) && p.type == PT_NOTE &&
            p.offset <= len && p.filesz <= len - p.offset) {
            found = note_find(file + p.offset, p.filesz, p.align == 8 ? 8 : 4, name, type, desc);
        }
    }
    return found;
}
