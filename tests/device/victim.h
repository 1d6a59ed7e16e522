/*
 * A second device on the bus, whose registers a first one's DMA shall not reach: an e1000 in slot 2.
 */
#ifndef TESTS_DEVICE_VICTIM_H
#define TESTS_DEVICE_VICTIM_H

#include "tests/device/fake-pci.h"

/* Where its registers are, and some of them: those of the rings of reception and transmission. */
enum { VICTIM = FAKE_MMIO + 0x100000, VICTIM_RX = VICTIM + 0x2000, VICTIM_TX = VICTIM + 0x3800 };

extern const DeviceClass e1000_class;

static inline void victim_plug(void)
{
    Device *dev = fake_device(&e1000_class);

    assert_true(device_set(dev, "mac", "52:54:00:01:02:04", NULL));
    fake_realize(dev);
    pci_config_write(pci_bus_find(fake_bus, PCI_DEVFN(2, 0)), PCI_BAR0, VICTIM, 4);
    pci_config_write(pci_bus_find(fake_bus, PCI_DEVFN(2, 0)), PCI_COMMAND, PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
}

/* victim_sum - all that it says of its rings: the same as before if nothing reached it. */
static inline uint64_t victim_sum(void)
{
    uint64_t sum = 0;

    for (uint32_t at = 0; at < 0x4000; at += 4) {
        sum = sum * 31 + (at == 0x00c0 ? 0 : (uint32_t)mem_in(VICTIM + at, 4)); /* but for ICR, which reading clears */
    }
    return sum;
}

#endif
