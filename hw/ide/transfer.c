/*
 * The data phases of a drive: PIO in blocks, DMA, and the waits for the medium.
 *
 *   PIO in:   BSY, the medium fills buf[] -> DRQ, interrupt, the guest empties a block -> DRQ ...
 *   PIO out:  DRQ, the guest fills a block (the first without an interrupt) -> BSY, it is written
 *   DMA:      DRQ until the bus master is ready; then chunk after chunk
 *
 * Source: ATA/ATAPI-6, clause 9 (protocols). `left` counts bytes that the guest has yet to get or
 * give, `pos` is where the medium goes on. A packet command's data follow the same way; what is
 * different there (byte counts, the interrupt at the end) is in atapi.c.
 */
#include "hw/ide/internal.h"

#include <errno.h>
#include "base/mem.h"
#include "hw/ide/trace.h"

/* ---- begin and end ---- */

void ide_forget(IdeDrive *d)
{
    blk_cancel(d->req);
    d->req = NULL;
    d->phase = PH_IDLE;
    d->buf_pos = d->buf_len = d->drq_end = 0;
    d->left = 0;
    d->stream = d->careful = d->durable = false;
    d->irq = false;
}

static void ended(IdeDrive *d)
{
    bool irq = d->irq;

    ide_forget(d);
    d->irq = irq;
    trace_ide_end(d->dev.id, d->status, d->error);
}

void ide_end(IdeDrive *d)
{
    if (d->durable) {
        d->durable = false;
        ide_flush(d);
        return;
    }
    d->status = ST_DRDY | ST_DSC;
    ended(d);
    ide_raise(d);
}

void ide_fail(IdeDrive *d, uint8_t error)
{
    d->error = error;
    d->status = ST_DRDY | ST_DSC | ST_ERR;
    ended(d);
    ide_raise(d);
}

/* set_place - the registers name the sector where the command stopped. */
static void set_place(IdeDrive *d)
{
    uint64_t lba = d->pos / IDE_SECTOR;

    if (!(d->bus->device & DEV_LBA) && d->cur_heads != 0 && d->cur_secs != 0) {
        uint64_t track = lba / d->cur_secs;

        d->now.lba[0] = (uint8_t)(lba % d->cur_secs + 1);
        d->now.lba[1] = (uint8_t)(track / d->cur_heads);
        d->now.lba[2] = (uint8_t)(track / d->cur_heads >> 8);
        d->head = (uint8_t)(track % d->cur_heads & 15);
        return;
    }
    for (unsigned n = 0; n < 3; n++) {
        d->now.lba[n] = (uint8_t)(lba >> 8 * n);
        d->hob.lba[n] = (uint8_t)(lba >> 24 >> 8 * n);
    }
    if (!d->ext) {
        d->head = (uint8_t)(lba >> 24 & 15);
    }
}

static void medium_failed(IdeDrive *d, int ret)
{
    if (d->atapi) {
        atapi_medium_error(d, ret);
        return;
    }
    set_place(d);
    ide_fail(d, d->phase == PH_PIO_IN || d->phase == PH_DMA_IN || d->phase == PH_VERIFY ? ER_UNC
                                                                                        : ER_ABRT);
}

/* retry - a read that failed is made again in small pieces, so that what can be read is. */
static bool retry(IdeDrive *d, int ret, uint32_t len)
{
    if (ret == 0 || d->careful || len <= d->block || ret == -ENOMEDIUM) {
        return false;
    }
    d->careful = true;
    return true;
}

/* ---- PIO ---- */

static void drq(IdeDrive *d)
{
    if (d->atapi) {
        atapi_next_block(d);
        return;
    }
    d->drq_end = d->buf_pos + MIN(d->block, d->buf_len - d->buf_pos);
    d->status = ST_DRDY | ST_DSC | ST_DRQ;
    ide_raise(d);
}

static void fill(IdeDrive *d);

static void filled(void *opaque, int ret, const uint8_t *data)
{
    IdeDrive *d = opaque;
    uint32_t len = d->buf_len;

    d->req = NULL;
    if (retry(d, ret, len)) {
        fill(d);
    } else if (ret < 0) {
        d->buf_len = 0;
        medium_failed(d, ret);
    } else {
        memcpy(d->buf, data, len);
        d->pos += len;
        drq(d);
    }
}

/* fill - the buffer from the medium: as many blocks as fit. */
static void fill(IdeDrive *d)
{
    uint32_t max = d->careful || d->atapi ? MAX(d->block, d->atapi ? CD_SECTOR : IDE_SECTOR)
                                          : IDE_BUF_SIZE / d->block * d->block;

    d->status = ST_BSY;
    d->buf_pos = d->drq_end = 0;
    d->buf_len = (uint32_t)MIN(d->left, max);
    d->req = blk_read(d->blk, d->pos, d->buf_len, filled, d);
}

void ide_send(IdeDrive *d, uint32_t len)
{
    d->phase = PH_PIO_IN;
    d->stream = false;
    d->left = len;
    d->block = MAX(len, 1u);
    d->buf_pos = 0;
    d->buf_len = len;
    drq(d);
}

void ide_pio_in(IdeDrive *d, uint64_t bytes)
{
    d->phase = PH_PIO_IN;
    d->stream = true;
    d->left = bytes;
    fill(d);
}

/* block_taken - the guest has read all of a block. */
static void block_taken(IdeDrive *d)
{
    if (d->left == 0) {
        if (d->atapi) {
            atapi_end(d);
        } else { /* no interrupt: the one of the last block was it */
            d->status = ST_DRDY | ST_DSC;
            ended(d);
        }
    } else if (d->buf_pos < d->buf_len) {
        drq(d);
    } else {
        fill(d);
    }
}

uint32_t ide_data_read(IdeDrive *d, unsigned size)
{
    uint32_t val = 0, n;

    if (!(d->status & ST_DRQ) || d->phase != PH_PIO_IN) {
        return 0;
    }
    n = MIN(size, d->drq_end - d->buf_pos);
    memcpy(&val, d->buf + d->buf_pos, n);
    d->buf_pos += n;
    d->left -= MIN(d->left, n);
    if (d->buf_pos == d->drq_end) {
        block_taken(d);
    }
    return val;
}

static void want_block(IdeDrive *d)
{
    d->buf_pos = 0;
    d->drq_end = (uint32_t)MIN(d->left, d->block);
    d->status = ST_DRDY | ST_DSC | ST_DRQ;
}

void ide_pio_out(IdeDrive *d, uint64_t bytes)
{
    d->phase = PH_PIO_OUT;
    d->left = bytes;
    want_block(d);
}

static void written(void *opaque, int ret, const uint8_t *data)
{
    IdeDrive *d = opaque;

    d->req = NULL;
    if (ret < 0) {
        medium_failed(d, ret);
        return;
    }
    d->pos += d->drq_end;
    d->left -= MIN(d->left, d->drq_end);
    if (d->left == 0) {
        ide_end(d);
        return;
    }
    want_block(d);
    ide_raise(d);
}

static void packet_given(IdeDrive *d)
{
    uint8_t cdb[16] = { 0 };

    memcpy(cdb, d->buf, 12);
    d->status = ST_BSY;
    atapi_packet(d, cdb);
}

/* block_given - the guest has filled a block, or a packet. */
static void block_given(IdeDrive *d)
{
    if (d->phase == PH_PACKET) {
        packet_given(d);
        return;
    }
    d->status = ST_BSY;
    d->req = blk_write(d->blk, d->pos, d->buf, d->drq_end, written, d);
}

void ide_data_write(IdeDrive *d, uint32_t val, unsigned size)
{
    uint32_t n;

    if (!(d->status & ST_DRQ) || (d->phase != PH_PIO_OUT && d->phase != PH_PACKET)) {
        return;
    }
    n = MIN(size, d->drq_end - d->buf_pos);
    memcpy(d->buf + d->buf_pos, &val, n);
    d->buf_pos += n;
    if (d->buf_pos == d->drq_end) {
        block_given(d);
    }
}

uint32_t ide_block(IdeDrive *d, uint8_t **buf)
{
    if (!(d->status & ST_DRQ) || (d->phase != PH_PIO_IN && d->phase != PH_PIO_OUT && d->phase != PH_PACKET)) {
        return 0;
    }
    *buf = d->buf + d->buf_pos;
    return d->drq_end - d->buf_pos;
}

void ide_block_moved(IdeDrive *d)
{
    uint32_t n = d->drq_end - d->buf_pos;

    d->buf_pos = d->drq_end;
    if (d->phase == PH_PIO_IN) {
        d->left -= MIN(d->left, n);
        block_taken(d);
    } else {
        block_given(d);
    }
}

/* ---- DMA ---- */

static void dma_moved(IdeDrive *d, uint32_t n, uint32_t len)
{
    d->left -= MIN(d->left, n);
    if (d->left == 0) {
        if (d->atapi) {
            atapi_end(d);
        } else {
            ide_end(d);
        }
    } else if (n == len) {
        ide_dma_step(d);
    } /* else the table was too short: the drive waits for more */
}

static void dma_read_done(void *opaque, int ret, const uint8_t *data)
{
    IdeDrive *d = opaque;
    uint32_t len = (uint32_t)MIN(d->left, d->careful ? d->block : IDE_DMA_CHUNK), n;

    d->req = NULL;
    if (retry(d, ret, len)) {
        ide_dma_step(d);
        return;
    }
    if (ret < 0) {
        medium_failed(d, ret);
        return;
    }
    n = d->bus->dma->copy(d->bus->dma_opaque, (uint8_t *)data, len, true);
    d->pos += n;
    dma_moved(d, n, len);
}

static void dma_write_done(void *opaque, int ret, const uint8_t *data)
{
    IdeDrive *d = opaque;

    d->req = NULL;
    if (ret < 0) {
        medium_failed(d, ret);
        return;
    }
    d->pos += d->buf_len;
    dma_moved(d, d->buf_len, d->buf_len);
}

/* A reply that is in the buffer, not on the medium. */
static void dma_send(IdeDrive *d)
{
    uint32_t len = d->buf_len - d->buf_pos, n;

    if (len == 0) {
        return;
    }
    n = d->bus->dma->copy(d->bus->dma_opaque, d->buf + d->buf_pos, len, true);
    d->buf_pos += n;
    dma_moved(d, n, len);
}

/* ---- TRIM: 64 ranges of a sector, eight bytes each; the place in the low 48 bits, the count above ---- */

static void trim_step(IdeDrive *d);

static void trimmed(void *opaque, int ret, const uint8_t *data)
{
    IdeDrive *d = opaque;

    d->req = NULL;
    if (ret < 0) {
        d->buf_pos = 0;
        medium_failed(d, ret);
        return;
    }
    trim_step(d);
}

static void trim_step(IdeDrive *d)
{
    while (d->buf_pos < d->buf_len) {
        uint64_t range = ld_le64(d->buf + d->buf_pos), lba = range & (BIT64(48) - 1), count = range >> 48;

        d->buf_pos += 8;
        if (count == 0) {
            continue;
        }
        if (lba > d->sectors || count > d->sectors - lba) {
            d->buf_pos = 0;
            ide_fail(d, ER_IDNF | ER_ABRT);
            return;
        }
        d->pos = lba * IDE_SECTOR;
        d->req = blk_discard(d->blk, d->pos, count * IDE_SECTOR, trimmed, d);
        return;
    }
    d->buf_pos = 0;
    dma_moved(d, d->buf_len, d->buf_len);
}

static void dma_out(IdeDrive *d)
{
    uint32_t len = (uint32_t)MIN(d->left, IDE_BUF_SIZE), n;

    n = d->bus->dma->copy(d->bus->dma_opaque, d->buf, len, false);
    n -= n % IDE_SECTOR; /* a sector that is not whole is not written */
    if (n == 0) {
        return;
    }
    d->buf_len = n;
    if (d->command == IDE_DATA_SET) {
        d->buf_pos = 0;
        trim_step(d);
        return;
    }
    d->req = blk_write(d->blk, d->pos, d->buf, n, dma_write_done, d);
}

/* ide_dma_step - the next chunk, if drive and bus master are both ready for it. */
void ide_dma_step(IdeDrive *d)
{
    IdeBus *bus = d->bus;
    bool in = d->phase == PH_DMA_IN;

    if ((!in && d->phase != PH_DMA_OUT) || d->req != NULL || bus->dma == NULL ||
        !bus->dma->ready(bus->dma_opaque, in)) {
        return;
    }
    if (!in) {
        dma_out(d);
    } else if (d->stream) {
        d->req = blk_read(d->blk, d->pos,
                          (uint32_t)MIN(d->left, d->careful ? d->block : IDE_DMA_CHUNK),
                          dma_read_done, d);
    } else {
        dma_send(d);
    }
}

void ide_dma(IdeDrive *d, uint64_t bytes, bool in)
{
    d->phase = in ? PH_DMA_IN : PH_DMA_OUT;
    d->left = bytes;
    d->status = ST_DRDY | ST_DSC | ST_DRQ;
    ide_dma_step(d);
}

/* ---- no data ---- */

static void verify_step(IdeDrive *d);

static void verified(void *opaque, int ret, const uint8_t *data)
{
    IdeDrive *d = opaque;

    d->req = NULL;
    if (retry(d, ret, d->buf_len)) {
        verify_step(d);
        return;
    }
    if (ret < 0) {
        medium_failed(d, ret);
        return;
    }
    d->pos += d->buf_len;
    d->left -= d->buf_len;
    verify_step(d);
}

static void verify_step(IdeDrive *d)
{
    if (d->left == 0) {
        ide_end(d);
        return;
    }
    d->buf_len = (uint32_t)MIN(d->left, d->careful ? IDE_SECTOR : IDE_BUF_SIZE);
    d->req = blk_read(d->blk, d->pos, d->buf_len, verified, d);
}

void ide_verify(IdeDrive *d, uint64_t bytes)
{
    d->phase = PH_VERIFY;
    d->status = ST_BSY;
    d->left = bytes;
    verify_step(d);
}

static void flushed(void *opaque, int ret, const uint8_t *data)
{
    IdeDrive *d = opaque;

    d->req = NULL;
    if (ret < 0) {
        medium_failed(d, ret);
    } else {
        ide_end(d);
    }
}

void ide_flush(IdeDrive *d)
{
    d->phase = PH_FLUSH;
    d->status = ST_BSY;
    d->req = blk_flush(d->blk, flushed, d);
}
