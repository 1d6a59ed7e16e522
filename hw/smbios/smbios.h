/*
 * SMBIOS tables: what the machine is called and what is in it.
 * Source: DMTF DSP0134, System Management BIOS Reference Specification 2.8.
 */
#ifndef HW_SMBIOS_SMBIOS_H
#define HW_SMBIOS_SMBIOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMBIOS_ANCHOR_SIZE 31

/* Text fields that a user can set, by structure type: -smbios type=N,key=text. */
typedef enum SmbiosField {
    SMBIOS_BIOS_VENDOR, SMBIOS_BIOS_VERSION, SMBIOS_BIOS_DATE,
    SMBIOS_SYS_MANUFACTURER, SMBIOS_SYS_PRODUCT, SMBIOS_SYS_VERSION, SMBIOS_SYS_SERIAL,
    SMBIOS_SYS_SKU, SMBIOS_SYS_FAMILY,
    SMBIOS_BOARD_MANUFACTURER, SMBIOS_BOARD_PRODUCT, SMBIOS_BOARD_VERSION, SMBIOS_BOARD_SERIAL,
    SMBIOS_BOARD_ASSET, SMBIOS_BOARD_LOCATION,
    SMBIOS_CASE_MANUFACTURER, SMBIOS_CASE_VERSION, SMBIOS_CASE_SERIAL, SMBIOS_CASE_ASSET,
    SMBIOS_CASE_SKU,
    SMBIOS_FIELDS,
} SmbiosField;

/* The field's type, its key on the command line, and what stands there by default (NULL: nothing). */
typedef struct SmbiosKey {
    uint8_t type;
    const char *key, *def;
} SmbiosKey;
extern const SmbiosKey smbios_keys[SMBIOS_FIELDS];

typedef struct SmbiosConfig {
    const char *field[SMBIOS_FIELDS]; /* NULL: the default */
    bool bios;                        /* a type 0 structure (else firmware adds its own) */
    uint8_t release[2];               /* of the BIOS: major, minor */
    bool uefi;
    bool board;                       /* a type 2 structure */
    const char *const *oem;           /* type 11 strings */
    unsigned oem_count;               /* at most 255 */
    uint8_t uuid[16];                 /* as written: most significant byte first */
    uint64_t below_4g, above_4g;      /* bytes of RAM */
    unsigned sockets, cores, threads; /* cores a socket, threads a core */
    const char *cpu_vendor;
    uint32_t cpu_signature, cpu_features; /* CPUID 1: EAX, EDX */
} SmbiosConfig;

/* smbios_build - the structures for guest address @base, freed by the caller, and the entry point
 * that leads to them (firmware that moves them corrects it). */
uint8_t *smbios_build(const SmbiosConfig *cfg, uint32_t base, size_t *len,
                      uint8_t anchor[SMBIOS_ANCHOR_SIZE]);

#endif
