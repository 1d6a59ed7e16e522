/*
 * The serial presence detect EEPROMs of memory modules: 256 bytes that are read from where the last one ended, or from
 * the command's byte on. They are write-protected, as modules are sold: a write sets the place, and no more.
 *
 * Sources: SMBus 2.0; Atmel AT24C02 data sheet, "Read Operations", "Write Protect"; JEDEC standard 21-C, annex J "Serial
 * Presence Detects for DDR2 SDRAM" (byte numbers and their units).
 */
#include "hw/smbus/smbus.h"

#include <string.h>
#include "base/error.h"
#include "base/mem.h"

typedef struct Eeprom {
    Device dev; /* first member */
    uint32_t address; /* property */
    SmbusSlave slave;
    SmbusHost *host; /* wiring */
    uint8_t data[SPD_SIZE]; /* constant after realize */
    uint8_t at;
    bool placed; /* a byte has been written since the address */
} Eeprom;

/* ---- what modules say ---- */

/* Ranks of DDR2-800 that can be bought: bytes, their bit of byte 31, and how the chips are addressed. */
static const struct {
    uint64_t bytes;
    uint8_t density, rows, columns, banks, width;
} ranks[] = {
    { 2048ull << 20, 0x02, 15, 10, 8, 8 }, { 1024ull << 20, 0x01, 14, 10, 8, 8 }, { 512ull << 20, 0x80, 14, 10, 4, 8 },
    { 256ull << 20, 0x40, 13, 10, 4, 8 },  { 128ull << 20, 0x20, 13, 9, 4, 16 },
};

/* Bytes that all of them have: an unbuffered module of 64 bits at 1.8 V, CL 3 to 5; times in annex J's units. */
static const struct {
    uint8_t at, val;
} common[] = {
    { 0, 128 },   { 1, 8 },     { 2, 0x08 },  { 6, 64 },    { 8, 0x05 },  { 9, 0x25 },  { 10, 0x40 }, { 12, 0x82 },
    { 16, 0x0c }, { 18, 0x38 }, { 19, 0x01 }, { 20, 0x02 }, { 22, 0x01 }, { 23, 0x3d }, { 24, 0x50 }, { 25, 0x50 },
    { 26, 0x60 }, { 27, 0x32 }, { 28, 0x1e }, { 29, 0x32 }, { 30, 0x2d }, { 32, 0x17 }, { 33, 0x25 }, { 34, 0x05 },
    { 35, 0x12 }, { 36, 0x3c }, { 37, 0x1e }, { 38, 0x1e }, { 41, 0x39 }, { 42, 0xc3 }, { 43, 0x80 }, { 44, 0x14 },
    { 45, 0x1e }, { 62, 0x13 },
};

static void fill(uint8_t spd[SPD_SIZE], unsigned kind, unsigned count)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(common); i++) {
        spd[common[i].at] = common[i].val;
    }
    spd[3] = ranks[kind].rows;
    spd[4] = ranks[kind].columns;
    spd[5] = (uint8_t)(0x60 | (count - 1)); /* 30 mm high */
    spd[13] = ranks[kind].width;
    spd[17] = ranks[kind].banks;
    spd[31] = ranks[kind].density;
    for (unsigned i = 0; i < 63; i++) {
        sum = (uint8_t)(sum + spd[i]);
    }
    spd[63] = sum;
}

void spd_make(uint8_t spd[SPD_SIZE], uint64_t ram, unsigned n)
{
    memset(spd, 0, SPD_SIZE);
    for (unsigned module = 0; module <= n; module++) {
        unsigned kind = 0, count;

        while (kind < ARRAY_SIZE(ranks) && ranks[kind].bytes > ram) {
            kind++;
        }
        if (kind == ARRAY_SIZE(ranks)) {
            return; /* less than the smallest: it is not told of */
        }
        count = ram >= 2 * ranks[kind].bytes ? 2 : 1;
        ram -= count * ranks[kind].bytes;
        if (module == n) {
            fill(spd, kind, count);
        }
    }
}

/* ---- the chip ---- */

static void eeprom_begin(void *opaque, bool read)
{
    ((Eeprom *)opaque)->placed = false;
}

static void eeprom_put(void *opaque, uint8_t byte)
{
    Eeprom *e = opaque;

    if (!e->placed) {
        e->at = byte;
        e->placed = true;
    }
}

static uint8_t eeprom_get(void *opaque)
{
    Eeprom *e = opaque;

    return e->data[e->at++];
}

static bool eeprom_realize(Device *dev, Error **errp)
{
    Eeprom *e = container_of(dev, Eeprom, dev);

    e->slave = (SmbusSlave){ .address = (uint8_t)e->address, .begin = eeprom_begin, .put = eeprom_put, .get = eeprom_get,
                             .opaque = e };
    smbus_add(e->host, &e->slave);
    return true;
}

static void eeprom_reset(Device *dev)
{
    container_of(dev, Eeprom, dev)->at = 0;
    container_of(dev, Eeprom, dev)->placed = false;
}

bool smbus_eeproms(SmbusHost *h, void *board, uint64_t ram, Error **errp)
{
    for (unsigned n = 0; n < SPD_MODULES; n++) {
        Device *dev = device_new(&smbus_eeprom_class, NULL);
        Eeprom *e = container_of(dev, Eeprom, dev);

        dev->board = board;
        e->address = 0x50 + n;
        e->host = h;
        spd_make(e->data, ram, n);
        if (!device_realize(dev, errp)) {
            device_free(dev);
            return false;
        }
    }
    return true;
}

static const Property eeprom_props[] = {
    PROP_U32("address", Eeprom, address, 0x50, "on the SMBus, 7 bits"), PROP_END,
};

static const StateField eeprom_fields[] = { STATE_U8(Eeprom, at), STATE_BOOL(Eeprom, placed), STATE_END };

const DeviceClass smbus_eeprom_class = {
    .name = "smbus-eeprom",
    .desc = "a memory module's EEPROM",
    .size = sizeof(Eeprom),
    .props = eeprom_props,
    .realize = eeprom_realize,
    .reset = eeprom_reset,
    .fields = eeprom_fields,
};
