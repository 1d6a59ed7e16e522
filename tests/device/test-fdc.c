/*
 * The floppy controller and its drives through their ports, by the 82077AA data sheet: reset, seeks, transfers by
 * DMA and by the processor, formatting, errors, the change line. The image is a temporary file; requests take
 * fixed virtual time.
 */
#include "tests/device/fake.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "block/block.h"
#include "bus/state.h"
#include "hw/block/fdc.h"
#include "hw/dma/i8237.h"

#define RAM (1u << 20)
#define BUFFER 0x20000u

static IoRegion low;
static Device *fdc;
static char path[64];
static BlockBackend *disk;

static uint8_t disk_byte(unsigned sector, unsigned n)
{
    return (uint8_t)(sector * 13 + n);
}

static void make_image(unsigned sectors)
{
    uint8_t *data = xnewn(uint8_t, sectors * 512);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    for (unsigned n = 0; n < sectors * 512; n++) {
        data[n] = disk_byte(n / 512, n % 512);
    }
    assert_int_equal(write(fd, data, sectors * 512), sectors * 512);
    close(fd);
    free(data);
}

static void setup_with(unsigned sectors, bool read_only)
{
    BlockParams p = { .name = "floppy0", .file = path, .format = "raw", .read_only = read_only };
    Device *dma;

    strcpy(path, "/tmp/doppel-fdc-XXXXXX");
    close(mkstemp(path));
    make_image(sectors);
    block_setup(&machine_lock_guard, true);
    if (ram_host() == NULL) {
        assert_true(ram_create(RAM, NULL));
        ram_region_init(&low, "low", 0, RAM);
        assert_true(mem_map(&low, 0, 0, false, NULL));
    }
    memset(ram_host(), 0, RAM);
    disk = blk_new(&p, NULL);
    dma = fake_realize(fake_device(&i8237_class));
    fake_board.isa_dma = i8237_dma(dma);
    fdc = fake_device(&fdc_class);
    fdc_set_drive(fdc, 0, disk);
    fake_realize(fdc);
    out8(0xd4, 0); /* the cascade */
}

static int setup(void **state)
{
    fake_setup(state);
    setup_with(2880, false);
    return 0;
}

static int teardown(void **state)
{
    fake_teardown(state);
    machine_unlock();
    assert_true(block_close_all());
    machine_lock();
    unlink(path);
    return 0;
}

/* ---- helpers ---- */

static void send(const uint8_t *bytes, unsigned len)
{
    for (unsigned n = 0; n < len; n++) {
        assert_int_equal(in8(0x3f4) & 0xc0, 0x80); /* RQM, from the processor */
        out8(0x3f5, bytes[n]);
    }
}
#define SEND(...) send((const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))

/* result - the bytes of a result phase; returns how many. */
static unsigned result(uint8_t *r)
{
    unsigned n = 0;

    while ((in8(0x3f4) & 0xd0) == 0xd0) {
        assert_in_range(n, 0, 9);
        r[n++] = in8(0x3f5);
    }
    assert_int_equal(in8(0x3f4) & 0xd0, 0x80);
    return n;
}

static void wait_irq(void)
{
    for (unsigned n = 0; n < 2000 && !fake_lines[6].level; n++) {
        clock_step(NS_PER_MS);
    }
    assert_int_equal(fake_lines[6].level, 1);
}

static void sense(uint8_t st0, uint8_t pcn)
{
    uint8_t r[10];

    SEND(0x08);
    assert_int_equal(result(r), 2);
    assert_int_equal(r[0], st0);
    assert_int_equal(r[1], pcn);
}

/* start - as drivers do: reset, four sense interrupts, specify, data rate, recalibrate. */
static void start(uint8_t rate, bool nd)
{
    out8(0x3f2, 0x00);
    assert_int_equal(in8(0x3f4), 0);
    out8(0x3f2, 0x1c);
    wait_irq();
    for (unsigned n = 0; n < 4; n++) {
        sense((uint8_t)(0xc0 | n), 0);
    }
    assert_int_equal(fake_lines[6].level, 0);
    out8(0x3f7, rate);
    SEND(0x03, 0xdf, (uint8_t)(0x02 | nd));
    SEND(0x07, 0x00);
    wait_irq();
    sense(0x20, 0);
}

static void seek(uint8_t unit_head, uint8_t track)
{
    SEND(0x0f, unit_head, track);
    assert_int_equal(in8(0x3f4) & 0x0f, 1 << (unit_head & 3)); /* busy seeking */
    wait_irq();
    sense((uint8_t)(0x20 | unit_head), track);
    assert_int_equal(fake_lines[6].level, 0);
    assert_int_equal(in8(0x3f4) & 0x0f, 0);
}

static void program_dma(uint8_t mode, unsigned len)
{
    out8(0x0c, 0);
    out8(0x0b, (uint8_t)(mode | 2));
    out8(0x04, (uint8_t)BUFFER);
    out8(0x04, (uint8_t)(BUFFER >> 8));
    out8(0x05, (uint8_t)(len - 1));
    out8(0x05, (uint8_t)((len - 1) >> 8));
    out8(0x81, BUFFER >> 16);
    out8(0x0a, 2);
}

static void expect(const uint8_t want[7])
{
    uint8_t r[10];

    wait_irq();
    assert_int_equal(result(r), 7);
    assert_int_equal(fake_lines[6].level, 0);
    assert_memory_equal(r, want, 7);
}
#define EXPECT(...) expect((const uint8_t[7]){ __VA_ARGS__ })

static void read_file(unsigned sector, uint8_t *buf)
{
    int fd = open(path, O_RDONLY);

    assert_int_equal(pread(fd, buf, 512, sector * 512), 512);
    close(fd);
}

/* ---- tests ---- */

static void test_reset_and_control(void **state)
{
    uint8_t r[10];

    start(0, false);
    SEND(0x08); /* nothing to report */
    assert_int_equal(result(r), 1);
    assert_int_equal(r[0], 0x80);
    SEND(0x10);
    assert_int_equal(result(r), 1);
    assert_int_equal(r[0], 0x90);
    SEND(0x18); /* no 82078 */
    assert_int_equal(result(r), 1);
    assert_int_equal(r[0], 0x80);
    SEND(0x04, 0x04);
    assert_int_equal(result(r), 1);
    assert_int_equal(r[0], 0x3c); /* ready, track 0, head 1 */
    SEND(0x13, 0, 0x57, 3);
    SEND(0x94);
    assert_int_equal(result(r), 1);
    assert_int_equal(r[0], 0x10);
    SEND(0x0e);
    assert_int_equal(result(r), 10);
    assert_int_equal(r[4], 0xdf);
    assert_int_equal(r[7] & 0x80, 0x80);
    assert_int_equal(r[8], 0x57);
    out8(0x3f4, 0x80); /* software reset: locked, so the configuration stays, polling off too */
    clock_step(NS_PER_MS);
    assert_int_equal(fake_lines[6].level, 0);
    SEND(0x0e);
    assert_int_equal(result(r), 10);
    assert_int_equal(r[8], 0x57);
    SEND(0x14);
    assert_int_equal(result(r), 1);
    out8(0x3f4, 0x80);
    clock_step(NS_PER_MS);
    assert_int_equal(fake_lines[6].level, 1); /* unlocked: the default polls */
}

static void test_read_dma(void **state)
{
    start(0, false);
    seek(4, 7);
    program_dma(0x44, 1024);
    SEND(0xe6, 0x04, 7, 1, 5, 2, 18, 0x1b, 0xff);
    EXPECT(0x04, 0, 0, 7, 1, 7, 2);
    for (unsigned n = 0; n < 1024; n++) {
        assert_int_equal(ram_host()[BUFFER + n], disk_byte((7 * 2 + 1) * 18 + 4 + n / 512, n % 512));
    }
    program_dma(0x44, 3 * 512); /* over the end of side 0: multi-track goes on on side 1 */
    SEND(0xe6, 0x00, 7, 0, 17, 2, 18, 0x1b, 0xff);
    EXPECT(0x04, 0, 0, 7, 1, 2, 2);
    assert_int_equal(ram_host()[BUFFER + 1024], disk_byte((7 * 2 + 1) * 18, 0));
    program_dma(0x44, 3 * 512); /* and without it the cylinder ends */
    SEND(0x66, 0x00, 7, 0, 17, 2, 18, 0x1b, 0xff);
    EXPECT(0x40, 0x80, 0, 8, 0, 1, 2);
}

static void test_write_and_format(void **state)
{
    uint8_t buf[512];

    start(0, false);
    seek(0, 3);
    for (unsigned n = 0; n < 700; n++) {
        ram_host()[BUFFER + n] = (uint8_t)(n * 3);
    }
    program_dma(0x48, 700);
    SEND(0xc5, 0x00, 3, 0, 2, 2, 18, 0x1b, 0xff);
    EXPECT(0x00, 0, 0, 3, 0, 4, 2);
    read_file(3 * 36 + 1, buf);
    assert_memory_equal(buf, ram_host() + BUFFER, 512);
    read_file(3 * 36 + 2, buf);
    assert_memory_equal(buf, ram_host() + BUFFER + 512, 188);
    assert_int_equal(buf[188], 0); /* padded */
    read_file(3 * 36 + 3, buf);
    assert_int_equal(buf[5], disk_byte(3 * 36 + 3, 5));

    for (unsigned n = 0; n < 18; n++) {
        memcpy(ram_host() + BUFFER + 4 * n, (const uint8_t[]){ 3, 1, (uint8_t)(n + 1), 2 }, 4);
    }
    program_dma(0x48, 72);
    SEND(0x4d, 0x04, 2, 18, 0x54, 0xf6);
    EXPECT(0x04, 0, 0, 3, 1, 18, 2);
    for (unsigned n = 0; n < 18; n++) {
        read_file(3 * 36 + 18 + n, buf);
        assert_int_equal(buf[0], 0xf6);
        assert_int_equal(buf[511], 0xf6);
    }
    read_file(4 * 36, buf);
    assert_int_equal(buf[0], disk_byte(4 * 36, 0));
}

static void test_processor_transfers(void **state)
{
    uint8_t buf[512];

    start(0, true);
    SEND(0x46, 0x00, 0, 0, 2, 2, 3, 0x1b, 0xff);
    for (unsigned sector = 1; sector < 3; sector++) {
        wait_irq();
        for (unsigned n = 0; n < 512; n++) {
            assert_int_equal(in8(0x3f4) & 0xf0, 0xf0); /* RQM, DIO, NDM, busy */
            assert_int_equal(in8(0x3f5), disk_byte(sector, n));
        }
    }
    EXPECT(0x40, 0x80, 0, 1, 0, 1, 2); /* no terminal count without DMA */
    SEND(0x45, 0x00, 0, 0, 9, 2, 9, 0x1b, 0xff);
    wait_irq();
    for (unsigned n = 0; n < 512; n++) {
        assert_int_equal(in8(0x3f4) & 0xf0, 0xb0);
        out8(0x3f5, (uint8_t)~n);
    }
    EXPECT(0x40, 0x80, 0, 1, 0, 1, 2);
    read_file(8, buf);
    assert_int_equal(buf[1], 0xfe);
}

static void test_errors(void **state)
{
    start(0, false);
    program_dma(0x44, 512);
    SEND(0x46, 0x00, 0, 0, 19, 2, 19, 0x1b, 0xff); /* no such sector */
    EXPECT(0x40, 0x04, 0, 0, 0, 19, 2);
    SEND(0x46, 0x00, 5, 0, 1, 2, 18, 0x1b, 0xff); /* the head is elsewhere */
    EXPECT(0x40, 0x04, 0x10, 5, 0, 1, 2);
    SEND(0x46, 0x00, 0, 0, 1, 3, 18, 0x1b, 0xff); /* no sectors of 1024 bytes */
    EXPECT(0x40, 0x04, 0, 0, 0, 1, 3);
    SEND(0x4a, 0x04); /* the first ID that passes */
    EXPECT(0x04, 0, 0, 0, 1, 1, 2);
    out8(0x3f7, 2); /* the wrong data rate */
    SEND(0x4a, 0x00);
    EXPECT(0x40, 0x01, 0, 0, 0, 0, 0);
    out8(0x3f7, 0);
    SEND(0x46, 0x01, 0, 0, 1, 2, 18, 0x1b, 0xff); /* no drive B */
    EXPECT(0x41, 0x01, 0, 0, 0, 1, 2);
    SEND(0x07, 0x01);
    wait_irq();
    sense(0x71, 0); /* equipment check: it has no track 0 */
}

static void test_verify(void **state)
{
    start(0, false);
    SEND(0xd6, 0x80, 0, 0, 4, 2, 18, 0x1b, 3); /* three sectors, no data moves */
    EXPECT(0x00, 0, 0, 0, 0, 7, 2);
    SEND(0x56, 0x00, 0, 0, 17, 2, 18, 0x1b, 0xff); /* to the end of the track */
    EXPECT(0x00, 0, 0, 1, 0, 1, 2);
}

static void test_protected(void **state)
{
    uint8_t r[10], buf[512];

    start(0, false);
    program_dma(0x48, 512);
    SEND(0x45, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    EXPECT(0x40, 0x02, 0, 0, 0, 1, 2);
    SEND(0x04, 0x00);
    result(r);
    assert_int_equal(r[0], 0x78);
    read_file(0, buf);
    assert_int_equal(buf[9], disk_byte(0, 9));
}

static void test_change_line(void **state)
{
    char other[64] = "/tmp/doppel-fdc2-XXXXXX";
    int fd = mkstemp(other);

    start(0, false);
    assert_int_equal(in8(0x3f7) & 0x80, 0); /* the recalibration reset it */
    assert_int_equal(ftruncate(fd, 737280), 0);
    close(fd);
    machine_unlock();
    assert_true(blk_change(disk, other, "raw", false, false, NULL));
    machine_lock();
    assert_int_equal(in8(0x3f7) & 0x80, 0x80);
    SEND(0x4a, 0x00);
    EXPECT(0x40, 0x01, 0, 0, 0, 0, 0); /* 720K: another data rate */
    seek(0, 1);
    assert_int_equal(in8(0x3f7) & 0x80, 0);
    out8(0x3f7, 2);
    SEND(0x4a, 0x00);
    EXPECT(0x00, 0, 0, 1, 0, 1, 2);
    machine_unlock();
    assert_true(blk_eject(disk, false, NULL));
    machine_lock();
    seek(0, 2);
    assert_int_equal(in8(0x3f7) & 0x80, 0x80); /* steps without a disk do not */
    SEND(0x4a, 0x00);
    EXPECT(0x40, 0x01, 0, 0, 0, 0, 0);
    unlink(other);
}

static void test_formats(void **state)
{
    static const struct {
        unsigned kib, tracks, heads, sectors;
    } want[] = { { 160, 40, 1, 8 },  { 180, 40, 1, 9 },  { 320, 40, 2, 8 },  { 360, 40, 2, 9 },
                 { 720, 80, 2, 9 },  { 1200, 80, 2, 15 }, { 1440, 80, 2, 18 }, { 2880, 80, 2, 36 } };

    for (unsigned n = 0; n < ARRAY_SIZE(want); n++) {
        FloppyFormat f = floppy_guess(want[n].kib * 1024ull);

        assert_int_equal(f.tracks, want[n].tracks);
        assert_int_equal(f.heads, want[n].heads);
        assert_int_equal(f.sectors, want[n].sectors);
    }
    assert_int_equal(floppy_guess(1000).sectors, 18);
    assert_int_equal(floppy_guess(2000000).sectors, 36);
}

/* In the middle of a transfer by the processor: saved, loaded and gone on with. */
static void test_saved(void **state)
{
    StateBuf b = { 0 }, in;
    Error *err = NULL;

    start(0, true);
    seek(0, 2);
    SEND(0x46, 0x00, 2, 0, 1, 2, 1, 0x1b, 0xff);
    wait_irq();
    for (unsigned n = 0; n < 100; n++) {
        assert_int_equal(in8(0x3f5), disk_byte(72, n));
    }
    devices_save(&b);
    out8(0x3f2, 0);
    out8(0x3f2, 0x1c);
    clock_step(NS_PER_MS);
    in = (StateBuf){ .data = b.data, .len = b.len };
    if (!devices_load(&in, &err)) {
        fail_msg("%s", error_text(err));
    }
    for (unsigned n = 100; n < 512; n++) {
        assert_int_equal(in8(0x3f5), disk_byte(72, n));
    }
    EXPECT(0x40, 0x80, 0, 3, 0, 1, 2);
    state_buf_free(&b);
}

static int setup_protected(void **state)
{
    fake_setup(state);
    setup_with(2880, true);
    return 0;
}

#define FDC_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FDC_TEST(test_reset_and_control),
        FDC_TEST(test_read_dma),
        FDC_TEST(test_write_and_format),
        FDC_TEST(test_processor_transfers),
        FDC_TEST(test_errors),
        FDC_TEST(test_verify),
        cmocka_unit_test_setup_teardown(test_protected, setup_protected, teardown),
        FDC_TEST(test_change_line),
        cmocka_unit_test(test_formats),
        FDC_TEST(test_saved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
