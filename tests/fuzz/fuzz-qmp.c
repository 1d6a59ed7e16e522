/* Arbitrary bytes, in pieces of arbitrary sizes, through the reader of QMP's messages and the checks of their
 * arguments. What is a message is written, read again, and is the same. */
#include <config.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef CONFIG_JSON
#include <stdio.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "monitor/qmp-internal.h"

static char *text_of(const Json *v, bool pretty)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    json_write(v, pretty, out);
    fputc('\n', out);
    fclose(out);
    return text;
}

/* Does it come back from what is written of it? */
static void check_written(const Json *v)
{
    JsonReader *r = json_reader_new();
    autofree char *text = text_of(v, true), *again = NULL, *first = text_of(v, false);
    size_t used;
    Json *back = NULL;
    Error *err = NULL;

    if (strcmp(first, "null\n") == 0) { /* a number beyond all bounds */
        json_reader_free(r);
        return;
    }
    if (!json_read(r, text, strlen(text), &used, &back, &err) || back == NULL) {
        abort();
    }
    again = text_of(back, false);
    if (strcmp(first, again) != 0) {
        abort();
    }
    json_object_put(back);
    json_reader_free(r);
}

static void check_message(Json *v)
{
    if (json_object_get_type(v) == json_type_object) {
        Json *args = qmp_member(v, "arguments");

        for (const Command *c = command_next(NULL, COMMAND_QMP); c != NULL; c = command_next(c, COMMAND_QMP)) {
            Error *err = NULL;

            if (!qmp_check(c->args, json_object_get_type(args) == json_type_object ? args : v, "", &err)) {
                error_free(err);
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    JsonReader *r = json_reader_new();
    size_t piece = size > 0 ? data[0] % 37 + 1 : 1, at = 1;

    while (at < size) {
        size_t n = MIN(piece, size - at), used;
        Error *err = NULL;
        Json *v = NULL;

        if (!json_read(r, (const char *)data + at, n, &used, &v, &err)) {
            if (strstr(error_text(err), "at byte") == NULL) {
                abort();
            }
            error_free(err);
        }
        if (used > n) {
            abort();
        }
        if (v != NULL) {
            check_message(v);
            check_written(v);
            json_object_put(v);
        }
        at += used;
    }
    json_reader_free(r);
    return 0;
}
#else
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return 0;
}
#endif
