/*
 * Memory backends: see memdev.h.
 *
 * Guest RAM is one mapping of one memfd (bus/ram.c). A backend of memory without a file is a piece of that: the kinds ram
 * and memfd differ in nothing that a guest or a user sees, as no other process shares it yet. A file is mapped over its piece.
 */
#include "machine/memdev.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "bus/memory.h"
#include "bus/ram-back.h"

typedef enum Kind {
    KIND_RAM,
    KIND_FILE,
    KIND_MEMFD,
} Kind;

struct Memdev {
    Memdev *next;
    char *id, *path;
    int fd; /* of path, until memdev_install(); else -1 */
    uint64_t size;
    bool share, prealloc, merge, dump, reserve, used;
};

static Memdev *memdevs; /* loop thread */

/* ---- files ---- */

/* open_file - a folder's file has no name. */
static int open_file(const char *path)
{
    struct stat st;
    int fd;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        autofree char *name = xasprintf("%s/doppel-memory.XXXXXX", path);

        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0) {
            unlink(name);
        }
        return fd;
    }
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
}

static bool file_open(Memdev *m, Error **errp)
{
    struct stat st;

    m->fd = open_file(m->path);
    if (m->fd < 0 || fstat(m->fd, &st) != 0) {
        error_set_errno(errp, errno, "can't open backing store %s for guest RAM", m->path);
        return false;
    }
    if (S_ISREG(st.st_mode) && st.st_size > 0 && (uint64_t)st.st_size < m->size) {
        error_set(errp, "backing store size 0x%llx does not match 'size' option 0x%llx",
                  (unsigned long long)st.st_size, (unsigned long long)m->size);
        return false;
    }
    if (S_ISREG(st.st_mode) && st.st_size == 0 && ftruncate(m->fd, (off_t)m->size) != 0) {
        error_set_errno(errp, errno, "%s: no room for %llu bytes", m->path, (unsigned long long)m->size);
        return false;
    }
    return true;
}

/* ---- making and removing ---- */

static void memdev_free(Memdev *m)
{
    if (m->fd >= 0) {
        close(m->fd);
    }
    free(m->id);
    free(m->path);
    free(m);
}

/* refuse - what is there in QEMU and would have to be obeyed. */
static void refuse(OptList *l, Kind kind)
{
    static const char *const switches[] = { "pmem", "hugetlb", "readonly" };
    const char *policy = opt_get_str(l, "policy", "default");

    if (opt_has(l, "host-nodes")) {
        opt_get_str(l, "host-nodes", NULL);
        opt_bad(l, "host-nodes=: memory cannot be bound to nodes of the host yet");
    }
    if (strcmp(policy, "default") != 0) {
        opt_bad(l, "policy=%s: only default is there", policy);
    }
    for (size_t n = 0; n < ARRAY_SIZE(switches); n++) {
        if (kind != KIND_RAM && opt_get_bool(l, switches[n], false)) {
            opt_bad(l, "%s=on: not supported yet", switches[n]);
        }
    }
    if (opt_has(l, "align") || opt_has(l, "hugetlbsize")) {
        opt_get_str(l, "align", NULL);
        opt_get_str(l, "hugetlbsize", NULL);
        opt_bad(l, "align=, hugetlbsize=: not supported yet");
    }
    if (kind == KIND_FILE && opt_get_bool(l, "discard-data", false)) {
        opt_bad(l, "discard-data=on: not supported yet");
    }
    if (kind == KIND_MEMFD) {
        opt_get_bool(l, "seal", true); /* nobody else has it */
    }
}

static void fill_in(Memdev *m, OptList *l, Kind kind)
{
    const char *id = opt_get_str(l, "id", NULL), *path = kind == KIND_FILE ? opt_get_str(l, "mem-path", NULL) : NULL;

    m->size = opt_get_size(l, "size", 1, 0);
    m->share = opt_get_bool(l, "share", kind == KIND_MEMFD);
    m->prealloc = opt_get_bool(l, "prealloc", false);
    m->merge = opt_get_bool(l, "merge", true); /* for the host's kernel, which need not */
    m->dump = opt_get_bool(l, "dump", true);
    m->reserve = opt_get_bool(l, "reserve", true);
    opt_get_u64(l, "prealloc-threads", UINT32_MAX, 1);
    opt_get_bool(l, "x-use-canonical-path-for-ramblock-id", false);
    opt_get_str(l, "qom-type", NULL);
    refuse(l, kind);
    if (id == NULL) {
        opt_bad(l, "Parameter 'id' is missing");
    } else if (memdev_find(id) != NULL) {
        opt_bad(l, "attempt to add duplicate property '%s' to object (type 'container')", id);
    } else if (!opt_has(l, "size")) {
        opt_bad(l, "Parameter 'size' is missing");
    } else if (m->size == 0 || m->size % 4096 != 0 || m->size > INT64_MAX) {
        opt_bad(l, "size=%s: not a positive multiple of 4096", opt_get_str(l, "size", ""));
    } else if (kind == KIND_FILE && path == NULL) {
        opt_bad(l, "Parameter 'mem-path' is missing");
    }
    m->id = id != NULL ? xstrdup(id) : NULL;
    m->path = path != NULL ? xstrdup(path) : NULL;
}

/* add - it is there from here on; or freed, where its file cannot be opened. */
static bool add(Memdev *m, Error **errp)
{
    Memdev **end = &memdevs;

    if (m->path != NULL && !file_open(m, errp)) {
        memdev_free(m);
        return false;
    }
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = m;
    return true;
}

static bool memdev_new(OptList *l, Kind kind, Error **errp)
{
    Memdev *m = xnew(Memdev);

    *m = (Memdev){ .fd = -1 };
    fill_in(m, l, kind);
    if (!opt_done(l, errp)) {
        memdev_free(m);
        return false;
    }
    return add(m, errp);
}

bool memdev_new_board(const char *path, uint64_t size, Error **errp)
{
    Memdev *m;

    if (memdev_find(MEMDEV_BOARD) != NULL) {
        error_set(errp, "a -object is called '%s', as the board's own memory is", MEMDEV_BOARD);
        return false;
    }
    m = xnew(Memdev);
    *m = (Memdev){ .fd = -1, .id = xstrdup(MEMDEV_BOARD), .path = path != NULL ? xstrdup(path) : NULL, .size = size,
                   .merge = true, .dump = true, .reserve = true };
    return add(m, errp);
}

void memdev_prealloc_all(void)
{
    for (Memdev *m = memdevs; m != NULL; m = m->next) {
        m->prealloc = true;
    }
}

bool memdev_new_ram(OptList *l, Error **errp)
{
    return memdev_new(l, KIND_RAM, errp);
}

bool memdev_new_file(OptList *l, Error **errp)
{
    return memdev_new(l, KIND_FILE, errp);
}

bool memdev_new_memfd(OptList *l, Error **errp)
{
    return memdev_new(l, KIND_MEMFD, errp);
}

Memdev *memdev_find(const char *id)
{
    Memdev *m = memdevs;

    while (m != NULL && strcmp(m->id, id) != 0) {
        m = m->next;
    }
    return m;
}

bool memdev_used(const char *id)
{
    const Memdev *m = memdev_find(id);

    return m != NULL && m->used;
}

bool memdev_del(const char *id)
{
    for (Memdev **p = &memdevs; *p != NULL; p = &(*p)->next) {
        Memdev *m = *p;

        if (strcmp(m->id, id) == 0) {
            *p = m->next;
            memdev_free(m);
            return true;
        }
    }
    return false;
}

/* ---- use ---- */

const char *memdev_id(const Memdev *m)
{
    return m->id;
}

uint64_t memdev_size(const Memdev *m)
{
    return m->size;
}

bool memdev_take(Memdev *m, Error **errp)
{
    if (m->used) {
        error_set(errp, "memory backend '%s' is used already", m->id);
        return false;
    }
    m->used = true;
    return true;
}

bool memdev_install(Memdev *m, uint64_t offset, Error **errp)
{
    int fd = m->fd;

    m->fd = -1; /* ram_back() takes it */
    if ((fd >= 0 && !ram_back(offset, m->size, fd, m->share, errp)) ||
        (m->prealloc && !ram_fill(offset, m->size, errp))) {
        error_prepend(errp, "memory backend '%s': ", m->id);
        return false;
    }
    return true;
}

void memdev_each(void (*fn)(void *opaque, const MemdevInfo *info), void *opaque)
{
    const MemdevInfo own = { MEMDEV_BOARD, ram_size(), true, true, false, false, true };
    bool used = false;

    for (const Memdev *m = memdevs; m != NULL; m = m->next) {
        used |= m->used;
    }
    if (!used && own.size != 0) {
        fn(opaque, &own);
    }
    for (const Memdev *m = memdevs; m != NULL; m = m->next) {
        const MemdevInfo info = { m->id, m->size, m->merge, m->dump, m->prealloc, m->share, m->reserve };

        fn(opaque, &info);
    }
}
