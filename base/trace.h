/*
 * Trace events. Each folder's `trace-events` file lists its events; scripts/mktrace makes
 * `#include "<folder>/trace.h"` of it, with one inline function trace_NAME() an event. An event
 * that is off costs a load and a branch. `-trace 'rtc_*'` turns events on; the lines go to the log.
 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdbool.h>
#include <stdio.h>

struct Error;

typedef struct TraceEvent {
    const char *name;
    bool on; /* read without a lock; a late reader only misses a line */
} TraceEvent;

/* All events, NULL-terminated; made by scripts/mktrace. */
extern TraceEvent *const trace_events[];

/* trace_emit - write one line for an event that is on. Called by the generated functions. */
void trace_emit(const TraceEvent *ev, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* trace_enable - switch all events that match @pattern ('*', '?'; a leading '-' turns off, as in
 * an events file). False when the pattern matches none. Any thread. */
bool trace_enable(const char *pattern, bool on, struct Error **errp);

/* trace_enable_file - the patterns in @path, one a line, '#' for comments. */
bool trace_enable_file(const char *path, struct Error **errp);

/* trace_option - what -trace says: "[enable=]pattern[,events=file][,file=file]". */
bool trace_option(const char *text, struct Error **errp);

/* trace_list - the names of all events, for `-trace help`. */
void trace_list(FILE *out);

#endif
