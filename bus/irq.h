/*
 * Interrupt lines: a wire from a device to an input of another. Setting a level calls the sink.
 */
#ifndef BUS_IRQ_H
#define BUS_IRQ_H

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

/* What became of edges: how many an interrupt controller noted, and how many it could not, since an earlier one still
 * waited there. Timers that make up for ticks that nobody saw compare before and after. Of the calling thread. */
typedef struct IrqCount {
    unsigned taken, merged;
} IrqCount;
extern __thread IrqCount irq_count;

static inline void irq_pulse(const IrqLine *line)
{
    irq_set(line, 1);
    irq_set(line, 0);
}

#endif
