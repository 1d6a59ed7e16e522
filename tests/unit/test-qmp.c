/* The reader of QMP's messages: pieces, limits, where a mistake is; and what is written of values. */
#include <config.h>
#include "tests/test.h"

#ifdef CONFIG_JSON
#include <stdlib.h>
#include <string.h>
#include <json-c/json.h>
#include "base/error.h"
#include "base/mem.h"
#include "monitor/hmp-internal.h"
#include "monitor/qmp-internal.h"

static char *written(const Json *v)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    json_write(v, false, out);
    fclose(out);
    return text;
}

/* all - what comes of @text in pieces of @piece: messages and mistakes, each with a line's end. */
static char *all(const char *text, size_t len, size_t piece)
{
    JsonReader *r = json_reader_new();
    char *result = xstrdup("");

    for (size_t at = 0; at < len;) {
        size_t used;
        Json *v;
        Error *err = NULL;
        bool ok = json_read(r, text + at, MIN(piece, len - at), &used, &v, &err);
        autofree char *one = !ok ? xstrdup(error_text(err)) : v != NULL ? written(v) : NULL;

        at += used;
        if (one != NULL) {
            char *more = xasprintf("%s%s\n", result, one);

            free(result);
            result = more;
        }
        error_free(err);
        json_object_put(v);
    }
    json_reader_free(r);
    return result;
}

static void gives(const char *text, const char *want)
{
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        autofree char *got = all(text, strlen(text), piece);

        assert_string_equal(got, want);
    }
}

static void messages(void **state)
{
    gives("{}", "{}\n");
    gives(" {\"a\" : [1, -2,true,null]}{'b':\"\\u00e9\"}\r\n", "{\"a\": [1, -2, true, null]}\n{\"b\": \"\\u00e9\"}\n");
    gives("{\"n\":9223372036854775807,\"m\":18446744073709551615}", "{\"n\": 9223372036854775807, \"m\": 18446744073709551615}\n");
    gives("1 2\n", "1\n2\n");
    gives("[1.5, -0.25e1, 1e999, null]", "[1.5, -2.5, null, null]\n");
    gives("\"\xf0\x9f\x98\x80\\n\\u0000\"", "\"\\ud83d\\ude00\\n\\u0000\"\n");
}

static void mistakes(void **state)
{
    gives("{\"a\" 1}\n{}", "JSON parse error, object property name separator ':' expected at byte 5\n{}\n");
    gives("{\"a\n{}", "JSON parse error, a character that cannot stand there at byte 3\n{}\n");
    gives("[NaN]\nnull\n1\n", "JSON parse error, a character that cannot stand there at byte 1\n"
                               "JSON parse error, a lone null at byte 0\n1\n");
    gives("{/*}\n*/\n{}", "JSON parse error, a character that cannot stand there at byte 1\n"
                           "JSON parse error, a character that cannot stand there at byte 0\n{}\n");
}

static void encoding(void **state)
{
    static const char bad[] = "a character that cannot stand there at byte";

    gives("\"\xed\xa0\x80\"\n1\n", "JSON parse error, a character that cannot stand there at byte 2\n1\n");
    for (unsigned c = 0x80; c < 0xc2; c++) {
        autofree char *text = xasprintf("\"%c\"\n", (char)c), *got = all(text, strlen(text), 1);

        assert_non_null(strstr(got, bad));
    }
    gives("\"\xf4\x8f\xbf\xbf\"", "\"\\udbff\\udfff\"\n");
}

static void limits(void **state)
{
    size_t n = JSON_MESSAGE_MAX + 100;
    char *text = xalloc0(n + 4, 1), *got;

    memset(text, '[', n);
    got = all(text, n, 4096);
    assert_string_equal(got, "JSON parse error, nested too deeply at byte 1024\n");
    free(got);
    memset(text, 'x', n);
    text[0] = '"';
    memcpy(text + n, "\n{}", 3);
    got = all(text, n + 3, 4096);
    assert_string_equal(got, "JSON parse error, the message is too long at byte 1048577\n{}\n");
    free(got);
    free(text);
}

static void check(const char *spec, const char *args, const char *want)
{
    Json *v = json_tokener_parse(args);
    Error *err = NULL;
    bool ok = qmp_check(spec, v, "", &err);

    assert_int_equal(ok, want == NULL);
    if (!ok) {
        assert_string_equal(error_text(err), want);
        error_free(err);
    }
    json_object_put(v);
}

static void arguments(void **state)
{
    const char *spec = "a:str ?b:int ?c:x|yy ?d:list";

    check(spec, "{'a': ''}", NULL);
    check(spec, "{'a': '', 'b': -1, 'c': 'yy', 'd': []}", NULL);
    check(spec, "{}", "Parameter 'a' is missing");
    check(spec, "{'a': null}", "Invalid parameter type for 'a', expected: string");
    check(spec, "{'a': '', 'b': 1.5}", "Invalid parameter type for 'b', expected: integer");
    check(spec, "{'a': '', 'c': 'y'}", "Parameter 'c' does not accept value 'y'");
    check(spec, "{'a': '', 'c': ''}", "Parameter 'c' does not accept value ''");
    check(spec, "{'a': '', 'e': 1}", "Parameter 'e' is unexpected");
    check(spec, "{'a': 'x\\u0000y'}", "Parameter 'a' has a character U+0000");
    check("", "{}", NULL);
}

/* Each row of the table can be read: types are known, names are not given twice. */
static void table(void **state)
{
    for (const Command *c = command_next(NULL, COMMAND_QMP); c != NULL; c = command_next(c, COMMAND_QMP)) {
        assert_ptr_equal(command_find(COMMAND_QMP, c->qmp), c);
        assert_non_null(c->help);
        assert_true(*c->args == '\0' || strchr(c->args, ':') != NULL);
    }
    assert_null(command_find(COMMAND_QMP, "nosuch"));
    for (const Command *c = command_next(NULL, COMMAND_HUMAN); c != NULL; c = command_next(c, COMMAND_HUMAN)) {
        assert_false(hmp_not_here(c->name));
    }
    for (const Command *c = command_next(NULL, COMMAND_INFO); c != NULL; c = command_next(c, COMMAND_INFO)) {
        autofree char *name = xasprintf("info %s", c->name);

        assert_false(hmp_not_here(name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages), cmocka_unit_test(mistakes), cmocka_unit_test(encoding), cmocka_unit_test(limits),
        cmocka_unit_test(arguments), cmocka_unit_test(table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void)
{
    printf("[  SKIPPED ] built without json-c\n[  PASSED  ] 0 test(s).\n");
    return 0;
}
#endif
