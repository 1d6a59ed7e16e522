/*
 * PCI bus: see pci.h.
 *
 * A memory BAR is mapped below guest RAM (negative priority), each at a priority of its own: a
 * guest that lays BARs over RAM or over each other hides them, as a host bridge would, and no
 * mapping can fail. Ports cannot overlap; a BAR whose ports are taken is not mapped.
 */
#include "hw/pci/pci.h"

#include <assert.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "hw/pci/msi.h"
#include "hw/pci/trace.h"

struct PciBus {
    PciDevice *devices[256];
    /* of one behind a bridge; of a root: NULL, and all of them */
    PciDevice *bridge;
    const char *name;
    unsigned first, last; /* slots that cards may be in */
    unsigned index;       /* no two buses have the same; of a root: the last that was given */
    const PciBusPlug *plug;
    void *plug_opaque;
    /* of a root only */
    uint32_t address; /* CONFIG_ADDRESS */
    uint8_t pirq_count[PCI_PIRQS]; /* asserted INTx pins */
    unsigned (*route)(unsigned devfn, unsigned pin); /* NULL: four PIRQs, one further with each slot */
    void (*set_pirq)(void *opaque, unsigned pirq, int level);
    void *opaque;
    void (*msi)(void *opaque, uint64_t addr, uint32_t data);
    void *msi_opaque;
    uint8_t (*cf9_read)(void *opaque);
    void (*cf9_write)(void *opaque, uint8_t val);
    void *cf9_opaque;
    IoRegion io_address, io_data;
};

/* ---- base address registers ---- */

static unsigned bar_register(unsigned n)
{
    return n == PCI_BAR_ROM ? PCI_ROM : PCI_BAR0 + 4 * n;
}

static uint64_t bar_base(const PciDevice *d, unsigned n)
{
    const uint8_t *p = d->config + bar_register(n);
    const PciBar *bar = &d->bars[n];

    if (n == PCI_BAR_ROM) {
        return ld_le32(p) & ~0x7ffu;
    }
    if (bar->type & PCI_BAR_IO) {
        return ld_le32(p) & ~3u;
    }
    return bar->type & PCI_BAR_64 ? ld_le64(p) & ~15ull : ld_le32(p) & ~15u;
}

static bool in_window(uint64_t base, uint64_t limit, uint64_t first, uint64_t last)
{
    return base <= limit && first >= base && last <= limit;
}

/* passes - does the bridge forward accesses from its primary side? PCI-to-PCI Bridge Architecture Specification 1.2,
 * "Address Decoding". */
static bool passes(const PciDevice *b, bool io, uint64_t first, uint64_t last)
{
    const uint8_t *c = b->config;
    unsigned command = ld_le16(c + PCI_COMMAND);
    uint64_t pref = (uint64_t)ld_le32(c + PCI_PREF_BASE_HIGH) << 32, pref_end = (uint64_t)ld_le32(c + PCI_PREF_LIMIT_HIGH) << 32;

    if (io) {
        return (command & PCI_CMD_IO) &&
               in_window((c[PCI_IO_BASE] & 0xf0u) << 8, (c[PCI_IO_LIMIT] & 0xf0u) << 8 | 0xfff, first, last);
    }
    return (command & PCI_CMD_MEMORY) &&
           (in_window((ld_le16(c + PCI_MEM_BASE) & 0xfff0u) << 16, (ld_le16(c + PCI_MEM_LIMIT) & 0xfff0u) << 16 | 0xfffff,
                      first, last) ||
            in_window(pref | (ld_le16(c + PCI_PREF_BASE) & 0xfff0u) << 16,
                      pref_end | (ld_le16(c + PCI_PREF_LIMIT) & 0xfff0u) << 16 | 0xfffff, first, last));
}

/* reachable - by all bridges on the way. */
static bool reachable(const PciDevice *d, bool io, uint64_t first, uint64_t last)
{
    for (const PciDevice *b = d->bus->bridge; b != NULL; b = b->bus->bridge) {
        if (!passes(b, io, first, last)) {
            return false;
        }
    }
    return true;
}

/* bar_wanted - does the device answer there? Not at 0, nor at the value that sizing leaves. */
static bool bar_wanted(const PciDevice *d, unsigned n, uint64_t base)
{
    const PciBar *bar = &d->bars[n];
    unsigned command = ld_le16(d->config + PCI_COMMAND);
    uint64_t last = base + bar->region->size - 1;

    if (base == 0 || last < base) {
        return false;
    }
    if (n == PCI_BAR_ROM && !(d->config[PCI_ROM] & 1)) {
        return false; /* "Expansion ROM Enable" */
    }
    if (bar->type & PCI_BAR_IO) {
        return (command & PCI_CMD_IO) && last <= 0xffff && reachable(d, true, base, last);
    }
    if (!(bar->type & PCI_BAR_64) && last == UINT32_MAX) {
        return false;
    }
    return (command & PCI_CMD_MEMORY) && last < BIT64(52) && reachable(d, false, base, last);
}

static void bar_unmap(PciBar *bar)
{
    if (bar->type & PCI_BAR_IO) {
        port_unmap(bar->region);
    } else {
        mem_unmap(bar->region);
    }
    bar->mapped = false;
}

static void bar_update(PciDevice *d, unsigned n)
{
    PciBar *bar = &d->bars[n];
    uint64_t base;
    bool want;
    Error *err = NULL;

    if (bar->region == NULL) {
        return;
    }
    base = bar_base(d, n);
    want = bar_wanted(d, n, base);
    if (bar->mapped && (!want || base != bar->base)) {
        bar_unmap(bar);
    }
    if (!want || bar->mapped) {
        return;
    }
    bar->base = base;
    trace_pci_bar_map(d->devfn, n, base);
    if (bar->type & PCI_BAR_IO) {
        bar->mapped = port_map(bar->region, (uint16_t)base, &err);
    } else {
        bar->mapped = mem_map(bar->region, base, -1 - (int)(d->bus->index * 2048 + d->devfn * 8 + n), false, &err);
    }
    if (err != NULL) {
        log_guest("pci %02x.%x: bar %u: %s\n", d->devfn >> 3, d->devfn & 7, n, error_text(err));
        error_free(err);
    }
}

static void pci_update_bars(PciDevice *d)
{
    mem_begin();
    for (unsigned n = 0; n < ARRAY_SIZE(d->bars); n++) {
        bar_update(d, n);
    }
    if (d->below != NULL) {
        pci_bus_moved(d->below);
    }
    mem_commit();
}

void pci_bus_moved(PciBus *bus)
{
    mem_begin();
    for (unsigned n = 0; n < 256; n++) {
        if (bus->devices[n] != NULL) {
            pci_update_bars(bus->devices[n]);
        }
    }
    mem_commit();
}

void pci_bar(PciDevice *d, unsigned n, IoRegion *region, uint8_t type)
{
    uint8_t *p = d->wmask + bar_register(n);
    uint64_t mask = ~(region->size - 1);

    d->bars[n].region = region;
    d->bars[n].type = type;
    d->config[bar_register(n)] = type;
    if (n == PCI_BAR_ROM) {
        st_le32(p, ((uint32_t)mask & ~0x7ffu) | 1);
    } else if (type & PCI_BAR_IO) {
        st_le32(p, (uint32_t)mask & ~3u);
    } else if (type & PCI_BAR_64) {
        st_le64(p, mask & ~15ull);
    } else {
        st_le32(p, (uint32_t)mask & ~15u);
    }
}

/* ---- interrupts ---- */

/* pci_pirq - which router input a device's pin is wired to. */
static unsigned pci_pirq(const PciDevice *d)
{
    unsigned pin = d->config[PCI_INT_PIN] - 1u;

    for (; d->bus->bridge != NULL; d = d->bus->bridge) {
        pin = (pin + (d->devfn >> 3)) & 3; /* Bridge Architecture Specification, "Interrupt Routing" */
    }
    if (d->bus->route != NULL) {
        return d->bus->route(d->devfn, pin) & (PCI_PIRQS - 1);
    }
    return ((d->devfn >> 3) + pin + 3u) & 3; /* slot - 1 + pin, mod 4 */
}

static PciBus *root_of(PciBus *bus)
{
    while (bus->bridge != NULL) {
        bus = bus->bridge->bus;
    }
    return bus;
}

static void pci_drive(PciDevice *d, bool level)
{
    PciBus *bus = root_of(d->bus);
    unsigned n, was;

    d->intx = level;
    if (level == d->counted || d->config[PCI_INT_PIN] == 0) {
        return;
    }
    n = pci_pirq(d);
    was = bus->pirq_count[n];
    d->counted = level;
    bus->pirq_count[n] = (uint8_t)(level ? was + 1 : was - 1);
    if ((was != 0) != (bus->pirq_count[n] != 0) && bus->set_pirq != NULL) {
        trace_pci_pirq(n, level);
        bus->set_pirq(bus->opaque, n, level);
    }
}

void pci_set_irq(PciDevice *d, int level)
{
    d->config[PCI_STATUS] = (uint8_t)((d->config[PCI_STATUS] & ~0x08) | (level ? 0x08 : 0));
    /* "while enabled for MSI or MSI-X operation, a function is prohibited from using its INTx#" */
    pci_drive(d, level && !(ld_le16(d->config + PCI_COMMAND) & PCI_CMD_INTX_OFF) &&
                     !msi_enabled(d) && !msix_enabled(d));
}

/* ---- configuration space ---- */

uint32_t pci_config_read(PciDevice *d, unsigned offset, unsigned size)
{
    uint32_t val = 0;

    if (d->config_reading != NULL) {
        d->config_reading(d, offset, size);
    }
    for (unsigned i = 0; i < size; i++) {
        val |= (uint32_t)d->config[(offset + i) & 0xff] << 8 * i;
    }
    trace_pci_config_read(d->devfn, offset, size, val);
    return val;
}

void pci_config_write(PciDevice *d, unsigned offset, uint32_t val, unsigned size)
{
    trace_pci_config_write(d->devfn, offset, size, val);
    for (unsigned i = 0; i < size; i++) {
        unsigned at = (offset + i) & 0xff;
        uint8_t byte = (uint8_t)(val >> 8 * i), mask = d->wmask[at];

        d->config[at] = (uint8_t)((d->config[at] & ~mask) | (byte & mask));
        d->config[at] &= (uint8_t)~(byte & d->w1c[at]);
    }
    if ((offset < PCI_BAR0 + 24 && offset + size > PCI_COMMAND) ||
        (offset < PCI_ROM + 4 && offset + size > PCI_ROM)) {
        pci_update_bars(d);
    }
    pci_set_irq(d, (d->config[PCI_STATUS] & 0x08) != 0); /* INTx may be off now, or on */
    msi_config_written(d);
    if (d->config_written != NULL) {
        d->config_written(d, offset, size);
    }
}

/* bus_numbered - the bus behind some bridge of @bus that has the number @n: bridges pass on what is theirs or further. */
static PciBus *bus_numbered(PciBus *bus, unsigned n)
{
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        const PciDevice *b = bus->devices[devfn];

        if (b == NULL || b->below == NULL || b->config[PCI_SECONDARY] == 0 || n < b->config[PCI_SECONDARY]) {
            continue;
        }
        if (n == b->config[PCI_SECONDARY]) {
            return b->below;
        }
        if (n <= b->config[PCI_SUBORDINATE]) {
            return bus_numbered(b->below, n);
        }
    }
    return NULL;
}

PciDevice *pci_function(PciBus *bus, unsigned number, unsigned devfn)
{
    if (number != 0) {
        bus = bus_numbered(bus, number);
    }
    return bus != NULL ? pci_bus_find(bus, devfn) : NULL;
}

/* "Software Generation of Configuration Transactions" */
static PciDevice *pci_addressed(PciBus *bus)
{
    return bus->address & BIT(31) ? pci_function(bus, bus->address >> 16 & 0xff, bus->address >> 8 & 0xff) : NULL;
}

static uint64_t pci_read_data(void *opaque, uint64_t offset, unsigned size)
{
    PciBus *bus = opaque;
    PciDevice *d = pci_addressed(bus);

    if (d == NULL) {
        return UINT32_MAX; /* master abort */
    }
    return pci_config_read(d, (bus->address & 0xfc) + (unsigned)offset, size);
}

static void pci_write_data(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    PciBus *bus = opaque;
    PciDevice *d = pci_addressed(bus);

    if (d != NULL) {
        pci_config_write(d, (bus->address & 0xfc) + (unsigned)offset, (uint32_t)val, size);
    }
}

static uint64_t pci_read_address(void *opaque, uint64_t offset, unsigned size)
{
    PciBus *bus = opaque;

    if (offset == 1 && size == 1 && bus->cf9_read != NULL) {
        return bus->cf9_read(bus->cf9_opaque);
    }
    return offset == 0 && size == 4 ? bus->address : UINT32_MAX;
}

/* Only a double word reaches CONFIG_ADDRESS; anything narrower is an ordinary I/O cycle. */
static void pci_write_address(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    PciBus *bus = opaque;

    if (offset == 0 && size == 4) {
        bus->address = (uint32_t)val & 0x80fffffc;
    } else if (offset == 1 && size == 1 && bus->cf9_write != NULL) {
        bus->cf9_write(bus->cf9_opaque, (uint8_t)val);
    }
}

static const IoOps pci_address_ops = {
    .read = pci_read_address, .write = pci_write_address, .max_size = 4, .unaligned = true,
};
static const IoOps pci_data_ops = {
    .read = pci_read_data, .write = pci_write_data, .max_size = 4, .unaligned = true,
};

/* ---- bus ---- */

PciBus *pci_bus_new(void (*set_pirq)(void *opaque, unsigned pirq, int level), void *opaque)
{
    PciBus *bus = xnew(PciBus);

    bus->first = 1;
    bus->last = 31;
    pci_bus_set_pirq(bus, set_pirq, opaque);
    io_region_init(&bus->io_address, &pci_address_ops, bus, "pci-conf-idx", 4);
    io_region_init(&bus->io_data, &pci_data_ops, bus, "pci-conf-data", 4);
    return bus;
}

PciBus *pci_bus_below(PciDevice *bridge, const char *name, unsigned first, unsigned last)
{
    PciBus *bus = xnew(PciBus);

    bus->bridge = bridge;
    bus->name = name;
    bus->first = first;
    bus->last = last;
    bus->index = ++root_of(bridge->bus)->index;
    return bus;
}

const char *pci_bus_name(const PciBus *bus)
{
    return bus->name;
}

void pci_bus_slots(const PciBus *bus, unsigned *first, unsigned *last)
{
    *first = bus->first;
    *last = bus->last;
}

void pci_bus_set_plug(PciBus *bus, const PciBusPlug *plug, void *opaque)
{
    bus->plug = plug;
    bus->plug_opaque = opaque;
}

const PciBusPlug *pci_bus_plug(const PciBus *bus, void **opaque)
{
    *opaque = bus->plug_opaque;
    return bus->plug;
}

void pci_bus_reset_cards(PciBus *bus)
{
    for (unsigned n = 0; n < 256; n++) {
        PciDevice *d = bus->devices[n];

        if (d != NULL && d->below != NULL) {
            pci_bus_reset_cards(d->below);
        }
        if (d != NULL && d->dev.cls->reset != NULL) {
            d->dev.cls->reset(&d->dev);
        }
    }
}

void pci_bus_free(PciBus *bus)
{
    free(bus);
}

void pci_bus_set_pirq(PciBus *bus, void (*set_pirq)(void *opaque, unsigned pirq, int level),
                      void *opaque)
{
    bus->set_pirq = set_pirq;
    bus->opaque = opaque;
}

void pci_bus_set_route(PciBus *bus, unsigned (*route)(unsigned devfn, unsigned pin))
{
    bus->route = route;
}

void pci_bus_set_cf9(PciBus *bus, uint8_t (*read)(void *opaque),
                     void (*write)(void *opaque, uint8_t val), void *opaque)
{
    bus->cf9_read = read;
    bus->cf9_write = write;
    bus->cf9_opaque = opaque;
}

void pci_bus_set_msi(PciBus *bus, void (*msi)(void *opaque, uint64_t addr, uint32_t data),
                     void *opaque)
{
    bus->msi = msi;
    bus->msi_opaque = opaque;
}

void pci_message(PciDevice *d, uint64_t addr, uint32_t data)
{
    if (addr >> 20 != 0xfee) { /* SDM vol. 3, "Message Address Register Format" */
        log_guest("pci %02x.%x: message to 0x%llx\n", d->devfn >> 3, d->devfn & 7,
                  (unsigned long long)addr);
    } else if (root_of(d->bus)->msi != NULL) {
        root_of(d->bus)->msi(root_of(d->bus)->msi_opaque, addr, data);
    }
}

bool pci_bus_map(PciBus *bus, struct Error **errp)
{
    if (!port_map(&bus->io_address, 0xcf8, errp)) {
        return false;
    }
    if (!port_map(&bus->io_data, 0xcfc, errp)) {
        port_unmap(&bus->io_address);
        return false;
    }
    return true;
}

void pci_bus_unmap(PciBus *bus)
{
    port_unmap(&bus->io_data);
    port_unmap(&bus->io_address);
}

void pci_bus_reset(PciBus *bus)
{
    bus->address = 0;
}

PciDevice *pci_bus_find(PciBus *bus, unsigned devfn)
{
    return devfn < 256 ? bus->devices[devfn] : NULL;
}

/* ---- devices ---- */

bool pci_add(PciDevice *d, PciBus *bus, unsigned devfn, uint16_t vendor, uint16_t device,
             uint32_t class_code, uint8_t revision, uint8_t pin, struct Error **errp)
{
    if (devfn > 255 || bus->devices[devfn] != NULL) {
        error_set(errp, "%s: pci address %02x.%x is taken", d->dev.id, devfn >> 3, devfn & 7);
        return false;
    }
    d->bus = bus;
    d->devfn = (uint8_t)devfn;
    bus->devices[devfn] = d;
    memset(d->config, 0, sizeof(d->config));
    memset(d->wmask, 0, sizeof(d->wmask));
    memset(d->w1c, 0, sizeof(d->w1c));
    st_le16(d->config + PCI_VENDOR, vendor);
    st_le16(d->config + PCI_DEVICE, device);
    st_le32(d->config + PCI_REVISION, class_code << 8 | revision);
    d->config[PCI_INT_PIN] = pin;
    st_le16(d->wmask + PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MEMORY | PCI_CMD_MASTER | 0x140 |
                                        PCI_CMD_INTX_OFF);
    st_le16(d->w1c + PCI_STATUS, 0xf900);
    d->wmask[0x0c] = 0xff; /* cache line size, latency timer: of no effect */
    d->wmask[0x0d] = 0xff;
    d->wmask[PCI_INT_LINE] = 0xff;
    return true;
}

uint8_t pci_add_cap(PciDevice *d, uint8_t id, uint8_t offset, uint8_t size)
{
    uint8_t *link = &d->config[PCI_CAPS];

    if (offset == 0) {
        offset = MAX(d->cap_end, 0x40);
    }
    assert(offset >= 0x40 && offset % 4 == 0 && offset + size <= 256);
    while (*link != 0) {
        link = &d->config[*link + 1];
    }
    *link = offset; /* last in the list, so that its order is that of the calls */
    d->config[offset] = id;
    d->config[offset + 1] = 0;
    d->config[PCI_STATUS] |= 0x10;
    d->cap_end = (uint8_t)MIN(MAX((unsigned)d->cap_end, (offset + size + 3u) & ~3u), 252u);
    return offset;
}

void pci_remove(PciDevice *d)
{
    if (d->bus == NULL) {
        return;
    }
    pci_set_irq(d, 0);
    for (unsigned n = 0; n < ARRAY_SIZE(d->bars); n++) {
        if (d->bars[n].mapped) {
            bar_unmap(&d->bars[n]);
        }
    }
    memset(d->bars, 0, sizeof(d->bars));
    free(d->rom);
    d->rom = NULL;
    if (d->bus->devices[d->devfn] == d) { /* after pci_hide() there may be another */
        d->bus->devices[d->devfn] = NULL;
    }
    d->cap_end = d->msi_cap = 0;
    d->msix = NULL;
    d->bus = NULL;
}

void pci_hide(PciDevice *d)
{
    if (d->dev.cls->reset != NULL) {
        d->dev.cls->reset(&d->dev); /* what it was about is given up: no BAR, no bus mastering, no interrupt */
    }
    d->bus->devices[d->devfn] = NULL;
    d->dev.gone = true;
}

void pci_ready(PciDevice *d)
{
    memcpy(d->initial, d->config, sizeof(d->initial));
}

void pci_reset(PciDevice *d)
{
    pci_set_irq(d, 0);
    memcpy(d->config, d->initial, sizeof(d->config));
    msi_reset(d);
    pci_update_bars(d);
}

/* pci_post_load - bits that the guest cannot write are ours, whatever the stream says. */
void pci_post_load(PciDevice *d)
{
    for (unsigned i = 0; i < 256; i++) {
        uint8_t free_bits = d->wmask[i] | d->w1c[i];

        if (i < 0x40 && i != PCI_STATUS) {
            d->config[i] = (uint8_t)((d->config[i] & free_bits) | (d->initial[i] & ~free_bits));
        }
    }
    pci_update_bars(d);
    pci_drive(d, d->intx);
}

const StateField pci_fields[] = {
    STATE_BYTES(PciDevice, config), STATE_BOOL(PciDevice, intx), STATE_END,
};
