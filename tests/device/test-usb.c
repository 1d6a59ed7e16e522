/* UHCI, hub and HID devices: a driver's schedules in memory, against the UHCI Design Guide and USB 2.0. */
#include "tests/device/fake.h"

#include <stdlib.h>
#include "bus/state.h"
#include "hw/input/input.h"
#include "hw/pci/pci.h"
#include "hw/usb/usb.h"

enum { BASE = 0xc000, CMD = BASE, STS = BASE + 2, INTR = BASE + 4, FRNUM = BASE + 6, FLBASE = BASE + 8,
       PORT1 = BASE + 0x10, PORT2 = BASE + 0x12 };
enum { LIST = 0x1000, INT_QH = 0x2000, CONTROL_QH = 0x2010, SETUP = 0x2040, TDS = 0x3000, INT_TD = 0x3800,
       BUF = 0x4000, INT_BUF = 0x5000 };
enum { END = 1, QH = 2, DEPTH = 4 };
#define ACTIVE (1u << 23)
#define STALLED (1u << 22)
#define NAK (1u << 19)
#define TIMEOUT (1u << 18)
#define IOC (1u << 24)
#define SPD (1u << 29)
#define ERRORS(n) ((uint32_t)(n) << 27)

extern const DeviceClass piix3_usb_uhci_class, usb_tablet_class, usb_mouse_class, usb_kbd_class;

static PciBus *bus;
static IoRegion low;
static unsigned pirq_level;

static void set_pirq(void *opaque, unsigned pirq, int level)
{
    pirq_level = level ? pirq_level | 1u << pirq : pirq_level & ~(1u << pirq);
}

static uint32_t peek(uint32_t addr)
{
    return ld_le32(ram_host() + addr);
}
static void poke(uint32_t addr, uint32_t val)
{
    st_le32(ram_host() + addr, val);
}
static uint16_t in16(uint16_t port)
{
    return (uint16_t)port_read(port, 2);
}
static void out16(uint16_t port, uint16_t val)
{
    port_write(port, val, 2);
}

static void frames(unsigned n)
{
    clock_step(n * NS_PER_MS);
}

static int setup(void **state)
{
    fake_setup(state);
    if (ram_host() == NULL) {
        assert_true(ram_create(2 << 20, NULL));
    }
    memset(ram_host(), 0, 2 << 20);
    ram_region_init(&low, "low", 0, 0xa0000);
    assert_true(mem_map(&low, 0, 0, false, NULL));
    bus = pci_bus_new(set_pirq, NULL);
    fake_board.pci = bus;
    pirq_level = 0;
    return 0;
}

static int teardown(void **state)
{
    devices_free_all();
    mem_unmap(&low);
    pci_bus_free(bus);
    return 0;
}

/* begin - a controller whose frames all lead to INT_QH and then CONTROL_QH, both empty; it runs. */
static void begin(void)
{
    PciDevice *d;

    d = pci_bus_find(bus, PCI_DEVFN(1, 0));
    pci_config_write(d, PCI_BAR0 + 16, BASE, 4);
    pci_config_write(d, PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MASTER, 2);
    for (unsigned n = 0; n < 1024; n++) {
        poke(LIST + 4 * n, INT_QH | QH);
    }
    poke(INT_QH, CONTROL_QH | QH);
    poke(INT_QH + 4, END);
    poke(CONTROL_QH, END);
    poke(CONTROL_QH + 4, END);
    port_write(FLBASE, LIST, 4);
    out16(INTR, 0x0f);
    out16(CMD, 0x01);
}

static Device *plug(const DeviceClass *cls, const char *port)
{
    Device *dev = fake_device(cls);

    if (port != NULL) {
        assert_true(device_set(dev, "port", port, NULL));
    }
    return fake_realize(dev);
}

static void make(const DeviceClass *cls)
{
    fake_realize(fake_device(&piix3_usb_uhci_class));
    if (cls != NULL) {
        plug(cls, NULL);
    }
    begin();
}

static void reset_port(uint16_t port)
{
    assert_int_equal(in16(port) & 3, 3); /* connected, and that is news */
    out16(port, 0x0200);
    frames(50);
    out16(port, 0x0000);
    out16(port, 0x000e);
    assert_int_equal(in16(port) & 0x0f, 5);
}

static void td(uint32_t at, uint32_t link, uint32_t ctrl, uint8_t pid, unsigned address, unsigned ep, unsigned len,
               uint32_t buf)
{
    poke(at, link);
    poke(at + 4, ctrl);
    poke(at + 8, pid | address << 8 | ep << 15 | ((len - 1) & 0x7ff) << 21);
    poke(at + 12, buf);
}

/* control - a control transfer; bytes of the data stage, or -1 when it stalled. Data at BUF. */
static int control(unsigned address, uint8_t type, uint8_t request, uint16_t value, uint16_t index, uint16_t len)
{
    uint8_t *s = ram_host() + SETUP, data = type & 0x80 ? USB_PID_IN : USB_PID_OUT;
    uint32_t at = TDS + 0x20, last;
    unsigned total = 0;

    s[0] = type;
    s[1] = request;
    st_le16(s + 2, value);
    st_le16(s + 4, index);
    st_le16(s + 6, len);
    td(TDS, at | DEPTH, ACTIVE | ERRORS(3), USB_PID_SETUP, address, 0, 8, SETUP);
    for (unsigned done = 0; done < len; done += 64, at += 0x20) {
        td(at, (at + 0x20) | DEPTH, ACTIVE | ERRORS(3), data, address, 0, MIN(64u, len - done), BUF + done);
    }
    last = at;
    td(last, END, ACTIVE | ERRORS(3) | IOC, type & 0x80 ? USB_PID_OUT : USB_PID_IN, address, 0, 0, 0);
    poke(CONTROL_QH + 4, TDS);
    frames(20); /* also when it looks but now and then */
    poke(CONTROL_QH + 4, END);
    for (at = TDS + 0x20; at < last; at += 0x20) {
        total += (peek(at + 4) + 1) & 0x7ff;
    }
    return peek(last + 4) & ACTIVE || peek(last + 4) & STALLED ? -1 : (int)total;
}

static void use(unsigned address)
{
    assert_int_equal(control(0, 0x00, 5, (uint16_t)address, 0, 0), 0);
    assert_int_equal(control(address, 0x00, 9, 1, 0, 0), 0);
}

/* poll - what the interrupt endpoint says within 20 ms, as text; "-" when nothing. */
static const char *poll(unsigned address)
{
    static char text[64];
    unsigned len;

    td(INT_TD, END, ACTIVE | ERRORS(3) | IOC | SPD, USB_PID_IN, address, 1, 8, INT_BUF);
    poke(INT_QH + 4, INT_TD);
    frames(20);
    poke(INT_QH + 4, END);
    if (peek(INT_TD + 4) & ACTIVE) {
        assert_true(peek(INT_TD + 4) & NAK);
        return "-";
    }
    if (peek(INT_TD + 4) & STALLED) {
        return "stall";
    }
    len = (peek(INT_TD + 4) + 1) & 0x7ff;
    text[0] = '\0';
    for (unsigned n = 0; n < len; n++) {
        snprintf(text + 3 * n, sizeof(text) - 3 * n, n + 1 < len ? "%02x " : "%02x", ram_host()[INT_BUF + n]);
    }
    return text;
}

static void test_registers(void **state)
{
    make(NULL);
    assert_int_equal(in16(PORT1), 0x0080);
    assert_int_equal(in16(BASE + 0x14) & 0x80, 0); /* there is no third port */
    assert_int_equal(in8(BASE + 0x0c), 64);
    frames(100);
    assert_int_equal(in16(FRNUM), 100);
    frames(2000);
    assert_int_equal(in16(FRNUM), 2100 & 0x7ff);
    assert_int_equal(in16(STS), 0);
    out16(FRNUM, 5); /* not while it runs */
    assert_int_equal(in16(FRNUM), 2100 & 0x7ff);
    out16(CMD, 0);
    assert_int_equal(in16(STS), 0x20);
    frames(10);
    assert_int_equal(in16(FRNUM), 2100 & 0x7ff);
    out16(FRNUM, 5);
    assert_int_equal(in16(FRNUM), 5);
    out8(CMD, 0x01);
    frames(3);
    assert_int_equal(in16(FRNUM), 8);
    out16(CMD, 0x02); /* host controller reset */
    assert_int_equal(in16(CMD), 0);
    assert_int_equal(port_read(FLBASE, 4), 0);
    assert_int_equal(in16(INTR), 0);
}

static void test_bad_schedules(void **state)
{
    make(&usb_tablet_class);
    poke(CONTROL_QH, INT_QH | QH); /* round and round */
    frames(5);
    assert_int_equal(in16(STS), 0);
    poke(INT_QH, INT_QH); /* a TD that is its own successor */
    poke(LIST, INT_QH);
    frames(1024);
    assert_int_equal(in16(STS) & 0x10, 0);
    td(TDS, END, ACTIVE, 0x00, 0, 0, 8, BUF); /* no such PID */
    for (unsigned n = 0; n < 1024; n++) {
        poke(LIST + 4 * n, TDS);
    }
    frames(2);
    assert_int_equal(in16(STS), 0x30); /* process error, halted */
    assert_int_equal(pirq_level != 0, 1);
    out16(STS, 0x10);
    assert_int_equal(pirq_level, 0);
    port_write(FLBASE, 0xf0000000u, 4); /* no memory */
    out16(CMD, 1);
    frames(2);
    assert_int_equal(in16(STS), 0x28);
    out16(STS, 0xff);
    port_write(FLBASE, LIST, 4);
    td(TDS, END, ACTIVE | ERRORS(3) | IOC, USB_PID_IN, 17, 1, 8, BUF); /* nobody */
    out16(CMD, 1);
    frames(1);
    assert_int_equal(peek(TDS + 4) & (3u << 27 | ACTIVE | TIMEOUT), ERRORS(2) | ACTIVE | TIMEOUT);
    frames(3);
    assert_int_equal(peek(TDS + 4) & (3u << 27 | ACTIVE | TIMEOUT | STALLED), TIMEOUT | STALLED);
    assert_int_equal(in16(STS), 3);
}

static void test_standard_requests(void **state)
{
    const uint8_t *buf = ram_host() + BUF;
    int len;

    make(&usb_tablet_class);
    reset_port(PORT1);
    assert_int_equal(control(0, 0x80, 6, 0x0100, 0, 8), 8);
    assert_int_equal(buf[7], 64);
    assert_int_equal(in16(STS), 1);
    assert_true(pirq_level != 0);
    out16(STS, 1);
    assert_int_equal(pirq_level, 0);
    assert_int_equal(control(0, 0x00, 5, 9, 0, 0), 0);
    assert_int_equal(control(0, 0x80, 6, 0x0100, 0, 18), -1); /* it listens to 9 now */
    assert_int_equal(control(9, 0x80, 6, 0x0100, 0, 18), 18);
    assert_memory_equal(buf, "\x12\x01\x00\x02\x00\x00\x00\x40\x27\x06\x01\x00\x00\x01\x01\x02\x00\x01", 18);
    assert_int_equal(control(9, 0x80, 6, 0x0200, 0, 255), 34);
    assert_int_equal(ld_le16(buf + 2), 34);
    len = buf[25]; /* of the report descriptor */
    assert_int_equal(control(9, 0x80, 6, 0x0300, 0, 255), 4);
    assert_int_equal(control(9, 0x80, 6, 0x0302, 0x409, 255), 2 + 2 * 10);
    assert_memory_equal(buf + 2, "U\0S\0B\0 \0T\0", 10);
    assert_int_equal(control(9, 0x80, 6, 0x0303, 0x409, 255), -1); /* no serial number */
    assert_int_equal(control(9, 0x80, 6, 0x0600, 0, 10), -1);
    assert_int_equal(control(9, 0x81, 6, 0x2200, 0, 255), len);
    assert_int_equal(control(9, 0x80, 8, 0, 0, 1), 1);
    assert_int_equal(buf[0], 0);
    assert_string_equal(poll(9), "stall"); /* not configured */
    assert_int_equal(control(9, 0x00, 9, 2, 0, 0), -1);
    assert_int_equal(control(9, 0x00, 9, 1, 0, 0), 0);
    assert_int_equal(control(9, 0x80, 8, 0, 0, 1), 1);
    assert_int_equal(buf[0], 1);
    assert_int_equal(control(9, 0x02, 3, 0, 0x81, 0), 0); /* halt the endpoint */
    assert_string_equal(poll(9), "stall");
    assert_int_equal(control(9, 0x82, 0, 0, 0x81, 2), 2);
    assert_int_equal(buf[0], 1);
    assert_int_equal(control(9, 0x02, 1, 0, 0x81, 0), 0);
    assert_string_equal(poll(9), "-");
    assert_int_equal(control(9, 0x80, 0, 0, 0, 2), 2);
    assert_int_equal(buf[0], 0);
    assert_int_equal(control(9, 0x00, 3, 1, 0, 0), 0); /* may wake the host */
    assert_int_equal(control(9, 0x80, 0, 0, 0, 2), 2);
    assert_int_equal(buf[0], 2);
    out16(PORT1, 0x0200);
    out16(PORT1, 0x0004);
    assert_int_equal(control(9, 0x80, 8, 0, 0, 1), -1); /* after a reset it is nobody */
    assert_int_equal(control(0, 0x80, 8, 0, 0, 1), 1);
}

static void test_tablet(void **state)
{
    make(&usb_tablet_class);
    assert_false(input_absolute());
    reset_port(PORT1);
    use(5);
    input_point(1, 2, 0, 0); /* nobody listens yet */
    assert_string_equal(poll(5), "-");
    assert_true(input_absolute());
    input_point(0x1234, 0x7fff, 0, 0);
    assert_string_equal(poll(5), "00 34 12 ff 7f 00");
    assert_string_equal(poll(5), "-");
    input_point(10, 10, 0, INPUT_LEFT);
    input_point(11, 10, 0, INPUT_LEFT);
    input_point(12, 10, 0, 0);
    input_mouse(0, 0, 2, 0); /* two notches towards the user */
    assert_string_equal(poll(5), "01 0b 00 0a 00 00"); /* the click is not lost */
    assert_string_equal(poll(5), "00 0c 00 0a 00 fe");
    for (unsigned n = 0; n < 1000; n++) {
        input_point(n, n, 0, n & 1);
    }
    for (unsigned n = 0; n < 31; n++) {
        poll(5);
    }
    assert_string_equal(poll(5), "01 e7 03 e7 03 00"); /* what did not fit counts as one movement */
    assert_string_equal(poll(5), "-");
    out16(CMD, 0x02);
    assert_false(input_absolute());
}

static void test_mouse(void **state)
{
    const uint8_t *buf = ram_host() + BUF;

    make(&usb_mouse_class);
    reset_port(PORT1);
    use(5);
    assert_string_equal(poll(5), "-");
    input_mouse(300, -5, -1, INPUT_RIGHT);
    assert_string_equal(poll(5), "02 7f fb 01");
    assert_string_equal(poll(5), "02 7f 00 00");
    assert_string_equal(poll(5), "02 2e 00 00");
    assert_string_equal(poll(5), "-");
    input_mouse(200, 0, 0, 0); /* against a border, and back: not the difference */
    input_mouse(-50, 0, 0, 0);
    assert_string_equal(poll(5), "00 7f 00 00");
    assert_string_equal(poll(5), "00 49 00 00");
    assert_string_equal(poll(5), "00 ce 00 00");
    assert_int_equal(control(5, 0x21, 0x0b, 0, 0, 0), 0); /* boot protocol */
    input_mouse(1, 1, 1, INPUT_MIDDLE);
    assert_string_equal(poll(5), "04 01 01");
    assert_int_equal(control(5, 0xa1, 0x03, 0, 0, 1), 1);
    assert_int_equal(buf[0], 0);
    assert_int_equal(control(5, 0x21, 0x0a, 0x0200, 0, 0), 0); /* idle: every 8 ms */
    assert_string_equal(poll(5), "04 00 00");
    assert_string_equal(poll(5), "04 00 00");
}

static void test_kbd(void **state)
{
    make(&usb_kbd_class);
    reset_port(PORT1);
    use(5);
    assert_string_equal(poll(5), "-");
    assert_int_equal(input_leds(), -1);
    ram_host()[BUF] = 0x02;
    assert_int_equal(control(5, 0x21, 0x09, 0x0200, 0, 1), 1);
    assert_int_equal(input_leds(), INPUT_CAPS);
    input_key(0x2a, true);
    input_key(0x1e, true);
    input_key(0x1e, false);
    input_key(0x2a, false);
    assert_string_equal(poll(5), "02 00 00 00 00 00 00 00");
    assert_string_equal(poll(5), "02 00 04 00 00 00 00 00");
    assert_string_equal(poll(5), "02 00 00 00 00 00 00 00");
    assert_string_equal(poll(5), "00 00 00 00 00 00 00 00");
    assert_string_equal(poll(5), "-");
    for (unsigned n = 0x10; n < 0x17; n++) {
        input_key(n, true);
        poll(5);
    }
    input_key(0x17, true);
    assert_string_equal(poll(5), "00 00 01 01 01 01 01 01"); /* more than six */
    for (unsigned n = 0x17; n > 0x12; n--) {
        input_key(n, false);
        poll(5);
    }
    input_key(INPUT_PAUSE, true);
    assert_string_equal(poll(5), "00 00 14 1a 08 48 00 00");
}

/* The schedule's own rules: short packets, depth, what an inactive TD asks for. */
static void test_queues(void **state)
{
    make(&usb_tablet_class);
    reset_port(PORT1);
    use(5);
    poll(5);
    out16(STS, 0xff);
    out16(INTR, 0x08); /* short packets only */
    input_point(1, 1, 0, 0);
    td(INT_TD, END, ACTIVE | SPD, USB_PID_IN, 5, 1, 8, INT_BUF);
    poke(INT_QH + 4, INT_TD);
    frames(2);
    assert_int_equal(peek(INT_QH + 4), INT_TD); /* it stays */
    assert_int_equal(peek(INT_TD + 4) & (ACTIVE | 0x7ff), 5);
    assert_true(pirq_level != 0);
    out16(STS, 1);
    input_point(2, 1, 0, 0);
    td(INT_TD, TDS, ACTIVE, USB_PID_IN, 5, 1, 8, INT_BUF); /* without: on to the next */
    td(TDS, END, IOC, USB_PID_IN, 5, 1, 8, INT_BUF);
    frames(20);
    assert_int_equal(peek(INT_QH + 4), TDS);
    assert_int_equal(in16(STS), 1);  /* the inactive TD's interrupt */
    assert_int_equal(pirq_level, 0); /* which is not enabled */
    out16(INTR, 0x04);
    assert_true(pirq_level != 0);
    poke(INT_QH + 4, END);
    frames(2);
    out16(STS, 1);
    assert_int_equal(pirq_level, 0);
    input_point(3, 1, 0, 0);
    td(INT_TD, END, ACTIVE | ERRORS(3), USB_PID_IN, 5, 1, 4, INT_BUF); /* smaller than what comes */
    poke(INT_QH + 4, INT_TD);
    frames(20);
    assert_int_equal(peek(INT_TD + 4) & (ACTIVE | STALLED | 1u << 20), STALLED | 1u << 20); /* babble */
}

static void test_suspend(void **state)
{
    make(&usb_kbd_class);
    reset_port(PORT1);
    use(5);
    poll(5);
    out16(STS, 0xff);
    out16(CMD, 0x08); /* global suspend */
    input_key(0x1e, true);
    input_key(0x1e, false);
    assert_int_equal(in16(STS), 0x20); /* it may not wake */
    out16(CMD, 0x01);
    assert_int_equal(control(5, 0x00, 3, 1, 0, 0), 0);
    out16(CMD, 0x08);
    out16(STS, 0xff);
    input_key(0x1e, true);
    assert_int_equal(in16(STS), 0x24);
    assert_true(pirq_level != 0);
}

static void test_hub(void **state)
{
    const uint8_t *buf = ram_host() + BUF;

    fake_realize(fake_device(&piix3_usb_uhci_class));
    plug(&usb_hub_class, "1");
    plug(&usb_tablet_class, "1.3");
    plug(&usb_hub_class, "1.8");
    plug(&usb_mouse_class, "1.8.1");
    begin();
    reset_port(PORT1);
    use(5);
    assert_int_equal(control(5, 0xa0, 6, 0x2900, 0, 255), 11);
    assert_int_equal(buf[2], 8);
    assert_string_equal(poll(5), "-"); /* its ports have no power */
    for (uint16_t n = 1; n <= 8; n++) {
        assert_int_equal(control(5, 0x23, 3, 8, n, 0), 0);
    }
    assert_string_equal(poll(5), "08 01");
    assert_int_equal(control(5, 0xa3, 0, 0, 3, 4), 4);
    assert_memory_equal(buf, "\x01\x01\x01\x00", 4);
    assert_int_equal(control(5, 0x23, 1, 16, 3, 0), 0);
    assert_int_equal(control(5, 0x23, 3, 4, 3, 0), 0); /* reset */
    assert_int_equal(control(5, 0xa3, 0, 0, 3, 4), 4);
    assert_memory_equal(buf, "\x03\x01\x10\x00", 4);
    use(6);
    poll(6);
    input_point(3, 4, 0, 0);
    assert_string_equal(poll(6), "00 03 00 04 00 00");
    assert_int_equal(control(5, 0x23, 3, 4, 8, 0), 0);
    use(7); /* the second hub */
    assert_int_equal(control(7, 0x23, 3, 8, 1, 0), 0);
    assert_int_equal(control(7, 0x23, 3, 4, 1, 0), 0);
    use(8);
    assert_string_equal(poll(8), "-");
    input_mouse(1, 1, 0, 0);
    assert_string_equal(poll(8), "00 01 01 00");
    assert_int_equal(control(5, 0x23, 1, 1, 8, 0), 0); /* disabled: what is behind it is out of reach */
    assert_int_equal(control(8, 0x80, 8, 0, 0, 1), -1);
    assert_int_equal(control(6, 0x80, 8, 0, 0, 1), 1);
    assert_int_equal(control(5, 0xa3, 0, 0, 9, 4), -1); /* no such port */
}

static void test_ports(void **state)
{
    Device *dev;
    Error *err = NULL;

    dev = fake_device(&usb_tablet_class);
    assert_false(device_realize(dev, &err));
    assert_non_null(strstr(error_text(err), "No 'usb-bus' bus"));
    error_free(err);
    err = NULL;
    device_free(dev);
    fake_realize(fake_device(&piix3_usb_uhci_class));
    plug(&usb_tablet_class, NULL);
    plug(&usb_mouse_class, NULL); /* at the last port comes a hub */
    assert_non_null(device_find("usb-hub"));
    dev = fake_device(&usb_kbd_class);
    assert_true(device_set(dev, "port", "1", NULL));
    assert_false(device_realize(dev, &err));
    assert_non_null(strstr(error_text(err), "port 1"));
    error_free(err);
    device_free(dev);
    plug(&usb_kbd_class, "2.8");
}

static void test_saved(void **state)
{
    StateBuf b = { 0 };

    make(&usb_kbd_class);
    reset_port(PORT1);
    use(5);
    poll(5);
    input_key(0x1e, true);
    input_key(0x1e, false);
    devices_save(&b);
    devices_reset();
    begin();
    assert_int_equal(control(5, 0x80, 8, 0, 0, 1), -1);
    b.pos = 0;
    assert_true(devices_load(&b, NULL));
    assert_int_equal(control(5, 0x80, 8, 0, 0, 1), 1);
    assert_string_equal(poll(5), "00 00 04 00 00 00 00 00");
    assert_string_equal(poll(5), "00 00 00 00 00 00 00 00");
    assert_string_equal(poll(5), "-");
    state_buf_free(&b);
}

#define USB_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        USB_TEST(test_registers), USB_TEST(test_bad_schedules), USB_TEST(test_standard_requests),
        USB_TEST(test_tablet), USB_TEST(test_mouse), USB_TEST(test_kbd), USB_TEST(test_queues),
        USB_TEST(test_suspend), USB_TEST(test_hub), USB_TEST(test_ports), USB_TEST(test_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
