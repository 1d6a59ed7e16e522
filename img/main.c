/*
 * doppel-img: makes, converts and checks disk images. See img.h.
 */
#include "img/img.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"
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

/* take_common - the options of all commands, wherever they stand before a "--"; the new number of words, or -1. */
static int take_common(int argc, char **argv, Error **errp)
{
    static const char progress[] = "--progress=";
    int n = 1, to = 1;

    for (; n < argc && strcmp(argv[n], "--") != 0; n++) {
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
        } else if (strncmp(argv[n], "--object", 8) == 0) {
            error_set(errp, "--object: there is nothing here that uses one (encrypted images and TLS are not supported)");
            return -1;
        } else {
            argv[to++] = argv[n];
        }
    }
    while (n < argc) {
        argv[to++] = argv[n++];
    }
    argv[to] = NULL;
    return to;
}

static void usage(FILE *out)
{
    fprintf(out, "usage: doppel-img command [options]\n");
    for (size_t n = 0; n < ARRAY_SIZE(commands); n++) {
        fprintf(out, "  %-8s %s\n           %s\n", commands[n].name, commands[n].help, commands[n].args);
    }
    fprintf(out, "All commands: --image-opts (but create; names are driver=...,file.filename=...), --progress=none|percent|line|json.\n");
    fprintf(out, "Formats: raw, qcow2, vdi, vhdx, vmdk, vpc. Sizes take k, M, G, T, P, E.\n");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    Error *err = NULL;
    Nearest near;

    report_setup("doppel-img", false, false);
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
            argc = take_common(argc - 1, argv + 1, &err);
            return argc < 0 ? img_fail(err) : commands[n].run(argc, argv + 1);
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
