/*
 * Inside the human monitor: a session, the table of commands, and what commands share.
 */
#ifndef MONITOR_HMP_INTERNAL_H
#define MONITOR_HMP_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct CpuState;
struct Error;

/* One monitor's state that commands see. */
typedef struct HmpSession {
    unsigned cpu; /* number of the current processor */
    const struct LineEdit *history; /* NULL: nobody types */
    /* A command sets it to be given a line that is typed in secret; called once, as a command is. */
    void (*ask)(struct HmpSession *m, FILE *out, char *text);
} HmpSession;

/* A command: writes its answer to @out; @arg is the rest of the line without blanks at its ends, and
 * may be changed. Runs on the loop thread without the machine lock. */
typedef void HmpFn(HmpSession *m, FILE *out, char *arg);

typedef struct HmpCommand {
    const char *name, *alias; /* alias may be NULL */
    const char *args, *help;
    HmpFn *run;
} HmpCommand;

/* hmp_execute - run one line, which is cut up. Loop thread without the machine lock. */
void hmp_execute(HmpSession *m, FILE *out, char *line);

#define HMP_COMMAND(name, alias, args, help, fn) HmpFn fn;
#define HMP_INFO(name, args, help, fn) HmpFn fn;
#include "monitor/hmp-commands.inc"
#undef HMP_COMMAND
#undef HMP_INFO

/* hmp_find - the command called @name (or its alias), NULL for none. */
const HmpCommand *hmp_find(const char *name);
/* hmp_find_info - the same for the topics of info. hmp_table - all commands or topics, up to one without a name. */
const HmpCommand *hmp_find_info(const char *name);
const HmpCommand *hmp_table(bool info);

/* hmp_not_here - QEMU has a command (or "info topic") of that name, and doppel not. */
bool hmp_not_here(const char *name);

/* hmp_word - cut the first word off *@rest. An absent one is empty, never NULL. */
char *hmp_word(char **rest);

/* hmp_error - print "Error: ..." as QEMU's parsers expect it, and free @err (NULL: nothing). */
void hmp_error(FILE *out, struct Error *err);

/* hmp_change_vnc - `change vnc`: "password" (an empty one is asked for), or where to serve. */
void hmp_change_vnc(HmpSession *m, FILE *out, const char *what, const char *password);

/* hmp_usage - the command @name was not given what it takes: say what that is. */
void hmp_usage(FILE *out, const char *name);

/* hmp_expr - the value of the expression at *@text, up to what cannot belong to it, where *@text is put.
 * hmp_expr_only - the same, and nothing may follow. */
bool hmp_expr(const HmpSession *m, const char **text, uint64_t *val, struct Error **errp);
bool hmp_expr_only(const HmpSession *m, const char *text, uint64_t *val, struct Error **errp);

/* hmp_cpu - the session's current processor. */
struct CpuState *hmp_cpu(const HmpSession *m);

#endif
