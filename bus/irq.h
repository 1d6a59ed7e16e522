/*
 * Interrupt lines: a wire from a device to an input of another. Setting a level calls the sink.
 */
#ifndef BUS_IRQ_H
#define BUS_IRQ_H

#include <stdbool.h>
#include <stddef.h>

typedef void IrqFn(void *opaque, unsigned n, int level);

typedef struct IrqLine {
    IrqFn *fn; /* NULL: not connected, level changes go nowhere */
    void *opaque;
    unsigned n;
} IrqLine;

/* irq_set - drive the line to @level (0 or 1). Machine lock held. */
static inline void irq_set(const IrqLine *line, int level)
{
    if (line->fn != NULL) {
        line->fn(line->opaque, line->n, level);
    }
}

/* What became of edges, as interrupt controllers tell: noted; merged into an earlier one that still waited; or without
 * effect, since the guest had the line masked. One that several controllers get counts as the best of it. Timers that
 * make up for ticks that nobody saw compare before and after. Of the calling thread. */
typedef struct IrqCount {
    unsigned taken, merged, masked;
} IrqCount;
extern __thread IrqCount irq_count;

/* Who waits for the guest to have time for an interrupt more. */
typedef struct IrqWatch {
    void (*fn)(void *opaque); /* may only remove its own watch */
    void *opaque;
    unsigned order;        /* of irq_watch_init: who is told first */
    struct IrqWatch *next; /* owned by bus/irq.c */
} IrqWatch;

/* irq_watch_init - once for each watch, in the order in which they are to be told: it must be the same in each
 * process that runs this machine, whichever of them a saved state passes through. Machine lock held. */
void irq_watch_init(IrqWatch *w, void (*fn)(void *opaque), void *opaque);

/* irq_watch - call @w's function after each end of interrupt from now on, or no longer. Machine lock held. */
void irq_watch(IrqWatch *w, bool on);

/* irq_tell_done - interrupt controllers: the guest ended an interrupt. Machine lock held. Needless while not
 * irq_done_wanted(), which any thread may ask: a watch that comes meanwhile waits for the next end. */
void irq_tell_done(void);
extern bool irq_watched;

static inline bool irq_done_wanted(void)
{
    return __builtin_expect(__atomic_load_n(&irq_watched, __ATOMIC_RELAXED), 0);
}

static inline void irq_pulse(const IrqLine *line)
{
    irq_set(line, 1);
    irq_set(line, 0);
}

#endif
