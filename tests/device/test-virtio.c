/*
 * Virtio by a driver that does not keep the rules: split rings and chains of every bad form, on the entropy device; packed
 * ones are in test-virtio-packed.c. What drivers that do keep them see, real guests judge (tests/system/test_virtio.py).
 */
#include "tests/device/fake-virtio.h"

enum { DESC = VIO_RINGS, AVAIL = VIO_RINGS + VIO_AVAIL, USED = VIO_RINGS + VIO_USED, TABLE = 0x13000, BUF = 0x20000,
       SIZE = VIO_SIZE };
enum { NEXT = VIO_NEXT, WRITE = VIO_WRITE, INDIRECT = VIO_INDIRECT };

extern const DeviceClass virtio_rng_class;

static int setup(void **state)
{
    fake_pci_setup(state);
    vio_packed = false;
    vio_device(fake_device(&virtio_rng_class));
    return 0;
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
    vio_set(0x3000, 0, 2);
}

static unsigned used(void)
{
    return ld_le16(ram(USED + 2));
}

static void test_good(void **state)
{
    vio_begin(1u << 28);
    desc(DESC, 3, BUF, 100, WRITE, 0);
    offer(3);
    assert_int_equal(used(), 1);
    assert_int_equal(ld_le32(ram(USED + 4)), 3);
    assert_int_equal(ld_le32(ram(USED + 8)), 100);
    assert_int_equal(fake_irq, 1);
    assert_int_equal(vio_get(0x1000, 1), 1); /* the ISR, which is cleared by that */
    assert_int_equal(fake_irq, 0);
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

    if (!(vio_get(0x14, 1) & 64)) {
        fail_msg("%s: the device goes on", what);
    }
    desc(DESC, 7, BUF, 16, WRITE, 0);
    offer(7);
    assert_int_equal(used(), before);
    vio_begin(1u << 28);
    desc(DESC, 7, BUF, 16, WRITE, 0);
    offer(7);
    assert_int_equal(used(), 1);
    vio_begin(1u << 28);
}

static void test_bad_chains(void **state)
{
    vio_begin(1u << 28);
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
    vio_set(0x3000, 0, 2);
    broken("more than the ring holds");
    vio_begin(0);
    desc(DESC, 0, TABLE, 16, INDIRECT, 0);
    offer(0);
    broken("a table that was not agreed on");
}

/* Buffers where there is no memory, or a device's registers, or more than 4 GiB of them. */
static void test_bad_buffers(void **state)
{
    vio_begin(0);
    desc(DESC, 0, FAKE_MMIO, 16, WRITE, 0);
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
        vio_begin(0);
        vio_set(0x14, 0, 1);
        vio_set(0x14, 3, 1);
        vio_set(0x08, 1, 4);
        vio_set(0x0c, 1, 4);
        vio_set(0x14, 0xb, 1);
        vio_set(0x20, n == 0 ? FAKE_MMIO : DESC, 4);
        vio_set(0x28, n == 1 ? 0xfffffff0 : AVAIL, 4);
        vio_set(0x30, n == 2 ? 0x9fffc : USED, 4);
        vio_set(0x1c, 1, 2);
        vio_set(0x14, 0xf, 1);
        desc(DESC, 0, BUF, 16, WRITE, 0);
        st_le16(ram(AVAIL + 2), 1);
        vio_set(0x3000, 0, 2);
        assert_int_equal(vio_get(0x14, 1) & 64, 64);
    }
}

/* What the driver may not do is not done. */
static void test_registers(void **state)
{
    vio_set(0x14, 3, 1);
    vio_set(0x08, 0, 4);
    vio_set(0x0c, 0xffffffff, 4); /* features that were not offered */
    vio_set(0x14, 0xb, 1);
    assert_int_equal(vio_get(0x14, 1), 3);
    vio_set(0x14, 0, 1);
    vio_set(0x16, 0, 2);
    vio_set(0x18, 3, 2);
    assert_int_equal(vio_get(0x18, 2), 8); /* not a power of two */
    vio_set(0x18, 4096, 2);
    assert_int_equal(vio_get(0x18, 2), 8);
    vio_set(0x16, 1, 2);
    assert_int_equal(vio_get(0x18, 2), 0); /* there is no such queue */
    vio_set(0x1a, 7, 2);
    vio_set(0x16, 0, 2);
    vio_set(0x1a, 7, 2);
    assert_int_equal(vio_get(0x1a, 2), 0xffff); /* nor such a vector */
    vio_set(0x3000 + 4 * 77, 0, 2);
    vio_begin(0);
    vio_set(0x20, 0x1234, 4); /* a ring that is in use stays where it is */
    assert_int_equal(vio_get(0x20, 4), DESC);
    assert_int_equal(port_read(FAKE_IO + 8, 4), DESC / 4096);
    assert_int_equal(port_read(FAKE_IO + 12, 2), 8);
    out8(FAKE_IO + 18, 0);
    assert_int_equal(vio_get(0x14, 1), 0);
}

/* 4.1.4.9: the same registers by configuration space alone, and nothing outside of them. */
static void test_window(void **state)
{
    PciDevice *d = pci_bus_find(fake_bus, PCI_DEVFN(1, 0));
    unsigned cap = pci_config_read(d, 0x34, 1);

    while (cap != 0 && !(pci_config_read(d, cap, 1) == 9 && pci_config_read(d, cap + 3, 1) == 5)) {
        cap = pci_config_read(d, cap + 1, 1);
    }
    assert_int_not_equal(cap, 0);
    assert_int_equal(pci_config_read(d, cap + 2, 1), 20);
    vio_begin(0);
    pci_config_write(d, cap + 4, 4, 1);
    pci_config_write(d, cap + 8, 0x18, 4);
    pci_config_write(d, cap + 12, 2, 4);
    assert_int_equal(pci_config_read(d, cap + 16, 2), SIZE);
    pci_config_write(d, cap + 8, 0x14, 4);
    pci_config_write(d, cap + 12, 1, 4);
    assert_int_equal(pci_config_read(d, cap + 16, 1), 1 | 2 | 4 | 8);
    pci_config_write(d, cap + 16, 0, 1); /* a reset */
    assert_int_equal(vio_get(0x14, 1), 0);
    vio_set(0x14, 1, 1);
    for (unsigned n = 0; n < 5; n++) { /* another BAR, another width, off, not aligned, behind the end */
        static const uint32_t bad[5][3] = { { 0, 0x14, 1 }, { 4, 0x14, 3 }, { 4, 0x14, 0 }, { 4, 0x15, 2 }, { 4, 0xfffffffc, 4 } };

        pci_config_write(d, cap + 4, bad[n][0], 1);
        pci_config_write(d, cap + 8, bad[n][1], 4);
        pci_config_write(d, cap + 12, bad[n][2], 4);
        pci_config_write(d, cap + 16, 0, 4);
        assert_int_equal(pci_config_read(d, cap + 16, 4), 0);
        assert_int_equal(vio_get(0x14, 1), 1);
    }
}

#define VIRTIO_TEST(f) cmocka_unit_test_setup_teardown(f, setup, fake_pci_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VIRTIO_TEST(test_good), VIRTIO_TEST(test_bad_chains), VIRTIO_TEST(test_bad_buffers), VIRTIO_TEST(test_bad_rings),
        VIRTIO_TEST(test_registers), VIRTIO_TEST(test_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
