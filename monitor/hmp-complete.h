/*
 * Completion of the human monitor's lines.
 */
#ifndef MONITOR_HMP_COMPLETE_H
#define MONITOR_HMP_COMPLETE_H

#include <stdio.h>

typedef struct CompletionWord {
    char *word;
    char *meaning; /* or NULL */
} CompletionWord;

typedef struct Completion {
    char *start;  /* what stands there of the word */
    char *common; /* what all the words begin with; NULL: there is none */
    CompletionWord *words;
    unsigned count; /* of all there are; `words` may have fewer */
} Completion;

/* hmp_complete - the words that can stand at the end of @line. Loop thread without the machine lock. */
void hmp_complete(Completion *c, const char *line);
/* completion_print - list them, with what they mean, in lines of @width columns. */
void completion_print(const Completion *c, FILE *out, unsigned width);
void completion_free(Completion *c);

#endif
