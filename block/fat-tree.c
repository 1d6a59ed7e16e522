/*
 * A folder as FAT's folders. See fat-tree.h.
 */
#include "block/fat-tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"

enum {
    DEPTH_MAX = 32,
    SLOTS_MAX = 65536, /* of a folder: 2 MiB */
    NAMES_MAX = SLOTS_MAX / 2,
    LONG_MAX_CHARS = 255,
    PER_SLOT = 13,     /* characters of a long name */
    ATTR_VOLUME = 0x08, ATTR_FOLDER = 0x10, ATTR_FILE = 0x20, ATTR_LONG = 0x0f,
};

/* A folder while it is read. */
typedef struct Folder {
    const char *path;
    unsigned depth;
    uint8_t *at, *start; /* its slots; those before `at` are taken */
    uint8_t basis[8];    /* what was numbered last, */
    unsigned tail;       /* and how: thousands of names that begin alike come one behind the other */
} Folder;

/* One of its names. */
typedef struct Name {
    char *name;
    bool folder;
    uint32_t size;
    time_t changed;
    uint16_t wide[LONG_MAX_CHARS + 1];
    unsigned chars;    /* of these */
    bool is_short;     /* it needs no long name */
    bool lossy;        /* as 8.3 it is another, and not only in capitals */
    uint8_t plain[11]; /* as 8.3 */
} Name;

static bool read_folder(FatTree *t, const char *path, unsigned depth, uint32_t self, uint32_t parent, Error **errp);

/* ---- names ---- */

/* widen - UTF-8 as UTF-16; what is no UTF-8, and what FAT does not allow, as '_'. False: too long. */
static bool widen(Name *n)
{
    const uint8_t *p = (const uint8_t *)n->name;

    n->chars = 0;
    while (*p != 0) {
        unsigned more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0, got = 0;
        uint32_t c = more == 3 ? *p & 7 : more == 2 ? *p & 15 : more == 1 ? *p & 31 : *p;

        while (got < more && (p[got + 1] & 0xc0) == 0x80) {
            c = c << 6 | (p[++got] & 0x3f);
        }
        p += got + 1;
        if (got < more || (more == 0 && c >= 0x80) || c < 32 || c > 0x10ffff || (c < 0x80 && strchr("\"*:<>?\\|", (int)c) != NULL)) {
            c = '_';
        }
        if (n->chars + (c > 0xffff) >= LONG_MAX_CHARS) {
            return false;
        }
        if (c > 0xffff) {
            n->wide[n->chars++] = (uint16_t)(0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        n->wide[n->chars++] = (uint16_t)c;
    }
    return true;
}

static bool plain_char(uint16_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c < 0x80 && c != 0 && strchr("$%'-_@~`!(){}^#&", c) != NULL);
}

/* shorten - to 8.3. "Basis-Name Generation Algorithm". */
static void shorten(Name *n)
{
    unsigned dot = n->chars, out = 0, begin = 0;

    while (begin < n->chars && n->wide[begin] == '.') {
        begin++;
    }
    for (unsigned k = begin; k < n->chars; k++) {
        dot = n->wide[k] == '.' ? k : dot;
    }
    memset(n->plain, ' ', sizeof(n->plain));
    n->is_short = true;
    n->lossy = begin != 0 || dot == n->chars - 1;
    for (unsigned k = begin; k < n->chars; k++) {
        uint16_t c = n->wide[k], upper = c < 0x80 ? (uint16_t)toupper(c) : c;

        if (k == dot) {
            out = 8;
        } else if (c == ' ' || c == '.' || out == (k < dot ? 8u : 11u)) {
            n->lossy = true;
        } else {
            n->is_short &= plain_char(c);
            n->lossy |= !plain_char(upper);
            n->plain[out++] = (uint8_t)(plain_char(upper) ? upper : '_');
        }
    }
    if (n->plain[0] == ' ') {
        n->plain[0] = '_';
        n->lossy = true;
    }
    n->is_short &= !n->lossy;
}

static bool taken(const Folder *f, const uint8_t plain[11])
{
    for (const uint8_t *e = f->start; e < f->at; e += FAT_ENTRY) {
        if (e[11] != ATTR_LONG && memcmp(e, plain, 11) == 0) {
            return true;
        }
    }
    return false;
}

/* number - "~1" and up, until nobody has the name. "Numeric-Tail Generation". */
static void number(Folder *f, Name *n)
{
    unsigned len = 0;

    if (memcmp(f->basis, n->plain, sizeof(f->basis)) != 0) {
        memcpy(f->basis, n->plain, sizeof(f->basis));
        f->tail = 0;
    }
    while (len < 8 && f->basis[len] != ' ') {
        len++;
    }
    do {
        char tail[12];
        unsigned digits = (unsigned)snprintf(tail, sizeof(tail), "~%u", ++f->tail), at = MIN(len, 8 - MIN(digits, 8u));

        memcpy(n->plain, f->basis, sizeof(f->basis));
        memcpy(n->plain + at, tail, MIN(digits, 8 - at));
    } while (taken(f, n->plain));
}

/* ---- slots ---- */

/* put_short - "FAT Directory Structure". */
static uint8_t *put_short(uint8_t *e, const uint8_t plain[11], uint8_t attr, uint32_t first, uint32_t size, time_t changed)
{
    struct tm tm = { 0 };
    uint32_t date = 1 << 5 | 1, clock = 0;

    if (localtime_r(&changed, &tm) != NULL && tm.tm_year >= 80 && tm.tm_year < 208) {
        date = (uint32_t)((tm.tm_year - 80) << 9 | (tm.tm_mon + 1) << 5 | tm.tm_mday);
        clock = (uint32_t)(tm.tm_hour << 11 | tm.tm_min << 5 | tm.tm_sec / 2);
    }
    memcpy(e, plain, 11);
    e[11] = attr;
    st_le16(e + 14, (uint16_t)clock);
    st_le16(e + 16, (uint16_t)date);
    st_le16(e + 18, (uint16_t)date);
    st_le16(e + 22, (uint16_t)clock);
    st_le16(e + 24, (uint16_t)date);
    st_le16(e + 26, (uint16_t)first);
    st_le32(e + 28, size);
    return e + FAT_ENTRY;
}

static unsigned slots_of(const Name *n)
{
    return n->is_short ? 1 : (n->chars + PER_SLOT - 1) / PER_SLOT + 1;
}

/* put_long - the slots of a long name, its end first, before that of the short one. "FAT Long Directory Entries". */
static uint8_t *put_long(uint8_t *e, const Name *n)
{
    static const uint8_t where[PER_SLOT] = { 1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30 };
    unsigned slots = slots_of(n) - 1;
    uint8_t sum = 0;

    for (unsigned k = 0; k < 11; k++) {
        sum = (uint8_t)((sum >> 1 | sum << 7) + n->plain[k]);
    }
    for (unsigned s = slots; s > 0; s--, e += FAT_ENTRY) {
        e[0] = (uint8_t)(s | (s == slots ? 0x40 : 0));
        e[11] = ATTR_LONG;
        e[13] = sum;
        for (unsigned k = 0; k < PER_SLOT; k++) {
            unsigned c = (s - 1) * PER_SLOT + k;

            st_le16(e + where[k], c < n->chars ? n->wide[c] : c == n->chars ? 0 : 0xffff);
        }
    }
    return e;
}

/* ---- the folder ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const Name *)a)->name, ((const Name *)b)->name);
}

/* look - what is behind a name: 1, or 0 when it is left out; -1 with errp. */
static int look(Name *n, const char *folder, Error **errp)
{
    autofree char *path = xasprintf("%s/%s", folder, n->name);
    int fd = host_open(path, O_RDONLY | O_NONBLOCK, 0);
    struct stat st;
    bool ok = fd >= 0 && fstat(fd, &st) == 0;

    if (!ok) {
        error_set_errno(errp, errno, "Could not open '%s'", path);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (!ok || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
        return ok ? 0 : -1;
    }
    if (!widen(n) || st.st_size > UINT32_MAX) {
        error_set(errp, "'%s' is too %s for FAT", path, st.st_size > UINT32_MAX ? "large" : "long a name");
        return -1;
    }
    n->folder = S_ISDIR(st.st_mode);
    n->size = n->folder ? 0 : (uint32_t)st.st_size;
    n->changed = st.st_mtime;
    shorten(n);
    return 1;
}

static void free_names(Name *names, unsigned count)
{
    for (unsigned k = 0; k < count; k++) {
        free(names[k].name);
    }
    free(names);
}

/* list - the names of a folder, in order; NULL with errp. */
static Name *list(const char *path, unsigned *count, Error **errp)
{
    int fd = host_open(path, O_RDONLY | O_DIRECTORY, 0), r = 1;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    Name *names = xnewn(Name, 1);
    struct dirent *d;

    *count = 0;
    if (dir == NULL) {
        error_set_errno(errp, errno, "Could not open '%s'", path);
        if (fd >= 0) {
            close(fd);
        }
        free(names);
        return NULL;
    }
    while (r >= 0 && (d = readdir(dir)) != NULL) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) {
            continue;
        }
        if (*count == NAMES_MAX) {
            error_set(errp, "'%s' has too many names for a folder of FAT", path);
            r = -1;
            break;
        }
        if ((*count & (*count - 1)) == 0) {
            names = xrealloc(names, MAX(*count * 2, 1u), sizeof(*names));
        }
        names[*count] = (Name){ .name = xstrdup(d->d_name) };
        r = look(&names[*count], path, errp);
        if (r > 0) {
            ++*count;
        } else {
            free(names[*count].name);
        }
    }
    closedir(dir);
    if (r < 0) {
        free_names(names, *count);
        return NULL;
    }
    qsort(names, *count, sizeof(*names), by_name);
    return names;
}

/* take - clusters for the @bytes of @path or @data, which become the tree's. None for no bytes. */
static bool take(FatTree *t, char *path, uint8_t *data, uint32_t bytes, Error **errp)
{
    uint32_t n = bytes / t->cluster_bytes + (bytes % t->cluster_bytes != 0), first = t->used + 2;
    bool fits = n <= t->clusters - t->used;

    if (!fits) {
        error_set(errp, "the folder does not fit on a FAT disk of %.1f MiB", (double)t->clusters * t->cluster_bytes / (1 << 20));
    }
    if (n == 0 || !fits) {
        free(path);
        free(data);
        return fits;
    }
    if ((t->count & (t->count - 1)) == 0) {
        t->items = xrealloc(t->items, MAX(t->count * 2, 1u), sizeof(*t->items));
    }
    t->items[t->count++] = (FatItem){ .path = path, .data = data, .first = first, .size = bytes };
    t->used += n;
    return true;
}

/* put_name - its slots, and what they lead to. */
static bool put_name(FatTree *t, Folder *f, Name *n, uint32_t self, Error **errp)
{
    autofree char *path = xasprintf("%s/%s", f->path, n->name);
    uint32_t first = n->folder || n->size != 0 ? t->used + 2 : 0;

    if (!n->folder && !take(t, xstrdup(path), NULL, n->size, errp)) {
        return false;
    }
    if (n->lossy || taken(f, n->plain)) {
        number(f, n);
        n->is_short = false;
    }
    if (!n->is_short) {
        f->at = put_long(f->at, n);
    }
    f->at = put_short(f->at, n->plain, n->folder ? ATTR_FOLDER : ATTR_FILE, first, n->size, n->changed);
    return !n->folder || read_folder(t, path, f->depth + 1, first, self, errp);
}

/* fill - the slots of @f, of which @self is the first cluster. */
static bool fill(FatTree *t, Folder *f, Name *names, unsigned count, uint32_t self, Error **errp)
{
    bool ok = true;

    for (unsigned k = 0; k < count && ok; k++) {
        ok = put_name(t, f, &names[k], self, errp);
    }
    return ok;
}

/* slots_for - all names; a short one that is taken, as names are that differ in case only, gets a long one. */
static unsigned slots_for(const Name *names, unsigned count)
{
    unsigned slots = 0;

    for (unsigned k = 0; k < count; k++) {
        slots += slots_of(&names[k]) + names[k].is_short * 2;
    }
    return slots;
}

static bool too_deep(const Folder *f, Error **errp)
{
    if (f->depth > DEPTH_MAX) {
        error_set(errp, "'%s': more than %d folders in each other, or a circle of links", f->path, DEPTH_MAX);
    }
    return f->depth > DEPTH_MAX;
}

/* read_folder - one that is not the root. */
static bool read_folder(FatTree *t, const char *path, unsigned depth, uint32_t self, uint32_t parent, Error **errp)
{
    Folder f = { .path = path, .depth = depth };
    unsigned count, slots;
    Name *names = too_deep(&f, errp) ? NULL : list(path, &count, errp);
    bool ok;

    if (names == NULL) {
        return false;
    }
    slots = slots_for(names, count) + 2;
    ok = slots <= SLOTS_MAX;
    if (!ok) {
        error_set(errp, "'%s' has too many names for a folder of FAT", path);
    } else {
        f.start = f.at = xnewn(uint8_t, (size_t)slots * FAT_ENTRY);
        ok = take(t, NULL, f.start, slots * FAT_ENTRY, errp);
    }
    if (ok) {
        f.at = put_short(f.at, (const uint8_t *)".          ", ATTR_FOLDER, self, 0, 0);
        f.at = put_short(f.at, (const uint8_t *)"..         ", ATTR_FOLDER, parent, 0, 0);
        ok = fill(t, &f, names, count, self, errp);
    }
    free_names(names, count);
    return ok;
}

bool fat_tree_read(FatTree *t, const char *path, Error **errp)
{
    Folder f = { .path = path };
    unsigned count;
    Name *names = list(path, &count, errp);
    bool ok;

    if (names == NULL) {
        return false;
    }
    t->root = f.start = f.at = xnewn(uint8_t, (size_t)t->root_entries * FAT_ENTRY);
    ok = slots_for(names, count) < t->root_entries; /* one is the disk's name's */
    if (!ok) {
        error_set(errp, "'%s' has too many names for the root of a FAT disk, which has %u places", path, t->root_entries);
    } else {
        f.at = put_short(f.at, (const uint8_t *)"QEMU VVFAT ", ATTR_VOLUME, 0, 0, 0);
        ok = fill(t, &f, names, count, 0, errp);
    }
    free_names(names, count);
    return ok;
}

void fat_tree_free(FatTree *t)
{
    for (uint32_t n = 0; n < t->count; n++) {
        free(t->items[n].path);
        free(t->items[n].data);
    }
    free(t->items);
    free(t->root);
}
