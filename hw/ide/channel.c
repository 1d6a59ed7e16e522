/*
 * The registers of an IDE channel: who is selected, what both drives hear, the interrupt.
 *
 * Source: ATA/ATAPI-6, clause 7 (registers), 9.2 and 9.3 (resets). A channel with no drive, and a
 * place that is empty beside one that is not, read as 0.
 */
#include "hw/ide/internal.h"

#include "base/error.h"
#include "base/mem.h"
#include "hw/ide/trace.h"

static IdeDrive *selected(const IdeBus *bus)
{
    return bus->drive[bus->device & DEV_SELECT ? 1 : 0];
}

/* answering - whose registers are read: drive 0 answers for a missing drive 1, and the reverse. */
static IdeDrive *answering(const IdeBus *bus)
{
    IdeDrive *d = selected(bus);

    return d != NULL ? d : bus->drive[bus->device & DEV_SELECT ? 0 : 1];
}

/* ---- interrupt ---- */

/* ide_update_irq - INTRQ is driven by the selected drive, while nIEN is 0. */
void ide_update_irq(IdeBus *bus)
{
    const IdeDrive *d = selected(bus);
    bool level = d != NULL && d->irq && !(bus->control & CTL_NIEN);

    if (level == bus->line) {
        return;
    }
    bus->line = level;
    trace_ide_irq(bus->name, level);
    if (level && bus->dma != NULL) {
        bus->dma->interrupt(bus->dma_opaque);
    }
    irq_set(&bus->irq, level);
}

void ide_raise(IdeDrive *d)
{
    d->irq = true;
    ide_update_irq(d->bus);
}

/* ---- resets ---- */

void ide_signature(IdeDrive *d)
{
    /* 9.12, "Signature and persistence" */
    d->now = d->hob = (IdeTaskFile){ .count = 1, .lba = { 1, d->atapi ? 0x14 : 0,
                                                          d->atapi ? 0xeb : 0 } };
    d->head = 0;
    d->error = 1; /* diagnostic code: passed */
    d->status = d->atapi ? 0 : ST_DRDY | ST_DSC;
}

void ide_soft_reset(IdeBus *bus, bool begin)
{
    for (unsigned n = 0; n < 2; n++) {
        IdeDrive *d = bus->drive[n];

        if (d == NULL) {
            continue;
        }
        trace_ide_reset(d->dev.id);
        ide_forget(d);
        ide_signature(d);
        d->multiple = 0;
        d->standby = false;
        if (begin) {
            d->status = ST_BSY;
        }
    }
    bus->device = 0;
    ide_update_irq(bus);
}

/* EXECUTE DEVICE DIAGNOSTIC is for both, whoever is selected; drive 0 interrupts. */
void ide_diagnostic(IdeBus *bus)
{
    IdeDrive *d;

    for (unsigned n = 0; n < 2; n++) {
        if (bus->drive[n] != NULL) {
            ide_forget(bus->drive[n]);
            ide_signature(bus->drive[n]);
        }
    }
    bus->device = 0;
    d = answering(bus);
    if (d != NULL) {
        ide_raise(d);
    }
}

/* ---- command block ---- */

void ide_begin(IdeDrive *d, uint8_t command)
{
    ide_forget(d); /* of a command that was left in the middle of its data */
    d->irq = false;
    ide_update_irq(d->bus);
    d->command = command;
    d->status = ST_BSY;
    d->error = 0;
    trace_ide_command(d->dev.id, command, ide_lba28(d), d->now.count);
    if (d->atapi) {
        atapi_command(d);
    } else {
        ata_command(d);
    }
}

static void write_command(IdeBus *bus, uint8_t val)
{
    IdeDrive *d = selected(bus);

    if (val == 0x90 && answering(bus) != NULL && !(bus->control & CTL_SRST)) {
        ide_diagnostic(bus);
        return;
    }
    /* "if BSY is set ... the device ignores the write", but for DEVICE RESET */
    if (d == NULL || ((d->status & ST_BSY) && !(d->atapi && val == 0x08)) ||
        (bus->control & CTL_SRST)) {
        return;
    }
    ide_begin(d, val);
}

/* Both drives hear all registers; a drive that is busy does not listen. */
static void write_register(IdeDrive *d, unsigned offset, uint8_t val)
{
    if (d == NULL || (d->status & ST_BSY)) {
        return;
    }
    switch (offset) {
    case 1:
        d->hob.feature = d->now.feature;
        d->now.feature = val;
        break;
    case 2:
        d->hob.count = d->now.count;
        d->now.count = val;
        break;
    case 3 ... 5:
        d->hob.lba[offset - 3] = d->now.lba[offset - 3];
        d->now.lba[offset - 3] = val;
        break;
    default:
        d->head = val & 15;
        break;
    }
}

static void command_write8(IdeBus *bus, unsigned offset, uint8_t val)
{
    bus->control &= (uint8_t)~CTL_HOB;
    if (offset == 7) {
        write_command(bus, val);
        return;
    }
    if (bus->control & CTL_SRST) {
        return;
    }
    write_register(bus->drive[0], offset, val);
    write_register(bus->drive[1], offset, val);
    if (offset == 6) {
        bus->device = val;
        ide_update_irq(bus);
    }
}

static uint8_t read_status(IdeBus *bus)
{
    const IdeDrive *d = selected(bus);

    return d != NULL ? d->status : 0;
}

static uint8_t command_read8(IdeBus *bus, unsigned offset)
{
    IdeDrive *d = answering(bus);
    const IdeTaskFile *t;

    if (d == NULL) {
        return 0;
    }
    if (offset == 7) {
        uint8_t val = read_status(bus);

        if (selected(bus) != NULL) {
            d->irq = false;
            ide_update_irq(bus);
        }
        return val;
    }
    if (d->status & ST_BSY) {
        return d->status; /* 7.x: "while BSY is one ... the register contains Status" */
    }
    t = bus->control & CTL_HOB ? &d->hob : &d->now;
    switch (offset) {
    case 1:
        return d->error;
    case 2:
        return t->count;
    case 3 ... 5:
        return t->lba[offset - 3];
    default:
        return (uint8_t)((bus->device & 0xf0) | d->head | 0xa0);
    }
}

static uint64_t command_read(void *opaque, uint64_t offset, unsigned size)
{
    IdeBus *bus = opaque;
    IdeDrive *d = selected(bus);
    uint32_t val = 0;

    if (offset == 0) {
        return d != NULL ? ide_data_read(d, size) : 0;
    }
    for (unsigned n = 0; n < size && offset + n < 8; n++) {
        val |= (uint32_t)command_read8(bus, (unsigned)offset + n) << 8 * n;
    }
    return val;
}

static void command_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    IdeBus *bus = opaque;
    IdeDrive *d = selected(bus);

    if (offset == 0) {
        if (d != NULL) {
            ide_data_write(d, (uint32_t)val, size);
        }
        return;
    }
    for (unsigned n = 0; n < size && offset + n < 8; n++) {
        command_write8(bus, (unsigned)offset + n, (uint8_t)(val >> 8 * n));
    }
}

/* The data port takes 16 and 32 bits at once, the other registers a byte each. */
const IoOps ide_command_ops = { .read = command_read, .write = command_write, .max_size = 4,
                                .unaligned = true };

/* ---- control block ---- */

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    return read_status(opaque); /* Alternate Status: leaves the interrupt alone */
}

static void control_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    IdeBus *bus = opaque;
    uint8_t was = bus->control;

    bus->control = (uint8_t)val & (CTL_NIEN | CTL_SRST | CTL_HOB);
    if ((was ^ val) & CTL_SRST) {
        ide_soft_reset(bus, (val & CTL_SRST) != 0);
    }
    ide_update_irq(bus);
}

const IoOps ide_control_ops = { .read = control_read, .write = control_write, .max_size = 1 };

/* ---- the bus ---- */

void ide_bus_init(IdeBus *bus, const char *name, const char *path, IrqLine irq,
                  const IdeDmaOps *dma, void *opaque)
{
    bus->name = name;
    bus->path = path;
    bus->units = 2;
    bus->irq = irq;
    bus->dma = dma;
    bus->dma_opaque = opaque;
    device_bus_add(BUS_IDE, name, bus);
}

void ide_bus_fini(IdeBus *bus)
{
    device_bus_remove(bus);
}

void ide_bus_reset(IdeBus *bus)
{
    bus->device = 0;
    bus->control = 0;
    for (unsigned n = 0; n < 2; n++) {
        if (bus->drive[n] != NULL) {
            bus->drive[n]->irq = false;
        }
    }
    ide_update_irq(bus);
}

void ide_dma_kick(IdeBus *bus)
{
    if (selected(bus) != NULL) {
        ide_dma_step(selected(bus));
    }
}

/* "the bus master command is said to be aborted": the drive goes on waiting. */
void ide_dma_stop(IdeBus *bus)
{
    for (unsigned n = 0; n < 2; n++) {
        IdeDrive *d = bus->drive[n];

        if (d != NULL && d->req != NULL && (d->phase == PH_DMA_IN || d->phase == PH_DMA_OUT)) {
            blk_cancel(d->req);
            d->req = NULL;
        }
    }
}

const StateField ide_bus_fields[] = {
    STATE_U8(IdeBus, device), STATE_U8(IdeBus, control), STATE_BOOL(IdeBus, line), STATE_END,
};
