/*
 * A fake board for tests of one chip: stepped virtual clock, interrupt lines that can be read and
 * count their edges, port and memory access. The test holds the machine lock all along.
 */
#ifndef TESTS_DEVICE_FAKE_H
#define TESTS_DEVICE_FAKE_H

#include "tests/test.h"

#include "base/clock.h"
#include "bus/device.h"
#include "bus/irq.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "hw/board.h"

typedef struct FakeLine {
    int level;
    unsigned rises, falls;
} FakeLine;

static FakeLine fake_lines[64];
static Board fake_board;
static unsigned fake_resets, fake_shutdowns;
static int fake_exit = -1;

static void fake_set(void *opaque, unsigned n, int level)
{
    FakeLine *l = &fake_lines[n];

    l->rises += level && !l->level;
    l->falls += !level && l->level;
    l->level = level;
}

static inline IrqLine fake_line(unsigned n)
{
    return (IrqLine){ fake_set, NULL, n };
}

static void fake_reset_request(void)
{
    fake_resets++;
}
static void fake_shutdown_request(void)
{
    fake_shutdowns++;
}
static void fake_exit_request(int code)
{
    fake_exit = code;
}

/* fake_setup - cmocka's setup of each test. */
static inline int fake_setup(void **state)
{
    clock_manual();
    if (!machine_lock_held()) {
        machine_lock();
    }
    memset(fake_lines, 0, sizeof(fake_lines));
    fake_resets = fake_shutdowns = 0;
    fake_exit = -1;
    fake_board = (Board){
        .exit_request = fake_exit_request,
        .reset_request = fake_reset_request,
        .shutdown_request = fake_shutdown_request,
    };
    for (unsigned n = 0; n < 16; n++) {
        fake_board.isa_irq[n] = fake_line(n);
    }
    return 0;
}

static inline int fake_teardown(void **state)
{
    devices_free_all();
    return 0;
}

static inline Device *fake_device(const DeviceClass *cls)
{
    Device *dev = device_new(cls, NULL);

    dev->board = &fake_board;
    return dev;
}

static inline Device *fake_realize(Device *dev)
{
    Error *err = NULL;

    if (!device_realize(dev, &err)) {
        print_error("%s\n", error_text(err));
        fail();
    }
    return dev;
}

static inline uint8_t in8(uint16_t port)
{
    return (uint8_t)port_read(port, 1);
}
static inline void out8(uint16_t port, uint8_t val)
{
    port_write(port, val, 1);
}

/* fake_mem - the device registers at @addr in the current view. */
static inline const FlatRange *fake_range(FlatView *v, hwaddr addr, uint64_t *offset)
{
    const FlatRange *r = flat_find(v, addr);

    assert_non_null(r);
    *offset = r->offset + (addr - r->first);
    return r;
}
static inline uint64_t mem_in(hwaddr addr, unsigned size)
{
    FlatView *v = flat_view(false);
    uint64_t offset, val;
    const FlatRange *r = fake_range(v, addr, &offset);

    val = mmio_read(r->region, offset, size);
    flat_view_unref(v);
    return val;
}
static inline void mem_out(hwaddr addr, uint64_t val, unsigned size)
{
    FlatView *v = flat_view(false);
    uint64_t offset;
    const FlatRange *r = fake_range(v, addr, &offset);

    mmio_write(r->region, offset, val, size);
    flat_view_unref(v);
}

#define FAKE_TEST(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

#endif
