/* What a browser's connection reads: an HTTP head, and WebSocket frames behind it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "ui/http.h"
#include "ui/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void head(const uint8_t *data, size_t end)
{
    char *text = xnewn(char, end + 1), out[8];
    HttpRequest r;

    memcpy(text, data, end);
    if (http_parse(text, &r)) {
        http_has(r.connection, "upgrade");
        http_param(r.query, '&', "token", out, sizeof(out));
        http_param(r.cookie, ';', "doppel", out, sizeof(out));
        if (http_file_ok(r.path) && (strstr(r.path, "/.") != NULL || *http_type(r.path) == '\0')) {
            abort();
        }
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t end = http_head_end((const char *)data, size), len;
    uint8_t *out = xnewn(uint8_t, size + 1);
    WsDecoder d = { 0 };
    unsigned control;

    if (end > 0) {
        head(data, end);
    }
    while (end < size) {
        ssize_t n = ws_decode(&d, data + end, size - end, out, &len, &control);

        if (n < 0) {
            break;
        }
        if ((size_t)n > size - end || len > (size_t)n || d.control_len > WS_CONTROL_MAX || (n == 0 && control == 0)) {
            abort();
        }
        end += (size_t)n;
    }
    free(out);
    return 0;
}
