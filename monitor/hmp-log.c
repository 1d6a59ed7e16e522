/*
 * The human monitor: what is logged, and where.
 */
#include "monitor/hmp-internal.h"

#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/log.h"
#include "base/trace.h"

void hmp_log(HmpSession *m, FILE *out, char *arg)
{
    unsigned bits = 0, some;
    Error *err = NULL;

    if (*arg == 0 || strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0) {
        log_help(out);
        return;
    }
    if (strcmp(arg, "none") == 0) {
        log_mask_bits = 0;
        return;
    }
    for (char *save, *w = strtok_r(arg, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) {
        if (strncmp(w, "trace:", 6) == 0 ? !trace_enable(w + 6, true, &err)
                                         : !log_parse(w, &some, &err)) {
            hmp_error(out, err);
            return;
        }
        bits |= strncmp(w, "trace:", 6) == 0 ? 0 : some;
    }
    log_mask_bits = bits;
}

void hmp_logfile(HmpSession *m, FILE *out, char *arg)
{
    Error *err = NULL;

    if (*arg == 0) {
        hmp_usage(out, "logfile");
        return;
    }
    log_open(arg, &err);
    hmp_error(out, err);
}

void hmp_trace_event(HmpSession *m, FILE *out, char *arg)
{
    const char *name = hmp_word(&arg), *state = hmp_word(&arg);
    Error *err = NULL;

    if (*name == 0 || (strcmp(state, "on") != 0 && strcmp(state, "off") != 0)) {
        hmp_usage(out, "trace-event");
        return;
    }
    trace_enable(name, strcmp(state, "on") == 0, &err);
    hmp_error(out, err);
}

void hmp_info_trace_events(HmpSession *m, FILE *out, char *arg)
{
    const char *pattern = hmp_word(&arg);

    for (TraceEvent *const *e = trace_events; *e != NULL; e++) {
        if (*pattern == 0 || strstr((*e)->name, pattern) != NULL) {
            fprintf(out, "%s : state %u\n", (*e)->name, (*e)->on);
        }
    }
}
