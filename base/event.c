/*
 * Events: see event.h. One listener is enough so far: QMP, which has the list of its clients.
 */
#include "base/event.h"

#include <assert.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"

/* Set before other threads exist, or by the loop thread before events matter. */
static void (*listener)(void *opaque, const Event *e);
static void *listener_opaque;

void event_listen(void (*fn)(void *opaque, const Event *e), void *opaque)
{
    listener_opaque = opaque;
    __atomic_store_n(&listener, fn, __ATOMIC_RELEASE);
}

static void deliver(void *opaque)
{
    Event *e = opaque;

    listener(listener_opaque, e);
    for (unsigned n = 0; e->fields[n].type != EVENT_END; n++) {
        free((char *)e->fields[n].s);
    }
    free(e);
}

void event_emit(const char *name, const EventField *fields)
{
    unsigned n = 0;
    Event *e;

    if (__atomic_load_n(&listener, __ATOMIC_ACQUIRE) == NULL) {
        return;
    }
    e = xnew(Event);
    e->name = name;
    e->when = clock_now(CLK_HOST);
    for (; fields != NULL && fields[n].type != EVENT_END; n++) {
        assert(n < EVENT_FIELDS_MAX - 1);
        e->fields[n] = fields[n];
        e->fields[n].s = xstrdup(fields[n].s);
    }
    if (loop_thread()) {
        deliver(e);
    } else {
        loop_post_always(deliver, e);
    }
}
