/*
 * doppel-nbd: serves an image by the NBD protocol. Options are qemu-nbd's.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "block/nbd-server.h"
#include "block/nbd.h"
#include "chardev/address.h"
#include "img/nbd/options.h"

typedef struct Daemon {
    int ready; /* pipe to the parent of --fork, or -1 */
    int pid_fd;
} Daemon;

/* ---- the process ---- */

/* inherited - the listening socket that systemd, say, hands over: sd_listen_fds(3). -1: none; -2 with errp. */
static int inherited(const NbdArgs *a, Error **errp)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    uint64_t v;

    if (pid == NULL || count == NULL || !text_u64(pid, INT32_MAX, &v) || (pid_t)v != getpid()) {
        return -1;
    }
    if (!text_u64(count, 1000, &v) || v != 1) {
        error_set(errp, "qemu-nbd does not support socket activation with LISTEN_FDS=%s: one socket is wanted", count);
        return -2;
    }
    if (a->socket != NULL || a->port != NULL || a->bind != NULL || a->fork) {
        error_set(errp, "with a socket handed over (LISTEN_FDS), -k, -p, -b and --fork make no sense");
        return -2;
    }
    return 3;
}

static int open_socket(const NbdArgs *a, Error **errp)
{
    OptList *l = opt_new();
    SockAddr addr = { .fd = -1 };
    int fd = inherited(a, errp);

    if (fd == -1) {
        if (a->socket != NULL) {
            opt_set(l, "path", a->socket);
        } else {
            opt_set(l, "host", a->bind != NULL ? a->bind : "0.0.0.0");
            opt_set(l, "port", a->port != NULL ? a->port : NBD_DEFAULT_PORT);
        }
        fd = addr_take(&addr, l, errp) ? addr_listen(&addr, errp) : -1;
        addr_free(&addr);
    }
    opt_free(l);
    return fd;
}

/* to_background - in the child: true, and d->ready is the way to tell the parent. The parent ends here. */
static bool to_background(Daemon *d)
{
    int p[2];
    pid_t pid;
    char ok;

    if (pipe2(p, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
        report("--fork: %s", strerror(errno));
        return false;
    }
    if (pid > 0) {
        close(p[1]);
        exit(read(p[0], &ok, 1) == 1 ? 0 : 1); /* the child has said why */
    }
    close(p[0]);
    setsid();
    d->ready = p[1];
    return true;
}

static bool pid_file(Daemon *d, const char *path)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char text[24];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

    d->pid_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (d->pid_fd < 0 || fcntl(d->pid_fd, F_SETLK, &whole) != 0 || ftruncate(d->pid_fd, 0) != 0 ||
        write(d->pid_fd, text, (size_t)n) != n) {
        report("cannot create PID file %s: %s", path, strerror(errno));
        return false;
    }
    return true;
}

/* let_parent_go - clients can connect: the terminal is the parent's no longer. */
static void let_parent_go(Daemon *d)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; fd <= 2 && null >= 0; fd++) {
        dup2(null, fd);
    }
    close(null);
    if (write(d->ready, "", 1) != 1) {
        exit(1); /* the parent was killed */
    }
    close(d->ready);
}

/* ---- serving ---- */

static void on_gone(void *opaque, unsigned left)
{
    const int *idle_fd = opaque;
    uint64_t one = 1;

    if (left == 0 && write(*idle_fd, &one, sizeof(one)) < 0) {
        return; /* it is full: that was said */
    }
}

/* end_signals - those that end the program come by this descriptor. Before there are threads. */
static int end_signals(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* serve - until a signal, or the last client has left. */
static bool serve(const NbdArgs *a, BlockImage *img, int fd, Daemon *d)
{
    struct pollfd wait[2] = { { .fd = end_signals(), .events = POLLIN }, { .fd = eventfd(0, EFD_CLOEXEC), .events = POLLIN } };
    NbdServerParams p = { .max_clients = a->shared, .verbose = a->verbose, .gone = a->persistent ? NULL : on_gone,
                          .opaque = &wait[1].fd };
    NbdExportParams e = { .name = a->name, .description = a->description, .offset = a->offset,
                          .read_only = a->read_only, .shared = a->shared != 1, .discard = a->discard, .depth = a->depth,
                          .detect_zeroes = a->detect_zeroes };
    NbdServer *s = nbd_server_new(&p);
    Error *err = NULL;
    int r = 0;
    bool ok;

    ok = nbd_server_add(s, &e, img, &err);
    if (ok && (r = nbd_server_listen(s, fd)) != 0) {
        error_set_errno(&err, -r, "cannot listen");
        ok = false;
    }
    if (ok) {
        if (d->ready >= 0) {
            let_parent_go(d);
        }
        while (poll(wait, 2, -1) < 0 && errno == EINTR) {
        }
    } else {
        error_report(err);
    }
    nbd_server_free(s);
    close(wait[0].fd);
    close(wait[1].fd);
    return ok;
}

static int run(NbdArgs *a, Daemon *d)
{
    BlockImage *img = nbd_open_image(a);
    Error *err = NULL;
    int fd, r;
    bool ok;

    if (img == NULL) {
        return 1;
    }
    fd = open_socket(a, &err);
    if (fd < 0) {
        error_report(err);
    }
    ok = fd >= 0 && (a->pid_file == NULL || pid_file(d, a->pid_file)) && serve(a, img, fd, d);
    if (fd >= 0 && a->socket != NULL) {
        unlink(a->socket);
    }
    r = image_flush(img);
    if (r != 0) {
        report("%s: %s", a->file, strerror(-r));
    }
    image_unref(img);
    return ok && r == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    Daemon d = { .ready = -1, .pid_fd = -1 };
    NbdArgs a;
    int code;

    report_setup("doppel-nbd", false, false);
    code = nbd_take_args(&a, argc, argv);
    if (code < 0) {
        code = !a.fork || to_background(&d) ? run(&a, &d) : 1;
    }
    return code;
}
