/*
 * virtio-serial by its queues: ports that are announced, bytes each way, and a machine that is saved in between. With both
 * kinds of rings.
 */
#include "tests/device/fake-virtio.h"

#include "base/loop.h"
#include "base/optlist.h"
#include "chardev/chardev.h"

enum { MULTIPORT = 1 << 1, CONTROL_IN = 2, CONTROL_OUT = 3, RX = 4, TX = 5, IN = VIO_BUF, OUT = VIO_BUF + 0x8000,
       ROOM = 320, BIG = 0x28000 };
enum { DEVICE_READY = 0, PORT_ADD = 1, PORT_REMOVE = 2, PORT_READY = 3, CONSOLE_PORT = 4, PORT_OPEN = 6, PORT_NAME = 7 };

extern const DeviceClass virtio_serial_class, virtserialport_class, virtconsole_class;

static Chardev *line;
static Device *port;

static void nothing(void)
{
}

static void *find_line(const char *id, Error **errp)
{
    return chardev_find(id);
}

static int setup(void **state)
{
    Device *dev;

    fake_pci_setup(state);
    if (line == NULL) {
        OptList *l = opt_parse("ringbuf,id=line,size=1048576", "backend", NULL);

        chardev_setup(&machine_lock_guard, nothing);
        device_set_resolver(find_line);
        line = chardev_new(l, NULL);
        assert_non_null(line);
        opt_free(l);
        assert_int_equal(loop_init(), 0);
    }
    dev = fake_device(&virtio_serial_class);
    assert_true(device_set(dev, "max_ports", "3", NULL));
    vio_device(dev);
    fake_realize(fake_device(&virtconsole_class));
    port = fake_device(&virtserialport_class);
    assert_true(device_set(port, "chardev", "line", NULL) && device_set(port, "name", "org.a", NULL));
    fake_realize(port);
    machine_unlock();
    loop_turn(0); /* the port hears that its host's end is open */
    machine_lock();
    return 0;
}
VIO_SETUPS(setup)

/* tell - a message of the driver's. */
static void tell(unsigned nr, unsigned event, unsigned value)
{
    st_le32(ram(OUT), nr);
    st_le16(ram(OUT + 4), (uint16_t)event);
    st_le16(ram(OUT + 6), (uint16_t)value);
    vio_give(CONTROL_OUT, OUT, 8, false);
    vio_done(CONTROL_OUT, 0);
}

static unsigned heard, buffers; /* messages, and how many buffers take turns for them */

/* hears - the next message of the device's is that, with @more bytes behind it; its buffer is given again. */
static void hears(unsigned nr, unsigned event, unsigned value, const char *more)
{
    uint32_t at = IN + ROOM * (heard++ % buffers), len = 0;

    assert_true(vio_used(CONTROL_IN, &len) >= 0);
    assert_int_equal(len, 8 + strlen(more));
    assert_int_equal(ld_le32(ram(at)), nr);
    assert_int_equal(ld_le16(ram(at + 4)), event);
    assert_int_equal(ld_le16(ram(at + 6)), value);
    assert_memory_equal(ram(at + 8), more, strlen(more));
    vio_give(CONTROL_IN, at, ROOM, true);
}

/* begin - until the driver has all ports, and has opened number 1. */
static void begin(void)
{
    vio_begin(MULTIPORT);
    heard = 0;
    buffers = 4;
    for (unsigned n = 0; n < buffers; n++) {
        vio_give(CONTROL_IN, IN + ROOM * n, ROOM, true);
    }
    vio_none(CONTROL_IN);
    tell(0, DEVICE_READY, 1);
    hears(0, PORT_ADD, 1, "");
    hears(1, PORT_ADD, 1, "");
    vio_none(CONTROL_IN);
    tell(0, PORT_READY, 1);
    hears(0, CONSOLE_PORT, 1, "");
    tell(1, PORT_READY, 1);
    hears(1, PORT_NAME, 1, "org.a");
    hears(1, PORT_OPEN, 1, "");
    vio_none(CONTROL_IN);
    tell(1, PORT_OPEN, 1);
}

static void test_ports(void **state)
{
    begin();
    assert_int_equal(vio_get(0x2004, 4), 3);
    tell(77, PORT_READY, 1); /* there is no such port */
    tell(2, PORT_OPEN, 1);
    tell(1, 99, 1);
    device_free(port);
    hears(1, PORT_REMOVE, 1, "");
    vio_none(CONTROL_IN);
    vio_give(TX, OUT, 8, false); /* into nothing */
    vio_done(TX, 0);
    assert_false(vio_broken());
}

/* Messages without a buffer wait, also in a saved state. */
static void test_waiting(void **state)
{
    vio_begin(MULTIPORT);
    buffers = 1;
    tell(0, DEVICE_READY, 1);
    vio_give(CONTROL_IN, IN, ROOM, true);
    assert_true(vio_used(CONTROL_IN, NULL) >= 0); /* the first of two */
    fake_reload();
    vio_give(CONTROL_IN, IN, ROOM, true);
    hears(1, PORT_ADD, 1, "");
    vio_none(CONTROL_IN);
    tell(1, PORT_READY, 1);
    hears(1, PORT_NAME, 1, "org.a");
    fake_reload();
    hears(1, PORT_OPEN, 1, "");
    vio_none(CONTROL_IN);
}

static void test_in(void **state)
{
    begin();
    assert_int_equal(chardev_inject(line, (const uint8_t *)"abc", 3), 0); /* no buffer */
    vio_give(RX, IN + 0x2000, 2, true);
    assert_int_equal(chardev_inject(line, (const uint8_t *)"abc", 3), 2);
    vio_done(RX, 2);
    assert_memory_equal(ram(IN + 0x2000), "ab", 2);
    vio_give(RX, IN + 0x2000, 100, true);
    fake_reload();
    assert_int_equal(chardev_inject(line, (const uint8_t *)"defg", 4), 4);
    vio_done(RX, 4);
    assert_memory_equal(ram(IN + 0x2000), "defg", 4);
    vio_give(RX, IN + 0x2000, 100, true);
    tell(1, PORT_OPEN, 0);
    fake_reload();
    assert_int_equal(chardev_inject(line, (const uint8_t *)"h", 1), 0); /* nobody listens */
    vio_give(RX, FAKE_MMIO, 100, true);
    tell(1, PORT_OPEN, 1);
    vio_none(RX);
}

/* More than goes at a time: what is left goes when others had their turn, from where it was. */
static void test_out(void **state)
{
    static uint8_t got[2 * BIG + 2];
    const VioBuf b[] = { { 0x60000, BIG, false }, { 0x60000, BIG, false } };

    begin();
    while (chardev_ringbuf_read(line, got, sizeof(got)) > 0) { /* what tests before have left */
    }
    for (unsigned n = 0; n < BIG; n++) {
        *ram(0x60000 + n) = (uint8_t)(n * 13 + n / 251);
    }
    vio_put(TX, b, 2);
    vio_kick(TX);
    vio_none(TX);
    assert_int_equal(chardev_ringbuf_read(line, got, sizeof(got)), 256 * 1024);
    fake_reload();
    vio_none(TX);
    clock_step(NS_PER_MS);
    vio_done(TX, 0);
    assert_int_equal(chardev_ringbuf_read(line, got + 256 * 1024, sizeof(got)), 2 * BIG - 256 * 1024);
    assert_memory_equal(got, ram(0x60000), BIG);
    assert_memory_equal(got + BIG, ram(0x60000), BIG);
    vio_give(TX, FAKE_MMIO, 100, false); /* registers are not read */
    vio_done(TX, 0);
    assert_int_equal(chardev_ringbuf_read(line, got, sizeof(got)), 0);
}

/* A driver that knows of one console only. */
static void test_console(void **state)
{
    vio_begin(0);
    vio_give(1, OUT, 8, false);
    vio_done(1, 0);
    tell(0, DEVICE_READY, 1);
    assert_false(vio_broken());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VIO_TESTS(test_ports, setup), VIO_TESTS(test_waiting, setup), VIO_TESTS(test_in, setup),
        VIO_TESTS(test_out, setup),   VIO_TESTS(test_console, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
