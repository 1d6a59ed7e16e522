/* PCI bus, i440FX, PIIX3 and PIIX4 power management, against their data sheets. */
#include "tests/device/fake.h"

#include <stdlib.h>
#include "hw/pci/i440fx.h"
#include "hw/pci/msi.h"
#include "hw/pci/pci.h"
#include "hw/pci/piix3.h"
#include "hw/pci/piix4-pm.h"

static PciBus *bus;
static uint8_t *rom;
static IoRegion low;
static Device *piix3, *pm;

/* A card with one memory and one port BAR. */
typedef struct Card {
    PciDevice pci;
    IoRegion mem, io;
    Msix msix;
} Card;

static uint64_t card_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0x42;
}
static void card_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
}
static const IoOps card_ops = { .read = card_read, .write = card_write };

static bool card_realize(Device *dev, Error **errp)
{
    Card *c = container_of(dev, Card, pci.dev);

    if (!pci_add(&c->pci, fake_board.pci, PCI_DEVFN(3, 0), 0x1234, 0x5678, 0xff0000, 1, 1,
                 errp)) {
        return false;
    }
    io_region_init(&c->mem, &card_ops, c, "card-mem", 0x2000);
    io_region_init(&c->io, &card_ops, c, "card-io", 0x20);
    pci_bar(&c->pci, 0, &c->mem, 0);
    pci_bar(&c->pci, 1, &c->io, PCI_BAR_IO);
    msi_init(&c->pci, 0x50, 4, MSI_64 | MSI_MASKABLE);
    msix_init_bar(&c->msix, &c->pci, 0, 3, 2);
    pci_ready(&c->pci);
    return true;
}
static void card_unrealize(Device *dev)
{
    pci_remove(&container_of(dev, Card, pci.dev)->pci);
}
static void card_reset(Device *dev)
{
    pci_reset(&container_of(dev, Card, pci.dev)->pci);
}
static const DeviceClass card_class = {
    .name = "card", .size = sizeof(Card), .realize = card_realize, .unrealize = card_unrealize,
    .reset = card_reset,
};

static int setup(void **state)
{
    IrqLine irq[16];
    Device *host;

    fake_setup(state);
    if (ram_host() == NULL) {
        assert_true(ram_create(2 << 20, NULL));
    }
    memset(ram_host(), 0, 2 << 20);
    rom = xnewn(uint8_t, 0x40000);
    memset(rom, 0xaa, 0x40000);
    ram_region_init(&low, "low", 0, 0xa0000);
    assert_true(mem_map(&low, 0, 0, false, NULL));
    bus = pci_bus_new(NULL, NULL);
    fake_board.pci = bus;
    host = fake_device(&i440fx_class);
    i440fx_connect(host, bus, rom);
    fake_realize(host);
    for (unsigned n = 0; n < 16; n++) {
        irq[n] = fake_line(n);
    }
    piix3 = fake_device(&piix3_class);
    piix3_connect(piix3, bus, irq);
    fake_realize(piix3);
    pm = fake_device(&piix4_pm_class);
    piix4_pm_connect(pm, bus, piix3_sci_input(piix3), (IrqLine){ 0 }, fake_line(33));
    fake_realize(pm);
    return 0;
}

static int teardown(void **state)
{
    fake_teardown(state);
    mem_unmap(&low);
    pci_bus_free(bus);
    free(rom);
    return 0;
}

static uint32_t cfg_read(unsigned devfn, unsigned reg, unsigned size)
{
    port_write(0xcf8, 0x80000000u | devfn << 8 | (reg & 0xfc), 4);
    return port_read((uint16_t)(0xcfc + (reg & 3)), size);
}
static void cfg_write(unsigned devfn, unsigned reg, uint32_t val, unsigned size)
{
    port_write(0xcf8, 0x80000000u | devfn << 8 | (reg & 0xfc), 4);
    port_write((uint16_t)(0xcfc + (reg & 3)), val, size);
}

static void test_ids(void **state)
{
    assert_int_equal(cfg_read(0, 0, 4), 0x12378086);
    assert_int_equal(cfg_read(8, 0, 4), 0x70008086);
    assert_int_equal(cfg_read(8, 0x0a, 2), 0x0601);
    assert_int_equal(cfg_read(8, 0x0e, 1), 0x80);
    assert_int_equal(cfg_read(11, 0, 4), 0x71138086);
    assert_int_equal(cfg_read(16, 0, 4), 0xffffffff);
    port_write(0xcf8, 0x00000800, 4); /* enable bit off */
    assert_int_equal(port_read(0xcfc, 4), 0xffffffff);
    cfg_write(8, 0, 0, 4); /* read-only */
    assert_int_equal(cfg_read(8, 0, 4), 0x70008086);
    assert_int_equal(port_read(0xcf8, 4), 0x80000800);
}

static void test_bars(void **state)
{
    FlatView *v;

    fake_realize(fake_device(&card_class));
    cfg_write(24, 0x10, 0xffffffff, 4);
    assert_int_equal(cfg_read(24, 0x10, 4), 0xffffe000);
    cfg_write(24, 0x14, 0xffffffff, 4);
    assert_int_equal(cfg_read(24, 0x14, 4), 0xffffffe1);
    cfg_write(24, 0x10, 0xe0000000, 4);
    cfg_write(24, 0x14, 0xc000, 4);
    assert_int_equal(in8(0xc000), 0xff); /* decoding is off */
    cfg_write(24, 4, 3, 2);
    assert_int_equal(in8(0xc01f), 0x42);
    assert_int_equal(mem_in(0xe0001fff, 1), 0x42);
    cfg_write(24, 0x10, 0xe0004000, 4);
    v = flat_view(false);
    assert_null(flat_find(v, 0xe0000000));
    flat_view_unref(v);
    assert_int_equal(mem_in(0xe0004000, 1), 0x42);
    cfg_write(24, 0x10, 0x00000000, 4);
    cfg_write(24, 0x10, 0x00002000, 4); /* over RAM: RAM wins */
    v = flat_view(false);
    assert_ptr_equal(flat_find(v, 0x2000)->region, &low);
    flat_view_unref(v);
    cfg_write(24, 0x14, 0x0020, 4);
    cfg_write(24, 0x14, 0xcf8 & ~0x1fu, 4); /* over the bus's own ports: not mapped */
    assert_int_equal(cfg_read(24, 0, 4), 0x56781234);
    devices_reset();
    assert_int_equal(cfg_read(24, 4, 2), 0);
    assert_int_equal(in8(0xc000), 0xff);
}

static void test_intx_routing(void **state)
{
    Card *c = container_of(fake_realize(fake_device(&card_class)), Card, pci.dev);
    IrqLine isa = piix3_isa_input(piix3, 10);

    pci_set_irq(&c->pci, 1); /* slot 3 pin A: PIRQC, which is off */
    assert_int_equal(fake_lines[10].level, 0);
    cfg_write(8, 0x62, 10, 1);
    assert_int_equal(fake_lines[10].level, 1);
    irq_set(&isa, 1);
    pci_set_irq(&c->pci, 0);
    assert_int_equal(fake_lines[10].level, 1); /* shared with the ISA device */
    irq_set(&isa, 0);
    assert_int_equal(fake_lines[10].level, 0);
    pci_set_irq(&c->pci, 1);
    assert_int_equal(cfg_read(24, 6, 2) & 8, 8);
    cfg_write(24, 4, 0x400, 2); /* INTx disable */
    assert_int_equal(fake_lines[10].level, 0);
    cfg_write(24, 4, 0, 2);
    cfg_write(8, 0x62, 11, 1);
    assert_int_equal(fake_lines[10].level, 0);
    assert_int_equal(fake_lines[11].level, 1);
}

static uint64_t msi_addr;
static uint32_t msi_data;
static unsigned msi_count;

static void msi_taken(void *opaque, uint64_t addr, uint32_t data)
{
    msi_addr = addr;
    msi_data = data;
    msi_count++;
}

static PciDevice *msi_card(void)
{
    Device *dev = fake_realize(fake_device(&card_class));

    msi_count = 0;
    pci_bus_set_msi(bus, msi_taken, NULL);
    return container_of(dev, PciDevice, dev);
}

/* "MSI Capability Structure" */
static void test_msi(void **state)
{
    PciDevice *d = msi_card();

    assert_int_equal(cfg_read(24, 6, 2) & 0x10, 0x10);
    assert_int_equal(cfg_read(24, 0x34, 1), 0x50);
    assert_int_equal(cfg_read(24, 0x50, 4), 0x01846805); /* 4 vectors, 64-bit, masks; next 68h */
    assert_int_equal(cfg_read(24, 0x68, 2), 0x0011);
    cfg_write(24, 0x54, 0xfee01003, 4);
    assert_int_equal(cfg_read(24, 0x54, 4), 0xfee01000);
    cfg_write(24, 0x58, 0, 4);
    cfg_write(24, 0x5c, 0x4143, 2);
    msi_notify(d, 1);
    assert_int_equal(msi_count, 0); /* off */
    pci_set_irq(d, 1);
    assert_true(d->intx);
    cfg_write(24, 0x52, 0x21, 2); /* on, four vectors */
    assert_false(d->intx);        /* and INTx is not used any more */
    msi_notify(d, 1);
    assert_int_equal(msi_count, 0); /* no bus master */
    cfg_write(24, 4, 4, 2);
    msi_notify(d, 2);
    assert_int_equal(msi_count, 1);
    assert_int_equal(msi_addr, 0xfee01000);
    assert_int_equal(msi_data, 0x4142);
    cfg_write(24, 0x60, 0xffffffff, 4);
    assert_int_equal(cfg_read(24, 0x60, 4), 0xf);
    msi_notify(d, 3);
    assert_int_equal(msi_count, 1);
    assert_int_equal(cfg_read(24, 0x64, 4), 8);
    cfg_write(24, 0x60, 0, 4);
    assert_int_equal(msi_count, 2);
    assert_int_equal(msi_data, 0x4143);
    assert_int_equal(cfg_read(24, 0x64, 4), 0);
    cfg_write(24, 0x52, 0x01, 2); /* one vector: the data as it is */
    msi_notify(d, 2);
    assert_int_equal(msi_data, 0x4143);
    cfg_write(24, 0x58, 1, 4); /* above 4 GiB there is nobody */
    msi_notify(d, 0);
    assert_int_equal(msi_count, 3);
    cfg_write(24, 0x52, 0, 2);
    assert_true(d->intx);
    pci_set_irq(d, 0);
}

/* "MSI-X Capability and Table Structures" */
static void test_msix(void **state)
{
    PciDevice *d = msi_card();

    assert_int_equal(cfg_read(24, 0x6a, 2), 2);
    assert_int_equal(cfg_read(24, 0x6c, 4), 2);
    assert_int_equal(cfg_read(24, 0x70, 4), 0x802);
    cfg_write(24, 0x18, 0xe0010000, 4);
    cfg_write(24, 4, 6, 2);
    assert_int_equal(mem_in(0xe001001c, 4), 1); /* masked after reset */
    mem_out(0xe0010010, 0xfee02000, 4);
    mem_out(0xe0010018, 0x55, 4);
    msix_notify(d, 1);
    assert_int_equal(mem_in(0xe0010800, 4), 0); /* off: lost */
    cfg_write(24, 0x6a, 0xc000, 2);
    assert_int_equal(cfg_read(24, 0x6a, 2), 0xc002);
    msix_notify(d, 1);
    assert_int_equal(mem_in(0xe0010800, 8), 2);
    mem_out(0xe001001c, 0, 4);
    assert_int_equal(msi_count, 0); /* the function is still masked */
    cfg_write(24, 0x6a, 0x8000, 2);
    assert_int_equal(msi_count, 1);
    assert_int_equal(msi_addr, 0xfee02000);
    assert_int_equal(msi_data, 0x55);
    assert_int_equal(mem_in(0xe0010800, 8), 0);
    mem_out(0xe0010800, 0xff, 4); /* read-only */
    assert_int_equal(mem_in(0xe0010800, 4), 0);
    mem_out(0xe0010030, 0xff, 4); /* behind the table */
    assert_int_equal(mem_in(0xe0010030, 4), 0);
    msix_notify(d, 3);
    assert_int_equal(msi_count, 1);
    devices_reset();
    assert_false(msix_enabled(d));
    cfg_write(24, 0x18, 0xe0010000, 4);
    cfg_write(24, 4, 6, 2);
    assert_int_equal(mem_in(0xe0010010, 4), 0);
}

static uint64_t written_at, written_len;

static void written(void *opaque, uint64_t at, uint64_t len)
{
    written_at = at;
    written_len = len;
}

/* A store to write-only RAM is told to the engines, who may hold code of it. */
static void test_pam_write_only(void **state)
{
    const MemListener l = { .written = written };

    mem_set_listener(&l);
    cfg_write(0, 0x5a, 0x02, 1);
    mem_out(0xc0ffc, 0x11223344, 4);
    assert_int_equal(ld_le32(ram_host() + 0xc0ffc), 0x11223344);
    assert_int_equal(written_at, 0xc0ffc);
    assert_int_equal(written_len, 4);
    cfg_write(0, 0x5a, 0x03, 1);
    assert_int_equal(mem_in(0xc0ffc, 4), 0x11223344);
    mem_set_listener(NULL);
}

static void test_pam_and_smram(void **state)
{
    uint8_t b = 0;

    assert_true(dma_read(0xf0000, &b, 1));
    assert_int_equal(b, 0xaa);
    cfg_write(0, 0x59, 0x30, 1); /* F0000h: RAM, read and write */
    b = 0x11;
    assert_true(dma_write(0xf0000, &b, 1));
    assert_int_equal(ram_host()[0xf0000], 0x11);
    cfg_write(0, 0x59, 0x10, 1); /* read-only */
    b = 0x22;
    dma_write(0xf0000, &b, 1);
    assert_int_equal(ram_host()[0xf0000], 0x11);
    dma_read(0xf0000, &b, 1);
    assert_int_equal(b, 0x11);
    cfg_write(0, 0x5a, 0x02, 1); /* C0000h: write RAM, read the bus */
    mem_out(0xc0010, 0x77, 1);
    assert_int_equal(ram_host()[0xc0010], 0x77);
    dma_read(0xc0010, &b, 1);
    assert_int_equal(b, 0xaa);
    assert_false(mem_peek(0xa0000, &b, 1, true));
    cfg_write(0, 0x72, 0x0a, 1); /* SMRAM on, closed */
    assert_false(mem_peek(0xa0000, &b, 1, false));
    assert_true(mem_peek(0xa0000, &b, 1, true));
    cfg_write(0, 0x72, 0x4a, 1); /* open */
    assert_true(mem_peek(0xa0000, &b, 1, false));
    cfg_write(0, 0x72, 0x5a, 1); /* locked: open is cleared and stays so */
    assert_int_equal(cfg_read(0, 0x72, 1), 0x1a);
    cfg_write(0, 0x72, 0x4a, 1);
    assert_int_equal(cfg_read(0, 0x72, 1), 0x1a);
    assert_false(mem_peek(0xa0000, &b, 1, false));
    devices_reset();
    assert_int_equal(cfg_read(0, 0x72, 1), 0x02);
}

static void test_reset_control(void **state)
{
    out8(0xcf9, 0x02);
    assert_int_equal(fake_resets, 0);
    out8(0xcf9, 0x06);
    assert_int_equal(fake_resets, 1);
    assert_int_equal(in8(0xcf9), 0x02);
    out8(0xcf9, 0x0e); /* the FADT's reset value */
    assert_int_equal(fake_resets, 2);
}

static void test_pm(void **state)
{
    uint32_t t;

    assert_int_equal(port_read(0x608, 4), 0xffffffff);
    piix4_pm_firmware(pm);
    t = port_read(0x608, 4);
    clock_step(NS_PER_SEC / 100);
    assert_in_range((port_read(0x608, 4) - t) & 0xffffff, 35794, 35797);
    assert_int_equal(port_read(0x604, 2), 0);
    out8(0xb2, PIIX4_ACPI_ENABLE);
    assert_int_equal(port_read(0x604, 2), 1);
    port_write(0x602, 0x0100, 2);
    piix4_pm_power_button(pm);
    assert_int_equal(fake_lines[9].level, 1);
    assert_int_equal(port_read(0x600, 2) & 0x100, 0x100);
    port_write(0x600, 0x0100, 2);
    assert_int_equal(fake_lines[9].level, 0);
    piix4_pm_gpe(pm, 1);
    assert_int_equal(fake_lines[9].level, 0);
    port_write(0xafe2, 2, 2);
    assert_int_equal(fake_lines[9].level, 1);
    port_write(0xafe0, 2, 2);
    assert_int_equal(fake_lines[9].level, 0);
    /* the timer's carry, every 2.34 s */
    port_write(0x600, 0xffff, 2);
    port_write(0x602, 0x0001, 2);
    clock_step(5 * NS_PER_SEC);
    assert_int_equal(fake_lines[9].level, 1);
    port_write(0x602, 0, 2);
    assert_int_equal(fake_lines[9].level, 0);
    port_write(0x604, 0x2001 | 5 << 10, 2); /* no such state */
    assert_int_equal(fake_shutdowns, 0);
    port_write(0x604, 0x2001, 2);
    assert_int_equal(fake_shutdowns, 1);
    assert_int_equal(fake_lines[33].rises, 0);
    cfg_write(11, 0x58, 0x02000000, 4); /* APMC_EN */
    out8(0xb2, PIIX4_ACPI_DISABLE);
    assert_int_equal(fake_lines[33].rises, 1);
    assert_int_equal(fake_lines[33].level, 0);
    assert_int_equal(port_read(0x604, 2) & 1, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_ids), T(test_bars), T(test_intx_routing), T(test_msi), T(test_msix), T(test_pam_and_smram),
        T(test_pam_write_only),
        T(test_reset_control), T(test_pm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
