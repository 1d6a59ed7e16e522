/*
 * The human monitor: what is on the screen.
 */
#include "monitor/hmp-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/display/screen.h"
#include "monitor/ops.h"

/* The text on the screen goes to the monitor, or to a file. */
static void dump_text(FILE *out, Screen *screen, const char *path)
{
    autofree char *text = NULL;
    FILE *f;

    machine_lock();
    text = screen_text(screen);
    machine_unlock();
    if (text == NULL) {
        fprintf(out, "Error: the screen shows graphics; screendump FILE takes a picture\n");
        return;
    }
    if (*path == '\0') {
        fputs(text, out);
        return;
    }
    f = host_fopen(path, "w");
    if (f == NULL || fputs(text, f) < 0) {
        fprintf(out, "Error: cannot write '%s': %s\n", path, strerror(errno));
    }
    if (f != NULL) {
        fclose(f);
    }
}

void hmp_screendump(HmpSession *m, FILE *out, char *arg)
{
    DumpFormat format = DUMP_PPM;
    bool text = false;
    char *word = hmp_word(&arg);
    const char *format_name = "ppm", *which = NULL;
    Error *err = NULL;
    Screen *screen;

    while (word[0] == '-') {
        if (strcmp(word, "-t") == 0) {
            text = true;
        } else if (strcmp(word, "-f") == 0) {
            format_name = hmp_word(&arg);
        } else if (strcmp(word, "-c") == 0) {
            which = hmp_word(&arg);
        } else {
            fprintf(out, "Error: screendump: there is no option '%s' (-c console, -f png|ppm, -t)\n", word);
            return;
        }
        word = hmp_word(&arg);
    }
    if (*arg != '-' && *arg != '\0') { /* and before it the screen, as there */
        which = hmp_word(&arg);
    }
    if (*arg == '-') { /* the format may stand last, as in QEMU's own form */
        char *last = hmp_word(&arg);

        format_name = strcmp(last, "-f") == 0 ? hmp_word(&arg) : "";
    }
    if (strcmp(format_name, "png") == 0) {
        format = DUMP_PNG;
    } else if (strcmp(format_name, "ppm") != 0) {
        fprintf(out, "Error: screendump: the format is png or ppm, not '%s'\n", format_name);
        return;
    }
    screen = which != NULL ? screen_find(which) : screen_first();
    if (screen == NULL && which != NULL) {
        fprintf(out, "Error: there is no screen '%s'\n", which);
    } else if (screen == NULL) {
        fprintf(out, "Error: there is no graphics card\n");
    } else if (text) {
        dump_text(out, screen, word);
    } else if (*word == '\0') {
        fprintf(out, "Error: screendump: no file given\n");
    } else {
        if (!op_screendump(which, word, format, &err)) {
            hmp_error(out, err);
        }
    }
}
