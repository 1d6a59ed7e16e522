/*
 * IDENTIFY DEVICE, IDENTIFY PACKET DEVICE and SET FEATURES, which changes what they say.
 *
 * Source: ATA/ATAPI-6, 8.15, 8.16 and 8.46. The modes are those that the commands support; which
 * of them the controller can be set to is the driver's knowledge (a PIIX3 has no Ultra DMA).
 */
#include "hw/ide/internal.h"

#include "base/mem.h"

static void put(IdeDrive *d, unsigned word, uint16_t val)
{
    st_le16(d->buf + 2 * word, val);
}

static void put32(IdeDrive *d, unsigned word, uint64_t val)
{
    st_le32(d->buf + 2 * word, (uint32_t)val);
}

/* put_text - ATA strings: two characters a word, the first one in the high byte. */
static void put_text(IdeDrive *d, unsigned word, const char *s, unsigned len)
{
    for (unsigned n = 0; n < len; n++) {
        d->buf[2 * word + (n ^ 1)] = (uint8_t)(*s != 0 ? *s++ : ' ');
    }
}

static void put_common(IdeDrive *d)
{
    memset(d->buf, 0, IDE_SECTOR);
    put_text(d, 10, d->serial, 20);
    put_text(d, 23, d->ver, 8);
    put_text(d, 27, d->model, 40);
    put(d, 48, 1);               /* 32-bit PIO; obsolete since ATA-2, and still looked at */
    put(d, 51, 0x0200);
    put(d, 52, 0x0200);
    put(d, 53, 0x0007);          /* words 54-58, 64-70 and 88 are valid */
    put(d, 62, 0x0007);          /* single word DMA, 0 to 2 */
    put(d, 63, (uint16_t)(0x0007 | d->mwdma << 8));
    put(d, 64, 0x0003);          /* PIO 3 and 4 */
    put(d, 65, 120);             /* cycle times, ns */
    put(d, 66, 120);
    put(d, 67, 120);
    put(d, 68, 120);
    put(d, 88, (uint16_t)(0x003f | d->udma << 8));
    if (d->bus->sata) {
        put(d, 76, 0x0006); /* first and second generation */
        put(d, 93, 0);
    } else {
        put(d, 93, d->unit == 0 ? 0x600b : 0x6b00); /* 80-conductor cable, diagnostics passed */
    }
}

/* put_sata - queues, and the log that tells which of their commands failed. */
static void put_sata(IdeDrive *d)
{
    put(d, 75, SATA_TAGS - 1);
    put(d, 76, 0x0106);
    put(d, 80, 0x01fe);
    put(d, 84, (uint16_t)(ld_le16(d->buf + 168) | 0x0020)); /* general purpose logs */
    put(d, 87, (uint16_t)(ld_le16(d->buf + 174) | 0x0020));
}

static void put_geometry(IdeDrive *d)
{
    uint64_t total = (uint64_t)d->cyls * d->heads * d->secs;
    unsigned cyls;

    put(d, 1, (uint16_t)d->cyls);
    put(d, 3, (uint16_t)d->heads);
    put(d, 4, (uint16_t)(IDE_SECTOR * d->secs));
    put(d, 5, IDE_SECTOR);
    put(d, 6, (uint16_t)d->secs);
    /* the translation that INITIALIZE DEVICE PARAMETERS chose */
    cyls = (unsigned)MIN(MIN(d->sectors, total) / ((uint64_t)d->cur_heads * d->cur_secs), 65535u);
    put(d, 54, (uint16_t)cyls);
    put(d, 55, d->cur_heads);
    put(d, 56, d->cur_secs);
    put32(d, 57, (uint64_t)cyls * d->cur_heads * d->cur_secs);
}

void ata_identify(IdeDrive *d)
{
    uint16_t enabled = (uint16_t)(BIT(3) | (d->write_cache ? BIT(5) : 0) |
                                  (d->smart ? 1 : 0));
    unsigned exp = 0;

    while ((uint64_t)IDE_SECTOR << exp < d->disk.physical) {
        exp++;
    }
    put_common(d);
    put(d, 0, 0x0040); /* fixed */
    put_geometry(d);
    put(d, 20, 3);
    put(d, 21, 512);
    put(d, 22, 4);
    put(d, 47, 0x8000 | IDE_MULTIPLE_MAX);
    put(d, 49, 0x0b00); /* IORDY, LBA, DMA */
    put(d, 50, 0x4000);
    put(d, 59, d->multiple != 0 ? 0x0100 | d->multiple : 0);
    put32(d, 60, MIN(d->sectors, 0x0fffffffull));
    put(d, 80, 0x007e); /* ATA-1 to ATA/ATAPI-6 */
    put(d, 81, 0x0019);
    put(d, 82, 0x0029);              /* SMART, power management, write cache */
    put(d, 83, 0x7400);              /* 48-bit, FLUSH CACHE, FLUSH CACHE EXT */
    put(d, 84, (uint16_t)(0x4043 | (d->wwn != 0 ? BIT(8) : 0))); /* SMART log, test, FUA */
    put(d, 85, enabled);
    put(d, 86, 0x3400);
    put(d, 87, (uint16_t)(0x4043 | (d->wwn != 0 ? BIT(8) : 0)));
    st_le64(d->buf + 200, d->sectors);
    if (d->wwn != 0) {
        for (unsigned n = 0; n < 4; n++) {
            put(d, 108 + n, (uint16_t)(d->wwn >> (48 - 16 * n)));
        }
    }
    if (blk_discards(d->blk)) { /* the 7th edition's bit is what TRIM is believed with */
        put(d, 80, 0x00fe);
        put(d, 105, 1); /* sectors of ranges in one command */
        put(d, 169, 1);
    }
    if (d->bus->sata) {
        put_sata(d);
    }
    put(d, 106, (uint16_t)(exp != 0 ? 0x6000 | exp : 0x4000)); /* logical sectors of 512 bytes, so many (a power) in a physical one */
    put(d, 217, d->rotation_rate);
}

void atapi_identify(IdeDrive *d)
{
    put_common(d);
    put(d, 0, 0x8580); /* packet device, CD-ROM, removable, DRQ within 50 us, 12-byte packets */
    put(d, 49, 0x0b00);
    put(d, 71, 30);
    put(d, 72, 30);
    put(d, 80, 0x007e);
    put(d, 81, 0x0019);
    put(d, 82, 0x4210); /* NOP, DEVICE RESET, PACKET */
    put(d, 83, 0x4000);
    put(d, 84, 0x4000);
    put(d, 85, 0x4210);
    put(d, 87, 0x4000);
}

/* ---- SET FEATURES ---- */

/* set_mode - "Set transfer mode based on value in Sector Count register" */
static bool set_mode(IdeDrive *d, uint8_t val)
{
    unsigned mode = val & 7;

    switch (val >> 3) {
    case 0: /* PIO default, without IORDY or with it */
        d->mwdma = d->udma = 0;
        return mode <= 1;
    case 1: /* PIO with flow control */
        d->mwdma = d->udma = 0;
        return mode <= 4;
    case 2: /* single word DMA */
        d->mwdma = d->udma = 0;
        return mode <= 2;
    case 4:
        if (mode > 2) {
            return false;
        }
        d->mwdma = (uint8_t)BIT(mode);
        d->udma = 0;
        return true;
    case 8:
        if (mode > 5) {
            return false;
        }
        d->udma = (uint8_t)BIT(mode);
        d->mwdma = 0;
        return true;
    default:
        return false;
    }
}

void ide_set_features(IdeDrive *d)
{
    bool ok = true;

    switch (d->now.feature) {
    case 0x02:
        d->write_cache = true;
        ok = !d->atapi;
        break;
    case 0x82: /* what is cached goes to the medium first */
        ok = !d->atapi;
        if (ok) {
            d->write_cache = false;
            ide_flush(d);
            return;
        }
        break;
    case 0x03:
        ok = set_mode(d, d->now.count);
        break;
    case 0x66: /* a soft reset changes none of these modes anyway */
    case 0xcc:
        break;
    default:
        ok = false;
        break;
    }
    if (ok) {
        ide_end(d);
    } else {
        ide_fail(d, ER_ABRT);
    }
}
