/* Errors, allocation, text, log. */
#include "tests/test.h"

#include <stdlib.h>
#include <unistd.h>
#include "base/log.h"
#include "base/text.h"
#include "base/trace.h"

static void test_error_text(void **state)
{
    Error *err = NULL, *moved = NULL;

    error_set(&err, "drive%d: %s", 0, "bad");
    error_prepend(&err, "-drive %s: ", "x");
    error_hint(&err, "Try %d", 1);
    error_hint(&err, "Try 2");
    assert_string_equal(error_text(err), "-drive x: drive0: bad");
    assert_string_equal(error_hint_text(err), "Try 1\nTry 2");
    error_move(&moved, err);
    assert_string_equal(error_text(moved), "-drive x: drive0: bad");
    error_free(moved);
    error_free(NULL);

    err = NULL;
    error_set_errno(&err, 2, "open %s", "f");
    assert_string_equal(error_text(err), "open f: No such file or directory");
    error_move(NULL, err);
    error_set(NULL, "nobody asks");
    error_prepend(NULL, "x");
}

static void test_alloc(void **state)
{
    char *s = xasprintf("%d-%s", 7, "x");
    assert_string_equal(s, "7-x");
    free(s);
    assert_null(try_alloc0(SIZE_MAX / 2, 4));
    assert_null(xstrdup(NULL));
    uint8_t *z = try_newn(uint8_t, 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(z[i], 0);
    }
    free(z);
}

static void test_text_values(void **state)
{
    uint64_t v;
    bool b;
    char buf[32];

    assert_true(text_bool("on", &b) && b);
    assert_true(text_bool("n", &b) && !b);
    assert_true(text_bool("false", &b) && !b);
    assert_true(text_bool("y", &b) && b);
    assert_false(text_bool("ON", &b));
    assert_false(text_bool("", &b));
    assert_false(text_bool("1", &b));

    assert_true(text_u64("0x3f8", 0xffff, &v) && v == 0x3f8);
    assert_true(text_u64("65535", 0xffff, &v));
    assert_false(text_u64("65536", 0xffff, &v));
    assert_false(text_u64("-1", UINT64_MAX, &v));
    assert_false(text_u64(" 1", UINT64_MAX, &v));
    assert_false(text_u64("+1", UINT64_MAX, &v));
    assert_false(text_u64("1x", UINT64_MAX, &v));
    assert_false(text_u64("", UINT64_MAX, &v));
    assert_false(text_u64("18446744073709551616", UINT64_MAX, &v));

    assert_true(text_size("512", 1 << 20, &v) && v == 512ull << 20);
    assert_true(text_size("4G", 1 << 20, &v) && v == 4ull << 30);
    assert_true(text_size("1.5G", 1, &v) && v == 3ull << 29);
    assert_true(text_size("0.5", 1 << 20, &v) && v == 1 << 19);
    assert_true(text_size("219136k", 1, &v) && v == 219136ull << 10);
    assert_true(text_size("7b", 1 << 20, &v) && v == 7);
    assert_true(text_size("1E", 1, &v) && v == 1ull << 60);
    assert_true(text_size("0x10", 1, &v) && v == 16);
    assert_false(text_size("16E", 1, &v));
    assert_false(text_size("1.", 1, &v));
    assert_false(text_size("1GB", 1, &v));
    assert_false(text_size("G", 1, &v));
    assert_false(text_size("-5", 1, &v));
    assert_false(text_size("", 1, &v));
    assert_string_equal(text_show_size(3ull << 20, buf), "3M");
    assert_string_equal(text_show_size(1023, buf), "1023");
    assert_string_equal(text_show_size(0, buf), "0");
}

static void test_text_names(void **state)
{
    Nearest n;

    assert_true(text_name_eq("kernel_irqchip", "kernel-irqchip"));
    assert_false(text_name_eq("a", "ab"));
    assert_true(text_match("rtc_*", "rtc_read"));
    assert_true(text_match("*", ""));
    assert_true(text_match("*a*b", "xaxbxb"));
    assert_true(text_match("a?c", "abc"));
    assert_false(text_match("rtc_*", "pit_read"));
    assert_false(text_match("a", "ab"));
    assert_int_equal(text_distance("kernel", "kernal"), 1);
    assert_int_equal(text_distance("ab", "ba"), 1);
    assert_int_equal(text_distance("", "abc"), 3);
    assert_int_equal(text_distance("kitten", "sitting"), 3);

    nearest_init(&n, "sokcet");
    nearest_offer(&n, "stdio");
    nearest_offer(&n, "socket");
    assert_string_equal(n.best, "socket");
    nearest_init(&n, "zzzzz");
    nearest_offer(&n, "socket");
    assert_null(n.best);
}

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "r");
    char *buf = xalloc0(1 << 20, 1);
    size_t n = fread(buf, 1, (1 << 20) - 1, f);
    buf[n] = '\0';
    fclose(f);
    return buf;
}

static void test_log(void **state)
{
    char path[] = "/tmp/doppel-test-XXXXXX";
    unsigned bits, lines = 0;
    Error *err = NULL;
    char *text;

    close(mkstemp(path));
    assert_true(log_parse("int,cpu_reset", &bits, NULL));
    assert_int_equal(bits, LOG_INT | LOG_CPU_RESET);
    assert_false(log_parse("int,cpu_rest", &bits, &err));
    expect_error(&err, "cpu_reset");

    assert_false(log_open("/nonexistent/x", &err));
    expect_error(&err, "/nonexistent/x");
    assert_true(log_open(path, NULL));
    log_mask_bits = 0;
    log_guest("never seen");
    log_mask_bits = LOG_GUEST_ERRORS;
    for (int i = 0; i < 1000; i++) {
        log_guest("mistake %d", i);
    }
    log_line("last\n");
    log_mask_bits = 0;
    assert_true(log_open(NULL, NULL));
    text = slurp(path);
    for (const char *p = text; (p = strstr(p, "mistake")) != NULL; p++) {
        lines++;
    }
    /* a second may begin in between, then two windows of 100 are seen */
    assert_in_range(lines, 100, 200);
    assert_null(strstr(text, "never"));
    assert_non_null(strstr(text, "last\n"));
    free(text);
    unlink(path);
}

static void test_trace_pattern(void **state)
{
    Error *err = NULL;

    assert_false(trace_enable("no_such_event_*", true, &err));
    expect_error(&err, "no_such_event_*");
    assert_false(trace_enable_file("/nonexistent", &err));
    expect_error(&err, "/nonexistent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_text),  cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_text_values), cmocka_unit_test(test_text_names),
        cmocka_unit_test(test_log),         cmocka_unit_test(test_trace_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
