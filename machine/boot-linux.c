/*
 * Linux bzImages.
 *
 * Source: Linux, Documentation/arch/x86/boot.rst (headings quoted) and zero-page.rst. A kernel
 * that offers the 64-bit entry is entered there where the processor has long mode, others at the
 * 32-bit entry, which serves i386 and amd64 kernels alike. Where the distribution's BIOS runs first,
 * since there is a screen to set up or the image needs it (zImage, protocol before 2.02), the
 * real-mode setup code is entered instead, and asks the BIOS. Not supported: kernels without a
 * header (before 1.3.73); they look like any flat image.
 */
#include "machine/boot.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"

/* "The Real-Mode Kernel Header" */
enum { HDR_START = 0x1f1, HDR_CMDLINE_MAGIC = 0x020, HDR_CMDLINE_OFFSET = 0x022,
       HDR_SETUP_SECTS = 0x1f1, HDR_VID_MODE = 0x1fa, HDR_BOOT_FLAG = 0x1fe, HDR_JUMP = 0x201,
       HDR_MAGIC = 0x202, HDR_VERSION = 0x206, HDR_LOADER = 0x210, HDR_LOADFLAGS = 0x211,
       HDR_MOVE_SIZE = 0x212,HDR_CODE32 = 0x214, HDR_INITRD = 0x218, HDR_INITRD_SIZE = 0x21c, HDR_HEAP_END = 0x224,
       HDR_CMDLINE = 0x228, HDR_INITRD_MAX = 0x22c, HDR_RELOCATABLE = 0x234,
       HDR_XLOADFLAGS = 0x236, HDR_CMDLINE_SIZE = 0x238, HDR_PREF_ADDRESS = 0x258, HDR_INIT_SIZE = 0x260,
       HDR_END = 0x268 };
#define LOADED_HIGH 0x01
#define CAN_USE_HEAP 0x80
#define XLF_KERNEL_64 0x01
#define ENTRY_64 0x200 /* behind the 32-bit one */

/* "Loading The Rest of The Kernel", "Sample Boot Configuration": the real-mode part, its stack and
 * heap up to REAL_HEAP_END, the command line behind them. */
#define REAL_BASE BOOT_PARAMS
#define REAL_HEAP_END 0x9800u
#define REAL_LOW 0x10000u /* a zImage's protected-mode code */

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

static bool linux_is(const uint8_t *head)
{
    return ld_le16(head + HDR_BOOT_FLAG) == 0xaa55 && memcmp(head + HDR_MAGIC, "HdrS", 4) == 0;
}

static bool linux_real_mode(const uint8_t *head)
{
    return ld_le16(head + HDR_VERSION) < 0x0202 || !(head[HDR_LOADFLAGS] & LOADED_HIGH);
}

static bool linux_header(LinuxImage *l, const BootInput *in, Error **errp)
{
    unsigned sects = l->file[HDR_SETUP_SECTS];

    l->version = ld_le16(l->file + HDR_VERSION);
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

/* linux_pages - "64-bit Boot Protocol": paging on, kernel, zero page and command line mapped to
 * their own addresses. Ours maps all of the first 4 GiB, in pages of 2 MiB. */
static bool linux_pages(Boot *b, const BootInput *in, Error **errp)
{
    enum { PRESENT_WRITE = 3, LARGE = 0x80, GIB = 4 };
    uint8_t *p = xnewn(uint8_t, (2 + GIB) * 4096);

    st_le64(p, (BOOT_PAGES + 4096) | PRESENT_WRITE);
    for (unsigned n = 0; n < GIB; n++) {
        st_le64(p + 4096 + 8 * n, (BOOT_PAGES + 4096 * (2 + n)) | PRESENT_WRITE);
    }
    for (uint64_t n = 0; n < GIB * 512; n++) {
        st_le64(p + 2 * 4096 + 8 * n, n << 21 | LARGE | PRESENT_WRITE);
    }
    b->cr3 = BOOT_PAGES;
    return boot_add(b, in, BOOT_PAGES, p, (2 + GIB) * 4096, 0, "page tables", errp);
}

/* linux_entry - "xloadflags": bit 0, "this kernel has the legacy 64-bit entry point at 0x200". */
static bool linux_entry(Boot *b, const BootInput *in, const LinuxImage *l, Error **errp)
{
    b->entry = BOOT_HIGH;
    b->esi = BOOT_PARAMS;
    if (!in->long_mode || l->version < 0x020c ||
        !(ld_le16(l->file + HDR_XLOADFLAGS) & XLF_KERNEL_64)) {
        return true;
    }
    b->entry += ENTRY_64;
    return linux_pages(b, in, errp);
}

/* linux_vid_mode - "SPECIAL COMMAND LINE OPTIONS", vga=: the loader puts the mode into the header. False:
 * there is none, or a word that says nothing. */
static bool linux_vid_mode(const char *text, uint16_t *mode)
{
    static const struct {
        const char *name;
        uint16_t mode;
    } names[] = { { "normal", 0xffff }, { "ext", 0xfffe }, { "ask", 0xfffd } };
    const char *at = text;
    size_t len;
    char *end;

    while ((at = strstr(at, "vga=")) != NULL && at != text && at[-1] != ' ') {
        at++;
    }
    if (at == NULL) {
        return false;
    }
    at += 4;
    len = strcspn(at, " ");
    for (unsigned n = 0; n < ARRAY_SIZE(names); n++) {
        if (len == strlen(names[n].name) && strncmp(at, names[n].name, len) == 0) {
            *mode = names[n].mode;
            return true;
        }
    }
    *mode = (uint16_t)strtoul(at, &end, 0);
    return len != 0 && end == at + len;
}

/* linux_real - "THE KERNEL COMMAND LINE", "Sample Boot Configuration", "RUNNING THE KERNEL" */
static bool linux_real(Boot *b, const BootInput *in, const LinuxImage *l, Error **errp)
{
    bool high = (l->file[HDR_LOADFLAGS] & LOADED_HIGH) != 0;
    size_t code_len = l->len - l->setup, text_len;
    const char *text = in->append != NULL ? in->append : "";
    uint8_t *real, *code;
    uint16_t mode;

    text_len = strlen(text) + 1;
    if (text_len > l->cmdline_max + 1) {
        error_set(errp, "-append: %zu characters are more than the kernel's limit of %u",
                  text_len - 1, l->cmdline_max);
        return false;
    }
    if (l->setup > REAL_HEAP_END - 0x400 || (!high && code_len > REAL_BASE - REAL_LOW)) {
        error_set(errp, "%s: the kernel does not fit below 640 KiB", in->kernel);
        return false;
    }
    b->real = REAL_BASE >> 4;
    b->real_sp = REAL_HEAP_END;
    real = xnewn(uint8_t, REAL_HEAP_END + text_len);
    memcpy(real, l->file, l->setup);
    memcpy(real + REAL_HEAP_END, text, text_len);
    real[HDR_LOADER] = 0xff; /* "undefined" */
    if (linux_vid_mode(text, &mode)) {
        st_le16(real + HDR_VID_MODE, mode);
    }
    if (l->version >= 0x0201) {
        real[HDR_LOADFLAGS] |= CAN_USE_HEAP;
        st_le16(real + HDR_HEAP_END, REAL_HEAP_END - 0x200);
    }
    if (l->version >= 0x0202) {
        st_le32(real + HDR_CMDLINE, REAL_BASE + REAL_HEAP_END);
    } else {
        st_le16(real + HDR_CMDLINE_MAGIC, 0xa33f);
        st_le16(real + HDR_CMDLINE_OFFSET, REAL_HEAP_END);
        st_le16(real + HDR_MOVE_SIZE, (uint16_t)(REAL_HEAP_END + text_len));
    }
    code = xnewn(uint8_t, code_len);
    memcpy(code, l->file + l->setup, code_len);
    if (!boot_add(b, in, high ? BOOT_HIGH : REAL_LOW, code, code_len, 0, "kernel", errp) ||
        !linux_initrd(b, in, l, real, errp)) {
        free(real);
        return false;
    }
    return boot_add(b, in, REAL_BASE, real, REAL_HEAP_END + text_len, 0, "setup code", errp);
}

bool boot_needs_bios(const char *path)
{
    uint8_t head[HDR_END];
    FILE *f = fopen(path, "rb");
    bool needs = false;

    if (f != NULL) {
        needs = fread(head, 1, sizeof(head), f) == sizeof(head) && linux_is(head) &&
                linux_real_mode(head);
        fclose(f);
    }
    return needs;
}

BootMatch boot_linux(Boot *b, const BootInput *in, const uint8_t *file, size_t len, Error **errp)
{
    LinuxImage l = { .file = file, .len = len };
    uint8_t *zp, *code;
    size_t code_len;

    if (len < HDR_END || !linux_is(file)) {
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
    if (in->firmware || linux_real_mode(file)) {
        return linux_real(b, in, &l, errp) ? BOOT_YES : BOOT_FAILED;
    }
    code_len = len - l.setup;
    code = xnewn(uint8_t, code_len);
    memcpy(code, file + l.setup, code_len);
    zp = xnewn(uint8_t, ZP_SIZE);
    linux_zero_page(in, &l, zp);
    if (!boot_add(b, in, BOOT_HIGH, code, code_len, 0, "kernel", errp) ||
        !linux_initrd(b, in, &l, zp, errp) || !linux_cmdline(b, in, &l, zp, errp) ||
        !linux_entry(b, in, &l, errp)) {
        free(zp);
        return BOOT_FAILED;
    }
    return boot_add(b, in, BOOT_PARAMS, zp, ZP_SIZE, 0, "boot parameters", errp) ? BOOT_YES
                                                                                 : BOOT_FAILED;
}
