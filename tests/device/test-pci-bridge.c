/*
 * Bridges between PCI buses: numbers, windows, interrupts, reset; and the root port's slot, by its registers.
 */
#include "tests/device/fake.h"

#include "bus/state.h"
#include "hw/pci/pci.h"

extern const DeviceClass pci_bridge_class, pcie_pci_bridge_class, pcie_root_port_class, pvpanic_pci_class, virtio_rng_class;

static PciBus *root;
static int pirq[PCI_PIRQS];
static unsigned messages, ejected;
static uint32_t message;
static Device *last;

static void set_pirq(void *opaque, unsigned n, int level)
{
    pirq[n] = level;
}

static void on_msi(void *opaque, uint64_t addr, uint32_t data)
{
    messages++;
    message = data;
}

static void on_ejected(Device *dev)
{
    ejected++;
    last = dev;
}

static int setup(void **state)
{
    fake_setup(state);
    root = pci_bus_new(set_pirq, NULL);
    pci_bus_set_msi(root, on_msi, NULL);
    assert_true(pci_bus_map(root, NULL));
    fake_board.pci = root;
    fake_board.pci_name = "pcie.0";
    fake_board.ejected = on_ejected;
    memset(pirq, 0, sizeof(pirq));
    messages = ejected = 0;
    return 0;
}

static int teardown(void **state)
{
    devices_free_all();
    pci_bus_unmap(root);
    pci_bus_free(root);
    return 0;
}

/* make - @props "name=value" and blanks between. */
static Device *make(const DeviceClass *cls, const char *id, const char *props)
{
    Device *dev = device_new(cls, id);
    char text[200], *at = text;

    snprintf(text, sizeof(text), "%s", props);
    dev->board = &fake_board;
    for (char *word; (word = strsep(&at, " ")) != NULL && *word != 0;) {
        char *eq = strchr(word, '=');

        *eq = 0;
        assert_true(device_set(dev, word, eq + 1, NULL));
    }
    return dev;
}

static PciDevice *add(const DeviceClass *cls, const char *id, const char *props)
{
    return container_of(fake_realize(make(cls, id, props)), PciDevice, dev);
}

static void refused(const DeviceClass *cls, const char *props, const char *says)
{
    Device *dev = make(cls, "refused", props);
    Error *err = NULL;

    assert_false(device_realize(dev, &err));
    if (strstr(error_text(err), says) == NULL) {
        fail_msg("%s", error_text(err));
    }
    error_free(err);
    device_free(dev);
}

/* conf - by mechanism #1; as a guest. */
static uint32_t conf(unsigned bus, unsigned devfn, unsigned at)
{
    port_write(0xcf8, 0x80000000u | bus << 16 | devfn << 8 | (at & 0xfc), 4);
    return port_read(0xcfc, 4) >> 8 * (at & 3);
}

static void set_conf(unsigned bus, unsigned devfn, unsigned at, uint32_t val, unsigned size)
{
    port_write(0xcf8, 0x80000000u | bus << 16 | devfn << 8 | (at & 0xfc), 4);
    port_write((uint16_t)(0xcfc + (at & 3)), val, size);
}

static void test_numbers(void **state)
{
    PciDevice *port = add(&pcie_root_port_class, "rp", "addr=3"), *inner;

    add(&pcie_pci_bridge_class, "br", "bus=rp");
    inner = add(&pvpanic_pci_class, "card", "bus=br addr=5");
    assert_int_equal(conf(0, PCI_DEVFN(3, 0), 0), 0x000c1b36);
    assert_int_equal(conf(0, PCI_DEVFN(3, 0), PCI_HEADER) & 0xff, 1);
    assert_int_equal(conf(1, 0, 0), UINT32_MAX); /* nobody has the number */
    set_conf(0, PCI_DEVFN(3, 0), PCI_PRIMARY, 0x00040200, 4); /* buses 2 to 4 */
    assert_int_equal(conf(1, 0, 0), UINT32_MAX);
    assert_int_equal(conf(2, 0, 0), 0x000e1b36);
    assert_int_equal(conf(4, PCI_DEVFN(5, 0), 0), UINT32_MAX);
    set_conf(2, 0, PCI_PRIMARY, 0x00040402, 4);
    assert_int_equal(conf(4, PCI_DEVFN(5, 0), 0), 0x00111b36);
    assert_int_equal(conf(4, 0, 0), UINT32_MAX);
    assert_int_equal(conf(5, 0, 0), UINT32_MAX);
    set_conf(0, PCI_DEVFN(3, 0), PCI_SUBORDINATE, 3, 1); /* it passes 4 on no more */
    assert_int_equal(conf(4, PCI_DEVFN(5, 0), 0), UINT32_MAX);
    assert_ptr_equal(pci_function(root, 2, 0)->below, inner->bus);
    assert_ptr_equal(port->below, pci_function(root, 2, 0)->bus);
}

static bool answers(hwaddr addr)
{
    FlatView *v = flat_view(false);
    const FlatRange *r = flat_find(v, addr);
    bool yes = r != NULL && r->region->kind != REGION_RAM && mmio_read(r->region, r->offset + (addr - r->first), 1) == 3;

    flat_view_unref(v);
    return yes;
}

/* A BAR is there when each bridge on the way forwards all of it. */
static void test_windows(void **state)
{
    PciDevice *port = add(&pcie_root_port_class, "rp", "addr=3"), *bridge = add(&pcie_pci_bridge_class, "br", "bus=rp");
    PciDevice *card = add(&pvpanic_pci_class, "card", "bus=br addr=5"), *io = add(&virtio_rng_class, "rng", "bus=br addr=6");

    pci_config_write(card, PCI_BAR0, 0xe0100000, 4);
    pci_config_write(card, PCI_COMMAND, PCI_CMD_MEMORY, 2);
    assert_false(answers(0xe0100000));
    pci_config_write(bridge, PCI_MEM_BASE, 0xe010e010, 4);
    pci_config_write(bridge, PCI_COMMAND, PCI_CMD_MEMORY, 2);
    assert_false(answers(0xe0100000));
    pci_config_write(port, PCI_MEM_BASE, 0xe020e010, 4);
    assert_false(answers(0xe0100000)); /* it forwards nothing yet */
    pci_config_write(port, PCI_COMMAND, PCI_CMD_MEMORY, 2);
    assert_true(answers(0xe0100000));
    pci_config_write(port, PCI_MEM_BASE, 0xe010e020, 4); /* base behind the limit: no window */
    assert_false(answers(0xe0100000));
    pci_config_write(port, PCI_PREF_BASE, 0xe010e010, 4); /* the prefetchable one does too */
    assert_true(answers(0xe0100000));
    pci_config_write(port, PCI_PREF_BASE_HIGH, 1, 4);
    assert_false(answers(0xe0100000));
    pci_config_write(port, PCI_PREF_BASE_HIGH, 0, 4);
    pci_config_write(bridge, PCI_BRIDGE_CONTROL, 0x40, 2); /* RST# */
    assert_int_equal(pci_config_read(card, PCI_BAR0, 4), 0);
    assert_int_equal(pci_config_read(bridge, PCI_MEM_BASE, 4), 0xe010e010);
    assert_false(answers(0xe0100000));

    pci_config_write(io, PCI_BAR0, 0xc401, 4);
    pci_config_write(io, PCI_COMMAND, PCI_CMD_IO, 2);
    pci_config_write(bridge, PCI_IO_BASE, 0xc0c0, 2);
    pci_config_write(bridge, PCI_COMMAND, PCI_CMD_IO, 2);
    pci_config_write(port, PCI_IO_BASE, 0xd0b0, 2);
    pci_config_write(port, PCI_COMMAND, PCI_CMD_IO, 2);
    assert_int_equal(port_read(0xc408, 4), 0); /* its queue's address */
    pci_config_write(bridge, PCI_IO_BASE, 0xd0d0, 2);
    assert_int_equal(port_read(0xc408, 4), UINT32_MAX);
}

/* INTx goes up through bridges, a pin further with each slot; the board's routes are those of the first bridge's slot. */
static void test_intx(void **state)
{
    PciDevice *port = add(&pcie_root_port_class, "rp", "addr=3"), *card;

    add(&pcie_pci_bridge_class, "br", "bus=rp");
    card = add(&virtio_rng_class, "rng", "bus=br addr=6");
    pci_set_irq(card, 1); /* INTA, slot 6: pin 2 at the bridge, slot 0: pin 2 at the port, slot 3: (3 - 1 + 2) & 3 */
    assert_int_equal(pirq[0], 1);
    assert_int_equal(pirq[1] + pirq[2] + pirq[3], 0);
    pci_set_irq(port, 1);
    assert_int_equal(pirq[2], 1);
    pci_set_irq(card, 0);
    pci_set_irq(port, 0);
    assert_int_equal(pirq[0] + pirq[1] + pirq[2] + pirq[3], 0);
}

static void test_refusals(void **state)
{
    add(&pcie_root_port_class, "rp", "chassis=1 slot=2");
    add(&pvpanic_pci_class, "card", "bus=rp");
    refused(&pcie_root_port_class, "chassis=1 slot=2", "chassis 1, slot 2 is that of 'rp'");
    refused(&pvpanic_pci_class, "bus=rp", "slot 0 of the port is taken");
    refused(&pvpanic_pci_class, "bus=rp addr=1", "slot 1 is not valid");
    refused(&pvpanic_pci_class, "bus=nonesuch", "Bus 'nonesuch' not found");
    refused(&pci_bridge_class, "", "Bridge chassis not specified");
    refused(&pci_bridge_class, "chassis_nr=1 shpc=on", "shpc=on");
    refused(&pcie_pci_bridge_class, "msi=on", "msi=on");
}

/* ---- the slot ---- */

enum { SLOT_CTL = 0x18, SLOT_STS = 0x1a, LINK_STS = 0x12 };

/* express - the offset of the capability in @d, as a guest finds it. */
static unsigned express(PciDevice *d)
{
    unsigned at = pci_config_read(d, PCI_CAPS, 1);

    while (at != 0 && pci_config_read(d, at, 1) != 0x10) {
        at = pci_config_read(d, at + 1, 1);
    }
    assert_int_not_equal(at, 0);
    return at;
}

static void test_slot(void **state)
{
    PciDevice *port = add(&pcie_root_port_class, "rp", "addr=3 slot=5"), *card;
    unsigned cap = express(port);
    const PciBusPlug *plug;
    Error *err = NULL;
    void *opaque;
    StateBuf b = { 0 };

    assert_int_equal(pci_config_read(port, cap + 2, 2), 0x0142); /* root port with a slot */
    assert_int_equal(pci_config_read(port, cap + 0x14, 4), 5u << 19 | 0x5b);
    assert_int_equal(pci_config_read(port, cap + SLOT_CTL, 4), 0x07c0); /* empty: off */
    pci_config_write(port, cap + SLOT_CTL, 0x17c0 | 0x29, 2); /* power off; wants button, presence, link */
    assert_int_equal(pci_config_read(port, cap + SLOT_STS, 2), 0x10); /* command completed, of which it is not told */
    assert_int_equal(pirq[2], 0);
    pci_config_write(port, cap + SLOT_STS, 0x10, 2);

    plug = pci_bus_plug(port->below, &opaque);
    card = add(&pvpanic_pci_class, "card", "bus=rp");
    plug->added(opaque, card);
    assert_int_equal(pci_config_read(port, cap + SLOT_STS, 2), 0x49); /* present, changed; the button */
    assert_int_equal(pirq[2], 1);
    pci_config_write(port, cap + SLOT_STS, 0x08, 2);
    assert_int_equal(pirq[2], 1);
    pci_config_write(port, cap + SLOT_STS, 0x01, 2);
    assert_int_equal(pirq[2], 0);
    pci_config_write(port, cap + SLOT_CTL, 0x11c0 | 0x29, 2); /* power and its indicator on */
    assert_int_equal(pci_config_read(port, cap + LINK_STS, 2) & 0x2000, 0x2000);
    assert_int_equal(pci_config_read(port, cap + SLOT_STS, 2), 0x150); /* the link changed */
    assert_int_equal(pirq[2], 1);
    pci_config_write(port, cap + SLOT_STS, 0x110, 2);

    assert_true(plug->request(opaque, card, NULL)); /* the button */
    assert_int_equal(pci_config_read(port, cap + SLOT_STS, 2), 0x41);
    assert_int_equal(pirq[2], 1);
    assert_false(plug->request(opaque, card, &err));
    assert_string_equal(error_text(err), "Device card is already in the process of unplug");
    error_free(err);
    pci_config_write(port, cap + SLOT_STS, 0x01, 2);
    devices_save(&b);
    pci_config_write(port, cap + SLOT_CTL, 0x15c0 | 0x29, 2); /* power off */
    assert_int_equal(ejected, 0);
    pci_config_write(port, cap + SLOT_CTL, 0x17c0 | 0x29, 2); /* and the indicator */
    assert_int_equal(ejected, 1);
    assert_ptr_equal(last, &card->dev);
    assert_null(pci_bus_find(port->below, 0));
    assert_int_equal(pci_config_read(port, cap + SLOT_STS, 2), 0x118);
    assert_int_equal(pci_config_read(port, cap + LINK_STS, 2) & 0x2000, 0);
    device_free(last);
    card = add(&pvpanic_pci_class, "card", "bus=rp"); /* what was saved had one */
    assert_true(devices_load(&b, NULL));
    state_buf_free(&b);
    assert_int_equal(pci_config_read(port, cap + SLOT_STS, 2), 0x40);
    assert_int_equal(pci_config_read(port, cap + SLOT_CTL, 2), 0x11e9);
    devices_reset();
    assert_int_equal(pci_config_read(port, cap + SLOT_CTL, 4), 0x004001c0); /* occupied: on */
    assert_int_equal(pci_config_read(port, cap + LINK_STS, 2) & 0x2000, 0x2000);
}

/* Events as messages: one for each time that there are some where there were none. */
static void test_message(void **state)
{
    PciDevice *port = add(&pcie_root_port_class, "rp", "addr=3"), *card;
    unsigned cap = express(port), msi = pci_config_read(port, PCI_CAPS, 1);
    const PciBusPlug *plug;
    void *opaque;

    assert_int_equal(pci_config_read(port, msi, 1), 5);
    pci_config_write(port, msi + 4, 0xfee00000, 4);
    pci_config_write(port, msi + 12, 0x4041, 2);
    pci_config_write(port, msi + 2, 1, 2);
    pci_config_write(port, PCI_COMMAND, PCI_CMD_MASTER, 2);
    pci_config_write(port, cap + SLOT_CTL, 0x17c0 | 0x28, 2);
    card = add(&pvpanic_pci_class, "card", "bus=rp");
    plug = pci_bus_plug(port->below, &opaque);
    plug->added(opaque, card);
    assert_int_equal(messages, 1);
    assert_int_equal(message, 0x4041);
    assert_int_equal(pirq[2], 0);
    plug->added(opaque, card);
    assert_int_equal(messages, 1);
    pci_config_write(port, cap + SLOT_STS, 0x108, 2);
    plug->added(opaque, card);
    assert_int_equal(messages, 2);
}

static void test_fixed(void **state)
{
    PciDevice *port = add(&pcie_root_port_class, "rp", "hotplug=off");
    unsigned cap = express(port);
    void *opaque;

    assert_null(pci_bus_plug(port->below, &opaque));
    assert_int_equal(pci_config_read(port, cap + 0x14, 4) & 0x7f, 0);
    pci_config_write(port, cap + SLOT_CTL, 0xffff, 2);
    assert_int_equal(pci_config_read(port, cap + SLOT_CTL, 2), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_numbers), T(test_windows), T(test_intx), T(test_refusals), T(test_slot), T(test_message), T(test_fixed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
