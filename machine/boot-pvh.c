/*
 * ELF kernels with a PVH entry point (Linux' vmlinux, Xen's guests).
 *
 * Source: Xen, docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h (the layout, which is an
 * interface); public/elfnote.h: XEN_ELFNOTE_PHYS32_ENTRY.
 */
#include "machine/boot.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "machine/elf.h"

#define ELFNOTE_PHYS32_ENTRY 18
#define START_MAGIC 0x336ec578u

/* hvm_start_info, version 1; the module list and the memory map follow in the same page. */
enum { SI_MAGIC = 0, SI_VERSION = 4, SI_NR_MODULES = 12, SI_MODULES = 16, SI_CMDLINE = 24,
       SI_RSDP = 32, SI_MEMMAP = 40, SI_MEMMAP_ENTRIES = 48, SI_SIZE = 56,
       SI_MODULE_AT = 64, SI_MEMMAP_AT = 128, SI_TOTAL = SI_MEMMAP_AT + E820_MAX * 24 };

static bool pvh_initrd(Boot *b, const BootInput *in, uint8_t *si, Error **errp)
{
    uint64_t addr;
    size_t len;
    uint8_t *data;

    if (in->initrd == NULL) {
        return true;
    }
    data = boot_read_file(in->initrd, "initrd", &len, errp);
    if (data == NULL) {
        return false;
    }
    addr = len < in->high_end ? (in->high_end - len) & ~0xfffull : 0;
    if (addr < boot_highest(b)) {
        error_set(errp, "initrd file '%s' (%zu bytes) and kernel do not fit into memory",
                  in->initrd, len);
        error_hint(errp, "give the machine more memory with -m");
        free(data);
        return false;
    }
    st_le32(si + SI_NR_MODULES, 1);
    st_le64(si + SI_MODULES, BOOT_PARAMS + SI_MODULE_AT);
    st_le64(si + SI_MODULE_AT, addr);
    st_le64(si + SI_MODULE_AT + 8, len);
    return boot_add(b, in, addr, data, len, 0, "initrd", errp);
}

static bool pvh_info(Boot *b, const BootInput *in, Error **errp)
{
    const char *text = in->append != NULL ? in->append : "";
    uint8_t *si = xnewn(uint8_t, SI_TOTAL);

    st_le32(si + SI_MAGIC, START_MAGIC);
    st_le32(si + SI_VERSION, 1);
    st_le64(si + SI_CMDLINE, BOOT_CMDLINE);
    st_le64(si + SI_RSDP, in->rsdp);
    st_le64(si + SI_MEMMAP, BOOT_PARAMS + SI_MEMMAP_AT);
    st_le32(si + SI_MEMMAP_ENTRIES, in->e820_count);
    for (unsigned i = 0; i < in->e820_count; i++) {
        uint8_t *e = si + SI_MEMMAP_AT + 24 * i;

        st_le64(e, in->e820[i].addr);
        st_le64(e + 8, in->e820[i].len);
        st_le32(e + 16, in->e820[i].type);
    }
    if (strlen(text) >= BOOT_CMDLINE_MAX) {
        error_set(errp, "-append: %zu characters are more than the limit of %u", strlen(text),
                  BOOT_CMDLINE_MAX - 1);
        free(si);
        return false;
    }
    if (!pvh_initrd(b, in, si, errp)) {
        free(si);
        return false;
    }
    return boot_add(b, in, BOOT_PARAMS, si, SI_TOTAL, 0, "start information", errp) &&
           boot_add(b, in, BOOT_CMDLINE, (uint8_t *)xstrdup(text), strlen(text) + 1, 0,
                    "command line", errp);
}

BootMatch boot_pvh(Boot *b, const BootInput *in, const uint8_t *file, size_t len, Error **errp)
{
    const uint8_t *desc = NULL;
    ElfInfo info;
    size_t n;

    if (!elf_probe(file, len)) {
        return BOOT_NO;
    }
    n = elf_note(file, len, "Xen", ELFNOTE_PHYS32_ENTRY, &desc);
    if (n < 4) {
        error_set(errp, "%s: an ELF kernel without PVH note or multiboot header", in->kernel);
        return BOOT_FAILED;
    }
    b->entry = ld_le32(desc);
    if (!elf_load(b, in, file, len, &info, errp) || !pvh_info(b, in, errp)) {
        return BOOT_FAILED;
    }
    b->ebx = BOOT_PARAMS;
    return BOOT_YES;
}
