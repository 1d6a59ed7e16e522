/*
 * The board "pc": what firmware and guests find out about it - memory map, CMOS, ACPI and SMBIOS
 * tables, fw_cfg - and, where there is no firmware, what that would have set up.
 */
#include "machine/pc-internal.h"

#include <stdlib.h>
#include "base/error.h"
#include <config.h> /* the one made by ./configure */
#include "base/mem.h"
#include "cpu/cpuid.h"
#include "hw/block/fdc.h"
#include "hw/acpi/pci-hotplug.h"
#include "hw/misc/pvpanic.h"
#include "hw/misc/vmgenid.h"
#include "hw/pci/ich9-lpc.h"
#include "hw/rtc/mc146818.h"
#include "machine/numa.h"

#define PC_VMGENID(p) ((p)->below_4g - VMGENID_BLOB) /* without firmware: its file is the last of RAM */

static void e820_add(Pc *p, uint64_t addr, uint64_t end, uint32_t type)
{
    if (end > addr && p->e820_count < E820_MAX) {
        p->e820[p->e820_count++] = (E820Entry){ addr, end - addr, type };
    }
}

/* pc_e820 - the map for a kernel that no firmware tells of it. */
static void pc_e820(Pc *p)
{
    e820_add(p, 0, BOOT_LOW_END, E820_RAM);
    e820_add(p, BOOT_LOW_END, 0xa0000, E820_RESERVED);
    e820_add(p, 0xf0000, 0x100000, E820_RESERVED);
    e820_add(p, 0x100000, p->high_end, E820_RAM);
    e820_add(p, p->high_end, p->below_4g, E820_ACPI);
    if (p->chipset->ecam_size != 0) {
        e820_add(p, p->chipset->ecam_base, (uint64_t)p->chipset->ecam_base + p->chipset->ecam_size, E820_RESERVED);
        e820_add(p, ICH9_RCBA, ICH9_RCBA + ICH9_RCBA_SIZE, E820_RESERVED);
    }
    e820_add(p, 0xfffc0000, PC_GIB4, E820_RESERVED);
    e820_add(p, PC_GIB4, PC_GIB4 + p->above_4g, E820_RAM);
}

/* pc_cmos - the bytes in which firmware keeps memory sizes, as PC firmware lays them out. */
static void pc_cmos(Pc *p)
{
    uint64_t above_1m = p->below_4g - BOOT_HIGH;
    uint64_t above_16m = p->below_4g > (16u << 20) ? p->below_4g - (16u << 20) : 0;
    uint32_t k = (uint32_t)MIN(above_1m >> 10, 0xffffu);
    uint32_t k64 = (uint32_t)MIN(above_16m >> 16, 0xffffu);
    uint32_t high = (uint32_t)MIN(p->above_4g >> 16, 0xffffffu);
    FloppyType a = p->fdc != NULL ? fdc_drive_type(p->fdc, 0) : FLOPPY_NONE;
    FloppyType b = p->fdc != NULL ? fdc_drive_type(p->fdc, 1) : FLOPPY_NONE;
    unsigned floppies = (a != FLOPPY_NONE) + (b != FLOPPY_NONE);
    const struct {
        uint8_t index, val;
    } bytes[] = {
        { 0x10, (uint8_t)(a << 4 | b) },
        /* equipment: a coprocessor, floppy drives */
        { 0x14, (uint8_t)(0x02 | (floppies > 0 ? (floppies - 1) << 6 | 1 : 0)) },
        { 0x15, 640 & 0xff }, { 0x16, 640 >> 8 }, /* base memory, KiB */
        { 0x17, k & 0xff },     { 0x18, k >> 8 & 0xff },
        { 0x30, k & 0xff },     { 0x31, k >> 8 & 0xff },
        { 0x34, k64 & 0xff },   { 0x35, k64 >> 8 & 0xff }, /* above 16 MiB, 64 KiB */
        { 0x5b, high & 0xff },  { 0x5c, high >> 8 & 0xff }, { 0x5d, high >> 16 & 0xff },
        { 0x5f, (uint8_t)(p->cfg.cpus - 1) },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(bytes); i++) {
        rtc_set_cmos(p->rtc, bytes[i].index, bytes[i].val);
    }
}

Device *pc_plugged(const DeviceClass *cls)
{
    Device *dev = devices_first();

    while (dev != NULL && dev->cls != cls) {
        dev = dev->next;
    }
    return dev;
}

void pc_acpi_tables(Pc *p, AcpiTables *t, uint32_t base)
{
    static const AcpiSerial com[PC_SERIAL_MAX] = {
        { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 },
    };
    static const AcpiSerial lpt[PC_PARALLEL_MAX] = { { 0x378, 7 }, { 0x278, 7 }, { 0x3bc, 7 } };
    uint32_t *ids = xnewn(uint32_t, p->cfg.cpus);
    Device *pvpanic = pc_plugged(&pvpanic_class);
    const FirmwareConfig *f = p->cfg.firmware;
    AcpiTable user[ACPI_USER_MAX];
    NumaRange ranges[NUMA_RANGES];
    NumaMap numa = { .ranges = ranges };
    AcpiConfig a = {
        .cpus = p->cfg.cpus,
        .apic_ids = ids,
        .pci_first = (uint32_t)PC_PCI_FIRST(p),
        .pci_last = PC_PCI_LAST,
        .hpet = p->cfg.hpet,
        .kbd = p->kbd != NULL,
        .floppy = p->fdc != NULL,
        .hotplug_slots = p->hotplug != NULL ? pci_hotplug_slots(p->hotplug) : 0,
        .pvpanic = pvpanic != NULL ? pvpanic_port(pvpanic) : 0,
        .vmgenid = pc_plugged(&vmgenid_class) != NULL,
        .vmgenid_base = base == 0 ? 0 : (uint32_t)PC_VMGENID(p),
        .user = user,
    };

    while (f != NULL && a.user_count < f->table_count) {
        const FwFile *table = &f->tables[a.user_count];

        user[a.user_count++] = (AcpiTable){ table->data, table->len };
    }
    if (p->cfg.numa != NULL) {
        numa.nodes = p->cfg.numa->count;
        numa.cpu_node = p->cfg.numa->cpu_node;
        numa.range_count = numa_ranges(p->cfg.numa, p->below_4g, ranges);
        numa.distance = p->cfg.numa->have_distance ? p->cfg.numa->distance : NULL;
        a.numa = &numa;
    }
    p->chipset->acpi(p, &a);
    if (p->flash[0] != NULL && p->cfg.cpus > 0 && p->cfg.cpu[0]->phys_bits > 32) {
        /* UEFI's firmware gives large BARs places above RAM */
        a.pci64_first = (PC_GIB4 + p->above_4g + (1u << 30) - 1) & ~(uint64_t)((1u << 30) - 1);
        a.pci64_last = BIT64(p->cfg.cpu[0]->phys_bits) - 1;
    }
    for (unsigned i = 0; i < p->cfg.cpus; i++) {
        ids[i] = p->cfg.cpu[i]->apic_id;
    }
    for (unsigned i = 0; i < PC_SERIAL_MAX; i++) {
        if (p->cfg.serial_port[i]) {
            a.serial[i] = com[i];
        }
    }
    for (unsigned i = 0; i < PC_PARALLEL_MAX; i++) {
        if (p->cfg.parallel_port[i]) {
            a.parallel[i] = lpt[i];
        }
    }
    acpi_build(t, &a, base);
    free(ids);
}

/* pc_place_acpi - without firmware: the tables at the top of low RAM, the RSDP in the ROM area. */
static void pc_place_acpi(Pc *p)
{
    AcpiTables t;
    size_t len;

    pc_acpi_tables(p, &t, 0);
    len = t.len;
    acpi_free(&t);
    len += pc_plugged(&vmgenid_class) != NULL ? VMGENID_BLOB : 0;
    p->high_end = (p->below_4g - len) & ~(uint64_t)(PAGE_SIZE - 1);
    pc_acpi_tables(p, &t, (uint32_t)p->high_end);
    memcpy(p->rom + (PC_RSDP - 0xc0000), t.rsdp, sizeof(t.rsdp));
    p->acpi = t.data;
    p->acpi_len = t.len;
}

uint8_t *pc_smbios_tables(Pc *p, uint32_t base, size_t *len, uint8_t anchor[SMBIOS_ANCHOR_SIZE],
                          Error **errp)
{
    SmbiosConfig s = p->cfg.firmware != NULL ? p->cfg.firmware->smbios : (SmbiosConfig){ 0 };
    const CpuModel *m = p->cfg.model;
    uint8_t *data;

    if (p->cfg.uuid != NULL) {
        memcpy(s.uuid, p->cfg.uuid, sizeof(s.uuid));
    }
    if (!p->firmware) { /* the board is the firmware */
        s.bios = true;
        s.field[SMBIOS_BIOS_VENDOR] = s.field[SMBIOS_BIOS_VENDOR] ?: "doppel";
        s.field[SMBIOS_BIOS_VERSION] = s.field[SMBIOS_BIOS_VERSION] ?: DOPPEL_VERSION;
    }
    s.below_4g = p->below_4g;
    s.above_4g = p->above_4g;
    s.sockets = p->cfg.sockets != 0 ? p->cfg.sockets : p->cfg.cpus;
    s.cores = MAX(p->cfg.cores, 1u);
    s.threads = MAX(p->cfg.threads, 1u);
    if (m != NULL && p->cfg.cpus > 0) {
        CpuidRegs id = cpuid_leaf(p->cfg.cpu[0], 1, 0);

        s.cpu_vendor = m->vendor;
        s.cpu_signature = id.eax;
        s.cpu_features = id.edx;
    }
    data = smbios_build(&s, base, len, anchor);
    if (*len > PC_SMBIOS_MAX) {
        error_set(errp, "-smbios: the tables have %zu bytes, more than %u", *len, PC_SMBIOS_MAX);
        free(data);
        return NULL;
    }
    return data;
}

/* pc_place_smbios - without firmware: in the ROM area, behind the RSDP. */
static bool pc_place_smbios(Pc *p, Error **errp)
{
    uint8_t anchor[SMBIOS_ANCHOR_SIZE], *tables;
    size_t len;

    tables = pc_smbios_tables(p, PC_SMBIOS, &len, anchor, errp);
    if (tables == NULL) {
        return false;
    }
    memcpy(p->rom + (PC_SMBIOS_ANCHOR - 0xc0000), anchor, sizeof(anchor));
    memcpy(p->rom + (PC_SMBIOS - 0xc0000), tables, len);
    free(tables);
    return true;
}

bool pc_tables(Pc *p, Error **errp)
{
    p->high_end = p->below_4g;
    pc_cmos(p);
    pc_disks(p);
    if (p->firmware) {
        /* the firmware keeps its own tables at the top */
        p->high_end -= MIN(PC_BIOS_TOP, p->high_end - BOOT_HIGH);
    } else if (p->cfg.acpi && p->below_4g >= (2u << 20)) {
        pc_place_acpi(p);
    }
    pc_e820(p);
    return (p->firmware || pc_place_smbios(p, errp)) && pc_fw_cfg(p, errp);
}

/* pc_mtrrs - as PC firmware leaves them: write-back, but for the VGA window and the PCI hole. SDM
 * vol. 3, "Memory Type Range Registers (MTRRs)". */
static void pc_mtrrs(const Pc *p, CpuState *c)
{
    uint64_t base = MAX(p->below_4g, 0xc0000000ull) & ~0x1fffffffull;

    for (unsigned i = 0; i < ARRAY_SIZE(c->msr_mtrr_fix); i++) {
        /* 64K_00000, 16K_80000: WB; 16K_A0000: UC; 4K_C0000 and up: WP */
        c->msr_mtrr_fix[i] = i < 2 ? 0x0606060606060606ull : i == 2 ? 0 : 0x0505050505050505ull;
    }
    c->msr_mtrr_phys[0] = base; /* uncacheable, up to 4 GiB */
    c->msr_mtrr_phys[1] = ((BIT64(c->phys_bits) - 1) & ~(PC_GIB4 - base - 1)) | 0x800;
    c->msr_mtrr_def = 0xc06;
}

/* assign_bar - give BAR @n of @d the next place of its kind. Returns the count of BARs it takes up. PCI Local
 * Bus Specification 3.0, "Base Addresses": the size is found by writing ones. */
static unsigned assign_bar(PciDevice *d, unsigned n, uint64_t *memory, uint64_t *ports)
{
    unsigned at = PCI_BAR0 + 4 * n;
    uint32_t mask, low;
    uint64_t *next, size;

    pci_config_write(d, at, 0xffffffff, 4);
    mask = pci_config_read(d, at, 4);
    low = mask & PCI_BAR_IO ? mask & ~3u : mask & ~15u;
    if (low == 0) {
        return 1;
    }
    next = mask & PCI_BAR_IO ? ports : memory;
    size = mask & PCI_BAR_IO ? (~low & 0xffff) + 1 : (uint64_t)~low + 1;
    *next = (*next + size - 1) & ~(size - 1);
    pci_config_write(d, at, (uint32_t)*next, 4);
    *next += size;
    if (!(mask & PCI_BAR_IO) && mask & PCI_BAR_64) {
        pci_config_write(d, at + 4, 0, 4);
        return 2;
    }
    return 1;
}

/* assign_pci - places for all BARs, interrupt lines, decoding on. */
static void assign_pci(Pc *p)
{
    uint64_t memory = MAX(PC_PCI_FIRST(p), (uint64_t)p->chipset->ecam_base + p->chipset->ecam_size), ports = 0xc000;

    for (unsigned devfn = 0; devfn < 256; devfn++) {
        PciDevice *d = pci_bus_find(p->pci, devfn);
        unsigned pin;

        if (d == NULL || devfn == 0) {
            continue;
        }
        for (unsigned n = 0; n < 6 && d->below == NULL;) { /* buses behind bridges are the guest's to set up */
            n += assign_bar(d, n, &memory, &ports);
        }
        pin = pci_config_read(d, PCI_INT_PIN, 1);
        if (pin != 0) {
            pci_config_write(d, PCI_INT_LINE, p->chipset->int_line(devfn, pin - 1), 1);
        }
        pci_config_write(d, PCI_COMMAND, pci_config_read(d, PCI_COMMAND, 2) | PCI_CMD_IO |
                         PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
    }
}

/* pc_firmware - the board in firmware's place. */
void pc_firmware(Pc *p)
{
    if (p->pci != NULL) {
        p->chipset->firmware(p);
        /* PIRQs and the SCI are levels at the PIC */
        port_write(0x4d1, (BIT(PC_PIRQ_AB) | BIT(PC_PIRQ_CD) | BIT(9)) >> 8, 1);
        assign_pci(p);
    }
    if (p->chipset->firmware_late != NULL) {
        p->chipset->firmware_late(p);
    }
    if (p->acpi != NULL) {
        dma_write(p->high_end, p->acpi, p->acpi_len);
        if (pc_plugged(&vmgenid_class) != NULL) {
            vmgenid_place(pc_plugged(&vmgenid_class), PC_VMGENID(p));
        }
    }
    for (unsigned i = 0; i < p->cfg.cpus; i++) {
        pc_mtrrs(p, p->cfg.cpu[i]);
    }
    if (p->cfg.cpus > 0) {
        lapic_virtual_wire(p->lapic[0]);
    }
}

