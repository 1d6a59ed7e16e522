/*
 * ACPI tables of the boards of PCs.
 *
 * Sources: ACPI specification 6.4 (headings quoted); IA-PC HPET specification 1.0a, "The ACPI 2.0
 * HPET Description Table". FADT revision 3, so that it has the reset register. The PCI interrupts
 * are routed to GSIs directly: firmware, or the board in its place, fixes the bridge's routes.
 */
#include "hw/acpi/acpi.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "hw/acpi/aml.h"
#include "hw/acpi/numa.h"
#include "hw/acpi/pci-hotplug.h"
#include "hw/misc/vmgenid.h"

#define OEM_ID "DOPPEL"
#define CREATOR_ID "DPPL"

/* "System Description Table Header" */
enum { SDT_LENGTH = 4, SDT_REVISION = 8, SDT_CHECKSUM = 9, SDT_OEM = 10, SDT_TABLE = 16,
       SDT_OEM_REVISION = 24, SDT_CREATOR = 28, SDT_CREATOR_REVISION = 32, SDT_SIZE = 36 };

/* All tables in one growing block. */
typedef struct Tables {
    Aml out; /* used as a byte buffer */
    uint32_t base;
    AcpiTables *to; /* where links and tables are noted */
    const uint8_t *slic; /* the user's table whose OEM IDs the others have; NULL: none */
} Tables;

static uint8_t checksum(const uint8_t *p, size_t n)
{
    uint8_t sum = 0;

    while (n-- > 0) {
        sum += *p++;
    }
    return (uint8_t)-sum;
}

static void pad_to(Aml *a, size_t align)
{
    while (a->len % align != 0) {
        aml_byte(a, 0);
    }
}

/* table_add - header and @body as one table; returns its guest address. */
static uint32_t table_add(Tables *t, const char *signature, uint8_t revision, const void *body,
                          size_t len)
{
    uint8_t h[SDT_SIZE] = { 0 };
    size_t at;

    pad_to(&t->out, 16);
    at = t->out.len;
    t->to->tables[t->to->table_count++] = (uint32_t)at;
    memcpy(h, signature, 4);
    st_le32(h + SDT_LENGTH, (uint32_t)(SDT_SIZE + len));
    h[SDT_REVISION] = revision;
    memcpy(h + SDT_OEM, OEM_ID, 6);
    memcpy(h + SDT_TABLE, OEM_ID, 6);
    memcpy(h + SDT_TABLE + 6, "PC", 2);
    if (t->slic != NULL) {
        memcpy(h + SDT_OEM, t->slic + SDT_OEM, SDT_OEM_REVISION - SDT_OEM);
    }
    st_le32(h + SDT_OEM_REVISION, 1);
    memcpy(h + SDT_CREATOR, CREATOR_ID, 4);
    st_le32(h + SDT_CREATOR_REVISION, 1);
    aml_bytes(&t->out, h, sizeof(h));
    aml_bytes(&t->out, body, len);
    t->out.data[at + SDT_CHECKSUM] = checksum(t->out.data + at, SDT_SIZE + len);
    return t->base + (uint32_t)at;
}

/* link_at - the field at @offset of the table at guest address @table holds an address. */
static void link_at(Tables *t, uint32_t table, uint32_t offset, uint8_t size)
{
    t->to->links[t->to->link_count++] = (AcpiLink){ table - t->base + offset, size };
}

/* ---- DSDT ---- */

static void isa_device(Aml *a, const char *name, const char *hid)
{
    aml_device_begin(a, name);
    aml_name_eisaid(a, "_HID", hid);
    aml_name_op(a, "_CRS");
    aml_resources_begin(a);
}

static void isa_device_end(Aml *a)
{
    aml_resources_end(a);
    aml_end(a);
}

/* isa_line - serial or parallel port @n, if it is there. */
static void isa_line(Aml *a, const char *kind, const char *hid, unsigned n, const AcpiSerial *line,
                     uint8_t ports)
{
    char name[8];

    if (line->port == 0) {
        return;
    }
    snprintf(name, sizeof(name), "%s%u", kind, n + 1);
    aml_device_begin(a, name);
    aml_name_eisaid(a, "_HID", hid);
    aml_name_int(a, "_UID", n + 1);
    aml_name_op(a, "_CRS");
    aml_resources_begin(a);
    res_io(a, line->port, ports);
    res_irq(a, line->irq);
    isa_device_end(a);
}

/* dsdt_pvpanic - QEMU's specification "PVPANIC DEVICE", "ACPI Interface": RDPT reads the events that there are, WRPT tells one. */
static void dsdt_pvpanic(Aml *a, uint16_t port)
{
    static const char *const fields[] = { "PEPT" };

    aml_device_begin(a, "PEVT");
    aml_name_string(a, "_HID", "QEMU0001");
    aml_io_fields(a, "PEOR", port, fields, 1, 1);
    aml_method_begin(a, "RDPT", 0, false);
    aml_return_name(a, "PEPT");
    aml_end(a);
    aml_method_begin(a, "WRPT", 1, false);
    aml_store_arg(a, 0, "PEPT");
    aml_end(a);
    aml_name_op(a, "_CRS");
    aml_resources_begin(a);
    res_io(a, port, 1);
    isa_device_end(a);
}

static void dsdt_isa(Aml *a, const AcpiConfig *cfg)
{
    aml_device_begin(a, "ISA");
    aml_name_int(a, "_ADR", cfg->route != NULL ? 0x001f0000 : 0x00010000);

    isa_device(a, "PIC", "PNP0000");
    res_io(a, 0x20, 2);
    res_io(a, 0xa0, 2);
    res_io(a, 0x4d0, 2);
    res_irq(a, 2);
    isa_device_end(a);

    isa_device(a, "TIMR", "PNP0100");
    res_io(a, 0x40, 4);
    if (!cfg->hpet) { /* else both would claim IRQ 0 and 8 */
        res_irq(a, 0);
    }
    isa_device_end(a);

    isa_device(a, "RTC", "PNP0B00");
    res_io(a, 0x70, 4);
    if (!cfg->hpet) {
        res_irq(a, 8);
    }
    isa_device_end(a);

    isa_device(a, "SPKR", "PNP0800");
    res_io(a, 0x61, 1);
    isa_device_end(a);

    if (cfg->kbd) {
        isa_device(a, "KBD", "PNP0303");
        res_io(a, 0x60, 1);
        res_io(a, 0x64, 1);
        res_irq(a, 1);
        isa_device_end(a);
        isa_device(a, "MOU", "PNP0F13");
        res_irq(a, 12);
        isa_device_end(a);
    }
    for (unsigned i = 0; i < ACPI_SERIAL_MAX; i++) {
        isa_line(a, "COM", "PNP0501", i, &cfg->serial[i], 8);
    }
    for (unsigned i = 0; i < ACPI_PARALLEL_MAX; i++) {
        isa_line(a, "LPT", "PNP0400", i, &cfg->parallel[i], 3);
    }
    if (cfg->floppy) {
        isa_device(a, "FDC0", "PNP0700");
        res_io(a, 0x3f2, 4);
        res_io(a, 0x3f7, 1);
        res_irq(a, 6);
        res_dma8(a, 2);
        isa_device_end(a);
    }
    if (cfg->pvpanic != 0) {
        dsdt_pvpanic(a, cfg->pvpanic);
    }
    aml_end(a);
}

/* Where pin @pin of slot @slot goes: at the I/O APIC, or at the PIC. */
static uint32_t pin_gsi(const AcpiConfig *cfg, unsigned slot, unsigned pin, bool pic)
{
    unsigned pirq = cfg->route != NULL ? cfg->route(slot << 3, pin) : (slot + 3 + pin) & 3;

    return cfg->gsi_first != 0 && !pic ? cfg->gsi_first + pirq : cfg->pirq[pirq & 3];
}

/* "_PRT (PCI Routing Table)": {address, pin, source 0, GSI}. */
static void prt_package(Aml *a, const AcpiConfig *cfg, bool pic)
{
    aml_package_begin(a, 31 * 4);
    for (unsigned slot = 1; slot < 32; slot++) {
        for (unsigned pin = 0; pin < 4; pin++) {
            bool sci = cfg->route == NULL && slot == 1 && pin == 0;

            aml_package_begin(a, 4);
            aml_int(a, (uint64_t)slot << 16 | 0xffff);
            aml_int(a, pin);
            aml_int(a, 0);
            /* function 3 of the PIIX's slot is the power management: its INTA is the SCI */
            aml_int(a, sci ? 9 : pin_gsi(cfg, slot, pin, pic));
            aml_end(a);
        }
    }
    aml_end(a);
}

/* dsdt_prt - one table, or, where the I/O APIC has pins of its own for the PIRQs, what \_PIC has chosen. */
static void dsdt_prt(Aml *a, const AcpiConfig *cfg)
{
    if (cfg->gsi_first == 0) {
        aml_name_op(a, "_PRT");
        prt_package(a, cfg, false);
        return;
    }
    aml_name_op(a, "PRTP");
    prt_package(a, cfg, true);
    aml_name_op(a, "PRTA");
    prt_package(a, cfg, false);
    aml_method_begin(a, "_PRT", 0, false);
    aml_if_begin(a);
    aml_name(a, "\\PICF");
    aml_return_name(a, "PRTA");
    aml_end(a);
    aml_return_name(a, "PRTP");
    aml_end(a);
}

/* dsdt_windows - memory for BARs below 4 GiB: around the configuration window, where there is one. Always two ranges
 * then, so that the table's length does not depend on where firmware puts it. */
static void dsdt_windows(Aml *a, const AcpiConfig *cfg)
{
    uint32_t first = cfg->pci_first, last = cfg->pci_last, end = cfg->ecam_base + (cfg->ecam_size - 1);

    if (cfg->ecam_size == 0) {
        res_memory_range(a, false, first, last);
    } else if (cfg->ecam_base > first && end < last) {
        res_memory_range(a, false, first, cfg->ecam_base - 1);
        res_memory_range(a, false, end + 1, last);
    } else {
        first = end >= first && end < last ? end + 1 : first;
        res_memory_range(a, false, first, 0xf7ffffff);
        res_memory_range(a, false, 0xf8000000, last);
    }
}

/* dsdt_slots - "_EJ0 (Eject)", "_SUN (Slot User Number)": a device for each slot whose card may come and go. */
static void dsdt_slots(Aml *a, const AcpiConfig *cfg)
{
    static const char *const events[] = { "PCIU", "PCID" }, *const eject[] = { "B0EJ" };

    aml_io_fields(a, "PCST", PCIHP_BASE, events, 2, 4);
    aml_io_fields(a, "SEJ", PCIHP_BASE + PCIHP_EJECT, eject, 1, 4);
    for (unsigned slot = 0; slot < 32; slot++) {
        char name[5];

        if (!(cfg->hotplug_slots & BIT(slot))) {
            continue;
        }
        snprintf(name, sizeof(name), "S%02X", slot * 8);
        aml_device_begin(a, name);
        aml_name_int(a, "_ADR", (uint64_t)slot << 16);
        aml_name_int(a, "_SUN", slot);
        aml_method_begin(a, "_EJ0", 1, true);
        aml_store_int(a, BIT(slot), "B0EJ");
        aml_end(a);
        aml_end(a);
    }
}

/* dsdt_slot_events - "Queuing the Matching Control Method": reading a register tells the slots, and takes them back. */
static void dsdt_slot_events(Aml *a, const AcpiConfig *cfg)
{
    static const struct {
        const char *name;
        unsigned code; /* "Device Object Notifications": device check, eject request */
    } kinds[] = { { "\\_SB.PCI0.PCIU", 1 }, { "\\_SB.PCI0.PCID", 3 } };

    if (cfg->hotplug_slots == 0) {
        return;
    }
    aml_scope_begin(a, "\\_GPE");
    aml_method_begin(a, "_E01", 0, true);
    for (unsigned n = 0; n < ARRAY_SIZE(kinds); n++) {
        aml_store_name(a, kinds[n].name, n);
        for (unsigned slot = 0; slot < 32; slot++) {
            char name[16];

            if (cfg->hotplug_slots & BIT(slot)) {
                snprintf(name, sizeof(name), "\\_SB.PCI0.S%02X", slot * 8);
                aml_if_begin(a);
                aml_and_local(a, n, BIT(slot));
                aml_notify(a, name, kinds[n].code);
                aml_end(a);
            }
        }
    }
    aml_end(a);
    aml_end(a);
}

#define BYTES(a, s) aml_bytes((a), (s), sizeof(s) - 1)

/* dsdt_osc - PCI Firmware Specification 3.0, 4.5.1 "_OSC Interface for PCI Host Bridge Devices": the guest may have native
 * hot-plug, power management events and the Express capability; of all else it is told that it has not got it. The bytes
 * are those of the terms behind them. */
static void dsdt_osc(Aml *a)
{
    aml_method_begin(a, "_OSC", 4, true);
    BYTES(a, "\x8a\x6b\x00" "CDW1"); /* CreateDWordField (Arg3, 0, CDW1) */
    aml_if_begin(a);                 /* Arg0 == 33DB4D5B-1FF7-401C-9657-7441C03DD766 */
    BYTES(a, "\x93\x68\x11\x13\x0a\x10\x5b\x4d\xdb\x33\xf7\x1f\x1c\x40\x96\x57\x74\x41\xc0\x3d\xd7\x66");
    BYTES(a, "\x8a\x6b\x0a\x08" "CDW3");     /* CreateDWordField (Arg3, 8, CDW3) */
    BYTES(a, "\x7b" "CDW3" "\x0a\x15\x60");   /* Local0 = CDW3 & 0x15 */
    aml_if_begin(a);
    BYTES(a, "\x92\x93" "CDW3" "\x60");       /* CDW3 != Local0: "capabilities masked" */
    BYTES(a, "\x7d" "CDW1" "\x0a\x10" "CDW1"); /* CDW1 |= 0x10 */
    aml_end(a);
    aml_if_begin(a);
    BYTES(a, "\x92\x93\x69\x01");             /* Arg1 != 1: "unrecognized revision" */
    BYTES(a, "\x7d" "CDW1" "\x0a\x08" "CDW1");
    aml_end(a);
    BYTES(a, "\x70\x60" "CDW3"); /* CDW3 = Local0 */
    aml_end(a);
    aml_else_begin(a);
    BYTES(a, "\x7d" "CDW1" "\x0a\x04" "CDW1"); /* "unrecognized UUID" */
    aml_end(a);
    BYTES(a, "\xa4\x6b"); /* Return (Arg3) */
    aml_end(a);
}

/* dsdt_reserved - ports that belong to the board and to no device of its own. */
static void dsdt_reserved(Aml *a, const AcpiConfig *cfg)
{
    aml_device_begin(a, "RES");
    aml_name_eisaid(a, "_HID", "PNP0C02");
    aml_name_int(a, "_UID", 1);
    aml_name_op(a, "_CRS");
    aml_resources_begin(a);
    res_io(a, 0x92, 1);
    res_io(a, 0xb2, 2);
    if (cfg->ecam_size != 0) { /* general-purpose events are among them */
        res_io(a, cfg->pm_base, 128);
        res_memory32(a, false, cfg->ecam_base, cfg->ecam_size);
    } else {
        res_io(a, cfg->pm_base, 64);
        res_io(a, cfg->gpe_base, cfg->gpe_len);
    }
    if (cfg->hotplug_slots != 0) {
        res_io(a, PCIHP_BASE, PCIHP_SIZE);
    }
    isa_device_end(a);

    /* fw_cfg, as its specification names it: guests' drivers read its files and write etc/vmcoreinfo */
    aml_device_begin(a, "FWCF");
    aml_name_string(a, "_HID", "QEMU0002");
    aml_name_int(a, "_STA", 11);
    aml_name_op(a, "_CRS");
    aml_resources_begin(a);
    res_io(a, 0x510, 12);
    isa_device_end(a);
}

static void dsdt_pci(Aml *a, const AcpiConfig *cfg)
{
    aml_device_begin(a, "PCI0");
    aml_name_eisaid(a, "_HID", cfg->ecam_size != 0 ? "PNP0A08" : "PNP0A03");
    if (cfg->ecam_size != 0) {
        aml_name_eisaid(a, "_CID", "PNP0A03");
    }
    aml_name_int(a, "_UID", 0);
    aml_name_int(a, "_BBN", 0);
    aml_name_op(a, "_CRS");
    aml_resources_begin(a);
    res_bus_range(a, 0, 255);
    res_io(a, 0xcf8, 8);
    res_io_range(a, 0x0000, 0x0cf7);
    res_io_range(a, 0x0d00, 0xffff);
    res_memory_range(a, true, 0x000a0000, 0x000bffff);
    dsdt_windows(a, cfg);
    if (cfg->pci64_last != 0) {
        res_memory_range64(a, cfg->pci64_first, cfg->pci64_last);
    }
    aml_resources_end(a);
    dsdt_prt(a, cfg);
    if (cfg->ecam_size != 0) {
        dsdt_osc(a);
    }
    dsdt_reserved(a, cfg);
    dsdt_isa(a, cfg);
    if (cfg->hotplug_slots != 0) {
        dsdt_slots(a, cfg);
    }
    aml_end(a);
}

static void dsdt_cpus(Aml *a, const AcpiConfig *cfg)
{
    for (unsigned i = 0; i < cfg->cpus; i++) {
        char name[5];

        snprintf(name, sizeof(name), "C%03X", i & 0xfff);
        aml_device_begin(a, name);
        aml_name_string(a, "_HID", "ACPI0007");
        aml_name_int(a, "_UID", i);
        aml_end(a);
    }
}

/* "\_PIC Method": the guest says which interrupt controllers it uses. */
static void dsdt_pic(Aml *a)
{
    aml_name_int(a, "\\PICF", 0);
    aml_method_begin(a, "\\_PIC", 1, false);
    aml_store_arg(a, 0, "\\PICF");
    aml_end(a);
}

/* dsdt_vmgenid - Microsoft, "Virtual Machine Generation ID": ADDR says where it is, the device is notified of a change.
 * VGIA says where its file is. */
static void dsdt_vmgenid(Aml *a, const AcpiConfig *cfg)
{
    aml_device_begin(a, "VGEN");
    aml_name_string(a, "_HID", "QEMUVGID");
    aml_name_string(a, "_CID", "VM_Gen_Counter");
    aml_name_string(a, "_DDN", "VM_Gen_Counter");
    aml_name_dword(a, "VGIA", cfg->vmgenid_base);
    aml_method_begin(a, "_STA", 0, false);
    aml_if_begin(a);
    aml_lnot_name(a, "VGIA");
    aml_return_int(a, 0);
    aml_end(a);
    aml_return_int(a, 15);
    aml_end(a);
    aml_method_begin(a, "ADDR", 0, true);
    aml_return_address(a, "VGIA", VMGENID_OFFSET);
    aml_end(a);
    aml_end(a);
}

static void dsdt_vmgenid_event(Aml *a)
{
    aml_scope_begin(a, "\\_GPE");
    aml_method_begin(a, "_E05", 0, false);
    aml_notify(a, "\\_SB.VGEN", 0x80);
    aml_end(a);
    aml_end(a);
}

static void dsdt_body(Aml *a, const AcpiConfig *cfg)
{
    if (cfg->gsi_first != 0) {
        dsdt_pic(a);
    }
    aml_scope_begin(a, "\\_SB");
    dsdt_pci(a, cfg);
    if (cfg->hpet) {
        aml_device_begin(a, "HPET");
        aml_name_eisaid(a, "_HID", "PNP0103");
        aml_name_int(a, "_UID", 0);
        aml_name_op(a, "_CRS");
        aml_resources_begin(a);
        res_memory32(a, false, 0xfed00000, 0x400);
        isa_device_end(a);
    }
    dsdt_cpus(a, cfg);
    if (cfg->vmgenid) {
        dsdt_vmgenid(a, cfg);
    }
    aml_end(a);
    dsdt_slot_events(a, cfg);
    if (cfg->vmgenid) {
        dsdt_vmgenid_event(a);
    }
    /* "\_Sx": SLP_TYP of soft off for PM1a and PM1b */
    aml_name_op(a, "\\_S5");
    aml_package_begin(a, 4);
    for (unsigned i = 0; i < 4; i++) {
        aml_int(a, 0);
    }
    aml_end(a);
}

/* ---- fixed tables ---- */

/* "Generic Address Structure" */
static void gas(uint8_t *p, uint8_t width, uint8_t access, uint64_t addr)
{
    p[0] = 1; /* system I/O */
    p[1] = width;
    p[2] = 0;
    p[3] = access;
    st_le64(p + 4, addr);
}

/* "Fixed ACPI Description Table (FADT)"; offsets are those of the specification, from the header. */
#define F(n) (body + ((n) - SDT_SIZE))
static uint32_t add_fadt(Tables *t, const AcpiConfig *cfg, uint32_t facs, uint32_t dsdt)
{
    uint8_t body[244 - SDT_SIZE] = { 0 };
    uint32_t at;

    st_le32(F(36), facs);
    st_le32(F(40), dsdt);
    *F(45) = 0;         /* preferred profile: unspecified */
    st_le16(F(46), 9);  /* SCI_INT */
    st_le32(F(48), 0xb2);
    *F(52) = cfg->acpi_enable;
    *F(53) = cfg->acpi_disable;
    st_le32(F(56), cfg->pm_base);        /* PM1a_EVT_BLK */
    st_le32(F(64), cfg->pm_base + 4u);   /* PM1a_CNT_BLK */
    st_le32(F(76), cfg->pm_base + 8u);   /* PM_TMR_BLK */
    st_le32(F(80), cfg->gpe_base);       /* GPE0_BLK */
    *F(88) = 4;
    *F(89) = 2;
    *F(91) = 4;
    *F(92) = cfg->gpe_len;
    st_le16(F(96), 0xfff);  /* P_LVL2_LAT, P_LVL3_LAT: no C2, no C3 */
    st_le16(F(98), 0xfff);
    *F(106) = 0;  /* DAY_ALRM: none */
    *F(108) = 0x32;
    /* IAPC_BOOT_ARCH: legacy devices, 8042, no VGA probing, no ASPM */
    st_le16(F(109), (uint16_t)(0x0001 | (cfg->kbd ? 0x0002 : 0) | 0x0010));
    /* WBINVD, PROC_C1, SLP_BUTTON is not there, RTC_S4 not, RESET_REG_SUP */
    st_le32(F(112), 0x0001 | 0x0004 | 0x0020 | 0x0400);
    gas(F(116), 8, 1, 0xcf9);
    *F(128) = 0x0e; /* RESET_VALUE */
    st_le64(F(132), 0);    /* X_FIRMWARE_CTRL: the 32-bit field counts */
    st_le64(F(140), dsdt); /* X_DSDT */
    gas(F(148), 32, 2, cfg->pm_base);
    gas(F(172), 16, 2, cfg->pm_base + 4u);
    gas(F(208), 32, 3, cfg->pm_base + 8u);
    gas(F(220), (uint8_t)(cfg->gpe_len * 8), 1, cfg->gpe_base);
    at = table_add(t, "FACP", 3, body, sizeof(body));
    link_at(t, at, 36, 4);
    link_at(t, at, 40, 4);
    link_at(t, at, 140, 8);
    return at;
}
#undef F

/* "Firmware ACPI Control Structure (FACS)": 64 bytes, no checksum, 64-aligned. */
static uint32_t add_facs(Tables *t)
{
    uint8_t facs[64] = { 0 };
    uint32_t at;

    pad_to(&t->out, 64);
    at = t->base + (uint32_t)t->out.len;
    memcpy(facs, "FACS", 4);
    st_le32(facs + 4, sizeof(facs));
    aml_bytes(&t->out, facs, sizeof(facs));
    return at;
}

/* "Interrupt Source Override Structure" */
static void madt_override(Aml *a, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    uint8_t e[10] = { 2, 10, 0, irq };

    st_le32(e + 4, gsi);
    st_le16(e + 8, flags);
    aml_bytes(a, e, sizeof(e));
}

/* madt_cpu - "Processor Local APIC Structure", or the x2APIC one for IDs from 255 on. */
static void madt_cpu(Aml *a, uint32_t uid, uint32_t id)
{
    uint8_t e[16] = { 0 };

    if (id < 255 && uid < 256) {
        e[0] = 0;
        e[1] = 8;
        e[2] = (uint8_t)uid;
        e[3] = (uint8_t)id;
        st_le32(e + 4, 1); /* enabled */
        aml_bytes(a, e, 8);
    } else {
        e[0] = 9;
        e[1] = 16;
        st_le32(e + 4, id);
        st_le32(e + 8, 1);
        st_le32(e + 12, uid);
        aml_bytes(a, e, 16);
    }
}

static uint32_t add_madt(Tables *t, const AcpiConfig *cfg)
{
    Aml a = { 0 };
    uint8_t head[8], ioapic[12] = { 1, 12 }, nmi[6] = { 4, 6, 0xff, 0, 0, 1 };
    uint32_t at;

    st_le32(head, 0xfee00000);
    st_le32(head + 4, 1); /* PCAT_COMPAT: there is a PIC pair too */
    aml_bytes(&a, head, sizeof(head));
    for (unsigned i = 0; i < cfg->cpus; i++) {
        madt_cpu(&a, i, cfg->apic_ids[i]);
    }
    st_le32(ioapic + 4, 0xfec00000);
    aml_bytes(&a, ioapic, sizeof(ioapic));
    madt_override(&a, 0, 2, 0);    /* as the bus: edge, high */
    madt_override(&a, 9, 9, 0x0d); /* SCI: level, high */
    aml_bytes(&a, nmi, sizeof(nmi)); /* NMI is LINT1 of every processor */
    at = table_add(t, "APIC", 3, a.data, a.len);
    aml_free(&a);
    return at;
}

static uint32_t add_hpet(Tables *t)
{
    uint8_t body[20] = { 0 };

    st_le32(body, 0x8086a201); /* low half of the capabilities register */
    body[4] = 0;               /* address: system memory */
    st_le64(body + 8, 0xfed00000);
    return table_add(t, "HPET", 1, body, sizeof(body));
}

/* PCI Firmware Specification 3.0, 4.1.2 "MCFG Table Description" */
static uint32_t add_mcfg(Tables *t, const AcpiConfig *cfg)
{
    uint8_t body[24] = { 0 };

    st_le64(body + 8, cfg->ecam_base);
    body[19] = (uint8_t)((cfg->ecam_size >> 20) - 1); /* last bus */
    return table_add(t, "MCFG", 1, body, sizeof(body));
}

/* "Root System Description Pointer (RSDP) Structure" */
static void make_rsdp(uint8_t *p, uint32_t rsdt, uint32_t xsdt)
{
    memset(p, 0, ACPI_RSDP_SIZE);
    memcpy(p, "RSD PTR ", 8);
    memcpy(p + 9, OEM_ID, 6);
    p[15] = 2;
    st_le32(p + 16, rsdt);
    st_le32(p + 20, ACPI_RSDP_SIZE);
    st_le64(p + 24, xsdt);
    p[8] = checksum(p, 20);
    p[32] = checksum(p, ACPI_RSDP_SIZE);
}

/* add_user - as the user made it, but for the checksum. */
static uint32_t add_user(Tables *t, const AcpiTable *table)
{
    size_t at;

    pad_to(&t->out, 16);
    at = t->out.len;
    t->to->tables[t->to->table_count++] = (uint32_t)at;
    aml_bytes(&t->out, table->data, table->len);
    t->out.data[at + SDT_CHECKSUM] = 0;
    t->out.data[at + SDT_CHECKSUM] = checksum(t->out.data + at, table->len);
    return t->base + (uint32_t)at;
}

void acpi_build(AcpiTables *to, const AcpiConfig *cfg, uint32_t base)
{
    Tables t = { .base = base, .to = to };
    Aml body = { 0 };
    uint32_t facs, dsdt, list[6 + ACPI_USER_MAX], rsdt, xsdt;
    uint64_t wide[6 + ACPI_USER_MAX];
    size_t vmgenid;
    uint8_t n = 0;

    for (unsigned i = 0; i < cfg->user_count && t.slic == NULL; i++) {
        t.slic = memcmp(cfg->user[i].data, "SLIC", 4) == 0 ? cfg->user[i].data : NULL;
    }

    *to = (AcpiTables){ 0 };
    facs = add_facs(&t);
    dsdt_body(&body, cfg);
    vmgenid = aml_find_dword(&body, "VGIA");
    dsdt = table_add(&t, "DSDT", 2, body.data, body.len);
    aml_free(&body);
    to->vmgenid = cfg->vmgenid ? dsdt - base + SDT_SIZE + (uint32_t)vmgenid : 0;
    list[n++] = add_fadt(&t, cfg, facs, dsdt);
    list[n++] = add_madt(&t, cfg);
    if (cfg->hpet) {
        list[n++] = add_hpet(&t);
    }
    if (cfg->ecam_size != 0) {
        list[n++] = add_mcfg(&t, cfg);
    }
    if (cfg->numa != NULL) {
        numa_srat(&body, cfg->numa, cfg->apic_ids, cfg->cpus);
        list[n++] = table_add(&t, "SRAT", 3, body.data, body.len);
        aml_free(&body);
    }
    if (cfg->numa != NULL && cfg->numa->distance != NULL) {
        numa_slit(&body, cfg->numa);
        list[n++] = table_add(&t, "SLIT", 1, body.data, body.len);
        aml_free(&body);
    }
    for (unsigned i = 0; i < cfg->user_count; i++) {
        list[n++] = add_user(&t, &cfg->user[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        wide[i] = list[i];
    }
    rsdt = table_add(&t, "RSDT", 1, list, n * sizeof(list[0]));
    xsdt = table_add(&t, "XSDT", 1, wide, n * sizeof(wide[0]));
    for (unsigned i = 0; i < n; i++) {
        link_at(&t, rsdt, SDT_SIZE + 4 * i, 4);
        link_at(&t, xsdt, SDT_SIZE + 8 * i, 8);
    }
    make_rsdp(to->rsdp, rsdt, xsdt);
    to->data = t.out.data;
    to->len = t.out.len;
}

void acpi_free(AcpiTables *t)
{
    free(t->data);
    *t = (AcpiTables){ 0 };
}
