/*
 * Errors that a user can cause (options, monitor lines, image files), carried upwards as values.
 *
 * Convention: a function that can fail for the user's fault takes `Error **errp` last and returns
 * bool (false exactly when *errp was set) or a pointer (NULL likewise). errp may be NULL when the
 * caller wants only the verdict. Host failures are `int` -errno; a caller with context turns them
 * into an Error by error_set_errno().
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

typedef struct Error Error;

/* error_set - store a new error (one lower-case phrase naming object and value) in *errp.
 * Does nothing when errp is NULL; *errp must be NULL before. */
void error_set(Error **errp, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* error_set_errno - like error_set(), with ": " and strerror(err) appended. err is positive. */
void error_set_errno(Error **errp, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Which of QMP's classes an error is of. */
typedef enum ErrorClass {
    ERROR_GENERIC,
    ERROR_COMMAND_NOT_FOUND,
    ERROR_DEVICE_NOT_FOUND,
    ERROR_DEVICE_NOT_ACTIVE,
} ErrorClass;

/* error_set_class - error_set() with a class; error_class - of @err. */
void error_set_class(Error **errp, ErrorClass cls, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
ErrorClass error_class(const Error *err);

/* error_prepend - put context before the text of *errp; nothing when errp or *errp is NULL. */
void error_prepend(Error **errp, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* error_hint - add a line of advice, printed below the message by error_report(). */
void error_hint(Error **errp, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* error_text - the message without hint; owned by the error. */
const char *error_text(const Error *err);

/* error_hint_text - the advice, or NULL; owned by the error. */
const char *error_hint_text(const Error *err);

/* error_move - hand @src on to *dst (freed when dst is NULL). Takes ownership of src. */
void error_move(Error **dst, Error *src);

/* error_report - print "doppel: <text>" and the hint on stderr. Takes ownership of err. */
void error_report(Error *err);

/* error_free - accepts NULL. */
void error_free(Error *err);

/* report - print one line "<program>: <message>" on stderr, for what is not an Error. */
void report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* report_info - the same, shown only at `-msg level=info`. */
void report_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* report_setup - program name for report() and error_report(); @info shows report_info() lines,
 * @timestamp puts an ISO 8601 UTC time before each line (-msg timestamp=on). */
void report_setup(const char *program, bool info, bool timestamp);

#endif
