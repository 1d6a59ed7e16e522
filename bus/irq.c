/*
 * Interrupt lines: see irq.h.
 */
#include "bus/irq.h"

__thread IrqCount irq_count;
bool irq_watched;

static IrqWatch *watches; /* under the machine lock */

void irq_watch_init(IrqWatch *w, void (*fn)(void *opaque), void *opaque)
{
    static unsigned made;

    *w = (IrqWatch){ .fn = fn, .opaque = opaque, .order = made++ };
}

void irq_watch(IrqWatch *w, bool on)
{
    IrqWatch **at = &watches;

    while (*at != NULL && (*at)->order < w->order) {
        at = &(*at)->next;
    }
    if (on && *at != w) {
        w->next = *at;
        *at = w;
    } else if (!on && *at == w) {
        *at = w->next;
    }
    __atomic_store_n(&irq_watched, watches != NULL, __ATOMIC_RELAXED);
}

void irq_tell_done(void)
{
    for (IrqWatch *w = watches, *next; w != NULL; w = next) {
        next = w->next; /* it may go */
        w->fn(w->opaque);
    }
}
