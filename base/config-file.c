/*
 * The files of -readconfig: an INI dialect.
 *
 *   # comment
 *   [device "net0"]
 *     driver = "virtio-net"
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"

/* What is being read. */
typedef struct Reader {
    const char *path;
    unsigned line;
    char *group; /* NULL before the first one */
    OptList *list;
    bool (*fn)(void *opaque, const char *group, OptList *l, Error **errp);
    void *opaque;
} Reader;

static char *trim(char *s)
{
    size_t n;

    while (isspace((unsigned char)*s)) {
        s++;
    }
    n = strlen(s);
    while (n > 0 && isspace((unsigned char)s[n - 1])) {
        s[--n] = '\0';
    }
    return s;
}

/* A value or id: with or without double quotes. NULL when the quotes do not match. */
static char *unquote(char *s)
{
    size_t n = strlen(s);

    if (s[0] != '"') {
        return strchr(s, '"') != NULL ? NULL : s;
    }
    if (n < 2 || s[n - 1] != '"') {
        return NULL;
    }
    s[n - 1] = '\0';
    return strchr(s + 1, '"') != NULL ? NULL : s + 1;
}

static bool end_group(Reader *r, Error **errp)
{
    OptList *l = r->list;
    bool ok;

    if (r->group == NULL) {
        return true;
    }
    r->list = NULL;
    ok = r->fn(r->opaque, r->group, l, errp);
    if (!ok) {
        error_prepend(errp, "%s: [%s]: ", r->path, r->group);
    }
    free(r->group);
    r->group = NULL;
    return ok;
}

static bool bad_line(Reader *r, const char *why, Error **errp)
{
    error_set(errp, "%s:%u: %s", r->path, r->line, why);
    return false;
}

static bool group_line(Reader *r, char *s, Error **errp)
{
    char *close = strrchr(s, ']'), *id;
    size_t n;

    if (close == NULL || close[1] != '\0') {
        return bad_line(r, "a group is written [name] or [name \"id\"]", errp);
    }
    if (!end_group(r, errp)) {
        return false;
    }
    *close = '\0';
    s = trim(s + 1);
    n = strcspn(s, " \t\"");
    id = trim(s + n);
    if (n == 0 || (*id != '\0' && (id = unquote(id)) == NULL)) {
        return bad_line(r, "a group is written [name] or [name \"id\"]", errp);
    }
    r->list = opt_new();
    if (*id != '\0') {
        opt_set(r->list, "id", id);
    }
    r->group = xstrndup(s, n);
    return true;
}

static bool read_line(Reader *r, char *s, Error **errp)
{
    char *eq, *value;

    s = trim(s);
    if (*s == '\0' || *s == '#' || *s == ';') {
        return true;
    }
    if (*s == '[') {
        return group_line(r, s, errp);
    }
    eq = strchr(s, '=');
    if (eq == NULL || eq == s) {
        return bad_line(r, "neither [group] nor key = \"value\"", errp);
    }
    *eq = '\0';
    value = unquote(trim(eq + 1));
    if (value == NULL) {
        return bad_line(r, "the quotes do not match", errp);
    }
    if (r->group == NULL) {
        return bad_line(r, "a key before the first [group]", errp);
    }
    opt_set(r->list, trim(s), value);
    return true;
}

bool config_read(const char *path,
                 bool (*fn)(void *opaque, const char *group, OptList *l, Error **errp),
                 void *opaque, Error **errp)
{
    Reader r = { .path = path, .fn = fn, .opaque = opaque };
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0;
    bool ok = true;

    if (f == NULL) {
        error_set_errno(errp, errno, "cannot read config file %s", path);
        return false;
    }
    while (ok && getline(&line, &cap, f) >= 0) {
        r.line++;
        ok = read_line(&r, line, errp);
    }
    if (ok && ferror(f)) {
        error_set_errno(errp, errno, "cannot read config file %s", path);
        ok = false;
    }
    fclose(f);
    free(line);
    ok = ok && end_group(&r, errp);
    opt_free(r.list);
    free(r.group);
    return ok;
}
