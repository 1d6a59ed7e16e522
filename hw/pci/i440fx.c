/*
 * 82441FX (PMC): host bridge of the i440FX. What it does here: shows RAM or the PCI bus in the
 * areas between 768 KiB and 1 MiB (PAM), and RAM behind the VGA window in SMM (SMRAM).
 *
 * Source: Intel 82441FX data sheet (headings quoted).
 */
#include "hw/pci/i440fx.h"

#include "base/mem.h"
#include "hw/pci/pam.h"
#include "hw/pci/pci.h"

#define I440FX_PAM 0x59   /* PAM0-PAM6 */
#define I440FX_SMRAM 0x72
typedef struct I440fx {
    PciDevice pci; /* first member */
    struct PciBus *bus; /* wiring */
    uint8_t *rom;
    Pam pam;
} I440fx;

static void i440fx_update(I440fx *s)
{
    pam_update(&s->pam, s->pci.config + I440FX_PAM, s->pci.config[I440FX_SMRAM]);
}

static void i440fx_written(PciDevice *d, unsigned offset, unsigned len)
{
    I440fx *s = container_of(d, I440fx, pci);
    uint8_t *smram = &d->config[I440FX_SMRAM];

    if (offset <= I440FX_SMRAM && offset + len > I440FX_SMRAM && (*smram & SMRAM_LOCK)) {
        /* "D_LCK ... D_OPEN is reset and both become read only" */
        *smram &= (uint8_t)~SMRAM_OPEN;
        d->wmask[I440FX_SMRAM] = SMRAM_CLOSED;
    }
    if ((offset < I440FX_PAM + 7 && offset + len > I440FX_PAM) ||
        (offset <= I440FX_SMRAM && offset + len > I440FX_SMRAM)) {
        i440fx_update(s);
    }
}

void i440fx_connect(Device *dev, struct PciBus *bus, uint8_t *rom)
{
    I440fx *s = container_of(dev, I440fx, pci.dev);

    s->bus = bus;
    s->rom = rom;
}

static bool i440fx_realize(Device *dev, struct Error **errp)
{
    I440fx *s = container_of(dev, I440fx, pci.dev);
    PciDevice *d = &s->pci;

    if (!pci_add(d, s->bus, 0, 0x8086, 0x1237, 0x060000, 0x02, 0, errp)) {
        return false;
    }
    d->config[0x53] = 0x80; /* DRAMC etc. have no effect; these are their defaults */
    d->config[0x57] = 0x01;
    d->config[0x58] = 0x10;
    d->config[I440FX_SMRAM] = 0x02;
    st_le16(d->config + PCI_STATUS, 0x0280);
    memset(d->wmask + 0x50, 0xff, 9);
    memset(d->wmask + I440FX_PAM, 0x33, 7);
    d->wmask[I440FX_PAM] = 0x30;
    memset(d->wmask + 0x60, 0xff, 8); /* DRB */
    d->wmask[I440FX_SMRAM] = SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCK | SMRAM_ENABLE;
    d->config_written = i440fx_written;
    return pam_ready(&s->pam, d, s->bus, s->rom, errp);
}

static void i440fx_unrealize(Device *dev)
{
    I440fx *s = container_of(dev, I440fx, pci.dev);

    pam_remove(&s->pam, &s->pci, s->bus);
}

static void i440fx_reset(Device *dev)
{
    I440fx *s = container_of(dev, I440fx, pci.dev);

    pci_bus_reset(s->bus);
    s->pci.wmask[I440FX_SMRAM] = SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCK | SMRAM_ENABLE;
    pci_reset(&s->pci);
    i440fx_update(s);
}

static const StateField i440fx_fields[] = { STATE_STRUCT(I440fx, pci, pci_fields), STATE_END };

static bool i440fx_post_load(Device *dev, struct Error **errp)
{
    I440fx *s = container_of(dev, I440fx, pci.dev);

    if (s->pci.config[I440FX_SMRAM] & SMRAM_LOCK) {
        s->pci.wmask[I440FX_SMRAM] = SMRAM_CLOSED;
    }
    pci_post_load(&s->pci);
    i440fx_update(s);
    return true;
}

const DeviceClass i440fx_class = {
    .name = "i440FX",
    .desc = "82441FX host bridge",
    .size = sizeof(I440fx),
    .bus = BUS_PCI,
    .realize = i440fx_realize,
    .unrealize = i440fx_unrealize,
    .reset = i440fx_reset,
    .fields = i440fx_fields,
    .post_load = i440fx_post_load,
};
