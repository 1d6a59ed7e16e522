/*
 * 8254 programmable interval timer (ports 40h-43h) and port 61h: gate and output of counter 2, the
 * speaker's gate, the refresh toggle.
 *
 * Sources: Intel 8254 data sheet (headings quoted); IBM PC/AT Technical Reference, "System control
 * port"; Intel 82371SB data sheet, "NMI status and control register".
 *
 * Nothing counts: a counter is the tick at which it was loaded, and its count, output and next edge
 * are computed from the virtual clock. The low pulses of one clock (838 ns) of modes 2, 4 and 5 are
 * delivered to the interrupt line as a fall and rise at once. Not modelled: sound.
 *
 * Ticks of counter 0 in modes 2 and 3 that the guest did not see are made up for (lost-ticks.h), where
 * lost_tick_policy=delay.
 */
#include "hw/timer/i8254.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/timer/lost-ticks.h"
#include "hw/timer/trace.h"

enum { RW_LATCH = 0, RW_LOW = 1, RW_HIGH = 2, RW_WORD = 3 };

typedef struct PitChannel {
    uint32_t count;      /* the count in effect, 1..65536 (BCD: 1..10000) */
    uint32_t next_count; /* modes 2 and 3: takes effect at next_tick; 0 for none */
    uint64_t next_tick;
    uint64_t start;      /* tick at which `count` was loaded or triggered */
    uint64_t paused;     /* ticks counted when the gate went low; used while stopped */
    bool loaded;         /* a count was written since the control word */
    bool triggered;      /* modes 1 and 5: a gate edge came; others: as loaded */
    bool stopped;        /* gate low, or the first byte of two was written in mode 0 */
    bool gate;
    bool bcd;
    uint8_t mode;        /* 0..5 */
    uint8_t rw;
    bool write_high, read_high; /* second byte of a word is next */
    uint8_t write_low;
    bool null_count;
    bool count_latched, status_latched;
    uint16_t latch;
    uint8_t status;
} PitChannel;

typedef struct PitState {
    Device dev;
    PitChannel ch[3];
    char *policy; /* property: discard or delay */
    LostTicks ticks;
    uint8_t port61; /* bits 3:0 as written */
    bool irq_off;
    Timer timer; /* next rising or falling edge of counter 0 */
    IrqLine irq; /* wiring */
    IoRegion io, io61;
} PitState;

static uint64_t pit_ticks(void)
{
    return (uint64_t)((unsigned __int128)clock_now(CLK_VIRTUAL) * PIT_HZ / NS_PER_SEC);
}
/* pit_tick_ns - the first nanosecond at which pit_ticks() is @tick. */
static int64_t pit_tick_ns(uint64_t tick)
{
    return (int64_t)(((unsigned __int128)tick * NS_PER_SEC + PIT_HZ - 1) / PIT_HZ);
}

static uint32_t bcd_to_count(uint32_t v)
{
    return (v & 0xf) + (v >> 4 & 0xf) * 10 + (v >> 8 & 0xf) * 100 + (v >> 12 & 0xf) * 1000;
}
static uint32_t count_to_bcd(uint32_t v)
{
    v %= 10000;
    return v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 << 12;
}

static bool pit_periodic(const PitChannel *c)
{
    return c->mode == 2 || c->mode == 3;
}

/* pit_sync - let a new count of modes 2 and 3 take effect if its time has come. */
static void pit_sync(PitChannel *c, uint64_t now)
{
    if (c->next_count != 0 && now >= c->next_tick && !c->stopped) {
        c->count = c->next_count;
        c->start = c->next_tick;
        c->next_count = 0;
        c->null_count = false;
    }
}

/* pit_elapsed - clocks since the load. */
static uint64_t pit_elapsed(const PitChannel *c, uint64_t now)
{
    return c->stopped ? c->paused : now - c->start;
}

static bool pit_running(const PitChannel *c)
{
    return c->loaded && c->triggered;
}

/* pit_out - level of OUT. "Mode Definitions" */
static bool pit_out(PitChannel *c, uint64_t now)
{
    uint64_t d;

    pit_sync(c, now);
    d = pit_elapsed(c, now);
    switch (c->mode) {
    case 0:
        return pit_running(c) && d >= c->count;
    case 1:
        return !pit_running(c) || d >= c->count;
    case 2:
        return !pit_running(c) || c->stopped || d % c->count != c->count - 1;
    case 3:
        return !pit_running(c) || c->stopped || d % c->count < (c->count + 1) / 2;
    default:
        return !pit_running(c) || d != c->count;
    }
}

/* pit_count - what the counting element holds. */
static uint16_t pit_count(PitChannel *c, uint64_t now)
{
    uint64_t d, v;

    pit_sync(c, now);
    if (!c->loaded) {
        return 0;
    }
    d = pit_running(c) ? pit_elapsed(c, now) : 0;
    switch (c->mode) {
    case 2:
        v = c->count - d % c->count;
        break;
    case 3: /* counts down by two, twice a period */
        v = (c->count & ~1u) - 2 * (d % c->count) % (c->count & ~1u ? c->count & ~1u : 1);
        break;
    default: /* goes on below zero, modulo 65536 or 10000 */
        v = c->bcd ? (c->count + 10000 - d % 10000) % 10000 : c->count - d;
        break;
    }
    return (uint16_t)(c->bcd ? count_to_bcd((uint32_t)v) : v);
}

/* pit_next_edge - tick of the next change of OUT that the interrupt line must see; UINT64_MAX for
 * never. Only rising edges where the low pulse lasts one clock. */
static uint64_t pit_next_edge(PitChannel *c, uint64_t now)
{
    uint64_t d, base, half;

    pit_sync(c, now);
    if (!pit_running(c) || c->stopped) {
        return UINT64_MAX;
    }
    d = now - c->start;
    base = c->start + d / c->count * c->count;
    switch (c->mode) {
    case 0:
    case 1:
        return d < c->count ? c->start + c->count : UINT64_MAX;
    case 2:
        return base + c->count;
    case 3:
        half = (c->count + 1) / 2;
        return d % c->count < half ? base + half : base + c->count;
    default:
        return d <= c->count ? c->start + c->count + 1 : UINT64_MAX;
    }
}

/* pit_ticking - has counter 0 a period that ticks? */
static bool pit_ticking(const PitChannel *c)
{
    return pit_periodic(c) && pit_running(c) && !c->stopped;
}

static void pit_drive(PitState *s, bool level)
{
    const IrqCount before = irq_count;

    if (s->irq_off) {
        return;
    }
    irq_set(&s->irq, level);
    if (level && pit_ticking(&s->ch[0])) {
        lost_ticks_seen(&s->ticks, before, pit_tick_ns(s->ch[0].count));
    }
}

/* pit_update - counter 0 was touched or its timer fired, at @now: drive the line, arm for the next edge. */
static void pit_update(PitState *s, uint64_t now)
{
    PitChannel *c = &s->ch[0];
    uint64_t edge;

    pit_drive(s, pit_out(c, now));
    edge = pit_next_edge(c, now);
    if (s->irq_off || edge == UINT64_MAX || edge > (uint64_t)INT64_MAX / 1000) {
        timer_cancel(&s->timer); /* nobody sees its edges, or there is none */
    } else {
        timer_arm(&s->timer, pit_tick_ns(edge));
    }
}

/* pit_rises - how often OUT rises from @due, when the timer should have fired, to @now; in modes 2 and 3. */
static uint64_t pit_rises(const PitChannel *c, uint64_t due, uint64_t now)
{
    uint64_t rises;

    if (!pit_ticking(c) || now < MAX(c->start, due)) {
        return 0;
    }
    rises = (now - c->start) / c->count;
    return due > c->start ? rises - (due - 1 - c->start) / c->count : rises + 1;
}

static void pit_pulse(void *opaque)
{
    PitState *s = opaque;
    bool level = pit_out(&s->ch[0], pit_ticks());

    pit_drive(s, false);
    pit_drive(s, true);
    if (!level) {
        pit_drive(s, false);
    }
}

static void pit_timer(void *opaque)
{
    PitState *s = opaque;
    uint64_t due = (uint64_t)((unsigned __int128)s->timer.deadline * PIT_HZ / NS_PER_SEC);
    uint64_t now = pit_ticks(); /* once: what comes due while we are here is the next call's */
    uint64_t rises = pit_rises(&s->ch[0], due, now);

    if (rises > 0) {
        lost_ticks_late(&s->ticks, rises - 1);
        pit_drive(s, false);
        if (!pit_out(&s->ch[0], now)) {
            pit_drive(s, true); /* and low again: half a period late */
        }
    } else if (s->ch[0].mode >= 4) {
        pit_drive(s, false); /* the low pulse that ends now */
    }
    pit_update(s, now);
}

/* pit_load - a complete count was written. */
static void pit_load(PitChannel *c, uint32_t val)
{
    uint64_t now = pit_ticks();

    if (c->bcd) {
        val = bcd_to_count(val);
    }
    if (val == 0) {
        val = c->bcd ? 10000 : 65536;
    }
    if (pit_periodic(c) && val == 1) {
        val = 2; /* "a count of 1 is illegal" in mode 2, and of no use in mode 3 */
    }
    trace_pit_load(val, c->mode);
    pit_sync(c, now);
    switch (c->mode) {
    case 2:
    case 3:
        if (c->loaded) { /* "does not affect the current counting sequence" */
            c->next_count = val;
            c->next_tick = c->start + (pit_elapsed(c, now) / c->count + 1) * c->count;
            return;
        }
        c->triggered = true;
        break;
    case 1:
    case 5: /* used at the next trigger */
        if (c->loaded && c->triggered && now - c->start <= c->count) {
            c->next_count = val;
            c->next_tick = UINT64_MAX;
            return;
        }
        c->triggered = false;
        break;
    default:
        c->triggered = true;
        break;
    }
    c->count = val;
    c->start = now;
    c->paused = 0;
    c->stopped = !c->gate && c->mode != 1 && c->mode != 5;
    c->loaded = true;
    c->null_count = false;
}

static void pit_set_gate(PitChannel *c, bool gate)
{
    uint64_t now = pit_ticks();

    if (gate == c->gate) {
        return;
    }
    pit_sync(c, now);
    c->gate = gate;
    switch (c->mode) {
    case 1:
    case 5:
        if (gate && c->loaded) { /* trigger */
            if (c->next_count != 0) {
                c->count = c->next_count;
                c->next_count = 0;
            }
            c->start = now;
            c->triggered = true;
            c->null_count = false;
        }
        break;
    case 2:
    case 3: /* low stops and sets OUT high; the rising edge reloads */
        if (gate && c->next_count != 0) {
            c->count = c->next_count;
            c->next_count = 0;
            c->null_count = false;
        }
        c->paused = 0;
        c->start = now;
        c->stopped = !gate;
        break;
    default: /* low disables counting */
        if (!gate) {
            c->paused = pit_elapsed(c, now);
        } else {
            c->start = now - c->paused;
        }
        c->stopped = !gate;
        break;
    }
}

static void pit_latch_count(PitChannel *c, uint64_t now)
{
    if (!c->count_latched) { /* "subsequent latch commands are ignored until it is read" */
        c->latch = pit_count(c, now);
        c->count_latched = true;
        c->read_high = false;
    }
}

static void pit_latch_status(PitChannel *c, uint64_t now)
{
    if (!c->status_latched) { /* "Read-back command": status byte */
        c->status = (uint8_t)(pit_out(c, now) << 7 | c->null_count << 6 | c->rw << 4 |
                              c->mode << 1 | c->bcd);
        c->status_latched = true;
    }
}

static void pit_control(PitState *s, uint8_t val)
{
    uint64_t now = pit_ticks();
    unsigned n = val >> 6;
    PitChannel *c;
    bool gate;

    trace_pit_control(val);
    if (n == 3) { /* "Read-back command" */
        for (n = 0; n < 3; n++) {
            if (val >> (n + 1) & 1) {
                if (!(val & 0x20)) {
                    pit_latch_count(&s->ch[n], now);
                }
                if (!(val & 0x10)) {
                    pit_latch_status(&s->ch[n], now);
                }
            }
        }
        return;
    }
    c = &s->ch[n];
    if ((val >> 4 & 3) == RW_LATCH) { /* "Counter latch command" */
        pit_latch_count(c, now);
        return;
    }
    gate = c->gate;
    *c = (PitChannel){
        .gate = gate,
        .rw = val >> 4 & 3,
        .mode = (val >> 1 & 7) > 5 ? val >> 1 & 3 : val >> 1 & 7, /* 6 and 7 are 2 and 3 */
        .bcd = val & 1,
        .null_count = true,
        .count = 1,
    };
    if (n == 0) {
        lost_ticks_clear(&s->ticks);
        pit_update(s, pit_ticks());
    }
}

static void pit_write_count(PitState *s, unsigned n, uint8_t val)
{
    PitChannel *c = &s->ch[n];

    c->null_count = true;
    switch (c->rw) {
    case RW_LOW:
        pit_load(c, val);
        break;
    case RW_HIGH:
        pit_load(c, (uint32_t)val << 8);
        break;
    default:
        if (!c->write_high) {
            c->write_low = val;
            c->write_high = true;
            if (c->mode == 0 && c->loaded) { /* "writing the first byte disables counting" */
                c->triggered = false;
            }
            break;
        }
        c->write_high = false;
        pit_load(c, (uint32_t)val << 8 | c->write_low);
        break;
    }
    if (n == 0) {
        pit_update(s, pit_ticks());
    }
}

static uint8_t pit_read_count(PitChannel *c)
{
    uint16_t val;

    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    val = c->count_latched ? c->latch : pit_count(c, pit_ticks());
    switch (c->rw) {
    case RW_LOW:
        c->count_latched = false;
        return (uint8_t)val;
    case RW_HIGH:
        c->count_latched = false;
        return (uint8_t)(val >> 8);
    default:
        if (!c->read_high) {
            c->read_high = true;
            return (uint8_t)val;
        }
        c->read_high = false;
        c->count_latched = false;
        return (uint8_t)(val >> 8);
    }
}

static uint64_t pit_read(void *opaque, uint64_t offset, unsigned size)
{
    PitState *s = opaque;

    return offset == 3 ? 0xff : pit_read_count(&s->ch[offset & 3]);
}

static void pit_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    PitState *s = opaque;

    if (offset == 3) {
        pit_control(s, (uint8_t)val);
    } else {
        pit_write_count(s, (unsigned)offset & 3, (uint8_t)val);
    }
}

/* Port 61h: bit 5 OUT2, bit 4 toggles with each refresh (about every 15 us), 3:0 as written. */
static uint64_t port61_read(void *opaque, uint64_t offset, unsigned size)
{
    PitState *s = opaque;
    uint64_t now = pit_ticks();

    return s->port61 | (now / 18 & 1) << 4 | (uint64_t)pit_out(&s->ch[2], now) << 5;
}

static void port61_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    PitState *s = opaque;

    s->port61 = val & 0x0f;
    pit_set_gate(&s->ch[2], val & 1);
}

static const IoOps pit_ops = { .read = pit_read, .write = pit_write, .max_size = 1 };
static const IoOps port61_ops = { .read = port61_read, .write = port61_write, .max_size = 1 };

void pit_connect(Device *dev, IrqLine irq0)
{
    container_of(dev, PitState, dev)->irq = irq0;
}

void pit_disable_irq(void *opaque, bool off)
{
    PitState *s = container_of((Device *)opaque, PitState, dev);

    if (s->irq_off != off) {
        if (off) {
            irq_set(&s->irq, 0);
            lost_ticks_clear(&s->ticks);
        }
        s->irq_off = off;
        pit_update(s, pit_ticks());
    }
}

static bool pit_realize(Device *dev, struct Error **errp)
{
    PitState *s = container_of(dev, PitState, dev);

    if (!lost_ticks_init(&s->ticks, s->policy, "pit", pit_pulse, s, errp)) {
        return false;
    }
    timer_init(&s->timer, CLK_VIRTUAL, pit_timer, s, &machine_lock_guard);
    io_region_init(&s->io, &pit_ops, s, "pit", 4);
    io_region_init(&s->io61, &port61_ops, s, "pcspk", 1);
    if (!port_map(&s->io, 0x40, errp)) {
        return false;
    }
    if (!port_map(&s->io61, 0x61, errp)) {
        port_unmap(&s->io);
        return false;
    }
    return true;
}

static void pit_unrealize(Device *dev)
{
    PitState *s = container_of(dev, PitState, dev);

    lost_ticks_clear(&s->ticks);
    timer_cancel(&s->timer);
    port_unmap(&s->io61);
    port_unmap(&s->io);
}

/* The 8254 has no reset; this is what a PC's firmware finds useful: mode 3 at 18.2 Hz, no interrupt
 * before it is programmed. */
static void pit_reset(Device *dev)
{
    PitState *s = container_of(dev, PitState, dev);

    for (unsigned n = 0; n < 3; n++) {
        s->ch[n] = (PitChannel){ .gate = n != 2, .rw = RW_WORD, .mode = 3, .count = 65536,
                                 .null_count = true };
    }
    s->port61 = 0;
    s->irq_off = false;
    lost_ticks_clear(&s->ticks);
    timer_cancel(&s->timer);
    irq_set(&s->irq, 0);
}

static const StateField pit_channel_fields[] = {
    STATE_U32(PitChannel, count), STATE_U32(PitChannel, next_count),
    STATE_U64(PitChannel, next_tick), STATE_U64(PitChannel, start), STATE_U64(PitChannel, paused),
    STATE_BOOL(PitChannel, loaded), STATE_BOOL(PitChannel, triggered),
    STATE_BOOL(PitChannel, stopped), STATE_BOOL(PitChannel, gate), STATE_BOOL(PitChannel, bcd),
    STATE_U8(PitChannel, mode), STATE_U8(PitChannel, rw), STATE_BOOL(PitChannel, write_high),
    STATE_BOOL(PitChannel, read_high), STATE_U8(PitChannel, write_low),
    STATE_BOOL(PitChannel, null_count), STATE_BOOL(PitChannel, count_latched),
    STATE_BOOL(PitChannel, status_latched), STATE_U16(PitChannel, latch),
    STATE_U8(PitChannel, status), STATE_END,
};
static const StateField pit_fields[] = {
    STATE_ARRAY(PitState, ch, pit_channel_fields), STATE_U8(PitState, port61),
    STATE_BOOL(PitState, irq_off), STATE_TIMER(PitState, timer),
    STATE_STRUCT(PitState, ticks, lost_ticks_fields), STATE_END,
};
static const Property pit_props[] = {
    PROP_STR("lost_tick_policy", PitState, policy, "delay", "discard or delay"), PROP_END,
};

static bool pit_post_load(Device *dev, struct Error **errp)
{
    PitState *s = container_of(dev, PitState, dev);

    for (unsigned n = 0; n < 3; n++) {
        PitChannel *c = &s->ch[n];

        c->mode %= 6;
        c->rw &= 3;
        c->count = c->count == 0 || c->count > 65536 ? 65536 : c->count;
        c->next_count = MIN(c->next_count, 65536u);
    }
    lost_ticks_loaded(&s->ticks);
    return true;
}

const DeviceClass i8254_class = {
    .name = "isa-pit",
    .alias = "kvm-pit",
    .desc = "8254 interval timer",
    .size = sizeof(PitState),
    .version = 3,
    .props = pit_props,
    .realize = pit_realize,
    .unrealize = pit_unrealize,
    .reset = pit_reset,
    .fields = pit_fields,
    .post_load = pit_post_load,
};
