/*
 * Virtio devices whose driver points them at registers: their own, and those of another device. Rings and buffers, with both
 * kinds of rings: what would go there is refused and counted, no register changes, and the device works after a reset. The
 * cards, with the virtio one, are in test-reentrancy.c.
 */
#include "tests/device/fake-virtio.h"
#include "tests/device/victim.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/loop.h"
#include "base/optlist.h"
#include "block/block.h"
#include "chardev/chardev.h"
#include "hw/input/input.h"

enum { BUFS = VIO_BUF, STEP = 0x1000, BUFS_MAX = 3, DISK = 1 << 20, MULTIPORT = 1 << 1, CONTROL_IN = 2, CONTROL_OUT = 3 };

/* One chain of a device: how the device is made, the queue and the chain's buffers, what they have in them, and what the
 * host's end does so that the chain comes back. */
typedef struct Chain {
    const char *driver;
    void (*more)(void); /* what is plugged into it */
    const char *prop, *val;
    uint32_t features;
    unsigned queue;
    VioBuf bufs[BUFS_MAX]; /* without places */
    void (*fill)(uint8_t *first);
    void (*event)(void);
} Chain;

static Chardev *line;

/* ---- disks ---- */

static void *find_drive(const char *id, Error **errp)
{
    return blk_find(id);
}

static void make_disk(void)
{
    char path[] = "/tmp/doppel-reentrancy-XXXXXX";
    int fd = mkstemp(path);

    assert_int_equal(ftruncate(fd, DISK), 0);
    close(fd);
    assert_non_null(blk_new(&(BlockParams){ .name = "disk", .file = path, .format = "raw" }, NULL));
    unlink(path);
}

static void plug_scsi(void)
{
    Device *hd = fake_device(device_class_find("scsi-hd"));

    assert_true(device_set(hd, "drive", "disk", NULL));
    fake_realize(hd);
}

static void fill_blk_write(uint8_t *first)
{
    first[0] = 1; /* VIRTIO_BLK_T_OUT */
}

static void fill_inquiry(uint8_t *first)
{
    first[0] = 1; /* the LUN, 5.6.6.1 */
    memcpy(first + 19, "\x12\0\0\0\x24", 5);
}

/* Requests take virtual time. */
static void wait_disk(void)
{
    for (unsigned n = 0; n < 1000; n++) {
        clock_step(50000);
    }
}

/* ---- the rest ---- */

static void nothing(void)
{
}

static void *find_line(const char *id, Error **errp)
{
    return chardev_find(id);
}

static void plug_console(void)
{
    Device *port = fake_device(device_class_find("virtconsole"));

    assert_true(device_set(port, "chardev", "line", NULL));
    fake_realize(port);
    machine_unlock();
    loop_turn(0); /* the port hears that its host's end is open */
    machine_lock();
}

static void type(void)
{
    chardev_inject(line, (const uint8_t *)"abc", 3);
}

static void fill_ready(uint8_t *first)
{
    st_le32(first, 0);
    st_le16(first + 4, 0); /* VIRTIO_CONSOLE_DEVICE_READY */
    st_le16(first + 6, 1);
}

static void tell_ready(void)
{
    fill_ready(ram(BUFS + 0x8000));
    vio_give(CONTROL_OUT, BUFS + 0x8000, 8, false);
}

static void press_key(void)
{
    input_key(0x1c, true);
    input_key(0x1c, false);
}

static void second(void)
{
    clock_step(NS_PER_SEC + 1);
}

static const Chain chains[] = {
    { .driver = "virtio-blk-pci", .prop = "drive", .val = "disk", .bufs = { { 0, 16, false }, { 0, 512, true }, { 0, 1, true } },
      .event = wait_disk },
    { .driver = "virtio-blk-pci", .prop = "drive", .val = "disk", .bufs = { { 0, 16, false }, { 0, 512, false }, { 0, 1, true } },
      .fill = fill_blk_write, .event = wait_disk },
    { .driver = "virtio-scsi-pci", .more = plug_scsi, .queue = 2, .bufs = { { 0, 51, false }, { 0, 108, true }, { 0, 36, true } },
      .fill = fill_inquiry, .event = wait_disk },
    { .driver = "virtio-scsi-pci", .more = plug_scsi, .queue = 0, .bufs = { { 0, 24, false }, { 0, 1, true } } },
    { .driver = "virtio-serial-pci", .more = plug_console, .queue = 0, .bufs = { { 0, 100, true } }, .event = type },
    { .driver = "virtio-serial-pci", .more = plug_console, .queue = 1, .bufs = { { 0, 8, false } } },
    { .driver = "virtio-serial-pci", .more = plug_console, .features = MULTIPORT, .queue = CONTROL_IN,
      .bufs = { { 0, 320, true } }, .event = tell_ready },
    { .driver = "virtio-serial-pci", .more = plug_console, .features = MULTIPORT, .queue = CONTROL_OUT,
      .bufs = { { 0, 8, false } }, .fill = fill_ready },
    { .driver = "virtio-balloon-pci", .queue = 0, .bufs = { { 0, 64, false } } },
    { .driver = "virtio-balloon-pci", .prop = "guest-stats-polling-interval", .val = "1", .features = 1 << 1, .queue = 2,
      .bufs = { { 0, 20, false } }, .event = second },
    { .driver = "virtio-keyboard-pci", .queue = 0, .bufs = { { 0, 8, true } }, .event = press_key },
    { .driver = "virtio-keyboard-pci", .queue = 1, .bufs = { { 0, 8, false } } },
    { .driver = "virtio-rng-pci", .bufs = { { 0, 64, true } } },
};

/* start - the chain is given to the device, part of its ring or one buffer (from 0 on; -1: none) at @at. */
static void start(const Chain *c, unsigned parts, int stray, uint32_t at)
{
    VioBuf bufs[BUFS_MAX];
    unsigned count = 0;

    vio_begin_at(c->features, c->queue, parts, parts != 0 ? at : 0);
    memset(ram(BUFS), 0, BUFS_MAX * STEP);
    if (c->fill != NULL) {
        c->fill(ram(BUFS));
    }
    for (; count < BUFS_MAX && c->bufs[count].len != 0; count++) {
        bufs[count] = c->bufs[count];
        bufs[count].addr = (int)count == stray ? at : BUFS + count * STEP;
    }
    vio_put(c->queue, bufs, count);
    vio_kick(c->queue);
    clock_step(0);
    if (c->event != NULL) {
        c->event();
    }
}

static void works(const Chain *c)
{
    uint64_t count = dma_refused();

    start(c, 0, -1, 0);
    if (vio_used(c->queue, NULL) < 0) {
        fail_msg("%s: queue %u gave nothing back", c->driver, c->queue);
    }
    assert_false(vio_broken());
    assert_int_equal(dma_refused(), count);
}

/* refused - what start() did with a part of the ring, or a buffer, at @at. */
static void refused(const Chain *c, uint64_t count, const char *what, unsigned n, uint32_t at)
{
    if (dma_refused() == count) {
        fail_msg("%s: queue %u: nothing was refused of %s %u at 0x%x", c->driver, c->queue, what, n, at);
    }
}

static void one_chain(const Chain *c)
{
    static const uint32_t there[] = { FAKE_MMIO, FAKE_MMIO + 0x1000, FAKE_MMIO + 0x3000, VICTIM_RX, VICTIM_TX };
    uint64_t before = victim_sum();

    works(c);
    for (unsigned n = 0; n < ARRAY_SIZE(there); n++) {
        /* Packed rings: what the device writes for the driver's sake (2.8.10), it need never write. */
        for (unsigned part = 0; part < (vio_packed ? 2 : 3); part++) {
            uint64_t count = dma_refused();

            start(c, 1u << part, -1, there[n]);
            refused(c, count, "part", part, there[n]);
        }
        for (int buf = 0; buf < BUFS_MAX && c->bufs[buf].len != 0; buf++) {
            uint64_t count = dma_refused();

            start(c, 0, buf, there[n]);
            refused(c, count, "buffer", (unsigned)buf, there[n]);
        }
        assert_int_equal(victim_sum(), before);
    }
    works(c);
}

static int setup(void **state)
{
    const Chain *c = *state;
    Device *dev;

    fake_pci_setup(state);
    block_setup(&machine_lock_guard, true);
    device_set_drive_resolver(find_drive);
    device_set_resolver(find_line);
    make_disk();
    if (line == NULL) {
        OptList *l = opt_parse("ringbuf,id=line,size=65536", "backend", NULL);

        chardev_setup(&machine_lock_guard, nothing);
        line = chardev_new(l, NULL);
        assert_non_null(line);
        opt_free(l);
        assert_int_equal(loop_init(), 0);
    }
    dev = fake_device(device_class_find(c->driver));
    if (c->prop != NULL) {
        assert_true(device_set(dev, c->prop, c->val, NULL));
    }
    vio_device(dev);
    if (c->more != NULL) {
        c->more();
    }
    victim_plug();
    return 0;
}
VIO_SETUPS(setup)

static int teardown(void **state)
{
    fake_pci_teardown(state);
    machine_unlock();
    assert_true(block_close_all());
    machine_lock();
    return 0;
}

static void test_chain(void **state)
{
    one_chain(*state);
}

int main(void)
{
    static struct CMUnitTest tests[2 * ARRAY_SIZE(chains)];

    for (unsigned n = 0; n < ARRAY_SIZE(tests); n++) {
        const Chain *c = &chains[n / 2];

        tests[n] = (struct CMUnitTest){
            .name = xasprintf("%s queue %u%s", c->driver, c->queue, n % 2 != 0 ? " packed" : ""),
            .test_func = test_chain,
            .setup_func = n % 2 != 0 ? setup_packed : setup_split,
            .teardown_func = teardown,
            .initial_state = (void *)(uintptr_t)c,
        };
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
