/*
 * Queued commands: READ and WRITE FPDMA QUEUED. Each goes its own way to the medium, in pieces, and ends with a set
 * device bits FIS. After an error all others are given up, and the drive takes only READ LOG EXT until its page 10h was
 * read: Serial ATA 3.1, 13.7.3 and 13.7.4.
 */
#include "hw/ide/ahci.h"

#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "hw/ide/trace.h"

enum { READ_QUEUED = 0x60, WRITE_QUEUED = 0x61, QUEUED_LAST = 0x65, FIS_DMA_SETUP_AT = 0x00, FIS_BITS_AT = 0x58 };

bool ahci_is_queued(uint8_t command)
{
    return command >= READ_QUEUED && command <= QUEUED_LAST;
}

bool ahci_queue_busy(const AhciPort *p)
{
    for (unsigned n = 0; n < SATA_TAGS; n++) {
        if (p->queued[n] != NULL) {
            return true;
        }
    }
    return false;
}

void ahci_queue_cancel(AhciPort *p)
{
    for (unsigned n = 0; n < SATA_TAGS; n++) {
        if (p->queued[n] != NULL) {
            blk_cancel(p->queued[n]->req);
            free(p->queued[n]);
            p->queued[n] = NULL;
        }
    }
}

/* set_bits - a set device bits FIS: these commands are done, or there was an error. */
static void set_bits(AhciPort *p, uint8_t status, uint8_t error, uint32_t tags)
{
    uint8_t fis[8] = { 0xa1, 0x40, status & 0x77, error };

    st_le32(fis + 4, tags);
    ahci_fis(p, FIS_BITS_AT, fis, sizeof(fis));
    p->tfd = (uint32_t)error << 8 | (p->tfd & (ST_BSY | ST_DRQ)) | (status & 0x77u);
    p->sact &= ~tags;
    ahci_raise(p, PIS_SDBS);
}

/* log_error - what READ LOG EXT will say of command @tag. */
static void log_error(IdeDrive *d, unsigned tag, uint8_t error, uint64_t lba)
{
    uint8_t *l = d->queue_log;

    memset(l, 0, sizeof(d->queue_log));
    l[0] = (uint8_t)tag;
    l[2] = ST_DRDY | ST_DSC | ST_ERR;
    l[3] = error;
    for (unsigned n = 0; n < 3; n++) {
        l[4 + n] = (uint8_t)(lba >> 8 * n);
        l[8 + n] = (uint8_t)(lba >> (24 + 8 * n));
    }
    l[7] = DEV_LBA;
    d->queue_failed = true;
}

static void unlink_queued(AhciQueued *q)
{
    q->port->queued[q->tag] = NULL;
    free(q);
}

static void fail(AhciQueued *q, uint8_t error)
{
    AhciPort *p = q->port;
    IdeDrive *d = p->bus.drive[0];

    log_error(d, q->tag, error, q->pos / IDE_SECTOR);
    ahci_queue_cancel(p);
    d->status = ST_DRDY | ST_DSC | ST_ERR;
    d->error = error;
    set_bits(p, d->status, error, 0);
    ahci_fatal(p, PIS_TFES);
}

static void end(AhciQueued *q)
{
    AhciPort *p = q->port;
    uint32_t tag = BIT(q->tag);

    unlink_queued(q);
    set_bits(p, ST_DRDY | ST_DSC, 0, tag);
    ahci_port_run(p);
}

static void step(AhciQueued *q);

static void on_flushed(void *opaque, int ret, const uint8_t *data)
{
    AhciQueued *q = opaque;

    q->req = NULL;
    if (ret < 0) {
        fail(q, ER_ABRT);
    } else {
        end(q);
    }
}

static void on_piece(void *opaque, int ret, const uint8_t *data)
{
    AhciQueued *q = opaque;
    AhciPort *p = q->port;

    q->req = NULL;
    if (p->halted) { /* by another command */
        unlink_queued(q);
        return;
    }
    if (ret < 0) {
        fail(q, q->write ? ER_ABRT : ER_UNC);
        return;
    }
    if (!q->write && ahci_table_copy(p, &q->t, (uint8_t *)data, q->piece, true) < q->piece) {
        unlink_queued(q); /* the port has halted */
        return;
    }
    q->pos += q->piece;
    q->left -= q->piece;
    step(q);
}

static void write_piece(AhciQueued *q)
{
    AhciPort *p = q->port;
    autofree uint8_t *buf = xalloc0(1, q->piece);

    if (ahci_table_copy(p, &q->t, buf, q->piece, false) < q->piece) {
        unlink_queued(q);
        return;
    }
    q->req = blk_write(p->bus.drive[0]->blk, q->pos, buf, q->piece, on_piece, q);
}

static void step(AhciQueued *q)
{
    IdeDrive *d = q->port->bus.drive[0];

    q->piece = (uint32_t)MIN(q->left, (uint64_t)BLK_REQUEST_MAX);
    if (q->left == 0) {
        if (q->write && (q->fua || !d->write_cache)) {
            q->req = blk_flush(d->blk, on_flushed, q);
        } else {
            end(q);
        }
    } else if (q->write) {
        write_piece(q);
    } else {
        q->req = blk_read(d->blk, q->pos, q->piece, on_piece, q);
    }
}

/* refuse - a command that cannot be queued, or not now: no tag is done, all are given up. */
static void refuse(AhciPort *p, unsigned tag, uint8_t error, uint64_t lba)
{
    IdeDrive *d = p->bus.drive[0];

    if (!d->queue_failed) {
        log_error(d, tag, error, lba);
    }
    ahci_queue_cancel(p);
    d->status = ST_DRDY | ST_DSC | ST_ERR;
    d->error = error;
    ahci_answer(p, true);
    ahci_fatal(p, PIS_TFES);
}

static uint64_t lba48(const uint8_t *fis)
{
    return (uint64_t)ld_le32(fis + 4) % BIT64(24) | (uint64_t)(ld_le32(fis + 8) % BIT64(24)) << 24;
}

void ahci_queue(AhciPort *p, unsigned slot, const AhciTable *t, const uint8_t *fis)
{
    IdeDrive *d = p->bus.drive[0];
    uint64_t lba = lba48(fis), count = fis[3] | (unsigned)fis[11] << 8;
    unsigned tag = fis[12] >> 3;
    uint8_t setup[28] = { 0x41, fis[2] == READ_QUEUED ? 0x20 : 0, 0, 0, (uint8_t)tag };
    AhciQueued *q;

    count = count != 0 ? count : 65536;
    trace_ahci_queued(p->name, fis[2], tag, lba, (unsigned)count);
    if (d->atapi || fis[2] > WRITE_QUEUED || d->queue_failed || tag != slot || p->queued[tag] != NULL) {
        refuse(p, tag, ER_ABRT, lba);
        return;
    }
    if (lba >= d->sectors || count > d->sectors - lba) {
        refuse(p, tag, ER_IDNF, lba);
        return;
    }
    d->status = ST_DRDY | ST_DSC;
    d->error = 0;
    ahci_answer(p, false); /* accepted: the slot is free for the driver's bookkeeping, the tag is not */
    p->ci &= ~BIT(slot);
    ahci_fis(p, FIS_DMA_SETUP_AT, setup, sizeof(setup));
    q = xnew(AhciQueued);
    *q = (AhciQueued){ .port = p, .t = *t, .pos = lba * IDE_SECTOR, .left = count * IDE_SECTOR, .tag = (uint8_t)tag,
                       .write = fis[2] == WRITE_QUEUED, .fua = fis[7] & 0x80 };
    p->queued[tag] = q;
    step(q);
}
