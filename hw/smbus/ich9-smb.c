/*
 * ICH9, device 31 function 3: SMBus controller. Source: Intel I/O Controller Hub 9 data sheet (316972), "SMBus Controller
 * Registers (D31:F3)". Registers are in ports only; not modelled: SMI instead of an interrupt.
 */
#include "hw/smbus/smbus.h"

#include "base/error.h"
#include "base/mem.h"
#include "hw/pci/pci.h"

enum { R_HOSTC = 0x40, IO_SIZE = 64 };
#define HOSTC_HST_EN 0x01
#define HOSTC_SMI_EN 0x02
#define HOSTC_SSRESET 0x08
#define HOSTC_KEPT 0x07

typedef struct Ich9Smb {
    PciDevice pci; /* first member */
    SmbusHost host;
    IoRegion io;
    struct PciBus *bus; /* wiring */
} Ich9Smb;

static Ich9Smb *smb_of(Device *dev)
{
    return container_of(dev, Ich9Smb, pci.dev);
}

static uint64_t smb_read(void *opaque, uint64_t offset, unsigned size)
{
    return smbus_read(&((Ich9Smb *)opaque)->host, (unsigned)offset);
}

static void smb_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Ich9Smb *s = opaque;

    smbus_write(&s->host, (unsigned)offset, (uint8_t)val, s->pci.config[R_HOSTC] & HOSTC_HST_EN);
}

static const IoOps smb_ops = { .read = smb_read, .write = smb_write, .max_size = 1 };

static void smb_irq(void *opaque, bool level)
{
    Ich9Smb *s = opaque;

    pci_set_irq(&s->pci, level && !(s->pci.config[R_HOSTC] & HOSTC_SMI_EN));
}

static void smb_written(PciDevice *d, unsigned offset, unsigned len)
{
    if (offset <= R_HOSTC && offset + len > R_HOSTC && (d->config[R_HOSTC] & HOSTC_SSRESET)) {
        d->config[R_HOSTC] &= (uint8_t)~HOSTC_SSRESET; /* "the register will automatically clear" */
        smbus_reset(&container_of(d, Ich9Smb, pci)->host);
    }
}

void ich9_smb_connect(Device *dev, struct PciBus *bus)
{
    smb_of(dev)->bus = bus;
}

SmbusHost *ich9_smb_host(Device *dev)
{
    return &smb_of(dev)->host;
}

static bool smb_realize(Device *dev, Error **errp)
{
    Ich9Smb *s = smb_of(dev);
    PciDevice *d = &s->pci;

    if (!pci_add(d, s->bus, PCI_DEVFN(31, 3), 0x8086, 0x2930, 0x0c0500, 0x02, 1, errp)) {
        return false;
    }
    st_le16(d->config + PCI_STATUS, 0x0280);
    d->wmask[R_HOSTC] = HOSTC_KEPT | HOSTC_SSRESET;
    d->config_written = smb_written;
    s->host.ich9 = true;
    s->host.irq = smb_irq;
    s->host.opaque = s;
    io_region_init(&s->io, &smb_ops, s, "ich9-smb", IO_SIZE);
    pci_bar(d, 4, &s->io, PCI_BAR_IO);
    pci_ready(d);
    return true;
}

static void smb_unrealize(Device *dev)
{
    pci_remove(&smb_of(dev)->pci);
}

static void smb_reset(Device *dev)
{
    pci_reset(&smb_of(dev)->pci);
    smbus_reset(&smb_of(dev)->host);
}

static bool smb_post_load(Device *dev, Error **errp)
{
    pci_post_load(&smb_of(dev)->pci);
    smbus_post_load(&smb_of(dev)->host);
    return true;
}

static const StateField smb_fields[] = {
    STATE_STRUCT(Ich9Smb, pci, pci_fields), STATE_STRUCT(Ich9Smb, host, smbus_host_fields), STATE_END,
};

const DeviceClass ich9_smb_class = {
    .name = "ICH9-SMB",
    .desc = "ICH9 SMBus controller",
    .size = sizeof(Ich9Smb),
    .bus = BUS_PCI,
    .realize = smb_realize,
    .unrealize = smb_unrealize,
    .reset = smb_reset,
    .fields = smb_fields,
    .post_load = smb_post_load,
};
