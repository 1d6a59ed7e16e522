/* The terminal: characters, cursor, erasing, scrolling, colours, reports, UTF-8; hostile bytes. */
#include "tests/test.h"

#include <stdlib.h>
#include "ui/console.h"
#include "ui/terminal.h"

static Terminal *t;
static char answers[256];

static void on_answer(void *opaque, const char *text, size_t len)
{
    strncat(answers, text, MIN(len, sizeof(answers) - strlen(answers) - 1));
}

static int setup(void **state)
{
    t = terminal_new(10, 4, on_answer, NULL);
    answers[0] = '\0';
    return t == NULL;
}

static int teardown(void **state)
{
    terminal_free(t);
    return 0;
}

static void feed(const char *text)
{
    terminal_write(t, (const uint8_t *)text, strlen(text));
}

static void expect(const char *want)
{
    autofree char *text = terminal_text(t);

    assert_string_equal(text, want);
}

static void expect_cursor(unsigned row, unsigned col)
{
    unsigned r, c;

    assert_true(terminal_cursor(t, &r, &c));
    assert_int_equal(r, row);
    assert_int_equal(c, col);
}

static void test_lines(void **state)
{
    feed("ab\r\n\tc\bd\ne");
    expect("ab\n        d\n         e\n\n");
    feed("f"); /* the last column was written: only the next character goes on */
    expect("ab\n        d\n         e\nf\n");
    expect_cursor(3, 1);
    feed("\33[?7l1234567890xyz");
    expect("ab\n        d\n         e\nf12345678z\n");
    feed("\33[?7h\r\n");
    expect("        d\n         e\nf12345678z\n\n");
}

static void test_cursor(void **state)
{
    feed("\33[2;3Hx\33[A1\33[2B2\33[10D3\33[99;99H4\33[G5\33[2d6");
    expect("   1\n 6x\n3   2\n5        4\n");
    feed("\33[H\33[2J\33[3;5Hab\33[s\33[Hc\33[ud\33[2`e\33[2Ef");
    expect("c\n\n e  abd\nf\n");
    feed("\0337\33[1;1H\0338g\33[Fh");
    expect("c\n\nhe  abd\nfg\n");
    feed("\33[?25l");
    {
        unsigned r, c;
        assert_false(terminal_cursor(t, &r, &c));
    }
}

static void test_erase(void **state)
{
    feed("0123456789abcdefghijABCDEFGHIJ\33[2;4H\33[K\33[1;4H\33[1K\33[3;4H\33[0J");
    expect("    456789\nabc\nABC\n\n");
    feed("\33[1;6H\33[2P\33[2@\33[3X");
    expect("    4   89\nabc\nABC\n\n");
    feed("\33[1;6H\33[3P");
    expect("    489\nabc\nABC\n\n");
    feed("\33[2;1H\33[1Jx\33[4hy\33[4lz");
    expect("\nxyzc\nABC\n\n"); /* "y" pushed " bc" on, "z" wrote over its blank */
    feed("\33[2K\33[2J");
    expect("\n\n\n\n");
}

static void test_region(void **state)
{
    feed("1\r\n2\r\n3\r\n4\33[2;3r\33[3;1H\na");
    expect("1\n3\na\n4\n");
    feed("\33[2;1H\33Mb");
    expect("1\nb\n3\n4\n");
    feed("\33[2;1H\33[Lc\33[2;1H\33[M");
    expect("1\nb\n\n4\n");
    feed("\33[S\33[T\33[?6h\33[1;1Hd\33[9;1He\33[?6l\33[r\33[4;1H\nf");
    expect("d\ne\n4\nf\n");
    assert_int_equal(strlen(answers), 0);
}

static void test_tabs(void **state)
{
    feed("\33[3g\33[1;4H\33H\r\tx\r\33[2I\33[Zy\33[4G\33[g\r\tz");
    expect("   y     z\n\n\n\n");
    feed("\33#8");
    expect("EEEEEEEEEE\nEEEEEEEEEE\nEEEEEEEEEE\nEEEEEEEEEE\n");
    feed("\33c1\33[3b");
    expect("1111\n\n\n\n");
}

static void test_colours(void **state)
{
    const TermCell *row = terminal_row(t, 0);

    feed("a\33[1;31;42mb\33[7;4mc\33[22;24;27;39;49md\33[38;5;200;48;2;255;0;0me\33[;8mf\33[95;103mg\33[mh");
    assert_int_equal(row[0].fg, TERMINAL_DEFAULT);
    assert_int_equal(row[1].fg, 1);
    assert_int_equal(row[1].bg, 2);
    assert_int_equal(row[1].flags, CELL_BOLD);
    assert_int_equal(row[2].flags, CELL_BOLD | CELL_REVERSE | CELL_UNDERLINE);
    assert_int_equal(row[3].flags, 0);
    assert_int_equal(row[3].fg, TERMINAL_DEFAULT);
    assert_int_equal(row[4].fg, 200);
    assert_int_equal(row[4].bg, 16 + 36 * 5);
    assert_int_equal(row[5].flags, CELL_HIDDEN);
    assert_int_equal(row[6].fg, 13);
    assert_int_equal(row[6].bg, 11);
    assert_int_equal(row[7].bg, TERMINAL_DEFAULT);
    feed("\33[44m\33[K");
    assert_int_equal(terminal_row(t, 0)[9].bg, 4); /* erased with the background */
}

static void test_reports(void **state)
{
    feed("\33[3;4H\33[6n\33[5n\33[c\33[>c\33[=c");
    assert_string_equal(answers, "\33[3;4R\33[0n\33[?6c\33[>0;0;0c");
    assert_false(terminal_app_cursor(t));
    feed("\33[?1h");
    assert_true(terminal_app_cursor(t));
    feed("\33c");
    assert_false(terminal_app_cursor(t));
}

static void test_charsets(void **state)
{
    feed("\33(0lqx\33(Bl\33)0\16q\17q");
    expect("┌─│l─q\n\n\n\n");
    feed("\33c\303\244\342\202\254\360\237\230\200x"); /* ä, €, a pictograph of two columns */
    expect("ä€😀x\n\n\n\n");
    expect_cursor(0, 5);
    feed("\33c\xff\xc3(\xc0\xaf\xed\xa0\x80z");
    expect("\357\277\275\357\277\275(\357\277\275\357\277\275\357\277\275z\n\n\n\n");
    feed("\33c123456789\346\274\242"); /* it does not fit: the next line */
    expect("123456789\n漢\n\n\n");
    feed("\33[2;2Hx"); /* half of it is written over */
    expect("123456789\n x\n\n\n");
    feed("\33c漢\33[1;1H\33[P\33[1;1Hy"); /* a half that came to the first column */
    feed("\33]0;a title\7\33Pq;data\33\\\33[>1;2m\33[1 q\33%Gok");
}

/* What leaves at the top is kept, some 10,000 lines of it. */
static void test_scroll_back(void **state)
{
    char text[16];

    for (int n = 0; n < 12000; n++) {
        snprintf(text, sizeof(text), "%d\r\n", n);
        feed(text);
    }
    expect("11997\n11998\n11999\n\n");
    terminal_scroll(t, 2);
    expect("11995\n11996\n11997\n11998\n");
    feed("12000\r\n"); /* the view stays */
    expect("11995\n11996\n11997\n11998\n");
    terminal_scroll(t, 20000);
    expect("1998\n1999\n2000\n2001\n");
    terminal_scroll(t, -20000);
    expect("11998\n11999\n12000\n\n");
    feed("\33[?1049h\33[Hfull");
    terminal_scroll(t, 5);
    expect("full\n\n\n\n");
    feed("\33[?1049l");
    expect("11998\n11999\n12000\n\n");
}

static void test_dirty(void **state)
{
    for (unsigned row = 0; row < 4; row++) {
        assert_true(terminal_take_dirty(t, row));
    }
    assert_false(terminal_changed(t));
    feed("\33[2;2H");
    assert_true(terminal_changed(t));
    assert_true(terminal_take_dirty(t, 0)); /* the cursor left */
    assert_true(terminal_take_dirty(t, 1));
    assert_false(terminal_take_dirty(t, 2));
    assert_false(terminal_take_dirty(t, 3));
    feed("\33[m\33[5n\7");
    assert_false(terminal_changed(t));
}

static void test_sizes(void **state)
{
    Terminal *one = terminal_new(1, 1, NULL, NULL);

    assert_null(terminal_new(0, 1, NULL, NULL));
    assert_null(terminal_new(1, TERMINAL_SIDE_MAX + 1, NULL, NULL));
    terminal_write(one, (const uint8_t *)"a漢\tb\33[c\n\33[9@\33[9P\33[L\33#8", 24);
    terminal_free(one);
    terminal_free(NULL);
}

static void test_random(void **state)
{
    static const char bits[] = "\33[;?0123456789HJKLMPS@rhlmABCDXbcdn#8()0\303\244\16\17\r\n\t\b漢";
    uint32_t seed = 1;

    for (unsigned n = 0; n < 300000; n++) {
        uint8_t b;

        seed = seed * 1664525 + 1013904223;
        b = seed >> 28 == 0 ? seed >> 16 & 0xff : (uint8_t)bits[(seed >> 8) % (sizeof(bits) - 1)];
        terminal_write(t, &b, 1);
        if (n % 64 == 0) {
            terminal_scroll(t, (int)(seed >> 20 & 7) - 3);
        }
    }
    feed("\30\33c\33[2Jend");
    expect("end\n\n\n\n");
}

static void test_glyphs(void **state)
{
    const uint8_t *a = glyph_find('A'), *none = glyph_find(0xfffd);

    assert_int_equal(a[0] | a[15], 0);
    assert_ptr_not_equal(a, none);
    assert_ptr_equal(glyph_find(0x10ffff), none);
    assert_ptr_equal(glyph_find(7), none);
    assert_ptr_not_equal(glyph_find(0xe4), none);
    assert_int_equal(glyph_find(0x2588)[0] & glyph_find(0x2588)[15], 0xff); /* no gaps between blocks */
    assert_int_equal(glyph_find(0x2502)[0], glyph_find(0x2502)[15]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cursor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_erase, setup, teardown),
        cmocka_unit_test_setup_teardown(test_region, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tabs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_colours, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_charsets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scroll_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dirty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_glyphs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
