/* Shared by the files of the local APIC: lapic.c, lapic-bus.c and lapic-timer.c. See lapic.c. */
#ifndef HW_INTC_LAPIC_INTERNAL_H
#define HW_INTC_LAPIC_INTERNAL_H

#include <pthread.h>
#include "base/clock.h"
#include "base/mem.h"
#include "bus/memory.h"
#include "cpu/cpu.h"
#include "hw/intc/lapic.h"

enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };
#define LVT_VECTOR 0xffu
#define LVT_MODE_SHIFT 8
#define LVT_REMOTE_IRR BIT(14)
#define LVT_LEVEL BIT(15)
#define LVT_MASKED BIT(16)
#define LVT_TIMER_SHIFT 17

#define SVR_ENABLE BIT(8)
#define BASE_BSP BIT64(8)
#define BASE_X2APIC BIT64(10)
#define BASE_ENABLE BIT64(11)

/* "Error Status Register (ESR)" */
#define ESR_SEND_ILLEGAL BIT(5)
#define ESR_RECV_ILLEGAL BIT(6)
#define ESR_REGISTER BIT(7)

typedef struct LapicState LapicState;

struct LapicState {
    Device dev;
    CpuState *cpu;  /* wiring, constant after realize */
    LapicBus *bus;
    IoRegion page;  /* the registers, where IA32_APIC_BASE moved them; machine lock */
    /* atomics, any thread */
    uint64_t apic_base;
    uint32_t irr[8], isr[8], tmr[8];
    uint32_t tpr, svr, ldr, dfr;
    uint32_t lvt[LVT_COUNT];
    uint32_t esr_new; /* errors since ESR was written */
    uint32_t lint0;   /* level of the PIC's INTR */
    uint32_t extint;  /* an ExtINT message waits (I/O APIC in virtual wire mode) */
    /* own thread */
    uint32_t esr;
    uint64_t icr;
    /* under timer_lock */
    pthread_mutex_t timer_lock;
    Timer timer;
    uint32_t divide;        /* divide configuration register */
    uint32_t initial;       /* initial count */
    int64_t timer_start;    /* virtual ns at which the count was `initial` */
    uint64_t tsc_deadline;
};

struct LapicBus {
    IoRegion io;
    unsigned count, max; /* constant after the board is built */
    LapicState **lapics;
    unsigned eoi_count;
    struct {
        void (*fn)(void *opaque, unsigned vector);
        void *opaque;
    } eoi[4];
    unsigned (*pic_ack)(Device *pic);
    Device *pic;
};

static inline uint32_t reg_get(const uint32_t *r)
{
    return __atomic_load_n(r, __ATOMIC_SEQ_CST);
}
static inline void reg_set(uint32_t *r, uint32_t val)
{
    __atomic_store_n(r, val, __ATOMIC_SEQ_CST);
}
static inline uint64_t lapic_base(const LapicState *s)
{
    return __atomic_load_n(&s->apic_base, __ATOMIC_SEQ_CST);
}
static inline bool lapic_enabled(const LapicState *s)
{
    return (lapic_base(s) & BASE_ENABLE) != 0;
}
static inline bool lapic_x2(const LapicState *s)
{
    return (lapic_base(s) & (BASE_ENABLE | BASE_X2APIC)) == (BASE_ENABLE | BASE_X2APIC);
}
static inline bool lapic_soft_enabled(const LapicState *s)
{
    return lapic_enabled(s) && (reg_get(&s->svr) & SVR_ENABLE);
}

static inline void bits_set(uint32_t *words, unsigned v)
{
    __atomic_fetch_or(&words[v >> 5], BIT(v & 31), __ATOMIC_SEQ_CST);
}
static inline void bits_clear(uint32_t *words, unsigned v)
{
    __atomic_fetch_and(&words[v >> 5], ~BIT(v & 31), __ATOMIC_SEQ_CST);
}
static inline bool bits_test(const uint32_t *words, unsigned v)
{
    return reg_get(&words[v >> 5]) >> (v & 31) & 1;
}
/* bits_highest - highest bit set, -1 for none. */
static inline int bits_highest(const uint32_t *words)
{
    for (int i = 7; i >= 0; i--) {
        uint32_t w = reg_get(&words[i]);

        if (w != 0) {
            return i * 32 + 31 - __builtin_clz(w);
        }
    }
    return -1;
}

/* lapic.c */

/* lapic_ppr - the processor priority register. */
uint32_t lapic_ppr(const LapicState *s);
/* lapic_update - bring REQ_INTR in line with the registers. Any thread. */
void lapic_update(LapicState *s);
/* lapic_accept - a fixed or lowest-priority interrupt arrives. "Interrupt Acceptance" */
bool lapic_accept(LapicState *s, unsigned vector, bool level);
/* lapic_local - a source of the local vector table fires. Any thread. */
void lapic_local(LapicState *s, unsigned n);
/* lapic_error - "Error Handling": note it, and tell through the error LVT. */
void lapic_error(LapicState *s, uint32_t bit);

/* lapic-info.c: for the class. */
void lapic_info(Device *dev, const char *topic, FILE *out);

/* lapic-bus.c */

/* lapic_send_ipi - "Interrupt Command Register (ICR)", after its low half was written. */
void lapic_send_ipi(LapicState *s, uint64_t icr);
/* lapic_bus_eoi - tell the I/O APICs of the end of a level interrupt (@vector; -1: an edge), and whoever waits for the
 * end of any; takes the machine lock if need be. */
void lapic_bus_eoi(LapicBus *bus, int vector);
/* lapic_page_init - before the device is used. lapic_page_place - IA32_APIC_BASE may have changed: map
 * or unmap the page; takes the machine lock if need be. lapic_page_remove - machine lock held. */
void lapic_page_init(LapicState *s);
void lapic_page_place(LapicState *s);
void lapic_page_remove(LapicState *s);
/* lapic_bus_join - one more local APIC. */
void lapic_bus_join(LapicBus *bus, LapicState *s);

/* lapic-timer.c; all of the processor's own thread */

void lapic_timer_init(LapicState *s);
void lapic_timer_fini(LapicState *s);
void lapic_timer_reset(LapicState *s);
void lapic_timer_set_initial(LapicState *s, uint32_t val);
void lapic_timer_set_divide(LapicState *s, uint32_t val);
/* lapic_timer_set_lvt - a change into or out of TSC-deadline mode disarms the timer. */
void lapic_timer_set_lvt(LapicState *s, uint32_t val);
/* "TSC-Deadline Mode" */
void lapic_timer_set_deadline(LapicState *s, uint64_t tsc);
uint64_t lapic_timer_deadline(LapicState *s);
/* lapic_timer_read - the current count, or the initial one. */
uint32_t lapic_timer_read(LapicState *s, bool current);

#endif
