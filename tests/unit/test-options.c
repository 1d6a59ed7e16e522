/* Sub-option lists, config files, the command line. */
#include "tests/test.h"

#include <stdlib.h>
#include <unistd.h>
#include "base/options.h"
#include "base/optlist.h"

static OptList *parse(const char *text, const char *implied)
{
    Error *err = NULL;
    OptList *l = opt_parse(text, implied, &err);
    assert_null(err);
    assert_non_null(l);
    return l;
}

static void test_list(void **state)
{
    OptList *l = parse("socket,id=a,path=/x,,y,server,nowait,n=0x10,size=1.5G,id=b", "backend");
    static const char *const names[] = { "a", "b", "c", NULL };

    assert_string_equal(opt_get_str(l, "backend", NULL), "socket");
    assert_string_equal(opt_get_str(l, "path", NULL), "/x,y");
    assert_string_equal(opt_get_str(l, "id", NULL), "b");
    assert_int_equal(opt_get_choice(l, "id", names, 0), 1);
    assert_true(opt_get_bool(l, "server", false));
    assert_false(opt_get_bool(l, "wait", true));
    assert_true(opt_has(l, "wait"));
    assert_false(opt_has(l, "nothing"));
    assert_int_equal(opt_get_u64(l, "n", 100, 0), 16);
    assert_int_equal(opt_get_size(l, "size", 1, 0), 3ull << 29);
    assert_int_equal(opt_get_size(l, "other", 1, 77), 77);
    assert_true(opt_done(l, NULL));
    opt_free(l);
    opt_free(NULL);
}

static void test_list_edges(void **state)
{
    Error *err = NULL;
    OptList *l;

    l = parse("", "size");
    assert_null(opt_get_str(l, "size", NULL));
    opt_free(l);
    l = parse("a,,b", "file");
    assert_string_equal(opt_get_str(l, "file", NULL), "a,b");
    opt_free(l);
    l = parse("a=", NULL);
    assert_string_equal(opt_get_str(l, "a", NULL), "");
    opt_free(l);
    l = parse("a=b=c,", NULL); /* a trailing comma is nothing */
    assert_string_equal(opt_get_str(l, "a", NULL), "b=c");
    assert_true(opt_done(l, NULL));
    opt_free(l);
    l = parse("kernel_irqchip=on,nodelay", NULL);
    assert_true(opt_get_bool(l, "kernel-irqchip", false));
    assert_true(opt_get_bool(l, "nodelay", false)); /* a key that begins with "no" */
    opt_free(l);
    l = parse("x,help", "driver");
    assert_true(opt_wants_help(l));
    opt_free(l);
    assert_null(opt_parse("a=b,=c", NULL, &err));
    expect_error(&err, "value without a name");
    assert_null(opt_parse(",x", NULL, &err));
    expect_error(&err, "empty sub-option");
    char *q = opt_quote("a,b,,");
    assert_string_equal(q, "a,,b,,,,");
    free(q);
}

static void test_list_mistakes(void **state)
{
    Error *err = NULL;
    OptList *l = parse("pat=/x,server=on", NULL);

    opt_get_str(l, "path", NULL);
    opt_get_bool(l, "server", false);
    assert_false(opt_done(l, &err));
    expect_error(&err, "unknown sub-option 'pat'; did you mean 'path'?");
    opt_free(l);

    l = parse("server=perhaps,n=5", NULL);
    assert_true(opt_get_bool(l, "server", true));
    assert_int_equal(opt_get_u64(l, "n", 4, 1), 1);
    assert_false(opt_done(l, &err)); /* the first one is told */
    expect_error(&err, "server=perhaps: neither on nor off");
    opt_free(l);
}

static void test_merge(void **state)
{
    OptList *l = parse("pc,accel=tcg", "type");

    assert_true(opt_add(l, "usb=off,accel=interp", "type", NULL));
    assert_string_equal(opt_get_str(l, "type", NULL), "pc");
    assert_string_equal(opt_get_str(l, "accel", NULL), "interp");
    assert_false(opt_get_bool(l, "usb", true));
    opt_free(l);
}

/* ---- files ---- */

static char groups[256];

static bool on_group(void *opaque, const char *group, OptList *l, Error **errp)
{
    size_t n = strlen(groups);
    snprintf(groups + n, sizeof(groups) - n, "%s:%s:%s;", group, opt_get_str(l, "id", "-"),
             opt_get_str(l, "driver", "-"));
    opt_free(l);
    if (strcmp(group, "bad") == 0) {
        error_set(errp, "no such group");
        return false;
    }
    return true;
}

static bool read_text(const char *text, Error **errp)
{
    char path[] = "/tmp/doppel-test-XXXXXX";
    int fd = mkstemp(path);
    bool ok;

    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    groups[0] = '\0';
    ok = config_read(path, on_group, NULL, errp);
    unlink(path);
    return ok;
}

static void test_config(void **state)
{
    Error *err = NULL;

    assert_true(read_text("# c\n\n[machine]\n  type = \"pc\"\n[device \"d 0\"]\r\n"
                          "driver = \"isa-serial\"\n\tx=1\n",
                          &err));
    assert_string_equal(groups, "machine:-:-;device:d 0:isa-serial;");
    assert_false(read_text("x = \"1\"\n", &err));
    expect_error(&err, ":1: a key before");
    assert_false(read_text("[a]\nx = \"1\n", &err));
    expect_error(&err, ":2: the quotes");
    assert_false(read_text("[a\n", &err));
    expect_error(&err, ":1: a group");
    assert_false(read_text("[a]\nhello\n", &err));
    expect_error(&err, ":2: neither");
    assert_false(read_text("[bad]\n", &err));
    expect_error(&err, "[bad]: no such group");
    assert_false(config_read("/nonexistent", on_group, NULL, &err));
    expect_error(&err, "/nonexistent");
}

/* ---- the command line ---- */

static char seen[256];

static bool on_option(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    size_t n = strlen(seen);
    snprintf(seen + n, sizeof(seen) - n, "%s=%s;", def->name, arg != NULL ? arg : "-");
    if (arg != NULL && strcmp(arg, "bad") == 0) {
        error_set(errp, "no good");
        return false;
    }
    return true;
}

static bool on_word(void *opaque, const char *text, Error **errp)
{
    size_t n = strlen(seen);
    snprintf(seen + n, sizeof(seen) - n, "word %s;", text);
    return true;
}

static const OptionDef table[] = {
    { "memory", "[size=]n", "memory of the guest\nin MiB", "Standard options", on_option, 0 },
    { "no-reboot", NULL, "exit instead of rebooting", NULL, on_option, 0 },
    { "nr", NULL, NULL, NULL, on_option, 0 },
    { NULL },
};

static bool run(Error **errp, int argc, ...)
{
    char *argv[8] = { (char *)"prog" };
    va_list ap;

    va_start(ap, argc);
    for (int i = 1; i <= argc; i++) {
        argv[i] = va_arg(ap, char *);
    }
    va_end(ap);
    seen[0] = '\0';
    return options_parse(table, argc + 1, argv, NULL, on_word, errp);
}

static void test_command_line(void **state)
{
    Error *err = NULL;
    char *text = NULL;
    size_t len;
    FILE *f;

    assert_true(run(&err, 5, "-memory", "-1", "--no-reboot", "disk.img", "-"));
    assert_string_equal(seen, "memory=-1;no-reboot=-;word disk.img;word -;");
    assert_false(run(&err, 1, "-memroy"));
    expect_error(&err, "-memroy: invalid option; did you mean -memory?");
    assert_false(run(&err, 1, "--memory=5"));
    expect_error(&err, "--memory=5: invalid option; the value of -memory is the next word");
    assert_false(run(&err, 1, "-zzzzzzz"));
    expect_error(&err, "-zzzzzzz: invalid option");
    assert_false(run(&err, 1, "-memory"));
    expect_error(&err, "-memory: requires an argument");
    assert_false(run(&err, 2, "-memory", "bad"));
    expect_error(&err, "-memory bad: no good");

    f = open_memstream(&text, &len);
    options_help(table, f);
    fclose(f);
    assert_string_equal(text, "\nStandard options:\n"
                              "-memory [size=]n\n"
                              "                memory of the guest\n"
                              "                in MiB\n"
                              "-no-reboot      exit instead of rebooting\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),          cmocka_unit_test(test_list_edges),
        cmocka_unit_test(test_list_mistakes), cmocka_unit_test(test_merge),
        cmocka_unit_test(test_config),        cmocka_unit_test(test_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
