/*
 * ICH9's TCO timer. Source: Intel I/O Controller Hub 9 data sheet (316972), 13.9 "TCO Registers" (names quoted).
 *
 * It counts ticks of 0.6 s from TCO_TMR down. At zero TIMEOUT is set, an SMI may follow, and it counts once more; at the
 * second zero SECOND_TO_STS is set and the board is reset, unless NO_REBOOT says otherwise. Writing TCO_RLD begins anew;
 * until the first such write nothing is counted, as if firmware had halted it.
 * Not modelled: intruder detection, SMBus messages, NMIs by NMI_NOW.
 */
#include "hw/watchdog/ich9-tco.h"

#include "base/mem.h"
#include "bus/lock.h"
#include "hw/watchdog/trace.h"

/* words */
enum { TCO_RLD = 0, TCO_DAT = 1, TCO1_STS = 2, TCO2_STS = 3, TCO1_CNT = 4, TCO2_CNT = 5, TCO_MESSAGE = 6, TCO_WDCNT = 7,
       SW_IRQ_GEN = 8, TCO_TMR = 9 };
enum { TIMEOUT = 0x0008, TCO1_STS_W1C = 0x13cf, SECOND_TO_STS = 0x0002, BOOT_STS = 0x0004, TCO2_STS_W1C = 0x0017 };
enum { TMR_HLT = 0x0800, TCO_LOCK = 0x1000, TCO1_CNT_MASK = 0x1b00, TMR_MASK = 0x03ff, TICK_MS = 600 };

const StateField tco_fields[] = {
    STATE_BYTES(Tco, reg), STATE_U8(Tco, stage), STATE_U32(Tco, left_ms), STATE_TIMER(Tco, timer), STATE_END,
};

static uint32_t reload_ms(const Tco *t)
{
    unsigned ticks = t->reg[TCO_TMR] & TMR_MASK;

    return MAX(ticks, 2u) * TICK_MS; /* "Values of 0000h or 0001h ... should not be attempted" */
}

static uint32_t left_ms(const Tco *t)
{
    int64_t left;

    if (!timer_pending(&t->timer)) {
        return t->left_ms;
    }
    left = t->timer.deadline - clock_now(CLK_VIRTUAL);
    return left > 0 ? (uint32_t)(left / NS_PER_MS) : 0;
}

static void run(Tco *t, uint32_t ms)
{
    t->left_ms = ms;
    timer_cancel(&t->timer);
    if (!(t->reg[TCO1_CNT] & TMR_HLT)) {
        timer_arm(&t->timer, clock_now(CLK_VIRTUAL) + (int64_t)ms * NS_PER_MS);
    }
}

static void on_zero(void *opaque)
{
    Tco *t = opaque;

    trace_watchdog_zero("tco", t->stage);
    if (t->stage == 0) {
        t->stage = 1;
        t->reg[TCO1_STS] |= TIMEOUT;
        run(t, reload_ms(t));
        t->first(t->opaque);
    } else {
        t->stage = 0;
        t->reg[TCO2_STS] |= SECOND_TO_STS | BOOT_STS;
        run(t, reload_ms(t)); /* where the machine goes on */
        t->second(t->opaque);
    }
}

void tco_init(Tco *t, void (*first)(void *opaque), void (*second)(void *opaque), void *opaque)
{
    t->first = first;
    t->second = second;
    t->opaque = opaque;
    timer_init(&t->timer, CLK_VIRTUAL, on_zero, t, &machine_lock_guard);
}

void tco_fini(Tco *t)
{
    timer_cancel(&t->timer);
}

void tco_reset(Tco *t)
{
    uint16_t kept = t->reg[TCO2_STS]; /* it has power of its own: firmware finds out why it runs */

    timer_cancel(&t->timer);
    memset(t->reg, 0, sizeof(t->reg));
    t->reg[TCO2_STS] = kept;
    t->reg[TCO2_CNT] = 0x0008;
    t->reg[SW_IRQ_GEN] = 0x0303;
    t->reg[TCO_TMR] = 0x0004;
    t->stage = 0;
    t->left_ms = reload_ms(t);
}

void tco_post_load(Tco *t)
{
    t->stage &= 1;
    t->left_ms = MIN(t->left_ms, (uint32_t)TMR_MASK * TICK_MS);
}

static uint16_t word(Tco *t, unsigned n)
{
    return n == TCO_RLD ? (uint16_t)((left_ms(t) + TICK_MS - 1) / TICK_MS & TMR_MASK) : t->reg[n];
}

uint32_t tco_read(Tco *t, unsigned offset, unsigned size)
{
    uint32_t val = 0;

    for (unsigned n = 0; n < size && offset + n < TCO_SIZE; n++) {
        val |= (uint32_t)(word(t, (offset + n) / 2) >> 8 * ((offset + n) & 1) & 0xff) << 8 * n;
    }
    return val;
}

static void control(Tco *t, uint16_t val)
{
    uint16_t was = t->reg[TCO1_CNT];
    uint32_t left = left_ms(t);

    if (was & TCO_LOCK) {
        val |= TCO_LOCK; /* "cleared only by a reset" */
    }
    t->reg[TCO1_CNT] = val & TCO1_CNT_MASK;
    if ((was ^ val) & TMR_HLT) {
        run(t, left);
    }
}

/* word_write - @val where @mask has ones. */
static void word_write(Tco *t, unsigned n, uint16_t val, uint16_t mask)
{
    uint16_t whole = (uint16_t)((t->reg[n] & ~mask) | (val & mask));

    switch (n) {
    case TCO_RLD:
        t->stage = 0;
        run(t, reload_ms(t));
        break;
    case TCO1_STS:
        t->reg[n] &= (uint16_t)~(val & mask & TCO1_STS_W1C);
        break;
    case TCO2_STS:
        t->reg[n] &= (uint16_t)~(val & mask & TCO2_STS_W1C);
        break;
    case TCO1_CNT:
        control(t, whole);
        break;
    case TCO_TMR:
        t->reg[n] = whole & TMR_MASK;
        break;
    case TCO_DAT:
    case TCO2_CNT:
    case TCO_MESSAGE:
    case TCO_WDCNT:
    case SW_IRQ_GEN:
        t->reg[n] = whole;
        break;
    default:
        break;
    }
}

void tco_write(Tco *t, unsigned offset, uint32_t val, unsigned size)
{
    for (unsigned n = 0; n < size && offset + n < TCO_SIZE;) {
        unsigned at = offset + n;

        if ((at & 1) == 0 && n + 1 < size) {
            word_write(t, at / 2, (uint16_t)(val >> 8 * n), 0xffff);
            n += 2;
        } else {
            unsigned shift = 8 * (at & 1);

            word_write(t, at / 2, (uint16_t)((val >> 8 * n & 0xff) << shift), (uint16_t)(0xff << shift));
            n++;
        }
    }
}
