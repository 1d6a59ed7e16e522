/*
 * The bus between local APICs: who takes a message, inter-processor interrupts, the register page.
 *
 * Source: Intel SDM vol. 3, "Issuing Interprocessor Interrupts", "Determining IPI Destination".
 */
#include "hw/intc/lapic-internal.h"

#include <stdlib.h>
#include "base/log.h"
#include "bus/lock.h"
#include "hw/intc/trace.h"

/* The processor that this thread runs; defined in accel/. */
extern _Thread_local CpuState *cpu_current;

/* lapic_matches - "Determining IPI Destination" */
static bool lapic_matches(const LapicState *s, const LapicMsg *m)
{
    uint32_t ldr;

    if (!lapic_enabled(s)) {
        return false;
    }
    if (m->dest == LAPIC_BROADCAST) {
        return true;
    }
    if (!m->logical) {
        return m->dest == (lapic_x2(s) ? s->cpu->apic_id : s->cpu->apic_id & 0xff);
    }
    if (lapic_x2(s)) {
        ldr = (s->cpu->apic_id >> 4) << 16 | BIT(s->cpu->apic_id & 15);
        return m->dest >> 16 == ldr >> 16 && (m->dest & ldr & 0xffff);
    }
    ldr = reg_get(&s->ldr) >> 24;
    if (m->dest > 0xff) {
        return false;
    }
    switch (reg_get(&s->dfr) >> 28) {
    case 0xf: /* flat */
        return (ldr & m->dest) != 0;
    case 0x0: /* cluster */
        return ((m->dest >> 4) == 0xf || m->dest >> 4 == ldr >> 4) && (ldr & m->dest & 0xf);
    default:
        return false;
    }
}

static bool lapic_take(LapicState *s, const LapicMsg *m)
{
    switch (m->mode) {
    case LAPIC_FIXED:
    case LAPIC_LOWEST:
        return lapic_accept(s, m->vector, m->level);
    case LAPIC_SMI:
        cpu_request(s->cpu, REQ_SMI);
        return true;
    case LAPIC_NMI:
        cpu_request(s->cpu, REQ_NMI);
        return true;
    case LAPIC_INIT:
        cpu_request_init(s->cpu);
        return true;
    case LAPIC_STARTUP:
        __atomic_store_n(&s->cpu->sipi_vector, m->vector, __ATOMIC_SEQ_CST);
        cpu_request(s->cpu, REQ_SIPI);
        return true;
    case LAPIC_EXTINT:
        reg_set(&s->extint, 1);
        lapic_update(s);
        return true;
    default:
        return false;
    }
}

/* lapic_deliver_lowest - "Lowest Priority Delivery Mode": to the least busy of those named. */
static bool lapic_deliver_lowest(LapicBus *bus, const LapicMsg *m)
{
    LapicState *best = NULL;
    uint32_t best_ppr = 0;

    for (unsigned i = 0; i < bus->count; i++) {
        LapicState *s = bus->lapics[i];

        if (lapic_soft_enabled(s) && lapic_matches(s, m)) {
            uint32_t ppr = lapic_ppr(s);

            if (best == NULL || ppr < best_ppr) {
                best = s;
                best_ppr = ppr;
            }
        }
    }
    return best != NULL && lapic_take(best, m);
}

bool lapic_deliver(LapicBus *bus, const LapicMsg *m)
{
    bool taken = false;

    if (m->mode == LAPIC_LOWEST) {
        return lapic_deliver_lowest(bus, m);
    }
    for (unsigned i = 0; i < bus->count; i++) {
        if (lapic_matches(bus->lapics[i], m)) {
            taken |= lapic_take(bus->lapics[i], m);
        }
    }
    return taken;
}

void lapic_msi(LapicBus *bus, uint64_t addr, uint32_t data)
{
    LapicMsg m = {
        .dest = addr >> 12 & 0xff,
        .logical = (addr & 4) != 0,
        .mode = data >> 8 & 7,
        .vector = data & 0xff,
        .level = (data & BIT(15)) != 0,
    };

    if (m.dest == 0xff) {
        m.dest = LAPIC_BROADCAST;
    }
    lapic_deliver(bus, &m);
}

void lapic_send_ipi(LapicState *s, uint64_t icr)
{
    unsigned shorthand = icr >> 18 & 3;
    LapicMsg m = {
        .dest = (uint32_t)(lapic_x2(s) ? icr >> 32 : icr >> 56),
        .logical = (icr & BIT(11)) != 0,
        .mode = icr >> 8 & 7,
        .vector = icr & 0xff,
        .level = false, /* "Trigger mode": for INIT de-assert only; fixed IPIs are edge */
    };

    trace_lapic_ipi(s->cpu->index, icr);
    if (!lapic_x2(s) && m.dest == 0xff) {
        m.dest = LAPIC_BROADCAST;
    }
    if (m.mode == LAPIC_INIT && (icr & BIT(15)) && !(icr & BIT(14))) {
        return; /* INIT level de-assert: of no effect since the Pentium 4 */
    }
    if (m.mode <= LAPIC_LOWEST && m.vector < 16) {
        lapic_error(s, ESR_SEND_ILLEGAL);
        return;
    }
    if (m.mode == LAPIC_EXTINT) {
        return; /* reserved in the ICR */
    }
    switch (shorthand) {
    case 0:
        lapic_deliver(s->bus, &m);
        return;
    case 1: /* self: fixed only */
        if (m.mode == LAPIC_FIXED) {
            lapic_take(s, &m);
        }
        return;
    default:
        break;
    }
    m.dest = LAPIC_BROADCAST;
    for (unsigned i = 0; i < s->bus->count; i++) {
        LapicState *t = s->bus->lapics[i];

        if (lapic_enabled(t) && (t != s || shorthand == 2)) {
            lapic_take(t, &m);
        }
    }
}

void lapic_bus_eoi(LapicBus *bus, int vector)
{
    bool lock = !machine_lock_held();

    if (lock) {
        machine_lock();
    }
    for (unsigned i = 0; vector >= 0 && i < bus->eoi_count; i++) {
        bus->eoi[i].fn(bus->eoi[i].opaque, (unsigned)vector);
    }
    if (irq_done_wanted()) {
        irq_tell_done();
    }
    if (lock) {
        machine_unlock();
    }
}

void lapic_bus_join(LapicBus *bus, LapicState *s)
{
    if (bus->count < bus->max) {
        bus->lapics[bus->count++] = s;
    }
}

/* ---- the page ---- */

/* A page answers to the processors whose IA32_APIC_BASE says that it is theirs. */
static CpuState *lapic_page_owner(const IoRegion *page)
{
    CpuState *c = cpu_current;

    if (c == NULL || c->hooks.opaque == NULL ||
        (lapic_base(c->hooks.opaque) & ~0xfffull) != page->base) {
        return NULL;
    }
    return c;
}

static uint64_t lapic_page_read(void *opaque, uint64_t offset, unsigned size)
{
    CpuState *c = lapic_page_owner(opaque);

    return c != NULL ? lapic_mmio_read(c, offset, size) : UINT64_MAX;
}

static void lapic_page_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    CpuState *c = lapic_page_owner(opaque);

    if (c != NULL) {
        lapic_mmio_write(c, offset, val, size);
    }
}

static const IoOps lapic_page_ops = {
    .read = lapic_page_read, .write = lapic_page_write, .max_size = 4, .lockless = true,
};

#define PAGE_PRIORITY 20 /* above RAM and what bridges map over it; then one each for moved pages */

void lapic_page_init(LapicState *s)
{
    io_region_init(&s->page, &lapic_page_ops, &s->page, "apic-moved", 0x1000);
}

void lapic_page_remove(LapicState *s)
{
    mem_unmap(&s->page);
}

/* "Relocating the Local APIC Registers" */
void lapic_page_place(LapicState *s)
{
    uint64_t base = lapic_base(s) & ~0xfffull;
    bool want = lapic_enabled(s) && !lapic_x2(s) && base != LAPIC_BASE, lock;

    if (s->page.mapped == want && (!want || s->page.base == base)) {
        return;
    }
    lock = !machine_lock_held();
    if (lock) {
        machine_lock();
    }
    mem_begin();
    mem_unmap(&s->page);
    if (want && !mem_map(&s->page, base, PAGE_PRIORITY + 1 + (int)s->cpu->index, false, NULL)) {
        log_guest("lapic: no room for the page at 0x%llx\n", (unsigned long long)base);
    }
    mem_commit();
    if (lock) {
        machine_unlock();
    }
}

LapicBus *lapic_bus_new(unsigned cpus)
{
    LapicBus *bus = xnew(LapicBus);

    bus->max = cpus;
    bus->lapics = xnewn(LapicState *, cpus);
    io_region_init(&bus->io, &lapic_page_ops, &bus->io, "apic-msi", 0x1000);
    return bus;
}

void lapic_bus_free(LapicBus *bus)
{
    if (bus != NULL) {
        free(bus->lapics);
        free(bus);
    }
}

void lapic_bus_on_eoi(LapicBus *bus, void (*fn)(void *opaque, unsigned vector), void *opaque)
{
    if (bus->eoi_count < ARRAY_SIZE(bus->eoi)) {
        bus->eoi[bus->eoi_count].fn = fn;
        bus->eoi[bus->eoi_count++].opaque = opaque;
    }
}

void lapic_bus_set_pic(LapicBus *bus, unsigned (*ack)(Device *pic), Device *pic)
{
    bus->pic_ack = ack;
    bus->pic = pic;
}

bool lapic_bus_map(LapicBus *bus, struct Error **errp)
{
    return mem_map(&bus->io, LAPIC_BASE, PAGE_PRIORITY, false, errp);
}

void lapic_bus_unmap(LapicBus *bus)
{
    mem_unmap(&bus->io);
}
