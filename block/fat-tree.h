/*
 * A folder as FAT's folders: who has which clusters, and what stands in them. See fat.h.
 *
 * Sources: Microsoft, "FAT: General Overview of On-Disk Format" (version 1.03): "FAT Directory Structure", "FAT Long
 * Directory Entries", "Name Limits and Character Sets".
 */
#ifndef BLOCK_FAT_TREE_H
#define BLOCK_FAT_TREE_H

#include <stdbool.h>
#include <stdint.h>

struct Error;

enum { FAT_ENTRY = 32 }; /* bytes of a name's slot */

typedef struct FatItem {
    char *path;           /* of the host's file; NULL: a folder */
    uint8_t *data;        /* of a folder */
    uint32_t first, size; /* cluster, from 2 on; bytes. The clusters lie in a row, those of the items one behind the other. */
} FatItem;

typedef struct FatTree {
    uint32_t cluster_bytes, clusters; /* given: of a cluster; how many there are */
    unsigned root_entries;            /* given: slots of the root */
    uint8_t *root;
    FatItem *items; /* with at least one cluster */
    uint32_t count, used; /* items; clusters */
} FatTree;

/* fat_tree_read - all of the folder @path; false with errp: it cannot be read, or does not fit. fat_tree_free in both cases. */
bool fat_tree_read(FatTree *t, const char *path, struct Error **errp);
void fat_tree_free(FatTree *t);

#endif
