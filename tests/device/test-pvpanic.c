/* pvpanic by its port and by its card. */
#include "tests/device/fake.h"

#include "hw/misc/fw_cfg.h"
#include "hw/misc/pvpanic.h"
#include "hw/pci/pci.h"

static unsigned panics, loads;

static void on_panic(bool crash_loaded)
{
    loads += crash_loaded;
    panics += !crash_loaded;
}

static int setup(void **state)
{
    fake_setup(state);
    fake_board.guest_panicked = on_panic;
    panics = loads = 0;
    return 0;
}

static void test_port(void **state)
{
    Device *fw = fake_realize(fake_device(&fw_cfg_class)), *dev;
    Error *err = NULL;

    fake_board.fw_cfg = fw_cfg_of(fw);
    dev = fake_realize(fake_device(&pvpanic_class));
    assert_int_equal(pvpanic_port(dev), 0x505);
    assert_int_equal(in8(0x505), 3);
    out8(0x505, 0); /* nothing */
    out8(0x505, 4); /* nothing that is known */
    assert_int_equal(panics + loads, 0);
    out8(0x505, 1);
    assert_int_equal(panics, 1);
    out8(0x505, 2);
    assert_int_equal(loads, 1);
    out8(0x505, 3); /* the worse of both */
    assert_int_equal(panics, 2);
    assert_int_equal(loads, 1);
    dev = fake_device(&pvpanic_class);
    assert_false(device_realize(dev, &err)); /* the port is taken */
    error_free(err);
    err = NULL;
    device_free(dev);
    dev = fake_device(&pvpanic_class);
    assert_true(device_set(dev, "ioport", "0x605", &err) && device_set(dev, "events", "1", &err));
    fake_realize(dev);
    assert_int_equal(in8(0x605), 1);
}

static void test_card(void **state)
{
    PciBus *bus = pci_bus_new(NULL, NULL);
    PciDevice *d;

    fake_board.pci = bus;
    d = container_of(fake_realize(fake_device(&pvpanic_pci_class)), PciDevice, dev);
    assert_int_equal(pci_config_read(d, PCI_VENDOR, 4), 0x00111b36);
    assert_int_equal(pci_config_read(d, PCI_REVISION, 4), 0x08800001);
    pci_config_write(d, PCI_BAR0, 0xfebf0000, 4);
    pci_config_write(d, PCI_COMMAND, PCI_CMD_MEMORY, 2);
    assert_int_equal(mem_in(0xfebf0000, 1), 3);
    mem_out(0xfebf0001, 1, 1);
    assert_int_equal(panics, 0);
    mem_out(0xfebf0000, 1, 1);
    mem_out(0xfebf0000, 2, 1);
    assert_int_equal(panics, 1);
    assert_int_equal(loads, 1);
    devices_free_all();
    pci_bus_free(bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_port, setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_card, setup, fake_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
