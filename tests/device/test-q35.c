/*
 * The chipset of the q35 board: host bridge and LPC bridge, through their configuration space.
 */
#include "tests/device/fake.h"

#include "bus/state.h"
#include "hw/pci/ich9-lpc.h"
#include "hw/pci/pci.h"
#include "hw/pci/q35-mch.h"

#define RAM (16u << 20)
#define ECAM 0xb0000000ull
#define LINE_GSI 16 /* of fake_line(): PIRQA at the I/O APIC */
#define LINE_SMI 40
#define LPC PCI_DEVFN(31, 0)

static PciBus *bus;
static Device *mch, *lpc;
static uint8_t rom[0x40000];
static IoRegion low;

static int setup(void **state)
{
    IrqLine irq[16], gsi[PCI_PIRQS];

    fake_setup(state);
    bus = pci_bus_new(NULL, NULL);
    pci_bus_set_route(bus, ich9_pirq);
    fake_board.pci = bus;
    ram_region_init(&low, "ram", BIT(20), RAM - BIT(20));
    assert_true(mem_map(&low, BIT(20), 0, false, NULL));
    mch = fake_device(&q35_mch_class);
    mch_connect(mch, bus, rom, RAM);
    fake_realize(mch);
    for (unsigned n = 0; n < 16; n++) {
        irq[n] = fake_line(n);
    }
    for (unsigned n = 0; n < PCI_PIRQS; n++) {
        gsi[n] = fake_line(LINE_GSI + n);
    }
    lpc = fake_device(&ich9_lpc_class);
    ich9_lpc_connect(lpc, bus, irq, gsi, fake_line(LINE_SMI));
    fake_realize(lpc);
    return 0;
}

static int teardown(void **state)
{
    devices_free_all();
    mem_unmap(&low);
    pci_bus_free(bus);
    return 0;
}

static void put(unsigned devfn, unsigned at, uint32_t val, unsigned size)
{
    pci_config_write(pci_bus_find(bus, devfn), at, val, size);
}

static uint32_t get(unsigned devfn, unsigned at, unsigned size)
{
    return pci_config_read(pci_bus_find(bus, devfn), at, size);
}

static bool nobody(hwaddr at)
{
    FlatView *v = flat_view(false);
    bool none = flat_find(v, at) == NULL;

    flat_view_unref(v);
    return none;
}

static void test_ecam(void **state)
{
    uint64_t size;

    assert_int_equal(get(0, 0, 4), 0x29c08086);
    assert_int_equal(mch_ecam(mch, &size), 0);
    assert_true(nobody(ECAM));
    put(0, 0x60, (uint32_t)ECAM | 1, 4);
    assert_int_equal(mch_ecam(mch, &size), ECAM);
    assert_int_equal(size, 256 << 20);
    assert_int_equal(mem_in(ECAM, 4), 0x29c08086);
    assert_int_equal(mem_in(ECAM + (LPC << 12) + 2, 2), 0x2918);
    assert_int_equal(mem_in(ECAM + (LPC << 12) + 0x100, 4), 0); /* no extended capability */
    assert_int_equal(mem_in(ECAM + (1 << 12), 4), 0xffffffff);  /* no function */
    assert_int_equal(mem_in(ECAM + (1 << 20), 4), 0xffffffff);  /* no bus */
    mem_out(ECAM + (LPC << 12) + 0x60, 0x0b, 1);
    assert_int_equal(get(LPC, 0x60, 1), 0x0b);
    put(0, 0x60, 0xc0000005, 4); /* 64 MiB elsewhere */
    assert_true(nobody(ECAM));
    assert_int_equal(mem_in(0xc0000000, 4), 0x29c08086);
    assert_true(nobody(0xc0000000 + (64 << 20)));
    devices_reset();
    assert_true(nobody(0xc0000000));
}

static uint8_t smm_byte(hwaddr at, bool smm)
{
    uint8_t b;

    assert_true(mem_peek(at, &b, 1, smm) || !smm);
    return b;
}

static void test_tseg(void **state)
{
    uint8_t b = 0x5a;

    assert_true(dma_write(RAM - 1, &b, 1));
    put(0, 0x9e, 0x01, 1); /* 1 MiB */
    assert_int_equal(smm_byte(RAM - 1, true), 0x5a);
    assert_int_equal(mem_in(RAM - 1, 1), 0xff);
    b = 0;
    dma_write(RAM - 1, &b, 1); /* nor is it for devices */
    assert_int_equal(smm_byte(RAM - 1, true), 0x5a);
    assert_true(dma_write(RAM - (1 << 20) - 1, &b, 1));
    put(0, 0x9d, 0x1a, 1); /* D_LCK */
    put(0, 0x9e, 0x00, 1);
    assert_int_equal(mem_in(RAM - 1, 1), 0xff);
    put(0, 0x9d, 0x4a, 1); /* D_OPEN stays off */
    assert_int_equal(get(0, 0x9d, 1) & 0x50, 0x10);
    devices_reset();
    assert_int_equal(smm_byte(RAM - 1, false), 0x5a);
}

static void test_pirq(void **state)
{
    Device *dev = fake_device(device_class_find("virtio-rng-pci"));
    PciDevice *d = container_of(dev, PciDevice, dev);

    assert_true(device_set(dev, "addr", "2", NULL));
    fake_realize(dev);
    assert_int_equal(ich9_pirq(PCI_DEVFN(2, 0), 0), 6);
    assert_int_equal(ich9_pirq(PCI_DEVFN(2, 0), 3), 5);
    assert_int_equal(ich9_pirq(PCI_DEVFN(31, 2), 1), 1);
    pci_set_irq(d, 1);
    assert_int_equal(fake_lines[LINE_GSI + 6].level, 1);
    assert_int_equal(fake_lines[11].level, 0); /* not routed */
    put(LPC, 0x6a, 11, 1);
    assert_int_equal(fake_lines[11].level, 1);
    pci_set_irq(d, 0);
    assert_int_equal(fake_lines[11].level, 0);
    assert_int_equal(fake_lines[LINE_GSI + 6].level, 0);
}

static void test_pm(void **state)
{
    assert_int_equal(port_read(0x600, 4), 0xffffffff);
    ich9_lpc_firmware(lpc);
    assert_int_equal(port_read(0x600, 4), 0);
    out8(0xb2, ICH9_ACPI_ENABLE);
    assert_int_equal(fake_lines[LINE_SMI].rises, 0);
    assert_int_equal(port_read(0x604, 2) & 1, 1);
    port_write(0x602, 0x100, 2);
    ich9_lpc_power_button(lpc);
    assert_int_equal(fake_lines[9].level, 1);
    port_write(0x600, 0x100, 2);
    assert_int_equal(fake_lines[9].level, 0);
    port_write(0x630, 0x21, 4); /* APMC_EN, GBL_SMI_EN */
    out8(0xb2, 0x55);
    assert_int_equal(fake_lines[LINE_SMI].rises, 1);
    assert_int_equal(port_read(0x634, 4), 0x20);
    port_write(0x634, 0x20, 4);
    assert_int_equal(port_read(0x634, 4), 0);
    port_write(0x628, 0xff, 1); /* enabled, and nothing there */
    assert_int_equal(port_read(0x628, 1), 0xff);
    assert_int_equal(fake_lines[9].level, 0);
    port_write(0x604, 0x2001, 2); /* soft off */
    assert_int_equal(fake_shutdowns, 1);
}

static void test_rcba(void **state)
{
    assert_true(nobody(0xfed1c000));
    put(LPC, 0xf0, 0xfed1c001, 4);
    assert_int_equal(mem_in(0xfed1c000 + 0x3140, 2), 0x3210);
    put(LPC, 0xf0, 0, 4);
    assert_true(nobody(0xfed1c000));
}

static void test_reset_port(void **state)
{
    out8(0xcf9, 0x02);
    assert_int_equal(fake_resets, 0);
    out8(0xcf9, 0x06);
    assert_int_equal(fake_resets, 1);
}

static void test_state(void **state)
{
    StateBuf s = { 0 };

    ich9_lpc_firmware(lpc);
    mch_firmware(mch);
    put(0, 0x9e, 0x01, 1);
    port_write(0x630, 0x21, 4);
    devices_save(&s);
    devices_reset();
    assert_true(nobody(ECAM));
    assert_true(devices_load(&s, NULL));
    assert_int_equal(mem_in(ECAM, 4), 0x29c08086);
    assert_int_equal(port_read(0x630, 4), 0x21);
    assert_int_equal(mem_in(RAM - 1, 1), 0xff);
    state_buf_free(&s);
}

/* ---- TCO, "13.9 TCO Registers" ---- */

enum { TCO = 0x660, RLD = TCO, STS1 = TCO + 4, STS2 = TCO + 6, CNT = TCO + 8, TMR = TCO + 0x12, GCS = 0x3410 };
static unsigned expired;

static void on_expired(void)
{
    expired++;
}

static void tco_setup(void)
{
    fake_board.watchdog_expired = on_expired;
    expired = 0;
    ich9_lpc_firmware(lpc);
    port_write(TMR, 5, 2); /* 3 s */
    port_write(0x630, 0x2001, 4); /* TCO_EN, GBL_SMI_EN */
}

static void ticks(unsigned n)
{
    clock_step(n * 600000000ll);
}

static void test_tco(void **state)
{
    tco_setup();
    ticks(1000);
    assert_int_equal(port_read(STS1, 2), 0); /* nothing before it is begun */
    port_write(RLD, 0, 2);
    assert_int_equal(port_read(RLD, 2), 5);
    ticks(3);
    assert_int_equal(port_read(RLD, 2), 2);
    port_write(RLD, 0, 2); /* fed */
    ticks(4);
    assert_int_equal(port_read(STS1, 2), 0);
    assert_int_equal(fake_lines[LINE_SMI].rises, 0);
    ticks(1);
    assert_int_equal(port_read(STS1, 2), 8);
    assert_int_equal(port_read(0x634, 4), 0x2000);
    assert_int_equal(fake_lines[LINE_SMI].rises, 1);
    port_write(STS1, 8, 2);
    assert_int_equal(port_read(STS1, 2), 0);
    ticks(4);
    assert_int_equal(expired, 0);
    ticks(1);
    assert_int_equal(expired, 1);
    assert_int_equal(port_read(STS2, 2), 6);
    devices_reset();
    ich9_lpc_firmware(lpc);
    assert_int_equal(port_read(STS2, 2), 6); /* outlives the reset */
    port_write(STS2, 6, 2);
    assert_int_equal(port_read(STS2, 2), 0);
    ticks(1000);
    assert_int_equal(expired, 1);
}

static void test_tco_halt_and_no_reboot(void **state)
{
    StateBuf b = { 0 };

    tco_setup();
    mem_out(ICH9_RCBA + GCS, 0x20, 4);
    assert_int_equal(mem_in(ICH9_RCBA + GCS, 4), 0x20);
    port_write(RLD, 0, 2);
    ticks(2);
    port_write(CNT, 0x0800, 2); /* TCO_TMR_HLT */
    ticks(100);
    assert_int_equal(port_read(RLD, 2), 3);
    port_write(CNT, 0, 2);
    ticks(2);
    assert_int_equal(port_read(STS1, 2), 0);
    devices_save(&b);
    ticks(6);
    assert_int_equal(port_read(STS1, 2), 8);
    assert_int_equal(port_read(STS2, 2), 6);
    assert_int_equal(expired, 0); /* NO_REBOOT */
    port_write(STS2, 6, 2);
    assert_true(devices_load(&b, NULL));
    state_buf_free(&b);
    assert_int_equal(port_read(STS1, 2), 0);
    port_write(CNT, 0x1000, 2); /* TCO_LOCK */
    port_write(CNT, 0, 2);
    assert_int_equal(port_read(CNT, 2), 0x1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ecam, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tseg, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pirq, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rcba, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_port, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tco, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tco_halt_and_no_reboot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state, setup, teardown),
    };

    assert_true(ram_create(RAM, NULL));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
