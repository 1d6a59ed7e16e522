/*
 * A command on its way: what the unit says to it (spc.c, sbc.c, mmc.c), then its data, a piece after the other. A piece
 * is at most BLK_REQUEST_MAX, so what the guest asks for never costs more than that of memory.
 */
#include "hw/scsi/internal.h"

#include <errno.h>
#include <stdlib.h>
#include "base/mem.h"
#include "hw/scsi/trace.h"

static void forget(ScsiReq *r)
{
    for (ScsiReq **p = &r->unit->first; *p != NULL; p = &(*p)->next) {
        if (*p == r) {
            *p = r->next;
            break;
        }
    }
    free(r->data);
    r->data = NULL;
}

static void finish(ScsiReq *r)
{
    forget(r);
    r->ops->done(r);
}

static void end_with(ScsiReq *r, ScsiEnd end)
{
    r->end = end;
    finish(r);
}

static void end_good(ScsiReq *r)
{
    r->status = STATUS_GOOD;
    finish(r);
}

/* end_check - @lba: where it stopped; UINT64_MAX: it was at no place. */
static void end_check(ScsiReq *r, ScsiSense s, uint64_t lba)
{
    trace_scsi_check(r->unit->dev.id, s.key, s.asc, s.ascq);
    r->status = STATUS_CHECK;
    scsi_put_sense(r->sense, s, lba);
    r->sense_len = SCSI_SENSE_LEN;
    finish(r);
}

/* ---- data ---- */

static void step(ScsiReq *r);

static uint64_t place(const ScsiReq *r)
{
    return r->task.lba * r->unit->block + r->at;
}

static void failed(ScsiReq *r, int ret)
{
    bool reading = r->task.what == SCSI_READ || r->task.what == SCSI_VERIFY || r->task.what == SCSI_COMPARE;

    if (r->unit->cd) {
        end_check(r, mmc_medium_error(&r->unit->mmc, ret).sense, UINT64_MAX);
    } else {
        end_check(r, (ScsiSense){ SENSE_MEDIUM_ERROR, reading ? 0x11 : 0x0c, 0 },
                  r->task.what == SCSI_UNMAP || r->task.what == SCSI_FLUSH ? UINT64_MAX : place(r) / r->unit->block);
    }
}

/* compare - a piece with what the guest gives; false when the request ended. */
static bool compare(ScsiReq *r, const uint8_t *data)
{
    autofree uint8_t *given = xalloc0(1, r->piece);

    if (!r->ops->get(r, (uint32_t)r->at, given, r->piece)) {
        end_with(r, SCSI_END_FAULT);
        return false;
    }
    if (memcmp(given, data, r->piece) != 0) {
        end_check(r, (ScsiSense){ SENSE_MISCOMPARE, 0x1d, 0 }, place(r) / r->unit->block);
        return false;
    }
    return true;
}

static void on_piece(void *opaque, int ret, const uint8_t *data)
{
    ScsiReq *r = opaque;

    r->blk = NULL;
    if (ret < 0) {
        failed(r, ret);
        return;
    }
    if (r->task.what == SCSI_READ) {
        if (!r->ops->put(r, (uint32_t)r->at, data, r->piece)) {
            end_with(r, SCSI_END_FAULT);
            return;
        }
    } else if (r->task.what == SCSI_COMPARE && !compare(r, data)) {
        return;
    }
    if (r->task.what == SCSI_READ || r->task.what == SCSI_WRITE || r->task.what == SCSI_COMPARE) {
        r->moved += r->piece;
    }
    r->at += r->piece;
    step(r);
}

static void on_flushed(void *opaque, int ret, const uint8_t *data)
{
    ScsiReq *r = opaque;

    r->blk = NULL;
    r->task.what = SCSI_FLUSH;
    if (ret < 0) {
        failed(r, ret);
    } else {
        end_good(r);
    }
}

static void write_piece(ScsiReq *r)
{
    autofree uint8_t *buf = xalloc0(1, r->piece);

    if (!r->ops->get(r, (uint32_t)r->at, buf, r->piece)) {
        end_with(r, SCSI_END_FAULT);
        return;
    }
    r->blk = blk_write(r->unit->blk, place(r), buf, r->piece, on_piece, r);
}

static void unmap_piece(ScsiReq *r)
{
    const uint8_t *range = r->data + 8 + 16 * r->at;
    uint64_t block = r->unit->block;

    r->piece = 1;
    r->blk = blk_discard(r->unit->blk, ld_be64(range) * block, ld_be32(range + 8) * block, on_piece, r);
}

/* step - the next piece, or the end. */
static void step(ScsiReq *r)
{
    if (r->at == r->total) {
        if (r->task.durable) {
            r->blk = blk_flush(r->unit->blk, on_flushed, r);
        } else {
            end_good(r);
        }
        return;
    }
    r->piece = (uint32_t)MIN(r->total - r->at, (uint64_t)BLK_REQUEST_MAX);
    switch (r->task.what) {
    case SCSI_WRITE:
        write_piece(r);
        break;
    case SCSI_SAME:
        r->blk = blk_write(r->unit->blk, place(r), r->data, r->piece, on_piece, r);
        break;
    case SCSI_UNMAP:
        unmap_piece(r);
        break;
    default:
        r->blk = blk_read(r->unit->blk, place(r), r->piece, on_piece, r);
    }
}

/* same_data - a piece full of the guest's block. False: the request ended. */
static bool same_data(ScsiReq *r)
{
    uint32_t block = r->unit->block, len = (uint32_t)MIN(r->total, (uint64_t)BLK_REQUEST_MAX);

    r->data = xalloc0(1, MAX(len, block));
    if (r->task.zeros) {
        return true;
    }
    if (r->out_len < block || !r->ops->get(r, 0, r->data, block)) {
        end_with(r, r->out_len < block ? SCSI_END_OVERRUN : SCSI_END_FAULT);
        return false;
    }
    for (uint32_t at = block; at < len; at += block) {
        memcpy(r->data + at, r->data, block);
    }
    r->moved = block;
    return true;
}

static void transfer(ScsiReq *r)
{
    const ScsiTask *t = &r->task;
    uint32_t room = t->what == SCSI_READ ? r->in_len : r->out_len;
    bool moves = t->what == SCSI_READ || t->what == SCSI_WRITE || t->what == SCSI_COMPARE;

    r->total = t->count * r->unit->block;
    if (moves && r->total > room) {
        end_with(r, SCSI_END_OVERRUN);
    } else if (t->what != SCSI_SAME || same_data(r)) {
        step(r);
    }
}

/* ---- the beginning ---- */

static void carry_out(ScsiReq *r, const uint8_t *buf);

/* take - the parameters that the command has. */
static void take(ScsiReq *r)
{
    uint32_t len = r->task.len;

    if (len > r->out_len) {
        end_with(r, SCSI_END_OVERRUN);
        return;
    }
    r->data = xalloc0(1, len);
    if (!r->ops->get(r, 0, r->data, len)) {
        end_with(r, SCSI_END_FAULT);
        return;
    }
    r->moved = len;
    r->task = sbc_parameters(r->unit, r->cdb, r->data, len);
    carry_out(r, NULL);
}

static void reply(ScsiReq *r, const uint8_t *buf)
{
    r->moved = MIN(r->task.len, r->in_len);
    if (r->moved > 0 && !r->ops->put(r, 0, buf, r->moved)) {
        end_with(r, SCSI_END_FAULT);
    } else {
        end_good(r);
    }
}

static void carry_out(ScsiReq *r, const uint8_t *buf)
{
    switch (r->task.what) {
    case SCSI_GOOD:
        end_good(r);
        break;
    case SCSI_CHECK:
        end_check(r, r->task.sense, UINT64_MAX);
        break;
    case SCSI_REPLY:
        reply(r, buf);
        break;
    case SCSI_FLUSH:
        r->blk = blk_flush(r->unit->blk, on_flushed, r);
        break;
    case SCSI_TAKE:
        take(r);
        break;
    case SCSI_UNMAP:
        r->total = r->task.len;
        step(r);
        break;
    default:
        transfer(r);
    }
}

enum { INQUIRY = 0x12, REQUEST_SENSE = 0x03, REPORT_LUNS = 0xa0 };

/* ask_none - of a number that its target has no unit for: SPC-4, 6.4 and 5.14. */
static ScsiTask ask_none(ScsiReq *r, uint8_t *buf)
{
    switch (r->cdb[0]) {
    case INQUIRY:
        return scsi_inquiry(NULL, r->cdb, buf);
    case REPORT_LUNS:
        return scsi_report_luns(r->unit, r->cdb, buf);
    case REQUEST_SENSE:
        return scsi_request_sense(r->cdb, buf, (ScsiSense){ SENSE_ILLEGAL, ASC_BAD_LUN, 0 });
    default:
        return scsi_illegal(ASC_BAD_LUN);
    }
}

static ScsiTask ask(ScsiReq *r, uint8_t *buf)
{
    ScsiDisk *d = r->unit;
    ScsiSense attention = d->attention;

    if (r->cdb[0] == INQUIRY) {
        return scsi_inquiry(d, r->cdb, buf);
    }
    if (r->cdb[0] == REPORT_LUNS) {
        return scsi_report_luns(d, r->cdb, buf);
    }
    /* SAM-5, "Unit attention conditions": told once */
    d->attention = (ScsiSense){ 0 };
    if (r->cdb[0] == REQUEST_SENSE && (attention.key != SENSE_NONE || !d->cd)) {
        return scsi_request_sense(r->cdb, buf, attention);
    }
    if (attention.key != SENSE_NONE) {
        return scsi_check(attention.key, attention.asc, attention.ascq);
    }
    return d->cd ? mmc_command(&d->mmc, r->cdb, buf) : sbc_command(d, r->cdb, buf);
}

void scsi_start(ScsiDisk *any, unsigned lun, ScsiReq *r)
{
    ScsiDisk *d = any->lun == lun ? any : scsi_unit(any->bus, any->channel, any->id, lun);
    uint8_t buf[SCSI_BUF];

    trace_scsi_command(any->dev.id, lun, r->cdb[0], r->tag);
    r->unit = d != NULL ? d : any;
    r->next = r->unit->first;
    r->unit->first = r;
    r->task = d != NULL ? ask(r, buf) : ask_none(r, buf);
    carry_out(r, buf);
}

void scsi_cancel(ScsiReq *r)
{
    blk_cancel(r->blk);
    r->blk = NULL;
    forget(r);
}
