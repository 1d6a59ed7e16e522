/*
 * The developer's log: `-d items -D file`.
 */
#include "base/broker.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

unsigned log_mask_bits;

const LogItem log_items[] = {
    { LOG_IN_ASM, "in_asm", "guest instructions of each block when it is decoded first" },
    { LOG_OUT_ASM, "out_asm", "host instructions of each translation" },
    { LOG_INT, "int", "interrupts and exceptions delivered" },
    { LOG_MMU, "mmu", "page faults and TLB flushes" },
    { LOG_CPU_RESET, "cpu_reset", "processor state before a reset" },
    { LOG_GUEST_ERRORS, "guest_errors", "what the guest should not have asked for" },
    { LOG_UNIMP, "unimp", "what the guest asked for and is not modelled" },
    { LOG_EXEC, "exec", "each block executed" },
    { LOG_CPU, "cpu", "registers before each block" },
    { 0, NULL, NULL },
};

enum { GUEST_LINES_PER_SEC = 100 };

static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static FILE *stream;         /* NULL: stderr; under log_mutex */
static int64_t window_start; /* of the running second, ns; under log_mutex */
static unsigned window_lines, window_dropped;

static unsigned without_bits; /* constant after start-up, as why */
static const char *without_why;

void log_without(unsigned bits, const char *why)
{
    without_bits = bits;
    without_why = why;
}

bool log_parse(const char *items, unsigned *bits, Error **errp)
{
    autofree char *copy = xstrdup(items);
    unsigned mask = 0;

    for (char *save, *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        const LogItem *it = log_items;
        while (it->name != NULL && strcmp(it->name, word) != 0) {
            it++;
        }
        if (it->name == NULL) {
            Nearest near;
            nearest_init(&near, word);
            for (it = log_items; it->name != NULL; it++) {
                nearest_offer(&near, it->name);
            }
            error_set(errp, "unknown log item \"%s\"%s%s%s", word,
                      near.best ? "; did you mean \"" : "", near.best ? near.best : "",
                      near.best ? "\"?" : "");
            return false;
        }
        if (it->bit & without_bits) {
            error_set(errp, "log item \"%s\": %s", word, without_why);
            return false;
        }
        mask |= it->bit;
    }
    *bits = mask;
    return true;
}

void log_help(FILE *out)
{
    fprintf(out, "Log items (comma separated):\n");
    for (const LogItem *it = log_items; it->name != NULL; it++) {
        fprintf(out, "%-15s %s\n", it->name, it->help);
    }
    fprintf(out, "%-15s %s\n", "trace:PATTERN", "trace events whose names match");
}

bool log_open(const char *path, Error **errp)
{
    FILE *f = NULL;

    if (path != NULL) {
        f = host_fopen(path, "w");
        if (f == NULL) {
            error_set_errno(errp, errno, "cannot open log file %s", path);
            return false;
        }
        setvbuf(f, NULL, _IOLBF, 0);
    }
    pthread_mutex_lock(&log_mutex);
    if (stream != NULL) {
        fclose(stream);
    }
    stream = f;
    pthread_mutex_unlock(&log_mutex);
    return true;
}

FILE *log_file(void)
{
    return stream != NULL ? stream : stderr;
}

void log_lock(void)
{
    pthread_mutex_lock(&log_mutex);
}

void log_unlock(void)
{
    pthread_mutex_unlock(&log_mutex);
}

void log_line(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_lock();
    vfprintf(log_file(), fmt, ap);
    log_unlock();
    va_end(ap);
}

void log_guest_line(const char *fmt, ...)
{
    int64_t now = clock_now(CLK_REAL);
    size_t len = strlen(fmt);
    va_list ap;

    log_lock();
    if (window_start == 0 || now - window_start >= NS_PER_SEC) {
        if (window_dropped != 0) {
            fprintf(log_file(), "(%u more guest errors not shown)\n", window_dropped);
        }
        window_start = now;
        window_lines = window_dropped = 0;
    }
    if (window_lines < GUEST_LINES_PER_SEC) {
        window_lines++;
        va_start(ap, fmt);
        vfprintf(log_file(), fmt, ap);
        va_end(ap);
        if (len == 0 || fmt[len - 1] != '\n') {
            fputc('\n', log_file());
        }
    } else {
        window_dropped++;
    }
    log_unlock();
}
