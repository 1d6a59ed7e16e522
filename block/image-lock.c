/*
 * Locks on image files. See image-lock.h.
 */
#include "block/image-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "block/image-holder.h"

enum { USE_BASE = 100, REFUSE_BASE = 200, DO_READ = 0, DO_WRITE = 1, DO_RESIZE = 3, DO_ALL = 5 };

static const char *const names[DO_ALL] = { "consistent read", "write", "write unchanged", "resize", "graph mod" };

static int byte_lock(int fd, int op, short type, int byte)
{
    struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    int r;

    do {
        r = fcntl(fd, op, &l);
    } while (r != 0 && errno == EINTR);
    return r != 0 ? -errno : op == F_OFD_GETLK && l.l_type != F_UNLCK ? 1 : 0;
}

static void refuse(int fd, const char *file, bool shared, int what, Error **errp)
{
    autofree char *who = image_holder(fd);

    error_set(errp, "Could not open '%s': Failed to get %s\"%s\" lock%s%s", file, shared ? "shared " : "",
              names[what], who != NULL ? ": " : "", who != NULL ? who : "");
    error_hint(errp, "Is another process using the image [%s]?", file);
}

void image_unlock(int fd)
{
    for (int n = 0; n < DO_ALL; n++) {
        byte_lock(fd, F_OFD_SETLK, F_UNLCK, USE_BASE + n);
        byte_lock(fd, F_OFD_SETLK, F_UNLCK, REFUSE_BASE + n);
    }
}

bool image_lock(int fd, const char *file, bool write, bool share, Error **errp)
{
    bool use[DO_ALL] = { [DO_READ] = true, [DO_WRITE] = write, [DO_RESIZE] = write };
    bool refuses[DO_ALL] = { [DO_WRITE] = !share, [DO_RESIZE] = !share };

    for (int n = 0; n < DO_ALL; n++) { /* first ours, so that of two at the same time one at least sees the other */
        int r = use[n] ? byte_lock(fd, F_OFD_SETLK, F_RDLCK, USE_BASE + n) : 0;

        r = r == 0 && refuses[n] ? byte_lock(fd, F_OFD_SETLK, F_RDLCK, REFUSE_BASE + n) : r;
        if (r != 0 && r != -EAGAIN && r != -EACCES) {
            image_unlock(fd); /* ENOLCK, EINVAL...: locks do not work there */
            return true;
        }
        if (r != 0) { /* somebody has it exclusively, as doppel and QEMU never do for long */
            image_unlock(fd);
            refuse(fd, file, false, n, errp);
            return false;
        }
    }
    for (int n = 0; n < DO_ALL; n++) {
        bool taken = use[n] && byte_lock(fd, F_OFD_GETLK, F_WRLCK, REFUSE_BASE + n) == 1;

        if (taken || (refuses[n] && byte_lock(fd, F_OFD_GETLK, F_WRLCK, USE_BASE + n) == 1)) {
            image_unlock(fd);
            refuse(fd, file, !taken, n, errp);
            return false;
        }
    }
    return true;
}

int image_create_file(const char *path, Error **errp)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    if (fd >= 0 && !image_lock(fd, path, true, false, errp)) {
        close(fd);
        return -1;
    }
    if (fd < 0 || ftruncate(fd, 0) != 0) {
        error_set_errno(errp, errno, "Could not create '%s'", path);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}
