/*
 * Shared libraries that are opened when something first needs them, since what they drag in costs every start
 * milliseconds.
 */
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

struct Error;

/* A function or variable of the library, and where in the caller's table its address goes. */
typedef struct LibrarySymbol {
    const char *name;
    size_t offset;
} LibrarySymbol;

typedef struct Library {
    const char *file;    /* with the version of its interface, which is that of our headers */
    const char *what;    /* needs it: "VNC" */
    const char *package; /* Debian's */
    const LibrarySymbol *symbols;
    size_t count;
} Library;

/* library_load - fill @table with the addresses. The library stays. */
bool library_load(const Library *l, void *table, struct Error **errp);

#endif
