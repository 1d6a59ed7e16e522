/*
 * Interrupt lines: see irq.h.
 */
#include "bus/irq.h"

__thread IrqCount irq_count;
bool irq_watched;

static IrqWatch *watches; /* under the machine lock */

void irq_watch(IrqWatch *w, bool on)
{
    IrqWatch **at = &watches;

    while (*at != NULL && *at != w) {
        at = &(*at)->next;
    }
    if (on && *at == NULL) {
        w->next = NULL;
        *at = w;
    } else if (!on && *at != NULL) {
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
