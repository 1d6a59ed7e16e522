/*
 * The human monitor: VNC servers and their passwords.
 */
#include "monitor/hmp-internal.h"

#include <string.h>
#include "base/error.h"
#include "ui/vnc.h"

void hmp_info_vnc(HmpSession *m, FILE *out, const Args *a)
{
    vnc_info(out);
}

static void password_typed(HmpSession *m, FILE *out, char *text)
{
    Error *err = NULL;

    if (!vnc_set_password(NULL, text, &err)) {
        hmp_error(out, err);
    }
}

void hmp_change_vnc(HmpSession *m, FILE *out, const char *what, const char *password)
{
    Error *err = NULL;

    if (strcmp(what, "password") != 0 && strcmp(what, "passwd") != 0) {
        if (!vnc_change(what, &err)) {
            hmp_error(out, err);
        }
    } else if (password != NULL) {
        if (!vnc_set_password(NULL, password, &err)) {
            hmp_error(out, err);
        }
    } else {
        m->ask = password_typed;
    }
}
