/*
 * Terminals of the host: a pseudo-terminal that we make (pty), and a real line (serial).
 */
#include "chardev/backends.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"

/* ---- pty ---- */

enum { PTY_LOOK_MS = 50 };

/* While nobody has the slave open, the master reports a hang-up for ever; so it is not watched by
 * the loop then, but looked at by a timer. */
typedef struct Pty {
    int master;
    char *name; /* of the slave */
    char *link; /* path=: symbolic link to it, or NULL */
    Timer look;
} Pty;

static void pty_hangup(Chardev *c)
{
    Pty *p = c->priv;

    stream_set(c, -1, -1);
    chardev_set_open(c, false);
    timer_arm(&p->look, clock_now(CLK_REAL) + PTY_LOOK_MS * NS_PER_MS);
}

static void pty_look(void *opaque)
{
    Chardev *c = opaque;
    Pty *p = c->priv;
    struct pollfd pfd = { .fd = p->master, .events = POLLIN };

    if (poll(&pfd, 1, 0) >= 0 && (pfd.revents & POLLHUP) == 0) {
        stream_set(c, p->master, p->master);
        chardev_set_open(c, true);
    } else {
        timer_arm(&p->look, clock_now(CLK_REAL) + PTY_LOOK_MS * NS_PER_MS);
    }
}

static void pty_free(Pty *p)
{
    if (p->link != NULL) {
        host_unlink(p->link);
    }
    if (p->master >= 0) {
        close(p->master);
    }
    free(p->name);
    free(p->link);
    free(p);
}

/* pty_new - tty_ioctl(4) and pts(4), since posix_openpt() opens by itself. Its master, or -errno. */
static int pty_new(char *name, size_t size)
{
    int fd = host_open("/dev/ptmx", O_RDWR | O_NONBLOCK, 0), unlock = 0;
    unsigned number;

    if (fd < 0) {
        return -errno;
    }
    if (ioctl(fd, TIOCSPTLCK, &unlock) < 0 || ioctl(fd, TIOCGPTN, &number) < 0) {
        int r = -errno;

        close(fd);
        return r;
    }
    snprintf(name, size, "/dev/pts/%u", number);
    return fd;
}

/* The slave starts raw; closing it then leaves the master in its "nobody there" state. */
static int pty_prepare(const char *name)
{
    int fd = host_open(name, O_RDWR, 0);
    struct termios tio;

    if (fd < 0) {
        return -errno;
    }
    if (tcgetattr(fd, &tio) == 0) {
        cfmakeraw(&tio);
        tcsetattr(fd, TCSANOW, &tio);
    }
    close(fd);
    return 0;
}

static bool pty_open(Chardev *c, OptList *l, Error **errp)
{
    const char *path = opt_get_str(l, "path", NULL);
    Pty *p = xnew(Pty);
    char name[128];
    int r;

    r = p->master = pty_new(name, sizeof(name));
    if (r >= 0) {
        r = pty_prepare(name);
    }
    if (r < 0) {
        error_set_errno(errp, -r, "cannot make a pseudo-terminal");
        pty_free(p);
        return false;
    }
    if (path != NULL && symlink(name, path) < 0) {
        error_set_errno(errp, errno, "pty: cannot link %s to %s", path, name);
        pty_free(p);
        return false;
    }
    p->name = xstrdup(name);
    p->link = xstrdup(path);
    c->priv = p;
    timer_init(&p->look, CLK_REAL, pty_look, c, NULL);
    timer_arm(&p->look, clock_now(CLK_REAL) + PTY_LOOK_MS * NS_PER_MS);
    /* the line that front ends wait for */
    printf("char device redirected to %s (label %s)\n", name, c->id);
    fflush(stdout);
    return true;
}

static void pty_close(Chardev *c)
{
    Pty *p = c->priv;

    timer_cancel(&p->look);
    stream_set(c, -1, -1);
    pty_free(p);
    c->priv = NULL;
}

static char *pty_describe(Chardev *c)
{
    const Pty *p = c->priv;

    return xasprintf("pty:%s", p->name);
}

const CharBackend chardev_pty = {
    .name = "pty",
    .help = "path=: a new pseudo-terminal, and a link to it",
    .open = pty_open,
    .close = pty_close,
    .hangup = pty_hangup,
    .describe = pty_describe,
};

/* ---- serial: a line of the host ---- */

typedef struct Line {
    char *path;
    struct termios saved;
} Line;

static bool serial_open(Chardev *c, OptList *l, Error **errp)
{
    const char *path = opt_get_str(l, "path", NULL);
    struct termios tio;
    Line *s;
    int fd;

    if (path == NULL || *path == '\0') {
        error_set(errp, "serial: path= is missing");
        return false;
    }
    fd = host_open(path, O_RDWR | O_NONBLOCK, 0);
    if (fd < 0) {
        error_set_errno(errp, errno, "cannot open %s", path);
        return false;
    }
    if (tcgetattr(fd, &tio) < 0) {
        error_set(errp, "%s is not a serial line or terminal", path);
        close(fd);
        return false;
    }
    s = xnew(Line);
    s->path = xstrdup(path);
    s->saved = tio;
    cfmakeraw(&tio);
    tio.c_cflag |= CLOCAL | CREAD;
    tcsetattr(fd, TCSANOW, &tio);
    c->priv = s;
    stream_set(c, fd, fd);
    chardev_set_open(c, true);
    return true;
}

static void serial_end(Chardev *c)
{
    Line *s = c->priv;
    int fd = c->in_fd;

    stream_set(c, -1, -1);
    if (fd >= 0) {
        tcsetattr(fd, TCSANOW, &s->saved);
        close(fd);
    }
}

static void serial_hangup(Chardev *c)
{
    serial_end(c);
    chardev_set_open(c, false);
}

static void serial_close(Chardev *c)
{
    Line *s = c->priv;

    serial_end(c);
    free(s->path);
    free(s);
    c->priv = NULL;
}

static speed_t speed_of(unsigned baud)
{
    static const struct {
        unsigned baud;
        speed_t speed;
    } speeds[] = {
        { 50, B50 },         { 75, B75 },       { 110, B110 },     { 134, B134 },
        { 150, B150 },       { 200, B200 },     { 300, B300 },     { 600, B600 },
        { 1200, B1200 },     { 1800, B1800 },   { 2400, B2400 },   { 4800, B4800 },
        { 9600, B9600 },     { 19200, B19200 }, { 38400, B38400 }, { 57600, B57600 },
        { 115200, B115200 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(speeds); i++) {
        /* divisors round: take what is within two in a hundred */
        if (baud * 50ull >= speeds[i].baud * 49ull && baud * 50ull <= speeds[i].baud * 51ull) {
            return speeds[i].speed;
        }
    }
    return 0;
}

static void serial_set_params(Chardev *c, unsigned baud, char parity, unsigned data, unsigned stop)
{
    static const tcflag_t sizes[] = { CS5, CS6, CS7, CS8 };
    speed_t speed = speed_of(baud);
    struct termios tio;

    pthread_mutex_lock(&c->lock);
    if (c->in_fd >= 0 && tcgetattr(c->in_fd, &tio) == 0) {
        if (speed != 0) {
            cfsetispeed(&tio, speed);
            cfsetospeed(&tio, speed);
        }
        tio.c_cflag &= (tcflag_t) ~(CSIZE | PARENB | PARODD | CSTOPB);
        tio.c_cflag |= sizes[data >= 5 && data <= 8 ? data - 5 : 3];
        tio.c_cflag |= parity == 'E' ? PARENB : parity == 'O' ? PARENB | PARODD : 0u;
        tio.c_cflag |= stop == 2 ? CSTOPB : 0u;
        tcsetattr(c->in_fd, TCSANOW, &tio);
    }
    pthread_mutex_unlock(&c->lock);
}

static void serial_set_break(Chardev *c, bool on)
{
    pthread_mutex_lock(&c->lock);
    if (c->in_fd >= 0) {
        ioctl(c->in_fd, on ? TIOCSBRK : TIOCCBRK);
    }
    pthread_mutex_unlock(&c->lock);
}

static char *serial_describe(Chardev *c)
{
    const Line *s = c->priv;

    return xasprintf("serial:%s", s->path);
}

const CharBackend chardev_serial = {
    .name = "serial",
    .alias = "tty",
    .help = "path=: a serial line or terminal of the host",
    .open = serial_open,
    .close = serial_close,
    .hangup = serial_hangup,
    .set_params = serial_set_params,
    .set_break = serial_set_break,
    .describe = serial_describe,
};
