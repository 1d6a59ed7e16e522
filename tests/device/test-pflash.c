/*
 * Flash with the Intel command set, driven as firmware drives it.
 */
#include "tests/device/fake.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/loop.h"
#include "block/block.h"
#include "bus/state.h"
#include "hw/block/pflash.h"

#define SIZE 0x10000u
#define END 0x100000000ull
#define BASE (END - SIZE)

static char path[] = "/tmp/test-pflash-XXXXXX";
static BlockBackend *blk;
static Device *flash;

static void *find_drive(const char *id, Error **errp)
{
    return blk_find(id);
}

static void make(bool read_only, bool secure)
{
    const BlockParams p = { .name = "vars", .file = path, .format = "raw", .read_only = read_only };
    Error *err = NULL;

    machine_unlock();
    blk = blk_new(&p, &err);
    machine_lock();
    assert_non_null(blk);
    flash = fake_device(&pflash_class);
    pflash_connect(flash, END);
    assert_true(device_set(flash, "drive", "vars", NULL));
    assert_true(device_set(flash, "secure", secure ? "on" : "off", NULL));
    fake_realize(flash);
}

static int setup(void **state)
{
    uint8_t data[SIZE];
    int fd;

    fake_setup(state);
    for (unsigned n = 0; n < SIZE; n++) {
        data[n] = n < 0x8000 ? (uint8_t)(n * 7 + 1) : 0xff;
    }
    strcpy(path + strlen(path) - 6, "XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, data, SIZE) == SIZE);
    close(fd);
    return 0;
}

static void drain(void)
{
    machine_unlock();
    block_drain();
    machine_lock();
}

static int teardown(void **state)
{
    drain();
    devices_free_all();
    machine_unlock();
    blk_free(blk);
    machine_lock();
    unlink(path);
    return 0;
}

static uint8_t in_file(unsigned at)
{
    uint8_t b = 0;
    int fd = open(path, O_RDONLY);

    drain();
    assert_int_equal(pread(fd, &b, 1, at), 1);
    close(fd);
    return b;
}

static const FlatRange *range_at(FlatView *v, hwaddr addr)
{
    const FlatRange *r = flat_find(v, addr);

    assert_non_null(r);
    return r;
}

/* The chip is memory that processors read by themselves. */
static bool is_memory(bool smm)
{
    FlatView *v = flat_view(smm);
    bool memory = range_at(v, BASE)->host != NULL && !range_at(v, BASE)->writable;

    flat_view_unref(v);
    return memory;
}

static uint8_t get(unsigned at)
{
    uint8_t b;

    if (is_memory(false)) {
        assert_true(dma_read(BASE + at, &b, 1));
        return b;
    }
    return (uint8_t)mem_in(BASE + at, 1);
}

static void put(unsigned at, uint8_t val)
{
    mem_out(BASE + at, val, 1);
}

static void test_reads(void **state)
{
    make(false, false);
    assert_true(is_memory(false));
    assert_int_equal(get(0), 1);
    assert_int_equal(get(5), 36);
    put(0, 0x90);
    assert_false(is_memory(false));
    assert_int_equal(get(0), 0x89);
    assert_int_equal(get(1), 0x18);
    assert_int_equal(get(0x1002), 0); /* not locked */
    put(0, 0x98);
    assert_int_equal(get(0x10), 'Q');
    assert_int_equal(get(0x11), 'R');
    assert_int_equal(get(0x12), 'Y');
    assert_int_equal(get(0x27), 16); /* 2^16 bytes */
    assert_int_equal(get(0x2d) | get(0x2e) << 8, SIZE / PFLASH_BLOCK - 1);
    assert_int_equal(get(0x2f) | get(0x30) << 8, PFLASH_BLOCK / 256);
    assert_int_equal(get(0x31), 'P');
    put(0, 0xff);
    assert_true(is_memory(false));
    assert_int_equal(get(5), 36);
}

/* How EDK2 finds out that it is a flash. */
static void test_found(void **state)
{
    make(false, false);
    put(5, 0x50);
    assert_int_equal(get(5), 36);
    put(5, 0x70);
    assert_int_equal(get(5), 0);
    put(5, 0xff);
    assert_int_equal(get(5), 36);
}

static void test_program(void **state)
{
    make(false, false);
    put(0x9000, 0x40);
    put(0x9000, 0x5a);
    assert_int_equal(get(0), 0x80); /* status */
    put(0x9001, 0x10);
    put(0x9001, 0xa5);
    put(0, 0xff);
    assert_int_equal(get(0x9000), 0x5a);
    assert_int_equal(get(0x9001), 0xa5);
    assert_int_equal(in_file(0x9000), 0x5a);
    assert_int_equal(in_file(0x9001), 0xa5);
    put(0x9000, 0x40); /* bits go to zero only */
    put(0x9000, 0xf0);
    put(0, 0xff);
    assert_int_equal(get(0x9000), 0x50);
    put(0x9abc, 0x20);
    put(0x9abc, 0xd0);
    assert_int_equal(get(0), 0x80);
    put(0, 0xff);
    assert_int_equal(get(0x9000), 0xff);
    assert_int_equal(in_file(0x9001), 0xff);
    assert_int_equal(get(0x7fff), (uint8_t)(0x7fff * 7 + 1)); /* another block */
}

static void test_buffer(void **state)
{
    make(false, false);
    put(0x9000, 0xe8);
    assert_int_equal(get(0), 0x80);
    put(0x9000, 2);
    put(0x90f0, 1);
    put(0x90f1, 2);
    put(0x90f2, 3);
    put(0x9000, 0xd0);
    put(0, 0xff);
    assert_int_equal(get(0x90ef), 0xff);
    assert_int_equal(get(0x90f0), 1);
    assert_int_equal(get(0x90f2), 3);
    assert_int_equal(get(0x90f3), 0xff);
    assert_int_equal(in_file(0x90f1), 2);
    put(0x9000, 0xe8); /* bytes of two buffers */
    put(0x9000, 1);
    put(0x91ff, 0);
    put(0x9200, 0);
    put(0x9000, 0xd0);
    assert_int_equal(get(0), 0xb0);
    put(0, 0xff);
    assert_int_equal(get(0x91ff), 0xff);
    put(0x9000, 0xe8); /* not confirmed */
    put(0x9000, 0);
    put(0x9000, 0);
    put(0x9000, 0xff);
    assert_int_equal(get(0), 0xb0);
    put(0, 0x50);
    put(0, 0xff);
    assert_int_equal(get(0x9000), 0xff);
}

static void test_refused(void **state)
{
    make(false, false);
    put(0x9000, 0x20); /* not confirmed */
    put(0x9000, 0xff);
    assert_int_equal(get(0), 0xb0);
    put(0, 0x50);
    put(0x9000, 0x60); /* locked */
    put(0x9000, 0x01);
    put(0x9000, 0x40);
    put(0x9000, 0);
    assert_int_equal(get(0), 0x92);
    put(0, 0x90);
    assert_int_equal(get(0x9002), 1);
    put(0, 0x50);
    put(0x9000, 0x60);
    put(0x9000, 0xd0);
    put(0x9000, 0x40);
    put(0x9000, 0);
    assert_int_equal(get(0), 0x80);
    put(0, 0xff);
    assert_int_equal(get(0x9000), 0);
}

static void test_read_only(void **state)
{
    make(true, false);
    put(0x9000, 0x40);
    put(0x9000, 0);
    assert_int_equal(get(0), 0x92);
    put(0, 0x50);
    put(0x9000, 0x20);
    put(0x9000, 0xd0);
    assert_int_equal(get(0), 0xa2);
    put(0, 0xff);
    assert_int_equal(get(0x9000), 0xff);
    assert_int_equal(get(0), 1);
}

static void smm_put(unsigned at, uint8_t val)
{
    FlatView *v = flat_view(true);
    const FlatRange *r = range_at(v, BASE + at);

    mmio_write(r->region, r->offset + BASE + at - r->first, val, 1);
    flat_view_unref(v);
}

/* Outside of SMM it is a ROM, whatever SMM does with it. */
static void test_secure(void **state)
{
    make(false, true);
    put(0x9000, 0x40);
    put(0x9000, 0);
    assert_true(is_memory(false) && is_memory(true));
    assert_int_equal(get(0x9000), 0xff);
    smm_put(0x9000, 0x40);
    assert_true(is_memory(false));
    assert_false(is_memory(true));
    smm_put(0x9000, 0x77);
    smm_put(0x9000, 0xff);
    assert_true(is_memory(true));
    assert_int_equal(get(0x9000), 0x77);
}

/* A command half given is completed by the machine that has the saved state; reset takes it back. */
static void test_state(void **state)
{
    StateBuf s = { 0 };

    make(false, false);
    put(0x9000, 0x40);
    devices_save(&s);
    devices_reset();
    assert_true(is_memory(false));
    put(0x9000, 0xff);
    assert_true(devices_load(&s, NULL));
    assert_false(is_memory(false));
    put(0x9000, 0x12);
    put(0, 0xff);
    assert_int_equal(get(0x9000), 0x12);
    state_buf_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_program, setup, teardown),
        cmocka_unit_test_setup_teardown(test_buffer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_secure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state, setup, teardown),
    };

    assert_true(ram_create(1 << 20, NULL));
    assert_int_equal(loop_init(), 0);
    block_setup(&machine_lock_guard, false);
    device_set_drive_resolver(find_drive);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
