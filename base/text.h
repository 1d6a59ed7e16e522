/*
 * What users type: numbers, sizes, booleans, names, and the nearest known spelling of a wrong one.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* text_bool - on/off, yes/no, true/false, y/n. False (and *out untouched) on anything else. */
bool text_bool(const char *s, bool *out);

/* text_u64 - decimal, 0x hexadecimal or 0 octal, up to @max; no sign, no space, nothing after. */
bool text_u64(const char *s, uint64_t max, uint64_t *out);

/* text_size - a number with an optional suffix b k/K M G T P E (powers of 1024); decimal fractions
 * as 1.5G. @unit multiplies a number that has no suffix (1, or 1 MiB for -m). */
bool text_size(const char *s, uint64_t unit, uint64_t *out);

/* text_show_size - @n in the largest unit that divides it, as "512M"; into @buf of 32 bytes. */
const char *text_show_size(uint64_t n, char buf[32]);

/* text_name_eq - equal where '_' and '-' count as the same letter. */
bool text_name_eq(const char *a, const char *b);

/* text_match - shell-like pattern of '*' and '?' against all of @s. */
bool text_match(const char *pattern, const char *s);

/* utf8_next - the character at *@s, which goes on behind it; 0 at the end, U+FFFD for what is no UTF-8. */
uint32_t utf8_next(const char **s);

/* text_distance - edits (insert, delete, replace, swap of neighbours) between the two. */
unsigned text_distance(const char *a, const char *b);

/* The nearest of several names, offered one after the other. */
typedef struct Nearest {
    const char *wanted;
    const char *best; /* borrowed from the caller of nearest_offer(); NULL: nothing near enough */
    unsigned distance;
} Nearest;
void nearest_init(Nearest *n, const char *wanted);
void nearest_offer(Nearest *n, const char *candidate);
/* nearest_hint - "; did you mean 'best'?" for the end of a message, or nothing. Freed by the caller. */
char *nearest_hint(const Nearest *n);

#endif
