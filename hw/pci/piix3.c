/*
 * 82371SB (PIIX3), function 0: ISA bridge. The PCI interrupt router (PIRQ route control) and the
 * reset control register CF9h: hw/pci/isa-bridge.h.
 *
 * Source: Intel 82371SB data sheet (headings quoted).
 */
#include "hw/pci/piix3.h"

#include "base/mem.h"
#include "hw/pci/isa-bridge.h"

static IsaBridge *piix3_of(Device *dev)
{
    return container_of(dev, IsaBridge, pci.dev);
}

static void piix3_written(PciDevice *d, unsigned offset, unsigned len)
{
    isa_bridge_written(container_of(d, IsaBridge, pci), offset, len);
}

void piix3_connect(Device *dev, struct PciBus *bus, const IrqLine *irq)
{
    isa_bridge_connect(piix3_of(dev), bus, irq, NULL);
}

IrqLine piix3_isa_input(Device *dev, unsigned n)
{
    return isa_bridge_input(piix3_of(dev), n);
}

IrqLine piix3_sci_input(Device *dev)
{
    return isa_bridge_sci(piix3_of(dev));
}

static bool piix3_realize(Device *dev, struct Error **errp)
{
    IsaBridge *s = piix3_of(dev);
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
    memset(d->wmask + 0x4c, 0xff, 4);
    d->config_written = piix3_written;
    isa_bridge_ready(s, 4);
    return true;
}

static void piix3_unrealize(Device *dev)
{
    isa_bridge_remove(piix3_of(dev));
}

static void piix3_reset(Device *dev)
{
    isa_bridge_reset(piix3_of(dev));
}

static bool piix3_post_load(Device *dev, struct Error **errp)
{
    pci_post_load(&piix3_of(dev)->pci);
    return true;
}

const DeviceClass piix3_class = {
    .name = "PIIX3",
    .desc = "82371SB ISA bridge",
    .size = sizeof(IsaBridge),
    .bus = BUS_PCI,
    .realize = piix3_realize,
    .unrealize = piix3_unrealize,
    .reset = piix3_reset,
    .fields = isa_bridge_fields,
    .post_load = piix3_post_load,
};
