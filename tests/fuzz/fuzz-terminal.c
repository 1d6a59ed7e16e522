/* Terminals of several sizes fed with arbitrary bytes; what is shown stays readable. */
#include <stdint.h>
#include <stdlib.h>
#include "ui/terminal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_answer(void *opaque, const char *text, size_t len)
{
    *(size_t *)opaque += len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t sides[4][2] = { { 80, 24 }, { 1, 1 }, { 2, 3 }, { 132, 5 } };
    size_t answered = 0;
    Terminal *t;

    if (size < 1) {
        return 0;
    }
    t = terminal_new(sides[data[0] & 3][0], sides[data[0] & 3][1], on_answer, &answered);
    for (size_t n = 1; n < size; n++) {
        unsigned row, col;

        if (data[n] == 0xfe) {
            terminal_scroll(t, (int8_t)data[n - 1]);
        }
        terminal_write(t, data + n, 1);
        if (terminal_cursor(t, &row, &col) &&
            (row >= terminal_rows(t) || col >= terminal_cols(t))) {
            abort();
        }
    }
    free(terminal_text(t));
    terminal_free(t);
    return 0;
}
