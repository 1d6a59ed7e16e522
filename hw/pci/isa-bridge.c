/*
 * Interrupt router and reset control: see isa-bridge.h.
 */
#include "hw/pci/isa-bridge.h"

#include "base/mem.h"
#include "hw/board.h"

#define PIRQRC 0x60   /* PIRQA-PIRQD */
#define PIRQRC_E 0x68 /* PIRQE-PIRQH */
#define RCR_WRITABLE 0x06
#define RCR_RESET 0x04

static uint8_t route_of(const IsaBridge *s, unsigned pirq)
{
    return s->pci.config[pirq < 4 ? PIRQRC + pirq : PIRQRC_E + pirq - 4];
}

/* bridge_update - each interrupt is the OR of all that share it. "PIRQx Route Control Registers" */
static void bridge_update(IsaBridge *s)
{
    uint16_t level = s->isa_levels | (s->sci ? BIT(9) : 0), changed;

    for (unsigned n = 0; n < s->pirqs; n++) {
        uint8_t route = route_of(s, n);

        if ((s->pirq_levels >> n & 1) && !(route & PIRQ_ROUTE_OFF)) {
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

static void set_pirq(void *opaque, unsigned pirq, int level)
{
    IsaBridge *s = opaque;

    s->pirq_levels = (uint8_t)(level ? s->pirq_levels | BIT(pirq) : s->pirq_levels & ~BIT(pirq));
    irq_set(&s->gsi[pirq], level);
    bridge_update(s);
}

static void set_isa(void *opaque, unsigned n, int level)
{
    IsaBridge *s = opaque;

    s->isa_levels = (uint16_t)(level ? s->isa_levels | BIT(n) : s->isa_levels & ~BIT(n));
    bridge_update(s);
}

static void set_sci(void *opaque, unsigned n, int level)
{
    IsaBridge *s = opaque;

    s->sci = level != 0;
    bridge_update(s);
}

void isa_bridge_written(IsaBridge *s, unsigned offset, unsigned len)
{
    if (offset < PIRQRC_E + 4 && offset + len > PIRQRC) {
        bridge_update(s);
    }
}

/* "Reset Control Register": bit 2 going to 1 resets, hard or soft as bit 1 says. */
static uint8_t read_rcr(void *opaque)
{
    return ((IsaBridge *)opaque)->rcr;
}

static void write_rcr(void *opaque, uint8_t val)
{
    IsaBridge *s = opaque;
    Board *board = s->pci.dev.board;
    bool reset = (val & RCR_RESET) && !(s->rcr & RCR_RESET);

    s->rcr = val & RCR_WRITABLE & ~RCR_RESET;
    if (reset && board != NULL && board->reset_request != NULL) {
        board->reset_request();
    }
}

void isa_bridge_connect(IsaBridge *s, struct PciBus *bus, const IrqLine *irq, const IrqLine *gsi)
{
    s->bus = bus;
    memcpy(s->irq, irq, sizeof(s->irq));
    if (gsi != NULL) {
        memcpy(s->gsi, gsi, sizeof(s->gsi));
    }
}

IrqLine isa_bridge_input(IsaBridge *s, unsigned n)
{
    return (IrqLine){ set_isa, s, n & 15 };
}

IrqLine isa_bridge_sci(IsaBridge *s)
{
    return (IrqLine){ set_sci, s, 9 };
}

void isa_bridge_ready(IsaBridge *s, unsigned pirqs)
{
    PciDevice *d = &s->pci;

    s->pirqs = pirqs;
    for (unsigned n = 0; n < pirqs; n++) {
        unsigned at = n < 4 ? PIRQRC + n : PIRQRC_E + n - 4;

        d->config[at] = PIRQ_ROUTE_OFF;
        d->wmask[at] = 0x8f;
    }
    pci_ready(d);
    pci_bus_set_pirq(s->bus, set_pirq, s);
    pci_bus_set_cf9(s->bus, read_rcr, write_rcr, s);
}

void isa_bridge_remove(IsaBridge *s)
{
    pci_bus_set_pirq(s->bus, NULL, NULL);
    pci_bus_set_cf9(s->bus, NULL, NULL, NULL);
    pci_remove(&s->pci);
}

void isa_bridge_reset(IsaBridge *s)
{
    s->rcr = 0;
    pci_reset(&s->pci);
    bridge_update(s);
}

const StateField isa_bridge_fields[] = {
    STATE_STRUCT(IsaBridge, pci, pci_fields), STATE_U8(IsaBridge, rcr), STATE_U16(IsaBridge, isa_levels),
    STATE_U8(IsaBridge, pirq_levels), STATE_BOOL(IsaBridge, sci), STATE_U16(IsaBridge, out), STATE_END,
};
