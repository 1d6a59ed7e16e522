/*
 * Guest RAM that does not lie in the process's own memory: pieces of it are files of the user's.
 */
#ifndef BUS_RAM_BACK_H
#define BUS_RAM_BACK_H

#include <stdbool.h>
#include <stdint.h>

struct Error;

enum { RAM_BACKS = 128 };

/* ram_back - [@offset, +@size) of guest RAM, which nothing has touched yet, is the first @size bytes of @fd from now on:
 * @shared: what is stored lands in the file; else it is this guest's. Takes ownership of @fd, also when it fails.
 * Between ram_create() and the first store. */
bool ram_back(uint64_t offset, uint64_t size, int fd, bool shared, struct Error **errp);
/* ram_fill - the host gives memory for all of [@offset, +@size) now. */
bool ram_fill(uint64_t offset, uint64_t size, struct Error **errp);

/* ram_backing - what is behind guest RAM at @offset: the descriptor, @offset's place in it, and where in guest RAM it ends.
 * A copy-on-write piece says -1. */
int ram_backing(uint64_t offset, uint64_t *place, uint64_t *end);
/* ram_punch - [@offset, +@len), whole pages, reads as zeros; true: the host has its memory back. False: nothing was done. */
bool ram_punch(uint64_t offset, uint64_t len);
/* ram_back_fini - for ram_destroy(). */
void ram_back_fini(void);

#endif
