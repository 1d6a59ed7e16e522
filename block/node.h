/*
 * Nodes: images by a name of their own (-blockdev, blockdev-add), a tree of them each: a format over a file, and over what
 * is behind it. A device that is given drive=NAME of one gets a back end for it.
 *
 * Loop thread, or before the loop; machine lock not held, where nothing else is said.
 */
#ifndef BLOCK_NODE_H
#define BLOCK_NODE_H

#include "block/block.h"

struct OptList;

/* node_add - what @l says, with the members of a node inside of another as `file.filename`; `file=NAME` is a node that is
 * there, an empty `backing` is none. False: nothing was added. */
bool node_add(struct OptList *l, struct Error **errp);
/* node_open - the image of what @l says, without nodes that stay: the root needs no name, and where a driver is left out it is
 * file's, or a format that is found out. @flags and @cache as for image_open_with(). The caller owns it; NULL with errp.
 * node_open_json - the same of the JSON object @text. node_is_json - @name is "json:" and that, as a user (never an image) may
 * name an image; skip 5 characters. */
struct BlockImage *node_open(struct OptList *l, unsigned flags, BlockCache cache, struct Error **errp);
struct BlockImage *node_open_json(const char *text, unsigned flags, BlockCache cache, struct Error **errp);
bool node_is_json(const char *name);
bool node_del(const char *name, struct Error **errp);
/* node_known - there is a node called so. node_drive - the back end for it, whose image is opened by then; NULL with
 * errp. The machine lock may be held. */
bool node_known(const char *name);
BlockBackend *node_drive(const char *name, struct Error **errp);
/* node_image - a reference to the image of it; NULL with errp. */
struct BlockImage *node_image(const char *name, struct Error **errp);

/* node_each - nodes that have a name or stand in a tree of one, in the order in which they were made. @driver is a
 * protocol's too ("file"). */
void node_each(void (*fn)(void *opaque, const char *name, const char *driver, const BlockInfo *info), void *opaque);

#endif
