/*
 * Numbers, sizes, booleans and names as users type them.
 */
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

bool text_bool(const char *s, bool *out)
{
    static const char *const yes[] = { "on", "yes", "true", "y" };
    static const char *const no[] = { "off", "no", "false", "n" };

    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (strcmp(s, yes[i]) == 0 || strcmp(s, no[i]) == 0) {
            *out = s[0] == yes[i][0] && strcmp(s, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

bool text_u64(const char *s, uint64_t max, uint64_t *out)
{
    char *end;
    unsigned long long v;

    if (!isdigit((unsigned char)s[0])) {
        return false; /* strtoull() would take signs and spaces */
    }
    errno = 0;
    v = strtoull(s, &end, 0);
    if (*end != '\0' || errno != 0 || v > max) {
        return false;
    }
    *out = v;
    return true;
}

/* The factor of a suffix letter; 0 for a letter that is none. */
static uint64_t suffix_factor(char c)
{
    static const char letters[] = "bkmgtpe";
    const char *p = c == '\0' ? NULL : strchr(letters, tolower((unsigned char)c));

    return p == NULL ? 0 : 1ull << (10 * (p - letters));
}

bool text_size(const char *s, uint64_t unit, uint64_t *out)
{
    unsigned __int128 total;
    uint64_t whole, num = 0, den = 1, factor = unit;
    char *end;

    if (!isdigit((unsigned char)s[0])) {
        return false;
    }
    errno = 0;
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
        /* 'b' and 'e' are digits here, so hexadecimal takes no suffix */
        return text_u64(s, UINT64_MAX / unit, &whole) && (*out = whole * unit, true);
    }
    whole = strtoull(s, &end, 10);
    if (errno != 0) {
        return false;
    }
    if (*end == '.') {
        end++;
        if (!isdigit((unsigned char)*end)) {
            return false;
        }
        for (; isdigit((unsigned char)*end); end++) {
            if (den < 1000000000000ull) { /* further digits are below a byte of any unit in use */
                num = num * 10 + (uint64_t)(*end - '0');
                den *= 10;
            }
        }
    }
    if (*end != '\0') {
        factor = suffix_factor(*end);
        if (factor == 0 || end[1] != '\0') {
            return false;
        }
    }
    total = (unsigned __int128)whole * factor + (unsigned __int128)num * factor / den;
    if (total > UINT64_MAX) {
        return false;
    }
    *out = (uint64_t)total;
    return true;
}

const char *text_show_size(uint64_t n, char buf[32])
{
    static const char letters[] = "\0KMGTPE";
    unsigned i = 0;

    while (n != 0 && i < 6 && n % 1024 == 0) {
        n /= 1024;
        i++;
    }
    if (i == 0) {
        snprintf(buf, 32, "%llu", (unsigned long long)n);
    } else {
        snprintf(buf, 32, "%llu%c", (unsigned long long)n, letters[i]);
    }
    return buf;
}

static char fold(char c)
{
    return c == '_' ? '-' : c;
}

bool text_name_eq(const char *a, const char *b)
{
    while (*a != '\0' && fold(*a) == fold(*b)) {
        a++;
        b++;
    }
    return *a == '\0' && *b == '\0';
}

bool text_match(const char *pattern, const char *s)
{
    const char *star = NULL, *resume = NULL;

    /* one point of return is enough: a later '*' makes an earlier one's choice final */
    while (*s != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            resume = s;
        } else if (*pattern == '?' || *pattern == *s) {
            pattern++;
            s++;
        } else if (star != NULL) {
            pattern = star + 1;
            s = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

/* Optimal string alignment distance, with rows of bounded length: longer names are cut, which is
 * good enough for a suggestion. */
uint32_t utf8_next(const char **s)
{
    const uint8_t *p = (const uint8_t *)*s;
    unsigned more = *p < 0x80 ? 0 : *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
    uint32_t ch = more == 0 ? *p : *p & (0x3fu >> more);

    if (*p == 0) {
        return 0;
    }
    if (*p >= 0x80 && (*p < 0xc2 || *p > 0xf4)) {
        ++*s;
        return 0xfffd;
    }
    for (unsigned n = 1; n <= more; n++) {
        if ((p[n] & 0xc0) != 0x80) {
            *s += n;
            return 0xfffd;
        }
        ch = ch << 6 | (p[n] & 0x3f);
    }
    *s += more + 1;
    return ch;
}

unsigned text_distance(const char *a, const char *b)
{
    enum { MAX_NAME = 64 };
    unsigned row[3][MAX_NAME + 1];
    size_t la = strnlen(a, MAX_NAME), lb = strnlen(b, MAX_NAME);

    for (size_t j = 0; j <= lb; j++) {
        row[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= la; i++) {
        unsigned *cur = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        cur[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            bool same = fold(a[i - 1]) == fold(b[j - 1]);
            unsigned best = up[j - 1] + (same ? 0 : 1);
            best = MIN(best, up[j] + 1);
            best = MIN(best, cur[j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = MIN(best, up2[j - 2] + 1);
            }
            cur[j] = best;
        }
    }
    return row[la % 3][lb];
}

void nearest_init(Nearest *n, const char *wanted)
{
    n->wanted = wanted;
    n->best = NULL;
    /* one letter in three may be wrong, at least one and at most three */
    n->distance = MAX(2u, MIN(4u, (unsigned)(strlen(wanted) / 3) + 1));
}

void nearest_offer(Nearest *n, const char *candidate)
{
    unsigned d = text_distance(n->wanted, candidate);

    if (d < n->distance && d < strlen(candidate)) {
        n->distance = d;
        n->best = candidate;
    }
}

char *nearest_hint(const Nearest *n)
{
    return n->best != NULL ? xasprintf("; did you mean '%s'?", n->best) : xstrdup("");
}
