/*
 * Inside the board "pc": what pc.c (chips and wires) and pc-firmware.c (tables and what firmware
 * would have set up) share.
 */
#ifndef MACHINE_PC_INTERNAL_H
#define MACHINE_PC_INTERNAL_H

#include "bus/device.h"
#include "bus/memory.h"
#include "hw/acpi/acpi.h"
#include "hw/acpi/pci-hotplug.h"
#include "hw/board.h"
#include "hw/intc/lapic.h"
#include "hw/pci/pci.h"
#include "machine/boot.h"
#include "machine/firmware.h"
#include "machine/pc.h"

#define PC_ROM_SIZE 0x40000u      /* C0000h-FFFFFh */
#define PC_BIOS_MAX (16u << 20)
#define PC_RSDP 0xf0000u          /* without firmware */
#define PC_SMBIOS_ANCHOR 0xf0040u
#define PC_SMBIOS 0xf0100u
#define PC_SMBIOS_MAX 0xf000u
#define PC_PCI_LAST 0xfebfffffu   /* last address for BARs: the I/O APIC follows */
#define PC_PCI_FIRST(p) MAX((p)->below_4g, 0x80000000ull) /* as SeaBIOS places them */
#define PC_GIB4 0x100000000ull
#define PC_BIOS_TOP (1u << 20)    /* where SeaBIOS keeps its tables, at the end of low RAM */
#define PC_PIRQ_AB 10
#define PC_PIRQ_CD 11

struct Pc;

/* A chipset: what boards differ in. */
typedef struct Chipset {
    uint32_t ecam_base, ecam_size; /* where the board, without firmware, puts configuration space in memory; 0: nowhere */
    uint64_t (*below_4g)(uint64_t ram);
    bool (*make)(struct Pc *p, struct Error **errp);
    void (*acpi)(struct Pc *p, AcpiConfig *a);
    uint8_t (*int_line)(unsigned devfn, unsigned pin); /* @pin 0..3; the ISA interrupt */
    void (*reset)(struct Pc *p);         /* beyond what its devices do; may be NULL */
    void (*firmware)(struct Pc *p);      /* bridges, as firmware leaves them */
    void (*firmware_late)(struct Pc *p); /* and, when all BARs have places, the rest; may be NULL */
    void (*power_button)(struct Pc *p);  /* NULL: no ACPI, nor what follows */
    void (*gpe)(struct Pc *p, unsigned n); /* raise general-purpose event @n */
    bool acpi_hotplug; /* cards of its bus come and go by ACPI */
} Chipset;
extern const Chipset chipset_piix, chipset_q35, chipset_isa;

typedef struct Pc {
    Board board;
    PcConfig cfg;
    const Chipset *chipset;
    uint64_t below_4g, above_4g; /* bytes of RAM */
    uint64_t high_end;           /* RAM below 4 GiB that a kernel may have ends here: tables follow */
    IoRegion ram_low, ram_high, ram_4g, rom_top;
    IoRegion ram_rom;            /* isapc: where other chipsets' PAM has RAM or ROM */
    uint8_t *rom;                /* PC_ROM_SIZE bytes */
    uint8_t *bios;               /* firmware image, or NULL */
    Device *flash[2];            /* firmware and its variables, or NULL */
    bool firmware;               /* there is some: in bios or flash[0] */
    LapicBus *lapics;
    PciBus *pci;                 /* NULL on isapc, which has no ioapic either */
    Device *pic, *ioapic, *pit, *rtc, *hpet, *port92, *host, *lpc, *ide, *pm, *fw_cfg, *kbd, *vmport, *vmmouse, *dma, *fdc,
        *hotplug;                /* NULL without ACPI */
    PciHotplugOps hotplug_ops;
    Device **lapic;              /* one a processor */
    E820Entry e820[E820_MAX];
    unsigned e820_count;
    uint8_t *acpi;               /* without firmware: tables for high_end */
    size_t acpi_len;
    Boot boot;
    bool direct; /* -kernel without firmware */
    IoRegion boot_io; /* with firmware and a kernel: BOOT_ROM_PORT */
    bool once, once_used; /* -boot once= is to come; counts now */
} Pc;

/* pc_device - a device of the board. pc_irq - interrupt n as both controllers have it. pc_smi - SMI#. */
Device *pc_device(Pc *p, const DeviceClass *cls, const char *id);
IrqLine pc_irq(Pc *p, unsigned n);
IrqLine pc_smi(Pc *p);
/* pc_make_pci - the PCI bus and the I/O APIC: the beginning of a chipset's make(). */
bool pc_make_pci(Pc *p, struct Error **errp);
/* pc_plugged - the device of @cls that the user has plugged in, the first of those; or NULL. */
Device *pc_plugged(const DeviceClass *cls);
/* pc_tables - once all devices are there: CMOS, ACPI, SMBIOS, fw_cfg. */
bool pc_tables(Pc *p, struct Error **errp);
/* pc_set_order - what the BIOS tries, as letters, into the CMOS. */
void pc_set_order(Pc *p, const char *letters);
/* pc_fw_cfg - what firmware reads. */
bool pc_fw_cfg(Pc *p, struct Error **errp);
/* pc_acpi_tables, pc_smbios_tables - for guest address @base. The latter's are the caller's; NULL with errp
 * when they are too large. */
void pc_acpi_tables(Pc *p, AcpiTables *t, uint32_t base);
uint8_t *pc_smbios_tables(Pc *p, uint32_t base, size_t *len, uint8_t anchor[SMBIOS_ANCHOR_SIZE],
                          struct Error **errp);
/* pc_disks - IDE disks, into the CMOS. */
void pc_disks(Pc *p);
/* pc_reset_boot_order - at reset: once= has had its turn. */
void pc_reset_boot_order(Pc *p);
/* pc_firmware - at reset, the board in firmware's place. */
void pc_firmware(Pc *p);

#endif
