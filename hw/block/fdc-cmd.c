/*
 * The commands of the floppy controller.
 *
 * Source: Intel 82077AA data sheet, "Command set/descriptions" (headings quoted), "Status register encoding".
 * Every sector of an image has a normal data mark: "read deleted data" finds none, "write deleted data" writes
 * normal ones.
 */
#include "hw/block/fdc-internal.h"

#include "hw/block/trace.h"

#define SEEK_NS 100000      /* settling, and each step: faster than any drive, slower than no time */
#define STEP_NS 30000
#define NO_DISK_NS 400000000 /* two turns without an index hole */
#define TRACK_MAX 83
#define ST2_CONTROL_MARK 0x40

#define CMD_MT 0x80
#define CMD_SK 0x20
#define CONFIG_EIS 0x40 /* "Configure": implied seeks */

/* ---- transfers ---- */

void fdc_finish(Fdc *s, uint8_t st0, uint8_t st1, uint8_t st2)
{
    const uint8_t result[7] = { (uint8_t)(st0 | s->head << 2 | s->unit), st1, st2, s->c, s->h, s->r, s->n };

    trace_fdc_result(result[0], st1, st2);
    s->work = WORK_NONE;
    fdc_result(s, result, sizeof(result), true);
}

/* next_id - "Table: result phase": the sector ID behind this one. False: that was the last. */
static bool next_id(Fdc *s)
{
    if (s->r != s->eot) {
        s->r++;
        return true;
    }
    s->r = 1;
    if (s->multi_track) {
        s->head ^= 1;
        s->h ^= 1;
        if (s->head == 1) {
            return true;
        }
    }
    s->c++;
    return false;
}

/* find_sector - is the sector of that ID under the head? If not, the command ends. */
static bool find_sector(Fdc *s, const FloppyDrive *d)
{
    int track = floppy_logical_track(d);

    if (track < 0 || s->head >= d->format.heads) {
        fdc_finish(s, ST0_ABNORMAL, ST1_NO_ADDRESS_MARK, 0);
        return false;
    }
    if (s->c != track || s->h != s->head || s->r == 0 || s->r > d->format.sectors || s->n != 2) {
        fdc_finish(s, ST0_ABNORMAL, ST1_NO_DATA, s->c != track ? ST2_WRONG_TRACK : 0);
        return false;
    }
    return true;
}

static void start_sector(Fdc *s);

/* sector_done - go on with the next, unless that was all. */
static void sector_done(Fdc *s)
{
    bool more = next_id(s);

    if (s->deleted) {
        fdc_finish(s, 0, 0, ST2_CONTROL_MARK); /* it did not have the mark that was asked for */
    } else if (s->tc) {
        fdc_finish(s, 0, 0, 0);
    } else if (s->work == WORK_VERIFY && (s->left == 1 || (!more && s->left == 0))) {
        fdc_finish(s, 0, 0, 0);
    } else if (!more) {
        fdc_finish(s, ST0_ABNORMAL, ST1_END, 0);
    } else {
        s->left -= s->left > 0;
        start_sector(s);
    }
}

static void read_done(void *opaque, int ret, const uint8_t *data)
{
    Fdc *s = opaque;

    s->req = NULL;
    if (ret != 0) {
        fdc_finish(s, ST0_ABNORMAL, ST1_DATA_ERROR, ST2_DATA_ERROR);
    } else if (s->work == WORK_VERIFY) {
        sector_done(s);
    } else {
        memcpy(s->buf, data, FLOPPY_SECTOR);
        fdc_buffer(s, FLOPPY_SECTOR);
    }
}

static void start_sector(Fdc *s)
{
    const FloppyDrive *d = &s->drives[s->unit];

    if (!find_sector(s, d)) {
        return;
    }
    if (s->work == WORK_WRITE) {
        fdc_buffer(s, FLOPPY_SECTOR);
        return;
    }
    s->req = blk_read(d->blk, floppy_offset(d, s->c, s->head, s->r), FLOPPY_SECTOR, read_done, s);
}

static void write_done(void *opaque, int ret, const uint8_t *data)
{
    Fdc *s = opaque;

    s->req = NULL;
    if (ret != 0) {
        fdc_finish(s, ST0_ABNORMAL, ST1_DATA_ERROR, ST2_DATA_ERROR);
    } else if (s->work != WORK_FORMAT) {
        sector_done(s);
    } else if (--s->left == 0 || s->tc) {
        fdc_finish(s, 0, 0, 0);
    } else {
        fdc_buffer(s, 4);
    }
}

/* format_sector - "Format track": the buffer holds the ID that a sector gets. */
static void format_sector(Fdc *s)
{
    const FloppyDrive *d = &s->drives[s->unit];

    s->c = s->buf[0];
    s->h = s->buf[1];
    s->r = s->buf[2];
    s->n = s->buf[3];
    if (find_sector(s, d)) { /* an image holds no other IDs than its own */
        memset(s->buf, s->filler, FLOPPY_SECTOR);
        s->req = blk_write(d->blk, floppy_offset(d, s->c, s->head, s->r), s->buf, FLOPPY_SECTOR,
                           write_done, s);
    }
}

void fdc_buffer_done(Fdc *s)
{
    const FloppyDrive *d = &s->drives[s->unit];

    if (s->work == WORK_READ) {
        sector_done(s);
    } else if (s->work == WORK_FORMAT) {
        if (s->buf_pos < s->buf_len) {
            fdc_finish(s, 0, 0, 0); /* terminal count in the middle of an ID */
        } else {
            format_sector(s);
        }
    } else {
        memset(s->buf + s->buf_pos, 0, FLOPPY_SECTOR - s->buf_pos); /* "padded with zeroes" */
        s->req = blk_write(d->blk, floppy_offset(d, s->c, s->head, s->r), s->buf, FLOPPY_SECTOR,
                           write_done, s);
    }
}

/* begin - what all transfers check first. False: the command has ended, or will. */
static bool begin(Fdc *s, FdcWork work)
{
    FloppyDrive *d;

    if (s->seeking != 0) {
        fdc_seek_end(s);
    }
    s->work = (uint8_t)work;
    s->unit = s->fifo[1] & 3;
    s->head = s->fifo[1] >> 2 & 1;
    s->multi_track = s->fifo[0] & CMD_MT;
    s->tc = s->deleted = false;
    s->left = 0;
    d = fdc_drive(s, s->unit);
    if (d == NULL || d->format.tracks == 0 || !blk_present(d->blk)) {
        fdc_after(s, PENDING_NO_DISK, NO_DISK_NS);
        return false;
    }
    if (!floppy_rate_ok(d, s->rate)) {
        fdc_finish(s, ST0_ABNORMAL, ST1_NO_ADDRESS_MARK, 0);
        return false;
    }
    if ((work == WORK_WRITE || work == WORK_FORMAT) && blk_read_only(d->blk)) {
        fdc_finish(s, ST0_ABNORMAL, ST1_WRITE_PROTECT, 0);
        return false;
    }
    return true;
}

static void transfer(Fdc *s, FdcWork work)
{
    s->c = s->fifo[2];
    s->h = s->fifo[3];
    s->r = s->fifo[4];
    s->n = s->fifo[5];
    s->eot = s->fifo[6];
    if (!begin(s, work)) {
        return;
    }
    if ((s->config & CONFIG_EIS) && s->c <= TRACK_MAX) {
        s->drives[s->unit].track = s->c;
        s->pcn[s->unit] = s->c;
        s->drives[s->unit].changed = false;
    }
    if (work == WORK_VERIFY && (s->fifo[1] & 0x80)) { /* EC: the last byte counts the sectors */
        s->left = s->fifo[8];
    }
    start_sector(s);
}

static void cmd_read(Fdc *s)
{
    transfer(s, WORK_READ);
}

static void cmd_write(Fdc *s)
{
    transfer(s, WORK_WRITE);
}

static void cmd_verify(Fdc *s)
{
    transfer(s, WORK_VERIFY);
}

static void cmd_read_deleted(Fdc *s)
{
    bool skip = s->fifo[0] & CMD_SK;

    transfer(s, WORK_READ);
    if (s->work == WORK_READ) {
        s->deleted = true;
        if (skip) { /* all are passed over */
            blk_cancel(s->req);
            s->req = NULL;
            fdc_finish(s, ST0_ABNORMAL, ST1_NO_DATA, ST2_CONTROL_MARK);
        }
    }
}

/* "Read track": from the index hole on, whatever the IDs are. */
static void cmd_read_track(Fdc *s)
{
    s->fifo[0] &= (uint8_t)~CMD_MT;
    s->fifo[4] = 1;
    transfer(s, WORK_READ);
}

static void cmd_format(Fdc *s)
{
    s->c = s->h = s->r = 0;
    s->n = s->fifo[2];
    if (!begin(s, WORK_FORMAT)) {
        return;
    }
    s->left = s->fifo[3];
    s->filler = s->fifo[5];
    if (s->left == 0) {
        fdc_finish(s, 0, 0, 0);
    } else {
        fdc_buffer(s, 4);
    }
}

static void cmd_read_id(Fdc *s)
{
    int track;

    s->c = s->h = s->r = s->n = 0;
    if (!begin(s, WORK_READ_ID)) {
        return;
    }
    track = floppy_logical_track(&s->drives[s->unit]);
    if (track < 0 || s->head >= s->drives[s->unit].format.heads) {
        fdc_finish(s, ST0_ABNORMAL, ST1_NO_ADDRESS_MARK, 0);
        return;
    }
    s->c = (uint8_t)track;
    s->h = s->head;
    s->r = 1;
    s->n = 2;
    fdc_finish(s, 0, 0, 0);
}

/* ---- moving the head ---- */

static void start_seek(Fdc *s, unsigned unit, unsigned target)
{
    unsigned from;

    if (s->seeking != 0) {
        fdc_seek_end(s); /* the other drive's: ours arrive one after the other */
    }
    from = s->pcn[unit];
    s->seeking = (uint8_t)BIT(unit);
    s->seek_target = (uint8_t)MIN(target, 255u);
    fdc_result(s, NULL, 0, false);
    fdc_after(s, PENDING_SEEK, SEEK_NS + STEP_NS * (int64_t)(from > target ? from - target : target - from));
}

void fdc_seek_end(Fdc *s)
{
    unsigned unit = (unsigned)__builtin_ctz(s->seeking);
    FloppyDrive *d = fdc_drive(s, unit);

    timer_cancel(&s->timer);
    s->timer_for = PENDING_NONE;
    s->seeking = 0;
    s->seek_done |= (uint8_t)BIT(unit);
    s->pcn[unit] = s->seek_target;
    if (d != NULL) {
        d->track = MIN(s->seek_target, TRACK_MAX);
        d->changed = d->changed && d->format.tracks == 0; /* steps with a disk in reset the line */
    } else if (s->seek_target == 0) { /* "Recalibrate": no TRK0 from a drive that is not there */
        s->seek_st0[unit] |= ST0_ABNORMAL | ST0_EQUIPMENT;
    }
    fdc_raise(s);
}

static void seek_to(Fdc *s, unsigned target)
{
    unsigned unit = s->fifo[1] & 3;

    s->seek_st0[unit] = (uint8_t)(ST0_SEEK_END | (s->fifo[1] & 7));
    start_seek(s, unit, target);
}

static void cmd_recalibrate(Fdc *s)
{
    s->fifo[1] &= 3;
    seek_to(s, 0);
}

static void cmd_seek(Fdc *s)
{
    seek_to(s, s->fifo[2]);
}

static void cmd_relative_seek(Fdc *s)
{
    unsigned from = s->pcn[s->fifo[1] & 3], by = s->fifo[2];

    seek_to(s, s->fifo[0] & 0x40 ? from + by : from > by ? from - by : 0);
}

/* ---- control ---- */

static void invalid(Fdc *s)
{
    fdc_result(s, (const uint8_t[]){ ST0_INVALID }, 1, false);
}

static void cmd_sense_interrupt(Fdc *s)
{
    unsigned unit;
    uint8_t result[2];

    fdc_lower(s);
    if (s->polls > 0) {
        unit = FDC_UNITS - s->polls--;
        result[0] = (uint8_t)(ST0_POLLED | unit);
    } else if (s->seek_done != 0) {
        unit = (unsigned)__builtin_ctz(s->seek_done);
        s->seek_done &= (uint8_t)(s->seek_done - 1);
        result[0] = s->seek_st0[unit];
    } else {
        invalid(s);
        return;
    }
    result[1] = s->pcn[unit];
    fdc_result(s, result, 2, false);
    if (s->polls == 0 && s->seek_done != 0) {
        fdc_raise(s);
    }
}

static void cmd_sense_drive(Fdc *s)
{
    const FloppyDrive *d = fdc_drive(s, s->fifo[1] & 3);
    uint8_t st3 = 0x28 | (s->fifo[1] & 7);

    if (d != NULL) {
        st3 |= d->track == 0 ? 0x10 : 0;
        st3 |= d->blk != NULL && d->format.tracks != 0 && blk_read_only(d->blk) ? 0x40 : 0;
    }
    fdc_result(s, &st3, 1, false);
}

static void cmd_specify(Fdc *s)
{
    s->srt_hut = s->fifo[1];
    s->hlt = s->fifo[2] & 0xfe;
    s->nd = s->fifo[2] & 1;
    fdc_result(s, NULL, 0, false);
}

static void cmd_configure(Fdc *s)
{
    s->config = s->fifo[2];
    s->precomp = s->fifo[3];
    fdc_result(s, NULL, 0, false);
}

static void cmd_perpendicular(Fdc *s)
{
    /* OW permits D0 to D3 to be written */
    s->perpendicular = s->fifo[1] & 0x80 ? s->fifo[1] & 0x3f
                                         : (uint8_t)((s->perpendicular & 0x3c) | (s->fifo[1] & 3));
    fdc_result(s, NULL, 0, false);
}

static void cmd_lock(Fdc *s)
{
    s->lock = (s->fifo[0] & 0x80) != 0;
    fdc_result(s, (const uint8_t[]){ (uint8_t)(s->lock << 4) }, 1, false);
}

static void cmd_version(Fdc *s)
{
    fdc_result(s, (const uint8_t[]){ 0x90 }, 1, false); /* "enhanced controller" */
}

static void cmd_dumpreg(Fdc *s)
{
    const uint8_t result[10] = {
        s->pcn[0], s->pcn[1], s->pcn[2], s->pcn[3], s->srt_hut, (uint8_t)(s->hlt | s->nd), s->eot,
        (uint8_t)(s->lock << 7 | s->perpendicular), s->config, s->precomp,
    };

    fdc_result(s, result, sizeof(result), false);
}

/* ---- table ---- */

typedef struct FdcCommand {
    uint8_t mask, value; /* of the first byte */
    uint8_t len;
    void (*run)(Fdc *s);
} FdcCommand;

static const FdcCommand fdc_commands[] = {
    { 0x1f, 0x06, 9, cmd_read },          { 0x1f, 0x0c, 9, cmd_read_deleted },
    { 0x3f, 0x05, 9, cmd_write },         { 0x3f, 0x09, 9, cmd_write },
    { 0x9f, 0x02, 9, cmd_read_track },    { 0x1f, 0x16, 9, cmd_verify },
    { 0xbf, 0x0d, 6, cmd_format },        { 0xbf, 0x0a, 2, cmd_read_id },
    { 0xff, 0x07, 2, cmd_recalibrate },   { 0xff, 0x08, 1, cmd_sense_interrupt },
    { 0xff, 0x03, 3, cmd_specify },       { 0xff, 0x04, 2, cmd_sense_drive },
    { 0xff, 0x0f, 3, cmd_seek },          { 0xbf, 0x8f, 3, cmd_relative_seek },
    { 0xff, 0x13, 4, cmd_configure },     { 0xff, 0x12, 2, cmd_perpendicular },
    { 0x7f, 0x14, 1, cmd_lock },          { 0xff, 0x10, 1, cmd_version },
    { 0xff, 0x0e, 1, cmd_dumpreg },
};

static const FdcCommand *find_command(uint8_t first)
{
    for (unsigned n = 0; n < ARRAY_SIZE(fdc_commands); n++) {
        if ((first & fdc_commands[n].mask) == fdc_commands[n].value) {
            return &fdc_commands[n];
        }
    }
    return NULL;
}

unsigned fdc_command_len(uint8_t first)
{
    const FdcCommand *c = find_command(first);

    return c != NULL ? c->len : 1;
}

void fdc_execute(Fdc *s)
{
    const FdcCommand *c = find_command(s->fifo[0]);

    if (c == NULL) {
        invalid(s);
    } else {
        c->run(s);
    }
}
