/*
 * HTTP requests: see http.h. Sections are those of RFC 9112.
 */
#include "ui/http.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include "base/mem.h"

size_t http_head_end(const char *text, size_t n)
{
    const char *end = memmem(text, n, "\r\n\r\n", 4);

    return end != NULL ? (size_t)(end - text) + 4 : 0;
}

/* next_line - cuts the line at *@p off; NULL at the end. */
static char *next_line(char **p)
{
    char *line = *p, *end = strstr(line, "\r\n");

    if (end == NULL) {
        return NULL;
    }
    *end = '\0';
    *p = end + 2;
    return line;
}

/* request_line - 3, "Request Line" */
static bool request_line(char *line, HttpRequest *r)
{
    char *save = NULL, *method = strtok_r(line, " ", &save), *target = strtok_r(NULL, " ", &save);
    const char *version = strtok_r(NULL, " ", &save);
    char *query;

    if (version == NULL || strtok_r(NULL, " ", &save) != NULL || strncmp(version, "HTTP/1.", 7) != 0 ||
        *target != '/') {
        return false;
    }
    r->method = method;
    r->path = target;
    query = strchr(target, '?');
    if (query != NULL) {
        *query = '\0';
        r->query = query + 1;
    }
    return true;
}

/* field - 5, "Field Syntax" */
static bool field(char *line, HttpRequest *r)
{
    const struct {
        const char *name;
        const char **value;
    } known[] = {
        { "Host", &r->host },
        { "Origin", &r->origin },
        { "Cookie", &r->cookie },
        { "Upgrade", &r->upgrade },
        { "Connection", &r->connection },
        { "Sec-WebSocket-Key", &r->ws_key },
        { "Sec-WebSocket-Version", &r->ws_version },
        { "Sec-WebSocket-Protocol", &r->ws_protocol },
    };
    char *value = strchr(line, ':');
    size_t n;

    if (value == NULL || value == line || isspace((unsigned char)value[-1])) {
        return false;
    }
    *value++ = '\0';
    value += strspn(value, " \t");
    n = strlen(value);
    while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t')) {
        value[--n] = '\0';
    }
    for (size_t k = 0; k < ARRAY_SIZE(known); k++) {
        if (strcasecmp(line, known[k].name) == 0) {
            *known[k].value = value;
        }
    }
    return true;
}

bool http_parse(char *text, HttpRequest *r)
{
    char *p = text, *line = next_line(&p);

    *r = (HttpRequest){ "", "", "", "", "", "", "", "", "", "", "" };
    if (line == NULL || !request_line(line, r)) {
        return false;
    }
    while ((line = next_line(&p)) != NULL && *line != '\0') {
        if (!field(line, r)) {
            return false;
        }
    }
    return line != NULL;
}

bool http_has(const char *list, const char *word)
{
    size_t len = strlen(word);

    while (*list != '\0') {
        size_t n = strcspn(list, ",");
        const char *w = list;

        while (n > 0 && (*w == ' ' || *w == '\t')) {
            w++;
            n--;
        }
        list = w + n + (w[n] == ',');
        while (n > 0 && (w[n - 1] == ' ' || w[n - 1] == '\t')) {
            n--;
        }
        if (n == len && strncasecmp(w, word, n) == 0) {
            return true;
        }
    }
    return false;
}

bool http_param(const char *list, char separator, const char *name, char *out, size_t size)
{
    const char end[2] = { separator, '\0' };
    size_t len = strlen(name);

    while (*list != '\0') {
        size_t n;

        list += strspn(list, " ");
        n = strcspn(list, end);
        if (n > len && list[len] == '=' && strncmp(list, name, len) == 0) {
            if (n - len > size) {
                return false;
            }
            memcpy(out, list + len + 1, n - len - 1);
            out[n - len - 1] = '\0';
            return true;
        }
        list += n + (list[n] == separator);
    }
    return false;
}

bool http_file_ok(const char *path)
{
    for (const char *p = path; *p != '\0'; p++) {
        if (*p == '/' && (p[1] == '/' || p[1] == '.' || p[1] == '\0')) {
            return false;
        }
        if (!isalnum((unsigned char)*p) && strchr("-._/", *p) == NULL) {
            return false;
        }
    }
    return *path == '/';
}

const char *http_type(const char *path)
{
    static const struct {
        const char *suffix, *type;
    } types[] = {
        { ".html", "text/html; charset=utf-8" }, { ".js", "text/javascript" }, { ".css", "text/css" },
        { ".json", "application/json" },         { ".svg", "image/svg+xml" },  { ".png", "image/png" },
        { ".ttf", "font/ttf" },                  { ".woff", "font/woff" },     { ".mp3", "audio/mpeg" },
        { ".oga", "audio/ogg" },                 { ".ico", "image/x-icon" },
    };
    const char *dot = strrchr(path, '.');

    for (size_t n = 0; dot != NULL && n < ARRAY_SIZE(types); n++) {
        if (strcmp(dot, types[n].suffix) == 0) {
            return types[n].type;
        }
    }
    return "application/octet-stream";
}
