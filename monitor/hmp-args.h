/*
 * Lines of the human monitor, read by what the table of commands says of their arguments.
 */
#ifndef MONITOR_HMP_ARGS_H
#define MONITOR_HMP_ARGS_H

#include <stdbool.h>
#include <stdio.h>
#include "monitor/command.h"

/* hmp_args_take - read the words of @line from @at on, behind the command's name, as arguments of @c into @a, which
 * the caller frees either way. If they cannot be meant for it, says so on @out with a mark below the place. */
bool hmp_args_take(const struct HmpSession *m, const Command *c, const char *line, const char *at, Args *a, FILE *out);

/* hmp_args_print - as help shows them: " [-f] device filename". */
void hmp_args_print(const Command *c, FILE *out);

/* hmp_args_is_option - whether @word is an option for a command with the arguments @a. */
bool hmp_args_is_option(const Args *a, const char *word, size_t len);

#endif
