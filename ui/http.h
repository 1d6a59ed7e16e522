/*
 * The head of an HTTP/1.1 request. Source: RFC 9112. Knows no sockets.
 */
#ifndef UI_HTTP_H
#define UI_HTTP_H

#include <stdbool.h>
#include <stddef.h>

enum { HTTP_HEAD_MAX = 8192 };

/* All point into the text; a field that did not come is "". */
typedef struct HttpRequest {
    const char *method, *path, *query; /* the path begins with '/', as sent */
    const char *host, *origin, *cookie, *upgrade, *connection;
    const char *ws_key, *ws_version, *ws_protocol;
} HttpRequest;

/* http_head_end - how long the head is, with the empty line at its end; 0: it is not all there. */
size_t http_head_end(const char *text, size_t n);

/* http_parse - @text, a head with a NUL behind it, is taken apart. False: it is none. */
bool http_parse(char *text, HttpRequest *r);

/* http_has - @list, words between commas, has @word; upper case and lower case are the same. */
bool http_has(const char *list, const char *word);

/* http_param - the value of @name in @list, pairs between @separator ('&' of a query, ';' of a cookie), to @out of
 * @size bytes, as it is written. False: there is none, or it is too long. */
bool http_param(const char *list, char separator, const char *name, char *out, size_t size);

/* http_file_ok - @path names a file below the root: no part of it is empty or begins with '.', and its
 * characters are letters, digits and "-._/". */
bool http_file_ok(const char *path);
/* http_type - a file's media type, by its name. */
const char *http_type(const char *path);

#endif
