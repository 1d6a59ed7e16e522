/*
 * Trace events: switching them on by pattern, and their lines.
 */
#include "base/trace.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "base/text.h"

void trace_emit(const TraceEvent *ev, const char *fmt, ...)
{
    int64_t us = clock_now(CLK_VIRTUAL) / NS_PER_US;
    va_list ap;

    va_start(ap, fmt);
    log_lock();
    fprintf(log_file(), "%lld.%06lld %s ", (long long)(us / 1000000), (long long)(us % 1000000),
            ev->name);
    vfprintf(log_file(), fmt, ap);
    fputc('\n', log_file());
    log_unlock();
    va_end(ap);
}

bool trace_enable(const char *pattern, bool on, Error **errp)
{
    bool any = false;

    if (pattern[0] == '-') {
        pattern++;
        on = false;
    }
    for (TraceEvent *const *ev = trace_events; *ev != NULL; ev++) {
        if (text_match(pattern, (*ev)->name)) {
            (*ev)->on = on;
            any = true;
        }
    }
    if (!any) {
        Nearest near;
        nearest_init(&near, pattern);
        for (TraceEvent *const *ev = trace_events; *ev != NULL; ev++) {
            nearest_offer(&near, (*ev)->name);
        }
        if (near.best != NULL) {
            error_set(errp, "no trace event matches \"%s\"; did you mean \"%s\"?", pattern,
                      near.best);
        } else {
            error_set(errp, "no trace event matches \"%s\"", pattern);
        }
    }
    return any;
}

bool trace_enable_file(const char *path, Error **errp)
{
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0;
    bool ok = true;

    if (f == NULL) {
        error_set_errno(errp, errno, "cannot open the list of trace events %s", path);
        return false;
    }
    while (ok && getline(&line, &cap, f) >= 0) {
        char *p = line + strspn(line, " \t");
        p[strcspn(p, " \t\r\n#")] = '\0';
        if (*p != '\0') {
            ok = trace_enable(p, true, errp);
        }
    }
    free(line);
    fclose(f);
    return ok;
}

bool trace_option(const char *text, Error **errp)
{
    OptList *l = opt_parse(text, "enable", errp);
    const char *pattern, *events, *file;
    bool ok;

    if (l == NULL) {
        return false;
    }
    pattern = opt_get_str(l, "enable", NULL);
    events = opt_get_str(l, "events", NULL);
    file = opt_get_str(l, "file", NULL);
    ok = opt_done(l, errp) && (file == NULL || log_open(file, errp)) && (pattern == NULL || trace_enable(pattern, true, errp)) &&
         (events == NULL || trace_enable_file(events, errp));
    opt_free(l);
    return ok;
}

void trace_list(FILE *out)
{
    for (TraceEvent *const *ev = trace_events; *ev != NULL; ev++) {
        fprintf(out, "%s\n", (*ev)->name);
    }
}
