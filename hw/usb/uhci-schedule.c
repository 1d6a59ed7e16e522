/*
 * UHCI: the schedule in memory that the guest's driver makes. A frame is an entry of the frame list; from there
 * links lead to transfer descriptors (TD) and queue heads (QH), across; down a queue go the TDs of one endpoint.
 *
 * Everything in memory can be nonsense, and can change while it is read: each descriptor is copied once. A frame
 * ends where its links end, where its 1.5 kB on the wire are used up, or where it comes round to a queue without
 * having done anything since (drivers link the last queue to an earlier one for "Bandwidth Reclamation").
 *
 * Source: Intel Universal Host Controller Interface Design Guide 1.1; headings quoted. Not modelled: queues of
 * queues (a QH as the element of another is gone on with, across).
 */
#include "hw/usb/uhci.h"

#include "base/mem.h"
#include "hw/usb/trace.h"

/* "Link Pointers" */
#define LINK_END 0x1u
#define LINK_QH 0x2u
#define LINK_DEPTH 0x4u
#define LINK_ADDR(link) ((link) & ~0xfu)

/* "TD Control and Status" */
#define TD_LEN_MASK 0x7ffu
#define TD_TIMEOUT (1u << 18)
#define TD_NAK (1u << 19)
#define TD_BABBLE (1u << 20)
#define TD_STALLED (1u << 22)
#define TD_ACTIVE (1u << 23)
#define TD_STATUS_MASK 0x007e0000u /* all but TD_ACTIVE */
#define TD_IOC (1u << 24)
#define TD_ERRORS_SHIFT 27
#define TD_SHORT (1u << 29)

enum { TD_MAX_LEN = 1280, NO_DEVICE = -4 };
enum { FRAME_BYTES = 1500, TD_BYTES = 13 }; /* on the wire; what a transaction has beside its data */
enum { SEEN_MAX = 128, TDS_MAX = 512 };

typedef struct Td {
    uint32_t link, ctrl, token, buffer;
} Td;

typedef struct Walk {
    Uhci *s;
    int bytes;           /* left in this frame */
    unsigned tds;        /* left to look at */
    bool worked;         /* a transaction came to an end, or an interrupt was asked for */
    bool advanced;       /* a transaction came to an end since `seen` is empty */
    unsigned seen_count;
    uint32_t seen[SEEN_MAX]; /* queue heads */
} Walk;

typedef enum TdResult {
    TD_NEXT, /* its queue goes on behind it */
    TD_STAY, /* it stays the first of its queue */
    TD_STOP, /* the controller has stopped */
} TdResult;

/* "Host System Error", "Host Controller Process Error": memory that is none; a schedule that is none. */
static TdResult stop(Uhci *s, uint16_t why)
{
    s->sts |= why | UHCI_STS_HALTED;
    s->cmd &= (uint16_t)~UHCI_CMD_RS;
    return TD_STOP;
}

static bool load(Uhci *s, uint32_t addr, uint32_t *words, unsigned count)
{
    if (!dma_read(addr, words, count * 4)) {
        stop(s, UHCI_STS_SYSTEM_ERROR);
        return false;
    }
    for (unsigned n = 0; n < count; n++) {
        words[n] = ld_le32((const uint8_t *)&words[n]);
    }
    return true;
}

static bool store(Uhci *s, uint32_t addr, uint32_t word)
{
    uint8_t t[4];

    st_le32(t, word);
    if (!dma_write(addr, t, sizeof(t))) {
        stop(s, UHCI_STS_SYSTEM_ERROR);
        return false;
    }
    return true;
}

static UsbDevice *find_device(Uhci *s, unsigned address)
{
    UsbDevice *found = NULL;

    for (unsigned n = 0; n < UHCI_PORTS && found == NULL; n++) {
        if ((s->portsc[n] & (UHCI_PORT_ENABLED | UHCI_PORT_RESET | UHCI_PORT_SUSPENDED)) == UHCI_PORT_ENABLED) {
            found = usb_find(s->port[n].dev, address);
        }
    }
    return found;
}

/* transact - on the wire: bytes, or why not. False: memory is none. */
static bool transact(Uhci *s, const Td *td, unsigned len, int *result)
{
    uint8_t buf[TD_MAX_LEN];
    uint8_t pid = (uint8_t)td->token;
    UsbDevice *d = find_device(s, td->token >> 8 & 0x7f);

    *result = NO_DEVICE;
    if (pid != USB_PID_IN && len > 0 && !dma_read(td->buffer, buf, len)) {
        return false;
    }
    if (d != NULL) {
        *result = usb_transact(d, pid, td->token >> 15 & 0x0f, buf, len);
    }
    return pid != USB_PID_IN || *result <= 0 || dma_write(td->buffer, buf, (uint64_t)*result);
}

/* failed - @ctrl of a TD after a transaction without data: "Transfer Descriptor Status". */
static uint32_t failed(Uhci *s, uint32_t ctrl, int result)
{
    uint32_t errors = ctrl >> TD_ERRORS_SHIFT & 3;

    if (result == NO_DEVICE) {
        ctrl |= TD_TIMEOUT;
        if (errors != 1) { /* it is tried again; 0: without end */
            return errors == 0 ? ctrl : ctrl - (1u << TD_ERRORS_SHIFT);
        }
        ctrl -= 1u << TD_ERRORS_SHIFT;
    }
    ctrl |= TD_STALLED | (result == USB_BABBLE ? TD_BABBLE : 0);
    s->sts |= UHCI_STS_ERROR;
    return (ctrl & ~TD_ACTIVE) | TD_LEN_MASK;
}

static TdResult execute(Walk *w, uint32_t addr, Td *td)
{
    Uhci *s = w->s;
    unsigned len;
    uint32_t ctrl;
    uint8_t pid;
    bool short_packet;
    int n;

    if (!load(s, addr, &td->link, 4)) {
        return TD_STOP;
    }
    ctrl = td->ctrl;
    len = ((td->token >> 21) + 1) & TD_LEN_MASK;
    pid = (uint8_t)td->token;
    if (!(ctrl & TD_ACTIVE)) { /* "Interrupt on Complete": also of one that is not active */
        s->cause |= ctrl & TD_IOC ? UHCI_CAUSE_IOC : 0;
        w->worked |= (ctrl & TD_IOC) != 0;
        return TD_STAY;
    }
    if (len > TD_MAX_LEN || (pid != USB_PID_IN && pid != USB_PID_OUT && pid != USB_PID_SETUP)) {
        return stop(s, UHCI_STS_PROCESS_ERROR);
    }
    if (!transact(s, td, len, &n)) {
        return stop(s, UHCI_STS_SYSTEM_ERROR);
    }
    w->bytes -= TD_BYTES + MAX(n, 0);
    if (n == USB_NAK) {
        return (ctrl & TD_NAK) || store(s, addr + 4, ctrl | TD_NAK) ? TD_STAY : TD_STOP;
    }
    trace_uhci_td(addr, ctrl, td->token, n);
    ctrl = n < 0 ? failed(s, ctrl, n) : (ctrl & ~(TD_ACTIVE | TD_STATUS_MASK | TD_LEN_MASK)) |
                                            ((uint32_t)(n - 1) & TD_LEN_MASK);
    short_packet = n >= 0 && n < (int)len && pid == USB_PID_IN && (ctrl & TD_SHORT);
    w->worked = true;
    if (!(ctrl & TD_ACTIVE)) {
        s->cause |= (ctrl & TD_IOC ? UHCI_CAUSE_IOC : 0) | (short_packet ? UHCI_CAUSE_SHORT : 0);
    }
    if (!store(s, addr + 4, ctrl)) {
        return TD_STOP;
    }
    return n >= 0 && !short_packet ? TD_NEXT : TD_STAY;
}

/* queue - down the queue at @addr as far as it goes in this frame; the link across. */
static uint32_t queue(Walk *w, uint32_t addr)
{
    uint32_t qh[2], element;
    TdResult r;
    Td td;

    if (!load(w->s, addr, qh, 2)) {
        return LINK_END;
    }
    element = qh[1];
    while (!(element & LINK_END) && w->bytes >= TD_BYTES && w->tds > 0) {
        if (element & LINK_QH) {
            return element;
        }
        w->tds--;
        r = execute(w, LINK_ADDR(element), &td);
        if (r == TD_STOP) {
            return LINK_END;
        }
        if (r == TD_STAY) {
            break;
        }
        w->advanced = true;
        element = td.link;
        if (!store(w->s, addr + 4, element)) {
            return LINK_END;
        }
        if (!(element & LINK_DEPTH)) {
            break;
        }
    }
    return qh[0];
}

/* again - was this queue visited, and nothing happened since? */
static bool again(Walk *w, uint32_t addr)
{
    for (unsigned n = 0; n < w->seen_count; n++) {
        if (w->seen[n] == addr) {
            if (!w->advanced) {
                return true;
            }
            w->advanced = false;
            w->seen_count = 0;
        }
    }
    if (w->seen_count == SEEN_MAX) {
        return true; /* no driver has so many in a frame */
    }
    w->seen[w->seen_count++] = addr;
    return false;
}

bool uhci_frame(Uhci *s)
{
    Walk w = { .s = s, .bytes = FRAME_BYTES, .tds = TDS_MAX };
    uint32_t link;
    Td td;

    if (!load(s, s->flbase + (s->frnum & 0x3ffu) * 4, &link, 1)) {
        return true;
    }
    while (!(link & LINK_END) && w.bytes >= TD_BYTES && w.tds > 0) {
        uint32_t addr = LINK_ADDR(link);

        if (link & LINK_QH) {
            if (again(&w, addr)) {
                break;
            }
            link = queue(&w, addr);
        } else {
            w.tds--;
            if (execute(&w, addr, &td) == TD_STOP) {
                break;
            }
            link = td.link;
        }
    }
    return w.worked;
}
