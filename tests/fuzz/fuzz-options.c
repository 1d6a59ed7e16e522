/* Sub-option lists, sizes, patterns and telnet from arbitrary bytes. The first byte chooses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "base/text.h"
#include "chardev/telnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_list(const char *text)
{
    static const char *const names[] = { "a", "b", NULL };
    Error *err = NULL;
    OptList *l = opt_parse(text, "first", &err), *again;
    char *shown, *shown_again;

    if (l == NULL) {
        error_free(err);
        return;
    }
    opt_get_str(l, "first", NULL);
    opt_get_bool(l, "server", false);
    opt_get_u64(l, "n", 100, 0);
    opt_get_size(l, "size", 1 << 20, 0);
    opt_get_choice(l, "x", names, 0);
    /* what is shown reads back as the same list */
    shown = opt_text(l);
    again = opt_parse(shown, NULL, &err);
    if (again == NULL) {
        abort();
    }
    shown_again = opt_text(again);
    if (strcmp(shown, shown_again) != 0) {
        abort();
    }
    if (!opt_done(l, &err)) {
        error_free(err);
    }
    free(shown);
    free(shown_again);
    opt_free(l);
    opt_free(again);
}

static void try_telnet(const uint8_t *data, size_t size)
{
    uint8_t greeting[TELNET_GREETING_MAX];
    size_t len;
    unsigned breaks;
    uint8_t *buf = xnewn(uint8_t, size), *reply = xnewn(uint8_t, size + 2);
    Telnet t;

    memcpy(buf, data, size);
    telnet_init(&t, size & 1, greeting);
    if (telnet_input(&t, buf, size, reply, &len, &breaks) > size || len > size + 2) {
        abort();
    }
    free(buf);
    free(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t v;
    char *text;

    if (size == 0) {
        return 0;
    }
    text = xstrndup((const char *)data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        try_list(text);
        break;
    case 1:
        try_telnet(data + 1, size - 1);
        break;
    case 2:
        text_size(text, 1 << 20, &v);
        text_u64(text, UINT32_MAX, &v);
        break;
    default: {
        char *bar = strchr(text, '|');
        if (bar != NULL) {
            *bar = '\0';
            text_match(text, bar + 1);
            text_distance(text, bar + 1);
        }
        break;
    }
    }
    free(text);
    return 0;
}
