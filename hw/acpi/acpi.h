/*
 * ACPI tables of the i440FX board, made at start.
 */
#ifndef HW_ACPI_ACPI_H
#define HW_ACPI_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_RSDP_SIZE 36
#define ACPI_SERIAL_MAX 4

typedef struct AcpiSerial {
    uint16_t port; /* 0: none */
    uint8_t irq;
} AcpiSerial;

typedef struct AcpiConfig {
    unsigned cpus;
    const uint32_t *apic_ids; /* one a processor */
    uint32_t pci_first, pci_last;     /* window for memory BARs below 4 GiB */
    uint64_t pci64_first, pci64_last; /* above; 0, 0 for none */
    uint8_t pirq[4];  /* GSI of PIRQA-PIRQD */
    bool hpet;
    bool kbd;
    AcpiSerial serial[ACPI_SERIAL_MAX];
    uint16_t pm_base, gpe_base;
    uint8_t acpi_enable, acpi_disable; /* for port B2h */
} AcpiConfig;

/* acpi_build - all tables but the RSDP in one block for guest address @base (a multiple of 64), and
 * the RSDP that points to them. The caller frees the block; its length does not depend on @base. */
uint8_t *acpi_build(const AcpiConfig *cfg, uint32_t base, size_t *len,
                    uint8_t rsdp[ACPI_RSDP_SIZE]);

#endif
