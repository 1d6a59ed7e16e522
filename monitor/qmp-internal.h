/*
 * Inside QMP: what commands share.
 */
#ifndef MONITOR_QMP_INTERNAL_H
#define MONITOR_QMP_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "monitor/command.h"
#include "base/json.h"

typedef struct QmpSession QmpSession;

/* qmp_check - whether @args (an object) is what @spec says (monitor/command.h). @where: "" or what stands before names
 * in messages ("keys[0]."). qmp_take - then, as arguments of a command of both monitors. */
bool qmp_check(const char *spec, Json *args, const char *where, Error **errp);
bool qmp_take(const char *spec, Json *args, Args *a, Error **errp);

/* qmp_str - member @name, NULL without it; qmp_dict, qmp_list likewise. qmp_bool, qmp_int: @def without it. */
const char *qmp_str(Json *args, const char *name);
Json *qmp_member(Json *args, const char *name);
bool qmp_bool(Json *args, const char *name, bool def);
int64_t qmp_int(Json *args, const char *name, int64_t def);

/* qmp_options - the members of @args as sub-options of @l; lists (hostfwd) are of {"str": text}. */
struct OptList;
bool qmp_options(struct OptList *l, Json *args, Error **errp);

/* qmp_address - a socket's, {"type": "unix", "data": {"path": ...}}, as addr_take() wants it. */
bool qmp_address(struct OptList *l, Json *addr, Error **errp);

/* qmp_negotiated - the session is in command mode from now on. */
bool qmp_negotiate(QmpSession *s, Error **errp);

#endif
