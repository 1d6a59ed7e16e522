/*
 * doppel-img: makes, converts and checks disk images. See img.h.
 */
#include "img/img.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/secret.h"
#include "base/text.h"
#include "base/trace.h"
#include "block/node.h"
#include <config.h>

static const ImgCommand commands[] = {
#define IMG_COMMAND(name, args, help, fn) { name, args, help, fn },
#include "img/commands.inc"
#undef IMG_COMMAND
};

static bool image_opts; /* names of images are options */

int img_fail(Error *err)
{
    error_report(err);
    return 1;
}

int img_usage(const char *name, const char *why)
{
    for (size_t n = 0; n < ARRAY_SIZE(commands); n++) {
        if (strcmp(commands[n].name, name) == 0) {
            report("%s: %s; usage: %s %s", name, why, name, commands[n].args);
        }
    }
    return 1;
}

bool img_size(const char *text, uint64_t *size, Error **errp)
{
    if (!text_size(text, 1, size) || *size > INT64_MAX) {
        error_set(errp, "Invalid image size specified: '%s' (a number, perhaps with k, M, G, T, P or E)", text);
        return false;
    }
    return true;
}

const char *img_snapshot_name(const char *arg)
{
    static const char key[] = "snapshot.name=";

    return strncmp(arg, key, strlen(key)) == 0 ? arg + strlen(key) : arg;
}

bool img_output(const char *text, bool *json, Error **errp)
{
    *json = strcmp(text, "json") == 0;
    if (!*json && strcmp(text, "human") != 0) {
        error_set(errp, "--output must be used with human or json as argument");
        return false;
    }
    return true;
}

bool img_cache(const char *text, ImgCache *c, Error **errp)
{
    static const struct {
        const char *name;
        ImgCache cache;
    } modes[] = {
        { "writeback", { BLK_WRITEBACK, 0 } },      { "none", { BLK_WRITEBACK, IMAGE_DIRECT } },
        { "off", { BLK_WRITEBACK, IMAGE_DIRECT } }, { "writethrough", { BLK_WRITETHROUGH, 0 } },
        { "unsafe", { BLK_UNSAFE, 0 } },            { "directsync", { BLK_WRITETHROUGH, IMAGE_DIRECT } },
    };

    for (size_t n = 0; n < ARRAY_SIZE(modes); n++) {
        if (strcmp(modes[n].name, text) == 0) {
            *c = modes[n].cache;
            return true;
        }
    }
    error_set(errp, "Invalid cache option: %s", text);
    return false;
}

void img_json(const char *text)
{
    putchar('"');
    for (; *text != 0; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c < 32) {
            printf("\\u%04x", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

const char *img_human(uint64_t bytes, char buf[32])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double val = (double)bytes;
    unsigned n = 0;

    for (; val >= 1000 && n + 1 < ARRAY_SIZE(units); n++) { /* at most three digits before the point */
        val /= 1024;
    }
    snprintf(buf, 32, "%.3g %s", val, units[n]);
    return buf;
}

BlockImage *img_open(const char *file, const char *format, unsigned flags, BlockCache cache, Error **errp)
{
    BlockImage *img;
    OptList *l;

    if (!image_opts && !node_is_json(file)) {
        return image_open_with(file, format, flags, cache, errp);
    }
    if (format != NULL) {
        error_set(errp, image_opts ? "--image-opts and --format are mutually exclusive"
                                   : "a format beside a name in JSON, which says the driver itself");
        return NULL;
    }
    if (!image_opts) {
        return node_open_json(file + strlen("json:"), flags, cache, errp);
    }
    l = opt_parse(file, NULL, errp);
    img = l != NULL ? node_open(l, flags, cache, errp) : NULL;
    opt_free(l);
    return img;
}

/* take_object - of --object, behind a '=' or as the next word. Nothing here uses a secret: front ends give one with every image. */
static bool take_object(const char *text, Error **errp)
{
    OptList *l = text != NULL ? opt_parse(text, "qom-type", errp) : NULL;
    bool ok = false;

    if (text == NULL) {
        error_set(errp, "--object wants an object");
    } else if (l != NULL && strcmp(opt_get_str(l, "qom-type", ""), "secret") == 0) {
        ok = secret_new(l, errp);
    } else if (l != NULL) {
        error_set(errp, "--object %s: only secret is supported", text);
    }
    opt_free(l);
    return ok;
}

/* short_spelling - of a word that other versions and commands spell long: the letter, which the command has or refuses. */
static char *short_spelling(char *word)
{
    static const char format[] = "--format";
    static char share[] = "-U", f[] = "-f";
    size_t len = strlen(format);

    if (strcmp(word, "--force-share") == 0) {
        return share;
    }
    if (strncmp(word, format, len) == 0 && (word[len] == 0 || word[len] == '=')) {
        return word[len] == 0 ? f : xasprintf("-f%s", word + len + 1);
    }
    return word;
}

/* take_common - the options of all commands, wherever they stand before a "--"; the new number of words, or -1. */
static int take_common(int argc, char **argv, Error **errp)
{
    static const char progress[] = "--progress=", object[] = "--object";
    int n = 1, to = 1;

    for (; n < argc && strcmp(argv[n], "--") != 0; n++) {
        size_t len = strlen(object);

        if (strcmp(argv[n], "--image-opts") == 0 && strcmp(argv[0], "create") == 0) {
            error_set(errp, "create: --image-opts is for images that are there");
            return -1;
        }
        if (strcmp(argv[n], "--image-opts") == 0) {
            image_opts = true;
        } else if (strncmp(argv[n], progress, strlen(progress)) == 0) {
            if (!img_progress_style(argv[n] + strlen(progress), errp)) {
                return -1;
            }
        } else if (strncmp(argv[n], object, len) == 0 && (argv[n][len] == '=' || argv[n][len] == 0)) {
            if (!take_object(argv[n][len] == '=' ? argv[n] + len + 1 : argv[++n], errp)) {
                return -1;
            }
        } else {
            argv[to++] = short_spelling(argv[n]);
        }
    }
    while (n < argc) {
        argv[to++] = argv[n++];
    }
    argv[to] = NULL;
    return to;
}

/* wants_help - "--help" among the words of a command. */
static bool wants_help(char **argv)
{
    for (; *argv != NULL && strcmp(*argv, "--") != 0; argv++) {
        if (strcmp(*argv, "--help") == 0 || strcmp(*argv, "-h") == 0) {
            return true;
        }
    }
    return false;
}

static int run(const ImgCommand *command, int argc, char **argv)
{
    Error *err = NULL;

    if (wants_help(argv)) {
        printf("usage: doppel-img %s %s\n%s\n", command->name, command->args, command->help);
        return 0;
    }
    argc = take_common(argc, argv, &err);
    return argc < 0 ? img_fail(err) : command->run(argc, argv);
}

static void usage(FILE *out)
{
    fprintf(out, "usage: doppel-img [-T | --trace [enable=]pattern[,events=file][,file=file]] command [options]\n");
    for (size_t n = 0; n < ARRAY_SIZE(commands); n++) {
        fprintf(out, "  %-8s %s\n           %s\n", commands[n].name, commands[n].help, commands[n].args);
    }
    fprintf(out, "All commands: --help, --image-opts (but create; names are driver=...,file.filename=...), --object secret,...,\n"
                 "--progress=none|percent|line|json; --format for -f, --force-share for -U; -o help lists the options of -o.\n");
    fprintf(out, "Formats: raw, qcow2, vdi, vhdx, vmdk, vpc. Sizes take k, M, G, T, P, E.\n");
}

int main(int argc, char **argv)
{
    Error *err = NULL;
    const char *name;
    Nearest near;

    report_setup("doppel-img", false, false);
    while (argc > 2 && (strcmp(argv[1], "-T") == 0 || strcmp(argv[1], "--trace") == 0)) {
        if (opt_is_help(argv[2])) {
            trace_list(stdout);
            return 0;
        }
        if (!trace_option(argv[2], &err)) {
            return img_fail(err);
        }
        argv += 2;
        argc -= 2;
    }
    name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        usage(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("qemu-img version %s (doppel %s)\n", QEMU_COMPAT_VERSION, DOPPEL_VERSION);
        return 0;
    }
    nearest_init(&near, name);
    for (size_t n = 0; n < ARRAY_SIZE(commands); n++) {
        if (strcmp(commands[n].name, name) == 0) {
            return run(&commands[n], argc - 1, argv + 1);
        }
        nearest_offer(&near, commands[n].name);
    }
    if (*name == 0) {
        report("Not enough arguments; see doppel-img --help");
    } else {
        report("Command not found: %s%s%s; see doppel-img --help", name,
               near.best != NULL ? "; did you mean " : "", near.best != NULL ? near.best : "");
    }
    return 1;
}
