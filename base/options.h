/*
 * The command line: a table of options, from which the parser and -help come.
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

struct Error;

typedef struct OptionDef {
    const char *name;  /* without dashes; one or two are typed */
    const char *arg;   /* what -help shows for the argument, "[type=]name,..."; NULL: takes none */
    const char *help;  /* one line, or lines joined by '\n'; NULL: not shown (a second spelling) */
    const char *group; /* heading of -help; NULL: the one before */
    /* @arg is NULL when the option takes none. @opaque is options_parse()'s. @user is below. */
    bool (*handle)(void *opaque, const struct OptionDef *def, const char *arg, struct Error **errp);
    int user; /* for handlers that serve several options */
} OptionDef;

/* options_parse - call the handlers in the order of the words. A word without a dash goes to
 * @word (a lone "-" too). Errors begin with the option: "-opt value: reason". @table ends with
 * name == NULL. */
bool options_parse(const OptionDef *table, int argc, char **argv, void *opaque,
                   bool (*word)(void *opaque, const char *text, struct Error **errp),
                   struct Error **errp);

/* options_find - NULL when there is none of that name. */
const OptionDef *options_find(const OptionDef *table, const char *name);

/* options_help - all options with a help line, by group. */
void options_help(const OptionDef *table, FILE *out);

#endif
