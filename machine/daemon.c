/*
 * Going into the background, and the pid file.
 */
#include "machine/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"

static int ready_fd = -1; /* the parent reads one byte from its other end */
static char *pid_path;
static int pid_fd = -1;

bool daemon_fork(Error **errp)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
        error_set_errno(errp, errno, "cannot go into the background");
        return false;
    }
    if (pid > 0) {
        char byte;
        ssize_t n;
        close(fds[1]);
        do {
            n = read(fds[0], &byte, 1);
        } while (n < 0 && errno == EINTR);
        _exit(n == 1 ? 0 : 1); /* the child has said why */
    }
    close(fds[0]);
    ready_fd = fds[1];
    setsid();
    return true;
}

bool daemon_ready(Error **errp)
{
    int null;

    if (ready_fd < 0) {
        return true;
    }
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || chdir("/") < 0) {
        error_set_errno(errp, errno, "cannot go into the background");
        return false;
    }
    fflush(stdout);
    for (int fd = 0; fd <= 2; fd++) {
        dup2(null, fd);
    }
    close(null);
    if (write(ready_fd, "", 1) != 1) {
        return true; /* the parent was killed; nobody waits */
    }
    close(ready_fd);
    ready_fd = -1;
    return true;
}

bool pidfile_make(const char *path, Error **errp)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char text[32];
    int n;

    pid_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (pid_fd < 0) {
        error_set_errno(errp, errno, "cannot make pid file %s", path);
        return false;
    }
    if (fcntl(pid_fd, F_SETLK, &lock) < 0) {
        error_set(errp, "pid file %s belongs to a running process", path);
        close(pid_fd);
        pid_fd = -1;
        return false;
    }
    n = snprintf(text, sizeof(text), "%lld\n", (long long)getpid());
    if (ftruncate(pid_fd, 0) < 0 || write(pid_fd, text, (size_t)n) != n) {
        error_set_errno(errp, errno, "cannot write pid file %s", path);
        return false;
    }
    /* the working folder changes when we go into the background */
    pid_path = realpath(path, NULL);
    return true;
}

void pidfile_remove(void)
{
    if (pid_path != NULL) {
        host_unlink(pid_path);
        free(pid_path);
        pid_path = NULL;
    }
}
