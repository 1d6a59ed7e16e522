/*
 * High precision event timer: three 64-bit comparators, the first one periodic as all are here,
 * legacy replacement routes. 100 MHz.
 *
 * Periodic interrupts that the guest did not see are made up for (lost-ticks.h), where lost_tick_policy=delay.
 *
 * Source: IA-PC HPET Specification 1.0a (headings quoted). Not modelled: FSB interrupt delivery.
 */
#include "hw/timer/hpet.h"

#include "base/clock.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/timer/lost-ticks.h"
#include "hw/timer/trace.h"

#define HPET_TIMERS 3
#define HPET_TICK_NS 10
#define HPET_PINS 24

/* "General Capabilities and ID Register": period 10 000 000 fs, vendor 8086h, legacy routes,
 * 64-bit counter, last timer 2, revision 1. */
#define HPET_CAPS (0x0098968080860000ull | 0x8000 | 0x2000 | (HPET_TIMERS - 1) << 8 | 0x01)

#define CFG_ENABLE 0x1u
#define CFG_LEGACY 0x2u

/* "Timer N Configuration and Capability Register" */
#define TN_LEVEL BIT64(1)
#define TN_INT_ENABLE BIT64(2)
#define TN_PERIODIC BIT64(3)
#define TN_PERIODIC_CAP BIT64(4)
#define TN_64BIT_CAP BIT64(5)
#define TN_VALUE_SET BIT64(6)
#define TN_32BIT BIT64(8)
#define TN_ROUTE_SHIFT 9
#define TN_WRITABLE (TN_LEVEL | TN_INT_ENABLE | TN_PERIODIC | TN_VALUE_SET | TN_32BIT | 0x3e00ull)
/* Pins that the board leaves free: 2 (when legacy replacement is off) and 20-23. */
#define HPET_ROUTES 0x00f00004u

/* A guest may ask for a tick every 10 ns; it gets at most one in this time. */
#define HPET_MIN_PERIOD_NS 20000
#define HPET_LOOK (NS_PER_SEC / HPET_TICK_NS) /* how often a timer is looked at that only counts */

typedef struct HpetTimer {
    uint64_t config;
    uint64_t cmp;    /* comparator as read; periodic: of the next match */
    uint64_t period; /* last value written in periodic mode */
    bool set_acc;    /* TN_VALUE_SET: the next write sets the comparator too */
    Timer timer;
    LostTicks ticks;
    struct HpetState *hpet;
} HpetTimer;

typedef struct HpetState {
    Device dev;
    char *policy; /* property: discard or delay */
    uint64_t config;
    uint32_t status;
    int64_t start;    /* running: virtual ns at which the counter was 0 */
    uint64_t stopped; /* halted: the counter */
    HpetTimer timers[HPET_TIMERS];
    IrqLine gsi[HPET_PINS], irq0, irq8; /* wiring */
    void (*legacy)(void *opaque, bool on);
    void *legacy_opaque;
    IoRegion io;
} HpetState;

static uint64_t hpet_counter(const HpetState *s)
{
    if (!(s->config & CFG_ENABLE)) {
        return s->stopped;
    }
    return s->stopped + (uint64_t)(clock_now(CLK_VIRTUAL) - s->start) / HPET_TICK_NS;
}

static bool hpet_is32(const HpetTimer *t)
{
    return (t->config & TN_32BIT) != 0;
}

/* hpet_until - ticks from @now to the comparator's match; a match now counts as a whole turn. */
static uint64_t hpet_until(const HpetTimer *t, uint64_t now)
{
    if (hpet_is32(t)) {
        uint32_t d = (uint32_t)t->cmp - (uint32_t)now;

        return d != 0 ? d : BIT64(32);
    }
    return t->cmp - now != 0 ? t->cmp - now : UINT64_MAX;
}

/* hpet_passed - ticks since the match, which is in the past; false while it is to come. */
static bool hpet_passed(const HpetTimer *t, uint64_t now, uint64_t *behind)
{
    *behind = hpet_is32(t) ? (uint32_t)((uint32_t)now - (uint32_t)t->cmp) : now - t->cmp;
    return *behind <= (hpet_is32(t) ? BIT64(31) : BIT64(63));
}

/* hpet_advance - the accumulator of a periodic timer goes on to the next match after now. */
static void hpet_advance(HpetTimer *t, uint64_t behind)
{
    if (t->period != 0) {
        t->cmp += (behind / t->period + 1) * t->period;
        t->cmp = hpet_is32(t) ? (uint32_t)t->cmp : t->cmp;
    }
}

/* hpet_silent - it only counts: no interrupt, no status. Its accumulator is brought up to date when somebody looks,
 * as systems leave their boot's tick running so for good. */
static bool hpet_silent(const HpetTimer *t)
{
    return !(t->config & (TN_INT_ENABLE | TN_LEVEL));
}

static void hpet_sync(HpetTimer *t)
{
    uint64_t behind;

    if ((t->hpet->config & CFG_ENABLE) && (t->config & TN_PERIODIC) && hpet_silent(t) &&
        hpet_passed(t, hpet_counter(t->hpet), &behind)) {
        hpet_advance(t, behind);
    }
}

static void hpet_schedule(HpetTimer *t)
{
    HpetState *s = t->hpet;
    uint64_t now, d;
    int64_t ns;

    if (!(s->config & CFG_ENABLE) ||
        (!(t->config & TN_INT_ENABLE) && !(t->config & TN_PERIODIC))) {
        timer_cancel(&t->timer);
        return;
    }
    now = hpet_counter(s);
    if ((t->config & TN_PERIODIC) && t->period != 0 && hpet_passed(t, now, &d)) {
        d = 0; /* while nobody looked: the counter's next turn would be 43 s away */
    } else {
        d = hpet_until(t, now);
    }
    if (hpet_silent(t) && t->period != 0 && d < HPET_LOOK) {
        d += (HPET_LOOK - d) / t->period * t->period;
    }
    /* A 64-bit match that lies "behind" is centuries away. */
    if (d > (uint64_t)INT64_MAX / HPET_TICK_NS / 4) {
        timer_cancel(&t->timer);
        return;
    }
    ns = clock_now(CLK_VIRTUAL);
    ns -= (ns - s->start) % HPET_TICK_NS; /* where the present tick began */
    timer_arm(&t->timer, ns + (int64_t)d * HPET_TICK_NS);
}

/* hpet_line - where timer @n's interrupt goes. "Mapping Option #1 (Legacy Replacement Option)" */
static const IrqLine *hpet_line(const HpetState *s, unsigned n)
{
    unsigned route = s->timers[n].config >> TN_ROUTE_SHIFT & 31;

    if ((s->config & CFG_LEGACY) && n < 2) {
        return n == 0 ? &s->irq0 : &s->irq8;
    }
    return route < HPET_PINS && (HPET_ROUTES >> route & 1) ? &s->gsi[route] : NULL;
}

/* hpet_ticking - does it interrupt periodically, and not more often than a guest could count? */
static bool hpet_ticking(const HpetTimer *t)
{
    return (t->hpet->config & CFG_ENABLE) && (t->config & TN_PERIODIC) && (t->config & TN_INT_ENABLE) &&
           t->period >= HPET_MIN_PERIOD_NS / HPET_TICK_NS;
}

static void hpet_fire(HpetState *s, unsigned n)
{
    HpetTimer *t = &s->timers[n];
    const IrqLine *line = hpet_line(s, n);

    trace_hpet_fire(n);
    if (t->config & TN_LEVEL) {
        *(s->status & BIT(n) ? &irq_count.merged : &irq_count.taken) += 1;
        s->status |= BIT(n);
        if ((t->config & TN_INT_ENABLE) && line != NULL) {
            irq_set(line, 1);
        }
    } else if ((t->config & TN_INT_ENABLE) && line != NULL) {
        irq_pulse(line);
    }
}

/* hpet_lower - take a level interrupt away. */
static void hpet_lower(HpetState *s, unsigned n)
{
    const IrqLine *line = hpet_line(s, n);

    if (line != NULL) {
        irq_set(line, 0);
    }
}

/* hpet_tick - one interrupt of a timer, the first of a match or one made up for. */
static void hpet_tick(void *opaque)
{
    HpetTimer *t = opaque;
    const IrqCount before = irq_count;

    hpet_fire(t->hpet, (unsigned)(t - t->hpet->timers));
    if (hpet_ticking(t)) {
        lost_ticks_seen(&t->ticks, before, (int64_t)MIN(t->period, (uint64_t)INT64_MAX / HPET_TICK_NS / 4) * HPET_TICK_NS);
    }
}

static void hpet_timer_fired(void *opaque)
{
    HpetTimer *t = opaque;
    uint64_t behind;

    if (t->config & TN_PERIODIC) { /* not sooner than the limit */
        behind = hpet_passed(t, hpet_counter(t->hpet), &behind) ? behind : 0;
        if (hpet_ticking(t)) {
            lost_ticks_late(&t->ticks, behind / t->period);
        }
        behind += t->period < HPET_MIN_PERIOD_NS / HPET_TICK_NS ? HPET_MIN_PERIOD_NS / HPET_TICK_NS : 0;
        hpet_advance(t, behind);
    }
    hpet_tick(t);
    hpet_schedule(t);
}

static void hpet_write_config(HpetState *s, uint64_t val)
{
    bool was = (s->config & CFG_ENABLE) != 0, on = (val & CFG_ENABLE) != 0;
    uint64_t counter = hpet_counter(s);
    bool legacy = ((val ^ s->config) & CFG_LEGACY) != 0;

    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        hpet_sync(&s->timers[n]);
    }
    s->config = val & (CFG_ENABLE | CFG_LEGACY);
    if (was != on) {
        s->stopped = counter;
        s->start = clock_now(CLK_VIRTUAL);
    }
    if (legacy && s->legacy != NULL) {
        s->legacy(s->legacy_opaque, (val & CFG_LEGACY) != 0);
    }
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        if (!hpet_ticking(&s->timers[n])) {
            lost_ticks_clear(&s->timers[n].ticks);
        }
        hpet_schedule(&s->timers[n]);
        if (on && !was && (s->status >> n & 1) && (s->timers[n].config & TN_INT_ENABLE)) {
            hpet_fire(s, n);
        } else if (was && !on) {
            hpet_lower(s, n);
        }
    }
}

static void hpet_write_counter(HpetState *s, uint64_t val)
{
    /* "Writes ... should only be done while the counter is halted" */
    s->stopped = val;
    s->start = clock_now(CLK_VIRTUAL);
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        hpet_schedule(&s->timers[n]);
    }
}

static void hpet_write_timer_config(HpetState *s, unsigned n, uint64_t val)
{
    HpetTimer *t = &s->timers[n];
    uint64_t was = t->config;

    hpet_sync(t);
    if ((was & TN_LEVEL) && (s->status >> n & 1) && !(val & TN_LEVEL)) {
        hpet_lower(s, n);
        s->status &= ~BIT(n);
    }
    t->config = (was & ~TN_WRITABLE) | (val & TN_WRITABLE & ~TN_VALUE_SET);
    t->set_acc = (val & TN_VALUE_SET) != 0;
    if (!hpet_ticking(t)) {
        lost_ticks_clear(&t->ticks);
    }
    if (hpet_is32(t)) {
        t->cmp = (uint32_t)t->cmp;
        t->period = (uint32_t)t->period;
    }
    if ((t->config & (TN_LEVEL | TN_INT_ENABLE)) == (TN_LEVEL | TN_INT_ENABLE) &&
        (s->status >> n & 1)) {
        hpet_fire(s, n);
    }
    hpet_schedule(t);
}

/* "Timer N Comparator Value Register" */
static void hpet_write_cmp(HpetState *s, unsigned n, uint64_t val)
{
    HpetTimer *t = &s->timers[n];

    if (hpet_is32(t)) {
        val = (uint32_t)val;
    }
    if (!(t->config & TN_PERIODIC) || t->set_acc) {
        t->cmp = val; /* TN_VALUE_SET: the accumulator as well as the period */
    }
    if (t->config & TN_PERIODIC) {
        t->period = val;
        t->set_acc = false;
        lost_ticks_clear(&t->ticks);
    }
    hpet_schedule(t);
}

static uint64_t hpet_read64(HpetState *s, unsigned reg)
{
    unsigned n = (reg - 0x100) / 0x20;

    switch (reg) {
    case 0x000:
        return HPET_CAPS;
    case 0x010:
        return s->config;
    case 0x020:
        return s->status;
    case 0x0f0:
        return hpet_counter(s);
    default:
        break;
    }
    if (reg < 0x100 || n >= HPET_TIMERS) {
        return 0;
    }
    switch (reg & 0x1f) {
    case 0x00:
        return s->timers[n].config;
    case 0x08:
        hpet_sync(&s->timers[n]);
        return s->timers[n].cmp;
    default:
        return 0;
    }
}

static void hpet_write64(HpetState *s, unsigned reg, uint64_t val)
{
    unsigned n = (reg - 0x100) / 0x20;

    trace_hpet_write(reg, val);
    switch (reg) {
    case 0x010:
        hpet_write_config(s, val);
        return;
    case 0x020:
        for (n = 0; n < HPET_TIMERS; n++) { /* write 1 to clear */
            if (s->status & val & BIT(n)) {
                s->status &= ~BIT(n);
                hpet_lower(s, n);
            }
        }
        return;
    case 0x0f0:
        hpet_write_counter(s, val);
        return;
    default:
        break;
    }
    if (reg < 0x100 || n >= HPET_TIMERS) {
        return;
    }
    if ((reg & 0x1f) == 0x00) {
        hpet_write_timer_config(s, n, val);
    } else if ((reg & 0x1f) == 0x08) {
        hpet_write_cmp(s, n, val);
    }
}

static uint64_t hpet_read(void *opaque, uint64_t offset, unsigned size)
{
    return hpet_read64(opaque, (unsigned)offset & ~7u) >> (offset & 7) * 8;
}

static void hpet_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    HpetState *s = opaque;
    unsigned reg = (unsigned)offset & ~7u;
    uint64_t old;
    unsigned n = MIN((reg - 0x100) / 0x20, HPET_TIMERS - 1u);

    if (size == 8) {
        hpet_write64(s, reg, val);
        return;
    }
    if (size != 4) {
        return;
    }
    old = reg == 0x020 ? 0 : hpet_read64(s, reg);
    if (reg >= 0x100 && (reg & 0x1f) == 0x08 && (s->timers[n].config & TN_PERIODIC)) {
        if (offset & 4) {
            return; /* the low half did it; periods above 42 s need a 64-bit write */
        }
        old = 0;
    }
    if (offset & 4) {
        val = (old & 0xffffffff) | val << 32;
    } else {
        val = (old & 0xffffffff00000000ull) | (uint32_t)val;
    }
    hpet_write64(s, reg, val);
}

static const IoOps hpet_ops = { .read = hpet_read, .write = hpet_write, .max_size = 8 };

void hpet_connect(Device *dev, const IrqLine *gsi, IrqLine irq0, IrqLine irq8,
                  void (*legacy)(void *opaque, bool on), void *opaque)
{
    HpetState *s = container_of(dev, HpetState, dev);

    memcpy(s->gsi, gsi, sizeof(s->gsi));
    s->irq0 = irq0;
    s->irq8 = irq8;
    s->legacy = legacy;
    s->legacy_opaque = opaque;
}

static bool hpet_realize(Device *dev, struct Error **errp)
{
    HpetState *s = container_of(dev, HpetState, dev);

    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        s->timers[n].hpet = s;
        if (!lost_ticks_init(&s->timers[n].ticks, s->policy, "hpet", hpet_tick, &s->timers[n], errp)) {
            return false;
        }
        timer_init(&s->timers[n].timer, CLK_VIRTUAL, hpet_timer_fired, &s->timers[n],
                   &machine_lock_guard);
    }
    io_region_init(&s->io, &hpet_ops, s, "hpet", 0x400);
    return mem_map(&s->io, HPET_BASE, 10, false, errp);
}

static void hpet_unrealize(Device *dev)
{
    HpetState *s = container_of(dev, HpetState, dev);

    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        lost_ticks_clear(&s->timers[n].ticks);
        timer_cancel(&s->timers[n].timer);
    }
    mem_unmap(&s->io);
}

static void hpet_reset(Device *dev)
{
    HpetState *s = container_of(dev, HpetState, dev);

    if ((s->config & CFG_LEGACY) && s->legacy != NULL) {
        s->legacy(s->legacy_opaque, false);
    }
    s->config = 0;
    s->status = 0;
    s->stopped = 0;
    s->start = 0;
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        HpetTimer *t = &s->timers[n];

        lost_ticks_clear(&t->ticks);
        timer_cancel(&t->timer);
        t->config = TN_PERIODIC_CAP | TN_64BIT_CAP | (uint64_t)HPET_ROUTES << 32;
        t->cmp = UINT64_MAX;
        t->period = 0;
        t->set_acc = false;
    }
}

static void hpet_pre_save(Device *dev)
{
    HpetState *s = container_of(dev, HpetState, dev);

    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        hpet_sync(&s->timers[n]);
    }
}

static const StateField hpet_timer_fields[] = {
    STATE_U64(HpetTimer, config), STATE_U64(HpetTimer, cmp), STATE_U64(HpetTimer, period),
    STATE_BOOL(HpetTimer, set_acc), STATE_TIMER(HpetTimer, timer),
    STATE_STRUCT(HpetTimer, ticks, lost_ticks_fields), STATE_END,
};
static const StateField hpet_fields[] = {
    STATE_U64(HpetState, config), STATE_U32(HpetState, status), STATE_U64(HpetState, start),
    STATE_U64(HpetState, stopped), STATE_ARRAY(HpetState, timers, hpet_timer_fields), STATE_END,
};

static const Property hpet_props[] = {
    PROP_STR("lost_tick_policy", HpetState, policy, "delay", "of periodic interrupts: discard or delay"), PROP_END,
};

static bool hpet_post_load(Device *dev, struct Error **errp)
{
    HpetState *s = container_of(dev, HpetState, dev);

    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        lost_ticks_loaded(&s->timers[n].ticks);
    }
    return true;
}

const DeviceClass hpet_class = {
    .name = "hpet",
    .desc = "high precision event timer",
    .size = sizeof(HpetState),
    .version = 3,
    .props = hpet_props,
    .realize = hpet_realize,
    .unrealize = hpet_unrealize,
    .reset = hpet_reset,
    .fields = hpet_fields,
    .pre_save = hpet_pre_save,
    .post_load = hpet_post_load,
};
