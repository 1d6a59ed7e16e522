/*
 * 82371SB (PIIX3), function 0: ISA bridge. PIRQ routing and the reset control register CF9h; the
 * ISA chips that the real one holds are devices of their own here.
 *
 * Source: Intel 82371SB data sheet (headings quoted).
 */
#include "hw/pci/piix3.h"

#include "base/mem.h"
#include "hw/board.h"
#include "hw/pci/pci.h"

#define PIIX3_PIRQRC 0x60 /* PIRQRC[A:D] */
#define PIRQRC_OFF 0x80
#define RCR_WRITABLE 0x06
#define RCR_RESET 0x04

typedef struct Piix3 {
    PciDevice pci; /* first member */
    uint8_t rcr;
    uint16_t isa_levels; /* driven by ISA devices */
    uint8_t pirq_levels; /* bits 3:0 */
    bool sci;
    uint16_t out;        /* what irq[] was told last */
    struct PciBus *bus;  /* wiring */
    IrqLine irq[16];
} Piix3;

/* piix3_update - each interrupt is the OR of all that share it. "PIRQx Route Control Registers" */
static void piix3_update(Piix3 *s)
{
    uint16_t level = s->isa_levels | (s->sci ? BIT(9) : 0), changed;

    for (unsigned n = 0; n < 4; n++) {
        uint8_t route = s->pci.config[PIIX3_PIRQRC + n];

        if ((s->pirq_levels >> n & 1) && !(route & PIRQRC_OFF)) {
            level |= (uint16_t)BIT(route & 15);
        }
    }
    changed = level ^ s->out;
    s->out = level;
    for (unsigned n = 0; changed >> n != 0; n++) {
        if (changed >> n & 1) {
            irq_set(&s->irq[n], level >> n & 1);
        }
    }
}

static void piix3_set_pirq(void *opaque, unsigned pirq, int level)
{
    Piix3 *s = opaque;

    s->pirq_levels = (uint8_t)(level ? s->pirq_levels | BIT(pirq) : s->pirq_levels & ~BIT(pirq));
    piix3_update(s);
}

static void piix3_set_isa(void *opaque, unsigned n, int level)
{
    Piix3 *s = opaque;

    s->isa_levels = (uint16_t)(level ? s->isa_levels | BIT(n) : s->isa_levels & ~BIT(n));
    piix3_update(s);
}

static void piix3_set_sci(void *opaque, unsigned n, int level)
{
    Piix3 *s = opaque;

    s->sci = level != 0;
    piix3_update(s);
}

static void piix3_written(PciDevice *d, unsigned offset, unsigned len)
{
    if (offset < PIIX3_PIRQRC + 4 && offset + len > PIIX3_PIRQRC) {
        piix3_update(container_of(d, Piix3, pci));
    }
}

/* "Reset Control Register": bit 2 going to 1 resets, hard or soft as bit 1 says. */
static uint8_t piix3_read_rcr(void *opaque)
{
    return ((Piix3 *)opaque)->rcr;
}

static void piix3_write_rcr(void *opaque, uint8_t val)
{
    Piix3 *s = opaque;
    Board *board = s->pci.dev.board;
    bool reset = (val & RCR_RESET) && !(s->rcr & RCR_RESET);

    s->rcr = val & RCR_WRITABLE & ~RCR_RESET;
    if (reset && board != NULL && board->reset_request != NULL) {
        board->reset_request();
    }
}

void piix3_connect(Device *dev, struct PciBus *bus, const IrqLine *irq)
{
    Piix3 *s = container_of(dev, Piix3, pci.dev);

    s->bus = bus;
    memcpy(s->irq, irq, sizeof(s->irq));
}

IrqLine piix3_isa_input(Device *dev, unsigned n)
{
    return (IrqLine){ piix3_set_isa, container_of(dev, Piix3, pci.dev), n & 15 };
}

IrqLine piix3_sci_input(Device *dev)
{
    return (IrqLine){ piix3_set_sci, container_of(dev, Piix3, pci.dev), 9 };
}

static bool piix3_realize(Device *dev, struct Error **errp)
{
    Piix3 *s = container_of(dev, Piix3, pci.dev);
    PciDevice *d = &s->pci;

    if (!pci_add(d, s->bus, PCI_DEVFN(1, 0), 0x8086, 0x7000, 0x060100, 0x00, 0, errp)) {
        return false;
    }
    d->config[PCI_HEADER] = 0x80; /* multi-function */
    st_le16(d->config + PCI_COMMAND, 0x0007);
    st_le16(d->config + PCI_STATUS, 0x0200);
    st_le16(d->wmask + PCI_COMMAND, 0x0108);
    d->config[0x4c] = 0x4d; /* ISA recovery, X-bus select, IDE timing: defaults, of no effect */
    d->config[0x4e] = 0x03;
    memset(d->config + PIIX3_PIRQRC, PIRQRC_OFF, 4);
    memset(d->wmask + PIIX3_PIRQRC, 0x8f, 4);
    memset(d->wmask + 0x4c, 0xff, 4);
    d->config_written = piix3_written;
    pci_ready(d);
    pci_bus_set_pirq(s->bus, piix3_set_pirq, s);
    pci_bus_set_cf9(s->bus, piix3_read_rcr, piix3_write_rcr, s);
    return true;
}

static void piix3_unrealize(Device *dev)
{
    Piix3 *s = container_of(dev, Piix3, pci.dev);

    pci_bus_set_pirq(s->bus, NULL, NULL);
    pci_bus_set_cf9(s->bus, NULL, NULL, NULL);
    pci_remove(&s->pci);
}

static void piix3_reset(Device *dev)
{
    Piix3 *s = container_of(dev, Piix3, pci.dev);

    s->rcr = 0;
    pci_reset(&s->pci);
    piix3_update(s);
}

static const StateField piix3_fields[] = {
    STATE_STRUCT(Piix3, pci, pci_fields), STATE_U8(Piix3, rcr), STATE_U16(Piix3, isa_levels),
    STATE_U8(Piix3, pirq_levels), STATE_BOOL(Piix3, sci), STATE_U16(Piix3, out), STATE_END,
};

static bool piix3_post_load(Device *dev, struct Error **errp)
{
    pci_post_load(&container_of(dev, Piix3, pci.dev)->pci);
    return true;
}

const DeviceClass piix3_class = {
    .name = "PIIX3",
    .desc = "82371SB ISA bridge",
    .size = sizeof(Piix3),
    .bus = BUS_PCI,
    .realize = piix3_realize,
    .unrealize = piix3_unrealize,
    .reset = piix3_reset,
    .fields = piix3_fields,
    .post_load = piix3_post_load,
};
