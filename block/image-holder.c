/*
 * The process that holds an image's locks: see image-holder.h. Source: proc(5), "/proc/[pid]/fdinfo/".
 */
#include "block/image-holder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/mem.h"

enum { TEXT_MAX = 256 };

typedef struct Request {
    dev_t dev;
    ino_t ino;
    pid_t self;
} Request;

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
static bool uses_file(const char *pid, const Request *file)
{
    autofree char *path = xasprintf("/proc/%s/fd", pid);
    DIR *d = opendir(path);
    const struct dirent *e;
    bool yes = false;

    while (d != NULL && !yes && (e = readdir(d)) != NULL) {
        autofree char *fd = xasprintf("%s/%s", path, e->d_name);
        struct stat st;

        yes = e->d_name[0] != '.' && stat(fd, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino &&
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

/* find - writes "process 17 (qemu-img ...) uses it" into @text, nothing when it belongs to somebody whose processes we may
 * not look at. */
static void find(const Request *r, char *text, size_t size)
{
    char self[24];
    const struct dirent *e;
    DIR *d = opendir("/proc");

    *text = '\0';
    snprintf(self, sizeof(self), "%d", r->self);
    while (d != NULL && *text == '\0' && (e = readdir(d)) != NULL) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || strcmp(e->d_name, self) == 0) {
            continue; /* ourselves come last */
        }
        if (uses_file(e->d_name, r)) {
            autofree char *command = command_of(e->d_name);

            snprintf(text, size, "process %.20s (%.150s) uses it", e->d_name, command);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    if (*text == '\0' && uses_file(self, r)) {
        snprintf(text, size, "this process uses it already");
    }
}

static int serve(const void *req, size_t len, void *out, size_t *out_len)
{
    if (len != sizeof(Request)) {
        return -EINVAL;
    }
    find(req, out, TEXT_MAX);
    *out_len = TEXT_MAX;
    return -ENOENT; /* there is no descriptor to hand over */
}

void image_holder_setup(void)
{
    broker_register(BROKER_HOLDER, serve);
}

char *image_holder(int fd)
{
    Request r = { .self = getpid() };
    char answer[BROKER_MAX] = "";
    size_t len = 0;
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return NULL;
    }
    r.dev = st.st_dev;
    r.ino = st.st_ino;
    if (broker_active()) {
        broker_call(BROKER_HOLDER, &r, sizeof(r), answer, &len);
        answer[MIN(len, sizeof(answer) - 1)] = '\0';
    } else {
        find(&r, answer, TEXT_MAX);
    }
    return *answer != '\0' ? xstrdup(answer) : NULL;
}
