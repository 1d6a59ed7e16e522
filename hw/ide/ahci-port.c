/*
 * A port of the AHCI controller: command slots, FISes, and the drive's data phases carried out against the table of
 * physical regions.
 *
 * Source: Serial ATA AHCI 1.3.1, section 4 "System Memory Structures", 5 "Data Transfer Operation", 6 "Error Reporting
 * and Recovery"; Serial ATA 3.1, 10.5 for the FISes. The drive (ata.c, atapi.c, transfer.c) is the one that hangs on an
 * IDE cable too: a port writes its registers from the FIS, moves its DRQ blocks and its DMA, and turns its interrupts
 * into FISes.
 */
#include "hw/ide/ahci.h"

#include <string.h>
#include "base/mem.h"
#include "hw/ide/trace.h"

enum { SLOT_SIZE = 32, CFIS_LEN = 20, ACMD_AT = 0x40, ACMD_LEN = 16, PRDT_AT = 0x80, PRD_SIZE = 16 };
enum { FIS_PIO_AT = 0x20, FIS_REG_AT = 0x40, CMD_PACKET = 0xa0 };
#define HDR_CLEAR_BUSY BIT(10)
#define PRD_COUNT 0x3fffffu
#define PRD_INTERRUPT 0x80000000u

static IdeDrive *drive_of(AhciPort *p)
{
    return p->bus.drive[0];
}

/* ---- FISes to the host ---- */

void ahci_fis(AhciPort *p, unsigned at, const uint8_t *fis, unsigned len)
{
    if (p->cmd & PCMD_FRE) {
        dma_write(p->fb + at, fis, len); /* an area that is not in memory gets nothing */
    }
}

static void put_registers(const IdeDrive *d, uint8_t *fis)
{
    fis[2] = d->status;
    fis[3] = d->error;
    for (unsigned n = 0; n < 3; n++) {
        fis[4 + n] = d->now.lba[n];
        fis[8 + n] = d->hob.lba[n];
    }
    fis[7] = (uint8_t)((d->bus->device & 0xf0) | d->head);
    fis[12] = d->now.count;
    fis[13] = d->hob.count;
}

void ahci_answer(AhciPort *p, bool interrupt)
{
    const IdeDrive *d = drive_of(p);
    uint8_t fis[CFIS_LEN] = { 0x34, interrupt ? 0x40 : 0 };

    put_registers(d, fis);
    ahci_fis(p, FIS_REG_AT, fis, sizeof(fis));
    p->tfd = (uint32_t)d->error << 8 | d->status;
    if (interrupt) {
        ahci_raise(p, PIS_DHRS);
    }
}

/* pio_setup - in front of a DRQ block of @len bytes. */
static void pio_setup(AhciPort *p, uint32_t len, bool in, bool interrupt, uint8_t end_status)
{
    uint8_t fis[CFIS_LEN] = { 0x5f, (uint8_t)((in ? 0x20 : 0) | (interrupt ? 0x40 : 0)) };

    put_registers(drive_of(p), fis);
    fis[15] = end_status;
    st_le16(fis + 16, (uint16_t)len);
    ahci_fis(p, FIS_PIO_AT, fis, sizeof(fis));
}

/* first_fis - the signature, as a drive sends it after a reset. */
static void first_fis(AhciPort *p)
{
    const IdeDrive *d = drive_of(p);

    p->sig = (uint32_t)d->now.lba[2] << 24 | (uint32_t)d->now.lba[1] << 16 | (uint32_t)d->now.lba[0] << 8 | d->now.count;
    p->first_fis = !(p->cmd & PCMD_FRE);
    ahci_answer(p, true);
}

/* ---- memory ---- */

void ahci_fatal(AhciPort *p, uint32_t bits)
{
    p->halted = true;
    ahci_raise(p, bits);
}

uint32_t ahci_table_copy(AhciPort *p, AhciTable *t, uint8_t *buf, uint32_t len, bool to_memory)
{
    uint32_t done = 0, bits = 0;
    uint8_t prd[PRD_SIZE], count[4];

    while (done < len) {
        uint32_t size, n;
        uint64_t addr;

        if (t->entry >= t->regions) {
            bits |= PIS_OFS;
            break;
        }
        if (!dma_read(t->table + PRDT_AT + (uint64_t)PRD_SIZE * t->entry, prd, sizeof(prd))) {
            bits |= PIS_HBFS;
            break;
        }
        size = (ld_le32(prd + 12) & PRD_COUNT) + 1;
        addr = (ld_le64(prd) & ~1ull) + t->offset;
        n = size > t->offset ? MIN(size - t->offset, len - done) : 0;
        if (n > 0 && !(to_memory ? dma_write(addr, buf + done, n) : dma_read(addr, buf + done, n))) {
            bits |= PIS_HBFS;
            break;
        }
        done += n;
        t->offset += n;
        if (t->offset >= size) {
            bits |= ld_le32(prd + 12) & PRD_INTERRUPT ? PIS_DPS : 0;
            t->entry++;
            t->offset = 0;
        }
    }
    t->done += done;
    st_le32(count, t->done);
    dma_write(t->header + 4, count, sizeof(count));
    if (bits & (PIS_OFS | PIS_HBFS)) {
        ahci_fatal(p, bits);
    } else if (bits != 0) {
        ahci_raise(p, bits);
    }
    return done;
}

/* ---- the drive's side ---- */

static bool dma_ready(void *opaque, bool to_memory)
{
    AhciPort *p = opaque;

    return p->slot != AHCI_NO_SLOT && ahci_may_run(p);
}

static uint32_t dma_copy(void *opaque, uint8_t *buf, uint32_t len, bool to_memory)
{
    AhciPort *p = opaque;

    return ahci_table_copy(p, &p->t, buf, len, to_memory);
}

/* complete - the drive has ended its command. */
static void complete(AhciPort *p)
{
    IdeDrive *d = drive_of(p);
    uint8_t slot = p->slot;

    p->slot = AHCI_NO_SLOT;
    if (!p->pio_end || (d->status & ST_ERR)) {
        ahci_answer(p, true);
    } else {
        p->tfd = (uint32_t)d->error << 8 | d->status;
        ahci_raise(p, PIS_PSS);
    }
    p->pio_end = false;
    if (d->status & ST_ERR) {
        ahci_fatal(p, PIS_TFES); /* "the HBA stops": the slot's bit stays */
    } else {
        p->ci &= ~BIT(slot);
    }
}

/* move_block - a DRQ block, or a packet; false: the port halted. */
static bool move_block(AhciPort *p)
{
    IdeDrive *d = drive_of(p);
    uint8_t *buf, acmd[ACMD_LEN];
    uint32_t len = ide_block(d, &buf);
    bool in = d->phase == PH_PIO_IN;

    if (len == 0) {
        return false;
    }
    if (d->phase == PH_PACKET) {
        if (!dma_read(p->t.table + ACMD_AT, acmd, sizeof(acmd))) {
            ahci_fatal(p, PIS_HBFS);
            return false;
        }
        pio_setup(p, len, false, false, ST_BSY);
        memcpy(buf, acmd, MIN(len, (uint32_t)sizeof(acmd)));
    } else {
        p->pio_end = in && d->command != CMD_PACKET && len >= d->left;
        pio_setup(p, len, in, true, p->pio_end ? ST_DRDY | ST_DSC : ST_BSY);
        if (ahci_table_copy(p, &p->t, buf, len, in) < len) {
            return false;
        }
    }
    ide_block_moved(d);
    return true;
}

/* pump - do what the drive waits for until it waits for something else. */
static void pump(AhciPort *p)
{
    IdeDrive *d = drive_of(p);

    if (p->pumping) {
        p->again = true;
        return;
    }
    p->pumping = true;
    do {
        p->again = false;
        while (p->slot != AHCI_NO_SLOT && ahci_may_run(p) && !(d->status & ST_BSY)) {
            if (!(d->status & ST_DRQ)) {
                complete(p);
            } else if (!move_block(p)) {
                break; /* DMA goes by itself */
            }
        }
    } while (p->again);
    p->pumping = false;
}

static void drive_interrupt(void *opaque)
{
    AhciPort *p = opaque;

    drive_of(p)->irq = false; /* a FIS tells of it; there is no line */
    p->bus.line = false;
    pump(p);
    if (!p->pumping) {
        ahci_port_run(p);
    }
}

static void plugged(void *opaque)
{
    ahci_port_reset(opaque);
}

const IdeDmaOps ahci_dma_ops = { .ready = dma_ready, .copy = dma_copy, .interrupt = drive_interrupt, .plugged = plugged };

/* ---- commands ---- */

/* set_registers - of the drive, from a register FIS. */
static void set_registers(AhciPort *p, const uint8_t *fis)
{
    IdeDrive *d = drive_of(p);

    d->now = (IdeTaskFile){ .feature = fis[3], .count = fis[12], .lba = { fis[4], fis[5], fis[6] } };
    d->hob = (IdeTaskFile){ .feature = fis[11], .count = fis[13], .lba = { fis[8], fis[9], fis[10] } };
    d->head = fis[7] & 15;
    p->bus.device = fis[7];
}

/* control - a FIS that is no command: the soft reset bit may have changed. */
static void control(AhciPort *p, unsigned slot, const uint8_t *fis, uint32_t flags)
{
    uint8_t was = p->bus.control;

    p->ci &= ~BIT(slot);
    p->bus.control = fis[15] & CTL_SRST;
    if ((was ^ fis[15]) & CTL_SRST) {
        ahci_queue_cancel(p);
        drive_of(p)->queue_failed = false;
        ide_soft_reset(&p->bus, p->bus.control & CTL_SRST);
        if (!(p->bus.control & CTL_SRST)) {
            first_fis(p);
            return;
        }
    }
    if (flags & HDR_CLEAR_BUSY) {
        p->tfd &= ~(uint32_t)(ST_BSY | ST_DRQ);
    }
}

/* fetch - the header of slot @n and the FIS that it points to; false: they are not in memory, or no FIS. */
static bool fetch(AhciPort *p, unsigned n, AhciTable *t, uint8_t *fis, uint32_t *flags)
{
    uint8_t h[SLOT_SIZE];

    *t = (AhciTable){ .header = p->clb + (uint64_t)SLOT_SIZE * n };
    if (!dma_read(t->header, h, sizeof(h))) {
        return false;
    }
    *flags = ld_le32(h);
    t->regions = *flags >> 16;
    t->table = ld_le64(h + 8) & ~127ull;
    return dma_read(t->table, fis, CFIS_LEN);
}

static void begin(AhciPort *p, unsigned slot)
{
    uint8_t fis[CFIS_LEN];
    uint32_t flags;
    AhciTable t;

    if (!fetch(p, slot, &t, fis, &flags)) {
        ahci_fatal(p, PIS_HBFS);
        return;
    }
    trace_ahci_command(p->name, slot, fis[2], flags);
    if (fis[0] != 0x27) { /* no drive takes another kind */
        ahci_fatal(p, PIS_HBFS);
    } else if (!(fis[1] & 0x80)) {
        control(p, slot, fis, flags);
    } else if (p->bus.control & CTL_SRST) {
        p->ci &= ~BIT(slot); /* a drive in reset does not hear it */
    } else if (ahci_is_queued(fis[2])) {
        ahci_queue(p, slot, &t, fis);
    } else {
        bool mixed = ahci_queue_busy(p);

        ahci_queue_cancel(p);
        set_registers(p, fis);
        p->slot = (uint8_t)slot;
        p->t = t;
        p->pio_end = false;
        p->tfd |= ST_BSY;
        p->pumping = true; /* not before the drive has begun */
        if (mixed) { /* "a non-queued command while queued ones are outstanding" is an error for all */
            ide_fail(drive_of(p), ER_ABRT);
        } else if (fis[2] == 0x90) {
            ide_diagnostic(&p->bus);
        } else {
            ide_begin(drive_of(p), fis[2]);
        }
        p->pumping = false;
        pump(p);
    }
}

void ahci_port_run(AhciPort *p)
{
    if (p->pumping || drive_of(p) == NULL) {
        return;
    }
    if (p->first_fis && (p->cmd & PCMD_FRE)) {
        first_fis(p);
    }
    if (p->slot != AHCI_NO_SLOT && ahci_may_run(p)) { /* the bus may have been kept from it until now */
        ide_dma_step(drive_of(p));
        pump(p);
    }
    for (unsigned looked = 0; looked < SATA_TAGS && p->ci != 0; looked++) {
        unsigned slot = p->next;

        if (!ahci_may_run(p) || p->slot != AHCI_NO_SLOT || (p->tfd & (ST_BSY | ST_DRQ))) {
            return;
        }
        p->next = (uint8_t)((slot + 1) % SATA_TAGS);
        if ((p->ci & BIT(slot)) && p->queued[slot] == NULL) {
            begin(p, slot);
        }
    }
}

/* ---- resets ---- */

void ahci_port_stop(AhciPort *p)
{
    ahci_queue_cancel(p);
    if (p->slot != AHCI_NO_SLOT && drive_of(p) != NULL) {
        ide_forget(drive_of(p)); /* what TFD says stays, until CLO or a reset */
    }
    p->slot = AHCI_NO_SLOT;
    p->next = 0;
    p->ci = p->sact = 0;
    p->halted = p->pio_end = false;
}

void ahci_port_reset(AhciPort *p)
{
    IdeDrive *d = drive_of(p);

    trace_ahci_reset(p->name);
    ahci_queue_cancel(p);
    p->slot = AHCI_NO_SLOT;
    p->pio_end = false;
    p->bus.control = p->bus.device = 0;
    p->first_fis = false;
    p->sig = 0xffffffff;
    p->tfd = 0x7f;
    if (d != NULL) {
        ide_forget(d);
        ide_signature(d);
        d->queue_failed = false;
        p->serr |= BIT(26) | BIT(16); /* exchanged; the link's state changed */
        first_fis(p);
    }
    ahci_raise(p, 0);
}
