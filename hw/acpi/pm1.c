/*
 * PM1 registers, PM timer, APM ports: see pm1.h.
 */
#include "hw/acpi/pm1.h"

#include "base/mem.h"
#include "bus/lock.h"
#include "hw/board.h"
#include "hw/pci/trace.h"

#define TMR_STS 0x0001
#define BM_STS 0x0010
#define GBL_STS 0x0020
#define PWRBTN_STS 0x0100
#define RTC_STS 0x0400
#define WAK_STS 0x8000
#define PM1_STS_MASK (TMR_STS | BM_STS | GBL_STS | PWRBTN_STS | RTC_STS | WAK_STS)
#define PM1_EN_MASK (TMR_STS | GBL_STS | PWRBTN_STS | RTC_STS)
#define CNT_SCI_EN 0x0001
#define CNT_SLP_TYP_SHIFT 10
#define CNT_SLP_EN 0x2000
#define CNT_MASK 0x1c03
#define SLP_TYP_S5 0 /* "SUS_TYP": 000 is soft off */

static uint64_t pm_ticks(void)
{
    return (uint64_t)((unsigned __int128)clock_now(CLK_VIRTUAL) * PM_TIMER_HZ / NS_PER_SEC);
}

/* pm_sync_timer - "TMROF_STS ... set anytime bit 22 goes high to low or low to high": the timer's
 * highest bit, which of 24 bits is bit 23. */
static void pm_sync_timer(Pm1 *s)
{
    uint32_t half = (uint32_t)(pm_ticks() >> 23);

    if (half != s->tmr_seen) {
        s->tmr_seen = half;
        s->sts |= TMR_STS;
    }
}

void pm1_update(Pm1 *s)
{
    bool level;
    uint64_t next;

    pm_sync_timer(s);
    level = (s->cnt & CNT_SCI_EN) &&
            ((s->sts & s->en & PM1_EN_MASK) || s->gpe(s->opaque));
    irq_set(&s->sci, level);
    if ((s->en & TMR_STS) && !(s->sts & TMR_STS)) {
        next = ((pm_ticks() >> 23) + 1) << 23;
        timer_arm(&s->timer, (int64_t)(((unsigned __int128)next * NS_PER_SEC + PM_TIMER_HZ - 1) /
                                       PM_TIMER_HZ));
    } else {
        timer_cancel(&s->timer);
    }
}

static void pm_timer(void *opaque)
{
    pm1_update(opaque);
}

static void pm_write_cnt(Pm1 *s, uint16_t val)
{
    const Board *board = s->board;

    s->cnt = val & CNT_MASK;
    if ((val & CNT_SLP_EN) && (val >> CNT_SLP_TYP_SHIFT & 7) == SLP_TYP_S5 && board != NULL &&
        board->shutdown_request != NULL) {
        board->shutdown_request();
    }
}

uint32_t pm1_read(Pm1 *s, unsigned offset)
{
    uint32_t val = 0;

    switch (offset & ~3u) {
    case PM1_STS:
        pm_sync_timer(s);
        val = s->sts | (uint32_t)s->en << 16;
        break;
    case PM1_CNT:
        val = s->cnt;
        break;
    case PM1_TMR:
        val = pm_ticks() & 0xffffff;
        break;
    default:
        break;
    }
    return val >> (offset & 3) * 8;
}

uint16_t pm_merge16(uint16_t old, unsigned at, uint32_t val, unsigned size)
{
    uint16_t mask = (uint16_t)((size >= 2 ? 0xffffu : 0xffu) << at * 8);

    return (uint16_t)((old & ~mask) | ((val << at * 8) & mask));
}

void pm1_write(Pm1 *s, unsigned offset, uint32_t v, unsigned size)
{
    unsigned at = offset & 1;

    trace_pm_write(offset, v);
    pm_sync_timer(s);
    switch (offset & ~1u) {
    case PM1_STS:
        s->sts &= (uint16_t)~(pm_merge16(0, at, v, size) & PM1_STS_MASK);
        if (size == 4) {
            s->en = v >> 16 & PM1_EN_MASK;
        }
        break;
    case PM1_EN:
        s->en = pm_merge16(s->en, at, v, size) & PM1_EN_MASK;
        break;
    case PM1_CNT:
        pm_write_cnt(s, pm_merge16(s->cnt, at, v, size));
        break;
    default:
        break;
    }
    pm1_update(s);
}

/* Ports B2h (APMC) and B3h (APMS). */
static uint64_t apm_read(void *opaque, uint64_t offset, unsigned size)
{
    Pm1 *s = opaque;

    return offset ? s->apms : s->apmc;
}

static void apm_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Pm1 *s = opaque;

    if (offset) {
        s->apms = (uint8_t)val;
        return;
    }
    s->apmc = (uint8_t)val;
    if (s->apmc == s->acpi_enable) {
        s->cnt |= CNT_SCI_EN;
    } else if (s->apmc == s->acpi_disable) {
        s->cnt &= (uint16_t)~CNT_SCI_EN;
    }
    pm1_update(s);
    s->apm_smi(s->opaque);
}

static const IoOps apm_ops = { .read = apm_read, .write = apm_write, .max_size = 1 };

void pm1_power_button(Pm1 *s)
{
    s->sts |= PWRBTN_STS;
    pm1_update(s);
}

bool pm1_init(Pm1 *s, struct Error **errp)
{
    timer_init(&s->timer, CLK_VIRTUAL, pm_timer, s, &machine_lock_guard);
    io_region_init(&s->io_apm, &apm_ops, s, "apm", 2);
    return port_map(&s->io_apm, 0xb2, errp);
}

void pm1_fini(Pm1 *s)
{
    timer_cancel(&s->timer);
    port_unmap(&s->io_apm);
}

void pm1_reset(Pm1 *s)
{
    s->sts = s->en = s->cnt = 0;
    s->apmc = s->apms = 0;
    s->tmr_seen = (uint32_t)(pm_ticks() >> 23);
    pm1_update(s);
}

const StateField pm1_fields[] = {
    STATE_U16(Pm1, sts), STATE_U16(Pm1, en), STATE_U16(Pm1, cnt), STATE_U8(Pm1, apmc), STATE_U8(Pm1, apms),
    STATE_U32(Pm1, tmr_seen), STATE_TIMER(Pm1, timer), STATE_END,
};
