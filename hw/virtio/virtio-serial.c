/*
 * virtio-serial: the device, its control queues, and the bytes. Source: VIRTIO 1.2, 5.3 "Console Device".
 *
 * A message for the driver is a bit of its port until there is a buffer for it, so that any number of changes takes the
 * same room. Bytes that a port's host end does not take stay in the driver's buffer; of a console they are dropped, as
 * drivers of consoles spin until theirs are gone. Not modelled: the console's size, emergency writes.
 */
#include "hw/virtio/virtio-serial.h"

#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/event.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "chardev/chardev.h"

enum { F_MULTIPORT = 1, C_MAX_PORTS = 4, C_LEN = 12 };         /* 5.3.3, 5.3.4 */
enum { Q_CONTROL_IN = 2, Q_CONTROL_OUT = 3, QUEUE_SIZE = 128, CONTROL_SIZE = 32 };
enum { CHUNK = 4096, BUDGET = 256 * 1024 };                    /* bytes at a time, then others get the machine */
#define RETRY_NS NS_PER_MS

/* 5.3.6.2, "Multiport Device Operation" */
enum { DEVICE_READY = 0, PORT_ADD = 1, PORT_REMOVE = 2, PORT_READY = 3, CONSOLE_PORT = 4, PORT_OPEN = 6, PORT_NAME = 7 };
enum { MESSAGE = 8, NAME_MAX_LEN = 256 };

static VirtioSerial *serial_of(VirtioDevice *d)
{
    return container_of(d, VirtioSerial, virtio);
}

static unsigned rx_index(unsigned nr)
{
    return nr == 0 ? 0 : 2 * nr + 2;
}

static VirtQueue *rx_queue(VirtioSerial *s, unsigned nr)
{
    return &s->virtio.queues[rx_index(nr)];
}

static VirtQueue *tx_queue(VirtioSerial *s, unsigned nr)
{
    return &s->virtio.queues[rx_index(nr) + 1];
}

static bool multiport(const VirtioSerial *s)
{
    return virtio_has(&s->virtio, BIT64(F_MULTIPORT));
}

static void retry_soon(VirtioSerial *s)
{
    if (!timer_pending(&s->retry)) {
        timer_arm(&s->retry, clock_now(CLK_VIRTUAL) + RETRY_NS);
    }
}

/* ---- messages ---- */

/* send - false: there is no buffer now. */
static bool send(VirtioSerial *s, unsigned nr, unsigned event, unsigned value, const char *text)
{
    VirtQueue *q = &s->virtio.queues[Q_CONTROL_IN];
    uint8_t m[MESSAGE + NAME_MAX_LEN];
    size_t len = MIN(strlen(text), (size_t)NAME_MAX_LEN);
    VirtElem *e = virtq_pop(q);

    if (e == NULL && (!virtq_wait(q) || (e = virtq_pop(q)) == NULL)) {
        return false;
    }
    st_le32(m, nr);
    st_le16(m + 4, (uint16_t)event);
    st_le16(m + 6, (uint16_t)value);
    memcpy(m + MESSAGE, text, len);
    virtq_push(e, (uint32_t)elem_write(e, 0, m, MESSAGE + len));
    return true;
}

/* send_pending - what waits for the driver; the bits in the order in which it has to hear of them. */
static void send_pending(VirtioSerial *s)
{
    static const uint8_t order[] = { PORT_REMOVE, PORT_ADD, CONSOLE_PORT, PORT_NAME, PORT_OPEN };
    bool any = false;

    if (!s->ready || !virtio_running(&s->virtio)) {
        return;
    }
    for (unsigned nr = 0; nr < s->max_ports; nr++) {
        for (unsigned n = 0; n < ARRAY_SIZE(order); n++) {
            const VirtSerialPort *p = s->ports[nr];
            unsigned value = order[n] == PORT_OPEN ? s->host_open >> nr & 1 : 1;

            if (!(s->pending[nr] & BIT(order[n]))) {
                continue;
            }
            if (!send(s, nr, order[n], value, order[n] == PORT_NAME && p != NULL && p->name != NULL ? p->name : "")) {
                goto out;
            }
            s->pending[nr] &= (uint8_t)~BIT(order[n]);
            any = true;
        }
    }
out:
    if (any) {
        virtq_notify(&s->virtio.queues[Q_CONTROL_IN]);
    }
}

static void set_guest_open(VirtioSerial *s, unsigned nr, bool open)
{
    const VirtSerialPort *p = s->ports[nr];

    if ((s->guest_open >> nr & 1) == open) {
        return;
    }
    s->guest_open ^= BIT(nr);
    if (p != NULL && p->dev.named && !p->console) {
        event_emit("VSERPORT_CHANGE", (const EventField[]){ EV_STR("id", p->dev.id), EV_BOOL("open", open), EV_END });
    }
    if (p != NULL && open) {
        chardev_accept_input(p->chr);
    }
}

/* port_ready - the driver has made its side of a port. */
static void port_ready(VirtioSerial *s, unsigned nr)
{
    const VirtSerialPort *p = s->ports[nr];

    s->pending[nr] |= (uint8_t)((p->console ? BIT(CONSOLE_PORT) : 0) | (p->name != NULL ? BIT(PORT_NAME) : 0) |
                                (s->host_open >> nr & 1 ? BIT(PORT_OPEN) : 0));
}

static void on_message(VirtioSerial *s, const uint8_t *m)
{
    uint32_t nr = ld_le32(m);
    unsigned event = ld_le16(m + 4), value = ld_le16(m + 6);

    if (event == DEVICE_READY) {
        s->ready = value == 1;
        for (unsigned n = 0; n < s->max_ports; n++) {
            s->pending[n] = s->ready && s->ports[n] != NULL ? BIT(PORT_ADD) : 0;
        }
    } else if (nr >= s->max_ports || s->ports[nr] == NULL) {
        return; /* it is gone, or never was */
    } else if (event == PORT_READY && value == 1) {
        port_ready(s, nr);
    } else if (event == PORT_OPEN) {
        set_guest_open(s, nr, value != 0);
    }
}

static void take_messages(VirtioSerial *s, VirtQueue *q)
{
    unsigned count = 0;
    VirtElem *e;

    do {
        while (count < VIRTIO_BATCH && (e = virtq_pop(q)) != NULL) {
            uint8_t m[MESSAGE];

            if (elem_read(e, 0, m, MESSAGE) == MESSAGE) {
                on_message(s, m);
            }
            virtq_push(e, 0);
            count++;
        }
        if (count == VIRTIO_BATCH) {
            virtq_later(q);
            break;
        }
    } while (virtq_wait(q));
    if (count > 0) {
        virtq_notify(q);
    }
    send_pending(s);
}

/* ---- bytes ---- */

/* put_out - what is left of @e, at most *@budget bytes; how many of its bytes are done. */
static uint32_t put_out(VirtSerialPort *p, const VirtElem *e, uint32_t at, uint32_t *budget)
{
    uint8_t buf[CHUNK];

    while (at < e->out_len && *budget > 0) {
        size_t n = MIN(MIN(e->out_len - at, *budget), sizeof(buf)), took = n;

        if (elem_read(e, at, buf, n) != n) {
            return e->out_len; /* no memory: nothing is there to send */
        }
        if (p != NULL) {
            took = chardev_write(p->chr, buf, n);
        }
        if (took < n && p->console) {
            took = n;
        }
        at += (uint32_t)took;
        *budget -= (uint32_t)took;
        if (took < n) {
            break;
        }
    }
    return at;
}

static void transmit(VirtioSerial *s, unsigned nr)
{
    VirtQueue *q = tx_queue(s, nr);
    uint32_t budget = BUDGET;
    unsigned count = 0;
    VirtElem *e;

    virtq_quiet(q);
    do {
        while (count < VIRTIO_BATCH && (e = virtq_pop(q)) != NULL) {
            uint32_t done = put_out(s->ports[nr], e, MIN(s->sent[nr], e->out_len), &budget);

            if (done < e->out_len) {
                s->sent[nr] = done;
                virtq_unpop(e);
                retry_soon(s); /* the host's end is full, or it was enough for now */
                goto out;
            }
            s->sent[nr] = 0;
            virtq_push(e, 0);
            count++;
        }
        if (count == VIRTIO_BATCH) {
            virtq_later(q);
            break;
        }
    } while (virtq_wait(q));
out:
    if (count > 0) {
        virtq_notify(q);
    }
}

/* listens - the driver takes bytes of port @nr. */
static bool listens(const VirtioSerial *s, unsigned nr)
{
    return virtio_running(&s->virtio) && (multiport(s) ? (s->guest_open >> nr & 1) : nr == 0);
}

size_t vserial_room(VirtSerialPort *p)
{
    VirtioSerial *s = p->serial;
    VirtQueue *q;
    VirtElem *e;
    size_t room;

    if (s == NULL || !listens(s, p->nr)) {
        return 0;
    }
    if (!clock_running()) { /* nothing changes in a machine that is stopped */
        retry_soon(s);
        return 0;
    }
    q = rx_queue(s, p->nr);
    e = virtq_pop(q);
    if (e == NULL && (!virtq_wait(q) || (e = virtq_pop(q)) == NULL)) {
        return 0; /* a kick says when there is */
    }
    room = e->in_len;
    if (room == 0) {
        virtq_push(e, 0);
        return 0;
    }
    virtq_unpop(e);
    return MIN(room, (size_t)CHUNK);
}

void vserial_give(VirtSerialPort *p, const uint8_t *buf, size_t len)
{
    VirtQueue *q = rx_queue(p->serial, p->nr);
    VirtElem *e = virtq_pop(q);

    if (e != NULL) {
        virtq_push(e, (uint32_t)elem_write(e, 0, buf, len));
        virtq_notify(q);
    }
}

static void on_retry(void *opaque)
{
    VirtioSerial *s = opaque;

    for (unsigned nr = 0; nr < s->max_ports; nr++) {
        if (s->ports[nr] != NULL) {
            transmit(s, nr);
            chardev_accept_input(s->ports[nr]->chr);
        }
    }
}

static void serial_kick(VirtioDevice *d, VirtQueue *q)
{
    VirtioSerial *s = serial_of(d);
    unsigned nr = q->index < 2 ? 0 : q->index / 2 - 1;

    if (q->index == Q_CONTROL_IN) {
        send_pending(s);
    } else if (q->index == Q_CONTROL_OUT) {
        take_messages(s, q);
    } else if (q->index & 1) {
        transmit(s, nr);
    } else if (s->ports[nr] != NULL) {
        chardev_accept_input(s->ports[nr]->chr);
    }
}

/* ---- ports ---- */

void vserial_host_open(VirtSerialPort *p, bool open)
{
    VirtioSerial *s = p->serial;

    if (s != NULL && (s->host_open >> p->nr & 1) != open) {
        s->host_open ^= BIT(p->nr);
        s->pending[p->nr] |= BIT(PORT_OPEN);
        send_pending(s);
    }
}

bool vserial_join(VirtioSerial *s, VirtSerialPort *p, Error **errp)
{
    if (p->nr == UINT32_MAX) { /* 5.3.5: number 0 is a console's, which drivers without ports know */
        for (p->nr = p->console ? 0 : 1; p->nr < s->max_ports && s->ports[p->nr] != NULL; p->nr++) {
        }
        if (p->nr >= s->max_ports) {
            error_set(errp, "Maximum port number supported by this device is %u", s->max_ports - 1);
            return false;
        }
    }
    if (p->nr >= s->max_ports) {
        error_set(errp, "Out-of-range port id specified, max. allowed: %u", s->max_ports - 1);
        return false;
    }
    if (s->ports[p->nr] != NULL) {
        error_set(errp, "A port already exists at id %u", p->nr);
        return false;
    }
    if (p->nr == 0 && !p->console) {
        error_set(errp, "Port number 0 on virtio-serial devices reserved for virtconsole devices for backward compatibility");
        return false;
    }
    s->ports[p->nr] = p;
    p->serial = s;
    p->dev.parent = &s->virtio.pci.dev;
    if (s->ready) {
        s->pending[p->nr] |= BIT(PORT_ADD);
        send_pending(s);
    }
    return true;
}

void vserial_leave(VirtSerialPort *p)
{
    VirtioSerial *s = p->serial;

    if (s == NULL) {
        return;
    }
    s->ports[p->nr] = NULL;
    p->serial = NULL;
    s->host_open &= ~BIT(p->nr);
    s->guest_open &= ~BIT(p->nr);
    s->sent[p->nr] = 0;
    /* a driver that has not heard of it need not hear that it is gone */
    s->pending[p->nr] = !s->ready || (s->pending[p->nr] & BIT(PORT_ADD)) ? 0 : BIT(PORT_REMOVE);
    send_pending(s);
    transmit(s, p->nr); /* into nothing */
}

/* ---- the device ---- */

static void serial_dev_reset(VirtioDevice *d)
{
    VirtioSerial *s = serial_of(d);

    for (unsigned nr = 0; nr < s->max_ports; nr++) {
        set_guest_open(s, nr, false);
        s->pending[nr] = 0;
        s->sent[nr] = 0;
    }
    s->ready = false;
    timer_cancel(&s->retry);
}

static void serial_started(VirtioDevice *d, bool on)
{
    VirtioSerial *s = serial_of(d);

    if (on && !multiport(s) && s->ports[0] != NULL) {
        chardev_accept_input(s->ports[0]->chr);
    }
}

static const VirtioOps virtio_ops = { .reset = serial_dev_reset, .started = serial_started, .kick = serial_kick };

static bool serial_realize(Device *dev, Error **errp)
{
    VirtioSerial *s = container_of(dev, VirtioSerial, virtio.pci.dev);
    VirtioDevice *d = &s->virtio;
    unsigned number = 0;
    uint16_t device;
    uint8_t revision;

    if (s->max_ports < 1 || s->max_ports > VSERIAL_PORTS) {
        error_set(errp, "max_ports=%u: 1 to %d", s->max_ports, VSERIAL_PORTS);
        return false;
    }
    if (!virtio_ids(d, VIRTIO_ID_CONSOLE, 3, &device, &revision, errp) ||
        !pci_plug(&d->pci, 0x1af4, device, 0x078000, revision, 1, errp)) {
        return false;
    }
    timer_init(&s->retry, CLK_VIRTUAL, on_retry, s, &machine_lock_guard);
    virtio_init(d, &virtio_ops, s->max_ports > 1 ? BIT64(F_MULTIPORT) : 0, C_LEN);
    for (unsigned n = 0; n < (s->max_ports > 1 ? 2 * s->max_ports + 2 : 2); n++) {
        virtio_add_queue(d, n == Q_CONTROL_IN || n == Q_CONTROL_OUT ? CONTROL_SIZE : QUEUE_SIZE);
    }
    virtio_plug(d, VIRTIO_ID_CONSOLE);
    st_le32(d->config + C_MAX_PORTS, s->max_ports);
    while (device_bus_nth(BUS_VSERIAL, number) != NULL) {
        number++;
    }
    s->bus_name = dev->named ? xasprintf("%s.0", dev->id) : xasprintf("virtio-serial-bus.%u", number);
    device_bus_add(BUS_VSERIAL, s->bus_name, s);
    return true;
}

static void serial_unrealize(Device *dev)
{
    VirtioSerial *s = container_of(dev, VirtioSerial, virtio.pci.dev);

    for (unsigned nr = 0; nr < s->max_ports; nr++) { /* ports without a device: nobody hears */
        if (s->ports[nr] != NULL) {
            s->ports[nr]->serial = NULL;
        }
    }
    device_bus_remove(s);
    free(s->bus_name);
    virtio_unplug(&s->virtio);
    timer_cancel(&s->retry);
    pci_remove(&s->virtio.pci);
}

static void serial_reset(Device *dev)
{
    virtio_reset(&container_of(dev, VirtioSerial, virtio.pci.dev)->virtio);
}

/* serial_post_load - who is at the hosts' ends now is another question than then. */
static bool serial_post_load(Device *dev, Error **errp)
{
    VirtioSerial *s = container_of(dev, VirtioSerial, virtio.pci.dev);
    uint32_t was = s->host_open;

    s->host_open = 0;
    for (unsigned nr = 0; nr < s->max_ports; nr++) {
        const VirtSerialPort *p = s->ports[nr];

        if (p != NULL && p->chr != NULL && chardev_is_open(p->chr)) {
            s->host_open |= BIT(nr);
        }
        s->pending[nr] |= p != NULL && ((was ^ s->host_open) >> nr & 1) ? BIT(PORT_OPEN) : 0;
    }
    if (!virtio_post_load(&s->virtio, errp)) {
        return false;
    }
    retry_soon(s);
    virtq_later(&s->virtio.queues[s->max_ports > 1 ? Q_CONTROL_IN : 0]);
    return true;
}

static const Property serial_props[] = {
    PROP_U32("max_ports", VirtioSerial, max_ports, VSERIAL_PORTS, "ports that it has room for"),
    VIRTIO_PROPS(VirtioSerial, VSERIAL_PORTS + 1),
    PCI_PROPS_AT(VirtioSerial, virtio.pci, NULL),
    PROP_END,
};

static const StateField serial_fields[] = {
    STATE_STRUCT(VirtioSerial, virtio, virtio_fields), STATE_BYTES(VirtioSerial, pending),
    STATE_U32(VirtioSerial, guest_open), STATE_U32(VirtioSerial, host_open), STATE_BYTES(VirtioSerial, sent),
    STATE_BOOL(VirtioSerial, ready), STATE_TIMER(VirtioSerial, retry), STATE_END,
};

extern const DeviceClass virtio_serial_class;
const DeviceClass virtio_serial_class = {
    .name = "virtio-serial-pci",
    .alias = "virtio-serial",
    .desc = "virtio serial ports and consoles",
    .size = sizeof(VirtioSerial),
    .bus = BUS_PCI,
    .user_creatable = true,
    .props = serial_props,
    .fields = serial_fields,
    .realize = serial_realize,
    .unrealize = serial_unrealize,
    .reset = serial_reset,
    .post_load = serial_post_load,
};
