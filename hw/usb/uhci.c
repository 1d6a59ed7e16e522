/*
 * UHCI host controller with two ports: registers, ports and the clock of frames, as function of an 82371SB (PIIX3),
 * 82371AB (PIIX4) or ICH9, or as a card of its own.
 *
 * A frame is a millisecond of CLK_VIRTUAL. While something happens each one is worked through at its time. When
 * only polling was seen for a while, the controller looks once in IDLE_PACE frames and works through all those that
 * are due, and at once when a device has something to say: an idle guest costs 60 looks a second, not 1000. The
 * frame number is right whenever it is read.
 *
 * Sources: Intel Universal Host Controller Interface Design Guide 1.1 (headings quoted); 82371SB data sheet, "USB
 * Host Controller". Not modelled: legacy keyboard emulation (SMI), the length of a frame (SOFMOD), over-current.
 */
#include "hw/usb/uhci.h"

#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/usb/trace.h"

enum { REG_CMD = 0x00, REG_STS = 0x02, REG_INTR = 0x04, REG_FRNUM = 0x06, REG_FLBASE = 0x08, REG_SOFMOD = 0x0c,
       REG_PORTSC = 0x10, REG_SIZE = 0x20 };

#define CMD_HCRESET 0x0002
#define CMD_GRESET 0x0004
#define CMD_MASK 0x00ff
#define INTR_ERROR 0x01
#define INTR_RESUME 0x02
#define INTR_IOC 0x04
#define INTR_SHORT 0x08
#define INTR_MASK 0x0f
#define STS_CLEARED_BY_1 0x1f
#define FRNUM_MASK 0x7ff

#define PORT_CONNECTED 0x0001
#define PORT_CONNECT_CHANGE 0x0002
#define PORT_ENABLE_CHANGE 0x0008
#define PORT_D_PLUS 0x0010 /* "Line Status": idle, full speed */
#define PORT_RESUME 0x0040
#define PORT_ALWAYS 0x0080
#define PORT_CHANGES (PORT_CONNECT_CHANGE | PORT_ENABLE_CHANGE)
#define PORT_READ_ONLY (PORT_CONNECTED | PORT_D_PLUS | PORT_ALWAYS)
#define PORT_WRITABLE (UHCI_PORT_ENABLED | PORT_RESUME | UHCI_PORT_RESET | UHCI_PORT_SUSPENDED)

enum { CONFIG_SBRN = 0x60, CONFIG_LEGSUP = 0xc0 };
enum { IDLE_AFTER = 32, IDLE_PACE = 16, BEHIND_MAX = 4 * IDLE_PACE };

static Uhci *uhci_of(Device *dev)
{
    return container_of(dev, Uhci, pci.dev);
}

/* ---- interrupt, clock ---- */

static void update_irq(Uhci *s)
{
    bool level = ((s->cause & UHCI_CAUSE_IOC) && (s->intr & INTR_IOC)) ||
                 ((s->cause & UHCI_CAUSE_SHORT) && (s->intr & INTR_SHORT)) ||
                 ((s->sts & UHCI_STS_ERROR) && (s->intr & INTR_ERROR)) ||
                 ((s->sts & UHCI_STS_RESUME) && (s->intr & INTR_RESUME)) ||
                 (s->sts & (UHCI_STS_SYSTEM_ERROR | UHCI_STS_PROCESS_ERROR));

    s->sts |= s->cause != 0 ? UHCI_STS_INT : 0;
    pci_set_irq(&s->pci, level);
}

static bool running(const Uhci *s)
{
    return (s->cmd & UHCI_CMD_RS) && (s->pci.config[PCI_COMMAND] & PCI_CMD_MASTER);
}

static void arm(Uhci *s)
{
    unsigned frames = s->idle < IDLE_AFTER ? 1 : IDLE_PACE;

    trace_uhci_pace(running(s) ? frames : 0);
    if (running(s)) {
        timer_arm(&s->timer, s->next + (frames - 1) * UHCI_FRAME);
    } else {
        timer_cancel(&s->timer);
    }
}

/* catch_up - work through the frames that are due. After a long stop (of the host) only through the last ones. */
static void catch_up(Uhci *s)
{
    int64_t now = clock_now(CLK_VIRTUAL), due;

    if (!running(s) || now < s->next) {
        return;
    }
    due = (now - s->next) / UHCI_FRAME + 1;
    if (due > BEHIND_MAX) {
        s->frnum = (uint16_t)((s->frnum + (due - BEHIND_MAX)) & FRNUM_MASK);
        s->next += (due - BEHIND_MAX) * UHCI_FRAME;
        due = BEHIND_MAX;
    }
    for (; due > 0 && running(s); due--) {
        s->idle = uhci_frame(s) ? 0 : (uint16_t)MIN(s->idle + 1, IDLE_AFTER);
        s->frnum = (s->frnum + 1) & FRNUM_MASK;
        s->next += UHCI_FRAME;
    }
    update_irq(s);
    arm(s);
}

static void on_timer(void *opaque)
{
    catch_up(opaque);
    arm(opaque); /* it may have come early: a register was read meanwhile */
}

/* resume - "Resume Detect": a device wakes what is suspended. */
static void resume(Uhci *s, unsigned n)
{
    s->portsc[n] |= s->portsc[n] & UHCI_PORT_SUSPENDED ? PORT_RESUME : 0;
    s->sts |= UHCI_STS_RESUME;
    update_irq(s);
}

static void on_wakeup(void *opaque, unsigned n)
{
    Uhci *s = opaque;

    if ((s->cmd & UHCI_CMD_EGSM) || (s->portsc[n] & UHCI_PORT_SUSPENDED)) {
        if (s->port[n].dev->remote_wakeup) {
            resume(s, n);
        }
    } else if (s->idle >= IDLE_AFTER) {
        s->idle = 0;
        arm(s);
    }
}

static void on_attached(void *opaque, unsigned n)
{
    Uhci *s = opaque;
    bool there = s->port[n].dev != NULL;

    s->portsc[n] = (uint16_t)(PORT_ALWAYS | PORT_CONNECT_CHANGE | (there ? PORT_CONNECTED | PORT_D_PLUS : 0));
    if (s->cmd & UHCI_CMD_EGSM) {
        resume(s, n);
    }
}

static const UsbPortOps uhci_port_ops = { .attached = on_attached, .wakeup = on_wakeup };

/* ---- registers ---- */

static void reset_devices(Uhci *s)
{
    for (unsigned n = 0; n < UHCI_PORTS; n++) {
        if (s->port[n].dev != NULL) {
            usb_device_reset(s->port[n].dev);
        }
        s->portsc[n] &= (uint16_t)~(UHCI_PORT_ENABLED | UHCI_PORT_SUSPENDED | PORT_RESUME);
    }
}

static void reset_registers(Uhci *s)
{
    s->cmd = s->intr = s->frnum = 0;
    s->sts = UHCI_STS_HALTED;
    s->cause = 0;
    s->sofmod = 64;
    s->flbase = 0;
    s->idle = 0;
    for (unsigned n = 0; n < UHCI_PORTS; n++) {
        s->portsc[n] = (uint16_t)(PORT_ALWAYS |
                                  (s->port[n].dev != NULL ? PORT_CONNECTED | PORT_CONNECT_CHANGE | PORT_D_PLUS : 0));
    }
    update_irq(s);
    arm(s);
}

static void write_cmd(Uhci *s, uint16_t val)
{
    uint16_t old = s->cmd;

    if (val & CMD_HCRESET) { /* drives no reset, but no host goes on with a device before it has reset its port: */
        reset_devices(s);    /* its keys are for others now */
        reset_registers(s);
        return;
    }
    s->cmd = val & CMD_MASK;
    if ((val & CMD_GRESET) && !(old & CMD_GRESET)) {
        reset_devices(s);
    }
    if ((val & UHCI_CMD_RS) && !(old & UHCI_CMD_RS)) {
        s->sts &= (uint16_t)~UHCI_STS_HALTED;
        s->next = clock_now(CLK_VIRTUAL) + UHCI_FRAME;
        s->idle = 0;
    } else if (!(val & UHCI_CMD_RS)) {
        s->sts |= UHCI_STS_HALTED;
    }
    arm(s);
}

static void write_sts(Uhci *s, uint16_t val)
{
    s->sts &= (uint16_t)~(val & STS_CLEARED_BY_1);
    if (val & UHCI_STS_INT) {
        s->cause = 0;
    }
    update_irq(s);
}

static void write_port(Uhci *s, unsigned n, uint16_t val)
{
    uint16_t old = s->portsc[n];
    uint16_t now = (uint16_t)((old & PORT_READ_ONLY) | (val & PORT_WRITABLE) | (old & PORT_CHANGES & ~val));

    if ((val & UHCI_PORT_RESET) && !(old & UHCI_PORT_RESET) && s->port[n].dev != NULL) {
        usb_device_reset(s->port[n].dev);
    }
    if (!(now & PORT_CONNECTED) || (now & UHCI_PORT_RESET)) {
        now &= (uint16_t)~UHCI_PORT_ENABLED;
    }
    s->portsc[n] = now;
}

/* read16 - the register at @offset, which is even. */
static uint16_t read16(Uhci *s, unsigned offset)
{
    switch (offset) {
    case REG_CMD:
        return s->cmd;
    case REG_STS:
        return s->sts;
    case REG_INTR:
        return s->intr;
    case REG_FRNUM:
        return s->frnum;
    case REG_FLBASE:
        return (uint16_t)s->flbase;
    case REG_FLBASE + 2:
        return (uint16_t)(s->flbase >> 16);
    case REG_SOFMOD:
        return s->sofmod;
    case REG_PORTSC:
    case REG_PORTSC + 2:
        return s->portsc[(offset - REG_PORTSC) / 2];
    case 0x14 ... REG_SIZE - 1:
        return 0xff7f; /* "the port is not there": bit 7, which is always set in one that is, is clear */
    default:
        return 0xffff;
    }
}

static uint64_t uhci_read(void *opaque, uint64_t offset, unsigned size)
{
    Uhci *s = opaque;

    catch_up(s);
    return read16(s, (unsigned)offset & ~1u) >> (offset & 1) * 8;
}

static void write16(Uhci *s, unsigned offset, uint16_t val)
{
    switch (offset) {
    case REG_CMD:
        write_cmd(s, val);
        break;
    case REG_STS:
        write_sts(s, val);
        break;
    case REG_INTR:
        s->intr = val & INTR_MASK;
        update_irq(s);
        break;
    case REG_FRNUM:
        if (s->sts & UHCI_STS_HALTED) { /* "can only be written when the Host Controller is halted" */
            s->frnum = val & FRNUM_MASK;
        }
        break;
    case REG_FLBASE:
        s->flbase = (s->flbase & 0xffff0000u) | (val & 0xf000u);
        break;
    case REG_FLBASE + 2:
        s->flbase = (s->flbase & 0xffffu) | (uint32_t)val << 16;
        break;
    case REG_SOFMOD:
        s->sofmod = val & 0x7f;
        break;
    case REG_PORTSC:
    case REG_PORTSC + 2:
        write_port(s, (offset - REG_PORTSC) / 2, val);
        break;
    default:
        break;
    }
}

static void uhci_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Uhci *s = opaque;
    unsigned at = (unsigned)offset & ~1u;
    uint16_t v = (uint16_t)val, kept;

    trace_uhci_write((unsigned)offset, (uint32_t)val, size);
    catch_up(s);
    if (size == 1) { /* the other byte stays, and bits that a 1 clears are not in it */
        kept = at == REG_STS ? 0 : at >= REG_PORTSC ? read16(s, at) & (uint16_t)~PORT_CHANGES : read16(s, at);
        v = (uint16_t)(offset & 1 ? (kept & 0x00ff) | v << 8 : (kept & 0xff00) | (v & 0xff));
    }
    write16(s, at, v);
}

static const IoOps uhci_ops = { .read = uhci_read, .write = uhci_write, .max_size = 2 };

/* ---- the device ---- */

extern const DeviceClass piix3_usb_uhci_class, piix4_usb_uhci_class, ich9_usb_uhci1_class, ich9_usb_uhci2_class,
    ich9_usb_uhci3_class;

/* In which functions the controller is: device ID, revision, pin (1: INTA). ICH9 data sheet (316972), "UHCI Controllers
 * Registers (D29:F0, F1, F2 and D26:F0, F1, F2)"; its pins as D29IP has them after a reset. */
static const struct {
    const DeviceClass *cls;
    uint16_t id;
    uint8_t revision, pin;
} models[] = {
    { &piix3_usb_uhci_class, 0x7020, 1, 4 }, { &piix4_usb_uhci_class, 0x7112, 1, 4 }, { &ich9_usb_uhci1_class, 0x2934, 3, 1 },
    { &ich9_usb_uhci2_class, 0x2935, 3, 2 }, { &ich9_usb_uhci3_class, 0x2936, 3, 3 },
};

static void config_written(PciDevice *d, unsigned offset, unsigned len)
{
    Uhci *s = container_of(d, Uhci, pci);

    if (offset <= PCI_COMMAND && offset + len > PCI_COMMAND && running(s) && !timer_pending(&s->timer)) {
        s->next = clock_now(CLK_VIRTUAL) + UHCI_FRAME; /* bus mastering may be allowed now */
        arm(s);
    }
}

static bool uhci_realize(Device *dev, Error **errp)
{
    Uhci *s = uhci_of(dev);
    PciDevice *d = &s->pci;
    unsigned model = 0;

    while (models[model].cls != dev->cls) {
        model++;
    }
    if (!pci_plug(d, 0x8086, models[model].id, 0x0c0300, models[model].revision, models[model].pin, errp)) {
        return false;
    }
    st_le16(d->config + PCI_STATUS, 0x0280);
    d->config[CONFIG_SBRN] = 0x10;                   /* USB 1.0 */
    st_le16(d->config + CONFIG_LEGSUP, 0x2000);      /* "Legacy Support": of no effect */
    st_le16(d->wmask + CONFIG_LEGSUP, 0x20bf);
    d->config_written = config_written;
    io_region_init(&s->io, &uhci_ops, s, "uhci", REG_SIZE);
    pci_bar(d, 4, &s->io, PCI_BAR_IO);
    pci_ready(d);
    timer_init(&s->timer, CLK_VIRTUAL, on_timer, s, &machine_lock_guard);
    usb_bus_init(&s->bus, dev->named ? dev->id : NULL);
    for (unsigned n = 0; n < UHCI_PORTS; n++) {
        usb_port_add(&s->port[n], &s->bus, NULL, n, &uhci_port_ops, s);
    }
    return true;
}

static void uhci_unrealize(Device *dev)
{
    Uhci *s = uhci_of(dev);

    timer_cancel(&s->timer);
    for (unsigned n = UHCI_PORTS; n > 0; n--) {
        usb_port_remove(&s->port[n - 1]);
    }
    usb_bus_fini(&s->bus);
    pci_remove(&s->pci);
}

static void uhci_reset(Device *dev)
{
    pci_reset(&uhci_of(dev)->pci);
    reset_registers(uhci_of(dev));
}

static const Property uhci_props[] = { PCI_PROPS(Uhci, NULL), PROP_END };

static const StateField uhci_fields[] = {
    STATE_STRUCT(Uhci, pci, pci_fields), STATE_U16(Uhci, cmd), STATE_U16(Uhci, sts), STATE_U16(Uhci, intr),
    STATE_U16(Uhci, frnum), STATE_U8(Uhci, cause), STATE_U8(Uhci, sofmod), STATE_U32(Uhci, flbase),
    STATE_BYTES(Uhci, portsc), STATE_U64(Uhci, next), STATE_U16(Uhci, idle), STATE_TIMER(Uhci, timer), STATE_END,
};

static bool uhci_post_load(Device *dev, struct Error **errp)
{
    Uhci *s = uhci_of(dev);
    int64_t now = clock_now(CLK_VIRTUAL);

    pci_post_load(&s->pci);
    s->cmd &= CMD_MASK;
    s->frnum &= FRNUM_MASK;
    s->flbase &= ~0xfffu;
    s->idle = MIN(s->idle, IDLE_AFTER);
    s->next = MIN(MAX(s->next, now - BEHIND_MAX * UHCI_FRAME), now + UHCI_FRAME);
    for (unsigned n = 0; n < UHCI_PORTS; n++) {
        s->portsc[n] &= PORT_READ_ONLY | PORT_WRITABLE | PORT_CHANGES;
    }
    return true;
}

#define UHCI(var, cname, text)                                                                     \
    const DeviceClass var = {                                                                      \
        .name = (cname), .desc = (text), .size = sizeof(Uhci), .bus = BUS_PCI,                     \
        .user_creatable = true, .no_hotplug = true, .props = uhci_props, .realize = uhci_realize,                    \
        .unrealize = uhci_unrealize, .reset = uhci_reset, .fields = uhci_fields,                   \
        .post_load = uhci_post_load,                                                               \
    }

UHCI(piix3_usb_uhci_class, "piix3-usb-uhci", "82371SB USB controller");
UHCI(piix4_usb_uhci_class, "piix4-usb-uhci", "82371AB USB controller");
UHCI(ich9_usb_uhci1_class, "ich9-usb-uhci1", "ICH9 USB controller, ports 0 and 1");
UHCI(ich9_usb_uhci2_class, "ich9-usb-uhci2", "ICH9 USB controller, ports 2 and 3");
UHCI(ich9_usb_uhci3_class, "ich9-usb-uhci3", "ICH9 USB controller, ports 4 and 5");
