/*
 * What every cmocka program includes. A test that cannot run here says so by SKIP_TEST("why").
 */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#undef BIT /* nothing of ours may be shadowed by cmocka, nor the reverse */
#include <cmocka.h>
#include "base/error.h"
#include "base/mem.h"

#define SKIP_TEST(...)                                                                             \
    do {                                                                                           \
        printf("SKIP: " __VA_ARGS__);                                                              \
        printf("\n");                                                                              \
        skip();                                                                                    \
    } while (0)

/* expect_error - @err is set and its text contains @part; frees it. */
static inline void expect_error_(Error **err, const char *part, const char *file, int line)
{
    if (*err == NULL) {
        print_error("%s:%d: expected an error with \"%s\"\n", file, line, part);
        fail();
    }
    if (strstr(error_text(*err), part) == NULL) {
        print_error("%s:%d: \"%s\" is not in \"%s\"\n", file, line, part, error_text(*err));
        fail();
    }
    error_free(*err);
    *err = NULL;
}
#define expect_error(err, part) expect_error_((err), (part), __FILE__, __LINE__)

#endif
