/*
 * Fuzz virtio: a disk, a card, the entropy device, serial ports, the balloon and a tablet behind one driver. The input is
 * a program of register accesses of both kinds of drivers, whole set-ups with split and packed rings, bytes of rings and descriptor tables, chains
 * with a header that is nearly right, frames and bytes that come in, clock steps, and saved states (also damaged ones).
 */
#include "base/optlist.h"
#include "bus/lock.h"
#include "chardev/chardev.h"
#include "hw/input/input.h"
#include "hw/pci/pci.h"
#include "hw/virtio/virtio-balloon.h"
#include "hw/virtio/virtio.h"
#include "net/backend.h"
#include "tests/fuzz/machine.h"

#define RAM (1u << 20)

enum { MODERN = 0x80000000, MODERN_STEP = 0x10000, LEGACY = 0xc000, LEGACY_STEP = 0x100, DEVICES = 6 };
/* In memory: for each device and queue a page with all of its ring, and pages of buffers behind them. */
enum { RINGS = 0x10000, PAGE = 0x1000, AVAIL = 0x400, USED = 0x800, QUEUES = 6, BUFFERS = 0x40000, SIZE = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A driver's place in a packed ring. */
typedef struct Place {
    unsigned at;
    bool wrap;
} Place;

static Board board;
static Place places[DEVICES][QUEUES];
static bool packed[DEVICES];
static NetPort *peer;
static unsigned heard;

static bool can_hear(void *opaque, size_t len)
{
    return heard % 5 != 4;
}

static void hear(void *opaque, const uint8_t *frame, size_t len)
{
    static volatile uint8_t sum;

    heard++;
    for (size_t n = 0; n < len; n++) {
        sum ^= frame[n];
    }
}

static bool any_offload(void *opaque, unsigned offload)
{
    return true;
}

static bool hear_vnet(void *opaque, const uint8_t *h, const uint8_t *frame, size_t len)
{
    hear(opaque, frame, len);
    return heard & 1;
}

static const NetPortOps peer_ops = {
    .can_receive = can_hear, .receive = hear, .receive_vnet = hear_vnet, .set_offload = any_offload,
};

static Chardev *line;

static void nothing(void)
{
}

static void *find_line(const char *id, Error **errp)
{
    return chardev_find(id);
}

static void make_line(void)
{
    OptList *l = opt_parse("ringbuf,id=line", "backend", NULL);

    chardev_setup(&machine_lock_guard, nothing);
    device_set_resolver(find_line);
    must(chardev_new(l, NULL) != NULL, NULL);
    opt_free(l);
}

/* user - somebody types at the host's end of the port, moves the pointer, or wants memory. */
static void user(Input *in)
{
    uint32_t v = (uint32_t)take(in, 4);
    uint8_t buf[4];

    switch (v & 3) {
    case 0:
        st_le32(buf, v);
        chardev_inject(line, buf, sizeof(buf));
        break;
    case 1:
        balloon_set((int64_t)(v >> 4) << 4, NULL);
        break;
    default:
        if (input_absolute()) {
            input_point(v >> 8 & 0x7fff, v >> 16 & 0x7fff, (int8_t)(v >> 24), v >> 2 & 0x1f);
        }
    }
}

static void build(void)
{
    NetBackend *hub;

    fuzz_base(RAM);
    make_line();
    make_drive_as((BlockParams){ .name = "d", .discard = true }, 1 << 20, NULL);
    board.pci = pci_bus_new(NULL, NULL);
    plug_props(&board, "virtio-blk-pci", "drive=d,packed=on");
    machine_unlock();
    hub = net_hub_port(0, NULL);
    machine_lock();
    peer = &hub->port; /* that we play */
    peer->queues = 2;
    peer->ops = &peer_ops;
    plug_props(&board, "virtio-net-pci", "romfile=,mq=on,netdev=hub0port0,packed=on");
    plug_props(&board, "virtio-rng-pci", "max-bytes=4096,packed=on");
    plug_props(&board, "virtio-serial-pci", "max_ports=2,packed=on");
    plug_props(&board, "virtio-balloon-pci", "free-page-reporting=on,guest-stats-polling-interval=1,packed=on");
    plug_props(&board, "virtio-tablet-pci", "vectors=2,packed=on");
    plug_props(&board, "virtconsole", "nr=0");
    plug_props(&board, "virtserialport", "name=a,chardev=line");
    line = chardev_find("line");
}

/* place - the devices' BARs, as a BIOS does. */
static void place(void)
{
    for (unsigned n = 0; n < DEVICES; n++) {
        PciDevice *d = pci_bus_find(board.pci, PCI_DEVFN(n + 1, 0));

        pci_config_write(d, PCI_BAR0, LEGACY + n * LEGACY_STEP, 4);
        pci_config_write(d, PCI_BAR0 + 16, MODERN + n * MODERN_STEP, 4);
        pci_config_write(d, PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
    }
}

/* ---- the program ---- */

static void set(unsigned dev, uint32_t at, uint32_t val, unsigned size)
{
    memory_write(MODERN + dev * MODERN_STEP + at, val, size);
}

static void access_register(Input *in)
{
    unsigned dev = (unsigned)take(in, 1) % DEVICES, how = (unsigned)take(in, 1), size = 1u << (how >> 1) % 3;
    uint32_t at = (uint32_t)take(in, 2);

    if (how & 0x80) {
        uint16_t port = (uint16_t)(LEGACY + dev * LEGACY_STEP + at % 0x80);

        if (how & 1) {
            port_read(port, size);
        } else {
            port_write(port, (uint32_t)take(in, size), size);
        }
    } else {
        set(dev, (at & 0x3000) | (at & 0x3f), (uint32_t)take(in, size), size);
    }
}

static uint32_t ring(unsigned dev, unsigned q)
{
    return RINGS + (dev * QUEUES + q) * PAGE;
}

/* set_up - a driver's start, with the features of its choice. */
static void set_up(Input *in)
{
    unsigned dev = (unsigned)take(in, 1) % DEVICES;
    uint32_t features = (uint32_t)take(in, 4), high;

    set(dev, 0x14, 0, 1);
    set(dev, 0x14, 3, 1);
    set(dev, 0x00, 0, 4);
    set(dev, 0x08, 0, 4);
    set(dev, 0x0c, features, 4);
    set(dev, 0x08, 1, 4);
    high = (uint32_t)take(in, 1) & 5;
    set(dev, 0x0c, high, 4);
    packed[dev] = high == 5;
    set(dev, 0x14, 11, 1);
    for (unsigned q = 0; q < QUEUES; q++) {
        places[dev][q] = (Place){ 0, true };
        set(dev, 0x16, q, 2);
        set(dev, 0x18, SIZE, 2);
        set(dev, 0x20, ring(dev, q), 4);
        set(dev, 0x28, ring(dev, q) + AVAIL, 4);
        set(dev, 0x30, ring(dev, q) + USED, 4);
        set(dev, 0x1c, 1, 2);
    }
    set(dev, 0x14, 15, 1);
}

static void put16(uint64_t at, uint16_t val)
{
    dma_write(at, &val, sizeof(val));
}

/* put - descriptor @n of a chain, of which @d is made for a split ring: at the front, or where the driver of a packed one is. */
static void put(unsigned dev, unsigned q, unsigned n, uint8_t *d)
{
    Place *p = &places[dev][q];

    if (!packed[dev]) {
        dma_write(ring(dev, q) + 16 * n, d, 16);
        return;
    }
    st_le16(d + 14, (uint16_t)(ld_le16(d + 12) | (p->wrap ? 0x80 : 0x8000)));
    st_le16(d + 12, (uint16_t)p->at);
    dma_write(ring(dev, q) + 16 * p->at, d, 16);
    p->at = (p->at + 1) % SIZE;
    p->wrap ^= p->at == 0;
}

/* offer - a chain of some buffers; the first bytes of them are the input's. */
static void offer(Input *in)
{
    unsigned dev = (unsigned)take(in, 1) % DEVICES, q = (unsigned)take(in, 1) % QUEUES, count = (unsigned)take(in, 1) % 4 + 1;
    uint16_t idx = 0;

    for (unsigned n = 0; n < count; n++) {
        uint8_t d[16];
        unsigned how = (unsigned)take(in, 1);
        uint64_t head[2] = { take(in, 8), take(in, 8) };

        st_le64(d, BUFFERS + (how & 15) * PAGE);
        st_le32(d + 8, how & 0x40 ? (uint32_t)take(in, 3) : (uint32_t)take(in, 1) + 1);
        st_le16(d + 12, (uint16_t)((n + 1 < count) | (how & 0x80 ? 2 : 0) | (how & 0x20 && how & 0x10 ? 4 : 0)));
        st_le16(d + 14, (uint16_t)(n + 1));
        dma_write(BUFFERS + (how & 15) * PAGE, head, sizeof(head));
        put(dev, q, n, d);
    }
    if (!packed[dev]) {
        dma_read(ring(dev, q) + AVAIL + 2, &idx, sizeof(idx));
        put16(ring(dev, q) + AVAIL + 4 + 2 * (idx % SIZE), 0);
        put16(ring(dev, q) + AVAIL + 2, (uint16_t)(idx + 1));
    }
    set(dev, 0x3000 + 4 * q, 0, 2);
}

static void frame(Input *in)
{
    uint8_t bytes[2048];
    size_t len = NET_FRAME_MIN + take(in, 2) % (sizeof(bytes) - NET_FRAME_MIN), some = MIN(in->left, 24);

    memset(bytes, 0xff, sizeof(bytes));
    memcpy(bytes, in->p, some);
    in->p += some;
    in->left -= some;
    peer->queue = bytes[0];
    if (bytes[1] & 1) {
        net_send_vnet(peer, bytes + 2, bytes, len);
    } else {
        net_send(peer, bytes, len);
    }
}

static void step(Input *in)
{
    switch (take(in, 1) % 12) {
    case 0 ... 1:
        access_register(in);
        break;
    case 2:
        set_up(in);
        break;
    case 3 ... 6:
        offer(in);
        break;
    case 7: { /* rings */
        uint64_t at = take(in, 2), v = take(in, 8);

        dma_write(RINGS + at % (DEVICES * QUEUES * PAGE), &v, 8);
        break;
    }
    case 8:
        user(in);
        break;
    case 9:
        frame(in);
        break;
    case 10:
        heard++;
        clock_step((int64_t)(take(in, 3) & 0xfffff));
        break;
    default:
        if (!save_and_load(in)) {
            place();
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, size };

    if (board.pci == NULL) {
        build();
    }
    block_drain();
    devices_reset();
    place();
    memset(ram_host(), 0, BUFFERS);
    for (unsigned n = 0; in.left > 0 && n < 512; n++) {
        step(&in);
    }
    return 0;
}
