/*
 * A folder for a test's images. See scratch.h.
 */
#include "tests/lib/scratch.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include "base/mem.h"
#include "tests/test.h"

#define ENOUGH (1ull << 30)

static char *folder(const char *where, const char *name)
{
    char *dir = xasprintf("%s/doppel-%s-XXXXXX", where, name);

    assert_non_null(mkdtemp(dir));
    return dir;
}

char *scratch_new(const char *name)
{
    struct statvfs fs;
    bool roomy = statvfs("/dev/shm", &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize >= ENOUGH;

    return folder(roomy ? "/dev/shm" : "/tmp", name);
}

char *scratch_on_disk(const char *name)
{
    return folder("/tmp", name);
}

void scratch_free(char *dir)
{
    if (dir != NULL) {
        autofree char *cmd = xasprintf("rm -rf %s", dir);

        assert_int_equal(system(cmd), 0);
    }
    free(dir);
}
