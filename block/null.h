/* null-co and null-aio: a disk that forgets what is written to it, to measure everything but disks. */
#ifndef BLOCK_NULL_H
#define BLOCK_NULL_H

#include <stdbool.h>
#include "block/host-file.h"

struct Error;
struct OptList;

/* null_is_address - "null-co://..." or "null-aio://...". null_open - it; behind the slashes stand options, as
 * null_address() has them. */
bool null_is_address(const char *name);
RemoteFile *null_open(const char *name, struct Error **errp);
/* null_address - of the options of a node of the driver @driver, their keys behind @prefix; freed by the caller. */
char *null_address(struct OptList *l, const char *prefix, const char *driver);

#endif
