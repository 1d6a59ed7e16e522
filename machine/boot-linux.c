/*
 * Linux bzImages.
 *
 * Source: Linux, Documentation/arch/x86/boot.rst (headings quoted) and zero-page.rst. The 32-bit
 * entry serves i386 and amd64 kernels alike. The real-mode setup code is not run, so images that
 * need it (zImage, protocol before 2.02) are refused.
 */
#include "machine/boot.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"

/* "The Real-Mode Kernel Header" */
enum { HDR_START = 0x1f1, HDR_SETUP_SECTS = 0x1f1, HDR_BOOT_FLAG = 0x1fe, HDR_JUMP = 0x201,
       HDR_MAGIC = 0x202, HDR_VERSION = 0x206, HDR_LOADER = 0x210, HDR_LOADFLAGS = 0x211,
       HDR_CODE32 = 0x214, HDR_INITRD = 0x218, HDR_INITRD_SIZE = 0x21c, HDR_HEAP_END = 0x224,
       HDR_CMDLINE = 0x228, HDR_INITRD_MAX = 0x22c, HDR_RELOCATABLE = 0x234,
       HDR_CMDLINE_SIZE = 0x238, HDR_PREF_ADDRESS = 0x258, HDR_INIT_SIZE = 0x260,
       HDR_END = 0x268 };
#define LOADED_HIGH 0x01
#define CAN_USE_HEAP 0x80

/* zero-page.rst */
enum { ZP_EXT_MEM_K = 0x002, ZP_RSDP = 0x070, ZP_ALT_MEM_K = 0x1e0, ZP_E820_COUNT = 0x1e8,
       ZP_E820 = 0x2d0, ZP_SIZE = 4096 };

typedef struct LinuxImage {
    const uint8_t *file;
    size_t len;
    unsigned version;    /* boot protocol, 0x0202 and up */
    size_t setup;        /* bytes before the protected-mode kernel */
    uint64_t run_end;    /* what the kernel needs before it looks at the memory map ends here */
    uint64_t initrd_max; /* highest address of the initrd's last byte */
    uint32_t cmdline_max;
} LinuxImage;

static bool linux_header(LinuxImage *l, const BootInput *in, Error **errp)
{
    unsigned sects = l->file[HDR_SETUP_SECTS];

    l->version = ld_le16(l->file + HDR_VERSION);
    if (l->version < 0x0202 || !(l->file[HDR_LOADFLAGS] & LOADED_HIGH)) {
        error_set(errp, "%s: boot protocol %u.%02u needs the real-mode entry, which needs firmware",
                  in->kernel, l->version >> 8, l->version & 0xff);
        return false;
    }
    l->setup = ((sects != 0 ? sects : 4u) + 1) * 512; /* "for backwards compatibility ... 4" */
    if (l->setup >= l->len || l->setup < HDR_END) {
        error_set(errp, "%s: the file ends before the protected-mode kernel", in->kernel);
        return false;
    }
    l->initrd_max = l->version >= 0x0203 ? ld_le32(l->file + HDR_INITRD_MAX) : 0x37ffffff;
    l->cmdline_max = l->version >= 0x0206 ? ld_le32(l->file + HDR_CMDLINE_SIZE) : 255;
    l->run_end = BOOT_HIGH + (l->len - l->setup);
    if (l->version >= 0x020a) { /* "init_size" from the address where it decompresses itself */
        uint64_t at = ld_le64(l->file + HDR_PREF_ADDRESS);

        at = at < BOOT_HIGH || at > UINT32_MAX ? BOOT_HIGH : at;
        l->run_end = MAX(l->run_end, at + ld_le32(l->file + HDR_INIT_SIZE));
    } else { /* older ones need some room to unpack */
        l->run_end += 4 * (uint64_t)(l->len - l->setup);
    }
    return true;
}

static bool linux_initrd(Boot *b, const BootInput *in, const LinuxImage *l, uint8_t *zp,
                         Error **errp)
{
    uint64_t top, addr;
    size_t len;
    uint8_t *data;

    if (in->initrd == NULL) {
        return true;
    }
    data = boot_read_file(in->initrd, "initrd", &len, errp);
    if (data == NULL) {
        return false;
    }
    top = MIN(in->high_end, l->initrd_max + 1);
    addr = len <= top ? (top - len) & ~0xfffull : 0;
    if (addr < l->run_end) {
        error_set(errp, "initrd file '%s' (%zu bytes) and kernel do not fit into memory",
                  in->initrd, len);
        error_hint(errp, "give the machine more memory with -m");
        free(data);
        return false;
    }
    st_le32(zp + HDR_INITRD, (uint32_t)addr);
    st_le32(zp + HDR_INITRD_SIZE, (uint32_t)len);
    return boot_add(b, in, addr, data, len, 0, "initrd", errp);
}

static bool linux_cmdline(Boot *b, const BootInput *in, const LinuxImage *l, uint8_t *zp,
                          Error **errp)
{
    const char *text = in->append != NULL ? in->append : "";
    size_t len = strlen(text);

    if (len > l->cmdline_max || len >= BOOT_CMDLINE_MAX) {
        error_set(errp, "-append: %zu characters are more than the kernel's limit of %u", len,
                  MIN(l->cmdline_max, BOOT_CMDLINE_MAX - 1));
        return false;
    }
    st_le32(zp + HDR_CMDLINE, BOOT_CMDLINE);
    return boot_add(b, in, BOOT_CMDLINE, (uint8_t *)xstrdup(text), len + 1, 0, "command line",
                    errp);
}

/* linux_zero_page - "32-bit Boot Protocol": the setup header copied, and what the setup code would
 * have found out. */
static void linux_zero_page(const BootInput *in, const LinuxImage *l, uint8_t *zp)
{
    size_t end = MIN((size_t)HDR_MAGIC + l->file[HDR_JUMP], (size_t)0x290);
    uint64_t ext_k = (in->high_end - BOOT_HIGH) >> 10;

    memcpy(zp + HDR_START, l->file + HDR_START, MIN(end, l->len) - HDR_START);
    zp[HDR_LOADER] = 0xff; /* "undefined" */
    zp[HDR_LOADFLAGS] |= CAN_USE_HEAP;
    st_le16(zp + HDR_HEAP_END, 0xfe00);
    st_le32(zp + HDR_CODE32, BOOT_HIGH);
    st_le16(zp + ZP_EXT_MEM_K, (uint16_t)MIN(ext_k, 0xfc00u));
    st_le32(zp + ZP_ALT_MEM_K, (uint32_t)MIN(ext_k, UINT32_MAX));
    st_le64(zp + ZP_RSDP, in->rsdp);
    zp[ZP_E820_COUNT] = (uint8_t)in->e820_count;
    for (unsigned i = 0; i < in->e820_count; i++) {
        uint8_t *e = zp + ZP_E820 + 20 * i;

        st_le64(e, in->e820[i].addr);
        st_le64(e + 8, in->e820[i].len);
        st_le32(e + 16, in->e820[i].type);
    }
}

BootMatch boot_linux(Boot *b, const BootInput *in, const uint8_t *file, size_t len, Error **errp)
{
    LinuxImage l = { .file = file, .len = len };
    uint8_t *zp, *code;
    size_t code_len;

    if (len < HDR_END || ld_le16(file + HDR_BOOT_FLAG) != 0xaa55 ||
        memcmp(file + HDR_MAGIC, "HdrS", 4) != 0) {
        return BOOT_NO;
    }
    if (!linux_header(&l, in, errp)) {
        return BOOT_FAILED;
    }
    if (l.run_end > in->high_end) {
        error_set(errp, "%s: the kernel needs %llu MiB of memory", in->kernel,
                  (unsigned long long)(l.run_end >> 20) + 1);
        return BOOT_FAILED;
    }
    code_len = len - l.setup;
    code = xnewn(uint8_t, code_len);
    memcpy(code, file + l.setup, code_len);
    zp = xnewn(uint8_t, ZP_SIZE);
    linux_zero_page(in, &l, zp);
    if (!boot_add(b, in, BOOT_HIGH, code, code_len, 0, "kernel", errp) ||
        !linux_initrd(b, in, &l, zp, errp) || !linux_cmdline(b, in, &l, zp, errp)) {
        free(zp);
        return BOOT_FAILED;
    }
    b->entry = BOOT_HIGH;
    b->esi = BOOT_PARAMS;
    return boot_add(b, in, BOOT_PARAMS, zp, ZP_SIZE, 0, "boot parameters", errp) ? BOOT_YES
                                                                                 : BOOT_FAILED;
}
