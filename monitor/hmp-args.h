/*
 * What the human monitor's commands take: the column of arguments in the table of commands, read.
 */
#ifndef MONITOR_HMP_ARGS_H
#define MONITOR_HMP_ARGS_H

#include <stdbool.h>
#include <stdio.h>

struct HmpCommand;

enum { HMP_ARGS_TEXT = 256, HMP_ARGS_MAX = 16 };

/* "[-f png|ppm] file" is an option "-f" with a value "png|ppm", and a word "file". */
typedef struct HmpArgs {
    char text[HMP_ARGS_TEXT];
    const char *words[HMP_ARGS_MAX], *options[HMP_ARGS_MAX], *values[HMP_ARGS_MAX]; /* values may be NULL */
    unsigned word_count, option_count;
    bool open; /* the rest of the line is one argument, or there are alternatives: words are not counted */
} HmpArgs;

void hmp_args_parse(HmpArgs *a, const char *spec);
/* hmp_args_value - what stands behind @option; NULL: it takes nothing, or there is no such option. */
const char *hmp_args_value(const HmpArgs *a, const char *option);

/* hmp_args_check - whether the words of @line behind its command can be meant for @c: none too many, no option
 * that there is not, numbers where numbers are wanted. If not, says so on @out, with a mark below the place. */
bool hmp_args_check(const struct HmpCommand *c, const char *line, FILE *out);

#endif
