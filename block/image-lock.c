/*
 * Locks on image files. See image-lock.h.
 */
#include "block/image-lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"

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

/* holds_locks - descriptor @name of the process @pid has locks on its file. */
static bool holds_locks(const char *pid, const char *name)
{
    autofree char *path = xasprintf("/proc/%s/fdinfo/%s", pid, name);
    FILE *f = fopen(path, "re");
    char line[256];
    bool yes = false;

    while (f != NULL && !yes && fgets(line, sizeof(line), f) != NULL) {
        yes = strncmp(line, "lock:", 5) == 0 && strstr(line, "OFDLCK") != NULL;
    }
    if (f != NULL) {
        fclose(f);
    }
    return yes;
}

/* uses_file - the process has the file open, and locked. */
static bool uses_file(const char *pid, const struct stat *file)
{
    autofree char *path = xasprintf("/proc/%s/fd", pid);
    DIR *d = opendir(path);
    const struct dirent *e;
    bool yes = false;

    while (d != NULL && !yes && (e = readdir(d)) != NULL) {
        autofree char *fd = xasprintf("%s/%s", path, e->d_name);
        struct stat st;

        yes = e->d_name[0] != '.' && stat(fd, &st) == 0 && st.st_dev == file->st_dev && st.st_ino == file->st_ino &&
              holds_locks(pid, e->d_name);
    }
    if (d != NULL) {
        closedir(d);
    }
    return yes;
}

/* command_of - as it was typed, for a message. */
static char *command_of(const char *pid)
{
    autofree char *path = xasprintf("/proc/%s/cmdline", pid);
    FILE *f = fopen(path, "re");
    char line[120];
    size_t n = f != NULL ? fread(line, 1, sizeof(line) - 1, f) : 0;

    if (f != NULL) {
        fclose(f);
    }
    while (n > 0 && line[n - 1] == 0) {
        n--;
    }
    for (size_t k = 0; k < n; k++) {
        line[k] = (unsigned char)line[k] < 32 ? ' ' : line[k];
    }
    return xstrndup(line, n);
}

/* holder - "process 17 (qemu-img ...)"; NULL when it belongs to somebody whose processes we may not look at. */
static char *holder(int fd)
{
    char *text = NULL, self[24];
    DIR *d = opendir("/proc");
    const struct dirent *e;
    struct stat st;

    snprintf(self, sizeof(self), "%d", (int)getpid());
    if (fstat(fd, &st) != 0) {
        memset(&st, 0, sizeof(st));
    }
    while (d != NULL && text == NULL && (e = readdir(d)) != NULL) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || strcmp(e->d_name, self) == 0) {
            continue; /* ourselves come last */
        }
        if (uses_file(e->d_name, &st)) {
            autofree char *command = command_of(e->d_name);

            text = xasprintf("process %s (%s) uses it", e->d_name, command);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return text != NULL ? text : uses_file("self", &st) ? xstrdup("this process uses it already") : NULL;
}

static void refuse(int fd, const char *file, bool shared, int what, Error **errp)
{
    autofree char *who = holder(fd);

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
