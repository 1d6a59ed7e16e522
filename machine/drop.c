/*
 * Files dropped on the window: see drop.h.
 *
 * Source: ECMA-119, "Volume Descriptor": the identifier CD001 in logical sector 16; ECMA-167, "Volume
 * Structure Descriptor": BEA01 there on a UDF disc.
 */
#include "machine/drop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "block/block.h"
#include "bus/lock.h"

enum { IDENTIFIER_AT = 16 * 2048 + 1, IDENTIFIER_SIZE = 5, FLOPPY_MAX = 3840 << 10 };

typedef enum Kind { KIND_NONE, KIND_CD, KIND_FLOPPY } Kind;

static Kind kind_of(int fd)
{
    char id[IDENTIFIER_SIZE];
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return KIND_NONE;
    }
    if (pread(fd, id, sizeof(id), IDENTIFIER_AT) == sizeof(id) &&
        (memcmp(id, "CD001", sizeof(id)) == 0 || memcmp(id, "BEA01", sizeof(id)) == 0)) {
        return KIND_CD;
    }
    return st.st_size > 0 && st.st_size <= FLOPPY_MAX && st.st_size % 512 == 0 ? KIND_FLOPPY : KIND_NONE;
}

typedef struct Search {
    bool tray; /* a CD drive has one, a floppy drive none */
    BlockBackend *found;
} Search;

static void look(void *opaque, BlockBackend *b)
{
    Search *s = opaque;
    BlockInfo i;

    blk_info(b, &i);
    if (s->found == NULL && i.removable && i.attached != NULL && i.has_tray == s->tray) {
        s->found = b;
    }
}

void drop_file(const char *file)
{
    int fd = host_open(file, O_RDONLY | O_NONBLOCK, 0);
    Kind kind = fd >= 0 ? kind_of(fd) : KIND_NONE;
    Search s = { .tray = kind == KIND_CD };
    Error *err = NULL;
    bool read_only;

    if (fd < 0) {
        report("%s: %s", file, strerror(-fd));
        return;
    }
    close(fd);
    if (kind == KIND_NONE) {
        report("%s: neither a CD's image nor a floppy's", file);
        return;
    }
    machine_lock();
    blk_each(look, &s);
    read_only = s.found == NULL || blk_wants_read_only(s.found);
    machine_unlock();
    if (s.found == NULL) {
        report("%s: the machine has no %s drive", file, s.tray ? "CD" : "floppy");
    } else if (!blk_change(s.found, file, "raw", read_only, false, &err)) {
        error_report(err);
    }
}
