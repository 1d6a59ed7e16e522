/*
 * doppel-io: reads and writes images for tests, and by hand. See io.h.
 */
#include "img/io/io.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include <config.h>

enum { WORDS_MAX = 64, COMMANDS_MAX = 256 };

int64_t io_number(const char *text)
{
    uint64_t v;

    if (!text_size(text, 1, &v) || v > INT64_MAX) {
        printf("Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- %s\n", text);
        return -1;
    }
    return (int64_t)v;
}

const char *io_human(double v, char buf[32])
{
    static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    unsigned n = 0;

    while (v >= 1024 && n + 1 < ARRAY_SIZE(units)) {
        v /= 1024;
        n++;
    }
    snprintf(buf, 32, fmod(v, 1) == 0 ? "%.0f %s" : "%.3f %s", v, units[n]);
    return buf;
}

bool io_open(IoState *s, const char *path, unsigned flags, BlockCache cache)
{
    Error *err = NULL;

    if (s->img != NULL) {
        report("file open already, try 'help close'");
        return false;
    }
    s->img = image_open_with(path, s->format, flags, cache, &err);
    if (s->img == NULL) {
        error_prepend(&err, "can't open%s%s: ", strcmp(path, "") != 0 ? " device " : "", path);
        error_report(err);
    }
    return s->img != NULL;
}

static const IoCommand *find(const char *name)
{
    const IoCommand *c = io_commands;

    while (c->name != NULL && strcmp(c->name, name) != 0) {
        c++;
    }
    return c->name != NULL ? c : NULL;
}

static int too_few(const IoCommand *c, int n)
{
    if (c->max < 0) {
        fprintf(stderr, "bad argument count %d to %s, expected at least %d arguments\n", n, c->name, c->min);
    } else if (c->min == c->max) {
        fprintf(stderr, "bad argument count %d to %s, expected %d arguments\n", n, c->name, c->min);
    } else {
        fprintf(stderr, "bad argument count %d to %s, expected between %d and %d arguments\n", n, c->name, c->min, c->max);
    }
    return -1;
}

static int help(int argc, char **argv)
{
    const IoCommand *one = argc > 1 ? find(argv[1]) : NULL;

    if (argc > 1 && one == NULL) {
        printf("command %s not found\n", argv[1]);
        return -1;
    }
    for (const IoCommand *c = io_commands; c->name != NULL; c++) {
        if (one == NULL || c == one) {
            printf("%s %s -- %s\n", c->name, c->args, c->help);
        }
    }
    printf("%s", one == NULL ? "\nUse 'help commandname' for extended help.\n" : "");
    return 0;
}

/* run_line - a command and its words; its result. */
static int run_line(IoState *s, const char *text)
{
    autofree char *line = xstrdup(text);
    char *argv[WORDS_MAX + 1], *save = NULL;
    const IoCommand *c;
    int argc = 0;

    for (char *w = strtok_r(line, " \t\n", &save); w != NULL && argc < WORDS_MAX; w = strtok_r(NULL, " \t\n", &save)) {
        argv[argc++] = w;
    }
    argv[argc] = NULL;
    if (argc == 0) {
        return 0;
    }
    if (strcmp(argv[0], "help") == 0 || strcmp(argv[0], "?") == 0) {
        return help(argc, argv);
    }
    c = find(strcmp(argv[0], "q") == 0 ? "quit" : strcmp(argv[0], "r") == 0 ? "read" : strcmp(argv[0], "w") == 0 ? "write"
             : strcmp(argv[0], "d") == 0 ? "discard" : strcmp(argv[0], "f") == 0 ? "flush" : argv[0]);
    if (c == NULL) {
        fprintf(stderr, "command \"%s\" not found\n", argv[0]);
        return -1;
    }
    if (!c->no_image && s->img == NULL) {
        report("no file open, try 'help open'");
        return -1;
    }
    if (argc - 1 < c->min || (c->max >= 0 && argc - 1 > c->max)) {
        return too_few(c, argc - 1);
    }
    return c->run(s, argc, argv);
}

static void usage(FILE *out)
{
    fprintf(out, "usage: doppel-io [-h] [-V] [-rsnkUm] [-f FMT] [-c STRING] ... [file]\n"
                 "  -c, --cmd STRING     execute command (see 'help')\n  -f, --format FMT     the image's format\n"
                 "  -r, --read-only      open it read-only\n  -s, --snapshot       write nothing to it\n"
                 "  -n, --nocache        past the page cache\n  -t, --cache MODE     cache mode\n"
                 "  -U, --force-share    read it though others write\n  -m, --misalign       buffers that are not aligned\n");
}

typedef struct IoArgs {
    const char *commands[COMMANDS_MAX];
    int count;
    unsigned flags;
    BlockCache cache;
    bool snapshot;
} IoArgs;

static bool cache_mode(IoArgs *a, const char *mode)
{
    bool direct = strcmp(mode, "none") == 0 || strcmp(mode, "directsync") == 0;

    a->flags |= direct ? IMAGE_DIRECT : 0;
    a->cache = strcmp(mode, "unsafe") == 0 ? BLK_UNSAFE
               : strcmp(mode, "writethrough") == 0 || strcmp(mode, "directsync") == 0 ? BLK_WRITETHROUGH : BLK_WRITEBACK;
    if (!direct && a->cache == BLK_WRITEBACK && strcmp(mode, "writeback") != 0) {
        report("Invalid cache option: %s", mode);
        return false;
    }
    return true;
}

/* take_args - -1, or the exit code. */
static int take_args(IoState *s, IoArgs *a, int argc, char **argv)
{
    static const struct option options[] = {
        { "help", no_argument, NULL, 'h' },          { "version", no_argument, NULL, 'V' },
        { "cmd", required_argument, NULL, 'c' },     { "format", required_argument, NULL, 'f' },
        { "read-only", no_argument, NULL, 'r' },     { "snapshot", no_argument, NULL, 's' },
        { "nocache", no_argument, NULL, 'n' },       { "misalign", no_argument, NULL, 'm' },
        { "force-share", no_argument, NULL, 'U' },   { "cache", required_argument, NULL, 't' },
        { "native-aio", no_argument, NULL, 'k' },    { "discard", required_argument, NULL, 'd' },
        { "aio", required_argument, NULL, 'i' },     { NULL, 0, NULL, 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "hVc:f:rsnmkUt:d:i:", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            if (a->count == COMMANDS_MAX) {
                report("more than %d commands", COMMANDS_MAX);
                return 1;
            }
            a->commands[a->count++] = optarg;
            break;
        case 'f': s->format = optarg; break;
        case 'r': a->flags |= IMAGE_READ_ONLY; break;
        case 's': a->snapshot = true; break;
        case 'n': a->flags |= IMAGE_DIRECT; break;
        case 'm': s->misaligned = true; break;
        case 'U': a->flags |= IMAGE_FORCE_SHARE; break;
        case 'd': /* discard is always done */
        case 'i':
        case 'k': break; /* threads in each of these */
        case 't':
            if (!cache_mode(a, optarg)) {
                return 1;
            }
            break;
        case 'h': usage(stdout); return 0;
        case 'V': printf("qemu-io version %s (doppel %s)\n", QEMU_COMPAT_VERSION, DOPPEL_VERSION); return 0;
        default: usage(stderr); return 1;
        }
    }
    return -1;
}

/* cover - -s: what is written goes to an image in front. */
static bool cover(IoState *s)
{
    Error *err = NULL;
    BlockImage *front = image_overlay(s->img, &err);

    if (front == NULL) {
        error_report(err);
        return false;
    }
    s->img = front;
    return true;
}

int main(int argc, char **argv)
{
    IoState s = { 0 };
    IoArgs a = { .cache = BLK_WRITEBACK };
    char *line = NULL;
    size_t room = 0;
    int r = 0, code;

    report_setup("doppel-io", false, false);
    code = take_args(&s, &a, argc, argv);
    if (code >= 0) {
        return code;
    }
    if (argc - optind > 1) {
        usage(stderr);
        return 1;
    }
    if (optind < argc && (!io_open(&s, argv[optind], a.flags | (a.snapshot ? IMAGE_READ_ONLY : 0), a.cache) ||
                          (a.snapshot && !cover(&s)))) {
        image_unref(s.img);
        return 1;
    }
    code = 0;
    for (int n = 0; n < a.count && !s.quit; n++) {
        r = run_line(&s, a.commands[n]);
        code |= r < 0;
    }
    while (a.count == 0 && !s.quit) {
        printf("doppel-io> ");
        fflush(stdout);
        if (getline(&line, &room, stdin) < 0) {
            break;
        }
        code |= run_line(&s, line) < 0;
    }
    free(line);
    if (s.img != NULL && (r = image_flush(s.img)) != 0) {
        report("%s: %s", s.img->file, strerror(-r));
        code = 1;
    }
    image_unref(s.img);
    return code;
}
