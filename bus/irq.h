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

static inline void irq_pulse(const IrqLine *line)
{
    irq_set(line, 1);
    irq_set(line, 0);
}

#endif
