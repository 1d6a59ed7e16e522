/*
 * JSON: json-c behind a bounded reader and a writer of QEMU's shape.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <json-c/json_object.h>

struct Error;

enum { JSON_DEPTH_MAX = 1024, JSON_MESSAGE_MAX = 1 << 20 };

typedef struct json_object Json;

/* Messages out of a stream of bytes that comes in pieces. After a mistake what follows in the line is passed
 * over. */
typedef struct JsonReader JsonReader;
JsonReader *json_reader_new(void);
void json_reader_free(JsonReader *r);

/* json_read - take bytes of @buf, at most @len; how many is in *@used. *@msg: a whole message, to be put by the
 * caller, or NULL. False: it was no JSON, and where. The rest of @buf is for the next call. */
bool json_read(JsonReader *r, const char *buf, size_t len, size_t *used, Json **msg, struct Error **errp);
/* json_reader_reset - forget what was begun. */
void json_reader_reset(JsonReader *r);

/* json_write - @v in one line without its end, or in several with @pretty. Pure ASCII. */
void json_write(const Json *v, bool pretty, FILE *out);

/* json_add_... - a member of the object @o, in order. json_add_text: NULL leaves it out. */
void json_add(Json *o, const char *name, Json *v);
void json_add_text(Json *o, const char *name, const char *s);
void json_add_int(Json *o, const char *name, int64_t v);
void json_add_bool(Json *o, const char *name, bool v);
/* json_add_path - of "a.b": member b of its member a. */
void json_add_path(Json *o, const char *path, Json *v);

#endif
