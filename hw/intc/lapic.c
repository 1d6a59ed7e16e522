/*
 * Local APIC: xAPIC registers at FEE00000h, x2APIC registers as MSRs.
 *
 * Source: Intel SDM vol. 3, chapter "Advanced Programmable Interrupt Controller (APIC)" (headings
 * quoted). Timer: virtual clock, 1 GHz before the divider. Where
 * IA32_APIC_BASE moved the page, other processors see ones there, not what lies below. Not modelled: thermal and performance-counter sources (their LVT entries are
 * there), CMCI, the focus processor.
 *
 * Who may touch what: every register word is accessed by __atomic builtins and may be read by any
 * thread. ISR, TPR and the LVT are written by the processor's own thread; IRR and TMR by any.
 * IRR/PPR against REQ_INTR is a store-then-load pair on both sides (a sender sets IRR, then looks
 * at PPR; the owner lowers PPR or clears REQ_INTR, then looks at IRR), so all of these are
 * sequentially consistent and no interrupt can be left lying. The timer's fields have a lock of
 * their own (timer_lock, below the machine lock, above the timer queue).
 */
#include "hw/intc/lapic-internal.h"

#include "base/log.h"
#include "bus/lock.h"
#include "bus/state.h"
#include "hw/intc/trace.h"

#define LAPIC_REG_EOI 0x0b0
#define LAPIC_REG_ICR 0x300

/* ---- priorities and the request to the processor ---- */

/* "Task and Processor Priorities" */
uint32_t lapic_ppr(const LapicState *s)
{
    uint32_t tpr = reg_get(&s->tpr);
    int isr = bits_highest(s->isr);
    uint32_t isrv = isr < 0 ? 0 : (uint32_t)isr & 0xf0;

    return (tpr & 0xf0) >= isrv ? tpr : isrv;
}

/* lapic_vector - the vector that may be delivered now, or -1. */
static int lapic_vector(const LapicState *s)
{
    int v;

    if (!lapic_soft_enabled(s)) {
        return -1;
    }
    v = bits_highest(s->irr);
    return v >= 0 && ((uint32_t)v & 0xf0) > (lapic_ppr(s) & 0xf0) ? v : -1;
}

/* lapic_extint - does the PIC's request reach the processor? */
static bool lapic_extint(const LapicState *s)
{
    uint32_t lvt;

    if (reg_get(&s->extint)) {
        return true;
    }
    if (!reg_get(&s->lint0)) {
        return false;
    }
    if (!lapic_enabled(s)) {
        return true; /* LINT0 is INTR: "Relationship ... with APIC disabled" */
    }
    lvt = reg_get(&s->lvt[LVT_LINT0]);
    return !(lvt & LVT_MASKED) && (lvt >> LVT_MODE_SHIFT & 7) == LAPIC_EXTINT;
}

static bool lapic_wants(const LapicState *s)
{
    return lapic_vector(s) >= 0 || lapic_extint(s);
}

/* lapic_update - bring REQ_INTR in line with the registers. Any thread. */
void lapic_update(LapicState *s)
{
    if (!lapic_wants(s)) {
        if (!(__atomic_load_n(&s->cpu->requests, __ATOMIC_SEQ_CST) & REQ_INTR)) {
            return;
        }
        cpu_unrequest(s->cpu, REQ_INTR);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (!lapic_wants(s)) {
            return;
        }
    }
    if (!(__atomic_load_n(&s->cpu->requests, __ATOMIC_SEQ_CST) & REQ_INTR)) {
        cpu_request(s->cpu, REQ_INTR);
    }
}

/* lapic_accept - a fixed or lowest-priority interrupt arrives. "Interrupt Acceptance" */
bool lapic_accept(LapicState *s, unsigned vector, bool level)
{
    if (!lapic_soft_enabled(s)) {
        return false;
    }
    trace_lapic_accept(s->cpu->index, vector, level);
    if (vector < 16) {
        lapic_error(s, ESR_RECV_ILLEGAL);
        return false;
    }
    if (level) {
        bits_set(s->tmr, vector);
    } else {
        bits_clear(s->tmr, vector);
    }
    if (!level) {
        *(bits_test(s->irr, vector) ? &irq_count.merged : &irq_count.taken) += 1;
    }
    bits_set(s->irr, vector);
    lapic_update(s);
    return true;
}

/* lapic_local - a source of the local vector table fires. Any thread. */
void lapic_local(LapicState *s, unsigned n)
{
    uint32_t lvt = reg_get(&s->lvt[n]);
    unsigned mode = n == LVT_TIMER || n == LVT_ERROR ? LAPIC_FIXED : lvt >> LVT_MODE_SHIFT & 7;

    if ((lvt & LVT_MASKED) || !lapic_enabled(s)) {
        return;
    }
    switch (mode) {
    case LAPIC_FIXED:
        lapic_accept(s, lvt & LVT_VECTOR, n == LVT_LINT0 && (lvt & LVT_LEVEL));
        break;
    case LAPIC_SMI:
        cpu_request(s->cpu, REQ_SMI);
        break;
    case LAPIC_NMI:
        cpu_request(s->cpu, REQ_NMI);
        break;
    case LAPIC_INIT:
        cpu_request_init(s->cpu);
        break;
    case LAPIC_EXTINT:
        lapic_update(s);
        break;
    default:
        break;
    }
}

/* lapic_error - "Error Handling": note it, and tell through the error LVT. */
void lapic_error(LapicState *s, uint32_t bit)
{
    uint32_t was = __atomic_fetch_or(&s->esr_new, bit, __ATOMIC_SEQ_CST);
    uint32_t lvt = reg_get(&s->lvt[LVT_ERROR]);

    if (!(was & bit) && (lvt & LVT_VECTOR) >= 16) { /* no error about the error's own vector */
        lapic_local(s, LVT_ERROR);
    }
}

/* lapic_eoi - "Signaling Interrupt Servicing Completion" */
static void lapic_eoi(LapicState *s)
{
    int v = bits_highest(s->isr);

    if (v < 0) {
        return;
    }
    bits_clear(s->isr, (unsigned)v);
    if (bits_test(s->tmr, (unsigned)v)) {
        lapic_bus_eoi(s->bus, v);
    } else if (irq_done_wanted()) {
        lapic_bus_eoi(s->bus, -1);
    }
    lapic_update(s);
}

/* ---- registers ---- */

static void lapic_write_lvt(LapicState *s, unsigned n, uint32_t val)
{
    /* "Local Vector Table": which bits each entry has */
    static const uint32_t mask[LVT_COUNT] = {
        [LVT_TIMER] = 0x700ff,  [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
        [LVT_LINT0] = 0x1a7ff,  [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
    };

    val &= mask[n];
    if (!(reg_get(&s->svr) & SVR_ENABLE)) {
        val |= LVT_MASKED; /* "Local APIC State After It Has Been Software Disabled" */
    }
    if (n == LVT_TIMER) {
        if (!cpu_has(s->cpu, FEAT_TSC_DEADLINE)) {
            val &= ~(2u << LVT_TIMER_SHIFT);
        }
        lapic_timer_set_lvt(s, val);
    } else {
        reg_set(&s->lvt[n], val);
    }
    if (n == LVT_LINT0) {
        if (reg_get(&s->lint0) && (val & LVT_LEVEL)) {
            lapic_local(s, LVT_LINT0);
        }
        lapic_update(s);
    }
}

static void lapic_write_svr(LapicState *s, uint32_t val)
{
    reg_set(&s->svr, val & 0x3ff);
    if (!(val & SVR_ENABLE)) {
        for (unsigned n = 0; n < LVT_COUNT; n++) {
            lapic_write_lvt(s, n, reg_get(&s->lvt[n]) | LVT_MASKED);
        }
    }
    lapic_update(s);
}

static uint32_t lapic_id_reg(const LapicState *s)
{
    return lapic_x2(s) ? s->cpu->apic_id : s->cpu->apic_id << 24;
}

static uint32_t lapic_ldr_reg(const LapicState *s)
{
    if (lapic_x2(s)) { /* "Logical x2APIC ID": derived from the ID */
        return (s->cpu->apic_id >> 4) << 16 | BIT(s->cpu->apic_id & 15);
    }
    return reg_get(&s->ldr);
}

/* lapic_reg_read - register @reg (offset of the xAPIC page); false when there is none. */
static bool lapic_reg_read(LapicState *s, unsigned reg, uint32_t *val)
{
    switch (reg) {
    case 0x020:
        *val = lapic_id_reg(s);
        break;
    case 0x030: /* "Local APIC Version Register": 14h, highest LVT entry 5 */
        *val = (LVT_COUNT - 1) << 16 | 0x14;
        break;
    case 0x080:
        *val = reg_get(&s->tpr);
        break;
    case 0x090: /* arbitration priority: as the processor priority */
    case 0x0a0:
        *val = lapic_ppr(s);
        break;
    case 0x0d0:
        *val = lapic_ldr_reg(s);
        break;
    case 0x0e0:
        *val = reg_get(&s->dfr) | 0x0fffffff;
        break;
    case 0x0f0:
        *val = reg_get(&s->svr);
        break;
    case 0x100 ... 0x170:
        *val = reg_get(&s->isr[reg >> 4 & 7]);
        break;
    case 0x180 ... 0x1f0:
        *val = reg_get(&s->tmr[reg >> 4 & 7]);
        break;
    case 0x200 ... 0x270:
        *val = reg_get(&s->irr[reg >> 4 & 7]);
        break;
    case 0x280:
        *val = s->esr;
        break;
    case 0x300:
        *val = (uint32_t)s->icr;
        break;
    case 0x310:
        *val = (uint32_t)(s->icr >> 32);
        break;
    case 0x320 ... 0x370:
        *val = reg_get(&s->lvt[(reg - 0x320) >> 4]);
        break;
    case 0x380:
        *val = lapic_timer_read(s, false);
        break;
    case 0x390:
        *val = lapic_timer_read(s, true);
        break;
    case 0x3e0:
        *val = s->divide;
        break;
    default:
        return false;
    }
    return true;
}

/* lapic_reg_write - registers that xAPIC and x2APIC share; false when there is none. */
static bool lapic_reg_write(LapicState *s, unsigned reg, uint32_t val)
{
    switch (reg) {
    case 0x080:
        reg_set(&s->tpr, val & 0xff);
        lapic_update(s);
        break;
    case LAPIC_REG_EOI:
        lapic_eoi(s);
        break;
    case 0x0f0:
        lapic_write_svr(s, val);
        break;
    case 0x280: /* "the register is updated with the errors since it was last written" */
        s->esr = __atomic_exchange_n(&s->esr_new, 0, __ATOMIC_SEQ_CST);
        break;
    case 0x320 ... 0x370:
        lapic_write_lvt(s, (reg - 0x320) >> 4, val);
        break;
    case 0x380:
        lapic_timer_set_initial(s, val);
        break;
    case 0x3e0:
        lapic_timer_set_divide(s, val);
        break;
    default:
        return false;
    }
    return true;
}

static LapicState *lapic_of(CpuState *c)
{
    return c->hooks.opaque;
}

uint64_t lapic_mmio_read(CpuState *c, uint64_t offset, unsigned size)
{
    LapicState *s = lapic_of(c);
    uint32_t val = 0;

    if (!lapic_enabled(s) || lapic_x2(s)) {
        return UINT64_MAX; /* the page is not there */
    }
    if ((offset & 0xf) < 4 && !lapic_reg_read(s, offset & 0xff0, &val)) {
        lapic_error(s, ESR_REGISTER);
    }
    return val >> (offset & 3) * 8;
}

void lapic_mmio_write(CpuState *c, uint64_t offset, uint64_t val, unsigned size)
{
    LapicState *s = lapic_of(c);
    uint32_t v = (uint32_t)val;

    if (!lapic_enabled(s) || lapic_x2(s) || (offset & 0xf)) {
        return; /* "all 32-bit registers should be accessed using 128-bit aligned 32-bit stores" */
    }
    trace_lapic_write(c->index, (unsigned)offset, v);
    switch (offset) {
    case 0x020: /* the ID is fixed, as the SDM lets it be */
        break;
    case 0x0d0:
        reg_set(&s->ldr, v & 0xff000000);
        break;
    case 0x0e0:
        reg_set(&s->dfr, v | 0x0fffffff);
        break;
    case LAPIC_REG_ICR:
        s->icr = (s->icr & 0xffffffff00000000ull) | (v & 0x000ccfff);
        lapic_send_ipi(s, s->icr);
        break;
    case 0x310:
        s->icr = (uint32_t)s->icr | (uint64_t)(v & 0xff000000) << 32;
        break;
    default:
        if (!lapic_reg_write(s, (unsigned)offset, v)) {
            lapic_error(s, ESR_REGISTER);
        }
        break;
    }
}

/* ---- MSRs ---- */

/* "x2APIC Register Address Space": readable ones are those of the page, ICR as 64 bits. */
static bool x2apic_read(LapicState *s, uint32_t msr, uint64_t *val)
{
    uint32_t v;

    if (msr == 0x830) {
        *val = s->icr;
        return true;
    }
    if (msr == 0x831 || msr == 0x80e || msr == 0x809 ||
        !lapic_reg_read(s, (msr - 0x800) << 4, &v)) {
        return false;
    }
    *val = v;
    return true;
}

static bool x2apic_write(LapicState *s, uint32_t msr, uint64_t val)
{
    trace_lapic_write(s->cpu->index, (msr - 0x800) << 4, (uint32_t)val);
    switch (msr) {
    case 0x830:
        if (val & 0xfff33000ull) {
            return false;
        }
        s->icr = val;
        lapic_send_ipi(s, val);
        return true;
    case 0x83f: /* SELF IPI */
        if (val > 0xff) {
            return false;
        }
        if (val < 16) {
            lapic_error(s, ESR_SEND_ILLEGAL);
        } else {
            lapic_accept(s, (unsigned)val, false);
        }
        return true;
    case 0x808:
        return val <= 0xff && lapic_reg_write(s, 0x080, (uint32_t)val);
    case 0x80b: /* "WRMSR of a non-zero value causes #GP(0)" */
    case 0x828:
        return val == 0 && lapic_reg_write(s, (msr - 0x800) << 4, 0);
    case 0x80f:
    case 0x832 ... 0x838:
    case 0x83e:
        return val <= UINT32_MAX && lapic_reg_write(s, (msr - 0x800) << 4, (uint32_t)val);
    default:
        return false;
    }
}

static void lapic_reset_regs(LapicState *s);

/* lapic_write_base - "Local x2APIC State Transitions": which of them are allowed. */
static bool lapic_write_base(LapicState *s, uint64_t val)
{
    uint64_t was = lapic_base(s);
    uint64_t mode = val & (BASE_ENABLE | BASE_X2APIC);
    uint64_t old = was & (BASE_ENABLE | BASE_X2APIC);
    uint64_t reserved = ~(BIT64(s->cpu->phys_bits) - 1) | 0x2ffull;

    if (!cpu_has(s->cpu, FEAT_X2APIC)) {
        reserved |= BASE_X2APIC;
    }
    if (!cpu_has(s->cpu, FEAT_APIC)) {
        reserved |= BASE_ENABLE;
    }
    if ((val & reserved) || mode == BASE_X2APIC) {
        return false;
    }
    if ((old == 0 && mode == (BASE_ENABLE | BASE_X2APIC)) ||
        (old == (BASE_ENABLE | BASE_X2APIC) && mode == BASE_ENABLE)) {
        return false;
    }
    __atomic_store_n(&s->apic_base, val, __ATOMIC_SEQ_CST);
    lapic_page_place(s);
    if (mode == 0 && old != 0) {
        lapic_reset_regs(s);
    }
    lapic_update(s);
    return true;
}

static bool lapic_rdmsr(CpuState *c, uint32_t msr, uint64_t *val)
{
    LapicState *s = lapic_of(c);

    switch (msr) {
    case 0x1b:
        *val = lapic_base(s);
        return true;
    case 0x6e0:
        if (!cpu_has(c, FEAT_TSC_DEADLINE)) {
            return false;
        }
        *val = lapic_timer_deadline(s);
        return true;
    case 0x800 ... 0x8ff:
        return lapic_x2(s) && x2apic_read(s, msr, val);
    default:
        return false;
    }
}

static bool lapic_wrmsr(CpuState *c, uint32_t msr, uint64_t val)
{
    LapicState *s = lapic_of(c);

    switch (msr) {
    case 0x1b:
        return lapic_write_base(s, val);
    case 0x6e0:
        if (!cpu_has(c, FEAT_TSC_DEADLINE)) {
            return false;
        }
        lapic_timer_set_deadline(s, val);
        return true;
    case 0x800 ... 0x8ff:
        return lapic_x2(s) && x2apic_write(s, msr, val);
    default:
        return false;
    }
}

/* ---- the processor's other hooks ---- */

static int lapic_ack(CpuState *c)
{
    LapicState *s = lapic_of(c);
    int v = lapic_vector(s);
    bool lock;

    if (v >= 0) { /* ISR before IRR: a sender in between sees the new PPR or leaves a new IRR */
        bits_set(s->isr, (unsigned)v);
        bits_clear(s->irr, (unsigned)v);
    } else if (lapic_extint(s) && s->bus->pic_ack != NULL) {
        lock = !machine_lock_held();
        if (lock) {
            machine_lock();
        }
        if (lapic_extint(s)) { /* the PIC may have withdrawn it */
            reg_set(&s->extint, 0);
            v = (int)s->bus->pic_ack(s->bus->pic);
        }
        if (lock) {
            machine_unlock();
        }
    }
    lapic_update(s);
    trace_lapic_ack(c->index, v);
    return v;
}

static uint8_t lapic_get_cr8(CpuState *c)
{
    return (uint8_t)(reg_get(&lapic_of(c)->tpr) >> 4);
}

static void lapic_set_cr8(CpuState *c, uint8_t val)
{
    LapicState *s = lapic_of(c);

    reg_set(&s->tpr, (uint32_t)(val & 0xf) << 4);
    lapic_update(s);
}

/* lapic_reset_regs - "Local APIC State After Power-Up or Reset", which INIT shares but for the
 * base MSR and the ID. */
static void lapic_reset_regs(LapicState *s)
{
    for (unsigned i = 0; i < 8; i++) {
        reg_set(&s->irr[i], 0);
        reg_set(&s->isr[i], 0);
        reg_set(&s->tmr[i], 0);
    }
    for (unsigned i = 0; i < LVT_COUNT; i++) {
        reg_set(&s->lvt[i], LVT_MASKED);
    }
    reg_set(&s->tpr, 0);
    reg_set(&s->svr, 0xff);
    reg_set(&s->ldr, 0);
    reg_set(&s->dfr, 0xffffffff);
    reg_set(&s->esr_new, 0);
    reg_set(&s->extint, 0);
    s->esr = 0;
    s->icr = 0;
    lapic_timer_reset(s);
    lapic_update(s);
}

static void lapic_init_done(CpuState *c)
{
    lapic_reset_regs(lapic_of(c));
}

/* ---- wiring ---- */

static void lapic_set_lint0(void *opaque, unsigned n, int level)
{
    LapicState *s = opaque;
    uint32_t was = __atomic_exchange_n(&s->lint0, level != 0, __ATOMIC_SEQ_CST);
    uint32_t lvt = reg_get(&s->lvt[LVT_LINT0]);

    if (was == (level != 0)) {
        return;
    }
    if (level && (lvt >> LVT_MODE_SHIFT & 7) != LAPIC_EXTINT) {
        lapic_local(s, LVT_LINT0);
    }
    lapic_update(s);
}

IrqLine lapic_lint0(Device *dev)
{
    return (IrqLine){ lapic_set_lint0, container_of(dev, LapicState, dev), 0 };
}

void lapic_nmi(Device *dev)
{
    LapicState *s = container_of(dev, LapicState, dev);

    if (!lapic_enabled(s)) {
        cpu_request(s->cpu, REQ_NMI);
    } else {
        lapic_local(s, LVT_LINT1);
    }
}

void lapic_virtual_wire(Device *dev)
{
    LapicState *s = container_of(dev, LapicState, dev);

    lapic_write_svr(s, SVR_ENABLE | 0xff);
    lapic_write_lvt(s, LVT_LINT0, LAPIC_EXTINT << LVT_MODE_SHIFT);
    lapic_write_lvt(s, LVT_LINT1, LAPIC_NMI << LVT_MODE_SHIFT);
}

/* reset_base - IA32_APIC_BASE; a processor that has no APIC is one whose APIC is off for good: LINT0 is its INTR. */
static uint64_t reset_base(const CpuState *c)
{
    return LAPIC_BASE | (cpu_has(c, FEAT_APIC) ? BASE_ENABLE : 0) | (c->index == 0 ? BASE_BSP : 0);
}

void lapic_connect(Device *dev, LapicBus *bus, CpuState *c)
{
    LapicState *s = container_of(dev, LapicState, dev);

    s->cpu = c;
    s->bus = bus;
    lapic_timer_init(s);
    lapic_page_init(s);
    s->apic_base = reset_base(c);
    lapic_reset_regs(s);
    lapic_bus_join(bus, s);
    c->hooks.opaque = s;
    c->hooks.ack_interrupt = lapic_ack;
    c->hooks.get_cr8 = lapic_get_cr8;
    c->hooks.set_cr8 = lapic_set_cr8;
    c->hooks.apic_rdmsr = lapic_rdmsr;
    c->hooks.apic_wrmsr = lapic_wrmsr;
    c->hooks.init_done = lapic_init_done;
}

static void lapic_unrealize(Device *dev)
{
    LapicState *s = container_of(dev, LapicState, dev);

    if (s->cpu != NULL) {
        s->cpu->hooks = (CpuHooks){ 0 };
        lapic_timer_fini(s);
        lapic_page_remove(s);
    }
}

/* Processors are stopped during a reset of the board. */
static void lapic_reset(Device *dev)
{
    LapicState *s = container_of(dev, LapicState, dev);

    if (s->cpu == NULL) {
        return;
    }
    __atomic_store_n(&s->apic_base, reset_base(s->cpu), __ATOMIC_SEQ_CST);
    lapic_page_place(s);
    lapic_reset_regs(s);
}

static const StateField lapic_fields[] = {
    STATE_U64(LapicState, apic_base), STATE_BYTES(LapicState, irr), STATE_BYTES(LapicState, isr),
    STATE_BYTES(LapicState, tmr), STATE_U32(LapicState, tpr), STATE_U32(LapicState, svr),
    STATE_U32(LapicState, ldr), STATE_U32(LapicState, dfr), STATE_BYTES(LapicState, lvt),
    STATE_U32(LapicState, esr_new), STATE_U32(LapicState, lint0), STATE_U32(LapicState, extint),
    STATE_U32(LapicState, esr), STATE_U64(LapicState, icr), STATE_U32(LapicState, divide),
    STATE_U32(LapicState, initial), STATE_U64(LapicState, timer_start),
    STATE_U64(LapicState, tsc_deadline), STATE_TIMER(LapicState, timer), STATE_END,
};

static bool lapic_post_load(Device *dev, struct Error **errp)
{
    LapicState *s = container_of(dev, LapicState, dev);

    s->divide &= 0xb;
    s->apic_base &= (BIT64(s->cpu->phys_bits) - 1) & ~0x2ffull & (cpu_has(s->cpu, FEAT_APIC) ? ~0ull : ~BASE_ENABLE);
    lapic_page_place(s);
    lapic_update(s);
    return true;
}

const DeviceClass lapic_class = {
    .name = "apic",
    .desc = "local APIC",
    .size = sizeof(LapicState),
    .unrealize = lapic_unrealize,
    .reset = lapic_reset,
    .fields = lapic_fields,
    .post_load = lapic_post_load,
    .info = lapic_info,
};
