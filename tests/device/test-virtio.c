/*
 * Virtio by a driver that does not keep the rules: rings and chains of every bad form, on the entropy device. What
 * drivers that do keep them see, real guests judge (tests/system/test_virtio.py).
 */
#include "tests/device/fake.h"

#include "base/mem.h"
#include "hw/pci/pci.h"
#include "hw/virtio/virtio.h"

enum { MODERN = 0x80000000u, LEGACY = 0xc000, DESC = 0x10000, AVAIL = 0x11000, USED = 0x12000, TABLE = 0x13000,
       BUF = 0x20000, SIZE = 8, RAM = 1 << 20 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

extern const DeviceClass virtio_rng_class;

static PciBus *bus;
static IoRegion low;
static int irq;
static Device *dev;

static void set_pirq(void *opaque, unsigned pirq, int level)
{
    irq = level;
}

static uint8_t *ram(uint32_t at)
{
    return ram_host() + at;
}

static uint32_t get(uint32_t at, unsigned size)
{
    return (uint32_t)mem_in(MODERN + at, size);
}

static void set(uint32_t at, uint32_t val, unsigned size)
{
    mem_out(MODERN + at, val, size);
}

static int setup(void **state)
{
    PciDevice *d;

    fake_setup(state);
    if (ram_host() == NULL) {
        assert_true(ram_create(2 << 20, NULL));
    }
    memset(ram_host(), 0, RAM);
    ram_region_init(&low, "low", 0, 0xa0000);
    assert_true(mem_map(&low, 0, 0, false, NULL));
    bus = pci_bus_new(set_pirq, NULL);
    fake_board.pci = bus;
    irq = 0;
    dev = fake_device(&virtio_rng_class);
    fake_realize(dev);
    d = pci_bus_find(bus, PCI_DEVFN(1, 0));
    pci_config_write(d, PCI_BAR0, LEGACY, 4);
    pci_config_write(d, PCI_BAR0 + 16, MODERN, 4);
    pci_config_write(d, PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
    return 0;
}

static int teardown(void **state)
{
    devices_free_all();
    mem_unmap(&low);
    pci_bus_free(bus);
    return 0;
}

/* begin - as 3.1.1 has it, with @features of the lower half. */
static void begin(uint32_t features)
{
    set(0x14, 0, 1);
    set(0x14, 1 | 2, 1);
    set(0x08, 0, 4);
    set(0x0c, features, 4);
    set(0x08, 1, 4);
    set(0x0c, 1, 4); /* VERSION_1 */
    set(0x14, 1 | 2 | 8, 1);
    assert_int_equal(get(0x14, 1), 1 | 2 | 8);
    set(0x16, 0, 2);
    set(0x18, SIZE, 2);
    set(0x20, DESC, 4);
    set(0x28, AVAIL, 4);
    set(0x30, USED, 4);
    set(0x1c, 1, 2);
    set(0x14, 1 | 2 | 4 | 8, 1);
    memset(ram(DESC), 0, 0x4000);
}

static void desc(uint32_t table, unsigned n, uint64_t addr, uint32_t len, unsigned flags, unsigned next)
{
    st_le64(ram(table + 16 * n), addr);
    st_le32(ram(table + 16 * n + 8), len);
    st_le16(ram(table + 16 * n + 12), (uint16_t)flags);
    st_le16(ram(table + 16 * n + 14), (uint16_t)next);
}

/* offer - chain @head to the device, and kick. */
static void offer(unsigned head)
{
    unsigned at = ld_le16(ram(AVAIL + 2));

    st_le16(ram(AVAIL + 4 + 2 * (at % SIZE)), (uint16_t)head);
    st_le16(ram(AVAIL + 2), (uint16_t)(at + 1));
    set(0x3000, 0, 2);
}

static unsigned used(void)
{
    return ld_le16(ram(USED + 2));
}

static void test_good(void **state)
{
    begin(1u << 28);
    desc(DESC, 3, BUF, 100, WRITE, 0);
    offer(3);
    assert_int_equal(used(), 1);
    assert_int_equal(ld_le32(ram(USED + 4)), 3);
    assert_int_equal(ld_le32(ram(USED + 8)), 100);
    assert_int_equal(irq, 1);
    assert_int_equal(get(0x1000, 1), 1); /* the ISR, which is cleared by that */
    assert_int_equal(irq, 0);
    desc(DESC, 0, TABLE, 32, INDIRECT, 0); /* a chain of two in a table */
    desc(TABLE, 0, BUF, 64, WRITE | NEXT, 1);
    desc(TABLE, 1, BUF + 0x1000, 64, WRITE, 0);
    offer(0);
    assert_int_equal(used(), 2);
    assert_int_equal(ld_le32(ram(USED + 8 + 8)), 128);
}

/* broken - @what was done: the device asks for a reset, does no more, and works again after one. */
static void broken(const char *what)
{
    unsigned before = used();

    if (!(get(0x14, 1) & 64)) {
        fail_msg("%s: the device goes on", what);
    }
    desc(DESC, 7, BUF, 16, WRITE, 0);
    offer(7);
    assert_int_equal(used(), before);
    begin(1u << 28);
    desc(DESC, 7, BUF, 16, WRITE, 0);
    offer(7);
    assert_int_equal(used(), 1);
    begin(1u << 28);
}

static void test_bad_chains(void **state)
{
    begin(1u << 28);
    desc(DESC, 0, BUF, 16, WRITE | NEXT, 0);
    offer(0);
    broken("a chain that leads to itself");
    desc(DESC, 0, BUF, 16, WRITE | NEXT, SIZE);
    offer(0);
    broken("a next one beyond the ring");
    offer(SIZE);
    broken("a head beyond the ring");
    desc(DESC, 0, BUF, 16, WRITE | NEXT, 1);
    desc(DESC, 1, BUF, 16, 0, 0);
    offer(0);
    broken("to read behind to write");
    desc(DESC, 0, TABLE, 17, INDIRECT, 0);
    offer(0);
    broken("a table of odd length");
    desc(DESC, 0, TABLE, 0, INDIRECT, 0);
    offer(0);
    broken("an empty table");
    desc(DESC, 0, TABLE, 16, INDIRECT | NEXT, 1);
    offer(0);
    broken("a table with one behind it");
    desc(DESC, 0, TABLE, 16, INDIRECT, 0);
    desc(TABLE, 0, TABLE, 16, INDIRECT, 0);
    offer(0);
    broken("a table in a table");
    desc(DESC, 0, TABLE, 0x7fffffff & ~15u, INDIRECT, 0);
    offer(0);
    broken("a table of 2 GiB");
    desc(DESC, 0, 0xa0000 - 8, 16, INDIRECT, 0);
    offer(0);
    broken("a table that is not in memory");
    st_le16(ram(AVAIL + 2), SIZE + 1);
    set(0x3000, 0, 2);
    broken("more than the ring holds");
    begin(0);
    desc(DESC, 0, TABLE, 16, INDIRECT, 0);
    offer(0);
    broken("a table that was not agreed on");
}

/* Buffers where there is no memory, or a device's registers, or more than 4 GiB of them. */
static void test_bad_buffers(void **state)
{
    begin(0);
    desc(DESC, 0, MODERN, 16, WRITE, 0);
    offer(0);
    assert_int_equal(used(), 1);
    assert_int_equal(ld_le32(ram(USED + 8)), 0);
    desc(DESC, 0, UINT64_MAX - 4, 16, WRITE, 0);
    offer(0);
    assert_int_equal(used(), 2);
    desc(DESC, 0, BUF, UINT32_MAX, WRITE | NEXT, 1);
    desc(DESC, 1, BUF, UINT32_MAX, WRITE, 0);
    offer(0);
    broken("8 GiB");
}

static void test_bad_rings(void **state)
{
    for (unsigned n = 0; n < 3; n++) {
        begin(0);
        set(0x14, 0, 1);
        set(0x14, 3, 1);
        set(0x08, 1, 4);
        set(0x0c, 1, 4);
        set(0x14, 0xb, 1);
        set(0x20, n == 0 ? MODERN : DESC, 4);
        set(0x28, n == 1 ? 0xfffffff0 : AVAIL, 4);
        set(0x30, n == 2 ? 0x9fffc : USED, 4);
        set(0x1c, 1, 2);
        set(0x14, 0xf, 1);
        desc(DESC, 0, BUF, 16, WRITE, 0);
        st_le16(ram(AVAIL + 2), 1);
        set(0x3000, 0, 2);
        assert_int_equal(get(0x14, 1) & 64, 64);
    }
}

/* What the driver may not do is not done. */
static void test_registers(void **state)
{
    set(0x14, 3, 1);
    set(0x08, 0, 4);
    set(0x0c, 0xffffffff, 4); /* features that were not offered */
    set(0x14, 0xb, 1);
    assert_int_equal(get(0x14, 1), 3);
    set(0x14, 0, 1);
    set(0x16, 0, 2);
    set(0x18, 3, 2);
    assert_int_equal(get(0x18, 2), 8); /* not a power of two */
    set(0x18, 4096, 2);
    assert_int_equal(get(0x18, 2), 8);
    set(0x16, 1, 2);
    assert_int_equal(get(0x18, 2), 0); /* there is no such queue */
    set(0x1a, 7, 2);
    set(0x16, 0, 2);
    set(0x1a, 7, 2);
    assert_int_equal(get(0x1a, 2), 0xffff); /* nor such a vector */
    set(0x3000 + 4 * 77, 0, 2);
    begin(0);
    set(0x20, 0x1234, 4); /* a ring that is in use stays where it is */
    assert_int_equal(get(0x20, 4), DESC);
    assert_int_equal(port_read(LEGACY + 8, 4), DESC / 4096);
    assert_int_equal(port_read(LEGACY + 12, 2), 8);
    out8(LEGACY + 18, 0);
    assert_int_equal(get(0x14, 1), 0);
}

#define VIRTIO_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* 4.1.4.9: the same registers by configuration space alone, and nothing outside of them. */
static void test_window(void **state)
{
    PciDevice *d = pci_bus_find(bus, PCI_DEVFN(1, 0));
    unsigned cap = pci_config_read(d, 0x34, 1);

    while (cap != 0 && !(pci_config_read(d, cap, 1) == 9 && pci_config_read(d, cap + 3, 1) == 5)) {
        cap = pci_config_read(d, cap + 1, 1);
    }
    assert_int_not_equal(cap, 0);
    assert_int_equal(pci_config_read(d, cap + 2, 1), 20);
    begin(0);
    pci_config_write(d, cap + 4, 4, 1);
    pci_config_write(d, cap + 8, 0x18, 4);
    pci_config_write(d, cap + 12, 2, 4);
    assert_int_equal(pci_config_read(d, cap + 16, 2), SIZE);
    pci_config_write(d, cap + 8, 0x14, 4);
    pci_config_write(d, cap + 12, 1, 4);
    assert_int_equal(pci_config_read(d, cap + 16, 1), 1 | 2 | 4 | 8);
    pci_config_write(d, cap + 16, 0, 1); /* a reset */
    assert_int_equal(get(0x14, 1), 0);
    set(0x14, 1, 1);
    for (unsigned n = 0; n < 5; n++) { /* another BAR, another width, off, not aligned, behind the end */
        static const uint32_t bad[5][3] = { { 0, 0x14, 1 }, { 4, 0x14, 3 }, { 4, 0x14, 0 }, { 4, 0x15, 2 }, { 4, 0xfffffffc, 4 } };

        pci_config_write(d, cap + 4, bad[n][0], 1);
        pci_config_write(d, cap + 8, bad[n][1], 4);
        pci_config_write(d, cap + 12, bad[n][2], 4);
        pci_config_write(d, cap + 16, 0, 4);
        assert_int_equal(pci_config_read(d, cap + 16, 4), 0);
        assert_int_equal(get(0x14, 1), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VIRTIO_TEST(test_good), VIRTIO_TEST(test_bad_chains), VIRTIO_TEST(test_bad_buffers), VIRTIO_TEST(test_bad_rings),
        VIRTIO_TEST(test_registers),
        VIRTIO_TEST(test_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
