/*
 * The human monitor: what is logged, and where.
 */
#include "monitor/hmp-internal.h"

#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/trace.h"

void hmp_log(HmpSession *m, FILE *out, const Args *a)
{
    autofree char *items = xstrdup(arg_str(a, "items") != NULL ? arg_str(a, "items") : "help");
    unsigned bits = 0, some;
    Error *err = NULL;

    if (strcmp(items, "help") == 0 || strcmp(items, "?") == 0) {
        log_help(out);
        return;
    }
    if (strcmp(items, "none") == 0) {
        log_mask_bits = 0;
        return;
    }
    for (char *save, *w = strtok_r(items, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) {
        if (strncmp(w, "trace:", 6) == 0 ? !trace_enable(w + 6, true, &err)
                                         : !log_parse(w, &some, &err)) {
            hmp_error(out, err);
            return;
        }
        bits |= strncmp(w, "trace:", 6) == 0 ? 0 : some;
    }
    log_mask_bits = bits;
}

void hmp_logfile(HmpSession *m, FILE *out, const Args *a)
{
    Error *err = NULL;

    log_open(arg_str(a, "filename"), &err);
    hmp_error(out, err);
}

void hmp_trace_event(HmpSession *m, FILE *out, const Args *a)
{
    Error *err = NULL;

    trace_enable(arg_str(a, "name"), arg_bool(a, "enable", false), &err);
    hmp_error(out, err);
}

void hmp_info_trace_events(HmpSession *m, FILE *out, const Args *a)
{
    const char *pattern = arg_str(a, "name");

    for (TraceEvent *const *e = trace_events; *e != NULL; e++) {
        if (pattern == NULL || strstr((*e)->name, pattern) != NULL) {
            fprintf(out, "%s : state %u\n", (*e)->name, (*e)->on);
        }
    }
}
