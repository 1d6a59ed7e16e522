/*
 * Secrets: passwords that options name by an id (-object secret), so that they need not stand in them.
 * Loop thread.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

struct Error;
struct OptList;

/* secret_new - from id=, data= or file=, format=raw|base64. All of @l must be known. */
bool secret_new(struct OptList *l, struct Error **errp);

/* secret_del - whether there was one called @id; the bytes are wiped. */
bool secret_del(const char *id);

/* secret_find - the bytes of a secret, with a NUL behind them; NULL: there is none. *@len may be NULL. */
const char *secret_find(const char *id, size_t *len);

#endif
