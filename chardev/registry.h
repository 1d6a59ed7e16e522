/*
 * Between chardev/chardev.c and chardev/create.c.
 */
#ifndef CHARDEV_REGISTRY_H
#define CHARDEV_REGISTRY_H

#include "chardev/backend.h"

Chardev *chardev_make(const CharBackend *be, const char *id); /* not yet on the list */
void chardev_enlist(Chardev *c);
void chardev_unmake(Chardev *c); /* frees one that is not on the list */
void chardev_kick_locked(Chardev *c); /* chardev_kick() for holders of c->lock */

#endif
