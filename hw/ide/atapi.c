/*
 * The packet protocol: commands in a packet of twelve bytes, data by PIO in pieces that the host
 * limits or by DMA, an interrupt for each piece and one at the end.
 *
 * Source: ATA/ATAPI-6, 8.23 and 9.8 (PACKET); SFF-8020i for the registers' names.
 */
#include "hw/ide/internal.h"

#include "base/mem.h"
#include "hw/ide/trace.h"

/* ---- data and end ---- */

static void set_byte_count(IdeDrive *d, uint32_t n)
{
    d->now.lba[1] = (uint8_t)n;
    d->now.lba[2] = (uint8_t)(n >> 8);
}

void atapi_next_block(IdeDrive *d)
{
    uint32_t n = MIN(d->block, d->buf_len - d->buf_pos);

    d->drq_end = d->buf_pos + n;
    set_byte_count(d, n);
    d->now.count = IR_IO;
    d->status = ST_DRDY | ST_DSC | ST_DRQ;
    ide_raise(d);
}

static void finish(IdeDrive *d, uint8_t status)
{
    ide_forget(d);
    d->now.count = IR_IO | IR_CD;
    d->error = (uint8_t)(d->mmc.sense.key << 4 | (d->mmc.sense.key == SENSE_ILLEGAL ? ER_ABRT : 0));
    d->status = status;
    trace_ide_end(d->dev.id, d->status, d->error);
    ide_raise(d);
}

void atapi_end(IdeDrive *d)
{
    d->mmc.sense = (ScsiSense){ 0 };
    finish(d, ST_DRDY | ST_DSC);
}

void atapi_check(IdeDrive *d, ScsiSense sense)
{
    trace_ide_sense(d->dev.id, sense.key, sense.asc, sense.ascq);
    d->mmc.sense = sense;
    finish(d, ST_DRDY | ST_DSC | ST_ERR);
}

void atapi_medium_error(IdeDrive *d, int ret)
{
    atapi_check(d, mmc_medium_error(&d->mmc, ret).sense);
}

/* limit - bytes of a DRQ block. "If the byte count limit is odd ... the device shall transfer one
 * less"; FFFFh means FFFEh. 0 with data to come is refused by the caller. */
static uint32_t limit(const IdeDrive *d)
{
    return (d->now.lba[1] | (uint32_t)d->now.lba[2] << 8) & ~1u;
}

static bool no_room(IdeDrive *d)
{
    if (!d->packet_dma && limit(d) == 0) {
        ide_fail(d, ER_ABRT);
        return true;
    }
    return false;
}

void atapi_reply(IdeDrive *d, uint32_t len)
{
    if (len == 0) {
        atapi_end(d);
    } else if (!no_room(d)) {
        d->stream = false;
        d->buf_pos = 0;
        d->buf_len = len;
        d->left = len;
        if (d->packet_dma) {
            d->block = CD_SECTOR;
            ide_dma(d, len, true);
            return;
        }
        d->block = limit(d);
        d->phase = PH_PIO_IN;
        atapi_next_block(d);
    }
}

void atapi_read(IdeDrive *d, uint64_t lba, uint64_t count)
{
    if (count == 0) {
        atapi_end(d);
    } else if (!no_room(d)) {
        d->pos = lba * CD_SECTOR;
        d->stream = true;
        if (d->packet_dma) {
            d->block = CD_SECTOR;
            ide_dma(d, count * CD_SECTOR, true);
            return;
        }
        /* whole sectors where at least one fits, as drives do */
        d->block = limit(d) >= CD_SECTOR ? limit(d) / CD_SECTOR * CD_SECTOR : limit(d);
        ide_pio_in(d, count * CD_SECTOR);
    }
}

/* ---- the Command register ---- */

static void cmd_packet(IdeDrive *d)
{
    d->packet_dma = d->now.feature & 1;
    if ((d->now.feature & 2) || (d->packet_dma && d->bus->dma == NULL)) { /* overlapped: no */
        ide_fail(d, ER_ABRT);
        return;
    }
    d->phase = PH_PACKET;
    d->buf_pos = 0;
    d->drq_end = 12;
    d->now.count = IR_CD;
    d->status = ST_DRDY | ST_DSC | ST_DRQ; /* no interrupt: IDENTIFY said "within 50 us" */
}

/* "the device shall abort the command and place the signature": so hosts tell the two kinds. */
static void abort_with_signature(IdeDrive *d)
{
    ide_signature(d);
    ide_fail(d, ER_ABRT);
}

void atapi_command(IdeDrive *d)
{
    switch (d->command) {
    case 0x08: /* DEVICE RESET: no interrupt */
        ide_forget(d);
        ide_signature(d);
        d->bus->device &= DEV_SELECT;
        break;
    case 0xa0:
        cmd_packet(d);
        break;
    case 0xa1:
        atapi_identify(d);
        ide_send(d, IDE_SECTOR);
        break;
    case 0x20: /* READ SECTOR(S) */
    case 0xec: /* IDENTIFY DEVICE */
        abort_with_signature(d);
        break;
    case 0xe0 ... 0xe3: /* IDLE, STANDBY and their immediate forms */
        d->standby = !(d->command & 1);
        ide_end(d);
        break;
    case 0xe5:
        d->now.count = d->standby ? 0x00 : 0xff;
        ide_end(d);
        break;
    case 0xe6:
        d->standby = true;
        ide_end(d);
        break;
    case 0xef:
        ide_set_features(d);
        break;
    default:
        ide_fail(d, ER_ABRT);
        break;
    }
}
