/*
 * The board "pc": what SeaBIOS reads from fw_cfg and the CMOS: memory map, tables, boot order, menu.
 *
 * Sources: SeaBIOS's documentation, "Runtime config" (names and forms of the files); ACPI and SMBIOS: hw/acpi,
 * hw/smbios. The boot order in the CMOS is the one of Bochs' and QEMU's BIOSes: 3Dh and the high half of 38h.
 */
#include "machine/pc-internal.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "hw/boot-order.h"
#include "hw/misc/fw_cfg.h"
#include "hw/rtc/mc146818.h"

#define CMOS_ORDER_3 0x38 /* bits 7:4 the third; bit 0: do not look for 55 AA on floppies */
#define CMOS_ORDER 0x3d   /* bits 3:0 the first, 7:4 the second */
#define DEFAULT_ORDER "cad"

#define FW_CFG_IRQ0_OVERRIDE (FW_CFG_ARCH_LOCAL + 2)

/* ---- boot order ---- */

static uint8_t order_code(char letter)
{
    switch (letter) {
    case 'a': return 1;
    case 'c': return 2;
    case 'd': return 3;
    case 'n': return 4;
    default: return 0;
    }
}

void pc_set_order(Pc *p, const char *letters)
{
    char all[BOOT_ORDER_MAX + 1] = "";

    memcpy(all, letters, strnlen(letters, BOOT_ORDER_MAX));
    rtc_set_cmos(p->rtc, CMOS_ORDER, (uint8_t)(order_code(all[1]) << 4 | order_code(all[0])));
    rtc_set_cmos(p->rtc, CMOS_ORDER_3, (uint8_t)(order_code(all[2]) << 4));
}

static const char *usual_order(const Pc *p)
{
    const FirmwareConfig *f = p->cfg.firmware;

    return f != NULL && f->boot.order[0] != 0 ? f->boot.order : DEFAULT_ORDER;
}

void pc_reset_boot_order(Pc *p)
{
    if (p->once) { /* the reset at power-on comes before the first boot */
        p->once = false;
        pc_set_order(p, p->cfg.firmware->boot.once);
        p->once_used = true;
    } else if (p->once_used) {
        p->once_used = false;
        pc_set_order(p, usual_order(p));
    }
}

/* ---- files ---- */

static bool add_int(FwCfg *f, const char *name, uint64_t val, size_t size, Error **errp)
{
    uint8_t bytes[8];

    st_le64(bytes, val);
    return fw_cfg_add_file(f, name, bytes, size, errp);
}

static bool add_splash(Pc *p, FwCfg *f, const BootConfig *b, Error **errp)
{
    uint8_t *data;
    size_t len;
    bool ok, jpeg;

    if (b->splash == NULL) {
        return true;
    }
    data = boot_read_file(b->splash, "splash", &len, errp);
    if (data == NULL) {
        return false;
    }
    jpeg = len > 2 && data[0] == 0xff && data[1] == 0xd8;
    if (!jpeg && (len < 54 || data[0] != 'B' || data[1] != 'M')) {
        error_set(errp, "-boot splash=%s: neither a JPEG nor a BMP picture", b->splash);
        ok = false;
    } else {
        ok = fw_cfg_add_file(f, jpeg ? "bootsplash.jpg" : "bootsplash.bmp", data, len, errp);
    }
    free(data);
    return ok;
}

static bool add_boot(Pc *p, FwCfg *f, const BootConfig *b, Error **errp)
{
    size_t len;
    autofree char *order = boot_order_text(b->strict, &len);

    fw_cfg_add_u16(f, FW_CFG_BOOT_MENU, b->menu);
    return (order == NULL || fw_cfg_add_file(f, "bootorder", order, len, errp)) &&
           (b->splash_time < 0 ||
            add_int(f, "etc/boot-menu-wait", (uint64_t)b->splash_time, 2, errp)) &&
           (b->reboot_timeout < -1 ||
            add_int(f, "etc/boot-fail-wait", (uint32_t)b->reboot_timeout, 4, errp)) &&
           add_splash(p, f, b, errp);
}

static bool add_users(FwCfg *f, const FirmwareConfig *c, Error **errp)
{
    for (size_t n = 0; n < c->file_count; n++) {
        const FwFile *file = &c->files[n];

        if (!fw_cfg_add_file(f, file->name, file->data, file->len, errp)) {
            return false;
        }
    }
    for (size_t n = 0; n < c->rom_count; n++) {
        autofree char *name = xasprintf("genroms/%s", c->roms[n].name);

        if (!fw_cfg_add_file(f, name, c->roms[n].data, c->roms[n].len, errp)) {
            return false;
        }
    }
    return true;
}

/* refresh_acpi - firmware has placed the configuration window by now. The tables have the same length wherever it is. */
static void refresh_acpi(void *opaque)
{
    Pc *p = opaque;
    AcpiTables t;

    pc_acpi_tables(p, &t, 0);
    acpi_clear_sums(&t);
    fw_cfg_add_file(p->board.fw_cfg, "etc/acpi/tables", t.data, t.len, NULL);
    acpi_free(&t);
}

static bool add_acpi(Pc *p, FwCfg *f, Error **errp)
{
    AcpiTables t;
    size_t len;
    uint8_t *script;
    bool ok;

    pc_acpi_tables(p, &t, 0);
    acpi_clear_sums(&t);
    script = acpi_loader(&t, &len);
    ok = fw_cfg_add_file(f, "etc/acpi/tables", t.data, t.len, errp) &&
         fw_cfg_add_file(f, "etc/acpi/rsdp", t.rsdp, sizeof(t.rsdp), errp) &&
         fw_cfg_add_file(f, "etc/table-loader", script, len, errp);
    free(script);
    acpi_free(&t);
    fw_cfg_on_select(f, "etc/acpi/tables", refresh_acpi, p);
    return ok;
}

static bool add_smbios(Pc *p, FwCfg *f, Error **errp)
{
    uint8_t anchor[SMBIOS_ANCHOR_SIZE], *tables;
    size_t len;
    bool ok;

    tables = pc_smbios_tables(p, 0, &len, anchor, errp);
    ok = tables != NULL && fw_cfg_add_file(f, "etc/smbios/smbios-tables", tables, len, errp) &&
         fw_cfg_add_file(f, "etc/smbios/smbios-anchor", anchor, sizeof(anchor), errp);
    free(tables);
    return ok;
}

/* add_e820 - with a BIOS only what it cannot know: where RAM is. */
static bool add_e820(Pc *p, FwCfg *f, Error **errp)
{
    const E820Entry ram[2] = {
        { 0, p->below_4g, E820_RAM },
        { PC_GIB4, p->above_4g, E820_RAM },
    };
    const E820Entry *e = p->firmware ? ram : p->e820;
    unsigned count = !p->firmware ? p->e820_count : p->above_4g > 0 ? 2 : 1;
    uint8_t map[E820_MAX * 20];

    for (unsigned i = 0; i < count; i++) {
        st_le64(map + 20 * i, e[i].addr);
        st_le64(map + 20 * i + 8, e[i].len);
        st_le32(map + 20 * i + 16, e[i].type);
    }
    return fw_cfg_add_file(f, "etc/e820", map, 20 * count, errp);
}

/* add_kernel - for firmware that starts a kernel by itself (UEFI's does): its files as they are, a Linux kernel's setup
 * code apart from the rest. Linux, Documentation/arch/x86/boot.rst, "THE REAL-MODE KERNEL HEADER". */
static bool add_kernel(Pc *p, FwCfg *f, Error **errp)
{
    const char *text = p->cfg.append != NULL ? p->cfg.append : "";
    uint8_t *kernel, *initrd = NULL;
    size_t len, initrd_len = 0, setup = 0;

    kernel = boot_read_file(p->cfg.kernel, "kernel", &len, errp);
    if (kernel == NULL ||
        (p->cfg.initrd != NULL && (initrd = boot_read_file(p->cfg.initrd, "initrd", &initrd_len, errp)) == NULL)) {
        free(kernel);
        return false;
    }
    if (len > 0x206 && memcmp(kernel + 0x202, "HdrS", 4) == 0) {
        setup = MIN(len, ((kernel[0x1f1] != 0 ? kernel[0x1f1] : 4) + 1u) * 512u);
    }
    fw_cfg_add_u32(f, FW_CFG_SETUP_SIZE, (uint32_t)setup);
    fw_cfg_add_bytes(f, FW_CFG_SETUP_DATA, kernel, setup);
    fw_cfg_add_u32(f, FW_CFG_KERNEL_SIZE, (uint32_t)(len - setup));
    fw_cfg_add_bytes(f, FW_CFG_KERNEL_DATA, kernel + setup, len - setup);
    fw_cfg_add_u32(f, FW_CFG_INITRD_SIZE, (uint32_t)initrd_len);
    if (initrd != NULL) {
        fw_cfg_add_bytes(f, FW_CFG_INITRD_DATA, initrd, initrd_len);
    }
    fw_cfg_add_u32(f, FW_CFG_CMDLINE_SIZE, (uint32_t)strlen(text) + 1);
    fw_cfg_add_bytes(f, FW_CFG_CMDLINE_DATA, text, strlen(text) + 1);
    free(kernel);
    free(initrd);
    return true;
}

bool pc_fw_cfg(Pc *p, Error **errp)
{
    /* S0 and S5 are there, S3 and S4 are not: bit 7 says which, and bits 2:0 the SLP_TYP */
    static const uint8_t states[6] = { 0x80, 0, 0, 0, 0, 0x80 };
    static const BootConfig plain = { .splash_time = -1, .reboot_timeout = -2 };
    const FirmwareConfig *c = p->cfg.firmware;
    FwCfg *f = p->board.fw_cfg;

    fw_cfg_add_u64(f, FW_CFG_RAM_SIZE, p->cfg.ram_size);
    fw_cfg_add_u16(f, FW_CFG_NB_CPUS, (uint16_t)p->cfg.cpus);
    fw_cfg_add_u16(f, FW_CFG_MAX_CPUS, (uint16_t)p->cfg.cpus);
    fw_cfg_add_u16(f, FW_CFG_NOGRAPHIC, !p->cfg.graphics);
    fw_cfg_add_bytes(f, FW_CFG_IRQ0_OVERRIDE, "\1", 1);
    if (p->cfg.uuid != NULL) {
        fw_cfg_add_bytes(f, FW_CFG_UUID, p->cfg.uuid, 16);
    }
    pc_set_order(p, usual_order(p));
    p->once = c != NULL && c->boot.once[0] != 0;
    return add_e820(p, f, errp) && fw_cfg_add_file(f, "etc/system-states", states, 6, errp) &&
           (!p->firmware || ((!p->cfg.acpi || add_acpi(p, f, errp)) && add_smbios(p, f, errp))) &&
           (p->cfg.kernel == NULL || p->flash[0] == NULL || add_kernel(p, f, errp)) &&
           add_boot(p, f, c != NULL ? &c->boot : &plain, errp) &&
           (c == NULL || add_users(f, c, errp));
}
