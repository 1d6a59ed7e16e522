/*
 * Errors as values, and the lines on stderr that end them.
 */
#include "base/error.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/mem.h"

struct Error {
    char *text;
    char *hint; /* or NULL */
    ErrorClass cls;
};

/* Constant after report_setup(), which runs before other threads exist. */
static const char *program_name = "doppel";
static bool show_info;
static bool show_time;

static void set_text(Error **errp, char *text)
{
    assert(*errp == NULL);
    *errp = xnew(Error);
    (*errp)->text = text;
}

void error_set(Error **errp, const char *fmt, ...)
{
    va_list ap;

    if (errp == NULL) {
        return;
    }
    va_start(ap, fmt);
    set_text(errp, xvasprintf(fmt, ap));
    va_end(ap);
}

void error_set_class(Error **errp, ErrorClass cls, const char *fmt, ...)
{
    va_list ap;

    if (errp == NULL) {
        return;
    }
    va_start(ap, fmt);
    set_text(errp, xvasprintf(fmt, ap));
    va_end(ap);
    (*errp)->cls = cls;
}

ErrorClass error_class(const Error *err)
{
    return err->cls;
}

void error_set_errno(Error **errp, int err, const char *fmt, ...)
{
    va_list ap;
    char *text;

    if (errp == NULL) {
        return;
    }
    va_start(ap, fmt);
    text = xvasprintf(fmt, ap);
    va_end(ap);
    set_text(errp, xasprintf("%s: %s", text, strerror(err)));
    free(text);
}

void error_prepend(Error **errp, const char *fmt, ...)
{
    va_list ap;
    char *front, *text;

    if (errp == NULL || *errp == NULL) {
        return;
    }
    va_start(ap, fmt);
    front = xvasprintf(fmt, ap);
    va_end(ap);
    text = xasprintf("%s%s", front, (*errp)->text);
    free(front);
    free((*errp)->text);
    (*errp)->text = text;
}

void error_hint(Error **errp, const char *fmt, ...)
{
    va_list ap;
    char *hint, *both;

    if (errp == NULL || *errp == NULL) {
        return;
    }
    va_start(ap, fmt);
    hint = xvasprintf(fmt, ap);
    va_end(ap);
    if ((*errp)->hint != NULL) {
        both = xasprintf("%s\n%s", (*errp)->hint, hint);
        free((*errp)->hint);
        free(hint);
        hint = both;
    }
    (*errp)->hint = hint;
}

const char *error_text(const Error *err)
{
    return err->text;
}

const char *error_hint_text(const Error *err)
{
    return err->hint;
}

void error_move(Error **dst, Error *src)
{
    if (dst == NULL) {
        error_free(src);
    } else {
        assert(*dst == NULL);
        *dst = src;
    }
}

static void report_line(const char *text)
{
    char stamp[64] = "";

    if (show_time) {
        struct timespec ts;
        struct tm tm;
        char sec[32];

        clock_gettime(CLOCK_REALTIME, &ts);
        gmtime_r(&ts.tv_sec, &tm);
        strftime(sec, sizeof(sec), "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(stamp, sizeof(stamp), "%s.%06ldZ ", sec, ts.tv_nsec / 1000);
    }
    /* one call, so that lines of two threads do not mix */
    fprintf(stderr, "%s%s: %s\n", stamp, program_name, text);
}

void error_report(Error *err)
{
    report_line(err->text);
    if (err->hint != NULL) {
        fprintf(stderr, "%s\n", err->hint);
    }
    error_free(err);
}

void error_free(Error *err)
{
    if (err != NULL) {
        free(err->text);
        free(err->hint);
        free(err);
    }
}

void report(const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = xvasprintf(fmt, ap);
    va_end(ap);
    report_line(text);
    free(text);
}

void report_info(const char *fmt, ...)
{
    va_list ap;
    char *text;

    if (!show_info) {
        return;
    }
    va_start(ap, fmt);
    text = xvasprintf(fmt, ap);
    va_end(ap);
    report_line(text);
    free(text);
}

void report_setup(const char *program, bool info, bool timestamp)
{
    program_name = program;
    show_info = info;
    show_time = timestamp;
}
