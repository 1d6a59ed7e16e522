/*
 * 82371SB (PIIX3), function 1: two IDE channels at the addresses that every PC has, and a bus
 * master for each.
 *
 * Sources: Intel 82371SB data sheet (290550), "IDE Configuration Registers" and "Bus Master IDE
 * Registers"; "Programming Interface for Bus Master IDE Controller", revision 1.0. A channel
 * answers while its IDETIM says so (bit 15) and the function's I/O space is on. Timings have no
 * effect.
 */
#include "hw/ide/piix3-ide.h"

#include "base/mem.h"
#include "hw/ide/ide.h"
#include "hw/ide/trace.h"
#include "hw/pci/pci.h"

#define IDETIM 0x40      /* two registers of 16 bits */
#define IDETIM_DECODE 0x80 /* of the high byte */
#define BM_START 0x01
#define BM_TO_MEMORY 0x08
#define BMS_ACTIVE 0x01
#define BMS_ERROR 0x02
#define BMS_INTERRUPT 0x04
#define BMS_CAPABLE 0x60
#define PRD_LAST 0x80000000u

typedef struct BusMaster {
    uint8_t command, status;
    uint32_t table; /* as the guest wrote it */
    uint32_t next;  /* entry to be fetched */
    uint32_t addr, left; /* of the entry in use */
    bool last;
} BusMaster;

typedef struct Piix3Ide Piix3Ide;

typedef struct Channel {
    Piix3Ide *ide;
    IdeBus bus;
    BusMaster bm;
    IoRegion command, control;
    bool mapped;
} Channel;

struct Piix3Ide {
    PciDevice pci; /* first member */
    Channel channel[2];
    IoRegion io; /* BAR 4 */
    struct PciBus *pci_bus; /* wiring */
    IrqLine irq[2];
};

/* ---- the bus master ---- */

static unsigned channel_number(const Channel *c)
{
    return (unsigned)(c - c->ide->channel);
}

static bool bm_ready(void *opaque, bool to_memory)
{
    Channel *c = opaque;

    return (c->bm.status & BMS_ACTIVE) && !!(c->bm.command & BM_TO_MEMORY) == to_memory &&
           (ld_le16(c->ide->pci.config + PCI_COMMAND) & PCI_CMD_MASTER);
}

static void bm_stopped(Channel *c, uint8_t why)
{
    c->bm.status = (uint8_t)((c->bm.status & ~BMS_ACTIVE) | why);
    trace_bmdma_stop(channel_number(c), c->bm.status);
}

/* bm_fetch - the next entry, copied once. "The table ... must not cross a 64K boundary": the
 * address wraps there. */
static bool bm_fetch(Channel *c)
{
    BusMaster *bm = &c->bm;
    uint8_t prd[8];

    if (!dma_read(bm->next, prd, sizeof(prd))) {
        return false;
    }
    bm->next = (bm->next & 0xffff0000u) | ((bm->next + 8) & 0xffff);
    bm->addr = ld_le32(prd) & ~1u;
    bm->left = ld_le32(prd + 4) & 0xfffe;
    if (bm->left == 0) {
        bm->left = 0x10000;
    }
    bm->last = ld_le32(prd + 4) & PRD_LAST;
    return true;
}

static uint32_t bm_copy(void *opaque, uint8_t *buf, uint32_t len, bool to_memory)
{
    Channel *c = opaque;
    BusMaster *bm = &c->bm;
    uint32_t done = 0;

    while (done < len) {
        uint32_t n;

        if (bm->left == 0 && bm->last) {
            break;
        }
        if (bm->left == 0 && !bm_fetch(c)) {
            bm_stopped(c, BMS_ERROR);
            return done;
        }
        n = (uint32_t)MIN(MIN(bm->left, len - done), BIT64(32) - bm->addr);
        if (to_memory ? !dma_write(bm->addr, buf + done, n) : !dma_read(bm->addr, buf + done, n)) {
            bm_stopped(c, BMS_ERROR); /* not memory: as if the target aborted */
            return done;
        }
        bm->addr += n;
        bm->left -= n;
        done += n;
    }
    if (bm->left == 0 && bm->last) {
        bm_stopped(c, 0); /* "the controller exhausted the PRDs" */
    }
    return done;
}

static void bm_interrupt(void *opaque)
{
    ((Channel *)opaque)->bm.status |= BMS_INTERRUPT;
}

static const IdeDmaOps bm_ops = { .ready = bm_ready, .copy = bm_copy, .interrupt = bm_interrupt };

static void bm_write_command(Channel *c, uint8_t val)
{
    BusMaster *bm = &c->bm;
    uint8_t was = bm->command;

    bm->command = val & (BM_START | BM_TO_MEMORY);
    if ((val & BM_START) && !(was & BM_START)) {
        bm->next = bm->table;
        bm->left = 0;
        bm->last = false;
        bm->status |= BMS_ACTIVE;
        trace_bmdma_start(channel_number(c), bm->table, (val & BM_TO_MEMORY) != 0);
        ide_dma_kick(&c->bus);
    } else if (!(val & BM_START) && (was & BM_START)) {
        /* "all state information is lost when this bit is cleared" */
        ide_dma_stop(&c->bus);
        bm->status &= (uint8_t)~BMS_ACTIVE;
    }
}

static void bm_write8(Channel *c, unsigned reg, uint8_t val)
{
    BusMaster *bm = &c->bm;
    unsigned shift = (reg & 3) * 8;

    switch (reg) {
    case 0:
        bm_write_command(c, val);
        break;
    case 2:
        bm->status = (uint8_t)((bm->status & ~BMS_CAPABLE & ~(val & (BMS_ERROR | BMS_INTERRUPT))) |
                               (val & BMS_CAPABLE));
        break;
    case 4 ... 7:
        bm->table = ((bm->table & ~(0xffu << shift)) | (uint32_t)val << shift) & ~3u;
        break;
    default:
        break;
    }
}

static uint8_t bm_read8(const Channel *c, unsigned reg)
{
    switch (reg) {
    case 0:
        return c->bm.command;
    case 2:
        return c->bm.status;
    case 4 ... 7:
        return (uint8_t)(c->bm.table >> (reg & 3) * 8);
    default:
        return 0;
    }
}

static uint64_t bm_io_read(void *opaque, uint64_t offset, unsigned size)
{
    Piix3Ide *s = opaque;
    uint32_t val = 0;

    for (unsigned n = 0; n < size; n++) {
        unsigned at = ((unsigned)offset + n) & 15;

        val |= (uint32_t)bm_read8(&s->channel[at / 8], at % 8) << 8 * n;
    }
    return val;
}

static void bm_io_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Piix3Ide *s = opaque;

    for (unsigned n = 0; n < size; n++) {
        unsigned at = ((unsigned)offset + n) & 15;

        bm_write8(&s->channel[at / 8], at % 8, (uint8_t)(val >> 8 * n));
    }
}

static const IoOps bm_io_ops = { .read = bm_io_read, .write = bm_io_write, .max_size = 4 };

/* ---- the function ---- */

static void channel_unmap(Channel *c)
{
    if (c->mapped) {
        port_unmap(&c->control);
        port_unmap(&c->command);
        c->mapped = false;
    }
}

/* channel_map - "IDE Timing Register": bit 15 enables the channel's decode. */
static void channel_map(Channel *c)
{
    static const uint16_t command[2] = { 0x1f0, 0x170 }, control[2] = { 0x3f6, 0x376 };
    const uint8_t *config = c->ide->pci.config;
    unsigned n = channel_number(c);
    bool want = (config[IDETIM + 2 * n + 1] & IDETIM_DECODE) &&
                (ld_le16(config + PCI_COMMAND) & PCI_CMD_IO);

    if (!want) {
        channel_unmap(c);
        return;
    }
    if (c->mapped || !port_map(&c->command, command[n], NULL)) {
        return; /* taken ports: the channel is not there */
    }
    if (!port_map(&c->control, control[n], NULL)) {
        port_unmap(&c->command);
        return;
    }
    c->mapped = true;
}

static void ide_written(PciDevice *d, unsigned offset, unsigned len)
{
    Piix3Ide *s = container_of(d, Piix3Ide, pci);

    for (unsigned n = 0; n < 2; n++) {
        channel_map(&s->channel[n]);
        if (offset <= PCI_COMMAND && offset + len > PCI_COMMAND) {
            ide_dma_kick(&s->channel[n].bus); /* bus mastering may be allowed now */
        }
    }
}

void piix3_ide_connect(Device *dev, struct PciBus *bus, IrqLine primary, IrqLine secondary)
{
    Piix3Ide *s = container_of(dev, Piix3Ide, pci.dev);

    s->pci_bus = bus;
    s->irq[0] = primary;
    s->irq[1] = secondary;
}

void piix3_ide_firmware(Device *dev)
{
    PciDevice *d = &container_of(dev, Piix3Ide, pci.dev)->pci;

    pci_config_write(d, PCI_BAR0 + 16, 0xc000, 4);
    pci_config_write(d, PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MASTER, 2);
}

static bool piix3_ide_realize(Device *dev, struct Error **errp)
{
    static const char *const names[2] = { "ide.0", "ide.1" };
    static const char *const paths[2] = { "/pci@i0cf8/ide@1,1/drive@0",
                                          "/pci@i0cf8/ide@1,1/drive@1" };
    Piix3Ide *s = container_of(dev, Piix3Ide, pci.dev);
    PciDevice *d = &s->pci;

    if (!pci_add(d, s->pci_bus, PCI_DEVFN(1, 1), 0x8086, 0x7010, 0x010180, 0x00, 0, errp)) {
        return false;
    }
    st_le16(d->config + PCI_STATUS, 0x0280);
    st_le16(d->wmask + PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MASTER);
    d->wmask[PCI_INT_LINE] = 0; /* the channels' interrupts are IRQ 14 and 15 */
    /* The data sheet's reset value decodes nothing. EDK2 never sets the bits: on the boards it knows they are set. */
    st_le32(d->config + IDETIM, 0x80008000u);
    memset(d->wmask + IDETIM, 0xff, 5); /* and SIDETIM */
    d->config_written = ide_written;
    io_region_init(&s->io, &bm_io_ops, s, "piix-bmdma", 16);
    pci_bar(d, 4, &s->io, PCI_BAR_IO);
    pci_ready(d);
    for (unsigned n = 0; n < 2; n++) {
        Channel *c = &s->channel[n];

        c->ide = s;
        io_region_init(&c->command, &ide_command_ops, &c->bus, "ide", 8);
        io_region_init(&c->control, &ide_control_ops, &c->bus, "ide-control", 1);
        ide_bus_init(&c->bus, names[n], paths[n], s->irq[n], &bm_ops, c);
    }
    return true;
}

static void piix3_ide_unrealize(Device *dev)
{
    Piix3Ide *s = container_of(dev, Piix3Ide, pci.dev);

    for (unsigned n = 0; n < 2; n++) {
        channel_unmap(&s->channel[n]);
        ide_bus_fini(&s->channel[n].bus);
    }
    pci_remove(&s->pci);
}

static void piix3_ide_reset(Device *dev)
{
    Piix3Ide *s = container_of(dev, Piix3Ide, pci.dev);

    pci_reset(&s->pci);
    for (unsigned n = 0; n < 2; n++) {
        Channel *c = &s->channel[n];

        ide_dma_stop(&c->bus);
        ide_bus_reset(&c->bus);
        c->bm = (BusMaster){ 0 };
        channel_map(c);
    }
}

static const StateField bm_fields[] = {
    STATE_U8(BusMaster, command), STATE_U8(BusMaster, status), STATE_U32(BusMaster, table),
    STATE_U32(BusMaster, next), STATE_U32(BusMaster, addr), STATE_U32(BusMaster, left),
    STATE_BOOL(BusMaster, last), STATE_END,
};
static const StateField channel_fields[] = {
    STATE_STRUCT(Channel, bus, ide_bus_fields), STATE_STRUCT(Channel, bm, bm_fields), STATE_END,
};
static const StateField piix3_ide_fields[] = {
    STATE_STRUCT(Piix3Ide, pci, pci_fields), STATE_ARRAY(Piix3Ide, channel, channel_fields),
    STATE_END,
};

static bool piix3_ide_post_load(Device *dev, struct Error **errp)
{
    Piix3Ide *s = container_of(dev, Piix3Ide, pci.dev);

    pci_post_load(&s->pci);
    for (unsigned n = 0; n < 2; n++) {
        s->channel[n].bm.left = MIN(s->channel[n].bm.left, 0x10000u);
        channel_map(&s->channel[n]);
    }
    return true;
}

const DeviceClass piix3_ide_class = {
    .name = "piix3-ide",
    .desc = "82371SB IDE controller",
    .size = sizeof(Piix3Ide),
    .bus = BUS_PCI,
    .realize = piix3_ide_realize,
    .unrealize = piix3_ide_unrealize,
    .reset = piix3_ide_reset,
    .fields = piix3_ide_fields,
    .post_load = piix3_ide_post_load,
};
