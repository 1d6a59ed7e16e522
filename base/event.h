/*
 * Things that happen and that somebody above wants to hear of (QMP sends them to its clients): the machine
 * stopped, a tray moved, a viewer came. Whoever makes them happen knows nothing of who listens.
 */
#ifndef BASE_EVENT_H
#define BASE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum EventType {
    EVENT_END,
    EVENT_STR,
    EVENT_INT,
    EVENT_BOOL,
} EventType;

/* A member of what an event tells. A dot in its name puts it into a member of its own: "server.host". */
typedef struct EventField {
    EventType type;
    const char *name;
    const char *s; /* EVENT_STR; NULL leaves the member out */
    int64_t i;     /* the others */
} EventField;

#define EV_STR(n, v) { .type = EVENT_STR, .name = (n), .s = (v) }
#define EV_INT(n, v) { .type = EVENT_INT, .name = (n), .i = (v) }
#define EV_BOOL(n, v) { .type = EVENT_BOOL, .name = (n), .i = (v) }
#define EV_END { .type = EVENT_END }

enum { EVENT_FIELDS_MAX = 12 };

typedef struct Event {
    const char *name;      /* constant: "STOP" */
    int64_t when;          /* CLK_HOST */
    EventField fields[EVENT_FIELDS_MAX]; /* up to EVENT_END; texts are the event's */
} Event;

/* event_emit - @name happened; @fields (NULL: none) are copied. Any thread. Listeners hear of it on the loop
 * thread: at once where this is it, else soon, in order. Nothing without a listener. */
void event_emit(const char *name, const EventField *fields);

/* event_listen - @fn is called for each event from now on. Loop thread; it may hold the machine lock. */
void event_listen(void (*fn)(void *opaque, const Event *e), void *opaque);

#endif
