/*
 * Sub-options: "key=value,key=value" lists, as in `-chardev socket,id=a,path=/x,server=on`.
 *
 *   the first word may lack its key, which is then the implied one of the option
 *   ",," is a comma inside a value
 *   a bare `key` says key=on, a bare `nokey` says key=off
 *   a key given twice: the last wins
 *   '_' and '-' in keys are the same
 *
 * Getters never fail: they take the default for a value that is no good and the list remembers the
 * first such mistake. opt_done() reports it, or else a key that nobody asked for.
 */
#ifndef BASE_OPTLIST_H
#define BASE_OPTLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct Error;
typedef struct OptList OptList;

/* opt_new - an empty list. opt_free - NULL is fine. */
OptList *opt_new(void);
void opt_free(OptList *l);

/* opt_parse - a new list from @text; @implied is the key of a first word without one (NULL: none).
 * opt_add - the same, appended to @l, so later keys win over earlier ones (options that merge). */
OptList *opt_parse(const char *text, const char *implied, struct Error **errp);
bool opt_add(OptList *l, const char *text, const char *implied, struct Error **errp);
/* opt_set - append one pair; both are copied. */
void opt_set(OptList *l, const char *key, const char *value);

/* opt_get_str - the value of @key (owned by the list), or @def. */
const char *opt_get_str(OptList *l, const char *key, const char *def);
bool opt_get_bool(OptList *l, const char *key, bool def);
uint64_t opt_get_u64(OptList *l, const char *key, uint64_t max, uint64_t def);
/* opt_get_size - in bytes; a bare number counts @unit bytes. */
uint64_t opt_get_size(OptList *l, const char *key, uint64_t unit, uint64_t def);
/* opt_get_choice - the index of the value in @names (NULL-terminated), or @def when not given. */
int opt_get_choice(OptList *l, const char *key, const char *const *names, int def);

/* opt_has - @key was given (also as bare `key` or `nokey`). Does not count as asking for it. */
bool opt_has(const OptList *l, const char *key);

/* opt_bad - note a mistake found by the caller, as a getter would. */
void opt_bad(OptList *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* opt_known - @key may be given; used for suggestions. The getters do it by themselves. */
void opt_known(OptList *l, const char *key);

/* opt_each_unused - call @fn for each pair that nobody asked for, in order, and count it as asked
 * for. Stops at the first false. */
bool opt_each_unused(OptList *l,
                     bool (*fn)(void *opaque, const char *key, const char *value,
                                struct Error **errp),
                     void *opaque, struct Error **errp);

/* opt_done - false with the first bad value, or the first key that nobody asked for and the
 * nearest one that somebody did. */
bool opt_done(OptList *l, struct Error **errp);

/* opt_is_help - @text is "help" or "?". */
bool opt_is_help(const char *text);

/* opt_wants_help - the list has a bare help or ?, as in `-device X,help`. */
bool opt_wants_help(OptList *l);

/* opt_text - the list as one would type it, every word with its key. Freed by the caller. */
char *opt_text(const OptList *l);

/* opt_quote - @value with its commas doubled, for putting it into a list's text. Freed by caller. */
char *opt_quote(const char *value);

/* config_read - the groups of a -readconfig file, each `[group]` or `[group "id"]` followed by
 * lines `key = "value"`; @fn gets the list (with id=, which it takes ownership of). */
bool config_read(const char *path,
                 bool (*fn)(void *opaque, const char *group, OptList *l, struct Error **errp),
                 void *opaque, struct Error **errp);

#endif
