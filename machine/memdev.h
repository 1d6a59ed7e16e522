/* -object memory-backend-ram, -file, -memfd: what guest memory is made of. */
#ifndef MACHINE_MEMDEV_H
#define MACHINE_MEMDEV_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct Error;
struct OptList;
typedef struct Memdev Memdev;

/* As -object makes and removes them. memdev_del - false: there is none called @id. */
bool memdev_new_ram(struct OptList *l, struct Error **errp);
bool memdev_new_file(struct OptList *l, struct Error **errp);
bool memdev_new_memfd(struct OptList *l, struct Error **errp);
bool memdev_del(const char *id);
/* memdev_new_board - "pc.ram", the board's own memory: of a file as -object memory-backend-file has one, or @path is NULL. */
#define MEMDEV_BOARD "pc.ram"
bool memdev_new_board(const char *path, uint64_t size, struct Error **errp);
/* memdev_prealloc_all - those that are there have all of their memory from the start. */
void memdev_prealloc_all(void);
/* memdev_used - guest memory is made of it. */
bool memdev_used(const char *id);

Memdev *memdev_find(const char *id);
const char *memdev_id(const Memdev *m);
uint64_t memdev_size(const Memdev *m);
/* memdev_take - it shall be guest memory: false with errp when it is already. */
bool memdev_take(Memdev *m, struct Error **errp);
/* memdev_install - guest RAM at @offset, of its size, is made of it. After ram_create(). */
bool memdev_install(Memdev *m, uint64_t offset, struct Error **errp);

/* memdev_each - @fn for each, in the order in which they were made; before them for the board's own memory, where that is
 * none of them. */
typedef struct MemdevInfo {
    const char *id;
    uint64_t size;
    bool merge, dump, prealloc, share, reserve;
} MemdevInfo;
void memdev_each(void (*fn)(void *opaque, const MemdevInfo *info), void *opaque);

#endif
