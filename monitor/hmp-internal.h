/*
 * Inside the human monitor: a session, and what commands share.
 */
#ifndef MONITOR_HMP_INTERNAL_H
#define MONITOR_HMP_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "monitor/command.h"

struct CpuState;
struct Error;

/* One monitor's state that commands see. */
typedef struct HmpSession {
    unsigned cpu; /* number of the current processor */
    const struct LineEdit *history; /* NULL: nobody types */
    /* A command sets it to be given a line that is typed in secret; called once. */
    void (*ask)(struct HmpSession *m, FILE *out, char *text);
} HmpSession;

/* hmp_execute - run one line. Loop thread without the machine lock. */
void hmp_execute(HmpSession *m, FILE *out, const char *line);

/* hmp_not_here - QEMU has a command (or "info topic") of that name, and doppel not. */
bool hmp_not_here(const char *name);

/* hmp_error - print "Error: ..." as QEMU's parsers expect it, and free @err (NULL: nothing). */
void hmp_error(FILE *out, struct Error *err);

/* hmp_change_vnc - `change vnc`: "password" (NULL: it is asked for), or where to serve. */
void hmp_change_vnc(HmpSession *m, FILE *out, const char *what, const char *password);

/* hmp_expr - the value of the expression at *@text, up to what cannot belong to it or to the mistake, where *@text
 * is put. All processors paused. */
bool hmp_expr(const HmpSession *m, const char **text, uint64_t *val, struct Error **errp);

/* hmp_cpu - the session's current processor. */
struct CpuState *hmp_cpu(const HmpSession *m);

#endif
