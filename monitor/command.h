/*
 * What the monitors can do: one table (commands.inc) for the human one and for QMP. From its rows and the types of
 * their arguments come `help`, completion, the checking of what is typed or sent, and query-commands.
 */
#ifndef MONITOR_COMMAND_H
#define MONITOR_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct Error;
struct HmpSession;
struct QmpSession;
struct json_object;

typedef enum ArgType {
    ARG_STR,
    ARG_INT,
    ARG_BOOL,   /* on or off; as an option of the human monitor, on */
    ARG_CHOICE, /* one of the values in its kind: "png|ppm" */
    ARG_EXPR,   /* a number; in the human monitor an expression */
    ARG_FORMAT, /* human monitor: /FMT */
    ARG_TEXT,   /* human monitor: the rest of the line */
    ARG_CPU,    /* number of a processor; in the human monitor its current one */
    ARG_LIST,   /* these three: QMP */
    ARG_DICT,
    ARG_ANY,
} ArgType;

enum { ARG_NAME_MAX = 40, ARG_KIND_MAX = 120, ARGS_MAX = 8 };

/* One argument, as a row of the table has it. */
typedef struct ArgField {
    char name[ARG_NAME_MAX]; /* "...": the command takes any other member */
    char kind[ARG_KIND_MAX]; /* the type's name: "int", "drive" (a string for which Tab offers drives), "png|ppm" */
    ArgType type;
    char option; /* the human monitor takes it as "-c value", or as "-c" if it is a bool; 0: by its place */
    bool optional;
} ArgField;

/* arg_next - the argument at *@spec, which is put behind it; false at the end. */
bool arg_next(const char **spec, ArgField *f);
/* arg_choice_has - whether @word of @len bytes is one of @choices, "a|b". */
bool arg_choice_has(const char *choices, const char *word, size_t len);

/* One argument, as it was given. */
typedef struct Arg {
    ArgField field;
    bool given;
    char *text;  /* of strings; owned */
    int64_t num; /* of numbers and bools */
} Arg;

typedef struct Args {
    Arg args[ARGS_MAX];
    unsigned count;
} Args;

/* args_init - nothing is given yet of what @spec says. */
void args_init(Args *a, const char *spec);
void args_free(Args *a);
/* arg_str - NULL if it was not given. arg_int, arg_bool: @def then. All: the row must have it. */
const char *arg_str(const Args *a, const char *name);
int64_t arg_int(const Args *a, const char *name, int64_t def);
bool arg_bool(const Args *a, const char *name, bool def);

/* A command of both monitors, of the human one (writes its answer to @out), of QMP (*@ret: its answer, NULL for {}).
 * All run on the loop thread without the machine lock; arguments are of the form that the table says. */
typedef bool CommandFn(const Args *a, struct Error **errp);
typedef void HmpFn(struct HmpSession *m, FILE *out, const Args *a);
typedef bool QmpFn(struct QmpSession *s, struct json_object *args, struct json_object **ret, struct Error **errp);

enum { BOARD = 1 }; /* it needs a board: refused with -machine none */

typedef struct Command {
    const char *name, *alias; /* in the human monitor; NULL: it is not there. A topic of info: that */
    const char *qmp;          /* in QMP, or NULL */
    unsigned flags;
    const char *args, *help;
    bool info;
    CommandFn *run; /* one of the three */
    HmpFn *hmp;
    QmpFn *query;
} Command;

typedef enum CommandKind { COMMAND_HUMAN, COMMAND_INFO, COMMAND_QMP } CommandKind;

/* command_next - the command of @kind after @c (NULL: the first), NULL after the last. command_find - by its name
 * there, or its alias; NULL for none. */
const Command *command_next(const Command *c, CommandKind kind);
const Command *command_find(CommandKind kind, const char *name);
/* command_can - false: @c needs a board, and there is none. */
bool command_can(const Command *c, struct Error **errp);

#define COMMAND(name, alias, qmp, flags, args, help, fn) CommandFn fn;
#define HMP_COMMAND(name, alias, flags, args, help, fn) HmpFn fn;
#define HMP_INFO(name, flags, args, help, fn) HmpFn fn;
#define QMP_COMMAND(name, flags, args, help, fn) QmpFn fn;
#include "monitor/commands.inc"
#undef COMMAND
#undef HMP_COMMAND
#undef HMP_INFO
#undef QMP_COMMAND

#endif
