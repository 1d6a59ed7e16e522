/* fw_cfg, against its published specification; also the small ports around it. */
#include "tests/device/fake.h"

#include "hw/input/i8042.h"
#include "hw/misc/fw_cfg.h"
#include "hw/misc/port92.h"

static IoRegion ram;

static int setup(void **state)
{
    fake_setup(state);
    if (ram_host() == NULL) {
        assert_true(ram_create(1 << 20, NULL));
    }
    ram_region_init(&ram, "ram", 0, 1 << 20);
    assert_true(mem_map(&ram, 0, 0, false, NULL));
    return 0;
}

static int teardown(void **state)
{
    fake_teardown(state);
    mem_unmap(&ram);
    return 0;
}

static void select_key(uint16_t key)
{
    port_write(0x510, key, 2);
}

static void test_signature_and_files(void **state)
{
    FwCfg *f = fw_cfg_of(fake_realize(fake_device(&fw_cfg_class)));
    char text[5] = { 0 }, name[57] = { 0 };
    Error *err = NULL;

    select_key(0);
    for (unsigned i = 0; i < 4; i++) {
        text[i] = (char)in8(0x511);
    }
    assert_string_equal(text, "QEMU");
    assert_int_equal(in8(0x511), 0); /* beyond the end */
    select_key(1);
    assert_int_equal(in8(0x511), 3);
    assert_true(fw_cfg_add_file(f, "opt/a", "hello", 5, &err));
    assert_true(fw_cfg_add_file(f, "etc/b", "x", 1, &err));
    assert_true(fw_cfg_add_file(f, "opt/a", "bye", 3, &err)); /* replaced */
    select_key(0x19);
    assert_int_equal(in8(0x511) << 24 | in8(0x511) << 16 | in8(0x511) << 8 | in8(0x511), 2);
    assert_int_equal(in8(0x511) << 24 | in8(0x511) << 16 | in8(0x511) << 8 | in8(0x511), 3);
    assert_int_equal(in8(0x511) << 8 | in8(0x511), 0x20);
    in8(0x511);
    in8(0x511);
    for (unsigned i = 0; i < 56; i++) {
        name[i] = (char)in8(0x511);
    }
    assert_string_equal(name, "opt/a");
    select_key(0x20);
    assert_int_equal(in8(0x511), 'b');
    assert_false(fw_cfg_add_file(
        f, "a-name-that-is-longer-than-the-fifty-five-characters-allowed", "", 0, &err));
    expect_error(&err, "longer");
    select_key(0x7fff); /* nothing there */
    assert_int_equal(in8(0x511), 0);
}

/* dma - descriptor at 1000h; returns the control word afterwards. */
static uint32_t dma(uint32_t control, uint32_t len, uint64_t addr)
{
    uint8_t d[16];

    st_le32(d, __builtin_bswap32(control));
    st_le32(d + 4, __builtin_bswap32(len));
    st_le64(d + 8, __builtin_bswap64(addr));
    dma_write(0x1000, d, sizeof(d));
    port_write(0x514, 0, 4);
    port_write(0x518, __builtin_bswap32(0x1000), 4);
    dma_read(0x1000, d, 4);
    return __builtin_bswap32(ld_le32(d));
}

static void test_dma(void **state)
{
    FwCfg *f = fw_cfg_of(fake_realize(fake_device(&fw_cfg_class)));
    uint8_t buf[8];

    assert_int_equal(port_read(0x514, 4), __builtin_bswap32(0x51454d55));
    assert_int_equal(port_read(0x518, 4), __builtin_bswap32(0x20434647));
    fw_cfg_add_file(f, "opt/a", "0123456789", 10, NULL);
    memset(ram_host() + 0x2000, 0xee, 32);
    assert_int_equal(dma(0x20 << 16 | 0x8 | 0x2, 4, 0x2000), 0);
    assert_int_equal(dma(0x4, 2, 0), 0); /* skip */
    assert_int_equal(dma(0x2, 8, 0x2004), 0);
    dma_read(0x2000, buf, 8);
    assert_memory_equal(buf, "01236789", 8);
    assert_memory_equal(ram_host() + 0x2008, "\0\0\0\0\xee", 5); /* zeros beyond the end */
    assert_int_equal(dma(0x20 << 16 | 0x8 | 0x10, 4, 0x2000), 1); /* not writable */
    assert_int_equal(dma(0x20 << 16 | 0x8 | 0x2, 4, 0x10000000), 1); /* no memory there */
    assert_int_equal(dma(0x2, 0xffffffff, 0xffffffffffffff00), 1);
}

static unsigned written;

static void on_written(void *opaque)
{
    written++;
}

static void test_writable(void **state)
{
    FwCfg *f = fw_cfg_of(fake_realize(fake_device(&fw_cfg_class)));
    uint8_t mine[8] = "abcdefg";

    written = 0;
    assert_true(fw_cfg_add_writable(f, "etc/a", mine, sizeof(mine), on_written, NULL, NULL));
    select_key(0x20);
    assert_int_equal(in8(0x511), 'a');
    memcpy(ram_host() + 0x2000, "01234567", 8);
    assert_int_equal(dma(0x20 << 16 | 0x8 | 0x10, 4, 0x2000), 0);
    assert_memory_equal(mine, "0123efg", 8);
    assert_int_equal(dma(0x10, 4, 0x2004), 0);
    assert_memory_equal(mine, "01234567", 8);
    assert_int_equal(written, 2);
    assert_int_equal(dma(0x10, 1, 0x2000), 1); /* its end */
    assert_int_equal(dma(0x20 << 16 | 0x8 | 0x10, 9, 0x2000), 1);
    assert_int_equal(dma(0x20 << 16 | 0x8 | 0x10, 0xffffffff, 0x2000), 1);
    assert_int_equal(dma(0x20 << 16 | 0x8 | 0x10, 8, 0x10000000), 1); /* no memory there */
    assert_memory_equal(mine, "01234567", 8);
    assert_int_equal(written, 2);
    fw_cfg_drop_writable(f, mine);
    select_key(0x20);
    assert_int_equal(in8(0x511), 0);
}

static void test_port92_and_8042(void **state)
{
    Device *p92 = fake_realize(fake_device(&port92_class)), *kbd = fake_device(&i8042_class);

    i8042_connect(kbd, port92_set_a20, port92_a20, p92);
    fake_realize(kbd);
    assert_int_equal(in8(0x92) & 2, 2);
    out8(0x64, 0xd1);
    out8(0x60, 0xdd);
    assert_int_equal(in8(0x92) & 2, 0);
    out8(0x92, 0x02);
    out8(0x64, 0xd0);
    assert_int_equal(in8(0x60) & 2, 2);
    assert_int_equal(fake_resets, 0);
    out8(0x92, 0x03);
    assert_int_equal(fake_resets, 1);
    out8(0x64, 0xfe);
    assert_int_equal(fake_resets, 2);
    out8(0x64, 0xaa);
    assert_int_equal(in8(0x64) & 1, 1);
    assert_int_equal(in8(0x60), 0x55);
    assert_int_equal(in8(0x64) & 1, 0);
    out8(0x64, 0x60);
    out8(0x60, 0x41); /* interrupts on */
    out8(0x60, 0xee); /* to the keyboard: echo */
    assert_int_equal(fake_lines[1].level, 1);
    assert_int_equal(in8(0x64) & 0x41, 0x01);
    assert_int_equal(in8(0x60), 0xee);
    assert_int_equal(fake_lines[1].level, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_signature_and_files), T(test_dma), T(test_writable), T(test_port92_and_8042),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
