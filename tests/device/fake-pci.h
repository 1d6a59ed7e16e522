/*
 * A fake board with a PCI bus, RAM that devices reach, and a network whose other end is the test's own.
 */
#ifndef TESTS_DEVICE_FAKE_PCI_H
#define TESTS_DEVICE_FAKE_PCI_H

#include "tests/device/fake.h"

#include "base/mem.h"
#include "bus/state.h"
#include "hw/net/nic.h"
#include "hw/pci/pci.h"

/* Where a device's registers are put: its memory BARs and its ports. Of RAM, the lower 640 KiB are there. */
enum { FAKE_MMIO = 0x80000000u, FAKE_IO = 0xc000, FAKE_RAM = 0xa0000 };

typedef struct FakePeer {
    NetPort port;
    bool full; /* takes nothing now */
    unsigned got;
    size_t len[128];
    uint8_t frame[128][2048];
} FakePeer;

static PciBus *fake_bus;
static IoRegion fake_low;
static int fake_irq;
static FakePeer fake_peer;

static void fake_pirq(void *opaque, unsigned pirq, int level)
{
    fake_irq = level;
}

static bool fake_peer_can(void *opaque, size_t len)
{
    return !((FakePeer *)opaque)->full;
}

static void fake_peer_take(void *opaque, const uint8_t *frame, size_t len)
{
    FakePeer *p = opaque;

    assert_true(len <= sizeof(p->frame[0]) && p->got < ARRAY_SIZE(p->len));
    p->len[p->got] = len;
    memcpy(p->frame[p->got++], frame, len);
}

static const NetPortOps fake_peer_ops = { .can_receive = fake_peer_can, .receive = fake_peer_take };

static inline uint8_t *ram(uint32_t at)
{
    return ram_host() + at;
}

static inline int fake_pci_setup(void **state)
{
    fake_setup(state);
    if (ram_host() == NULL) {
        assert_true(ram_create(2 << 20, NULL));
    }
    memset(ram_host(), 0, 2 << 20);
    ram_region_init(&fake_low, "low", 0, FAKE_RAM);
    assert_true(mem_map(&fake_low, 0, 0, false, NULL));
    fake_bus = pci_bus_new(fake_pirq, NULL);
    fake_board.pci = fake_bus;
    fake_irq = 0;
    fake_peer = (FakePeer){ 0 };
    return 0;
}

static inline int fake_pci_teardown(void **state)
{
    if (fake_peer.port.ops != NULL) {
        net_port_fini(&fake_peer.port);
    }
    devices_free_all();
    mem_unmap(&fake_low);
    pci_bus_free(fake_bus);
    return 0;
}

/* fake_place - slot @slot's BARs, of which @io is ports and @mmio memory (-1: it has none), and what it may. */
static inline PciDevice *fake_place(unsigned slot, int io, int mmio)
{
    PciDevice *d = pci_bus_find(fake_bus, PCI_DEVFN(slot, 0));

    if (io >= 0) {
        pci_config_write(d, PCI_BAR0 + 4 * (unsigned)io, FAKE_IO, 4);
    }
    if (mmio >= 0) {
        pci_config_write(d, PCI_BAR0 + 4 * (unsigned)mmio, FAKE_MMIO, 4);
    }
    pci_config_write(d, PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
    return d;
}

/* fake_plug - @dev, a network card, in slot 1, with an address that tests know, and fake_peer at the other end of its cable.
 * fake_card - a card of that class. */
static inline Device *fake_plug(Device *dev, int io, int mmio)
{
    autofree char *name = xasprintf("%s.0", dev->cls->name);

    assert_true(device_set(dev, "mac", "52:54:00:01:02:03", NULL) && device_set(dev, "romfile", "", NULL));
    fake_realize(dev);
    net_port_init(&fake_peer.port, "peer", &fake_peer_ops, &fake_peer, false);
    net_plug(&fake_peer.port, net_find_card(name));
    fake_place(1, io, mmio);
    return dev;
}

static inline Device *fake_card(const DeviceClass *cls, int io, int mmio)
{
    return fake_plug(fake_device(cls), io, mmio);
}

/* fake_reload - all devices are saved, reset and loaded again: they go on where they were. */
static inline void fake_reload(void)
{
    StateBuf b = { 0 };
    Error *err = NULL;

    devices_save(&b);
    devices_reset();
    if (!devices_load(&b, &err)) {
        print_error("%s\n", error_text(err));
        fail();
    }
    state_buf_free(&b);
}

#endif
