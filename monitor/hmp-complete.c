/*
 * The human monitor: what Tab offers, and what each of it means. The types of the arguments in the table of commands
 * say what stands where: "drive" is a drive, "file" a file, "png|ppm" one of these.
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
#include "bus/device.h"
#include "bus/lock.h"
#include "chardev/chardev.h"
#include "hw/display/screen.h"
#include "hw/input/input.h"
#include "monitor/hmp-args.h"
#include "monitor/hmp-internal.h"
#include "net/backend.h"

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
    c->words[c->count - 1].meaning = meaning != NULL ? xstrdup(meaning) : NULL;
}

/* ---- what there is of each kind ---- */

static void offer_table(Completion *c, CommandKind kind)
{
    for (const Command *k = command_next(NULL, kind); k != NULL; k = command_next(k, kind)) {
        offer(c, k->name, k->help);
        if (k->alias != NULL && *c->start != '\0') {
            offer(c, k->alias, k->help);
        }
    }
}

static void offer_commands(Completion *c)
{
    offer_table(c, COMMAND_HUMAN);
}

static void offer_topics(Completion *c)
{
    offer_table(c, COMMAND_INFO);
}

static void offer_drive(void *opaque, BlockBackend *b)
{
    const char *file = "nothing is in it";
    autofree char *meaning = NULL;
    BlockInfo i;

    blk_info(b, &i);
    if (i.file != NULL) {
        file = strrchr(i.file, '/') != NULL ? strrchr(i.file, '/') + 1 : i.file;
    }
    meaning = xasprintf("%s%s", i.removable ? "removable: " : "", file);
    offer(opaque, i.name, meaning);
}

static void offer_removable(void *opaque, BlockBackend *b)
{
    BlockInfo i;

    blk_info(b, &i);
    if (i.removable) {
        offer_drive(opaque, b);
    }
}

static void offer_drives(Completion *c)
{
    machine_lock();
    blk_each(offer_drive, c);
    machine_unlock();
}

static void offer_removables(Completion *c)
{
    machine_lock();
    blk_each(offer_removable, c);
    machine_unlock();
}

static void offer_changeables(Completion *c)
{
    offer_removables(c);
    offer(c, "vnc", "the server, or its password");
}

static void offer_screens(Completion *c)
{
    for (Screen *s = screen_first(); s != NULL; s = screen_next(s)) {
        offer(c, screen_name(s), NULL);
    }
}

static void offer_chardev(void *opaque, Chardev *d)
{
    autofree char *meaning = chardev_describe(d);

    offer(opaque, chardev_id(d), meaning);
}

static void offer_chardevs(Completion *c)
{
    chardev_each(offer_chardev, c);
}

static void offer_netdevs(Completion *c)
{
    for (const NetBackend *b = net_backend_first(); b != NULL; b = b->next) {
        offer(c, b->id, b->type->help);
    }
}

/* offer_devices - what device_del takes. */
static void offer_devices(Completion *c)
{
    machine_lock();
    for (const Device *d = devices_first(); d != NULL; d = d->next) {
        if (d->named && d->cls->user_creatable && !d->cls->no_hotplug && !d->gone) {
            offer(c, d->id, d->cls->desc);
        }
    }
    machine_unlock();
}

/* offer_links - what has a cable: cards and networks. */
static void offer_links(Completion *c)
{
    machine_lock();
    for (const NetPort *p = net_cards(); p != NULL; p = p->next_card) {
        offer(c, p->name, net_link(p) ? "card, plugged in" : "card, unplugged");
    }
    machine_unlock();
    offer_netdevs(c);
}

/* offer_behind - @word behind what stands there up to the last @separator: "ctrl-alt-" and "f1". */
static void offer_behind(Completion *c, char separator, const char *word, const char *meaning)
{
    const char *last = strrchr(c->start, separator);
    autofree char *whole = xasprintf("%.*s%s", last != NULL ? (int)(last - c->start) + 1 : 0, c->start, word);

    offer(c, whole, meaning);
}

static void offer_keys(Completion *c)
{
    const char *name;

    for (unsigned n = 0; (name = input_key_name(n)) != NULL; n++) {
        offer_behind(c, '-', name, NULL);
    }
}

static void offer_log_items(Completion *c)
{
    for (const LogItem *i = log_items; i->name != NULL; i++) {
        offer_behind(c, ',', i->name, i->help);
    }
    if (strchr(c->start, ',') == NULL) {
        offer(c, "none", "nothing");
    }
}

static void offer_traces(Completion *c)
{
    for (TraceEvent *const *e = trace_events; *e != NULL; e++) {
        offer(c, (*e)->name, (*e)->on ? "on" : "off");
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

static void offer_argument(Completion *c, const ArgField *f)
{
    static const struct {
        const char *kind;
        void (*offer)(Completion *c);
    } kinds[] = {
        { "changeable", offer_changeables },
        { "chardev", offer_chardevs }, { "command", offer_commands },   { "console", offer_screens },
        { "device", offer_devices },
        { "drive", offer_drives },     { "file", offer_files },         { "keys", offer_keys },
        { "link", offer_links },       { "logitems", offer_log_items }, { "netdev", offer_netdevs },
        { "removable", offer_removables }, { "topic", offer_topics },   { "trace", offer_traces },
    };

    for (size_t n = 0; n < ARRAY_SIZE(kinds); n++) {
        if (strcmp(kinds[n].kind, f->kind) == 0) {
            kinds[n].offer(c);
        }
    }
    if (f->type == ARG_CHOICE || f->type == ARG_BOOL) {
        offer_choice(c, f->type == ARG_BOOL ? "on|off" : f->kind);
    }
}

/* ---- which argument stands where ---- */

static const ArgField *option_of(const Args *a, const char *word)
{
    for (unsigned n = 0; n < a->count; n++) {
        if (a->args[n].field.option == word[1] && word[1] != '\0') {
            return &a->args[n].field;
        }
    }
    return NULL;
}

static void offer_options(Completion *c, const Args *a)
{
    for (unsigned n = 0; n < a->count; n++) {
        const ArgField *f = &a->args[n].field;

        if (f->option != '\0') {
            char word[] = { '-', f->option, '\0' };

            offer(c, word, f->name);
        }
    }
}

/* place_of - argument @place of those that stand by their place. */
static const ArgField *place_of(const Args *a, unsigned place)
{
    for (unsigned n = 0; n < a->count; n++) {
        const ArgField *f = &a->args[n].field;

        if (f->option == '\0' && f->type != ARG_CPU && f->type != ARG_FORMAT && place-- == 0) {
            return f;
        }
    }
    return NULL;
}

/* offer_args - what can stand behind @words, those between the command and the word that is completed. */
static void offer_args(Completion *c, const Command *k, char *words)
{
    const ArgField *value = NULL; /* of the option before */
    unsigned place = 0;
    Args a;

    args_init(&a, k->args);
    for (char *save, *w = strtok_r(words, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        if (value != NULL) {
            value = NULL;
        } else if (hmp_args_is_option(&a, w, strlen(w))) {
            value = option_of(&a, w);
            value = value != NULL && value->type == ARG_BOOL ? NULL : value;
        } else {
            place += *w != '/';
        }
    }
    if (value == NULL && *c->start == '-') {
        offer_options(c, &a);
        return;
    }
    value = value != NULL ? value : place_of(&a, place);
    if (value != NULL) {
        offer_argument(c, value);
    }
}

void hmp_complete(Completion *c, const char *line)
{
    autofree char *copy = xstrdup(line);
    char *start = copy + strspn(copy, " "), *last = strrchr(start, ' '), *words = start, *word;
    const Command *k;

    memset(c, 0, sizeof(*c));
    if (last == NULL) {
        c->start = xstrdup(start);
        offer_commands(c);
        return;
    }
    *last = '\0';
    c->start = xstrdup(last + 1);
    word = strsep(&words, " ");
    k = command_find(COMMAND_HUMAN, word);
    if (k != NULL && strcmp(k->name, "info") == 0 && words != NULL) { /* its topics have rows of their own */
        words += strspn(words, " ");
        word = strsep(&words, " ");
        k = *word != '\0' ? command_find(COMMAND_INFO, word) : k;
    }
    if (k != NULL) {
        offer_args(c, k, words != NULL ? words : start + strlen(start));
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
        free(c->words[n].meaning);
    }
    free(c->words);
    free(c->common);
    free(c->start);
}
