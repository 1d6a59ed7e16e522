/*
 * Fuzz the devices of the board pc: the input is a program of port, memory, configuration space and
 * MSR accesses, interrupt acknowledges, serial input, keys, mouse movement, clock steps and looks at the
 * screen.
 *
 * FUZZ_TARGET=name (or --target=name on the command line) keeps to one device: pic, pit, rtc, hpet,
 * serial, kbd, fw_cfg, pci, pm, hotplug (its ports; cards come, and go when the guest says so), ioapic, lapic, debug, vga, dma, fdc, parallel, usb (its registers, and the schedule in
 * memory), vmport, smbus, pvpanic, net (the e1000's registers, its rings in memory, frames in), ne2k, pcnet, rtl8139 (the same); default all. Without libFuzzer the program
 * (-DFUZZ_PLAIN) runs the files named on its command line.
 */
#include "base/optlist.h"
#include "chardev/chardev.h"
#include "cpu/cpu.h"
#include "cpu/cpuid.h"
#include "hw/acpi/pci-hotplug.h"
#include "hw/display/screen.h"
#include "hw/display/vga.h"
#include "hw/input/input.h"
#include "hw/intc/lapic.h"
#include "hw/pci/pci.h"
#include "hw/smbus/smbus.h"
#include "machine/pc.h"
#include "machine/plug.h"
#include "net/net.h"
#include "tests/fuzz/machine.h"

#define CPUS 2
#define RAM_SIZE (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

extern _Thread_local CpuState *cpu_current;

static CpuState *cpus[CPUS];
static Chardev *line;

/* Where the graphics card's BARs are put. */
#define VGA_LFB 0xe0000000u
#define VGA_MMIO 0xe2000000u
#define VGA_DEVFN 16
#define SMB_DEVFN PCI_DEVFN(31, 3) /* the ICH9's, beside the PIIX4's at 700h */
#define SMB_IO 0x740
#define PORT_DEVFN PCI_DEVFN(0x1d, 0) /* the root port, with a slot */

/* The USB controller's ports; its frame list, with a page of queues behind it. */
#define USB_IO 0xc100u
#define USB_DEVFN 10
#define USB_LIST 0x2000u
#define USB_QH 0x3000u
#define USB_TD 0x3040u
#define USB_BUF 0x3800u

/* The network card's registers, and its rings. */
#define NET_MMIO 0xe3000000u
#define NET_IO 0xc200u
#define NET_RX 0x5000u
#define NET_TX 0x5100u
#define NET_BUF 0x6000u
enum { NET_RING = 8 };
#define NE2K_IO 0xc300u
#define PCNET_IO 0xc400u
#define PCNET_MMIO 0xe3100000u
#define PCNET_INIT 0x5400u
#define PCNET_RX 0x5440u
#define PCNET_TX 0x54c0u
#define RTL_IO 0xc500u
#define RTL_TX 0x5600u
#define RTL_RX 0x5700u

/* Where accesses go: pieces of port and memory space. */
typedef struct Area {
    const char *target;
    bool memory;
    uint32_t base, size;
} Area;

static const Area areas[] = {
    { "pic", false, 0x20, 2 },       { "pic", false, 0xa0, 2 },
    { "pic", false, 0x4d0, 2 },      { "pit", false, 0x40, 4 },
    { "pit", false, 0x61, 1 },       { "rtc", false, 0x70, 4 },
    { "serial", false, 0x3f8, 8 },   { "kbd", false, 0x60, 1 },
    { "kbd", false, 0x64, 1 },       { "kbd", false, 0x92, 1 },
    { "fw_cfg", false, 0x510, 12 },  { "fw_cfg", true, 0x1000, 64 },
    { "pci", false, 0xcf8, 8 },      { "pm", false, 0xb2, 2 },
    { "pm", false, 0x600, 64 },      { "pm", false, 0xafe0, 4 },
    { "hotplug", false, 0xae00, 16 },
    { "hpet", true, 0xfed00000, 0x400 },
    { "ioapic", true, 0xfec00000, 0x50 },
    { "lapic", true, 0xfee00000, 0x400 },
    { "debug", false, 0xe9, 1 },     { "debug", false, 0x501, 2 },
    { "pci", true, 0xc0000, 0x40000 },
    { "vga", false, 0x3b0, 0x30 },   { "vga", false, 0x3c0, 16 },
    { "vga", false, 0x1ce, 3 },      { "vga", true, 0xa0000, 0x20000 },
    { "vga", true, VGA_LFB, 1u << 20 }, { "vga", true, VGA_MMIO, 0x800 },
    { "dma", false, 0x00, 16 },      { "dma", false, 0xc0, 32 },
    { "dma", false, 0x80, 16 },      { "fdc", false, 0x3f0, 8 },
    { "parallel", false, 0x378, 3 },   { "pvpanic", false, 0x505, 1 },
    { "fdc", false, 0x02, 14 },      { "fdc", false, 0x81, 1 },
    { "usb", false, USB_IO, 0x20 },  { "usb", true, USB_LIST, 0x40 },
    { "usb", true, USB_QH, 0x100 },  { "usb", true, USB_BUF, 0x10 },
    { "vmport", false, 0x5658, 1 },
    { "smbus", false, 0x700, 16 },   { "smbus", false, SMB_IO, 16 },
    { "net", true, NET_MMIO, 0x480 },     { "net", true, NET_MMIO + 0x2800, 0x30 },
    { "net", true, NET_MMIO + 0x3800, 0x38 }, { "net", true, NET_MMIO + 0x4000, 0x1a00 },
    { "net", false, NET_IO, 8 },          { "net", true, NET_RX, 16 * NET_RING },
    { "net", true, NET_TX, 16 * NET_RING }, { "net", true, NET_BUF, 64 },
    { "ne2k", false, NE2K_IO, 0x20 },     { "pcnet", false, PCNET_IO, 0x20 },
    { "pcnet", true, PCNET_MMIO, 0x20 },  { "pcnet", true, PCNET_INIT, 28 },
    { "pcnet", true, PCNET_RX, 16 * NET_RING }, { "pcnet", true, PCNET_TX, 16 * NET_RING },
    { "rtl8139", false, RTL_IO, 0x80 },   { "rtl8139", false, RTL_IO + 0xd8, 0x18 },
    { "rtl8139", true, RTL_RX, 16 * NET_RING }, { "rtl8139", true, RTL_TX, 16 * NET_RING },
};
static unsigned used[ARRAY_SIZE(areas)], used_count;

static void choose(const char *target)
{
    used_count = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
        if (target == NULL || strcmp(target, "all") == 0 ||
            strcmp(target, areas[i].target) == 0) {
            used[used_count++] = i;
        }
    }
    if (used_count == 0) {
        fprintf(stderr, "fuzz-devices: no target '%s'\n", target);
        exit(1);
    }
}

/* ---- cards that come and go ---- */

static Device *ejected[32];
static unsigned ejected_count;

/* Freed by machine/plug.c's loop, which is not here. */
void unplug_soon(Device *dev)
{
    ejected[ejected_count++] = dev;
}

static void free_ejected(void)
{
    while (ejected_count > 0) {
        device_free(ejected[--ejected_count]);
    }
}

/* plug_card - an entropy device in slot 8 and up; what stands there already is asked for. */
static void plug_card(unsigned how)
{
    const char addr[] = { "89ab"[how & 3], 0 };
    PciDevice *port = pci_bus_find(pc_board()->pci, PORT_DEVFN);
    bool in_port = (how & 4) != 0;
    PciDevice *there = in_port ? pci_bus_find(port->below, 0) : pci_bus_find(pc_board()->pci, PCI_DEVFN(8 + (how & 3), 0));
    const PciBusPlug *plug;
    void *opaque;
    Device *dev;

    free_ejected();
    plug = pci_bus_plug(port->below, &opaque);
    if (in_port && there != NULL) {
        plug->request(opaque, there, NULL);
        return;
    }
    if (there != NULL) {
        pci_hotplug_request(pc_hotplug(), there, NULL);
        return;
    }
    dev = device_new(device_class_find("virtio-rng-pci"), NULL);
    dev->board = pc_board();
    device_set(dev, in_port ? "bus" : "addr", in_port ? port->dev.id : addr, NULL);
    if (!device_realize(dev, NULL)) {
        device_free(dev);
    } else if (in_port) {
        plug->added(opaque, container_of(dev, PciDevice, dev));
    } else {
        pci_hotplug_added(pc_hotplug(), container_of(dev, PciDevice, dev));
    }
}

static void no_exit(int code)
{
}
static void nothing(void)
{
}

static void no_panic(bool crash_loaded)
{
}

/* card_devfn - where the first card of class @driver is; 0: nowhere. */
static unsigned card_devfn(const char *driver)
{
    for (unsigned n = 0; n < 256; n++) {
        PciDevice *d = pci_bus_find(pc_board()->pci, n);

        if (d != NULL && strcmp(d->dev.cls->name, driver) == 0) {
            return n;
        }
    }
    return 0;
}

static void plug(const char *driver, bool with_line)
{
    Device *dev = device_new(device_class_find(driver), NULL);
    Error *err = NULL;

    dev->board = pc_board();
    if (with_line) {
        must(device_set(dev, "chardev", "line1", &err), err);
    }
    if (strcmp(driver, "piix3-usb-uhci") == 0) {
        must(device_set(dev, "addr", "1.2", &err), err);
    }
    if (strcmp(driver, "pvpanic-pci") == 0 || strcmp(driver, "pcie-root-port") == 0) { /* 8 and up are plug_card()'s */
        must(device_set(dev, "addr", driver[1] == 'v' ? "1e" : "1d", &err), err);
    }
    if (strcmp(driver, "e1000") == 0 || strcmp(driver, "ne2k_pci") == 0 || strcmp(driver, "pcnet") == 0 ||
        strcmp(driver, "rtl8139") == 0) {
        must(device_set(dev, "romfile", "", &err), err);
    }
    if (dev->cls == &vga_pci_class) {
        must(device_set(dev, "romfile", "", &err) && device_set(dev, "vgamem_mb", "1", &err), err);
    }
    must(device_realize(dev, &err), err);
}

static void *find_line(const char *id, Error **errp)
{
    return chardev_find(id);
}

static Chardev *make_line(const char *text)
{
    Error *err = NULL;
    OptList *l = opt_parse(text, "backend", &err);
    Chardev *c = l != NULL ? chardev_new(l, &err) : NULL;

    must(c != NULL, err);
    opt_free(l);
    return c;
}

/* ---- the network: somebody who hears, and is deaf now and then ---- */

enum { CARD_E1000, CARD_NE2K, CARD_PCNET, CARD_RTL, CARDS };
static const char *const cards[CARDS] = { "e1000", "ne2k_pci", "pcnet", "rtl8139" };
static NetPort net_peer[CARDS];
static unsigned net_heard;
static unsigned net_devfn[CARDS];

static bool net_can_hear(void *opaque, size_t len)
{
    return net_heard % 7 != 6;
}
static void net_hear(void *opaque, const uint8_t *frame, size_t len)
{
    static volatile uint8_t sum;

    net_heard++;
    for (size_t n = 0; n < len; n++) {
        sum ^= frame[n];
    }
}
static const NetPortOps net_peer_ops = { .can_receive = net_can_hear, .receive = net_hear };

/* plug_nets - the cards that are not there (any more), each with somebody at the other end. */
static void plug_nets(void)
{
    for (unsigned n = 0; n < CARDS; n++) {
        if (net_devfn[n] == 0 || pci_bus_find(pc_board()->pci, net_devfn[n]) == NULL) {
            char name[32];

            plug(cards[n], false);
            net_devfn[n] = card_devfn(cards[n]);
            snprintf(name, sizeof(name), "%s.0", cards[n]);
            net_plug(&net_peer[n], net_find_card(name));
        }
    }
}

static void plug_smbus(void)
{
    Device *dev = device_new(&ich9_smb_class, NULL);
    Error *err = NULL;

    dev->board = pc_board();
    ich9_smb_connect(dev, pc_board()->pci);
    must(device_realize(dev, &err) && smbus_eeproms(ich9_smb_host(dev), pc_board(), RAM_SIZE, &err), err);
}

static void build(void)
{
    static CpuModel model;
    PcConfig cfg = { .ram_size = RAM_SIZE, .cpus = CPUS, .cpu = cpus, .hpet = true,
                     .acpi = true, .vmport = true, .rtc_base = "2000-01-01",
                     .rtc_clock = "vm", .rtc_slew = true };
    Error *err = NULL;

    clock_manual();
    machine_lock();
    must(cpu_model_parse("max", true, &model, &err), err);
    for (unsigned i = 0; i < CPUS; i++) {
        cpus[i] = cpu_new(i, &model);
    }
    chardev_setup(&machine_lock_guard, nothing);
    device_set_resolver(find_line);
    line = make_line("ringbuf,id=line0");
    make_line("ringbuf,id=line1");
    cfg.serial[0] = line;
    block_setup(&machine_lock_guard, true);
    cfg.parallel_port[0] = true;
    cfg.floppy[0] = make_drive("floppy0", 2880 * 512);
    must(pc_build(&cfg, &err) && pc_complete(&err), err);
    pc_board()->exit_request = no_exit;
    pc_board()->reset_request = nothing;
    pc_board()->shutdown_request = nothing;
    pc_board()->watchdog_expired = nothing;
    pc_board()->guest_panicked = no_panic;
    plug("VGA", false);
    plug("piix3-usb-uhci", false);
    plug("usb-tablet", false);
    plug("usb-kbd", false); /* behind a hub, which comes by itself */
    for (unsigned n = 0; n < CARDS; n++) {
        net_port_init(&net_peer[n], "peer", &net_peer_ops, NULL, false);
    }
    plug_nets();
    plug("isa-debugcon", true);
    plug("isa-debug-exit", false);
    plug("ib700", false);
    plug("i6300esb", false);
    plug("pvpanic", false);
    plug("pvpanic-pci", false);
    plug("pcie-root-port", false);
    plug_smbus();
}

/* ---- the program ---- */

/* A call of VMware's port. */
static void vmport_call(Input *in)
{
    unsigned op = (unsigned)take(in, 1);

    cpu_current->regs[GPR_RAX] = 0x564d5868;
    cpu_current->regs[GPR_RBX] = op & 0x80 ? (op & 0x40 ? 0x45414552 : op & 0x20 ? 0x53424152 : 0x4c455252) : op & 15;
    cpu_current->regs[GPR_RCX] = op & 0x80 ? 41 : 39 + (op >> 4 & 3);
    port_read(0x5658, 4);
}

static void access_area(Input *in, bool write)
{
    const Area *a = &areas[used[take(in, 1) % used_count]];
    uint32_t addr = a->base + (uint32_t)take(in, 2) % a->size;
    unsigned size = 1u << take(in, 1) % 4;
    uint64_t val;
    FlatView *v;
    const FlatRange *r;

    if (strcmp(a->target, "vmport") == 0) {
        vmport_call(in);
        return;
    }
    val = write ? take(in, size) : 0;
    if (!a->memory) {
        size = MIN(size, 4u);
        if (write) {
            port_write((uint16_t)addr, (uint32_t)val, size);
        } else {
            port_read((uint16_t)addr, size);
        }
        return;
    }
    v = flat_view(false);
    r = flat_find(v, addr);
    if (r != NULL && r->host == NULL) {
        if (write) {
            mmio_write(r->region, r->offset + (addr - r->first), val, size);
        } else {
            mmio_read(r->region, r->offset + (addr - r->first), size);
        }
    } else if (write) {
        dma_write(addr, &val, size);
    }
    flat_view_unref(v);
}

static void config_access(Input *in)
{
    static const uint8_t devfn[4] = { 0, 8, 11, 16 };
    unsigned op = (unsigned)take(in, 1);
    uint32_t reg = (uint32_t)take(in, 1);

    port_write(0xcf8, 0x80000000u | (op & 16 ? PORT_DEVFN : devfn[op & 3]) << 8 | (reg & 0xfc), 4);
    port_write((uint16_t)(0xcfc + (reg & 3)), (uint32_t)take(in, 4), 1u << (op >> 2 & 3) % 3);
}

static void msr_access(Input *in)
{
    uint32_t n = (uint32_t)take(in, 1);
    uint32_t msr = n == 0xff ? 0x1b : n == 0xfe ? 0x6e0 : 0x800 + n % 0x40;
    CpuState *c = cpu_current;
    uint64_t val;

    if (c->hooks.apic_rdmsr(c, msr, &val)) {
        c->hooks.apic_wrmsr(c, msr, take(in, 8));
    } else {
        c->hooks.apic_wrmsr(c, msr, take(in, 4));
    }
}

/* A key, or the mouse. */
static void user_input(Input *in)
{
    uint32_t v = (uint32_t)take(in, 4);

    if (v & 1) {
        input_key(v >> 2 & 0x1ff, (v & 2) != 0);
    } else if (v & 2 && input_absolute()) {
        input_point(v >> 8 & 0x7fff, v >> 16 & 0x7fff, (int8_t)(v >> 24), v >> 2 & 0x1f);
    } else {
        input_mouse((int8_t)(v >> 8) * 4, (int8_t)(v >> 16) * 4, (int8_t)(v >> 24), v >> 1 & 0x1f);
    }
}

/* frame_in - from the network: up to 2 KiB, the first bytes as the input says. */
static void frame_in(Input *in)
{
    static uint8_t frame[2048];
    size_t len = 14 + (size_t)take(in, 2) % (sizeof(frame) - 14);
    unsigned given = (unsigned)take(in, 1) % 64;

    memset(frame, 0xff, sizeof(frame));
    for (unsigned n = 0; n < given && in->left > 0; n++) {
        frame[n] = (uint8_t)take(in, 1);
    }
    net_heard++;
    for (unsigned n = 0; n < CARDS; n++) {
        net_send(&net_peer[n], frame, len);
        net_accept(&net_peer[n]);
    }
}

/* At the screen. */
static void look(void)
{
    screen_refresh(screen_first());
    free(screen_text(screen_first()));
}

static void step(Input *in)
{
    unsigned op = (unsigned)take(in, 1);
    uint8_t buf[4];

    switch (op % 12) {
    case 0 ... 3:
        access_area(in, true);
        break;
    case 4 ... 5:
        access_area(in, false);
        break;
    case 6:
        config_access(in);
        break;
    case 7:
        msr_access(in);
        break;
    case 8: /* up to 16 ms, now and then */
        clock_step((int64_t)(take(in, 3) & 0xffffff));
        break;
    case 9:
        cpu_current->hooks.ack_interrupt(cpu_current);
        break;
    case 10:
        op = (unsigned)take(in, 1);
        if (op & 0x80) {
            look();
        } else {
            cpu_current = cpus[op % CPUS];
        }
        break;
    default:
        if (op / 12 == 20) {
            plug_card((unsigned)take(in, 1));
            break;
        }
        if (op / 12 >= 19) {
            frame_in(in);
            break;
        }
        if (op / 12 >= 16) {
            user_input(in);
            break;
        }
        st_le32(buf, (uint32_t)take(in, 4));
        chardev_inject(line, buf, 1 + op / 12 % 4);
        break;
    }
}

static void config_write(unsigned devfn, unsigned reg, uint32_t val)
{
    port_write(0xcf8, 0x80000000u | devfn << 8 | reg, 4);
    port_write(0xcfc, val, 4);
}

/* A schedule that polls the tablet at its default address; it runs. */
static void start_usb(void)
{
    static uint8_t list[4096];
    uint8_t qh[8], td[16];

    config_write(USB_DEVFN, 0x20, USB_IO);
    config_write(USB_DEVFN, 0x04, 5);
    for (unsigned n = 0; n < 1024; n++) {
        st_le32(list + 4 * n, USB_QH | 2);
    }
    dma_write(USB_LIST, list, sizeof(list));
    st_le32(qh, 1);
    st_le32(qh + 4, USB_TD);
    dma_write(USB_QH, qh, sizeof(qh));
    st_le32(td, USB_TD + 0x20);
    st_le32(td + 4, 0x19800000);
    st_le32(td + 8, 0x00e0002d); /* SETUP, 8 bytes */
    st_le32(td + 12, USB_BUF);
    dma_write(USB_TD, td, sizeof(td));
    port_write(USB_IO + 8, USB_LIST, 4);
    for (unsigned n = 0; n < 2; n++) {
        port_write((uint16_t)(USB_IO + 0x10 + 2 * n), 0x200, 2);
        port_write((uint16_t)(USB_IO + 0x10 + 2 * n), 0x00, 2);
        port_write((uint16_t)(USB_IO + 0x10 + 2 * n), 0x04, 2);
    }
    port_write(USB_IO + 4, 0x0f, 2);
    port_write(USB_IO, 1, 2);
}

/* Rings of the network card; it runs. */
static void start_net(void)
{
    static const uint32_t regs[][2] = {
        { 0x2800, NET_RX }, { 0x2808, 16 * NET_RING }, { 0x2818, NET_RING - 1 }, { 0x3800, NET_TX },
        { 0x3808, 16 * NET_RING }, { 0x400, 2 }, { 0x100, 0x8002 }, { 0xd0, 0xffff },
    };
    uint8_t d[16] = { 0 };

    config_write(net_devfn[CARD_E1000], 0x10, NET_MMIO);
    config_write(net_devfn[CARD_E1000], 0x14, NET_IO);
    config_write(net_devfn[CARD_E1000], 0x04, 7);
    for (unsigned n = 0; n < NET_RING; n++) {
        st_le32(d, NET_BUF + 0x100 * n);
        dma_write(NET_RX + 16 * n, d, 16);
        st_le32(d + 8, 0x0b000000 | 60);
        dma_write(NET_TX + 16 * n, d, 16);
        st_le32(d + 8, 0);
    }
    for (unsigned n = 0; n < ARRAY_SIZE(regs); n++) {
        FlatView *v = flat_view(false);
        const FlatRange *r = flat_find(v, NET_MMIO + regs[n][0]);

        if (r != NULL && r->host == NULL) {
            mmio_write(r->region, r->offset + (NET_MMIO + regs[n][0] - r->first), regs[n][1], 4);
        }
        flat_view_unref(v);
    }
}

/* start_ne2k - its ring; it runs, and hears all. */
static void start_ne2k(void)
{
    static const uint8_t regs[][2] = {
        { 0x00, 0x21 }, { 0x0e, 0x49 }, { 0x0c, 0x1c }, { 0x0d, 0x00 }, { 0x01, 0x46 }, { 0x02, 0x80 }, { 0x03, 0x7f },
        { 0x04, 0x40 }, { 0x05, 60 },   { 0x00, 0x61 }, { 0x07, 0x46 }, { 0x00, 0x21 }, { 0x0f, 0x7f }, { 0x00, 0x22 },
    };

    config_write(net_devfn[CARD_NE2K], 0x10, NE2K_IO);
    config_write(net_devfn[CARD_NE2K], 0x04, 5);
    for (unsigned n = 0; n < ARRAY_SIZE(regs); n++) {
        port_write(NE2K_IO + regs[n][0], regs[n][1], 1);
    }
}

/* start_pcnet - its initialization block and rings, software style 2; it runs, and hears all. */
static void start_pcnet(void)
{
    static const uint16_t regs[][2] = { { 58, 2 }, { 1, PCNET_INIT }, { 2, 0 }, { 0, 1 }, { 0, 0x142 } };
    uint8_t d[28] = { 0 };

    config_write(net_devfn[CARD_PCNET], 0x10, PCNET_IO);
    config_write(net_devfn[CARD_PCNET], 0x14, PCNET_MMIO);
    config_write(net_devfn[CARD_PCNET], 0x04, 7);
    for (unsigned n = 0; n < NET_RING; n++) {
        st_le32(d, NET_BUF + 0x100 * n);
        st_le32(d + 4, 0x8000ff00);
        dma_write(PCNET_RX + 16 * n, d, 16);
        st_le32(d + 4, 0x03000000 | (0x10000 - 60));
        dma_write(PCNET_TX + 16 * n, d, 16);
    }
    st_le32(d, 0x30308000); /* rings of eight, promiscuous */
    st_le32(d + 4, 0);
    st_le32(d + 20, PCNET_RX);
    st_le32(d + 24, PCNET_TX);
    dma_write(PCNET_INIT, d, sizeof(d));
    for (unsigned n = 0; n < ARRAY_SIZE(regs); n++) {
        port_write(PCNET_IO + 0x12, regs[n][0], 2);
        port_write(PCNET_IO + 0x10, regs[n][1], 2);
    }
}

/* start_rtl8139 - descriptors of C+ mode; it runs, and hears all. */
static void start_rtl8139(void)
{
    static const struct {
        uint8_t at, size;
        uint16_t val;
    } regs[] = {
        { 0x37, 1, 0x10 }, { 0xe0, 2, 3 }, { 0x20, 4, RTL_TX }, { 0xe4, 4, RTL_RX }, { 0x30, 4, NET_BUF },
        { 0x37, 1, 0x0c }, { 0x44, 4, 0x0f }, { 0x3c, 2, 0xffff }, { 0xd9, 1, 0x40 },
    };
    uint8_t d[16] = { 0 };

    config_write(net_devfn[CARD_RTL], 0x10, RTL_IO);
    config_write(net_devfn[CARD_RTL], 0x04, 5);
    for (unsigned n = 0; n < NET_RING; n++) {
        st_le32(d + 8, NET_BUF + 0x100 * n);
        st_le32(d, 0x80000000 | (n == NET_RING - 1 ? 0x40000000 : 0) | 256);
        dma_write(RTL_RX + 16 * n, d, 16);
        st_le32(d, 0x30000000 | (n < 2 ? 0x80000000 : 0) | (n == NET_RING - 1 ? 0x40000000 : 0) | 60);
        dma_write(RTL_TX + 16 * n, d, 16);
    }
    for (unsigned n = 0; n < ARRAY_SIZE(regs); n++) {
        port_write((uint16_t)(RTL_IO + regs[n].at), regs[n].val, regs[n].size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, size };

    if (cpus[0] == NULL) {
        choose(getenv("FUZZ_TARGET"));
        build();
    }
    cpu_current = cpus[0];
    free_ejected();
    pc_reset();
    free_ejected();
    plug_nets(); /* what was ejected by the input before */
    config_write(VGA_DEVFN, 0x10, VGA_LFB);
    config_write(VGA_DEVFN, 0x18, VGA_MMIO);
    config_write(VGA_DEVFN, 0x04, 3);
    config_write(SMB_DEVFN, 0x20, SMB_IO);
    config_write(SMB_DEVFN, 0x04, 1);
    config_write(SMB_DEVFN, 0x40, 1);
    start_usb();
    start_net();
    start_ne2k();
    start_pcnet();
    start_rtl8139();
    for (unsigned n = 0; in.left > 0 && n < 4096; n++) {
        step(&in);
    }
    return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    for (int i = 1; i < *argc; i++) {
        if (strncmp((*argv)[i], "--target=", 9) == 0) {
            setenv("FUZZ_TARGET", (*argv)[i] + 9, 1);
        }
    }
    return 0;
}
