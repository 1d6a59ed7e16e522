/*
 * Intel 82077AA floppy disk controller in PC/AT mode: registers, phases, the data path. Its commands are in
 * fdc-cmd.c.
 *
 * Source: Intel 82077AA data sheet (headings quoted). Not modelled: scan commands, tape drives, sectors of other
 * sizes than 512 bytes (images have none), the rotation of the disk: a sector is there when the image's bytes are.
 *
 *   command bytes -> fdc_execute() -> [block request <-> sector buffer <-> DMA or FIFO] -> result bytes
 */
#include "hw/block/fdc-internal.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/log.h"
#include "bus/lock.h"
#include "bus/state.h"
#include "hw/block/trace.h"
#include "hw/board.h"
#include "hw/boot-order.h"
#include "hw/dma/i8237.h"

#define RESET_NS 20000

/* ---- interrupt, result, buffer ---- */

static void fdc_update_irq(Fdc *s)
{
    irq_set(&s->irq, s->irq_pending && (s->dor & DOR_DMA_GATE)); /* "DMAGATE#" gates INT as well */
}

void fdc_raise(Fdc *s)
{
    s->irq_pending = true;
    fdc_update_irq(s);
}

void fdc_lower(Fdc *s)
{
    s->irq_pending = false;
    fdc_update_irq(s);
}

void fdc_result(Fdc *s, const uint8_t *bytes, unsigned len, bool irq)
{
    if (len > 0) { /* a command without a result phase has no bytes */
        memcpy(s->fifo, bytes, len);
    }
    s->fifo_len = (uint8_t)len;
    s->fifo_pos = 0;
    s->phase = len > 0 ? FDC_RESULT : FDC_IDLE;
    if (irq) {
        fdc_raise(s);
    }
}

static bool reading(const Fdc *s)
{
    return s->work == WORK_READ;
}

/* fdc_dma_ready - the DMA controller can take or give bytes. */
static void fdc_dma_ready(void *opaque)
{
    Fdc *s = opaque;
    uint32_t left = (uint32_t)(s->buf_len - s->buf_pos);
    uint8_t *p = s->buf + s->buf_pos;

    if (!s->buf_ready || s->nd) {
        return;
    }
    s->buf_pos = (uint16_t)(s->buf_pos + (reading(s) ? isa_dma_put(s->dma, s->dma_channel, p, left, &s->tc)
                                                     : isa_dma_get(s->dma, s->dma_channel, p, left, &s->tc)));
    if (s->tc || s->buf_pos == s->buf_len) {
        s->buf_ready = false;
        isa_dma_request(s->dma, s->dma_channel, false);
        fdc_buffer_done(s);
    }
}

void fdc_buffer(Fdc *s, unsigned len)
{
    s->buf_len = (uint16_t)len;
    s->buf_pos = 0;
    s->buf_ready = true;
    if (s->nd) {
        fdc_raise(s); /* "Non-DMA transfers": INT and RQM ask for the bytes */
    } else if (s->dma != NULL && (s->dor & DOR_DMA_GATE)) {
        isa_dma_request(s->dma, s->dma_channel, true);
    }
}

static void fdc_cancel(Fdc *s)
{
    blk_cancel(s->req);
    s->req = NULL;
    s->buf_ready = false;
    s->work = WORK_NONE;
    if (s->dma != NULL) {
        isa_dma_request(s->dma, s->dma_channel, false);
    }
    timer_cancel(&s->timer);
    s->timer_for = PENDING_NONE;
    s->seeking = 0;
}

/* ---- time ---- */

void fdc_after(Fdc *s, FdcPending what, int64_t ns)
{
    s->timer_for = (uint8_t)what;
    timer_arm(&s->timer, clock_now(CLK_VIRTUAL) + ns);
}

static void fdc_timer(void *opaque)
{
    Fdc *s = opaque;
    uint8_t what = s->timer_for;

    s->timer_for = PENDING_NONE;
    if (what == PENDING_RESET) {
        s->phase = FDC_IDLE;
        if (!(s->config & 0x10)) { /* "Drive polling": all four report that they have become ready */
            s->polls = FDC_UNITS;
            fdc_raise(s);
        }
    } else if (what == PENDING_SEEK) {
        fdc_seek_end(s);
    } else if (what == PENDING_NO_DISK) {
        fdc_finish(s, ST0_ABNORMAL, ST1_NO_ADDRESS_MARK, 0);
    }
}

/* ---- registers ---- */

/* fdc_soft_reset - "RESET": what it leaves depends on the LOCK command. */
static void fdc_soft_reset(Fdc *s)
{
    fdc_cancel(s);
    s->phase = FDC_IDLE;
    s->fifo_len = s->fifo_pos = 0;
    s->polls = s->seek_done = 0;
    if (!s->lock) {
        s->config = 0x20; /* no FIFO, polling, threshold 1, no implied seek */
        s->precomp = 0;
    }
    s->perpendicular &= 0x3c; /* "Perpendicular mode": GAP and WGATE are cleared, D0 to D3 stay */
    memset(s->pcn, 0, sizeof(s->pcn));
    fdc_lower(s);
}

static void fdc_write_dor(Fdc *s, uint8_t val)
{
    uint8_t was = s->dor;

    s->dor = val;
    if ((was & DOR_RESET) && !(val & DOR_RESET)) {
        fdc_soft_reset(s);
    } else if (!(was & DOR_RESET) && (val & DOR_RESET)) {
        fdc_after(s, PENDING_RESET, RESET_NS);
    }
    fdc_update_irq(s);
    if (s->buf_ready && !s->nd && s->dma != NULL && !(was & DOR_DMA_GATE) && (val & DOR_DMA_GATE)) {
        isa_dma_request(s->dma, s->dma_channel, true);
    }
}

static uint8_t fdc_msr(const Fdc *s)
{
    uint8_t msr = s->seeking;

    if (!(s->dor & DOR_RESET) || s->timer_for == PENDING_RESET) {
        return 0;
    }
    switch (s->phase) {
    case FDC_IDLE: return msr | MSR_RQM;
    case FDC_COMMAND: return msr | MSR_RQM | MSR_BUSY;
    case FDC_RESULT: return msr | MSR_RQM | MSR_DIO | MSR_BUSY;
    default:
        msr |= MSR_BUSY;
        if (s->nd && s->buf_ready) {
            msr |= MSR_RQM | MSR_NON_DMA | (reading(s) ? MSR_DIO : 0);
        }
        return msr;
    }
}

static uint8_t fdc_read_fifo(Fdc *s)
{
    uint8_t val;

    if (s->phase == FDC_EXECUTE && s->nd && s->buf_ready && reading(s)) {
        val = s->buf[s->buf_pos++];
        fdc_lower(s);
        if (s->buf_pos == s->buf_len) {
            s->buf_ready = false;
            fdc_buffer_done(s);
        }
        return val;
    }
    if (s->phase != FDC_RESULT) {
        return 0xff;
    }
    fdc_lower(s); /* "the first byte read of the result phase" clears INT */
    val = s->fifo[s->fifo_pos++];
    if (s->fifo_pos == s->fifo_len) {
        s->phase = FDC_IDLE;
    }
    return val;
}

static void fdc_write_fifo(Fdc *s, uint8_t val)
{
    if (s->phase == FDC_EXECUTE && s->nd && s->buf_ready && !reading(s)) {
        s->buf[s->buf_pos++] = val;
        fdc_lower(s);
        if (s->buf_pos == s->buf_len) {
            s->buf_ready = false;
            fdc_buffer_done(s);
        }
        return;
    }
    if (s->phase != FDC_IDLE && s->phase != FDC_COMMAND) {
        log_guest("fdc: byte 0x%02x written in the %s phase", val,
                  s->phase == FDC_EXECUTE ? "execution" : "result");
        return;
    }
    if (s->phase == FDC_IDLE) {
        s->fifo_len = (uint8_t)fdc_command_len(val);
        s->fifo_pos = 0;
        s->phase = FDC_COMMAND;
    }
    s->fifo[s->fifo_pos++] = val;
    if (s->fifo_pos == s->fifo_len) {
        s->phase = FDC_EXECUTE;
        trace_fdc_command(s->fifo[0], s->fifo[1], s->fifo[2], s->fifo[3]);
        fdc_execute(s);
    }
}

/* fdc_changed - DSKCHG of the selected drive; no drive answers with the line's rest level. */
static bool fdc_changed(Fdc *s)
{
    FloppyDrive *d = fdc_drive(s, s->dor & DOR_DRIVE);

    return d != NULL && d->changed;
}

static uint64_t fdc_read(void *opaque, uint64_t offset, unsigned size)
{
    Fdc *s = opaque;

    switch (offset) {
    case 2: return s->dor;
    case 3: return s->tdr;
    case 4: return fdc_msr(s);
    case 5: return s->dor & DOR_RESET ? fdc_read_fifo(s) : 0xff;
    default: return 0xff; /* status registers A and B are of the PS/2 modes */
    }
}

static void fdc_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Fdc *s = opaque;

    trace_fdc_write((unsigned)offset, (uint8_t)val);
    switch (offset) {
    case 2: fdc_write_dor(s, (uint8_t)val); break;
    case 3: s->tdr = val & 3; break;
    case 4: /* "Data rate select register": bit 7 resets and clears itself */
        s->rate = val & 3;
        s->dsr = val & 0x7f;
        if ((val & 0x80) && (s->dor & DOR_RESET)) {
            fdc_soft_reset(s);
            fdc_after(s, PENDING_RESET, RESET_NS);
        }
        break;
    case 5:
        if ((s->dor & DOR_RESET) && s->timer_for != PENDING_RESET) {
            fdc_write_fifo(s, (uint8_t)val);
        }
        break;
    default: break;
    }
}

/* Port base+7: "Digital input register", "Configuration control register". */
static uint64_t fdc_read_dir(void *opaque, uint64_t offset, unsigned size)
{
    return fdc_changed(opaque) ? 0x80 : 0;
}

static void fdc_write_ccr(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    ((Fdc *)opaque)->rate = val & 3;
}

static const IoOps fdc_ops = { .read = fdc_read, .write = fdc_write, .max_size = 1 };
static const IoOps fdc_dir_ops = { .read = fdc_read_dir, .write = fdc_write_ccr, .max_size = 1 };

/* ---- drives ---- */

static void fdc_medium_a(void *opaque)
{
    floppy_medium(&((Fdc *)opaque)->drives[0]);
}

static void fdc_medium_b(void *opaque)
{
    floppy_medium(&((Fdc *)opaque)->drives[1]);
}

static const BlockDevOps fdc_drive_ops[FDC_DRIVES] = {
    { .medium_changed = fdc_medium_a },
    { .medium_changed = fdc_medium_b },
};

void fdc_set_drive(Device *dev, unsigned n, struct BlockBackend *blk)
{
    Fdc *s = container_of(dev, Fdc, dev);

    if (blk != NULL) { /* else a -global may have chosen one */
        s->drives[n].blk = blk;
    }
}

FloppyType fdc_drive_type(Device *dev, unsigned n)
{
    return container_of(dev, Fdc, dev)->drives[n].type;
}

static bool fdc_make_drive(Fdc *s, unsigned n, Error **errp)
{
    FloppyDrive *d = &s->drives[n];
    FloppyType type;
    char path[64];

    if (!floppy_type_parse(s->type_text[n], &type)) {
        error_set(errp, "%s: fdtype%c '%s' is none of 120, 144, 288, 360, 720, auto, none", s->dev.id,
                  'A' + n, s->type_text[n]);
        return false;
    }
    if (d->blk == NULL) {
        d->type = type == FLOPPY_AUTO ? FLOPPY_NONE : type;
        return true;
    }
    if (!blk_attach(d->blk, s->dev.id, &fdc_drive_ops[n], s, errp)) {
        d->blk = NULL;
        return false;
    }
    floppy_medium(d);
    d->type = type != FLOPPY_AUTO ? type : d->format.tracks != 0 ? d->format.type : FLOPPY_288;
    snprintf(path, sizeof(path), "/pci@i0cf8/isa@1/fdc@%04x/floppy@%u", s->io_base, n);
    return boot_order_add(&s->dev, (int32_t)s->boot_index[n], path, errp); /* BOOT_NONE is -1 */
}

FloppyDrive *fdc_drive(Fdc *s, unsigned unit)
{
    return unit < FDC_DRIVES && s->drives[unit].type != FLOPPY_NONE ? &s->drives[unit] : NULL;
}

/* ---- device ---- */

static void fdc_drop_drives(Fdc *s)
{
    boot_order_remove(&s->dev);
    for (unsigned n = 0; n < FDC_DRIVES; n++) {
        if (s->drives[n].blk != NULL) {
            blk_detach(s->drives[n].blk);
        }
    }
}

static bool fdc_realize(Device *dev, Error **errp)
{
    Fdc *s = container_of(dev, Fdc, dev);
    Board *board = dev->board;

    if (s->irq_number > 15 || s->io_base > 0xfff0 || s->dma_channel > 3) {
        error_set(errp, "irq %u, iobase 0x%x, dma %u: not on an ISA bus", s->irq_number, s->io_base,
                  s->dma_channel);
        return false;
    }
    s->irq = board->isa_irq[s->irq_number];
    s->dma = board->isa_dma;
    timer_init(&s->timer, CLK_VIRTUAL, fdc_timer, s, &machine_lock_guard);
    io_region_init(&s->io, &fdc_ops, s, "fdc", 6);
    io_region_init(&s->io_dir, &fdc_dir_ops, s, "fdc", 1); /* base+6 is the disk controller's */
    if (!port_map(&s->io, (uint16_t)s->io_base, errp)) {
        return false;
    }
    if (!port_map(&s->io_dir, (uint16_t)(s->io_base + 7), errp)) {
        goto unmap;
    }
    for (unsigned n = 0; n < FDC_DRIVES; n++) {
        if (!fdc_make_drive(s, n, errp)) {
            goto drop;
        }
    }
    if (s->dma != NULL) {
        isa_dma_connect(s->dma, s->dma_channel, fdc_dma_ready, s);
    }
    return true;
drop:
    fdc_drop_drives(s);
    port_unmap(&s->io_dir);
unmap:
    port_unmap(&s->io);
    return false;
}

static void fdc_unrealize(Device *dev)
{
    Fdc *s = container_of(dev, Fdc, dev);

    fdc_cancel(s);
    if (s->dma != NULL) {
        isa_dma_connect(s->dma, s->dma_channel, NULL, NULL);
    }
    fdc_drop_drives(s);
    port_unmap(&s->io_dir);
    port_unmap(&s->io);
}

static void fdc_reset(Device *dev)
{
    Fdc *s = container_of(dev, Fdc, dev);

    s->lock = false;
    fdc_soft_reset(s);
    s->dor = DOR_RESET | DOR_DMA_GATE; /* as firmware leaves it */
    s->dsr = s->tdr = 0;
    s->rate = RATE_250K; /* "Data rate": the default after a hardware reset */
    s->srt_hut = s->hlt = s->nd = s->perpendicular = 0;
    for (unsigned n = 0; n < FDC_DRIVES; n++) {
        s->drives[n].track = 0;
        s->drives[n].changed = true;
    }
}

static bool fdc_post_load(Device *dev, Error **errp)
{
    Fdc *s = container_of(dev, Fdc, dev);

    if (s->buf_len > FLOPPY_SECTOR || s->buf_pos > s->buf_len || s->fifo_len > sizeof(s->fifo) ||
        s->fifo_pos > s->fifo_len || s->phase > FDC_RESULT || s->work > WORK_READ_ID ||
        (s->phase == FDC_COMMAND && s->fifo_len == 0) ||
        (s->phase == FDC_RESULT && s->fifo_pos == s->fifo_len)) {
        error_set(errp, "%s: registers that cannot be", dev->id);
        return false;
    }
    fdc_update_irq(s);
    return true;
}

static const Property fdc_props[] = {
    PROP_DRIVE("driveA", Fdc, drives[0].blk, "medium of drive A"),
    PROP_DRIVE("driveB", Fdc, drives[1].blk, "medium of drive B"),
    PROP_U32("iobase", Fdc, io_base, 0x3f0, "first of eight ports"),
    PROP_U32("irq", Fdc, irq_number, 6, "ISA interrupt"),
    PROP_U32("dma", Fdc, dma_channel, 2, "DMA channel"),
    PROP_STR("fdtypeA", Fdc, type_text[0], "auto", "kind of drive A: 120, 144, 288, 360, 720, auto, none"),
    PROP_STR("fdtypeB", Fdc, type_text[1], "auto", "kind of drive B"),
    PROP_U32("bootindexA", Fdc, boot_index[0], BOOT_NONE, "place of drive A in the boot order"),
    PROP_U32("bootindexB", Fdc, boot_index[1], BOOT_NONE, "place of drive B in the boot order"),
    PROP_END,
};

static const StateField drive_fields[] = {
    STATE_U8(FloppyDrive, track),
    STATE_BOOL(FloppyDrive, changed),
    STATE_END,
};
static const StateField fdc_fields[] = {
    STATE_U8(Fdc, dor), STATE_U8(Fdc, dsr), STATE_U8(Fdc, tdr), STATE_U8(Fdc, rate),
    STATE_U8(Fdc, phase), STATE_BYTES(Fdc, fifo), STATE_U8(Fdc, fifo_len), STATE_U8(Fdc, fifo_pos),
    STATE_U8(Fdc, config), STATE_U8(Fdc, precomp), STATE_U8(Fdc, srt_hut), STATE_U8(Fdc, hlt),
    STATE_U8(Fdc, nd), STATE_U8(Fdc, perpendicular), STATE_BOOL(Fdc, lock), STATE_BYTES(Fdc, pcn), STATE_BYTES(Fdc, seek_st0),
    STATE_U8(Fdc, seek_done), STATE_U8(Fdc, seeking), STATE_U8(Fdc, seek_target),
    STATE_U8(Fdc, polls), STATE_BOOL(Fdc, irq_pending), STATE_ARRAY(Fdc, drives, drive_fields),
    STATE_U8(Fdc, work), STATE_U8(Fdc, unit), STATE_U8(Fdc, head), STATE_U8(Fdc, multi_track),
    STATE_U8(Fdc, c), STATE_U8(Fdc, h), STATE_U8(Fdc, r), STATE_U8(Fdc, n), STATE_U8(Fdc, eot),
    STATE_U8(Fdc, left), STATE_U8(Fdc, filler), STATE_BOOL(Fdc, deleted),
    STATE_BOOL(Fdc, tc), STATE_BOOL(Fdc, buf_ready),
    STATE_U16(Fdc, buf_pos), STATE_U16(Fdc, buf_len), STATE_BYTES(Fdc, buf),
    STATE_TIMER(Fdc, timer), STATE_U8(Fdc, timer_for),
    STATE_END,
};

const DeviceClass fdc_class = {
    .name = "isa-fdc",
    .desc = "82077AA floppy disk controller",
    .size = sizeof(Fdc),
    .bus = BUS_ISA,
    .props = fdc_props,
    .realize = fdc_realize,
    .unrealize = fdc_unrealize,
    .reset = fdc_reset,
    .fields = fdc_fields,
    .post_load = fdc_post_load,
};
