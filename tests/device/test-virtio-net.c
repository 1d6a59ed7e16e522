/*
 * virtio-net by its registers and rings: the control queue, two pairs of queues, packets with a header. What drivers that
 * keep the rules see, real guests judge (tests/system/test_network.py, test_tap.py).
 */
#include "tests/device/fake-virtio.h"

#include <pthread.h>
#include <sched.h>
#include "hw/virtio/virtio-net.h"
#include "net/backend.h"

enum { CTRL = 4, BUF = VIO_BUF };

extern const DeviceClass virtio_net_class;

static NetBackend *hub;
static unsigned offload, got;
static size_t got_len;
static unsigned got_queue;

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

static int setup(void **state)
{
    Device *dev;

    fake_pci_setup(state);
    got = 0;
    machine_unlock();
    hub = net_hub_port(0, NULL);
    machine_lock();
    hub->port.queues = 2; /* its port is the peer that we play */
    hub->port.ops = &peer_ops;
    dev = fake_device(&virtio_net_class);
    assert_true(device_set(dev, "mac", "52:54:00:01:02:03", NULL) && device_set(dev, "netdev", hub->id, NULL) &&
                device_set(dev, "mq", "on", NULL) && device_set(dev, "romfile", "", NULL));
    vio_device(dev);
    return 0;
}
VIO_SETUPS(setup)

static int teardown(void **state)
{
    fake_pci_teardown(state);
    machine_unlock();
    net_backend_free(hub);
    machine_lock();
    return 0;
}

/* count - chains of @q that came back since it was called last. */
static unsigned count(unsigned q)
{
    unsigned n = 0;

    while (vio_used(q, NULL) >= 0) {
        n++;
    }
    return n;
}

/* command - of @len bytes by the control queue; its answer. */
static unsigned command(const void *bytes, uint32_t len)
{
    memcpy(ram(BUF), bytes, len);
    *ram(BUF + 0x1000) = 0xee;
    vio_put(CTRL, (const VioBuf[]){ { BUF, len, false }, { BUF + 0x1000, 1, true } }, 2);
    vio_kick(CTRL);
    vio_done(CTRL, 1);
    return *ram(BUF + 0x1000);
}
#define COMMAND(...) command((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void test_commands(void **state)
{
    static uint8_t table[2 + 4 + 6 * 100 + 4] = { 1, 0, 100 };

    vio_begin(1u << 17 | 1u << 22);
    assert_int_equal(COMMAND(0, 0, 0), 1); /* none of them was agreed on */
    assert_int_equal(COMMAND(1, 1, 2, 4, 6, 8, 10, 12), 1);
    vio_begin(vio_offered());
    assert_int_equal(COMMAND(0, 0, 0), 0); /* promiscuous no more */
    assert_int_equal(COMMAND(0, 5, 1), 0);
    assert_int_equal(COMMAND(0, 6, 1), 1);
    assert_int_equal(COMMAND(0, 0), 1);
    assert_int_equal(COMMAND(0), 1);
    assert_int_equal(COMMAND(1, 1, 2, 4, 6, 8, 10, 12), 0);
    assert_int_equal(vio_get(0x2000, 4), 0x08060402);
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
    vio_begin(vio_offered());
    assert_int_equal(offload, 31);
    assert_int_equal(COMMAND(5, 0, 2, 0, 0, 0, 0, 0, 0, 0), 0);
    assert_int_equal(offload, NET_OFFLOAD_CSUM);
    assert_int_equal(COMMAND(5, 0, 2, 1, 0, 0, 0, 0, 0, 0x80), 1);
    assert_int_equal(COMMAND(5, 0, 2), 1);
    assert_int_equal(offload, NET_OFFLOAD_CSUM);
    vio_set(0x14, 0, 1);
    assert_int_equal(offload, 0);
    vio_begin(1u << 1 | 1u << 7 | 1u << 17 | 1u << 22 | 1u << 2); /* what was not agreed on cannot be had later */
    assert_int_equal(offload, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4);
    assert_int_equal(COMMAND(5, 0, 2, 1, 0, 0, 0, 0, 0, 0), 1);
}

static void test_pairs(void **state)
{
    uint8_t f[100] = { 0x52, 0x54, 0, 1, 2, 3 };

    vio_begin(vio_offered());
    assert_int_equal(vio_get(0x2008, 2), 2);
    assert_int_equal(COMMAND(4, 0, 0, 0), 1);
    assert_int_equal(COMMAND(4, 0, 3, 0), 1);
    for (unsigned n = 0; n < 4; n++) {
        vio_give(0, BUF + 0x4000 + n * 0x800, 0x800, true);
        vio_give(2, BUF + 0x8000 + n * 0x800, 0x800, true);
    }
    hub->port.queue = 1;
    net_send(&hub->port, f, sizeof(f)); /* one pair: all come there */
    assert_int_equal(count(0) << 8 | count(2), 0x100);
    assert_int_equal(COMMAND(4, 0, 2, 0), 0);
    net_send(&hub->port, f, sizeof(f));
    assert_int_equal(count(0) << 8 | count(2), 0x001);
    hub->port.queue = 0;
    net_send(&hub->port, f, sizeof(f));
    assert_int_equal(count(0) << 8 | count(2), 0x100);
    memset(ram(BUF + 0x4000), 0, 12);
    vio_give(3, BUF + 0x4000, 12 + 60, false);
    assert_int_equal(got << 8 | got_queue, 0x101);
    assert_int_equal(got_len, 60);
    assert_int_equal(COMMAND(4, 0, 1, 0), 0);
    vio_give(3, BUF + 0x4000, 12 + 60, false); /* not in use */
    assert_int_equal(got, 1);
}

/* A packet with a header: for who takes it, with offsets that are in it. */
static void test_header(void **state)
{
    static uint8_t f[3000] = { 0x52, 0x54, 0, 1, 2, 3 };
    uint8_t h[10] = { 1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0 };

    vio_begin(vio_offered());
    for (unsigned n = 0; n < 4; n++) {
        vio_give(0, BUF + 0x4000 + n * 0x1000, 0x1000, true);
    }
    assert_true(net_send_vnet(&hub->port, h, f, sizeof(f)));
    vio_done(0, 12 + sizeof(f));
    assert_memory_equal(ram(BUF + 0x4000), h, 10);
    h[7] = 0x10; /* outside */
    net_send_vnet(&hub->port, h, f, sizeof(f));
    vio_none(0);
    h[7] = 0;
    h[1] = 5; /* of no known kind */
    net_send_vnet(&hub->port, h, f, sizeof(f));
    assert_int_equal(COMMAND(5, 0, 2, 0, 0, 0, 0, 0, 0, 0), 0);
    h[1] = 1; /* not taken any more */
    net_send_vnet(&hub->port, h, f, sizeof(f));
    vio_none(0);
    h[1] = 0;
    net_send_vnet(&hub->port, h, f, 100);
    vio_done(0, 12 + 100);
    assert_int_equal(*ram(BUF + 0x5000), 1);
}

/* A packet in several buffers, which come back together; and a machine that is saved while the device has some. */
static void test_merged(void **state)
{
    static uint8_t f[1000] = { 0x52, 0x54, 0, 1, 2, 3, [998] = 7, 8 };
    uint8_t *b = ram(BUF + 0x4000);

    vio_begin(1u << 15); /* MRG_RXBUF */
    for (unsigned n = 0; n < 6; n++) {
        vio_give(0, BUF + 0x4000 + n * 0x1000, 300, true);
    }
    assert_true(net_can_send(&hub->port)); /* it has taken those that the largest packet needs */
    net_send(&hub->port, f, sizeof(f));
    assert_int_equal(ld_le16(b + 10), 4);
    for (unsigned n = 0; n < 4; n++) {
        vio_done(0, n < 3 ? 300 : 112);
    }
    assert_int_equal(ld_le16(b + 0x3000 + 110), 0x0807);
    fake_reload();
    vio_give(0, BUF + 0xa000, 300, true);
    net_send(&hub->port, f, 600); /* the two that were there, and the new one */
    assert_int_equal(ld_le16(b + 0x4000 + 10), 3);
    vio_done(0, 300);
    vio_done(0, 300);
    vio_done(0, 12);
    vio_none(0);
    assert_false(vio_broken());
}

/* A driver that offers places of the ring again which it has not got back. */
static void test_twice(void **state)
{
    static uint8_t f[1000] = { 0x52, 0x54, 0, 1, 2, 3 };

    vio_begin(1u << 15);
    for (unsigned n = 0; n < VIO_SIZE + 1; n++) {
        vio_give(0, BUF, 40, true);
        net_can_send(&hub->port);
        net_send(&hub->port, f, sizeof(f)); /* does not fit: they stay taken */
    }
    assert_true(vio_broken());
    vio_begin(1u << 15);
    vio_give(0, BUF, 1012, true);
    net_send(&hub->port, f, sizeof(f));
    vio_done(0, 1012);
}

/* ---- a driver that goes on while the device works ---- */

enum { PACKETS = 30000, AHEAD = 3 };

static struct {
    unsigned waits; /* atomic: so many were offered, and the driver waits for one to come back; 0: it does not */
    bool kick;      /* atomic: the device asked to be told */
} driver;

static unsigned returned(void)
{
    return __atomic_load_n((uint16_t *)vio_ring(1, VIO_USED + 2), __ATOMIC_ACQUIRE);
}

/* offer_all - one packet after the other, never more than AHEAD that have not come back. 2.7.13. */
static void *offer_all(void *opaque)
{
    for (unsigned n = 0; n < PACKETS; n++) {
        while ((uint16_t)(n - returned()) >= AHEAD) {
            __atomic_store_n(&driver.waits, n, __ATOMIC_SEQ_CST);
            sched_yield();
        }
        __atomic_store_n(&driver.waits, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n((uint16_t *)vio_ring(1, VIO_AVAIL + 2), (uint16_t)(n + 1), __ATOMIC_SEQ_CST);
        if (!(__atomic_load_n((uint16_t *)vio_ring(1, VIO_USED), __ATOMIC_SEQ_CST) & 1)) {
            __atomic_store_n(&driver.kick, true, __ATOMIC_SEQ_CST);
        }
    }
    return NULL;
}

/* What is offered just as the device finds nothing more is taken, or the device asks to be told. */
static void test_offered_meanwhile(void **state)
{
    pthread_t thread;
    unsigned waits;

    vio_begin(0);
    for (unsigned n = 0; n < VIO_SIZE; n++) {
        vio_desc(vio_ring(1, 0), n, &(VioBuf){ BUF, 12 + 60, false }, 0, 0);
        st_le16(vio_ring(1, VIO_AVAIL + 4 + 2 * n), (uint16_t)n);
    }
    assert_int_equal(pthread_create(&thread, NULL, offer_all, NULL), 0);
    while (returned() != (uint16_t)PACKETS) {
        waits = __atomic_load_n(&driver.waits, __ATOMIC_SEQ_CST);
        if (__atomic_exchange_n(&driver.kick, false, __ATOMIC_SEQ_CST)) {
            vio_kick(1);
        } else if (waits != 0 && returned() != (uint16_t)waits) {
            fail_msg("%u packets were offered, %u came back, and the device does not want to be told", waits, returned());
        }
        clock_step(1);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(got, PACKETS);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup_split, teardown), { #f " packed", f, setup_packed, teardown, NULL }
    const struct CMUnitTest tests[] = {
        T(test_commands), T(test_offloads), T(test_pairs), T(test_header), T(test_merged), T(test_twice),
        cmocka_unit_test_setup_teardown(test_offered_meanwhile, setup_split, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
