/*
 * The human monitor: a line as typed arguments. What is right in form but names something that there is not (a
 * drive, a key) is the command's to find out.
 */
#include "monitor/hmp-args.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "accel/accel.h"
#include "base/error.h"
#include "base/mem.h"
#include "monitor/hmp-internal.h"

/* A line that is read, and how far. */
typedef struct Reader {
    const HmpSession *m;
    const Command *cmd;
    const char *line, *at;
    bool last; /* no argument has its place behind this one's */
    FILE *out;
} Reader;

static void skip_blanks(Reader *r)
{
    r->at += strspn(r->at, " \t");
}

static const char *word_end(const char *w)
{
    return w + strcspn(w, " \t");
}

/* wrong - the message, the line, and a mark below byte @at of it. */
static bool __attribute__((format(printf, 3, 4))) wrong(const Reader *r, const char *at, const char *fmt, ...)
{
    va_list ap;

    fprintf(r->out, "Error: %s%s: ", r->cmd->info ? "info " : "", r->cmd->name);
    va_start(ap, fmt);
    vfprintf(r->out, fmt, ap);
    va_end(ap);
    fprintf(r->out, "\n  %s\n  ", r->line);
    for (const char *p = r->line; p < at; p++) {
        if (((uint8_t)*p & 0xc0) != 0x80) { /* a column for each character */
            fputc(*p == '\t' ? '\t' : ' ', r->out);
        }
    }
    fprintf(r->out, "^\n");
    return false;
}

/* ---- a value of each type ---- */

static bool take_int(Reader *r, Arg *arg)
{
    const char *end = word_end(r->at);
    char *stop;

    arg->num = strtoll(r->at, &stop, 0);
    if (stop != end) {
        return wrong(r, stop > r->at && stop < end ? stop : r->at, "%s is a number, not '%.*s'", arg->field.name,
                     (int)(end - r->at), r->at);
    }
    r->at = end;
    return true;
}

static bool take_bool(Reader *r, Arg *arg)
{
    const char *end = word_end(r->at);
    size_t len = (size_t)(end - r->at);

    if (!arg_choice_has("on|off", r->at, len)) {
        return wrong(r, r->at, "'%.*s' is not one of on|off", (int)len, r->at);
    }
    arg->num = len == 2;
    r->at = end;
    return true;
}

/* An expression goes on to the end of the line. One with arguments behind it is a word: a file's name may begin with
 * what looks like a division. */
static bool take_expr(Reader *r, Arg *arg)
{
    size_t len = r->last ? strlen(r->at) : (size_t)(word_end(r->at) - r->at);
    autofree char *text = xstrndup(r->at, len);
    const char *end = text;
    Error *err = NULL;
    uint64_t val;
    bool ok;

    accel_pause(); /* for the registers */
    ok = hmp_expr(r->m, &end, &val, &err);
    accel_resume();
    r->at += end - text;
    if (!ok) {
        wrong(r, r->at, "%s", error_text(err));
        error_free(err);
        return false;
    }
    arg->num = (int64_t)val;
    return true;
}

/* take_quoted - "a text", in which \" and \\ stand for themselves, as a file's name with blanks is written. */
static bool take_quoted(Reader *r, Arg *arg)
{
    const char *start = r->at, *p = start + 1;
    size_t len = 0;

    arg->text = xalloc0(strlen(start) + 1, 1);
    while (*p != '"' && *p != '\0') {
        p += *p == '\\' && (p[1] == '"' || p[1] == '\\');
        arg->text[len++] = *p++;
    }
    if (*p == '\0') {
        return wrong(r, start, "the text that begins here has no end");
    }
    if (p[1] != '\0' && p[1] != ' ' && p[1] != '\t') {
        return wrong(r, p + 1, "a text in quotation marks is a word of its own");
    }
    r->at = p + 1;
    return true;
}

static bool take_word(Reader *r, Arg *arg)
{
    const char *end = word_end(r->at);

    if (*r->at == '"') {
        return take_quoted(r, arg);
    }
    arg->text = xstrndup(r->at, (size_t)(end - r->at));
    r->at = end;
    return true;
}

static bool take_choice(Reader *r, Arg *arg)
{
    const char *start = r->at;

    return take_word(r, arg) && (arg_choice_has(arg->field.kind, arg->text, strlen(arg->text)) ||
                                 wrong(r, start, "'%s' is not one of %s", arg->text, arg->field.kind));
}

static bool take_rest(Reader *r, Arg *arg)
{
    size_t len = strlen(r->at);

    while (len > 0 && (r->at[len - 1] == ' ' || r->at[len - 1] == '\t')) {
        len--;
    }
    arg->text = xstrndup(r->at, len);
    r->at += strlen(r->at);
    return true;
}

static bool take_value(Reader *r, Arg *arg)
{
    static bool (*const takes[])(Reader *r, Arg *arg) = {
        [ARG_STR] = take_word,   [ARG_INT] = take_int,     [ARG_BOOL] = take_bool, [ARG_CHOICE] = take_choice,
        [ARG_EXPR] = take_expr,  [ARG_FORMAT] = take_word, [ARG_TEXT] = take_rest,
    };

    arg->given = true;
    return takes[arg->field.type](r, arg);
}

/* ---- which argument a word is ---- */

static Arg *find_option(Args *a, char option)
{
    for (unsigned n = 0; n < a->count; n++) {
        if (a->args[n].field.option == option && option != '\0') {
            return &a->args[n];
        }
    }
    return NULL;
}

bool hmp_args_is_option(const Args *a, const char *w, size_t len)
{
    bool any = false;

    for (unsigned n = 0; n < a->count; n++) {
        any = any || a->args[n].field.option != '\0';
    }
    return any && len == 2 && w[0] == '-' && isalpha((unsigned char)w[1]);
}

static bool take_option(Reader *r, Args *a)
{
    const char *start = r->at;
    Arg *arg = find_option(a, start[1]);

    if (arg == NULL) {
        return wrong(r, start, "there is no option '%.2s'", start);
    }
    if (arg->given) {
        return wrong(r, start, "%.2s is there twice", start);
    }
    r->at += 2;
    if (arg->field.type == ARG_BOOL) {
        arg->given = true;
        arg->num = 1;
        return true;
    }
    skip_blanks(r);
    return *r->at != '\0' ? take_value(r, arg) : wrong(r, r->at, "%s is missing", arg->field.name);
}

static bool has_place(const Arg *arg)
{
    return arg->field.option == '\0' && arg->field.type != ARG_CPU;
}

static unsigned words_left(const char *at)
{
    unsigned n = 0;

    for (at += strspn(at, " \t"); *at != '\0'; at += strspn(at, " \t")) {
        at = word_end(at);
        n++;
    }
    return n;
}

/* next_place - the argument that stands at the reader's place. One that may be left out is, where its word is needed
 * for one behind it that may not. */
static Arg *next_place(Reader *r, Args *a, unsigned *place)
{
    while (*place < a->count) {
        Arg *arg = &a->args[(*place)++];
        unsigned needed = 0;

        if (!has_place(arg) || (arg->field.type == ARG_FORMAT && *r->at != '/')) {
            continue;
        }
        r->last = true;
        for (unsigned n = *place; n < a->count; n++) {
            r->last = r->last && !has_place(&a->args[n]);
            needed += has_place(&a->args[n]) && !a->args[n].field.optional;
        }
        if (!arg->field.optional || arg->field.type == ARG_FORMAT || needed == 0 || words_left(r->at) > needed) {
            return arg;
        }
    }
    return NULL;
}

bool hmp_args_take(const HmpSession *m, const Command *c, const char *line, const char *at, Args *a, FILE *out)
{
    Reader r = { .m = m, .cmd = c, .line = line, .at = at, .out = out };
    unsigned place = 0;

    args_init(a, c->args);
    for (skip_blanks(&r); *r.at != '\0'; skip_blanks(&r)) {
        if (hmp_args_is_option(a, r.at, (size_t)(word_end(r.at) - r.at))) {
            if (!take_option(&r, a)) {
                return false;
            }
        } else {
            Arg *arg = next_place(&r, a, &place);

            if (arg == NULL) {
                return wrong(&r, r.at, *c->args == '\0' ? "it takes no arguments" : "nothing more can follow");
            }
            if (!take_value(&r, arg)) {
                return false;
            }
        }
    }
    for (unsigned n = 0; n < a->count; n++) {
        Arg *arg = &a->args[n];

        if (arg->field.type == ARG_CPU) {
            arg->num = m->cpu;
            arg->given = true;
        } else if (!arg->given && !arg->field.optional) {
            return wrong(&r, r.at, "%s is missing", arg->field.name);
        }
    }
    return true;
}

/* ---- help ---- */

static void print_field(const ArgField *f, FILE *out)
{
    const char *shown = f->type == ARG_CHOICE ? f->kind : f->type == ARG_BOOL ? "on|off" : f->name;

    fprintf(out, " %s", f->optional && f->type != ARG_FORMAT ? "[" : f->type == ARG_FORMAT ? "/" : "");
    if (f->option != '\0') {
        fprintf(out, "-%c%s%s", f->option, f->type != ARG_BOOL ? " " : "", f->type != ARG_BOOL ? shown : "");
    } else {
        fputs(shown, out);
    }
    fputs(f->optional && f->type != ARG_FORMAT ? "]" : "", out);
}

void hmp_args_print(const Command *c, FILE *out)
{
    const char *spec = c->args;
    ArgField f;

    while (arg_next(&spec, &f)) {
        if (f.type != ARG_CPU) {
            print_field(&f, out);
        }
    }
}
