/* The loaders of -kernel, fed with good and broken files. */
#include "tests/test.h"

#include <elf.h>
#include <stdlib.h>
#include <unistd.h>
#undef PF_W /* of elf.h; cpu/mmu.h has its own */
#include "bus/lock.h"
#include "bus/memory.h"
#include "cpu/cpuid.h"
#include "cpu/mmu.h"
#include "machine/boot.h"
#include "machine/elf.h"

static const E820Entry map[2] = { { 0, 0x9fc00, E820_RAM }, { 0x100000, 0x7f00000, E820_RAM } };
static char path[] = "/tmp/doppel-boot.XXXXXX";

/* in_file - write @len bytes to the scratch file. */
static BootInput in_file(const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
    return (BootInput){ .kernel = path, .high_end = 0x8000000, .e820 = map, .e820_count = 2,
                        .rsdp = 0xf0000 };
}

static void refuse(const void *data, size_t len, const char *why)
{
    BootInput in = in_file(data, len);
    Boot b = { 0 };
    Error *err = NULL;

    assert_false(boot_load(&b, &in, &err));
    expect_error(&err, why);
    boot_free(&b);
}

static const BootPiece *piece_at(const Boot *b, uint64_t addr)
{
    for (unsigned i = 0; i < b->count; i++) {
        if (b->pieces[i].addr == addr) {
            return &b->pieces[i];
        }
    }
    fail_msg("nothing at 0x%llx", (unsigned long long)addr);
    return NULL;
}

static void test_missing(void **state)
{
    BootInput in = { .kernel = "/nonexistent/vmlinuz", .high_end = 0x8000000 };
    Boot b = { 0 };
    Error *err = NULL;

    assert_false(boot_load(&b, &in, &err));
    expect_error(&err,
                 "could not open kernel file '/nonexistent/vmlinuz': No such file or directory");
    in.kernel = "/tmp";
    assert_false(boot_load(&b, &in, &err));
    expect_error(&err, "Is a directory");
    refuse("", 0, "empty");
}

/* linux_image - a bzImage of protocol 2.10 with one page of code. */
static uint8_t *linux_image(size_t *len)
{
    uint8_t *p = xnewn(uint8_t, 1024 + 4096);

    p[0x1f1] = 1; /* one sector of setup behind the boot sector */
    st_le16(p + 0x1fe, 0xaa55);
    p[0x201] = 0x66;
    memcpy(p + 0x202, "HdrS", 4);
    st_le16(p + 0x206, 0x020a);
    p[0x211] = 1;
    st_le32(p + 0x22c, 0x37ffffff);
    st_le32(p + 0x238, 100);
    st_le64(p + 0x258, 0x1000000);
    st_le32(p + 0x260, 0x100000);
    memset(p + 1024, 0x90, 4096);
    *len = 1024 + 4096;
    return p;
}

static void test_linux(void **state)
{
    size_t len;
    uint8_t *image = linux_image(&len);
    BootInput in = in_file(image, len);
    Boot b = { 0 };
    Error *err = NULL;
    const BootPiece *zp;

    in.append = "console=ttyS0";
    in.initrd = path;
    assert_true(boot_load(&b, &in, &err));
    assert_int_equal(b.entry, 0x100000);
    assert_int_equal(b.esi, BOOT_PARAMS);
    assert_int_equal(piece_at(&b, 0x100000)->len, 4096);
    assert_string_equal((char *)piece_at(&b, BOOT_CMDLINE)->data, "console=ttyS0");
    zp = piece_at(&b, BOOT_PARAMS);
    assert_int_equal(zp->data[0x1e8], 2);
    assert_int_equal(ld_le64(zp->data + 0x2d0 + 20), 0x100000);
    assert_int_equal(ld_le32(zp->data + 0x228), BOOT_CMDLINE);
    assert_int_equal(ld_le64(zp->data + 0x70), 0xf0000);
    assert_int_equal(ld_le32(zp->data + 0x21c), len);
    assert_int_equal(ld_le32(zp->data + 0x218), (0x8000000 - len) & ~0xfffu);
    boot_free(&b);

    in.append = "01234567890123456789012345678901234567890123456789"
                "01234567890123456789012345678901234567890123456789!";
    assert_false(boot_load(&b, &in, &err));
    expect_error(&err, "limit of 100");
    boot_free(&b);
    in.append = NULL;
    in.high_end = 0x1080000;
    assert_false(boot_load(&b, &in, &err));
    expect_error(&err, "MiB of memory");
    boot_free(&b);
    image[0x1f1] = 64;
    refuse(image, len, "ends before");
    image[0x1f1] = 1;
    st_le64(image + 0x258, 0xfffffffff000ull);
    st_le32(image + 0x260, 0xffffffff);
    refuse(image, len, "MiB of memory");
    free(image);
}

/* entered - the state of a processor that boot_reset() set up. */
static CpuState *entered(const Boot *b)
{
    static CpuModel model;
    static bool mapped;
    static IoRegion low, high;
    CpuState *c;

    assert_true(cpu_model_parse("qemu64", true, &model, NULL));
    c = cpu_new(0, &model);
    machine_lock();
    if (!mapped) {
        assert_true(ram_create(32 << 20, NULL));
        ram_region_init(&low, "low", 0, 0xa0000);
        ram_region_init(&high, "high", BOOT_HIGH, ram_size() - BOOT_HIGH);
        mapped = mem_map(&low, 0, 0, false, NULL) && mem_map(&high, BOOT_HIGH, 0, false, NULL);
        assert_true(mapped);
    }
    boot_reset(b, c);
    machine_unlock();
    return c;
}

/* boot.rst, "32-bit Boot Protocol" and "64-bit Boot Protocol" */
static void test_linux_entries(void **state)
{
    size_t len;
    uint8_t *image = linux_image(&len);
    BootInput in;
    Boot b = { 0 };
    CpuState *c;
    hwaddr pa;

    st_le16(image + 0x206, 0x020c);
    st_le16(image + 0x236, 1);
    in = in_file(image, len);
    assert_true(boot_load(&b, &in, NULL)); /* no long mode */
    assert_int_equal(b.cr3, 0);
    c = entered(&b);
    assert_int_equal(c->regs[GPR_RIP], 0x100000);
    assert_int_equal(c->regs[GPR_RSI], BOOT_PARAMS);
    assert_int_equal(c->mode_bits, 32);
    assert_int_equal(c->segs[SEG_CS].selector, 0x10);
    assert_int_equal(c->segs[SEG_SS].selector, 0x18);
    assert_int_equal(c->cr0 & (CR0_PE | CR0_PG), CR0_PE);
    assert_int_equal(c->rflags & FLAG_IF, 0);
    cpu_free(c);
    boot_free(&b);

    in.long_mode = true;
    assert_true(boot_load(&b, &in, NULL));
    c = entered(&b);
    assert_int_equal(c->regs[GPR_RIP], 0x100200);
    assert_int_equal(c->regs[GPR_RSI], BOOT_PARAMS);
    assert_true(c->code64);
    assert_int_equal(c->mode_bits, 64);
    assert_int_equal(c->efer, EFER_LME | EFER_LMA);
    assert_int_equal(c->cr0 & (CR0_PE | CR0_PG), CR0_PE | CR0_PG);
    assert_int_equal(c->segs[SEG_CS].selector, 0x10);
    assert_int_equal(c->segs[SEG_DS].selector, 0x18);
    c->view = flat_view(false);
    for (uint64_t at = 0x234; at < 1ull << 32; at += 0x1ffff000) {
        assert_true(mmu_peek(c, at, &pa));
        assert_int_equal(pa, at);
    }
    assert_false(mmu_peek(c, 1ull << 32, &pa));
    cpu_free(c);
    boot_free(&b);

    st_le16(image + 0x236, 0); /* not offered */
    in_file(image, len);
    assert_true(boot_load(&b, &in, NULL));
    assert_int_equal(b.cr3, 0);
    assert_int_equal(b.entry, 0x100000);
    boot_free(&b);
    free(image);
}

/* boot.rst, "Sample Boot Configuration" */
static void test_linux_real(void **state)
{
    size_t len;
    uint8_t *image = linux_image(&len), rom[BOOT_ROM_SIZE], sum = 0;
    BootInput in;
    Boot b = { 0 };
    Error *err = NULL;
    const BootPiece *real;
    static const struct {
        const char *append;
        uint16_t mode;
    } modes[] = { { "vga=0x314 quiet", 0x314 }, { "a vga=791", 791 },    { "vga=ask", 0xfffd },
                  { "vga=normal", 0xffff },     { "xvga=5 b", 0 },       { "vga=5x", 0 },
                  { "xvga=5 vga=6", 6 },        { "video=vga=7 x", 0 },  { "vga=", 0 } };

    assert_false(boot_needs_bios("/nonexistent"));
    in_file(image, len);
    assert_false(boot_needs_bios(path));
    st_le16(image + 0x206, 0x0201);
    in = in_file(image, len);
    in.append = "root=/dev/fd0";
    in.initrd = path;
    assert_true(boot_needs_bios(path));
    assert_true(boot_load(&b, &in, NULL));
    assert_int_equal(b.real, 0x9000);
    real = piece_at(&b, 0x90000);
    assert_int_equal(ld_le16(real->data + 0x20), 0xa33f);
    assert_string_equal((char *)real->data + ld_le16(real->data + 0x22), in.append);
    assert_int_equal(ld_le16(real->data + 0x212), real->len);
    assert_int_equal(ld_le16(real->data + 0x224), 0x9600);
    assert_int_equal(real->data[0x211], 0x81);
    assert_int_equal(ld_le32(real->data + 0x21c), len);
    assert_int_equal(piece_at(&b, 0x100000)->len, 4096);
    boot_free(&b);

    st_le16(image + 0x206, 0x0202); /* a zImage that knows where its command line is */
    image[0x211] = 0;
    in_file(image, len);
    assert_true(boot_load(&b, &in, NULL));
    real = piece_at(&b, 0x90000);
    assert_int_equal(ld_le32(real->data + 0x228), 0x99800);
    assert_int_equal(piece_at(&b, 0x10000)->len, 4096);
    boot_free(&b);

    /* "SPECIAL COMMAND LINE OPTIONS": vga= */
    for (unsigned n = 0; n < ARRAY_SIZE(modes); n++) {
        in.append = modes[n].append;
        assert_true(boot_load(&b, &in, NULL));
        assert_int_equal(ld_le16(piece_at(&b, 0x90000)->data + 0x1fa), modes[n].mode);
        boot_free(&b);
    }
    in.append = "root=/dev/fd0";

    image[0x1f1] = 0x4c;
    image = xrealloc(image, 1, 1 << 20);
    in_file(image, 1 << 20);
    assert_false(boot_load(&b, &in, &err));
    expect_error(&err, "below 640 KiB");
    boot_free(&b);
    free(image);

    boot_rom(rom);
    for (unsigned n = 0; n < sizeof(rom); n++) {
        sum = (uint8_t)(sum + rom[n]);
    }
    assert_int_equal(ld_le16(rom), 0xaa55);
    assert_int_equal(sum, 0);
}

/* elf_image - ELF32 or ELF64 with one segment of 256 bytes at 2 MiB, a PVH note if @note. */
static size_t elf_image(uint8_t *p, bool note)
{
    Elf32_Ehdr h = { .e_ident = ELFMAG, .e_machine = EM_386, .e_entry = 0x200010,
                     .e_phoff = sizeof(h), .e_phnum = note ? 2 : 1,
                     .e_phentsize = sizeof(Elf32_Phdr) };
    Elf32_Phdr ph[2] = {
        { .p_type = PT_LOAD, .p_offset = 512, .p_paddr = 0x200000, .p_filesz = 256,
          .p_memsz = 4096 },
        { .p_type = PT_NOTE, .p_offset = 256, .p_filesz = 20, .p_memsz = 20, .p_align = 4 },
    };

    h.e_ident[EI_CLASS] = ELFCLASS32;
    h.e_ident[EI_DATA] = ELFDATA2LSB;
    memset(p, 0, 1024);
    memcpy(p, &h, sizeof(h));
    memcpy(p + sizeof(h), ph, sizeof(ph));
    st_le32(p + 256, 4);
    st_le32(p + 260, 4);
    st_le32(p + 264, 18);
    memcpy(p + 268, "Xen", 4);
    st_le32(p + 272, 0x200020);
    return 1024;
}

static void test_pvh(void **state)
{
    uint8_t image[1024];
    size_t len = elf_image(image, true);
    BootInput in = in_file(image, len);
    Boot b = { 0 };
    Error *err = NULL;
    Elf32_Phdr *ph = (Elf32_Phdr *)(image + sizeof(Elf32_Ehdr));

    in.append = "quiet";
    assert_true(boot_load(&b, &in, &err));
    assert_int_equal(b.entry, 0x200020);
    assert_int_equal(b.ebx, BOOT_PARAMS);
    assert_int_equal(piece_at(&b, 0x200000)->zeros, 4096 - 256);
    assert_int_equal(ld_le32(piece_at(&b, BOOT_PARAMS)->data), 0x336ec578);
    boot_free(&b);
    elf_image(image, false);
    refuse(image, len, "PVH");
    elf_image(image, true);
    ph[0].p_offset = 1000;
    refuse(image, len, "not in the file");
    elf_image(image, true);
    ph[0].p_memsz = 0xffffffff;
    refuse(image, len, "does not fit");
    elf_image(image, true);
    ph[0].p_paddr = 0xfffffff0;
    refuse(image, len, "does not fit");
    elf_image(image, true);
    ph[0].p_paddr = 0x9f000; /* runs into the EBDA */
    refuse(image, len, "does not fit");
    elf_image(image, true);
    st_le32(image + 256, 0xfffffff0); /* note sizes that wrap */
    refuse(image, len, "PVH");
    elf_image(image, true);
    ((Elf32_Ehdr *)image)->e_phoff = 0xfffffff0;
    refuse(image, len, "PVH");
}

static void test_multiboot(void **state)
{
    uint8_t image[512] = { 0 };
    BootInput in;
    Boot b = { 0 };
    Error *err = NULL;
    const BootPiece *info, *text;
    autofree char *modules = xasprintf("%s one two,%s", path, path);

    st_le32(image + 64, 0x1badb002);
    st_le32(image + 68, 0x00010003);
    st_le32(image + 72, 0u - 0x1badb002u - 0x00010003u);
    st_le32(image + 76, 0x100040); /* header */
    st_le32(image + 80, 0x100000); /* load */
    st_le32(image + 84, 0);        /* whole file */
    st_le32(image + 88, 0x101000); /* bss end */
    st_le32(image + 92, 0x100080); /* entry */
    in = in_file(image, sizeof(image));
    in.append = "x=1";
    in.initrd = modules;
    assert_true(boot_load(&b, &in, &err));
    assert_int_equal(b.eax, 0x2badb002);
    assert_int_equal(b.ebx, BOOT_PARAMS);
    assert_int_equal(b.entry, 0x100080);
    assert_int_equal(piece_at(&b, 0x100000)->zeros, 0xe00);
    info = piece_at(&b, BOOT_PARAMS);
    text = piece_at(&b, BOOT_CMDLINE);
    assert_int_equal(ld_le32(info->data) & 0x4d, 0x4d);
    assert_non_null(strstr((char *)text->data + ld_le32(info->data + 16) - BOOT_CMDLINE, "x=1"));
    assert_int_equal(ld_le32(info->data + 20), 2);
    assert_int_equal(ld_le32(text->data + ld_le32(info->data + 24) - BOOT_CMDLINE), 0x101000);
    boot_free(&b);
    in.initrd = "/nonexistent/module arg";
    assert_false(boot_load(&b, &in, &err));
    expect_error(&err, "module file '/nonexistent/module'");
    boot_free(&b);
    st_le32(image + 80, 0x100044); /* load behind the header */
    refuse(image, sizeof(image), "does not fit");
    st_le32(image + 80, 0x100000);
    st_le32(image + 84, 0x200000);
    refuse(image, sizeof(image), "not in the file");
    st_le32(image + 84, 0);
    st_le32(image + 88, 0xffffffff);
    refuse(image, sizeof(image), "does not fit");
}

static void test_flat(void **state)
{
    BootInput in = in_file("\xf4\xeb\xfd", 3);
    Boot b = { 0 };
    Error *err = NULL;

    assert_true(boot_load(&b, &in, &err));
    assert_int_equal(b.entry, 0x100000);
    assert_int_equal(piece_at(&b, 0x100000)->len, 3);
    boot_free(&b);
}

static int make_file(void **state)
{
    int fd = mkstemp(path);

    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing), cmocka_unit_test(test_linux),
        cmocka_unit_test(test_linux_entries), cmocka_unit_test(test_linux_real), cmocka_unit_test(test_pvh),
        cmocka_unit_test(test_multiboot), cmocka_unit_test(test_flat),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
