/*
 * The human monitor: a line against what the table of commands says of its arguments. What is right in form but
 * names something that there is not (a drive, a key) is the command's to find out.
 */
#include "monitor/hmp-args.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "monitor/hmp-internal.h"

/* Arguments that are numbers; the others are names, or expressions, which are a language of their own. */
static const char *const numbers[] = { "N", "index", "state", "dx", "dy", "dz", "hold_ms" };
/* Arguments that go on to the end of the line. */
static const char *const rests[] = { "expr", "addr", "port", "value", "item,...", "\"text\"", "options" };

static bool is_one_of(const char *const *list, size_t count, const char *word)
{
    for (size_t n = 0; n < count; n++) {
        if (strcmp(list[n], word) == 0) {
            return true;
        }
    }
    return false;
}

void hmp_args_parse(HmpArgs *a, const char *spec)
{
    const char *alternative = strstr(spec, " | ");
    size_t len = alternative != NULL ? (size_t)(alternative - spec) : strlen(spec);
    bool value = false;
    char *save;

    memset(a, 0, sizeof(*a));
    a->open = alternative != NULL;
    snprintf(a->text, sizeof(a->text), "%.*s", (int)len, spec);
    for (char *w = strtok_r(a->text, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        bool closes = strchr(w, ']') != NULL;

        w += strspn(w, "[");
        w[strcspn(w, "]")] = '\0';
        a->open = a->open || is_one_of(rests, ARRAY_SIZE(rests), w);
        if (value) {
            a->values[a->option_count - 1] = w;
            value = false;
        } else if (*w == '-' && a->option_count < HMP_ARGS_MAX) {
            a->options[a->option_count++] = w;
            value = !closes;
        } else if (a->word_count < HMP_ARGS_MAX) {
            a->words[a->word_count++] = w;
        }
    }
}

const char *hmp_args_value(const HmpArgs *a, const char *option)
{
    for (unsigned n = 0; n < a->option_count; n++) {
        if (strcmp(a->options[n], option) == 0) {
            return a->values[n];
        }
    }
    return NULL;
}

/* ---- checking ---- */

typedef struct Check {
    const HmpCommand *cmd;
    bool info; /* it is a topic */
    const char *line;
    FILE *out;
} Check;

/* wrong - the message, the line, and a mark below byte @at of it. */
static bool __attribute__((format(printf, 3, 4))) wrong(const Check *c, const char *at, const char *fmt, ...)
{
    va_list ap;

    fprintf(c->out, "Error: %s%s: ", c->info ? "info " : "", c->cmd->name);
    va_start(ap, fmt);
    vfprintf(c->out, fmt, ap);
    va_end(ap);
    fprintf(c->out, "\n  %s\n  ", c->line);
    for (const char *p = c->line; p < at; p++) {
        if (((uint8_t)*p & 0xc0) != 0x80) { /* a column for each character */
            fputc(*p == '\t' ? '\t' : ' ', c->out);
        }
    }
    fprintf(c->out, "^\n");
    return false;
}

static bool in_choice(const char *choice, const char *word, size_t len)
{
    for (; *choice != '\0'; choice += strcspn(choice, "|") + (strchr(choice, '|') != NULL)) {
        if (strcspn(choice, "|") == len && strncmp(choice, word, len) == 0) {
            return true;
        }
    }
    return false;
}

/* check_word - @word of @len bytes as the argument that the table calls @kind. */
static bool check_word(const Check *c, const char *kind, const char *word, size_t len)
{
    if (is_one_of(numbers, ARRAY_SIZE(numbers), kind)) {
        char *end;

        strtoll(word, &end, 0);
        return end == word + len ||
               wrong(c, end > word && end < word + len ? end : word, "%s is a number, not '%.*s'", kind, (int)len,
                     word);
    }
    return strchr(kind, '|') == NULL || in_choice(kind, word, len) ||
           wrong(c, word, "'%.*s' is not one of %s", (int)len, word, kind);
}

static bool is_option(const char *w, size_t len)
{
    return len == 2 && w[0] == '-' && isalpha((unsigned char)w[1]);
}

static bool known_option(const HmpArgs *a, const char *w)
{
    for (unsigned n = 0; n < a->option_count; n++) {
        if (strncmp(a->options[n], w, 2) == 0) {
            return true;
        }
    }
    return false;
}

/* check - the words from @w on. */
static bool check(const Check *c, const HmpArgs *a, const char *w)
{
    const char *value = NULL; /* of the option before */
    unsigned place = 0;

    for (w += strspn(w, " \t"); *w != '\0'; w += strspn(w, " \t")) {
        size_t len = strcspn(w, " \t");

        if (value != NULL) {
            if (!check_word(c, value, w, len)) {
                return false;
            }
            value = NULL;
        } else if (a->option_count > 0 && is_option(w, len)) {
            autofree char *option = xstrndup(w, len);

            if (!known_option(a, w)) {
                return wrong(c, w, "there is no option '%s'", option);
            }
            value = hmp_args_value(a, option);
        } else if (place >= a->word_count) {
            return wrong(c, w, a->word_count == 0 ? "it takes no arguments" : "nothing more can follow");
        } else if (!check_word(c, a->words[place++], w, len)) {
            return false;
        }
        w += len;
    }
    return value == NULL || wrong(c, w, "%s is missing", value);
}

bool hmp_args_check(const HmpCommand *cmd, const char *line, FILE *out)
{
    Check c = { .cmd = cmd, .line = line, .out = out };
    const char *w = line + strspn(line, " \t");
    HmpArgs a;

    w += strcspn(w, " \t/");
    if (strcmp(cmd->name, "info") == 0) { /* its topics have rows of their own */
        const char *topic = w + strspn(w, " \t");
        autofree char *name = xstrndup(topic, strcspn(topic, " \t"));
        const HmpCommand *found = hmp_find_info(name);

        if (found == NULL) {
            return true;
        }
        c.cmd = found;
        c.info = true;
        w = topic + strlen(name);
    }
    hmp_args_parse(&a, c.cmd->args);
    return a.open || check(&c, &a, w);
}
