/*
 * The broker: see broker.h. Requests and answers are messages of a SOCK_SEQPACKET pair. It reads them as what an
 * attacker sent.
 */
#include "base/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/sandbox.h"

typedef struct Head {
    unsigned op; /* of a request: a BrokerOp */
    int result;  /* of an answer; >= 0: a descriptor comes with it */
} Head;

static int sock = -1; /* constant after broker_start() */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static BrokerFn serve_open, serve_name;
static BrokerFn *services[BROKER_OPS] = { serve_open, serve_name }; /* constant after broker_start() */

void broker_register(BrokerOp op, BrokerFn *fn)
{
    services[op] = fn;
}

bool broker_active(void)
{
    return sock >= 0;
}

/* ---- messages ---- */

/* send_message - 0 or -errno. @fd -1: none goes with it. */
static int send_message(int s, const Head *head, const void *data, size_t len, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec iov[2] = { { (void *)head, sizeof(*head) }, { (void *)data, len } };
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

    if (fd >= 0) {
        struct cmsghdr *c;

        m.msg_control = control;
        m.msg_controllen = sizeof(control);
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    return sendmsg(s, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* take_message - bytes behind the head, or -errno; -EPIPE at the end. */
static ssize_t take_message(int s, Head *head, void *data, int *fd)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov[2] = { { head, sizeof(*head) }, { data, BROKER_MAX } };
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof(control) };
    struct cmsghdr *c;
    ssize_t n;

    *fd = -1;
    do {
        n = recvmsg(s, &m, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < (ssize_t)sizeof(*head)) {
        return n < 0 ? -errno : -EPIPE;
    }
    c = CMSG_FIRSTHDR(&m);
    if (c != NULL && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(fd, CMSG_DATA(c), sizeof(int));
    }
    return n - (ssize_t)sizeof(*head);
}

int broker_call(BrokerOp op, const void *req, size_t len, void *out, size_t *out_len)
{
    Head head = { .op = op };
    int fd = -1;
    ssize_t n;

    if (sock < 0) {
        return services[op](req, len, out, out_len);
    }
    if (len > BROKER_MAX) {
        return -ENAMETOOLONG;
    }
    pthread_mutex_lock(&lock);
    n = send_message(sock, &head, req, len, -1);
    n = n == 0 ? take_message(sock, &head, out, &fd) : n;
    pthread_mutex_unlock(&lock);
    if (n < 0) {
        return (int)n;
    }
    *out_len = (size_t)n;
    return fd >= 0 ? fd : head.result >= 0 ? -EBADF : head.result;
}

/* ---- the broker's own services ---- */

typedef struct OpenRequest {
    int flags;
    mode_t mode;
    char path[BROKER_MAX - 16]; /* as far as it is sent */
} OpenRequest;

/* special - a file that is an interface of the kernel. */
static bool special(const char *path)
{
    autofree char *real = realpath(path, NULL);
    const char *p = real != NULL ? real : path;

    return strncmp(p, "/proc/", 6) == 0 || strncmp(p, "/sys/", 5) == 0;
}

/* usable - what was opened is a file, a directory or a pipe; of devices, a disk, a terminal, a parallel port, null. */
static bool usable(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return false;
    }
    return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISFIFO(st.st_mode) || S_ISBLK(st.st_mode) ||
           (S_ISCHR(st.st_mode) && (isatty(fd) || st.st_rdev >> 8 == 99 || st.st_rdev == 0x103));
}

static int serve_open(const void *req, size_t len, void *out, size_t *out_len)
{
    static const int allowed = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_DIRECT | O_DSYNC |
                               O_SYNC | O_DIRECTORY | O_NOFOLLOW | O_NOATIME;
    const OpenRequest *r = req;
    int fd;

    *out_len = 0;
    if (len < offsetof(OpenRequest, path) + 1 || r->path[len - offsetof(OpenRequest, path) - 1] != '\0') {
        return -EINVAL;
    }
    if (sock >= 0 && special(r->path)) {
        return -EACCES;
    }
    fd = open(r->path, (r->flags & allowed) | O_CLOEXEC | O_NOCTTY, r->mode & 0777);
    if (fd >= 0 && sock >= 0 && !usable(fd)) {
        close(fd);
        return -EACCES;
    }
    return fd < 0 ? -errno : fd;
}

/* A letter for what is to be done, and a path or two, each with its NUL. -1 is success, since there is no descriptor;
 * else -errno - 1. */
static int serve_name(const void *req, size_t len, void *out, size_t *out_len)
{
    const char *what = req, *from = what + 1, *end = what + len, *to;
    int r = -1;

    *out_len = 0;
    if (len < 3 || end[-1] != '\0' || special(from)) {
        return -EACCES - 1;
    }
    to = from + strlen(from) + 1;
    errno = EINVAL;
    if (*what == 'u') {
        r = unlink(from);
    } else if (*what == 'd') {
        r = mkdir(from, 0700);
    } else if (*what == 'r' && to < end && !special(to)) {
        r = rename(from, to);
    }
    return r < 0 ? -errno - 1 : -1;
}

/* ---- for the others ---- */

/* noted - @r, whose error is in errno too. */
static int noted(int r)
{
    errno = r < 0 ? -r : errno;
    return r;
}

int host_open(const char *path, int flags, mode_t mode)
{
    size_t n = strlen(path) + 1, out_len;
    OpenRequest r = { .flags = flags, .mode = mode };
    char out[BROKER_MAX];

    if (n > sizeof(r.path)) {
        return noted(-ENAMETOOLONG);
    }
    memcpy(r.path, path, n);
    return noted(broker_call(BROKER_OPEN, &r, offsetof(OpenRequest, path) + n, out, &out_len));
}

FILE *host_fopen(const char *path, const char *mode)
{
    int flags = *mode == 'r' ? O_RDONLY : O_WRONLY | O_CREAT | (*mode == 'a' ? O_APPEND : O_TRUNC);
    int fd = host_open(path, flags, 0666);
    FILE *f = fd >= 0 ? fdopen(fd, mode) : NULL;

    if (fd >= 0 && f == NULL) {
        close(fd);
    }
    return f;
}

static int name_call(char what, const char *a, const char *b)
{
    size_t n = strlen(a) + 1, m = b != NULL ? strlen(b) + 1 : 0, out_len;
    char req[BROKER_MAX], out[BROKER_MAX];

    if (1 + n + m > sizeof(req)) {
        return noted(-ENAMETOOLONG);
    }
    req[0] = what;
    memcpy(req + 1, a, n);
    if (b != NULL) {
        memcpy(req + 1 + n, b, m);
    }
    return noted(broker_call(BROKER_NAME, req, 1 + n + m, out, &out_len) + 1);
}

int host_unlink(const char *path)
{
    return name_call('u', path, NULL);
}

int host_mkdir(const char *path)
{
    return name_call('d', path, NULL);
}

int host_rename(const char *from, const char *to)
{
    return name_call('r', from, to);
}

/* ---- the process ---- */

static void broker_main(int s)
{
    static char req[BROKER_MAX], out[BROKER_MAX];
    Head head;
    ssize_t n;
    int fd;

    prctl(PR_SET_NAME, "doppel-broker");
    sandbox_broker();
    while ((n = take_message(s, &head, req, &fd)) >= 0) {
        size_t len = 0;

        if (fd >= 0) {
            close(fd); /* nobody sends any */
        }
        head.result = head.op < BROKER_OPS && services[head.op] != NULL ? services[head.op](req, (size_t)n, out, &len) : -EINVAL;
        if (send_message(s, &head, out, len, head.result) < 0) {
            break;
        }
        if (head.result >= 0) {
            close(head.result);
        }
    }
    _exit(0);
}

bool broker_start(Error **errp)
{
    int pair[2], null;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 || (pid = fork()) < 0) {
        error_set_errno(errp, errno, "cannot start the broker of the sandbox");
        return false;
    }
    if (pid > 0) {
        close(pair[1]);
        sock = pair[0];
        return true;
    }
    setsid(); /* the terminal's Ctrl-C is for the machine, at whose end this one ends */
    for (int n = 1; n < NSIG; n++) {
        signal(n, n == SIGPIPE ? SIG_IGN : SIG_DFL);
    }
    null = open("/dev/null", O_RDWR);
    for (int n = 0; n < 3; n++) {
        dup2(null, n); /* who waits for the end of our output shall not wait for it */
    }
    if (dup2(pair[1], 3) == 3) {
        sock = 3;
        close_range(4, ~0u, 0);
        broker_main(3);
    }
    _exit(1);
}
