/*
 * What the user tells firmware: -boot, -smbios, -fw_cfg, -option-rom.
 */
#ifndef MACHINE_FIRMWARE_H
#define MACHINE_FIRMWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hw/smbios/smbios.h"

struct Error;

enum { BOOT_ORDER_MAX = 3 }; /* devices that the CMOS has room for */

/* -boot */
typedef struct BootConfig {
    char order[BOOT_ORDER_MAX + 1]; /* letters a c d n: floppy, disk, CD, network; empty: the board's */
    char once[BOOT_ORDER_MAX + 1];  /* the same, until the first reset */
    bool menu, strict;
    char *splash;         /* picture, or NULL */
    int32_t splash_time;  /* ms, at most 65535; -1: not given */
    int32_t reboot_timeout; /* ms until a retry, at most 65535; -1: never; -2: not given */
} BootConfig;

/* A file for fw_cfg. */
typedef struct FwFile {
    char *name;
    uint8_t *data;
    size_t len;
} FwFile;

typedef struct FirmwareConfig {
    BootConfig boot;
    SmbiosConfig smbios; /* its strings are owned here; sizes and processors are the board's to fill in */
    char *smbios_text[SMBIOS_FIELDS];
    char **oem;
    FwFile *files;       /* -fw_cfg */
    size_t file_count;
    FwFile *tables;      /* -acpitable; no name */
    size_t table_count;  /* at most ACPI_USER_MAX */
    FwFile *roms;        /* -option-rom; the name is the file's */
    int32_t *rom_index;  /* bootindex of each, -1 for none */
    size_t rom_count;
} FirmwareConfig;

void firmware_config_init(FirmwareConfig *f);
void firmware_config_fini(FirmwareConfig *f);

/* boot_order_check - letters that may stand in -boot order=, once= and the monitor's boot_set. */
bool boot_order_check(const char *letters, char out[BOOT_ORDER_MAX + 1], struct Error **errp);

#endif
