/* Guest RAM, the memory map, DMA, ports. */
#include "tests/test.h"

#include <pthread.h>
#include <stdlib.h>
#include "bus/lock.h"
#include "bus/memory.h"

enum { RAM = 1 << 20 };

/* ---- a device that remembers its accesses ---- */

typedef struct Access {
    bool write;
    uint64_t offset, val;
    unsigned size;
} Access;

static Access seen[32];
static unsigned seen_count;
static bool lock_seen;

static uint64_t dev_read(void *opaque, uint64_t offset, unsigned size)
{
    lock_seen = machine_lock_held();
    seen[seen_count++ % 32] = (Access){ false, offset, 0, size };
    return 0x8877665544332211ull >> (offset * 8 % 64);
}

static void dev_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    lock_seen = machine_lock_held();
    seen[seen_count++ % 32] = (Access){ true, offset, val, size };
}

static const IoOps ops_byte = { dev_read, dev_write, .max_size = 1 };
static const IoOps ops_any = { .read = dev_read, .write = dev_write };
static const IoOps ops_dword = { dev_read, dev_write, .min_size = 4, .max_size = 4 };
static const IoOps ops_wide = { dev_read, dev_write, .max_size = 8, .unaligned = true };
static const IoOps ops_lockless = { dev_read, dev_write, .lockless = true };

static unsigned changes;
static uint64_t written_at, written_len;
static unsigned written_calls;
static uint8_t written_byte;

static void map_changed(void *opaque)
{
    changes++;
}

static void written(void *opaque, uint64_t off, uint64_t len)
{
    written_at = off;
    written_len = len;
    written_calls++;
    written_byte = ram_host()[off]; /* the bytes have landed */
}

static IoRegion low, rom, vga, mmio, smram;
static uint8_t rom_bytes[PAGE_SIZE];

static int setup(void **state)
{
    static const MemListener l = { map_changed, written, NULL };

    assert_true(ram_create(RAM, NULL));
    machine_lock();
    mem_set_listener(&l);
    memset(rom_bytes, 0xcd, sizeof(rom_bytes));
    ram_region_init(&low, "ram", 0, RAM);
    rom_region_init(&rom, "bios", rom_bytes, sizeof(rom_bytes));
    io_region_init(&vga, &ops_byte, NULL, "vga", 0x20000);
    io_region_init(&mmio, &ops_dword, NULL, "lapic", 0x1000);
    ram_region_init(&smram, "smram", 0xa0000, 0x20000);
    mem_begin();
    assert_true(mem_map(&low, 0, 0, false, NULL));
    assert_true(mem_map(&vga, 0xa0000, 1, false, NULL));
    assert_true(mem_map(&smram, 0xa0000, 2, true, NULL));
    assert_true(mem_map(&rom, 0xfffff000, 0, false, NULL));
    assert_true(mem_map(&mmio, 0xfee00000, 0, false, NULL));
    changes = 0;
    mem_commit();
    assert_int_equal(changes, 1);
    machine_unlock();
    return 0;
}

static int end(void **state)
{
    machine_lock();
    mem_unmap(&low);
    mem_unmap(&vga);
    mem_unmap(&smram);
    mem_unmap(&rom);
    mem_unmap(&mmio);
    mem_set_listener(NULL);
    machine_unlock();
    ram_destroy();
    return 0;
}

static void test_ram_refused(void **state)
{
    Error *err = NULL;

    assert_false(ram_create(4096, &err));
    expect_error(&err, "already");
}

static void test_ram_too_big(void **state)
{
    Error *err = NULL;

    assert_false(ram_create(99999999ull << 30, &err));
    expect_error(&err, "cannot set up guest memory: 99999999G");
    assert_false(ram_create(0, &err));
    expect_error(&err, "multiple of 4K");
    assert_false(ram_create(4097, &err));
    expect_error(&err, "4097");
    assert_null(ram_host());
    assert_true(ram_create(64ull << 30, &err)); /* sparse: costs nothing until it is touched */
    ram_host()[(64ull << 30) - 1] = 1;
    assert_int_equal(*ram_tracker((64ull << 30) - 1), 0);
    ram_destroy();
}

static void test_flat(void **state)
{
    FlatView *v = flat_view(false), *s = flat_view(true);
    const FlatRange *r;

    r = flat_find(v, 0x9ffff);
    assert_ptr_equal(r->region, &low);
    assert_true(r->writable);
    assert_int_equal(r->last, 0x9ffff);
    r = flat_find(v, 0xa0000);
    assert_ptr_equal(r->region, &vga);
    assert_null(r->host);
    r = flat_find(v, 0xc0000);
    assert_ptr_equal(r->region, &low);
    assert_int_equal(r->offset, 0xc0000);
    assert_ptr_equal(r->host, ram_host() + 0xc0000);
    assert_null(flat_find(v, RAM));
    assert_null(flat_find(v, UINT64_MAX));
    r = flat_find(v, 0xffffffff);
    assert_ptr_equal(r->region, &rom);
    assert_false(r->writable);
    assert_ptr_equal(flat_find(s, 0xa0000)->region, &smram);
    for (unsigned i = 1; i < v->count; i++) {
        assert_true(v->ranges[i - 1].last < v->ranges[i].first);
    }
    flat_view_unref(v);
    flat_view_unref(s);
}

static void test_view_outlives_change(void **state)
{
    FlatView *old = flat_view(false), *now;

    changes = 0;
    machine_lock();
    mem_unmap(&vga);
    machine_unlock();
    assert_int_equal(changes, 1);
    now = flat_view(false);
    assert_ptr_equal(flat_find(old, 0xa0000)->region, &vga);
    assert_ptr_equal(flat_find(now, 0xa0000)->region, &low);
    flat_view_unref(old);
    flat_view_unref(now);
    machine_lock();
    assert_true(mem_map(&vga, 0xa0000, 1, false, NULL));
    machine_unlock();
}

static void test_map_errors(void **state)
{
    IoRegion a, top;
    Error *err = NULL;

    io_region_init(&a, &ops_any, NULL, "a-card", 0x1000);
    machine_lock();
    assert_false(mem_map(&a, 0xfee00800, 0, false, &err));
    expect_error(&err, "a-card at 0xfee00800-0xfee017ff overlaps lapic");
    assert_false(mem_map(&a, UINT64_MAX - 10, 0, false, &err));
    expect_error(&err, "do not fit");
    assert_false(mem_map(&low, 0x1000000, 0, false, &err));
    expect_error(&err, "already");
    io_region_init(&top, &ops_any, NULL, "top", 0x1000);
    assert_true(mem_map(&top, 0xfffffffffffff000ull, 0, false, &err));
    assert_false(dma_read(UINT64_MAX, &err, 4)); /* wraps: refused, and no register is read */
    err = NULL;
    mem_unmap(&top);
    mem_unmap(&top); /* twice is nothing */
    machine_unlock();
}

/* Random maps against a per-page reference of "highest priority wins". */
static void test_flat_random(void **state)
{
    enum { N = 12, PAGES = 64 };
    IoRegion r[N];
    uint64_t seed = 88172645463325252ull;

    machine_lock();
    for (int round = 0; round < 200; round++) {
        int want[PAGES];
        FlatView *v;
        mem_begin();
        for (int i = 0; i < N; i++) {
            uint64_t at, len;
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            at = seed % PAGES;
            len = 1 + (seed >> 20) % (PAGES - at);
            io_region_init(&r[i], &ops_any, NULL, "r", len * PAGE_SIZE);
            assert_true(mem_map(&r[i], 0x100000000ull + at * PAGE_SIZE, i + 10, false, NULL));
        }
        mem_commit();
        for (int p = 0; p < PAGES; p++) {
            want[p] = -1;
            for (int i = 0; i < N; i++) {
                uint64_t a = 0x100000000ull + (uint64_t)p * PAGE_SIZE;
                if (a >= r[i].base && a - r[i].base < r[i].size) {
                    want[p] = i;
                }
            }
        }
        v = flat_view(false);
        for (int p = 0; p < PAGES; p++) {
            hwaddr a = 0x100000000ull + (uint64_t)p * PAGE_SIZE + 17;
            const FlatRange *f = flat_find(v, a);
            assert_int_equal(f != NULL ? f->region - r : -1, want[p]);
            if (f != NULL) {
                assert_int_equal(f->offset, f->first - f->region->base);
            }
        }
        flat_view_unref(v);
        mem_begin();
        for (int i = 0; i < N; i++) {
            mem_unmap(&r[i]);
        }
        mem_commit();
    }
    machine_unlock();
}

static void test_dma(void **state)
{
    uint8_t buf[16], *big;

    machine_lock();
    written_calls = 0;
    assert_true(dma_write(0x1234, "hello", 5));
    assert_memory_equal(ram_host() + 0x1234, "hello", 5);
    assert_int_equal(written_at, 0x1234);
    assert_int_equal(written_len, 5);
    assert_int_equal(written_byte, 'h');
    assert_true(dma_read(0x1234, buf, 5));
    assert_memory_equal(buf, "hello", 5);

    /* registers are neither read nor written */
    seen_count = 0;
    assert_false(dma_read(0x9fffe, buf, 8));
    assert_memory_equal(buf + 2, "\xff\xff\xff\xff\xff\xff", 6);
    assert_false(dma_write(0x9fffe, "abcdefgh", 8));
    assert_int_equal(seen_count, 0);
    assert_memory_equal(ram_host() + 0x9fffe, "ab", 2);

    /* ROM: readable, not writable */
    assert_true(dma_read(0xfffffff0, buf, 16));
    assert_int_equal(buf[15], 0xcd);
    assert_false(dma_write(0xfffff000, "x", 1));
    assert_int_equal(rom_bytes[0], 0xcd);
    assert_false(dma_read(0xfffffff8, buf, 16));

    /* across the gap behind RAM */
    big = xalloc0(1, 0x1000);
    assert_false(dma_read(RAM - 0x800, big, 0x1000));
    assert_int_equal(big[0x7ff], 0);
    assert_int_equal(big[0x800], 0xff);
    free(big);
    assert_true(dma_read(0, buf, 0));
    machine_unlock();

    written_calls = 0;
    assert_true(mem_poke(0xfffff000, "x", 1, false));
    assert_int_equal(rom_bytes[0], 'x');
    assert_int_equal(written_calls, 0);
    assert_true(mem_poke(0xa0000, "smm", 3, true));
    assert_int_equal(written_calls, 1);
    assert_int_equal(written_at, 0xa0000);
    assert_true(mem_peek(0xa0000, buf, 3, true));
    assert_memory_equal(buf, "smm", 3);
    assert_false(mem_peek(0xa0000, buf, 3, false));
}

static void test_access_split(void **state)
{
    IoRegion r;

    seen_count = 0;
    assert_int_equal(mmio_read(&vga, 0, 4), 0x44332211);
    assert_int_equal(seen_count, 4);
    assert_int_equal(seen[3].offset, 3);
    assert_int_equal(seen[3].size, 1);
    assert_true(lock_seen);
    assert_false(machine_lock_held());

    seen_count = 0;
    mmio_write(&vga, 2, 0xaabb, 2);
    assert_int_equal(seen_count, 2);
    assert_int_equal(seen[0].val, 0xbb);
    assert_int_equal(seen[1].val, 0xaa);

    /* narrower than the registers */
    seen_count = 0;
    assert_int_equal(mmio_read(&mmio, 2, 1), 0x33);
    assert_int_equal(seen[0].offset, 0);
    assert_int_equal(seen[0].size, 4);
    mmio_write(&mmio, 1, 0x5a, 1);
    assert_int_equal(seen[1].val, 0x5a00);
    /* eight bytes: two registers; unaligned four: pieces */
    seen_count = 0;
    assert_int_equal(mmio_read(&mmio, 0, 8), 0x8877665544332211ull);
    assert_int_equal(seen_count, 2);

    io_region_init(&r, &ops_any, NULL, "any", 16);
    seen_count = 0;
    assert_int_equal(mmio_read(&r, 1, 4), 0x55443322);
    assert_int_equal(seen[0].size, 1);
    assert_int_equal(seen[1].size, 2);
    assert_int_equal(seen[2].size, 1);
    io_region_init(&r, &ops_wide, NULL, "wide", 16);
    seen_count = 0;
    mmio_read(&r, 1, 8);
    assert_int_equal(seen_count, 1);
    assert_int_equal(seen[0].size, 8);

    io_region_init(&r, &ops_lockless, NULL, "lockless", 16);
    mmio_read(&r, 0, 4);
    assert_false(lock_seen);
    machine_lock();
    mmio_read(&vga, 0, 1);
    assert_true(lock_seen);
    assert_true(machine_lock_held());
    machine_unlock();

    /* nobody there, or beyond the end */
    assert_int_equal(mmio_read(NULL, 0, 8), UINT64_MAX);
    assert_int_equal(mmio_read(NULL, 0, 2), 0xffff);
    mmio_write(NULL, 0, 0, 4);
    io_region_init(&r, &ops_byte, NULL, "short", 2);
    assert_int_equal(mmio_read(&r, 0, 4), 0xffff2211);
    assert_int_equal(mmio_read(&r, 2, 1), 0xff);
    /* a ROM drops writes */
    mmio_write(&rom, 4, 0, 4);
    assert_int_equal(mmio_read(&rom, 4, 4), 0xcdcdcdcd);
}

static void count_port(void *opaque, const IoRegion *r)
{
    ++*(unsigned *)opaque;
}

static void test_ports(void **state)
{
    IoRegion a, b, c;
    Error *err = NULL;
    unsigned n = 0;

    io_region_init(&a, &ops_byte, NULL, "uart", 8);
    io_region_init(&b, &ops_any, NULL, "pci", 8);
    io_region_init(&c, &ops_any, NULL, "top", 2);
    machine_lock();
    assert_true(port_map(&a, 0x3f8, &err));
    assert_true(port_map(&b, 0xcf8, &err));
    assert_false(port_map(&b, 0x100, &err));
    expect_error(&err, "already");
    assert_false(port_map(&c, 0x3ff, &err));
    expect_error(&err, "top at ports 0x3ff-0x400 overlaps uart at 0x3f8-0x3ff");
    assert_false(port_map(&c, 0xffff, &err));
    expect_error(&err, "do not fit");
    assert_true(port_map(&c, 0xfffe, &err));
    port_each(count_port, &n);
    assert_int_equal(n, 3);
    machine_unlock();

    assert_int_equal(port_read(0x3f8, 1), 0x11);
    assert_true(lock_seen);
    seen_count = 0;
    assert_int_equal(port_read(0xcf8, 4), 0x44332211);
    assert_int_equal(seen_count, 1);
    assert_int_equal(port_read(0x80, 1), 0xff);
    assert_int_equal(port_read(0x80, 4), 0xffffffff);
    /* straddles: last two ports of the uart, then nobody */
    assert_int_equal(port_read(0x3fe, 4), 0xffff8877);
    seen_count = 0;
    port_write(0x3fe, 0x44332211, 4);
    assert_int_equal(seen_count, 2);
    assert_int_equal(seen[1].val, 0x22);
    /* at the end of the port space */
    assert_int_equal(port_read(0xffff, 4), 0xffffff22);
    port_write(0xffff, 0, 4);

    machine_lock();
    port_unmap(&a);
    port_unmap(&b);
    port_unmap(&c);
    machine_unlock();
    assert_int_equal(port_read(0x3f8, 1), 0xff);
}

/* Readers take and drop views while the map changes. */
static bool stop;
static void *reader(void *opaque)
{
    unsigned long n = 0;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        FlatView *v = flat_view(n & 1);
        const FlatRange *r = flat_find(v, 0xb0000);
        if (r == NULL || r->last < 0xb0000) {
            return (void *)1;
        }
        flat_view_unref(v);
        n++;
    }
    return NULL;
}

static void test_views_concurrently(void **state)
{
    pthread_t th;
    void *bad;

    pthread_create(&th, NULL, reader, NULL);
    for (int i = 0; i < 3000; i++) {
        machine_lock();
        mem_unmap(&vga);
        assert_true(mem_map(&vga, 0xa0000, 1, false, NULL));
        machine_unlock();
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    pthread_join(th, &bad);
    assert_null(bad);
}

/* A driver counts past 255, as in a ring's index: nobody sees half of an old and half of a new number. */
enum { INDEX = 0x1000 };
static void *counter(void *opaque)
{
    uint16_t *idx = (uint16_t *)(ram_host() + INDEX);

    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        __atomic_store_n(idx, 0x00ff, __ATOMIC_RELAXED);
        __atomic_store_n(idx, 0x0100, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void test_whole_reads(void **state)
{
    pthread_t th;
    uint16_t val = 0xff;
    unsigned torn = 0;

    __atomic_store_n((uint16_t *)(ram_host() + INDEX), 0xff, __ATOMIC_RELAXED);
    __atomic_store_n(&stop, false, __ATOMIC_RELAXED);
    pthread_create(&th, NULL, counter, NULL);
    machine_lock();
    for (unsigned n = 0; n < 1000000; n++) {
        torn += !dma_read(INDEX, &val, 2) || (val != 0x00ff && val != 0x0100);
    }
    machine_unlock();
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    pthread_join(th, NULL);
    assert_int_equal(torn, 0);
}

int main(void)
{
    const struct CMUnitTest alone[] = { cmocka_unit_test(test_ram_too_big) };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ram_refused),          cmocka_unit_test(test_flat),
        cmocka_unit_test(test_view_outlives_change), cmocka_unit_test(test_map_errors),
        cmocka_unit_test(test_flat_random),          cmocka_unit_test(test_dma),
        cmocka_unit_test(test_access_split),         cmocka_unit_test(test_ports),
        cmocka_unit_test(test_views_concurrently),   cmocka_unit_test(test_whole_reads),
    };
    int bad = cmocka_run_group_tests_name("ram", alone, NULL, NULL);
    return bad + cmocka_run_group_tests_name("memory", tests, setup, end);
}
