/*
 * Motorola MC146818A real-time clock and CMOS RAM, as wired in a PC/AT, with the 128 bytes of later
 * parts and the century at 32h.
 *
 * Source: MC146818A data sheet (headings quoted). The calendar counts seconds since 1970 on the
 * clock that property "clock" names; it starts from the host's (base=utc or localtime) or a given
 * date. On the host's clock a stopped or saved machine finds the right date again. Interrupts come
 * by timers on the virtual clock.
 *
 * A periodic tick that comes while the one before waits in register C, or that the loop was too
 * late for, is lost: discarded, or (lost_tick_policy=slew, for guests that count them) made up
 * for after the guest has read register C, a quarter of a period later each. Not modelled: square wave, daylight saving (DSE), divider chains other than 32 768 Hz.
 */
#include "hw/rtc/mc146818.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/event.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/rtc/trace.h"

enum { RTC_SECONDS = 0, RTC_SECONDS_ALARM, RTC_MINUTES, RTC_MINUTES_ALARM, RTC_HOURS,
       RTC_HOURS_ALARM, RTC_DAY_OF_WEEK, RTC_DAY_OF_MONTH, RTC_MONTH, RTC_YEAR,
       RTC_REG_A, RTC_REG_B, RTC_REG_C, RTC_REG_D, RTC_CENTURY = 0x32 };

#define REG_A_UIP 0x80
#define REG_A_DV 0x70
#define REG_A_RUN 0x20 /* divider for 32 768 Hz */
#define REG_B_SET 0x80
#define REG_B_PIE 0x40
#define REG_B_AIE 0x20
#define REG_B_UIE 0x10
#define REG_B_BINARY 0x04
#define REG_B_24H 0x02
#define REG_C_IRQF 0x80
#define REG_C_PF 0x40
#define REG_C_AF 0x20
#define REG_C_UF 0x10
#define REG_D_VRT 0x80

/* "Update Cycle": UIP rises 244 us before the update, which lasts 1984 us. Ours is done at once, at
 * the end of the time for which UIP is shown. */
#define RTC_UIP_NS 244141

#define RTC_HZ 32768
#define RTC_LOST_MAX 65536u /* ticks to make up for: a minute at 1024 Hz */

typedef struct RtcState {
    Device dev;
    uint32_t io_base; /* property: constant after realize */
    char *base;       /* property: utc, localtime or an ISO date: constant after realize */
    char *clock;      /* property: host, rt or vm */
    char *policy;     /* property: discard or slew */
    ClockId clk;      /* of the calendar; constant after realize */
    bool slew;
    uint8_t index;    /* port base+0, bits 6:0; bit 7 is the NMI mask, not ours */
    uint8_t cmos[128];
    /* The clock reads `seconds` (since 1970) at `set_ns` of clk, and counts from there. While
     * SET is 1 or the divider is held, it stands and the cmos[] bytes are what counts. */
    int64_t seconds, set_ns;
    bool held;
    int64_t update_done; /* the last second whose update set UF */
    Timer update;    /* at each second, while someone wants UF or AF */
    Timer periodic;
    int64_t start;    /* what the clock would show at 0 of clk, had nobody set it; from realize, as its options */
    int64_t age_ns;   /* in a saved state: time since set_ns */
    Timer reinject;   /* the next lost tick */
    uint32_t lost;    /* ticks not delivered, with slew */
    uint64_t last_tick; /* number of the last periodic tick, in its periods */
    int64_t period_start; /* virtual ns of the first periodic tick's origin */
    bool irq_off;
    IrqLine irq; /* wiring; IRQ 8, follows IRQF */
    IoRegion io;
} RtcState;

/* ---- calendar ---- */

static uint8_t rtc_encode(const RtcState *s, int v)
{
    v = (v % 100 + 100) % 100; /* a guest may set years before 1900 */
    return (uint8_t)(s->cmos[RTC_REG_B] & REG_B_BINARY ? v : v / 10 << 4 | v % 10);
}
static int rtc_decode(const RtcState *s, uint8_t v)
{
    return s->cmos[RTC_REG_B] & REG_B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t rtc_encode_hour(const RtcState *s, int hour)
{
    if (s->cmos[RTC_REG_B] & REG_B_24H) {
        return rtc_encode(s, hour);
    }
    return rtc_encode(s, hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? 0x80 : 0);
}
static int rtc_decode_hour(const RtcState *s, uint8_t v)
{
    if (s->cmos[RTC_REG_B] & REG_B_24H) {
        return rtc_decode(s, v);
    }
    return rtc_decode(s, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

/* rtc_fraction - nanoseconds of the current second that are over. */
static int64_t rtc_fraction(const RtcState *s)
{
    int64_t f = (clock_now(s->clk) - s->set_ns) % NS_PER_SEC;

    return f < 0 ? f + NS_PER_SEC : f; /* the host's clock may be set back */
}

static int64_t rtc_now(const RtcState *s)
{
    int64_t ns = clock_now(s->clk) - s->set_ns;

    if (s->held) {
        return s->seconds;
    }
    return s->seconds + (ns >= 0 ? ns / NS_PER_SEC : -((-ns + NS_PER_SEC - 1) / NS_PER_SEC));
}

int64_t rtc_wall_ns(Device *dev)
{
    const RtcState *s = container_of(dev, RtcState, dev);

    return rtc_now(s) * NS_PER_SEC + rtc_fraction(s);
}

/* rtc_fill - the ten time bytes of cmos[] from the clock. */
static void rtc_fill(RtcState *s)
{
    time_t t = rtc_now(s);
    struct tm tm;

    if (s->held || gmtime_r(&t, &tm) == NULL) {
        return;
    }
    s->cmos[RTC_SECONDS] = rtc_encode(s, tm.tm_sec);
    s->cmos[RTC_MINUTES] = rtc_encode(s, tm.tm_min);
    s->cmos[RTC_HOURS] = rtc_encode_hour(s, tm.tm_hour);
    s->cmos[RTC_DAY_OF_WEEK] = rtc_encode(s, tm.tm_wday + 1);
    s->cmos[RTC_DAY_OF_MONTH] = rtc_encode(s, tm.tm_mday);
    s->cmos[RTC_MONTH] = rtc_encode(s, tm.tm_mon + 1);
    s->cmos[RTC_YEAR] = rtc_encode(s, tm.tm_year % 100);
    s->cmos[RTC_CENTURY] = rtc_encode(s, (tm.tm_year / 100 + 19) % 100);
}

/* rtc_tell - the guest set the clock: by how much it now differs from the one that it started with. */
static void rtc_tell(const RtcState *s)
{
    const EventField fields[] = { EV_INT("offset", rtc_now(s) - s->start - clock_now(s->clk) / NS_PER_SEC), EV_END };

    event_emit("RTC_CHANGE", fields);
}

/* rtc_take - the clock from the time bytes: after SET goes to 0, or a byte was written. */
static void rtc_take(RtcState *s, int64_t fraction_ns)
{
    struct tm tm = {
        .tm_sec = rtc_decode(s, s->cmos[RTC_SECONDS]),
        .tm_min = rtc_decode(s, s->cmos[RTC_MINUTES]),
        .tm_hour = rtc_decode_hour(s, s->cmos[RTC_HOURS]),
        .tm_mday = rtc_decode(s, s->cmos[RTC_DAY_OF_MONTH]),
        .tm_mon = rtc_decode(s, s->cmos[RTC_MONTH]) - 1,
        .tm_year = rtc_decode(s, s->cmos[RTC_YEAR]) +
                   (rtc_decode(s, s->cmos[RTC_CENTURY]) - 19) * 100,
    };

    s->seconds = timegm(&tm); /* nonsense is carried over, which is as good as any */
    s->set_ns = clock_now(s->clk) - fraction_ns;
    s->update_done = s->seconds;
    rtc_tell(s);
}

/* ---- interrupts ---- */

static void rtc_update_irq(RtcState *s)
{
    uint8_t c = s->cmos[RTC_REG_C] & (REG_C_PF | REG_C_AF | REG_C_UF);

    /* "Register C": IRQF = PF.PIE + AF.AIE + UF.UIE */
    if (c & s->cmos[RTC_REG_B]) {
        c |= REG_C_IRQF;
    }
    s->cmos[RTC_REG_C] = c;
    if (!s->irq_off) {
        irq_set(&s->irq, (c & REG_C_IRQF) != 0);
    }
}

/* rtc_alarm_matches - "Time, Calendar, and Alarm Locations": C0h to FFh are don't-care codes. */
static bool rtc_alarm_matches(const RtcState *s, const struct tm *tm)
{
    uint8_t sec = s->cmos[RTC_SECONDS_ALARM], min = s->cmos[RTC_MINUTES_ALARM];
    uint8_t hour = s->cmos[RTC_HOURS_ALARM];

    return (sec >= 0xc0 || rtc_decode(s, sec) == tm->tm_sec) &&
           (min >= 0xc0 || rtc_decode(s, min) == tm->tm_min) &&
           (hour >= 0xc0 || rtc_decode_hour(s, hour) == tm->tm_hour);
}

/* rtc_catch_up - do the updates since the last look: UF, and AF if a second of them matched. */
static void rtc_catch_up(RtcState *s)
{
    int64_t now = rtc_now(s);
    int64_t from = MAX(s->update_done, now - 86400); /* alarms repeat daily */

    if (s->held || now <= s->update_done) {
        s->update_done = s->held ? s->update_done : now; /* earlier: the host's clock was set back */
        return;
    }
    s->cmos[RTC_REG_C] |= REG_C_UF;
    for (int64_t t = from + 1; t <= now && !(s->cmos[RTC_REG_C] & REG_C_AF); t++) {
        time_t tt = t;
        struct tm tm;

        if (gmtime_r(&tt, &tm) != NULL && rtc_alarm_matches(s, &tm)) {
            s->cmos[RTC_REG_C] |= REG_C_AF;
        }
    }
    s->update_done = now;
    rtc_update_irq(s);
}

/* rtc_schedule - have the next update happen on time if its interrupt is enabled. */
static void rtc_schedule(RtcState *s)
{
    if (s->held || !(s->cmos[RTC_REG_B] & (REG_B_UIE | REG_B_AIE))) {
        timer_cancel(&s->update);
        return;
    }
    timer_arm(&s->update, clock_now(CLK_VIRTUAL) + NS_PER_SEC - rtc_fraction(s));
}

static void rtc_update_fired(void *opaque)
{
    RtcState *s = opaque;

    rtc_catch_up(s);
    rtc_schedule(s);
}

/* rtc_period - "Periodic Interrupt Rate": in clocks of 32 768 Hz, 0 for none. */
static unsigned rtc_period(const RtcState *s)
{
    unsigned rs = s->cmos[RTC_REG_A] & 15;

    if (rs == 0 || s->held) {
        return 0;
    }
    return 1u << ((rs <= 2 ? rs + 7 : rs) - 1);
}

static void rtc_schedule_periodic(RtcState *s)
{
    unsigned period = rtc_period(s);
    int64_t now = clock_now(CLK_VIRTUAL);
    uint64_t clocks;

    if (period == 0 || !(s->cmos[RTC_REG_B] & REG_B_PIE)) {
        timer_cancel(&s->periodic);
        timer_cancel(&s->reinject);
        s->lost = 0;
        return;
    }
    clocks = (uint64_t)((unsigned __int128)now * RTC_HZ / NS_PER_SEC);
    s->last_tick = clocks / period;
    clocks = (s->last_tick + 1) * period;
    timer_arm(&s->periodic,
              (int64_t)(((unsigned __int128)clocks * NS_PER_SEC + RTC_HZ - 1) / RTC_HZ));
}

/* rtc_count_lost - before a tick is delivered: how many could not be. */
static void rtc_count_lost(RtcState *s)
{
    uint64_t clocks = (uint64_t)((unsigned __int128)clock_now(CLK_VIRTUAL) * RTC_HZ / NS_PER_SEC);
    uint64_t tick = clocks / MAX(rtc_period(s), 1u);
    uint64_t lost = tick > s->last_tick + 1 ? tick - s->last_tick - 1 : 0;

    lost += (s->cmos[RTC_REG_C] & REG_C_PF) != 0;
    if (s->slew) {
        s->lost = (uint32_t)MIN(s->lost + lost, RTC_LOST_MAX);
    }
}

/* rtc_plan_reinject - register C was read: the guest is ready for a lost tick, not at once. */
static void rtc_plan_reinject(RtcState *s)
{
    if (s->lost > 0 && (s->cmos[RTC_REG_B] & REG_B_PIE) && !timer_pending(&s->reinject)) {
        timer_arm(&s->reinject, clock_now(CLK_VIRTUAL) +
                                    (int64_t)rtc_period(s) * NS_PER_SEC / RTC_HZ / 4);
    }
}

static void rtc_reinject_fired(void *opaque)
{
    RtcState *s = opaque;

    if (s->lost > 0 && !(s->cmos[RTC_REG_C] & REG_C_PF)) {
        s->lost--;
        s->cmos[RTC_REG_C] |= REG_C_PF;
        rtc_update_irq(s);
    }
}

static void rtc_periodic_fired(void *opaque)
{
    RtcState *s = opaque;

    rtc_count_lost(s);
    s->cmos[RTC_REG_C] |= REG_C_PF;
    rtc_update_irq(s);
    rtc_schedule_periodic(s);
}

/* rtc_periodic_flag - PF is set without PIE as well; computed when register C is read. */
static void rtc_periodic_flag(RtcState *s)
{
    unsigned period = rtc_period(s);
    int64_t now = clock_now(CLK_VIRTUAL);
    unsigned __int128 hz = RTC_HZ;

    if (period != 0) {
        uint64_t a = (uint64_t)(hz * (uint64_t)s->period_start / NS_PER_SEC) / period;
        uint64_t b = (uint64_t)(hz * (uint64_t)now / NS_PER_SEC) / period;

        if (a != b) {
            s->cmos[RTC_REG_C] |= REG_C_PF;
        }
    }
    s->period_start = now;
}

/* ---- registers ---- */

static bool rtc_is_time(uint8_t index)
{
    return index == RTC_CENTURY ||
           (index <= RTC_YEAR && index != RTC_SECONDS_ALARM && index != RTC_MINUTES_ALARM &&
            index != RTC_HOURS_ALARM);
}

static bool rtc_uip(const RtcState *s)
{
    return !s->held && rtc_fraction(s) >= NS_PER_SEC - RTC_UIP_NS;
}

static uint8_t rtc_read_reg(RtcState *s, uint8_t index)
{
    uint8_t val;

    if (rtc_is_time(index)) {
        rtc_fill(s);
        return s->cmos[index];
    }
    switch (index) {
    case RTC_REG_A:
        return s->cmos[RTC_REG_A] | (rtc_uip(s) ? REG_A_UIP : 0);
    case RTC_REG_C:
        rtc_catch_up(s);
        rtc_periodic_flag(s);
        rtc_update_irq(s);
        val = s->cmos[RTC_REG_C];
        s->cmos[RTC_REG_C] = 0; /* a read clears every flag, IRQF included */
        rtc_update_irq(s);
        rtc_plan_reinject(s);
        return val;
    case RTC_REG_D:
        return REG_D_VRT;
    default:
        return s->cmos[index];
    }
}

/* rtc_set_regs - registers A and B: the clock stops and starts, formats change. */
static void rtc_set_regs(RtcState *s, uint8_t a, uint8_t b)
{
    bool held = (b & REG_B_SET) || (a & REG_A_DV) != REG_A_RUN;

    rtc_catch_up(s);
    if (held && !s->held) {
        rtc_fill(s);
        s->seconds = rtc_now(s);
        s->held = true;
    } else if (!held && !s->held) {
        /* data mode and 24/12 decide how bytes are read; the time itself goes on */
        s->cmos[RTC_REG_B] = b;
        rtc_fill(s);
    }
    s->cmos[RTC_REG_A] = a & 0x7f;
    s->cmos[RTC_REG_B] = b & REG_B_SET ? b & (uint8_t)~REG_B_UIE : b; /* "SET ... clears UIE" */
    if (!held && s->held) {
        s->held = false;
        /* "Divider": the first update follows half a second after the divider starts */
        rtc_take(s, NS_PER_SEC / 2);
    }
    s->period_start = clock_now(CLK_VIRTUAL);
    rtc_update_irq(s);
    rtc_schedule(s);
    rtc_schedule_periodic(s);
}

static void rtc_write_reg(RtcState *s, uint8_t index, uint8_t val)
{
    int64_t frac;

    switch (index) {
    case RTC_REG_A:
        rtc_set_regs(s, val, s->cmos[RTC_REG_B]);
        return;
    case RTC_REG_B:
        rtc_set_regs(s, s->cmos[RTC_REG_A], val);
        return;
    case RTC_REG_C: /* read-only */
    case RTC_REG_D:
        return;
    default:
        break;
    }
    rtc_catch_up(s);
    if (rtc_is_time(index) && !s->held) {
        frac = rtc_fraction(s);
        rtc_fill(s);
        s->cmos[index] = val;
        rtc_take(s, frac);
    } else {
        s->cmos[index] = val;
    }
    rtc_schedule(s);
}

static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned size)
{
    RtcState *s = opaque;
    uint8_t val;

    /* the index latches are write-only; 72h/73h reach the same 128 bytes as in the PIIX */
    if (!(offset & 1)) {
        return 0xff;
    }
    val = rtc_read_reg(s, s->index);
    trace_rtc_read(s->index, val);
    return val;
}

static void rtc_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    RtcState *s = opaque;

    if (offset & 1) {
        trace_rtc_write(s->index, (uint8_t)val);
        rtc_write_reg(s, s->index, (uint8_t)val);
    } else {
        s->index = val & 0x7f;
    }
}

static const IoOps rtc_ops = { .read = rtc_read, .write = rtc_write, .max_size = 1 };

void rtc_connect(Device *dev, IrqLine irq)
{
    container_of(dev, RtcState, dev)->irq = irq;
}

void rtc_set_cmos(Device *dev, uint8_t index, uint8_t val)
{
    if (index > RTC_REG_D && index < 128 && index != RTC_CENTURY) {
        container_of(dev, RtcState, dev)->cmos[index] = val;
    }
}

uint8_t rtc_get_cmos(Device *dev, uint8_t index)
{
    return container_of(dev, RtcState, dev)->cmos[index & 127];
}

void rtc_set_irq_off(void *opaque, bool off)
{
    RtcState *s = container_of((Device *)opaque, RtcState, dev);

    if (off && !s->irq_off) {
        irq_set(&s->irq, 0);
    }
    s->irq_off = off;
    rtc_update_irq(s);
}

/* rtc_start_time - seconds since 1970 that the clock shows first, from property base. */
static bool rtc_start_time(const RtcState *s, int64_t *out, struct Error **errp)
{
    time_t now = (time_t)(clock_now(CLK_HOST) / NS_PER_SEC);
    struct tm tm = { 0 };
    char end;
    int n;

    if (strcmp(s->base, "utc") == 0) {
        *out = now;
        return true;
    }
    if (strcmp(s->base, "localtime") == 0) {
        localtime_r(&now, &tm);
        *out = timegm(&tm);
        return true;
    }
    if (s->base[0] == '@') { /* for the board, which has parsed a date already */
        *out = strtoll(s->base + 1, NULL, 10);
        return true;
    }
    n = sscanf(s->base, "%d-%d-%dT%d:%d:%d%c", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &end);
    if (n != 6) {
        n = sscanf(s->base, "%d-%d-%d%c", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &end) == 3 ? 3 : 0;
    }
    if (n == 0 || tm.tm_year < 1970 || tm.tm_year > 9999 || tm.tm_mon < 1 || tm.tm_mon > 12 ||
        tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 || tm.tm_hour > 23 ||
        tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60) {
        error_set(errp, "rtc: invalid datetime format '%s'", s->base);
        error_hint(errp, "valid formats: 'utc', 'localtime', '2006-06-17T16:01:21', '2006-06-17'");
        return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *out = timegm(&tm);
    return true;
}

/* rtc_words - the properties that are words. */
static bool rtc_words(RtcState *s, struct Error **errp)
{
    static const char *const clocks[] = { [CLK_VIRTUAL] = "vm", [CLK_HOST] = "host",
                                          [CLK_REAL] = "rt" };

    for (s->clk = 0; s->clk < CLK_COUNT && strcmp(s->clock, clocks[s->clk]) != 0; s->clk++) {
    }
    if (s->clk == CLK_COUNT) {
        error_set(errp, "rtc: clock=%s: not host, rt or vm", s->clock);
        return false;
    }
    s->slew = strcmp(s->policy, "slew") == 0;
    if (!s->slew && strcmp(s->policy, "discard") != 0) {
        error_set(errp, "rtc: lost_tick_policy=%s: not discard or slew", s->policy);
        return false;
    }
    return true;
}

static bool rtc_realize(Device *dev, struct Error **errp)
{
    RtcState *s = container_of(dev, RtcState, dev);

    if (!rtc_words(s, errp) || !rtc_start_time(s, &s->seconds, errp)) {
        return false;
    }
    s->set_ns = clock_now(s->clk);
    s->start = s->seconds - s->set_ns / NS_PER_SEC;
    s->update_done = s->seconds;
    s->cmos[RTC_REG_A] = 0x26; /* 32 768 Hz, 1024 Hz periodic: what PC firmware leaves */
    s->cmos[RTC_REG_B] = REG_B_24H;
    timer_init(&s->update, CLK_VIRTUAL, rtc_update_fired, s, &machine_lock_guard);
    timer_init(&s->periodic, CLK_VIRTUAL, rtc_periodic_fired, s, &machine_lock_guard);
    timer_init(&s->reinject, CLK_VIRTUAL, rtc_reinject_fired, s, &machine_lock_guard);
    io_region_init(&s->io, &rtc_ops, s, "rtc", 4);
    return port_map(&s->io, (uint16_t)s->io_base, errp);
}

static void rtc_unrealize(Device *dev)
{
    RtcState *s = container_of(dev, RtcState, dev);

    timer_cancel(&s->reinject);
    timer_cancel(&s->periodic);
    timer_cancel(&s->update);
    port_unmap(&s->io);
}

/* "Reset": clears PIE, AIE, UIE, the flags and SQWE; clock, calendar and RAM live on the battery. */
static void rtc_reset(Device *dev)
{
    RtcState *s = container_of(dev, RtcState, dev);
    uint8_t b = s->cmos[RTC_REG_B];

    s->cmos[RTC_REG_C] = 0;
    s->irq_off = false;
    rtc_set_regs(s, s->cmos[RTC_REG_A],
                 b & (uint8_t)~(REG_B_PIE | REG_B_AIE | REG_B_UIE | 0x08));
    s->cmos[RTC_REG_C] = 0;
    rtc_update_irq(s);
}

static const Property rtc_props[] = {
    PROP_U32("iobase", RtcState, io_base, 0x70, "first of four ports"),
    PROP_STR("base", RtcState, base, "utc", "utc, localtime or a date"),
    PROP_STR("clock", RtcState, clock, "vm", "what it follows: host, rt or vm"),
    PROP_STR("lost_tick_policy", RtcState, policy, "discard", "discard or slew"),
    PROP_END,
};
static const StateField rtc_fields[] = {
    STATE_U8(RtcState, index), STATE_BYTES(RtcState, cmos), STATE_U64(RtcState, seconds),
    STATE_U64(RtcState, set_ns), STATE_BOOL(RtcState, held), STATE_U64(RtcState, update_done),
    STATE_U64(RtcState, period_start), STATE_BOOL(RtcState, irq_off),
    STATE_TIMER(RtcState, update), STATE_TIMER(RtcState, periodic),
    STATE_U64(RtcState, age_ns), STATE_TIMER(RtcState, reinject), STATE_U32(RtcState, lost),
    STATE_U64(RtcState, last_tick), STATE_END,
};

static void rtc_pre_save(Device *dev)
{
    RtcState *s = container_of(dev, RtcState, dev);

    s->age_ns = clock_now(s->clk) - s->set_ns;
}

static bool rtc_post_load(Device *dev, struct Error **errp)
{
    RtcState *s = container_of(dev, RtcState, dev);

    s->index &= 0x7f;
    if (s->clk == CLK_REAL) { /* each host has its own */
        s->set_ns = clock_now(CLK_REAL) - MAX(s->age_ns, 0);
    }
    s->set_ns = MIN(MAX(s->set_ns, 0), clock_now(s->clk));
    s->lost = MIN(s->lost, RTC_LOST_MAX);
    return true;
}

const DeviceClass mc146818_class = {
    .name = "mc146818rtc",
    .desc = "MC146818 real-time clock",
    .size = sizeof(RtcState),
    .bus = BUS_ISA,
    .props = rtc_props,
    .realize = rtc_realize,
    .unrealize = rtc_unrealize,
    .reset = rtc_reset,
    .fields = rtc_fields,
    .pre_save = rtc_pre_save,
    .post_load = rtc_post_load,
};
