/*
 * PCI hot-plug's ports, as the AML of hw/acpi/acpi.c uses them.
 */
#include "tests/device/fake.h"

#include <stdlib.h>
#include "bus/state.h"
#include "hw/acpi/pci-hotplug.h"
#include "hw/pci/pci.h"

extern const DeviceClass virtio_rng_class;

static PciBus *bus;
static Device *hotplug;
static unsigned events, ejected;
static PciDevice *last;

static void on_event(void *opaque)
{
    events++;
}

static void on_ejected(void *opaque, PciDevice *d)
{
    ejected++;
    last = d;
}

static const PciHotplugOps ops = { .event = on_event, .ejected = on_ejected };

static int setup(void **state)
{
    fake_setup(state);
    bus = pci_bus_new(NULL, NULL);
    fake_board.pci = bus;
    hotplug = fake_device(&pci_hotplug_class);
    pci_hotplug_connect(hotplug, bus, &ops, NULL);
    fake_realize(hotplug);
    events = ejected = 0;
    return 0;
}

static int teardown(void **state)
{
    devices_free_all();
    pci_bus_free(bus);
    return 0;
}

static PciDevice *card(const char *addr)
{
    Device *dev = fake_device(&virtio_rng_class);

    assert_true(device_set(dev, "addr", addr, NULL));
    fake_realize(dev);
    return container_of(dev, PciDevice, dev);
}

static uint32_t reg(unsigned offset)
{
    return port_read((uint16_t)(PCIHP_BASE + offset), 4);
}

static void test_added(void **state)
{
    PciDevice *a = card("4"), *b = card("1f");

    pci_hotplug_added(hotplug, a);
    pci_hotplug_added(hotplug, b);
    assert_int_equal(events, 2);
    assert_int_equal(reg(PCIHP_UP), BIT(4) | BIT(31));
    assert_int_equal(reg(PCIHP_UP), 0); /* told once */
    assert_int_equal(reg(PCIHP_EJECT), 0);
    assert_int_equal(reg(PCIHP_REMOVABLE), 0xfffffffe);
}

static void test_removed(void **state)
{
    PciDevice *d = card("4"), *other;
    Error *err = NULL;

    pci_config_write(d, PCI_BAR0, 0xc001, 4);
    pci_config_write(d, PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MASTER, 2);
    assert_int_equal(port_read(0xc008, 4), 0);
    assert_true(pci_hotplug_request(hotplug, d, NULL));
    assert_false(pci_hotplug_request(hotplug, d, &err)); /* a moment ago */
    assert_string_equal(error_text(err), "Device virtio-rng-pci is already in the process of unplug");
    error_free(err);
    assert_int_equal(reg(PCIHP_DOWN), BIT(4));
    assert_int_equal(reg(PCIHP_DOWN), 0);
    port_write(PCIHP_BASE + PCIHP_EJECT, BIT(5), 4); /* nobody is there */
    assert_int_equal(ejected, 0);
    port_write(PCIHP_BASE + PCIHP_EJECT, BIT(4) | BIT(0), 4);
    assert_int_equal(ejected, 1);
    assert_ptr_equal(last, d);
    assert_null(pci_bus_find(bus, PCI_DEVFN(4, 0)));
    assert_int_equal(port_read(0xc008, 4), 0xffffffff);
    other = card("4"); /* comes before the first is freed */
    device_free(&d->dev);
    assert_ptr_equal(pci_bus_find(bus, PCI_DEVFN(4, 0)), other);
    port_write(PCIHP_BASE + PCIHP_EJECT, BIT(4), 4); /* a guest may also eject what nobody asked for */
    assert_int_equal(ejected, 2);
    device_free(&other->dev);
}

/* What the guest has not let go of goes when it is reset. */
static void test_reset(void **state)
{
    PciDevice *d = card("7");

    card("8");
    assert_true(pci_hotplug_request(hotplug, d, NULL));
    pci_hotplug_reset_cards(hotplug);
    devices_reset();
    assert_int_equal(ejected, 1);
    assert_ptr_equal(last, d);
    assert_int_equal(reg(PCIHP_DOWN), 0);
    assert_non_null(pci_bus_find(bus, PCI_DEVFN(8, 0)));
}

/* Saved state: an event that nobody has seen yet is still there, a card that is gone is not in it; order is free. */
static void test_state(void **state)
{
    PciDevice *a = card("4"), *b = card("5"), *c = card("6");
    StateBuf s = { 0 };

    free(a->dev.id);
    a->dev.id = strdup("a");
    free(b->dev.id);
    b->dev.id = strdup("b");
    pci_hotplug_added(hotplug, b);
    pci_hide(c);
    devices_save(&s);
    device_free(&c->dev);
    assert_int_equal(reg(PCIHP_UP), BIT(5));
    free(a->dev.id);
    a->dev.id = strdup("b");
    free(b->dev.id);
    b->dev.id = strdup("a");
    assert_true(devices_load(&s, NULL));
    assert_int_equal(reg(PCIHP_UP), BIT(5));
    state_buf_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_added, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
