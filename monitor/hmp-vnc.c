/*
 * The human monitor: VNC servers and their passwords.
 */
#include "monitor/hmp-internal.h"

#include <string.h>
#include "base/error.h"
#include "monitor/ops.h"
#include "ui/vnc.h"

void hmp_info_vnc(HmpSession *m, FILE *out, char *arg)
{
    vnc_info(out);
}

/* take_display - an option "-d id" before or behind the words; NULL: none. */
static const char *take_display(char **arg)
{
    const char *word = *arg + strspn(*arg, " ");

    if (strncmp(word, "-d ", 3) != 0) {
        return NULL;
    }
    hmp_word(arg);
    return hmp_word(arg);
}

static bool is_vnc(FILE *out, const char *protocol)
{
    if (strcmp(protocol, "vnc") == 0) {
        return true;
    }
    fprintf(out, "Error: protocol '%s': there is vnc\n", protocol);
    return false;
}

void hmp_set_password(HmpSession *m, FILE *out, char *arg)
{
    const char *display = take_display(&arg), *protocol = hmp_word(&arg), *password = hmp_word(&arg);
    const char *connected;
    Error *err = NULL;

    display = display != NULL ? display : take_display(&arg);
    connected = hmp_word(&arg);
    if (*protocol == '\0' || *password == '\0') {
        hmp_usage(out, "set_password");
    } else if (is_vnc(out, protocol)) {
        if (*connected != '\0' && strcmp(connected, "keep") != 0) {
            fprintf(out, "Error: those who are connected stay: '%s' is not keep\n", connected);
        } else if (!vnc_set_password(display, password, &err)) {
            hmp_error(out, err);
        }
    }
}

void hmp_expire_password(HmpSession *m, FILE *out, char *arg)
{
    const char *display = take_display(&arg), *protocol = hmp_word(&arg), *text = hmp_word(&arg);
    Error *err = NULL;

    display = display != NULL ? display : take_display(&arg);
    if (*protocol == '\0' || *text == '\0') {
        hmp_usage(out, "expire_password");
    } else if (is_vnc(out, protocol)) {
        if (!op_expire_password(display, text, &err)) {
            hmp_error(out, err);
        }
    }
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

    if (*what == '\0') {
        hmp_usage(out, "change");
    } else if (strcmp(what, "password") != 0 && strcmp(what, "passwd") != 0) {
        if (!vnc_change(what, &err)) {
            hmp_error(out, err);
        }
    } else if (*password != '\0') {
        if (!vnc_set_password(NULL, password, &err)) {
            hmp_error(out, err);
        }
    } else {
        m->ask = password_typed;
    }
}
