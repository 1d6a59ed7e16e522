/*
 * SMBIOS tables. Source: DMTF DSP0134, version 2.8 (headings quoted).
 */
#include "hw/smbios/smbios.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define DIMM_SIZE (16 * GIB) /* a module's largest size */

/* Handles: fixed, a range for each type of which there are several. */
enum { HANDLE_BIOS = 0x0000, HANDLE_SYSTEM = 0x0100, HANDLE_BOARD = 0x0200, HANDLE_CASE = 0x0300,
       HANDLE_CPU = 0x0400, HANDLE_OEM = 0x0b00, HANDLE_ARRAY = 0x1000, HANDLE_DIMM = 0x1100,
       HANDLE_MAP = 0x1300, HANDLE_BOOT = 0x2000, HANDLE_END = 0x7f00 };
#define NO_HANDLE 0xffff
#define NO_ERROR_INFO 0xfffe

const SmbiosKey smbios_keys[SMBIOS_FIELDS] = {
    [SMBIOS_BIOS_VENDOR] = { 0, "vendor", NULL },
    [SMBIOS_BIOS_VERSION] = { 0, "version", NULL },
    [SMBIOS_BIOS_DATE] = { 0, "date", NULL },
    [SMBIOS_SYS_MANUFACTURER] = { 1, "manufacturer", "QEMU" },
    [SMBIOS_SYS_PRODUCT] = { 1, "product", "Standard PC (i440FX + PIIX, 1996)" },
    [SMBIOS_SYS_VERSION] = { 1, "version", "pc-i440fx-9.2" },
    [SMBIOS_SYS_SERIAL] = { 1, "serial", NULL },
    [SMBIOS_SYS_SKU] = { 1, "sku", NULL },
    [SMBIOS_SYS_FAMILY] = { 1, "family", NULL },
    [SMBIOS_BOARD_MANUFACTURER] = { 2, "manufacturer", "QEMU" },
    [SMBIOS_BOARD_PRODUCT] = { 2, "product", "Standard PC (i440FX + PIIX, 1996)" },
    [SMBIOS_BOARD_VERSION] = { 2, "version", "pc-i440fx-9.2" },
    [SMBIOS_BOARD_SERIAL] = { 2, "serial", NULL },
    [SMBIOS_BOARD_ASSET] = { 2, "asset", NULL },
    [SMBIOS_BOARD_LOCATION] = { 2, "location", NULL },
    [SMBIOS_CASE_MANUFACTURER] = { 3, "manufacturer", "QEMU" },
    [SMBIOS_CASE_VERSION] = { 3, "version", "pc-i440fx-9.2" },
    [SMBIOS_CASE_SERIAL] = { 3, "serial", NULL },
    [SMBIOS_CASE_ASSET] = { 3, "asset", NULL },
    [SMBIOS_CASE_SKU] = { 3, "sku", NULL },
};

typedef struct Tables {
    const SmbiosConfig *cfg;
    uint8_t *data;
    size_t len, longest;
    unsigned count;
} Tables;

/* A structure on the way: its formatted area, and the strings that follow it. */
typedef struct Structure {
    uint8_t area[64];
    const char *strings[255];
    unsigned string_count;
} Structure;

/* string - its number, by which the formatted area refers to it; 0 for none. */
static uint8_t string(Structure *s, const char *text)
{
    if (text == NULL || *text == 0) {
        return 0;
    }
    s->strings[s->string_count++] = text;
    return (uint8_t)s->string_count;
}

static uint8_t field(Structure *s, const Tables *t, SmbiosField f)
{
    return string(s, t->cfg->field[f] != NULL ? t->cfg->field[f] : smbios_keys[f].def);
}

static void append(Tables *t, const void *p, size_t n)
{
    t->data = xrealloc(t->data, t->len + n, 1);
    memcpy(t->data + t->len, p, n);
    t->len += n;
}

/* "Structure standards": header, formatted area of @len bytes with it, strings, a zero byte. */
static void add(Tables *t, Structure *s, uint8_t type, uint8_t len, uint16_t handle)
{
    size_t start = t->len;

    s->area[0] = type;
    s->area[1] = len;
    st_le16(s->area + 2, handle);
    append(t, s->area, len);
    for (unsigned n = 0; n < s->string_count; n++) {
        append(t, s->strings[n], strlen(s->strings[n]) + 1);
    }
    append(t, "\0", s->string_count == 0 ? 2 : 1);
    t->longest = MAX(t->longest, t->len - start);
    t->count++;
}

static void bios(Tables *t) /* "BIOS Information (Type 0)" */
{
    Structure s = { 0 };

    s.area[0x04] = field(&s, t, SMBIOS_BIOS_VENDOR);
    s.area[0x05] = field(&s, t, SMBIOS_BIOS_VERSION);
    st_le16(s.area + 0x06, 0xe800); /* segment */
    s.area[0x08] = field(&s, t, SMBIOS_BIOS_DATE);
    s.area[0x0a] = 0x08;                              /* characteristics are not supported */
    s.area[0x13] = t->cfg->uefi ? 0x1c : 0x14; /* a virtual machine; UEFI */
    s.area[0x14] = t->cfg->release[0];
    s.area[0x15] = t->cfg->release[1];
    s.area[0x16] = s.area[0x17] = 0xff;
    add(t, &s, 0, 0x18, HANDLE_BIOS);
}

static void system_info(Tables *t) /* "System Information (Type 1)" */
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    Structure s = { 0 };

    s.area[0x04] = field(&s, t, SMBIOS_SYS_MANUFACTURER);
    s.area[0x05] = field(&s, t, SMBIOS_SYS_PRODUCT);
    s.area[0x06] = field(&s, t, SMBIOS_SYS_VERSION);
    s.area[0x07] = field(&s, t, SMBIOS_SYS_SERIAL);
    for (unsigned n = 0; n < 16; n++) { /* "System - UUID": three fields are little-endian */
        s.area[0x08 + n] = t->cfg->uuid[order[n]];
    }
    s.area[0x18] = 6; /* woken by the power switch */
    s.area[0x19] = field(&s, t, SMBIOS_SYS_SKU);
    s.area[0x1a] = field(&s, t, SMBIOS_SYS_FAMILY);
    add(t, &s, 1, 0x1b, HANDLE_SYSTEM);
}

static void board(Tables *t) /* "Baseboard (or Module) Information (Type 2)" */
{
    Structure s = { 0 };

    s.area[0x04] = field(&s, t, SMBIOS_BOARD_MANUFACTURER);
    s.area[0x05] = field(&s, t, SMBIOS_BOARD_PRODUCT);
    s.area[0x06] = field(&s, t, SMBIOS_BOARD_VERSION);
    s.area[0x07] = field(&s, t, SMBIOS_BOARD_SERIAL);
    s.area[0x08] = field(&s, t, SMBIOS_BOARD_ASSET);
    s.area[0x09] = 0x01; /* a hosting board */
    s.area[0x0a] = field(&s, t, SMBIOS_BOARD_LOCATION);
    st_le16(s.area + 0x0b, HANDLE_CASE);
    s.area[0x0d] = 0x0a; /* motherboard */
    add(t, &s, 2, 0x0f, HANDLE_BOARD);
}

static void enclosure(Tables *t) /* "System Enclosure or Chassis (Type 3)" */
{
    Structure s = { 0 };

    s.area[0x04] = field(&s, t, SMBIOS_CASE_MANUFACTURER);
    s.area[0x05] = 1; /* other */
    s.area[0x06] = field(&s, t, SMBIOS_CASE_VERSION);
    s.area[0x07] = field(&s, t, SMBIOS_CASE_SERIAL);
    s.area[0x08] = field(&s, t, SMBIOS_CASE_ASSET);
    s.area[0x09] = s.area[0x0a] = s.area[0x0b] = 3; /* boot-up, power, temperature: safe */
    s.area[0x0c] = 2;                               /* security: unknown */
    s.area[0x15] = field(&s, t, SMBIOS_CASE_SKU);
    add(t, &s, 3, 0x16, HANDLE_CASE);
}

static void processor(Tables *t, unsigned n) /* "Processor Information (Type 4)" */
{
    const SmbiosConfig *c = t->cfg;
    Structure s = { 0 };
    char socket[24];

    snprintf(socket, sizeof(socket), "CPU %u", n);
    s.area[0x04] = string(&s, socket);
    s.area[0x05] = 3; /* central processor */
    s.area[0x06] = 1; /* family: other */
    s.area[0x07] = string(&s, c->cpu_vendor);
    st_le32(s.area + 0x08, c->cpu_signature);
    st_le32(s.area + 0x0c, c->cpu_features);
    st_le16(s.area + 0x14, 2000); /* MHz */
    st_le16(s.area + 0x16, 2000);
    s.area[0x18] = 0x41; /* socket populated, processor enabled */
    s.area[0x19] = 1;    /* upgrade: other */
    for (unsigned at = 0x1a; at <= 0x1e; at += 2) {
        st_le16(s.area + at, NO_HANDLE); /* caches */
    }
    s.area[0x23] = s.area[0x24] = (uint8_t)MIN(c->cores, 255u);
    s.area[0x25] = (uint8_t)MIN(c->cores * c->threads, 255u);
    st_le16(s.area + 0x26, 2); /* characteristics: unknown */
    st_le16(s.area + 0x28, 1);
    add(t, &s, 4, 0x2a, (uint16_t)(HANDLE_CPU + n));
}

static void oem(Tables *t) /* "OEM Strings (Type 11)" */
{
    Structure s = { 0 };

    for (unsigned n = 0; n < t->cfg->oem_count; n++) {
        string(&s, t->cfg->oem[n]);
    }
    s.area[0x04] = (uint8_t)s.string_count;
    add(t, &s, 11, 5, HANDLE_OEM);
}

static unsigned dimms(const Tables *t)
{
    return (unsigned)((t->cfg->below_4g + t->cfg->above_4g + DIMM_SIZE - 1) / DIMM_SIZE);
}

static void memory_array(Tables *t) /* "Physical Memory Array (Type 16)" */
{
    uint64_t kib = (t->cfg->below_4g + t->cfg->above_4g) >> 10;
    Structure s = { 0 };

    s.area[0x04] = 1; /* location: other */
    s.area[0x05] = 3; /* system memory */
    s.area[0x06] = 3; /* no error correction */
    st_le32(s.area + 0x07, kib < 0x80000000u ? (uint32_t)kib : 0x80000000u);
    st_le16(s.area + 0x0b, NO_ERROR_INFO);
    st_le16(s.area + 0x0d, (uint16_t)dimms(t));
    st_le64(s.area + 0x0f, kib < 0x80000000u ? 0 : kib << 10);
    add(t, &s, 16, 0x17, HANDLE_ARRAY);
}

static void memory_device(Tables *t, unsigned n) /* "Memory Device (Type 17)" */
{
    uint64_t all = t->cfg->below_4g + t->cfg->above_4g;
    uint64_t mib = MIN(all - n * DIMM_SIZE, DIMM_SIZE) / MIB;
    Structure s = { 0 };
    char slot[24];

    snprintf(slot, sizeof(slot), "DIMM %u", n);
    st_le16(s.area + 0x04, HANDLE_ARRAY);
    st_le16(s.area + 0x06, NO_ERROR_INFO);
    st_le16(s.area + 0x08, 0xffff); /* widths: unknown */
    st_le16(s.area + 0x0a, 0xffff);
    st_le16(s.area + 0x0c, (uint16_t)mib); /* at most 4000h: no extended size */
    s.area[0x0e] = 9; /* DIMM */
    s.area[0x10] = string(&s, slot);
    s.area[0x12] = 7; /* RAM */
    st_le16(s.area + 0x13, 2);
    s.area[0x17] = string(&s, smbios_keys[SMBIOS_SYS_MANUFACTURER].def);
    add(t, &s, 17, 0x28, (uint16_t)(HANDLE_DIMM + n));
}

/* "Memory Array Mapped Address (Type 19)": the range [@start, @end), in bytes. */
static void memory_map(Tables *t, unsigned n, uint64_t start, uint64_t end)
{
    bool wide = (end >> 10) > 0xfffffffeu;
    Structure s = { 0 };

    st_le32(s.area + 0x04, wide ? 0xffffffffu : (uint32_t)(start >> 10));
    st_le32(s.area + 0x08, wide ? 0xffffffffu : (uint32_t)((end - 1) >> 10));
    st_le16(s.area + 0x0c, HANDLE_ARRAY);
    s.area[0x0e] = 1;
    st_le64(s.area + 0x0f, wide ? start : 0);
    st_le64(s.area + 0x17, wide ? end - 1 : 0);
    add(t, &s, 19, 0x1f, (uint16_t)(HANDLE_MAP + n));
}

static uint8_t checksum(const uint8_t *p, size_t n)
{
    uint8_t sum = 0;

    while (n-- > 0) {
        sum = (uint8_t)(sum + *p++);
    }
    return (uint8_t)-sum;
}

static void make_anchor(const Tables *t, uint32_t base, uint8_t *a) /* "SMBIOS 2.1 (32-bit) Entry Point" */
{
    memset(a, 0, SMBIOS_ANCHOR_SIZE);
    memcpy(a, "_SM_", 4);
    a[5] = SMBIOS_ANCHOR_SIZE;
    a[6] = 2;
    a[7] = 8;
    st_le16(a + 8, (uint16_t)t->longest);
    memcpy(a + 16, "_DMI_", 5);
    st_le16(a + 22, (uint16_t)t->len);
    st_le32(a + 24, base);
    st_le16(a + 28, (uint16_t)t->count);
    a[30] = 0x28;
    a[21] = checksum(a + 16, 15);
    a[4] = checksum(a, SMBIOS_ANCHOR_SIZE);
}

uint8_t *smbios_build(const SmbiosConfig *cfg, uint32_t base, size_t *len,
                      uint8_t anchor[SMBIOS_ANCHOR_SIZE])
{
    Tables t = { .cfg = cfg };
    Structure boot = { 0 }, end = { 0 };

    if (cfg->bios) {
        bios(&t);
    }
    system_info(&t);
    if (cfg->board) {
        board(&t);
    }
    enclosure(&t);
    for (unsigned n = 0; n < cfg->sockets; n++) {
        processor(&t, n);
    }
    if (cfg->oem_count > 0) {
        oem(&t);
    }
    memory_array(&t);
    for (unsigned n = 0; n < dimms(&t); n++) {
        memory_device(&t, n);
    }
    memory_map(&t, 0, 0, cfg->below_4g);
    if (cfg->above_4g > 0) {
        memory_map(&t, 1, 4 * GIB, 4 * GIB + cfg->above_4g);
    }
    add(&t, &boot, 32, 0x0b, HANDLE_BOOT); /* "System Boot Information (Type 32)": no errors */
    add(&t, &end, 127, 4, HANDLE_END);
    make_anchor(&t, base, anchor);
    *len = t.len;
    return t.data;
}
