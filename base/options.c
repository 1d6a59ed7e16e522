/*
 * Walks the command line by a table of options.
 */
#include "base/options.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

const OptionDef *options_find(const OptionDef *table, const char *name)
{
    for (const OptionDef *d = table; d->name != NULL; d++) {
        if (strcmp(d->name, name) == 0) {
            return d;
        }
    }
    return NULL;
}

static void unknown_option(const OptionDef *table, const char *typed, const char *name,
                           Error **errp)
{
    autofree char *front = xstrndup(name, strcspn(name, "="));
    Nearest near;

    if (name[strlen(front)] == '=' && options_find(table, front) != NULL) {
        error_set(errp, "%s: invalid option; the value of -%s is the next word", typed, front);
        return;
    }
    nearest_init(&near, name);
    for (const OptionDef *d = table; d->name != NULL; d++) {
        nearest_offer(&near, d->name);
    }
    if (near.best != NULL) {
        error_set(errp, "%s: invalid option; did you mean -%s?", typed, near.best);
    } else {
        error_set(errp, "%s: invalid option", typed);
    }
}

bool options_parse(const OptionDef *table, int argc, char **argv, void *opaque,
                   bool (*word)(void *opaque, const char *text, Error **errp), Error **errp)
{
    for (int i = 1; i < argc; i++) {
        const char *typed = argv[i], *name = typed + 1, *arg = NULL;
        const OptionDef *d;

        if (typed[0] != '-' || typed[1] == '\0') {
            if (!word(opaque, typed, errp)) {
                return false;
            }
            continue;
        }
        if (*name == '-') {
            name++;
        }
        d = options_find(table, name);
        if (d == NULL) {
            unknown_option(table, typed, name, errp);
            return false;
        }
        if (d->arg != NULL) {
            if (i + 1 >= argc) {
                error_set(errp, "%s: requires an argument", typed);
                return false;
            }
            arg = argv[++i];
        }
        if (!d->handle(opaque, d, arg, errp)) {
            error_prepend(errp, arg != NULL ? "%s %s: " : "%s: ", typed, arg);
            return false;
        }
    }
    return true;
}

static void help_lines(const char *text, FILE *out)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        fprintf(out, "                %.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

void options_help(const OptionDef *table, FILE *out)
{
    for (const OptionDef *d = table; d->name != NULL; d++) {
        char head[160];
        size_t n;

        if (d->group != NULL) {
            fprintf(out, "\n%s:\n", d->group);
        }
        if (d->help == NULL) {
            continue;
        }
        snprintf(head, sizeof(head), "-%s%s%s", d->name, d->arg != NULL ? " " : "",
                 d->arg != NULL ? d->arg : "");
        n = strcspn(d->help, "\n");
        if (strlen(head) < 16) {
            fprintf(out, "%-15s %.*s\n", head, (int)n, d->help);
        } else {
            fprintf(out, "%s\n                %.*s\n", head, (int)n, d->help);
        }
        help_lines(d->help + n + (d->help[n] == '\n'), out);
    }
}
