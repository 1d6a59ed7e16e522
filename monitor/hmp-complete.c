/*
 * The human monitor: what Tab offers. The column of arguments in the table of commands says what stands
 * where: "device" is a drive, "file" a file, "png|ppm" one of these.
 *
 * Runs without the machine lock, since folders are read.
 */
#include "monitor/hmp-complete.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/trace.h"
#include "block/block.h"
#include "hw/display/screen.h"
#include "monitor/hmp-args.h"
#include "monitor/hmp-internal.h"

enum { LISTED_MAX = 200 };

static void offer(Completion *c, const char *word, const char *meaning)
{
    size_t same = 0;

    if (strncmp(word, c->start, strlen(c->start)) != 0) {
        return;
    }
    if (c->count == 0) {
        c->common = xstrdup(word);
    }
    while (c->common[same] != '\0' && c->common[same] == word[same]) {
        same++;
    }
    c->common[same] = '\0';
    if (c->count++ >= LISTED_MAX) {
        return;
    }
    c->words = xrealloc(c->words, c->count, sizeof(*c->words));
    c->words[c->count - 1].word = xstrdup(word);
    c->words[c->count - 1].meaning = meaning;
}

/* ---- what there is of each kind ---- */

static void offer_commands(Completion *c, bool info)
{
    for (const HmpCommand *k = hmp_table(info); k->name != NULL; k++) {
        offer(c, k->name, k->help);
        if (k->alias != NULL && *c->start != '\0') {
            offer(c, k->alias, k->help);
        }
    }
}

static void offer_drive(void *opaque, BlockBackend *b)
{
    offer(opaque, blk_name(b), NULL);
}

static void offer_screens(Completion *c)
{
    for (Screen *s = screen_first(); s != NULL; s = screen_next(s)) {
        offer(c, screen_name(s), NULL);
    }
}

static DIR *open_folder(const char *path)
{
    int fd = host_open(path, O_RDONLY | O_DIRECTORY, 0);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

    if (fd >= 0 && d == NULL) {
        close(fd);
    }
    return d;
}

/* is_folder - for file systems that do not tell, and links. */
static bool is_folder(const char *path)
{
    int fd = host_open(path, O_RDONLY | O_DIRECTORY, 0);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static void offer_files(Completion *c)
{
    const char *slash = strrchr(c->start, '/');
    size_t n = slash != NULL ? (size_t)(slash - c->start) + 1 : 0;
    autofree char *folder = xstrndup(c->start, n);
    DIR *d = open_folder(n > 0 ? folder : ".");
    const struct dirent *f;

    while (d != NULL && (f = readdir(d)) != NULL) {
        autofree char *path = xasprintf("%s%s", folder, f->d_name);
        if (f->d_name[0] == '.' && c->start[n] != '.') {
            continue;
        }
        if (f->d_type == DT_DIR || (f->d_type != DT_REG && is_folder(path))) {
            autofree char *sub = xasprintf("%s/", path);

            offer(c, sub, NULL);
        } else {
            offer(c, path, NULL);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
}

/* offer_choice - "png|ppm" */
static void offer_choice(Completion *c, const char *choice)
{
    while (*choice != '\0') {
        size_t n = strcspn(choice, "|");
        autofree char *word = xstrndup(choice, n);

        offer(c, word, NULL);
        choice += n + (choice[n] == '|');
    }
}

static void offer_kind(Completion *c, const char *kind)
{
    if (strcmp(kind, "device") == 0) {
        blk_each(offer_drive, c);
    } else if (strcmp(kind, "file") == 0 || strcmp(kind, "filename") == 0) {
        offer_files(c);
    } else if (strcmp(kind, "command") == 0) {
        offer_commands(c, false);
    } else if (strcmp(kind, "topic") == 0) {
        offer_commands(c, true);
    } else if (strcmp(kind, "console") == 0) {
        offer_screens(c);
    } else if (strcmp(kind, "item,...") == 0) {
        for (const LogItem *i = log_items; i->name != NULL; i++) {
            offer(c, i->name, i->help);
        }
    } else if (strcmp(kind, "name") == 0) {
        for (TraceEvent *const *e = trace_events; *e != NULL; e++) {
            offer(c, (*e)->name, NULL);
        }
    } else if (strchr(kind, '|') != NULL) {
        offer_choice(c, kind);
    }
}

/* ---- which kind stands where ---- */

/* offer_args - @rest is what stands between the command and the word that is completed; it is cut up. */
static void offer_args(Completion *c, const HmpCommand *k, char *rest)
{
    const char *value = NULL;
    unsigned place = 0;
    HmpArgs a;

    hmp_args_parse(&a, k->args);
    for (char *w = hmp_word(&rest); *w != '\0'; w = hmp_word(&rest)) {
        const HmpCommand *sub = place == 0 && value == NULL && strcmp(k->name, "info") == 0
                                    ? hmp_find_info(w) : NULL;

        if (sub != NULL) {
            offer_args(c, sub, rest);
            return;
        }
        if (value != NULL) {
            value = NULL;
        } else if (*w == '-') {
            value = hmp_args_value(&a, w);
        } else {
            place++;
        }
    }
    if (value != NULL) {
        offer_kind(c, value);
    } else if (*c->start == '-') {
        for (unsigned n = 0; n < a.option_count; n++) {
            offer(c, a.options[n], NULL);
        }
    } else if (place < a.word_count) {
        offer_kind(c, a.words[place]);
    }
}

void hmp_complete(Completion *c, const char *line)
{
    autofree char *copy = xstrdup(line);
    char *start = copy + strspn(copy, " "), *last = strrchr(start, ' '), *rest = start;
    const HmpCommand *k;

    memset(c, 0, sizeof(*c));
    if (last == NULL) {
        c->start = xstrdup(start);
        offer_commands(c, false);
        return;
    }
    *last = '\0';
    c->start = xstrdup(last + 1);
    k = hmp_find(hmp_word(&rest));
    if (k != NULL) {
        offer_args(c, k, rest);
    }
}

static int by_name(const void *a, const void *b)
{
    const CompletionWord *x = a, *y = b;

    return strcmp(x->word, y->word);
}

void completion_print(const Completion *c, FILE *out, unsigned width)
{
    unsigned listed = MIN(c->count, (unsigned)LISTED_MAX), longest = 0, column = 0;

    qsort(c->words, listed, sizeof(*c->words), by_name);
    for (unsigned n = 0; n < listed; n++) {
        longest = MAX(longest, (unsigned)strlen(c->words[n].word));
    }
    for (unsigned n = 0; n < listed; n++) {
        const CompletionWord *w = &c->words[n];

        if (w->meaning != NULL) {
            fprintf(out, "%-*s  %.*s\n", (int)longest, w->word, (int)(width - MIN(longest + 3, width)),
                    w->meaning);
            continue;
        }
        if (column > 0 && column + longest >= width) {
            fprintf(out, "\n");
            column = 0;
        }
        fprintf(out, "%-*s  ", (int)longest, w->word);
        column += longest + 2;
    }
    if (column > 0) {
        fprintf(out, "\n");
    }
    if (c->count > listed) {
        fprintf(out, "... and %u more\n", c->count - listed);
    }
}

void completion_free(Completion *c)
{
    for (unsigned n = 0; n < MIN(c->count, (unsigned)LISTED_MAX); n++) {
        free(c->words[n].word);
    }
    free(c->words);
    free(c->common);
    free(c->start);
}
