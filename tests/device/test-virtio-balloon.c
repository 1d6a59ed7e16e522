/*
 * The virtio balloon by its queues: pages that go and come back, statistics, reports of free pages, and a machine that is
 * saved in between. With both kinds of rings.
 */
#include "tests/device/fake-virtio.h"

#include "hw/virtio/virtio-balloon.h"

enum { INFLATE = 0, DEFLATE = 1, STATS = 2, REPORT = 3, PFNS = VIO_BUF, PAGE = 4096, NUM_PAGES = 0x2000, ACTUAL = 0x2004,
       POISON = 0x200c };

extern const DeviceClass virtio_balloon_class;

static int setup(void **state)
{
    Device *dev;

    fake_pci_setup(state);
    dev = fake_device(&virtio_balloon_class);
    assert_true(device_set(dev, "free-page-reporting", "on", NULL) &&
                device_set(dev, "guest-stats-polling-interval", "1", NULL));
    vio_device(dev);
    return 0;
}
VIO_SETUPS(setup)

/* fill - @count pages from @at on with something. gone - of those, how many are zeros now. */
static void fill(uint32_t at, unsigned count)
{
    memset(ram(at), 0xaa, count * PAGE);
}
static unsigned gone(uint32_t at, unsigned count)
{
    unsigned n = 0;

    for (unsigned k = 0; k < count; k++) {
        n += *ram(at + k * PAGE) == 0 && *ram(at + k * PAGE + PAGE - 1) == 0;
    }
    return n;
}

static void test_pages(void **state)
{
    static const uint32_t pfns[] = { 0x80, 0x82, 0x9f, 0xa0, 0xfffff, FAKE_MMIO >> 12, 0xffffffff };

    vio_begin(vio_offered());
    fill(0x80000, 32);
    for (unsigned n = 0; n < ARRAY_SIZE(pfns); n++) { /* those that are not RAM are passed over */
        st_le32(ram(PFNS + 4 * n), pfns[n]);
    }
    vio_give(INFLATE, PFNS, sizeof(pfns), false);
    vio_done(INFLATE, 0);
    assert_int_equal(gone(0x80000, 32), 3);
    assert_int_equal(*ram(0x81000), 0xaa);
    vio_give(DEFLATE, PFNS, sizeof(pfns), false);
    vio_done(DEFLATE, 0);
    vio_give(INFLATE, FAKE_MMIO, 64, false); /* numbers that are not in memory */
    vio_done(INFLATE, 0);
    assert_int_equal(gone(0x80000, 32), 3);
}

/* More than is done at a time; the rest after others had their turn, and in a machine that was loaded. */
static void test_many_pages(void **state)
{
    enum { FIRST = 0x10000 / 4 };

    vio_begin(vio_offered());
    fill(0x80000, 32);
    for (unsigned n = 0; n < FIRST; n++) {
        st_le32(ram(PFNS + 4 * n), n < 4096 ? 0x80 : 0x81);
    }
    vio_give(INFLATE, PFNS, 4 * 5000, false);
    vio_none(INFLATE);
    assert_int_equal(gone(0x80000, 2), 1);
    fake_reload();
    *ram(0x80000) = 0xaa; /* done already: not again */
    clock_step(0);
    vio_done(INFLATE, 0);
    assert_int_equal(*ram(0x80000), 0xaa);
    assert_int_equal(gone(0x81000, 1), 1);
}

static void test_size(void **state)
{
    uint64_t bytes;

    vio_begin(vio_offered());
    assert_true(balloon_get(&bytes, NULL));
    assert_int_equal(bytes, 2 << 20);
    vio_get(0x1000, 1);
    assert_true(balloon_set(1 << 20, NULL));
    assert_int_equal(vio_get(0x1000, 1), 3); /* look at the configuration */
    assert_int_equal(vio_get(NUM_PAGES, 4), 256);
    vio_set(ACTUAL, 100, 4);
    vio_set(NUM_PAGES, 7, 4); /* the device's */
    vio_set(POISON, 0x5a5a5a5a, 4);
    fake_reload();
    assert_int_equal(vio_get(NUM_PAGES, 4), 256);
    assert_int_equal(vio_get(ACTUAL, 4), 100);
    assert_int_equal(vio_get(POISON, 4), 0x5a5a5a5a);
    assert_true(balloon_get(&bytes, NULL));
    assert_int_equal(bytes, (2 << 20) - 100 * PAGE);
    assert_false(balloon_set(0, NULL));
    vio_set(ACTUAL, 0xffffffff, 4);
    assert_true(balloon_get(&bytes, NULL));
    assert_int_equal(bytes, 0);
}

/* The driver's buffer stays here until there shall be new ones; a machine that was loaded asks when the other would have. */
static void test_stats(void **state)
{
    vio_begin(vio_offered());
    st_le16(ram(PFNS), 5);
    st_le64(ram(PFNS + 2), 123456789);
    st_le16(ram(PFNS + 10), 99); /* of no known kind */
    vio_give(STATS, PFNS, 20, false);
    clock_step(NS_PER_SEC - 1);
    vio_none(STATS);
    fake_reload();
    vio_none(STATS);
    clock_step(1);
    vio_done(STATS, 0);
    clock_step(5 * NS_PER_SEC); /* the driver is slow */
    vio_none(STATS);
    fake_reload();
    vio_give(STATS, PFNS, 20, false);
    vio_none(STATS);
    clock_step(NS_PER_SEC);
    vio_done(STATS, 0);
    assert_false(vio_broken());
}

static void test_reports(void **state)
{
    const VioBuf b[] = { { 0x82000, 2 * PAGE, true }, { 0x90000 + 512, 2 * PAGE, true }, { FAKE_MMIO, PAGE, true } };

    vio_begin(vio_offered());
    fill(0x80000, 32);
    vio_put(REPORT, b, 3);
    vio_kick(REPORT);
    vio_done(REPORT, 0);
    assert_int_equal(gone(0x80000, 32), 3); /* whole ones */
    vio_set(POISON, 0xaaaaaaaa, 4); /* the driver wants that in them */
    fake_reload();
    fill(0x80000, 32);
    vio_put(REPORT, b, 3);
    vio_kick(REPORT);
    vio_done(REPORT, 0);
    assert_int_equal(gone(0x80000, 32), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VIO_TESTS(test_pages, setup), VIO_TESTS(test_many_pages, setup), VIO_TESTS(test_size, setup),
        VIO_TESTS(test_stats, setup), VIO_TESTS(test_reports, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
