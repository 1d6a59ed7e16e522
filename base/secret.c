/*
 * Secrets: see secret.h.
 */
#include "base/secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"

enum { SECRET_MAX = 64 * 1024 };

typedef struct Secret {
    char *id, *bytes;
    size_t len;
    struct Secret *next;
} Secret;

static Secret *secrets;

static char *read_file(const char *path, size_t *len, Error **errp)
{
    FILE *f = host_fopen(path, "rb");
    char *bytes = xnewn(char, SECRET_MAX + 2);

    errno = 0;
    *len = f != NULL ? fread(bytes, 1, SECRET_MAX + 1, f) : 0;
    if (f == NULL || ferror(f)) {
        error_set_errno(errp, errno, "cannot read '%s'", path);
    } else if (*len > SECRET_MAX) {
        error_set(errp, "'%s' is larger than %d bytes", path, SECRET_MAX);
    } else {
        fclose(f);
        return bytes;
    }
    if (f != NULL) {
        fclose(f);
    }
    free(bytes);
    return NULL;
}

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c != '\0' ? strchr(digits, c) : NULL;

    return p != NULL ? (int)(p - digits) : -1;
}

/* base64 - in place (RFC 4648); blanks and line ends are passed over. False: it is none. */
static bool base64(char *text, size_t *len)
{
    unsigned bits = 0, have = 0, pad = 0, count = 0;
    size_t out = 0;

    for (size_t n = 0; n < *len; n++) {
        int v = digit(text[n]);

        if (strchr(" \t\r\n", text[n]) != NULL && text[n] != '\0') {
            continue;
        }
        count++;
        if (text[n] == '=') {
            pad++;
            continue;
        }
        if (v < 0 || pad > 0) {
            return false;
        }
        bits = bits << 6 | (unsigned)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            text[out++] = (char)(bits >> have);
        }
    }
    *len = out;
    text[out] = '\0';
    return count % 4 == 0 && pad <= 2;
}

bool secret_new(OptList *l, Error **errp)
{
    static const char *const formats[] = { "raw", "base64", NULL };
    const char *id = opt_get_str(l, "id", NULL), *data = opt_get_str(l, "data", NULL);
    const char *file = opt_get_str(l, "file", NULL);
    bool coded = opt_get_choice(l, "format", formats, 0) == 1;
    char *bytes = NULL;
    size_t len = 0;
    Secret *s;

    if (opt_has(l, "keyid") || opt_has(l, "iv")) {
        opt_bad(l, "keyid= and iv=: encrypted secrets are not supported yet");
        opt_known(l, "keyid");
        opt_known(l, "iv");
    }
    if (!opt_done(l, errp)) {
        return false;
    }
    if (id == NULL || *id == '\0' || (data == NULL) == (file == NULL)) {
        error_set(errp, "secret: want id=, and data= or file=");
        return false;
    }
    if (secret_find(id, NULL) != NULL) {
        error_set(errp, "secret '%s' is there already", id);
        return false;
    }
    if (data != NULL) {
        bytes = xstrdup(data);
        len = strlen(data);
    } else {
        bytes = read_file(file, &len, errp);
        if (bytes == NULL) {
            return false;
        }
    }
    if (coded && !base64(bytes, &len)) {
        error_set(errp, "secret '%s' is not base64", id);
        free(bytes);
        return false;
    }
    s = xnew(Secret);
    s->id = xstrdup(id);
    s->bytes = bytes;
    s->len = len;
    s->next = secrets;
    secrets = s;
    return true;
}

bool secret_del(const char *id)
{
    for (Secret **p = &secrets; *p != NULL; p = &(*p)->next) {
        Secret *s = *p;

        if (strcmp(s->id, id) == 0) {
            *p = s->next;
            explicit_bzero(s->bytes, s->len);
            free(s->bytes);
            free(s->id);
            free(s);
            return true;
        }
    }
    return false;
}

const char *secret_find(const char *id, size_t *len)
{
    for (const Secret *s = secrets; s != NULL; s = s->next) {
        if (strcmp(s->id, id) == 0) {
            if (len != NULL) {
                *len = s->len;
            }
            return s->bytes;
        }
    }
    return NULL;
}
