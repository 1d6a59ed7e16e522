/*
 * The table of commands, and the form of its column of arguments.
 */
#include <config.h>
#include "monitor/command.h"

#include <stdlib.h>
#include <string.h>
#include "accel/accel.h"
#include "base/error.h"
#include "base/mem.h"
#include "machine/action.h"

static const Command commands[] = {
#define COMMAND(name, alias, qmp, flags, args, help, fn) { name, alias, qmp, flags, args, help, false, fn, NULL, NULL },
#define HMP_COMMAND(name, alias, flags, args, help, fn) { name, alias, NULL, flags, args, help, false, NULL, fn, NULL },
#define HMP_INFO(name, flags, args, help, fn) { name, NULL, NULL, flags, args, help, true, NULL, fn, NULL },
#ifdef CONFIG_JSON
#define QMP_COMMAND(name, flags, args, help, fn) { NULL, NULL, name, flags, args, help, false, NULL, NULL, fn },
#else
#define QMP_COMMAND(name, flags, args, help, fn)
#endif
#include "monitor/commands.inc"
#undef COMMAND
#undef HMP_COMMAND
#undef HMP_INFO
#undef QMP_COMMAND
};

static bool is_kind(const Command *c, CommandKind kind)
{
    return kind == COMMAND_QMP ? c->qmp != NULL : c->name != NULL && c->info == (kind == COMMAND_INFO);
}

const Command *command_next(const Command *c, CommandKind kind)
{
    c = c != NULL ? c + 1 : commands;
    while (c < commands + ARRAY_SIZE(commands) && !is_kind(c, kind)) {
        c++;
    }
    return c < commands + ARRAY_SIZE(commands) ? c : NULL;
}

const Command *command_find(CommandKind kind, const char *name)
{
    const Command *c = NULL;

    while ((c = command_next(c, kind)) != NULL) {
        if (strcmp(kind == COMMAND_QMP ? c->qmp : c->name, name) == 0 ||
            (kind != COMMAND_QMP && c->alias != NULL && strcmp(c->alias, name) == 0)) {
            return c;
        }
    }
    return NULL;
}

bool command_can(const Command *c, Error **errp)
{
    if ((c->flags & BOARD) && accel_cpu_count() == 0) {
        error_set(errp, "there is no board (-machine none)");
        return false;
    }
    return true;
}

/* ---- types ---- */

bool arg_choice_has(const char *choices, const char *word, size_t len)
{
    for (const char *c = choices; *c != '\0'; c += strcspn(c, "|") + (c[strcspn(c, "|")] == '|')) {
        if (strcspn(c, "|") == len && strncmp(c, word, len) == 0) {
            return true;
        }
    }
    return false;
}

static ArgType type_of(const char *kind)
{
    static const struct {
        const char *kind;
        ArgType type;
    } types[] = {
        { "int", ARG_INT },   { "bool", ARG_BOOL }, { "expr", ARG_EXPR }, { "fmt", ARG_FORMAT }, { "text", ARG_TEXT },
        { "cpu", ARG_CPU },   { "list", ARG_LIST }, { "dict", ARG_DICT }, { "any", ARG_ANY },
    };

    for (size_t n = 0; n < ARRAY_SIZE(types); n++) {
        if (strcmp(types[n].kind, kind) == 0) {
            return types[n].type;
        }
    }
    return strchr(kind, '|') != NULL ? ARG_CHOICE : ARG_STR;
}

bool arg_next(const char **spec, ArgField *f)
{
    const char *s = *spec + strspn(*spec, " "), *colon;
    size_t len = strcspn(s, " ");

    if (*s == '\0') {
        return false;
    }
    *spec = s + len;
    memset(f, 0, sizeof(*f));
    f->optional = *s == '?';
    s += f->optional;
    if (s[0] == '-' && s[1] != '\0' && s[2] == '=') {
        f->option = s[1];
        s += 3;
    }
    colon = memchr(s, ':', (size_t)(*spec - s));
    colon = colon != NULL ? colon : *spec;
    snprintf(f->name, sizeof(f->name), "%.*s", (int)(colon - s), s);
    snprintf(f->kind, sizeof(f->kind), "%.*s", (int)(*spec - colon) - 1, colon + 1);
    f->type = type_of(f->kind);
    return true;
}

/* ---- what was given ---- */

void args_init(Args *a, const char *spec)
{
    memset(a, 0, sizeof(*a));
    while (a->count < ARGS_MAX && arg_next(&spec, &a->args[a->count].field)) {
        a->count++;
    }
    if (*spec != '\0') {
        abort(); /* the row of the table has more than ARGS_MAX */
    }
}

void args_free(Args *a)
{
    for (unsigned n = 0; n < a->count; n++) {
        free(a->args[n].text);
    }
    a->count = 0;
}

static const Arg *find(const Args *a, const char *name)
{
    for (unsigned n = 0; n < a->count; n++) {
        if (strcmp(a->args[n].field.name, name) == 0) {
            return &a->args[n];
        }
    }
    abort(); /* the row of the table has no such argument */
}

const char *arg_str(const Args *a, const char *name)
{
    return find(a, name)->text;
}

int64_t arg_int(const Args *a, const char *name, int64_t def)
{
    const Arg *arg = find(a, name);

    return arg->given ? arg->num : def;
}

bool arg_bool(const Args *a, const char *name, bool def)
{
    return arg_int(a, name, def) != 0;
}
