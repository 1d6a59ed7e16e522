/*
 * i6300esb: the watchdog of Intel's 6300ESB. Source: Intel 6300ESB I/O Controller Hub Datasheet (300641), chapter "Watchdog
 * Timer (WDT)": registers of configuration space at 60h and 68h, and of memory.
 *
 * Two stages: the counter runs down from preload 1, which raises an interrupt (on inputs that this board has not: only
 * WDT_INT_ACT is seen), then from preload 2, and then pulls WDT_TOUT#, on which the machine acts as -action watchdog= says. In
 * free-running mode only preload 2 counts, over and over; WDT_TOUT# toggles, which resets nothing.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/board.h"
#include "hw/pci/pci.h"
#include "hw/watchdog/trace.h"

enum {
    CONFIG = 0x60, /* word */
    CONFIG_OUT_OFF = 0x20,
    CONFIG_1MHZ = 0x04,
    CONFIG_MASK = 0x27,
    LOCK = 0x68, /* byte */
    LOCK_LOCKED = 0x01,
    LOCK_ENABLE = 0x02,
    LOCK_FREE_RUN = 0x04,
    LOCK_MASK = 0x07,
};
enum { PRELOAD1 = 0x00, PRELOAD2 = 0x04, STATUS = 0x08, RELOAD = 0x0c, MEM_SIZE = 0x10 };
enum { STATUS_INT = 0x1, RELOAD_PING = 0x100, RELOAD_TIMEOUT = 0x200 };
enum { PRELOAD_MASK = 0xfffff, PCI_MHZ = 33 };
enum { KEY1 = 0x80, KEY2 = 0x86 }; /* "Register Unlocking Sequence" */

typedef struct I6300Esb {
    PciDevice pci;
    IoRegion mem;
    uint32_t preload[2];
    uint8_t lock;     /* of config[LOCK]: what it was before the guest's write */
    uint8_t keys;     /* of the unlocking sequence that were seen */
    uint8_t stage;    /* 0 or 1: whose preload is counted */
    bool int_active;
    bool timed_out;   /* WDT_TIMEOUT: outlives the reset that it caused */
    Timer timer;
} I6300Esb;

static I6300Esb *esb_of(Device *dev)
{
    return container_of(dev, I6300Esb, pci.dev);
}

/* The counter has 35 bits and counts PCI clocks; a preload is bits 34:15 of it, or 24:5 with the 1-MHz prescaler. */
static void count(I6300Esb *s, unsigned stage)
{
    unsigned shift = ld_le16(s->pci.config + CONFIG) & CONFIG_1MHZ ? 5 : 15;
    int64_t ns = (int64_t)((uint64_t)s->preload[stage] << shift) * 1000 / PCI_MHZ;

    s->stage = (uint8_t)stage;
    timer_arm(&s->timer, clock_now(CLK_VIRTUAL) + (ns > 0 ? ns : 1));
}

static void begin(I6300Esb *s)
{
    count(s, s->lock & LOCK_FREE_RUN ? 1 : 0);
}

static void on_zero(void *opaque)
{
    I6300Esb *s = opaque;
    Board *board = s->pci.dev.board;

    trace_watchdog_zero("i6300esb", s->stage);
    if (s->stage == 0) {
        s->int_active = true;
        count(s, 1);
    } else if (s->lock & LOCK_FREE_RUN) {
        count(s, 1);
    } else {
        s->timed_out = true;
        if (!(ld_le16(s->pci.config + CONFIG) & CONFIG_OUT_OFF) && board != NULL && board->watchdog_expired != NULL) {
            board->watchdog_expired();
        }
        begin(s); /* where the machine goes on */
    }
}

static void esb_config_written(PciDevice *d, unsigned offset, unsigned len)
{
    I6300Esb *s = container_of(d, I6300Esb, pci);
    uint8_t was = s->lock;

    if (offset > LOCK || offset + len <= LOCK) {
        return;
    }
    if (was & LOCK_LOCKED) { /* "until the next hard reset" */
        d->config[LOCK] = was;
        return;
    }
    s->lock = d->config[LOCK];
    if (!(s->lock & LOCK_ENABLE)) {
        timer_cancel(&s->timer);
    } else if (!(was & LOCK_ENABLE) || ((was ^ s->lock) & LOCK_FREE_RUN)) {
        begin(s);
    }
}

static uint64_t esb_read(void *opaque, uint64_t offset, unsigned size)
{
    const I6300Esb *s = opaque;
    uint32_t v = 0;

    switch (offset & ~3ull) {
    case PRELOAD1:
    case PRELOAD2:
        v = s->preload[offset >> 2 & 1];
        break;
    case STATUS:
        v = s->int_active ? STATUS_INT : 0;
        break;
    default:
        v = s->timed_out ? RELOAD_TIMEOUT : 0;
        break;
    }
    return v >> 8 * (offset & 3);
}

/* "Register Unlocking Sequence": 80h, then 86h to the reload register, before each write that shall count. */
static bool unlocked(I6300Esb *s, uint64_t offset, uint64_t val)
{
    bool open = s->keys == 2;

    if (!open && offset == RELOAD && (val & 0xff) == (s->keys == 0 ? KEY1 : KEY2)) {
        s->keys++;
    } else {
        s->keys = !open && offset == RELOAD && (val & 0xff) == KEY1;
    }
    return open;
}

static void esb_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    I6300Esb *s = opaque;

    if (offset == STATUS) {
        s->int_active &= !(val & STATUS_INT);
        return;
    }
    if (!unlocked(s, offset, val)) {
        return;
    }
    if (offset == PRELOAD1 || offset == PRELOAD2) {
        s->preload[offset >> 2] = (uint32_t)val & PRELOAD_MASK;
    } else if (offset == RELOAD) {
        s->timed_out &= !(val & RELOAD_TIMEOUT);
        if ((val & RELOAD_PING) && (s->lock & LOCK_ENABLE)) {
            begin(s);
        }
    }
}

static const IoOps esb_ops = { .read = esb_read, .write = esb_write, .max_size = 4 };

static void power_on(I6300Esb *s)
{
    s->preload[0] = s->preload[1] = PRELOAD_MASK;
    s->lock = s->keys = s->stage = 0;
    s->int_active = false;
}

static bool esb_realize(Device *dev, struct Error **errp)
{
    I6300Esb *s = esb_of(dev);
    PciDevice *d = &s->pci;

    if (!pci_plug(d, 0x8086, 0x25ab, 0x088000, 0, 0, errp)) {
        return false;
    }
    timer_init(&s->timer, CLK_VIRTUAL, on_zero, s, &machine_lock_guard);
    io_region_init(&s->mem, &esb_ops, s, "i6300esb", MEM_SIZE);
    pci_bar(d, 0, &s->mem, 0);
    st_le16(d->wmask + CONFIG, CONFIG_MASK);
    d->wmask[LOCK] = LOCK_MASK;
    d->config_written = esb_config_written;
    pci_ready(d);
    power_on(s);
    return true;
}

static void esb_unrealize(Device *dev)
{
    timer_cancel(&esb_of(dev)->timer);
    pci_remove(&esb_of(dev)->pci);
}

static void esb_reset(Device *dev)
{
    I6300Esb *s = esb_of(dev);

    pci_reset(&s->pci);
    timer_cancel(&s->timer);
    power_on(s);
}

static bool esb_post_load(Device *dev, struct Error **errp)
{
    I6300Esb *s = esb_of(dev);

    s->preload[0] &= PRELOAD_MASK;
    s->preload[1] &= PRELOAD_MASK;
    s->stage &= 1;
    pci_post_load(&s->pci);
    return true;
}

static const Property esb_props[] = { PCI_PROPS(I6300Esb, NULL), PROP_END };

static const StateField esb_fields[] = {
    STATE_STRUCT(I6300Esb, pci, pci_fields), STATE_BYTES(I6300Esb, preload), STATE_U8(I6300Esb, lock),
    STATE_U8(I6300Esb, keys), STATE_U8(I6300Esb, stage), STATE_BOOL(I6300Esb, int_active),
    STATE_BOOL(I6300Esb, timed_out), STATE_TIMER(I6300Esb, timer), STATE_END,
};

extern const DeviceClass i6300esb_class;
const DeviceClass i6300esb_class = {
    .name = "i6300esb",
    .desc = "watchdog of Intel's 6300ESB",
    .size = sizeof(I6300Esb),
    .bus = BUS_PCI,
    .user_creatable = true,
    .props = esb_props,
    .fields = esb_fields,
    .realize = esb_realize,
    .unrealize = esb_unrealize,
    .reset = esb_reset,
    .post_load = esb_post_load,
};
