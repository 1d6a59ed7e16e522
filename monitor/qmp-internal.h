/*
 * Inside QMP: the table of commands and what they share.
 */
#ifndef MONITOR_QMP_INTERNAL_H
#define MONITOR_QMP_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "monitor/qmp-json.h"

typedef struct QmpSession QmpSession;

/* A command: @args (an object) is of the form that the table says; *@ret is what it returns, NULL for {}. Loop
 * thread without the machine lock. */
typedef bool QmpFn(QmpSession *s, Json *args, Json **ret, Error **errp);

/*
 * @args: members of the arguments, "name:type", those that may be left out with a '?' in front. Types are str,
 * int, bool, list, dict, any, or the values that are allowed: png|ppm. "?...:any": the command looks at the other members by itself.
 */
typedef struct QmpCommand {
    const char *name, *args, *help;
    QmpFn *run;
} QmpCommand;

#define QMP_COMMAND(name, args, help, fn) QmpFn fn;
#include "monitor/qmp-commands.inc"
#undef QMP_COMMAND

/* qmp_find - the command called @name, or NULL. qmp_table - all, up to one without a name. */
const QmpCommand *qmp_find(const char *name);
const QmpCommand *qmp_table(void);

/* qmp_check - whether @args is what @spec says. @where: "" or what stands before names in messages
 * ("keys[0]."). */
bool qmp_check(const char *spec, Json *args, const char *where, Error **errp);

/* qmp_str - member @name, NULL without it; qmp_dict, qmp_list likewise. qmp_bool, qmp_int: @def without it. */
const char *qmp_str(Json *args, const char *name);
Json *qmp_member(Json *args, const char *name);
bool qmp_bool(Json *args, const char *name, bool def);
int64_t qmp_int(Json *args, const char *name, int64_t def);

/* qmp_negotiated - the session is in command mode from now on. */
bool qmp_negotiate(QmpSession *s, Error **errp);

#endif
