/*
 * Ticks that a guest did not see, made up for: of a periodic timer whose interrupt is an edge.
 *
 * An edge is lost when the one before it still waits in an interrupt controller (the guest's processor had none of the
 * host's), or when the loop was late and several were due at once. A system that counts ticks then loses time for
 * good. They are delivered later instead, each after an end of interrupt: docs/decisions/015-lost-ticks.md.
 *
 * Machine lock held in every call.
 */
#ifndef HW_TIMER_LOST_TICKS_H
#define HW_TIMER_LOST_TICKS_H

#include <stdbool.h>
#include <stdint.h>
#include "bus/irq.h"
#include "bus/state.h"

struct Error;

#define LOST_TICKS_MAX 65536u /* to make up for at most: four minutes at 250 Hz */

typedef struct LostTicks {
    bool delay;      /* lost_tick_policy=delay; constant after realize */
    uint32_t lost;   /* to make up for */
    uint32_t masked; /* lost while the guest kept the line masked: to make up for if that was not for long */
    int64_t period;  /* ns, of the tick that was last */
    int64_t next;    /* virtual ns: not sooner */
    IrqWatch watch;
    void (*pulse)(void *opaque);
    void *opaque;
} LostTicks;

extern const StateField lost_ticks_fields[];

/* lost_ticks_init - from realize: @policy is the property lost_tick_policy (discard or delay; @who for the message).
 * @pulse(@opaque) makes one edge more and tells lost_ticks_seen() of it. */
bool lost_ticks_init(LostTicks *t, const char *policy, const char *who, void (*pulse)(void *opaque), void *opaque,
                     struct Error **errp);

/* lost_ticks_seen - an edge was made: what became of it says irq_count, which was @before it. The timer ticks every
 * @period_ns (above 0). */
void lost_ticks_seen(LostTicks *t, IrqCount before, int64_t period_ns);

/* lost_ticks_late - @count edges were due and will not be made. */
void lost_ticks_late(LostTicks *t, uint64_t count);

/* lost_ticks_clear - the tick ended, or another began: nothing to make up for. Also reset and unrealize. */
void lost_ticks_clear(LostTicks *t);

/* lost_ticks_loaded - from post_load: bring @t within its bounds. */
void lost_ticks_loaded(LostTicks *t);

#endif
