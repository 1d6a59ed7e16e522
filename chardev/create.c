/*
 * Making character devices: from -chardev, and from what -serial and -monitor take.
 */
#include "chardev/backends.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "chardev/registry.h"

const CharBackend *const chardev_backends[] = {
    &chardev_file,   &chardev_null,   &chardev_pipe,  &chardev_pty, &chardev_ringbuf,
    &chardev_serial, &chardev_socket, &chardev_stdio, &chardev_vc,  &chardev_summa,
    &chardev_msmouse, NULL,
};

/* Known to others and refused by name. */
static const char *const not_yet[] = {
    "udp",       "parallel",  "parport",      "braille",
    "mux",       "spicevmc", "spiceport", "qemu-vdagent", "dbus",    "wctablet",
    "websocket", "testdev",  "con",       "hub",
};

bool chardev_is_terminal(const Chardev *c)
{
    return c->tty_in || c->be == &chardev_vc;
}

const char *chardev_backend_name(unsigned n)
{
    return n < ARRAY_SIZE(chardev_backends) && chardev_backends[n] != NULL ? chardev_backends[n]->name : NULL;
}

void chardev_help(FILE *out)
{
    fprintf(out, "Available chardev backend types:\n");
    for (const CharBackend *const *b = chardev_backends; *b != NULL; b++) {
        fprintf(out, "  %s\n", (*b)->name);
    }
}

static const CharBackend *find_backend(const char *name, Error **errp)
{
    autofree char *hint = NULL;
    Nearest near;

    for (const CharBackend *const *b = chardev_backends; *b != NULL; b++) {
        if (strcmp((*b)->name, name) == 0 ||
            ((*b)->alias != NULL && strcmp((*b)->alias, name) == 0)) {
            return *b;
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(not_yet); i++) {
        if (strcmp(not_yet[i], name) == 0) {
            error_set(errp, "chardev back end '%s' is not supported yet", name);
            return NULL;
        }
    }
    nearest_init(&near, name);
    for (const CharBackend *const *b = chardev_backends; *b != NULL; b++) {
        nearest_offer(&near, (*b)->name);
    }
    hint = nearest_hint(&near);
    error_set(errp, "'%s' is not a chardev back end%s", name, hint);
    return NULL;
}

static bool open_log(Chardev *c, OptList *l, Error **errp)
{
    const char *path = opt_get_str(l, "logfile", NULL);
    bool append = opt_get_bool(l, "logappend", false);

    if (path == NULL) {
        return true;
    }
    c->log_fd = host_open(path, O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC), 0666);
    if (c->log_fd < 0) {
        error_set_errno(errp, errno, "logfile %s", path);
        return false;
    }
    return true;
}

Chardev *chardev_new(OptList *l, Error **errp)
{
    const char *name = opt_get_str(l, "backend", NULL), *id = opt_get_str(l, "id", NULL);
    const CharBackend *be;
    Chardev *c;

    if (name == NULL) {
        error_set(errp, "the back end is missing");
        return NULL;
    }
    be = find_backend(name, errp);
    if (be == NULL) {
        return NULL;
    }
    if (id == NULL || *id == '\0') {
        error_set(errp, "%s: id= is missing", name);
        return NULL;
    }
    if (chardev_find(id) != NULL) {
        error_set(errp, "chardev '%s' is there already", id);
        return NULL;
    }
    c = chardev_make(be, id);
    c->mux = opt_get_bool(l, "mux", false);
    if (!open_log(c, l, errp) || !be->open(c, l, errp)) {
        chardev_unmake(c);
        return NULL;
    }
    chardev_enlist(c);
    if (!opt_done(l, errp)) {
        chardev_free(c);
        return NULL;
    }
    return c;
}

/* ---- legacy strings ---- */

/* The part of @text behind @prefix, or NULL. */
static const char *behind(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);

    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* "host:port", "[v6]:port" or ":port" into host= and port=. */
static bool split_host(OptList *l, Error **errp)
{
    const char *addr = opt_get_str(l, "legacy-address", "");
    const char *colon = strrchr(addr, ':');
    autofree char *host = NULL;

    if (colon == NULL || colon[1] == '\0') {
        error_set(errp, "\"%s\" is not host:port", addr);
        return false;
    }
    if (addr[0] == '[' && colon > addr && colon[-1] == ']') {
        host = xstrndup(addr + 1, (size_t)(colon - addr) - 2);
    } else {
        host = xstrndup(addr, (size_t)(colon - addr));
    }
    opt_set(l, "host", host);
    opt_set(l, "port", colon + 1);
    return true;
}

/* "WxH" in pixels, either with a C in characters. */
static bool split_size(OptList *l, const char *text, Error **errp)
{
    static const char *const keys[2][2] = { { "width", "cols" }, { "height", "rows" } };

    for (int n = 0; n < 2; n++) {
        size_t digits = strspn(text, "0123456789");
        bool chars = text[digits] == 'C';
        autofree char *value = xstrndup(text, digits);

        if (digits == 0 || text[digits + chars] != (n == 0 ? 'x' : '\0')) {
            error_set(errp, "the size of a vc is WxH, or 80Cx24C in characters");
            return false;
        }
        opt_set(l, keys[n][chars], value);
        text += digits + chars + 1;
    }
    return true;
}

/* The sub-options that @text stands for, but for id and mux. */
static OptList *legacy_list(const char *text, bool mon, Error **errp)
{
    static const struct {
        const char *prefix, *backend, *implied;
    } forms[] = {
        { "file:", "file", NULL },
        { "pipe:", "pipe", NULL },
        { "unix:", "socket", "path" },
        { "tcp:", "socket", "legacy-address" },
        { "telnet:", "socket", "legacy-address" },
    };
    OptList *l = opt_new();
    const char *rest;

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        rest = behind(text, forms[i].prefix);
        if (rest == NULL) {
            continue;
        }
        if (forms[i].implied == NULL) {
            opt_set(l, "path", rest); /* all of it: file names may have commas */
        } else {
            bool tcp = strcmp(forms[i].implied, "path") != 0;
            if (!opt_add(l, rest, forms[i].implied, errp) || (tcp && !split_host(l, errp))) {
                opt_free(l);
                return NULL;
            }
        }
        if (forms[i].prefix[1] == 'e') {
            opt_set(l, "telnet", "on");
        }
        opt_set(l, "backend", forms[i].backend);
        return l;
    }
    rest = behind(text, "vc:");
    if (rest != NULL) {
        opt_set(l, "backend", "vc");
        if (!split_size(l, rest, errp)) {
            opt_free(l);
            return NULL;
        }
        return l;
    }
    if (strncmp(text, "/dev/", 5) == 0) {
        opt_set(l, "backend", "serial");
        opt_set(l, "path", text);
        return l;
    }
    if (strcmp(text, "stdio") == 0 && mon) {
        opt_set(l, "signal", "off"); /* Ctrl-C is for the guest */
    }
    if (strcmp(text, "none") == 0) {
        text = "null";
    }
    rest = text + strcspn(text, ":,");
    {
        autofree char *name = xstrndup(text, (size_t)(rest - text));
        opt_set(l, "backend", name);
    }
    if (*rest == ',' && !opt_add(l, rest + 1, NULL, errp)) {
        opt_free(l);
        return NULL;
    }
    if (*rest == ':' && rest[1] != '\0') {
        Error *err = NULL;
        if (find_backend(opt_get_str(l, "backend", ""), &err) != NULL) {
            error_set(&err, "'%s' is not a chardev back end", text);
        }
        error_move(errp, err);
        opt_free(l);
        return NULL;
    }
    return l;
}

Chardev *chardev_from_legacy(const char *text, const char *id, Error **errp)
{
    const char *rest = behind(text, "chardev:"), *mon = behind(text, "mon:");
    OptList *l;
    Chardev *c;

    if (rest != NULL) {
        c = chardev_find(rest);
        if (c == NULL) {
            error_set(errp, "there is no chardev '%s'", rest);
        }
        return c;
    }
    l = legacy_list(mon != NULL ? mon : text, mon != NULL, errp);
    if (l == NULL) {
        return NULL;
    }
    opt_set(l, "id", id);
    if (mon != NULL) {
        opt_set(l, "mux", "on");
    }
    c = chardev_new(l, errp);
    opt_free(l);
    return c;
}
