/* Line editing, judged by what a terminal shows of it; and the bytes that programs rely on. */
#include "tests/test.h"

#include <stdlib.h>
#include "monitor/line-edit.h"
#include "ui/terminal.h"

static LineEdit e;
static Terminal *t;
static char out[65536];

static void put(void *opaque, const char *text, size_t len)
{
    for (size_t n = 0; n < len; n++) {
        terminal_write(t, (const uint8_t *)(text[n] == '\n' ? "\r\n" : text + n), text[n] == '\n' ? 2 : 1);
    }
    if (strlen(out) + len < sizeof(out)) {
        strncat(out, text, len);
    }
}

static int setup(void **state)
{
    t = terminal_new(40, 5, NULL, NULL);
    line_init(&e, "> ", put, NULL);
    line_start(&e);
    out[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    line_fini(&e);
    terminal_free(t);
    return 0;
}

static LineResult type(const char *keys)
{
    LineResult r = LINE_MORE;

    for (; *keys != '\0'; keys++) {
        r = line_byte(&e, (uint8_t)*keys);
        if (r == LINE_DONE || r == LINE_ABANDON) {
            line_start(&e);
        }
    }
    return r;
}

/* The line is @want with the cursor before its byte @at, and the terminal's last line shows just that. */
static void expect(const char *want, size_t at)
{
    autofree char *shown = terminal_text(t), *full = xasprintf("> %s", want);
    unsigned row, col, end;
    char *line = shown;

    assert_string_equal(e.text, want);
    assert_int_equal(e.len, strlen(want));
    assert_int_equal(e.at, at);
    assert_true(terminal_cursor(t, &row, &col));
    for (unsigned n = 0; n < row; n++) {
        line = strchr(line, '\n') + 1;
    }
    line[strcspn(line, "\n")] = '\0';
    end = (unsigned)strlen(full);
    while (end > 0 && full[end - 1] == ' ') {
        full[--end] = '\0';
    }
    assert_string_equal(line, full);
    for (size_t n = 0; n < at; n++) {
        col += ((uint8_t)want[n] & 0xc0) == 0x80;
    }
    assert_int_equal(col, 2 + at);
}

static void test_plain(void **state)
{
    assert_int_equal(type("info status"), LINE_MORE);
    assert_string_equal(out, "info status");
    type("\b\177");
    assert_string_equal(out, "info status\b \b\b \b");
    expect("info stat", 9);
    assert_int_equal(line_byte(&e, '\r'), LINE_DONE);
    assert_string_equal(e.text, "info stat");
    assert_true(strcmp(out + strlen(out) - 1, "\n") == 0);
}

static void test_keys(void **state)
{
    type("one two three");
    type("\1X");
    expect("Xone two three", 1);
    type("\33[C\33[C\4");
    expect("Xon two three", 3);
    type("\5\27");
    expect("Xon two ", 8);
    type("\31\31");
    expect("Xon two threethree", 18);
    type("\33b\13");
    expect("Xon two ", 8);
    type("\2\2\33OD\25");
    expect("wo ", 0);
    type("\6\177");
    expect("o ", 0);
    type("\33[F!\33[H?\33[3~\33[1;5C");
    expect("? !", 2);
    type("\33bab cd ef \33d");
    expect("ab cd ef  !", 9);
    type("\33[1~\33d\33f\33\177");
    expect("  ef  !", 1);
    type("\3");
    expect("", 0);
    type("x\14");
    expect("x", 1);
}

static void test_history(void **state)
{
    type("first\rsecond\rsecond\r   \rthird");
    type("\20");
    expect("second", 6); /* no line twice, no empty one */
    type("\33[A\33[A\33[A");
    expect("first", 5);
    type("!\33[B");
    expect("second", 6);
    type("\16");
    expect("third", 5); /* what was not finished is still there */
    type("\16\16");
    expect("third", 5);
    type("\33[A\33[A\r\20");
    expect("first", 5);
    for (int n = 0; n < 3 * LINE_HISTORY; n++) {
        char line[16];

        snprintf(line, sizeof(line), "l%d\r", n);
        type(line);
    }
    for (int n = 0; n < 2 * LINE_HISTORY; n++) {
        type("\20");
    }
    expect("l200", 4);
}

static void test_utf8(void **state)
{
    type("a\303\244\342\202\254b\33[D\33[D");
    expect("aä€b", 3);
    type("\177");
    expect("a€b", 1);
    type("\4\5\177\177\177");
    expect("", 0);
}

static void test_limits(void **state)
{
    uint32_t seed = 7;
    static const char bits[] = "\1\2\4\5\6\10\13\20\16\25\27\31\33[ABCDHF3~Ob f\r\303\244x";

    for (int n = 0; n < 3000; n++) {
        type("y");
    }
    assert_int_equal(e.len, LINE_MAX_CHARS);
    type("\25\31\31");
    assert_int_equal(e.len, LINE_MAX_CHARS);
    for (int n = 0; n < 100000; n++) {
        seed = seed * 1664525 + 1013904223;
        type((char[]){ bits[(seed >> 10) % (sizeof(bits) - 1)], '\0' });
        assert_true(e.at <= e.len && e.len <= LINE_MAX_CHARS && e.text[e.len] == '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_history, setup, teardown),
        cmocka_unit_test_setup_teardown(test_utf8, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
