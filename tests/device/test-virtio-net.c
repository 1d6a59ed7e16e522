/*
 * virtio-net by its registers and rings: the control queue, two pairs of queues, packets with a header. What drivers that
 * keep the rules see, real guests judge (tests/system/test_network.py, test_tap.py).
 */
#include "tests/device/fake.h"

#include "base/mem.h"
#include "hw/pci/pci.h"
#include "hw/virtio/virtio-net.h"
#include "net/backend.h"

enum { MODERN = 0x80000000u, RINGS = 0x10000, RING = 0x3000, AVAIL = 0x1000, USED = 0x2000, BUF = 0x40000, SIZE = 8,
       RAM = 1 << 20, CTRL = 4, QUEUES = 5 };
enum { NEXT = 1, WRITE = 2 };

extern const DeviceClass virtio_net_class;

static PciBus *bus;
static IoRegion low;
static Device *dev;
static NetBackend *hub;
static unsigned offload, got;
static size_t got_len;
static unsigned got_queue;

static void set_pirq(void *opaque, unsigned pirq, int level)
{
}

static void peer_receive(void *opaque, const uint8_t *frame, size_t len)
{
    got++;
    got_len = len;
    got_queue = hub->port.peer->queue;
}
static bool peer_set_offload(void *opaque, unsigned what)
{
    offload = what;
    return true;
}
static const NetPortOps peer_ops = { .receive = peer_receive, .set_offload = peer_set_offload };

static uint8_t *ram(uint32_t at)
{
    return ram_host() + at;
}
static uint32_t get(uint32_t at, unsigned size)
{
    return (uint32_t)mem_in(MODERN + at, size);
}
static void set(uint32_t at, uint32_t val, unsigned size)
{
    mem_out(MODERN + at, val, size);
}

static int setup(void **state)
{
    PciDevice *d;

    fake_setup(state);
    if (ram_host() == NULL) {
        assert_true(ram_create(2 << 20, NULL));
    }
    memset(ram_host(), 0, RAM);
    ram_region_init(&low, "low", 0, 0xa0000);
    assert_true(mem_map(&low, 0, 0, false, NULL));
    bus = pci_bus_new(set_pirq, NULL);
    fake_board.pci = bus;
    got = 0;
    machine_unlock();
    hub = net_hub_port(0, NULL);
    machine_lock();
    hub->port.queues = 2; /* its port is the peer that we play */
    hub->port.ops = &peer_ops;
    dev = fake_device(&virtio_net_class);
    assert_true(device_set(dev, "mac", "52:54:00:01:02:03", NULL) && device_set(dev, "netdev", hub->id, NULL) &&
                device_set(dev, "mq", "on", NULL) && device_set(dev, "romfile", "", NULL));
    fake_realize(dev);
    d = pci_bus_find(bus, PCI_DEVFN(1, 0));
    pci_config_write(d, PCI_BAR0 + 16, MODERN, 4);
    pci_config_write(d, PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
    return 0;
}

static int teardown(void **state)
{
    devices_free_all();
    mem_unmap(&low);
    pci_bus_free(bus);
    machine_unlock();
    net_backend_free(hub);
    machine_lock();
    return 0;
}

static void begin(uint32_t features)
{
    set(0x14, 0, 1);
    set(0x14, 3, 1);
    set(0x08, 0, 4);
    set(0x0c, features, 4);
    set(0x08, 1, 4);
    set(0x0c, 1, 4); /* VERSION_1 */
    set(0x14, 11, 1);
    assert_int_equal(get(0x14, 1), 11);
    for (unsigned q = 0; q < QUEUES; q++) {
        uint32_t at = RINGS + q * RING;

        memset(ram(at), 0, RING);
        set(0x16, q, 2);
        set(0x18, SIZE, 2);
        set(0x20, at, 4);
        set(0x28, at + AVAIL, 4);
        set(0x30, at + USED, 4);
        set(0x1c, 1, 2);
    }
    set(0x14, 15, 1);
}

static void offer(unsigned q, unsigned n, uint32_t addr, uint32_t len, unsigned flags)
{
    uint8_t *d = ram(RINGS + q * RING + 16 * n);

    st_le64(d, addr);
    st_le32(d + 8, len);
    st_le16(d + 12, (uint16_t)flags);
    st_le16(d + 14, (uint16_t)(n + 1));
}
static void kick(unsigned q, unsigned head)
{
    uint8_t *avail = ram(RINGS + q * RING + AVAIL);
    unsigned at = ld_le16(avail + 2);

    st_le16(avail + 4 + 2 * (at % SIZE), (uint16_t)head);
    st_le16(avail + 2, (uint16_t)(at + 1));
    set(0x3000 + 4 * q, q, 2);
}
static unsigned used(unsigned q)
{
    return ld_le16(ram(RINGS + q * RING + USED + 2));
}

/* command - of @len bytes by the control queue; its answer. */
static unsigned command(const void *bytes, uint32_t len)
{
    unsigned before = used(CTRL);

    memcpy(ram(BUF), bytes, len);
    *ram(BUF + 0x1000) = 0xee;
    offer(CTRL, 0, BUF, len, NEXT);
    offer(CTRL, 1, BUF + 0x1000, 1, WRITE);
    kick(CTRL, 0);
    assert_int_equal(used(CTRL), before + 1);
    return *ram(BUF + 0x1000);
}
#define COMMAND(...) command((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void test_commands(void **state)
{
    static uint8_t table[2 + 4 + 6 * 100 + 4] = { 1, 0, 100 };

    begin(1u << 17 | 1u << 22);
    assert_int_equal(COMMAND(0, 0, 0), 1); /* none of them was agreed on */
    assert_int_equal(COMMAND(1, 1, 2, 4, 6, 8, 10, 12), 1);
    begin(get(0x04, 4));
    assert_int_equal(COMMAND(0, 0, 0), 0); /* promiscuous no more */
    assert_int_equal(COMMAND(0, 5, 1), 0);
    assert_int_equal(COMMAND(0, 6, 1), 1);
    assert_int_equal(COMMAND(0, 0), 1);
    assert_int_equal(COMMAND(0), 1);
    assert_int_equal(COMMAND(1, 1, 2, 4, 6, 8, 10, 12), 0);
    assert_int_equal(get(0x2000, 4), 0x08060402);
    assert_int_equal(COMMAND(1, 1, 2, 4, 6), 1);
    assert_int_equal(COMMAND(1, 0, 1, 0, 0, 0, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0), 0);
    assert_int_equal(COMMAND(1, 0, 255, 255, 255, 255, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0), 1);
    assert_int_equal(command(table, sizeof(table)), 0); /* more than there are places: all of that kind */
    assert_int_equal(COMMAND(2, 0, 255, 15), 0);
    assert_int_equal(COMMAND(2, 0, 0, 16), 1);
    assert_int_equal(COMMAND(2, 2, 0, 0), 1);
    assert_int_equal(COMMAND(3, 0), 1); /* nobody asked for it */
    assert_int_equal(COMMAND(9, 0), 1);
}

static void test_offloads(void **state)
{
    begin(get(0x04, 4));
    assert_int_equal(offload, 31);
    assert_int_equal(COMMAND(5, 0, 2, 0, 0, 0, 0, 0, 0, 0), 0);
    assert_int_equal(offload, NET_OFFLOAD_CSUM);
    assert_int_equal(COMMAND(5, 0, 2, 1, 0, 0, 0, 0, 0, 0x80), 1);
    assert_int_equal(COMMAND(5, 0, 2), 1);
    assert_int_equal(offload, NET_OFFLOAD_CSUM);
    set(0x14, 0, 1);
    assert_int_equal(offload, 0);
    begin(1u << 1 | 1u << 7 | 1u << 17 | 1u << 22 | 1u << 2); /* what was not agreed on cannot be had later */
    assert_int_equal(offload, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4);
    assert_int_equal(COMMAND(5, 0, 2, 1, 0, 0, 0, 0, 0, 0), 1);
}

static void test_pairs(void **state)
{
    uint8_t f[100] = { 0x52, 0x54, 0, 1, 2, 3 };

    begin(get(0x04, 4));
    assert_int_equal(get(0x2008, 2), 2);
    assert_int_equal(COMMAND(4, 0, 0, 0), 1);
    assert_int_equal(COMMAND(4, 0, 3, 0), 1);
    for (unsigned n = 0; n < 4; n++) {
        offer(0, n, BUF + 0x4000 + n * 0x800, 0x800, WRITE);
        kick(0, n);
        offer(2, n, BUF + 0x8000 + n * 0x800, 0x800, WRITE);
        kick(2, n);
    }
    hub->port.queue = 1;
    net_send(&hub->port, f, sizeof(f)); /* one pair: all come there */
    assert_int_equal(used(0) << 8 | used(2), 0x100);
    assert_int_equal(COMMAND(4, 0, 2, 0), 0);
    net_send(&hub->port, f, sizeof(f));
    assert_int_equal(used(0) << 8 | used(2), 0x101);
    hub->port.queue = 0;
    net_send(&hub->port, f, sizeof(f));
    assert_int_equal(used(0) << 8 | used(2), 0x201);
    offer(3, 0, BUF + 0x4000, 12 + 60, 0);
    memset(ram(BUF + 0x4000), 0, 12);
    kick(3, 0);
    assert_int_equal(got << 8 | got_queue, 0x101);
    assert_int_equal(got_len, 60);
    assert_int_equal(COMMAND(4, 0, 1, 0), 0);
    offer(3, 1, BUF + 0x4000, 12 + 60, 0);
    kick(3, 1); /* not in use */
    assert_int_equal(got, 1);
}

/* A packet with a header: for who takes it, with offsets that are in it. */
static void test_header(void **state)
{
    static uint8_t f[3000] = { 0x52, 0x54, 0, 1, 2, 3 };
    uint8_t h[10] = { 1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0 };

    begin(get(0x04, 4));
    for (unsigned n = 0; n < 4; n++) {
        offer(0, n, BUF + 0x4000 + n * 0x1000, 0x1000, WRITE);
        kick(0, n);
    }
    assert_true(net_send_vnet(&hub->port, h, f, sizeof(f)));
    assert_int_equal(used(0), 1);
    assert_memory_equal(ram(BUF + 0x4000), h, 10);
    h[7] = 0x10; /* outside */
    net_send_vnet(&hub->port, h, f, sizeof(f));
    assert_int_equal(used(0), 1);
    h[7] = 0;
    h[1] = 5; /* of no known kind */
    net_send_vnet(&hub->port, h, f, sizeof(f));
    assert_int_equal(COMMAND(5, 0, 2, 0, 0, 0, 0, 0, 0, 0), 0);
    h[1] = 1; /* not taken any more */
    net_send_vnet(&hub->port, h, f, sizeof(f));
    assert_int_equal(used(0), 1);
    h[1] = 0;
    net_send_vnet(&hub->port, h, f, 100);
    assert_int_equal(used(0), 2);
    assert_int_equal(*ram(BUF + 0x5000), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = { T(test_commands), T(test_offloads), T(test_pairs), T(test_header) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
