/*
 * JSON: see json.h. Limits on depth and size are the reader's, since whoever writes to a monitor may
 * write anything.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <json-c/json.h>
#include "base/error.h"
#include "base/mem.h"

enum { INDENT = 4 };

struct JsonReader {
    struct json_tokener *tok;
    size_t at;    /* bytes of this message so far */
    bool begun;   /* something but blanks came */
    bool skipping; /* to the end of the line */
    char quote;    /* inside a string that this one ends, else 0 */
    bool escaped;  /* and behind a backslash */
    uint8_t more, low, high; /* of a UTF-8 character: bytes to come, and the range of the next */
};

JsonReader *json_reader_new(void)
{
    JsonReader *r = xnew(JsonReader);

    r->tok = json_tokener_new_ex(JSON_DEPTH_MAX);
    if (r->tok == NULL) {
        abort(); /* as xnew() does */
    }
    return r;
}

void json_reader_free(JsonReader *r)
{
    if (r != NULL) {
        json_tokener_free(r->tok);
        free(r);
    }
}

void json_reader_reset(JsonReader *r)
{
    json_tokener_reset(r->tok);
    r->at = 0;
    r->begun = r->skipping = r->escaped = false;
    r->quote = '\0';
    r->more = 0;
}

/* is_utf8 - whether @c may come next (RFC 3629, section 4). json-c's own check knows nothing of pieces. */
static bool is_utf8(JsonReader *r, uint8_t c)
{
    if (r->more > 0) {
        bool ok = c >= r->low && c <= r->high;

        r->more--;
        r->low = 0x80;
        r->high = 0xbf;
        return ok;
    }
    r->more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    r->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    r->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    return c < 0x80 || (c >= 0xc2 && c <= 0xf4);
}

/* is_json - what may stand outside of strings; of letters, those of true, false, null and 1e5. */
static bool is_json(char c)
{
    return c != '\0' && strchr(" \t\r\n{}[]:,\"'+-.0123456789Eaeflnrstu", c) != NULL;
}

/* allowed - how many bytes may stand in a message. json-c takes comments and line ends in strings, in which all
 * that follows a missing end would be lost; and NaN, which others would not take back. */
static size_t allowed(JsonReader *r, const char *buf, size_t len)
{
    for (size_t n = 0; n < len; n++) {
        char c = buf[n];

        if (!is_utf8(r, (uint8_t)c) || (r->quote != '\0' && (uint8_t)c < 32) || (r->quote == '\0' && !is_json(c))) {
            return n;
        }
        if (r->escaped) {
            r->escaped = false;
        } else if (r->quote != '\0') {
            r->escaped = c == '\\';
            r->quote = c == r->quote ? '\0' : r->quote;
        } else if (c == '"' || c == '\'') {
            r->quote = c;
        }
    }
    return len;
}

/* pass_over - blanks between messages, and after a mistake all up to the line's end. */
static size_t pass_over(JsonReader *r, const char *buf, size_t len)
{
    size_t n = 0;

    if (r->skipping) {
        while (n < len && buf[n] != '\n') {
            n++;
        }
        r->skipping = n == len;
    }
    while (!r->begun && !r->skipping && n < len && strchr(" \t\r\n", buf[n]) != NULL && buf[n] != '\0') {
        n++;
    }
    return n;
}

static bool mistake(JsonReader *r, Error **errp, size_t at, const char *why)
{
    json_reader_reset(r);
    r->skipping = true;
    error_set(errp, "JSON parse error, %s at byte %zu", why, at);
    return false;
}

bool json_read(JsonReader *r, const char *buf, size_t len, size_t *used, Json **msg, Error **errp)
{
    size_t skipped = pass_over(r, buf, len), took, good;
    enum json_tokener_error e;

    *msg = NULL;
    *used = skipped;
    buf += skipped;
    len -= skipped;
    if (len == 0) {
        return true;
    }
    r->begun = true;
    len = MIN(len, JSON_MESSAGE_MAX + 1 - r->at);
    good = allowed(r, buf, len);
    if (good > 0) {
        *msg = json_tokener_parse_ex(r->tok, buf, (int)good);
    }
    e = good > 0 ? json_tokener_get_error(r->tok) : json_tokener_continue;
    took = e == json_tokener_continue ? good : json_tokener_get_parse_end(r->tok);
    *used += took;
    if (e == json_tokener_continue) {
        r->at += good;
        if (good < len) {
            return mistake(r, errp, r->at, "a character that cannot stand there");
        }
        return r->at <= JSON_MESSAGE_MAX ||
               mistake(r, errp, r->at, "the message is too long");
    }
    if (e != json_tokener_success) {
        /* a line's end that is the mistake is left for the skipping to find */
        return mistake(r, errp, r->at + took,
                       e == json_tokener_error_depth ? "nested too deeply" : json_tokener_error_desc(e));
    }
    if (*msg == NULL) { /* json-c has no value for it, and it asks for nothing */
        mistake(r, errp, 0, "a lone null");
        r->skipping = false; /* it was whole, and its line may be over */
        return false;
    }
    json_reader_reset(r);
    return true;
}

/* ---- writing ---- */

/* utf8 - the character at *@s, which is put behind it; U+FFFD for what is none. */
static uint32_t utf8(const uint8_t **s, const uint8_t *end)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    uint8_t first = *(*s)++;
    unsigned more = first < 0x80 ? 0 : first < 0xc0 ? 9 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf8 ? 3 : 9;
    uint32_t c = more > 3 ? 0 : more == 0 ? first : first & (0x3fu >> more);

    if (more > 3) {
        return 0xfffd;
    }
    for (unsigned n = 0; n < more; n++) {
        if (*s == end || (**s & 0xc0) != 0x80) {
            return 0xfffd;
        }
        c = c << 6 | (*(*s)++ & 0x3f);
    }
    return c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0xfffd : c;
}

static void write_string(const char *text, size_t len, FILE *out)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const uint8_t *s = (const uint8_t *)text, *end = s + len;

    fputc('"', out);
    while (s < end) {
        uint32_t c = utf8(&s, end);
        const char *p = c != 0 && c < 128 ? strchr(plain, (int)c) : NULL;

        if (p != NULL) {
            fprintf(out, "\\%c", letters[p - plain]);
        } else if (c >= 32 && c < 127) {
            fputc((int)c, out);
        } else if (c < 0x10000) {
            fprintf(out, "\\u%04x", c);
        } else {
            c -= 0x10000;
            fprintf(out, "\\u%04x\\u%04x", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
        }
    }
    fputc('"', out);
}

/* write_double - not as json-c does, which repeats what it read, also "00e" and "NaN". */
static void write_double(double v, FILE *out)
{
    if (isfinite(v)) {
        fprintf(out, "%.17g", v);
    } else {
        fputs("null", out);
    }
}

/* between - what stands before element @n, or (@last) before the closing bracket. */
static void between(FILE *out, bool pretty, unsigned depth, size_t n, bool last)
{
    if (n > 0 && !last) {
        fputs(pretty ? "," : ", ", out);
    }
    if (pretty && (n > 0 || !last)) {
        fprintf(out, "\n%*s", (int)(depth * INDENT), "");
    }
}

static void write_value(const Json *v, bool pretty, unsigned depth, FILE *out)
{
    size_t n = 0;

    switch (json_object_get_type(v)) {
    case json_type_object:
        fputc('{', out);
        for (struct lh_entry *e = json_object_get_object(v)->head; e != NULL; e = e->next) {
            const char *name = e->k;

            between(out, pretty, depth + 1, n++, false);
            write_string(name, strlen(name), out);
            fputs(": ", out);
            write_value(e->v, pretty, depth + 1, out);
        }
        between(out, pretty, depth, n, true);
        fputc('}', out);
        break;
    case json_type_array:
        fputc('[', out);
        for (; n < json_object_array_length(v); n++) {
            between(out, pretty, depth + 1, n, false);
            write_value(json_object_array_get_idx(v, n), pretty, depth + 1, out);
        }
        between(out, pretty, depth, n, true);
        fputc(']', out);
        break;
    case json_type_string:
        write_string(json_object_get_string((Json *)v), (size_t)json_object_get_string_len(v), out);
        break;
    case json_type_double:
        write_double(json_object_get_double(v), out);
        break;
    default: /* integers, booleans, null */
        fputs(json_object_to_json_string((Json *)v), out);
    }
}

void json_write(const Json *v, bool pretty, FILE *out)
{
    write_value(v, pretty, 0, out);
}

/* ---- building ---- */

void json_add(Json *o, const char *name, Json *v)
{
    json_object_object_add(o, name, v);
}

void json_add_text(Json *o, const char *name, const char *s)
{
    if (s != NULL) {
        json_object_object_add(o, name, json_object_new_string(s));
    }
}

void json_add_int(Json *o, const char *name, int64_t v)
{
    json_object_object_add(o, name, json_object_new_int64(v));
}

void json_add_bool(Json *o, const char *name, bool v)
{
    json_object_object_add(o, name, json_object_new_boolean(v));
}

void json_add_path(Json *o, const char *path, Json *v)
{
    const char *dot = strchr(path, '.');

    if (dot != NULL) {
        autofree char *first = xstrndup(path, (size_t)(dot - path));
        Json *inner = NULL;

        if (!json_object_object_get_ex(o, first, &inner)) {
            inner = json_object_new_object();
            json_object_object_add(o, first, inner);
        }
        json_add_path(inner, dot + 1, v);
    } else {
        json_object_object_add(o, path, v);
    }
}
#else
typedef int json_is_not_there; /* a translation unit is not empty */
#endif
