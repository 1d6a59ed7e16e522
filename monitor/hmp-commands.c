/*
 * The human monitor's table of commands, and the two that list it.
 */
#include "monitor/hmp-internal.h"

#include <string.h>
#include "accel/accel.h"
#include "base/error.h"

static const HmpCommand commands[] = {
#define HMP_COMMAND(name, alias, args, help, fn) { name, alias, args, help, fn },
#define HMP_INFO(name, args, help, fn)
#include "monitor/hmp-commands.inc"
#undef HMP_COMMAND
#undef HMP_INFO
    { 0 },
};

static const HmpCommand infos[] = {
#define HMP_COMMAND(name, alias, args, help, fn)
#define HMP_INFO(name, args, help, fn) { name, NULL, args, help, fn },
#include "monitor/hmp-commands.inc"
#undef HMP_COMMAND
#undef HMP_INFO
    { 0 },
};

static const HmpCommand *find(const HmpCommand *table, const char *name)
{
    for (const HmpCommand *c = table; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0 || (c->alias != NULL && strcmp(c->alias, name) == 0)) {
            return c;
        }
    }
    return NULL;
}

const HmpCommand *hmp_find(const char *name)
{
    return find(commands, name);
}

const HmpCommand *hmp_find_info(const char *name)
{
    return find(infos, name);
}

const HmpCommand *hmp_table(bool info)
{
    return info ? infos : commands;
}

char *hmp_word(char **rest)
{
    char *w = *rest + strspn(*rest, " \t"), *end = w + strcspn(w, " \t");

    *rest = *end != 0 ? end + 1 : end;
    *end = 0;
    return w;
}

static void print_help(FILE *out, const char *prefix, const HmpCommand *c)
{
    fprintf(out, "%s%s%s%s%s%s -- %s\n", prefix, c->name, c->alias ? "|" : "",
            c->alias ? c->alias : "", *c->args ? " " : "", c->args, c->help);
}

void hmp_help(HmpSession *m, FILE *out, char *arg)
{
    const HmpCommand *c = find(commands, arg);

    if (*arg != 0 && strcmp(arg, "info") != 0) {
        if (c == NULL) {
            fprintf(out, "unknown command: '%s'\n", arg);
        } else {
            print_help(out, "", c);
        }
        return;
    }
    for (c = *arg ? infos : commands; c->name != NULL; c++) {
        print_help(out, *arg ? "info " : "", c);
    }
}

void hmp_info(HmpSession *m, FILE *out, char *arg)
{
    char *name = hmp_word(&arg);
    const HmpCommand *c = find(infos, name);

    if (*name == 0) {
        hmp_help(m, out, (char[]){ "info" });
    } else if (c == NULL) {
        fprintf(out, "unknown command: 'info %s'\n", name);
    } else {
        c->run(m, out, arg);
    }
}

void hmp_error(FILE *out, Error *err)
{
    if (err != NULL) {
        fprintf(out, "Error: %s\n", error_text(err));
        error_free(err);
    }
}

void hmp_usage(FILE *out, const char *name)
{
    const HmpCommand *c = find(commands, name);

    fprintf(out, "Error: usage: %s %s\n", c->name, c->args);
}

CpuState *hmp_cpu(const HmpSession *m)
{
    return accel_cpu(m->cpu);
}
