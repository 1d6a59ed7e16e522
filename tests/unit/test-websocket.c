/* WebSocket frames and HTTP heads, with the examples of RFC 6455. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/mem.h"
#include "ui/http.h"
#include "ui/websocket.h"

/* decode - all of @in, at most @step bytes a call; the data. *controls: opcodes, a nibble each. -1: refused. */
static ssize_t decode(const uint8_t *in, size_t n, size_t step, uint8_t *out, uint64_t *controls)
{
    WsDecoder d = { 0 };
    size_t have = 0, at = 0;

    *controls = 0;
    while (at < n) {
        unsigned control;
        size_t len;
        ssize_t r = ws_decode(&d, in + at, MIN(step, n - at), out + have, &len, &control);

        if (r < 0) {
            return -1;
        }
        at += (size_t)r;
        have += len;
        *controls = control != 0 ? *controls << 4 | control : *controls;
    }
    return (ssize_t)have;
}

/* 5.7, "Examples", as a client masks them */
static void test_decode(void **state)
{
    static const uint8_t hello[] = { 0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58 };
    static const uint8_t parts[] = { 0x02, 0x83, 0, 0, 0, 0, 'H', 'e', 'l', 0x89, 0x81, 0, 0, 0, 0, '!',
                                     0x80, 0x82, 0, 0, 0, 0, 'l', 'o', 0x88, 0x80, 1, 2, 3, 4 };
    uint8_t out[64], big[8 + 300] = { 0x82, 0xfe, 300 >> 8, 300 & 0xff }, flat[300];
    uint64_t controls;

    for (size_t step = 1; step <= sizeof(parts); step++) {
        assert_int_equal(decode(hello, sizeof(hello), step, out, &controls), 5);
        assert_memory_equal(out, "Hello", 5);
        assert_int_equal(controls, 0);
        assert_int_equal(decode(parts, sizeof(parts), step, out, &controls), 5);
        assert_memory_equal(out, "Hello", 5);
        assert_int_equal(controls, WS_PING << 4 | WS_CLOSE);
    }
    memset(big + 8, 'x', 300);
    assert_int_equal(decode(big, sizeof(big), 7, flat, &controls), 300);
    assert_int_equal(flat[299], 'x');
}

static void test_refuse(void **state)
{
    static const struct {
        uint8_t len, bytes[14];
    } bad[] = {
        { 3, { 0x82, 0x01, 'x' } },                      /* not masked */
        { 7, { 0xc2, 0x81, 0, 0, 0, 0, 'x' } },          /* a reserved bit */
        { 7, { 0x81, 0x81, 0, 0, 0, 0, 'x' } },          /* text */
        { 6, { 0x80, 0x80, 0, 0, 0, 0 } },               /* continues nothing */
        { 12, { 0x02, 0x80, 0, 0, 0, 0, 0x82, 0x80 } },  /* another in the middle */
        { 6, { 0x09, 0x80, 0, 0, 0, 0 } },               /* a ping in parts */
        { 8, { 0x89, 0xfe, 0, 126 } },                   /* a ping too long */
        { 6, { 0x8b, 0x80, 0, 0, 0, 0 } },               /* no such control frame */
        { 8, { 0x82, 0xfe, 0, 125 } },                   /* not the shortest way to say it */
        { 14, { 0x82, 0xff, 0x80 } },                    /* too long for anybody */
        { 14, { 0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff } },  /* not the shortest */
    };
    uint8_t out[16];
    uint64_t controls;

    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        for (size_t step = 1; step <= bad[n].len; step++) {
            assert_int_equal(decode(bad[n].bytes, bad[n].len, step, out, &controls), -1);
        }
    }
}

static void test_head(void **state)
{
    static const uint8_t small[] = { 0x82, 5 }, middle[] = { 0x82, 126, 1, 0 };
    static const uint8_t large[] = { 0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0 };
    uint8_t out[WS_HEAD_MAX];

    assert_int_equal(ws_head(out, WS_BINARY, 5), 2);
    assert_memory_equal(out, small, 2);
    assert_int_equal(ws_head(out, WS_BINARY, 256), 4); /* 5.7 */
    assert_memory_equal(out, middle, 4);
    assert_int_equal(ws_head(out, WS_BINARY, 65536), 10); /* 5.7 */
    assert_memory_equal(out, large, 10);
}

/* RFC 4648, 10, "Test Vectors" */
static void test_base64(void **state)
{
    static const char *const pairs[][2] = { { "", "" },           { "f", "Zg==" },         { "fo", "Zm8=" },
                                            { "foo", "Zm9v" },     { "foob", "Zm9vYg==" },  { "fooba", "Zm9vYmE=" },
                                            { "foobar", "Zm9vYmFy" } };
    char out[16];

    for (size_t n = 0; n < ARRAY_SIZE(pairs); n++) {
        ws_base64((const uint8_t *)pairs[n][0], strlen(pairs[n][0]), out);
        assert_string_equal(out, pairs[n][1]);
    }
}

static void test_http(void **state)
{
    char text[] = "GET /a/b.js?x=1&token=abc HTTP/1.1\r\nhOST: h:1\r\nConnection: keep-alive ,\tUpgrade\r\n"
                  "Cookie: a=b; doppel=c\r\nX-Other:  y \r\n\r\nrest";
    char out[4];
    HttpRequest r;

    assert_int_equal(http_head_end(text, strlen(text)), strlen(text) - 4);
    assert_int_equal(http_head_end(text, strlen(text) - 5), 0);
    text[strlen(text) - 4] = '\0';
    assert_true(http_parse(text, &r));
    assert_string_equal(r.method, "GET");
    assert_string_equal(r.path, "/a/b.js");
    assert_string_equal(r.host, "h:1");
    assert_string_equal(r.origin, "");
    assert_true(http_has(r.connection, "upgrade"));
    assert_true(http_has(r.connection, "Keep-Alive"));
    assert_false(http_has(r.connection, "up"));
    assert_true(http_param(r.query, '&', "token", out, sizeof(out)));
    assert_string_equal(out, "abc");
    assert_false(http_param(r.query, '&', "token", out, 3));
    assert_false(http_param(r.query, '&', "oken", out, sizeof(out)));
    assert_true(http_param(r.cookie, ';', "doppel", out, sizeof(out)));
    assert_string_equal(out, "c");
}

static void test_file_ok(void **state)
{
    static const char *const good[] = { "/vnc.html", "/app/ui-2_x.js" };
    static const char *const bad[] = { "", "/", "vnc.html", "/..", "/a/../b", "//a", "/a/", "/.x", "/a%2e", "/a\\b", "/a b" };

    for (size_t n = 0; n < ARRAY_SIZE(good); n++) {
        assert_true(http_file_ok(good[n]));
    }
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        assert_false(http_file_ok(bad[n]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode), cmocka_unit_test(test_refuse), cmocka_unit_test(test_head),
        cmocka_unit_test(test_base64), cmocka_unit_test(test_http),   cmocka_unit_test(test_file_ok),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
