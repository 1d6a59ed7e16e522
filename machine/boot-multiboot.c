/*
 * Multiboot kernels (version 1), with modules: -initrd 'file arguments,file arguments'.
 *
 * Source: Multiboot Specification 0.6.96 (headings quoted). ELF images and those with address
 * fields. No symbols, drives, APM or video information.
 */
#include "machine/boot.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "machine/elf.h"

#define MB_SEARCH 8192
#define MB_MAGIC 0x1badb002u
#define MB_ENTRY_EAX 0x2badb002u
#define MB_ADDRESSES 0x00010000u /* header flag 16: the address fields are valid */
#define MB_REQUIRED 0x0000ffffu  /* flags that the loader must know */
#define MB_KNOWN 0x00000007u     /* page-aligned modules, memory, video (which is a wish) */

#define MB_MODULES_MAX 64
#define MB_LOADER_NAME "doppel"

/* "Boot information format": offsets */
enum { MBI_FLAGS = 0, MBI_MEM_LOWER = 4, MBI_MEM_UPPER = 8, MBI_CMDLINE = 16,
       MBI_MODS_COUNT = 20, MBI_MODS_ADDR = 24, MBI_MMAP_LENGTH = 44, MBI_MMAP_ADDR = 48,
       MBI_LOADER = 64, MBI_SIZE = 120 };
enum { MBI_HAS_MEM = 1 << 0, MBI_HAS_CMDLINE = 1 << 2, MBI_HAS_MODS = 1 << 3,
       MBI_HAS_MMAP = 1 << 6, MBI_HAS_LOADER = 1 << 9 };

/* mb_find - offset of the header, or -1. "OS image format": 4-aligned in the first 8192 bytes. */
static long mb_find(const uint8_t *file, size_t len)
{
    for (size_t at = 0; at + 12 <= MIN(len, (size_t)MB_SEARCH); at += 4) {
        if (ld_le32(file + at) == MB_MAGIC &&
            ld_le32(file + at) + ld_le32(file + at + 4) + ld_le32(file + at + 8) == 0) {
            return (long)at;
        }
    }
    return -1;
}

/* mb_load_addresses - "The address fields of Multiboot header" */
static bool mb_load_addresses(Boot *b, const BootInput *in, const uint8_t *file, size_t len,
                              size_t at, Error **errp)
{
    const uint8_t *h = file + at;
    uint32_t header, load, load_end, bss_end;
    size_t from, size;
    uint64_t zeros = 0;
    uint8_t *data;

    if (len - at < 32) {
        error_set(errp, "%s: the multiboot header is cut off", in->kernel);
        return false;
    }
    header = ld_le32(h + 12);
    load = ld_le32(h + 16);
    load_end = ld_le32(h + 20);
    bss_end = ld_le32(h + 24);
    if (header < load || header - load > at) {
        error_set(errp, "%s: multiboot load address 0x%x does not fit the header's 0x%x",
                  in->kernel, load, header);
        return false;
    }
    from = at - (header - load);
    size = load_end != 0 ? (size_t)load_end - load : len - from;
    if ((load_end != 0 && load_end < load) || size > len - from) {
        error_set(errp, "%s: multiboot load end 0x%x is not in the file", in->kernel, load_end);
        return false;
    }
    if (bss_end != 0 && bss_end > (uint64_t)load + size) {
        zeros = bss_end - ((uint64_t)load + size);
    }
    data = xnewn(uint8_t, size + 1);
    memcpy(data, file + from, size);
    b->entry = ld_le32(h + 28);
    return boot_add(b, in, load, data, size, zeros, "image", errp);
}

static bool mb_load_elf(Boot *b, const BootInput *in, const uint8_t *file, size_t len,
                        Error **errp)
{
    ElfInfo info;

    if (!elf_load(b, in, file, len, &info, errp)) {
        return false;
    }
    if (info.is64 && info.entry > UINT32_MAX) {
        error_set(errp, "%s: cannot load x86-64 image, give a 32bit one.", in->kernel);
        return false;
    }
    b->entry = (uint32_t)info.entry;
    return true;
}

/* Text and tables that grow behind the information structure. */
typedef struct MbInfo {
    uint8_t data[BOOT_CMDLINE_MAX];
    size_t len;
} MbInfo;

/* mb_put - append and return the guest address, 0 when it is full. */
static uint32_t mb_put(MbInfo *m, const void *p, size_t n)
{
    uint32_t addr = BOOT_CMDLINE + (uint32_t)m->len;

    if (n > sizeof(m->data) - m->len) {
        return 0;
    }
    memcpy(m->data + m->len, p, n);
    m->len += (n + 3) & ~(size_t)3;
    m->len = MIN(m->len, sizeof(m->data));
    return addr;
}

/* mb_module - one "file arguments" of -initrd: loaded at the next page, described at @out. */
static bool mb_module(Boot *b, const BootInput *in, MbInfo *m, const char *spec, uint8_t *out,
                      Error **errp)
{
    autofree char *path = xstrndup(spec, strcspn(spec, " "));
    uint64_t addr = (boot_highest(b) + 0xfff) & ~0xfffull;
    uint32_t text = mb_put(m, spec, strlen(spec) + 1);
    size_t len;
    uint8_t *data;

    if (text == 0) {
        error_set(errp, "-initrd: the modules' arguments are too long");
        return false;
    }
    data = boot_read_file(path, "module", &len, errp);
    if (data == NULL || !boot_add(b, in, addr, data, len, 0, "module", errp)) {
        return false;
    }
    st_le32(out, (uint32_t)addr);
    st_le32(out + 4, (uint32_t)(addr + len));
    st_le32(out + 8, text);
    return true;
}

static bool mb_modules(Boot *b, const BootInput *in, MbInfo *m, uint8_t *info, Error **errp)
{
    uint8_t table[MB_MODULES_MAX * 16] = { 0 };
    unsigned count = 0;
    const char *p = in->initrd;
    uint32_t at;

    while (p != NULL && *p != '\0') {
        size_t n = strcspn(p, ",");
        autofree char *spec = xstrndup(p, n);

        if (count == MB_MODULES_MAX) {
            error_set(errp, "-initrd: more than %d modules", MB_MODULES_MAX);
            return false;
        }
        if (!mb_module(b, in, m, spec, table + 16 * count, errp)) {
            return false;
        }
        count++;
        p += n + (p[n] == ',');
    }
    at = mb_put(m, table, 16 * count);
    if (at == 0) {
        error_set(errp, "-initrd: the modules' arguments are too long");
        return false;
    }
    st_le32(info + MBI_MODS_COUNT, count);
    st_le32(info + MBI_MODS_ADDR, at);
    return true;
}

/* mb_mmap - "mmap_*": each entry begins with its size, which does not count itself. */
static uint32_t mb_mmap(const BootInput *in, MbInfo *m, uint32_t *len)
{
    uint8_t map[E820_MAX * 24];

    for (unsigned i = 0; i < in->e820_count; i++) {
        st_le32(map + 24 * i, 20);
        st_le64(map + 24 * i + 4, in->e820[i].addr);
        st_le64(map + 24 * i + 12, in->e820[i].len);
        st_le32(map + 24 * i + 20, in->e820[i].type);
    }
    *len = 24 * in->e820_count;
    return mb_put(m, map, *len);
}

static bool mb_info(Boot *b, const BootInput *in, Error **errp)
{
    autofree MbInfo *m = xnew(MbInfo);
    autofree char *line = xasprintf("%s%s%s", in->kernel, in->append != NULL ? " " : "",
                                    in->append != NULL ? in->append : "");
    uint8_t *info = xnewn(uint8_t, MBI_SIZE);
    uint8_t *text;
    uint32_t cmdline = mb_put(m, line, strlen(line) + 1), mmap, mmap_len;
    uint32_t loader = mb_put(m, MB_LOADER_NAME, sizeof(MB_LOADER_NAME));

    mmap = mb_mmap(in, m, &mmap_len);
    st_le32(info + MBI_FLAGS,
            MBI_HAS_MEM | MBI_HAS_CMDLINE | MBI_HAS_MODS | MBI_HAS_MMAP | MBI_HAS_LOADER);
    st_le32(info + MBI_MEM_LOWER, 639);
    st_le32(info + MBI_MEM_UPPER, (uint32_t)((in->high_end - BOOT_HIGH) >> 10));
    st_le32(info + MBI_CMDLINE, cmdline);
    st_le32(info + MBI_MMAP_LENGTH, mmap_len);
    st_le32(info + MBI_MMAP_ADDR, mmap);
    st_le32(info + MBI_LOADER, loader);
    if (cmdline == 0 || loader == 0 || mmap == 0) {
        error_set(errp, "-append: too long for a multiboot kernel");
        free(info);
        return false;
    }
    if (!mb_modules(b, in, m, info, errp)) {
        free(info);
        return false;
    }
    text = xnewn(uint8_t, m->len);
    memcpy(text, m->data, m->len);
    return boot_add(b, in, BOOT_PARAMS, info, MBI_SIZE, 0, "multiboot information", errp) &&
           boot_add(b, in, BOOT_CMDLINE, text, m->len, 0, "multiboot information", errp);
}

BootMatch boot_multiboot(Boot *b, const BootInput *in, const uint8_t *file, size_t len,
                         Error **errp)
{
    long at = mb_find(file, len);
    uint32_t flags;

    if (at < 0) {
        return BOOT_NO;
    }
    flags = ld_le32(file + at + 4);
    if (flags & MB_REQUIRED & ~MB_KNOWN) {
        error_set(errp, "%s: multiboot header asks for unknown features 0x%x", in->kernel,
                  flags & MB_REQUIRED & ~MB_KNOWN);
        return BOOT_FAILED;
    }
    if (!(flags & MB_ADDRESSES ? mb_load_addresses(b, in, file, len, (size_t)at, errp)
                               : mb_load_elf(b, in, file, len, errp)) ||
        !mb_info(b, in, errp)) {
        return BOOT_FAILED;
    }
    b->eax = MB_ENTRY_EAX;
    b->ebx = BOOT_PARAMS;
    return BOOT_YES;
}
