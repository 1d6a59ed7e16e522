/*
 * Logging for the developer of a guest: `-d items -D file`. Trace events are base/trace.h.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdio.h>

enum {
    LOG_IN_ASM = 1 << 0,       /* guest instructions of each block when it is decoded first */
    LOG_INT = 1 << 1,          /* interrupts and exceptions delivered */
    LOG_MMU = 1 << 2,          /* page faults and TLB flushes */
    LOG_CPU_RESET = 1 << 3,    /* processor state before a reset */
    LOG_GUEST_ERRORS = 1 << 4, /* what the guest should not have asked for */
    LOG_UNIMP = 1 << 5,
    LOG_EXEC = 1 << 6,         /* each block executed */
    LOG_CPU = 1 << 7,          /* registers before each block */
    LOG_OUT_ASM = 1 << 8,      /* what each block was translated to */
};

extern unsigned log_mask_bits; /* constant after start-up, but for the monitor's `log` */

#define log_on(bit) __builtin_expect((log_mask_bits & (bit)) != 0, 0)

typedef struct LogItem {
    unsigned bit;
    const char *name; /* as typed after -d */
    const char *help;
} LogItem;
extern const LogItem log_items[]; /* ends with name == NULL */

/* log_parse - turn "int,cpu_reset" into bits; false with the bad word named on an unknown item. */
struct Error;
bool log_parse(const char *items, unsigned *bits, struct Error **errp);

/* log_without - log_parse() refuses these bits from now on, for the reason @why: "not with ...". */
void log_without(unsigned bits, const char *why);

/* log_help - the items, for `-d help`. */
void log_help(FILE *out);

/* log_open - send the log to @path (NULL: stderr). Any thread. */
bool log_open(const char *path, struct Error **errp);

/* log_line - write one piece of text to the log, whatever the mask says. Any thread. */
void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* log_file - the stream itself, for multi-line dumps; bracket with log_lock()/log_unlock(). */
FILE *log_file(void);
void log_lock(void);
void log_unlock(void);

/* log_guest - report a guest's mistake if -d guest_errors is on. Limited to 100 lines a second
 * in all; a line says how many were dropped. Any thread. */
#define log_guest(...)                                                                             \
    do {                                                                                           \
        if (log_on(LOG_GUEST_ERRORS)) {                                                            \
            log_guest_line(__VA_ARGS__);                                                           \
        }                                                                                          \
    } while (0)
void log_guest_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
