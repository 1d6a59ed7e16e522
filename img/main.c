/*
 * doppel-img: makes, converts and checks disk images. See img.h.
 */
#include "img/img.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"
#include <config.h>

static const ImgCommand commands[] = {
#define IMG_COMMAND(name, args, help, fn) { name, args, help, fn },
#include "img/commands.inc"
#undef IMG_COMMAND
};

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

void progress_add(Progress *p, uint64_t done)
{
    unsigned now;

    p->done += done;
    now = p->total == 0 ? 10000 : (unsigned)((double)p->done / (double)p->total * 10000);
    if (p->on && now != p->shown) {
        p->shown = now;
        printf("    (%u.%02u/100%%)\r", now / 100, now % 100);
        fflush(stdout);
    }
}

void progress_end(Progress *p)
{
    if (p->on) {
        printf("    (100.00/100%%)\n");
    }
}

static void usage(FILE *out)
{
    fprintf(out, "usage: doppel-img command [options]\n");
    for (size_t n = 0; n < ARRAY_SIZE(commands); n++) {
        fprintf(out, "  %-8s %s\n           %s\n", commands[n].name, commands[n].help, commands[n].args);
    }
    fprintf(out, "Formats: raw, qcow2, vdi, vhdx, vmdk, vpc. Sizes take k, M, G, T, P, E.\n");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
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
            return commands[n].run(argc - 1, argv + 1);
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
