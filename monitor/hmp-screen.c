/*
 * The human monitor: what is on the screen.
 */
#include "monitor/hmp-internal.h"

#include <errno.h>
#include <string.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/display/screen.h"
#include "monitor/ops.h"

/* The text on the screen goes to the monitor, or to a file. */
static void dump_text(FILE *out, const char *which, const char *path)
{
    Error *err = NULL;
    Screen *screen = op_screen(which, &err);
    autofree char *text = NULL;
    FILE *f;

    if (screen == NULL) {
        hmp_error(out, err);
        return;
    }
    machine_lock();
    text = screen_text(screen);
    machine_unlock();
    if (text == NULL) {
        fprintf(out, "Error: the screen shows graphics; screendump FILE takes a picture\n");
        return;
    }
    if (path == NULL) {
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

void hmp_screendump(HmpSession *m, FILE *out, const Args *a)
{
    const char *path = arg_str(a, "filename"), *format = arg_str(a, "format"), *which = arg_str(a, "console");
    bool png = format != NULL && strcmp(format, "png") == 0;
    Error *err = NULL;

    which = which != NULL ? which : arg_str(a, "device");
    if (arg_bool(a, "text", false)) {
        dump_text(out, which, path);
    } else if (path == NULL) {
        fprintf(out, "Error: screendump: no file given\n");
    } else if (!op_screendump(which, path, png ? DUMP_PNG : DUMP_PPM, &err)) {
        hmp_error(out, err);
    }
}
