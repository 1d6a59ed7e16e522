/*
 * ACPI tables of the boards of PCs.
 */
#ifndef HW_ACPI_ACPI_H
#define HW_ACPI_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_RSDP_SIZE 36
#define ACPI_SERIAL_MAX 4
#define ACPI_PARALLEL_MAX 3

typedef struct AcpiSerial {
    uint16_t port; /* 0: none */
    uint8_t irq;
} AcpiSerial;

/* A table of the user's, complete but for its checksum. */
typedef struct AcpiTable {
    const uint8_t *data;
    size_t len; /* at least that of the header, 36 */
} AcpiTable;

enum { ACPI_USER_MAX = 32 };

typedef struct AcpiConfig {
    unsigned cpus;
    const uint32_t *apic_ids; /* one a processor */
    uint32_t pci_first, pci_last;     /* window for memory BARs below 4 GiB */
    uint64_t pci64_first, pci64_last; /* above; 0, 0 for none */
    uint8_t pirq[4];  /* ISA interrupts of PIRQA-PIRQD (and E-H) */
    unsigned (*route)(unsigned devfn, unsigned pin); /* a pin's PIRQ, 0 to 7; NULL: the i440FX's, slot - 1 + pin */
    uint32_t gsi_first; /* the PIRQs' interrupts at the I/O APIC; 0: those of pirq[] */
    uint32_t ecam_base, ecam_size; /* configuration space in memory; 0: none */
    const struct NumaMap *numa; /* NULL: of one piece */
    bool hpet;
    bool kbd;
    bool floppy;
    AcpiSerial serial[ACPI_SERIAL_MAX];
    AcpiSerial parallel[ACPI_PARALLEL_MAX];
    uint16_t pm_base, gpe_base;
    uint8_t gpe_len; /* bytes of status and enable registers */
    uint32_t hotplug_slots; /* a bit for each PCI slot whose card may come and go; see hw/acpi/pci-hotplug.h */
    uint16_t pvpanic;  /* its port; 0: none */
    bool vmgenid;         /* hw/misc/vmgenid.h */
    uint32_t vmgenid_base; /* where its file lies; 0: the firmware puts it somewhere */
    const AcpiTable *user; /* -acpitable; a SLIC among them names those of the board */
    unsigned user_count;   /* at most ACPI_USER_MAX */
    uint8_t acpi_enable, acpi_disable; /* for port B2h */
} AcpiConfig;

/* A field of the tables that holds an address: where it lies, and its 4 or 8 bytes. */
typedef struct AcpiLink {
    uint32_t offset;
    uint8_t size;
} AcpiLink;

typedef struct AcpiTables {
    uint8_t *data; /* all tables but the RSDP; owned */
    size_t len;    /* does not depend on the base */
    uint8_t rsdp[ACPI_RSDP_SIZE];
    AcpiLink links[8 + 2 * (ACPI_USER_MAX + 8)];
    unsigned link_count;
    uint32_t tables[ACPI_USER_MAX + 8]; /* offsets of the tables that have a checksum */
    unsigned table_count;
    uint32_t vmgenid; /* offset of the double word that holds where its file lies; 0: none */
} AcpiTables;

/* acpi_build - all tables but the RSDP in one block for guest address @base (a multiple of 64), and
 * the RSDP that points to them. */
void acpi_build(AcpiTables *t, const AcpiConfig *cfg, uint32_t base);
void acpi_free(AcpiTables *t);

/* acpi_loader - for firmware that places the tables itself: the script ("linker/loader") by which it
 * allocates the files etc/acpi/tables (@t, built for base 0) and etc/acpi/rsdp, links and sums them.
 * The caller frees it. */
uint8_t *acpi_loader(const AcpiTables *t, size_t *len);
/* acpi_clear_sums - before @t is handed to such a firmware: all checksums are 0. */
void acpi_clear_sums(AcpiTables *t);

#endif
