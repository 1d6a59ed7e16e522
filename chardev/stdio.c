/*
 * Standard input and output. A terminal is put into raw mode and restored on every way out:
 * close, exit(), and the signals that end a process.
 *
 * O_NONBLOCK belongs to the open file description, which the shell shares; so output goes through
 * a description of our own, opened by /proc/self/fd/1, where that is possible.
 */
#include "chardev/backends.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"

/* The process has one standard input, so this is a singleton. Handlers read it. */
static Chardev *user;
static struct termios saved, raw;
static volatile sig_atomic_t is_raw;
static bool hooked;

static void restore(void)
{
    if (is_raw) {
        is_raw = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    }
}

static void on_fatal(int signo)
{
    restore();
    raise(signo); /* SA_RESETHAND: the default action now */
}

static void on_continue(int signo)
{
    int err = errno;

    if (is_raw) {
        tcsetattr(STDIN_FILENO, TCSANOW, &raw); /* the shell had its own mode meanwhile */
    }
    errno = err;
}

/* Only signals that nobody else handles; those that the loop takes are blocked and end in exit().
 */
static void hook(void)
{
    static const int fatal[] = { SIGHUP, SIGINT,  SIGQUIT, SIGTERM, SIGABRT,
                                 SIGBUS, SIGSEGV, SIGILL,  SIGFPE };

    if (hooked) {
        return;
    }
    hooked = true;
    atexit(restore);
    for (size_t i = 0; i <= ARRAY_SIZE(fatal); i++) {
        bool cont = i == ARRAY_SIZE(fatal);
        int signo = cont ? SIGCONT : fatal[i];
        struct sigaction old, sa = { .sa_handler = cont ? on_continue : on_fatal };
        sa.sa_flags = SA_ONSTACK | (cont ? SA_RESTART : (int)(SA_RESETHAND | SA_NODEFER));
        if (sigaction(signo, NULL, &old) == 0 && old.sa_handler == SIG_DFL) {
            sigaction(signo, &sa, NULL);
        }
    }
}

static void make_raw(bool signals)
{
    pid_t front = tcgetpgrp(STDIN_FILENO);

    if (tcgetattr(STDIN_FILENO, &saved) < 0) {
        return; /* not a terminal */
    }
    raw = saved;
    raw.c_iflag &= (tcflag_t) ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_lflag &= (tcflag_t) ~(ECHO | ECHONL | ICANON | IEXTEN | (signals ? 0 : ISIG));
    raw.c_cflag &= (tcflag_t) ~(CSIZE | PARENB);
    raw.c_cflag |= CS8; /* c_oflag stays: a bare newline of ours is still a new line */
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    hook();
    /* In the background it would stop us; a terminal that does not control us (-1) cannot. */
    if (front == -1 || front == getpgrp()) {
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    is_raw = 1;
}

/* A descriptor for output that never blocks, or a copy of 1 where there is no such thing. */
static int open_output(void)
{
    struct stat st;
    int fd = -1;

    if (fstat(STDOUT_FILENO, &st) == 0 && (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))) {
        fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

static bool stdio_open(Chardev *c, OptList *l, Error **errp)
{
    bool signals = opt_get_bool(l, "signal", true);
    int out;

    if (user != NULL) {
        error_set(errp, "stdio is in use by chardev '%s' already", user->id);
        return false;
    }
    out = open_output();
    if (out < 0) {
        error_set_errno(errp, errno, "stdio: standard output");
        return false;
    }
    user = c;
    c->tty_in = isatty(STDIN_FILENO) == 1;
    make_raw(signals);
    stream_set(c, STDIN_FILENO, out);
    chardev_set_open(c, true);
    return true;
}

/* Input ended, or nobody reads the output: the other direction goes on. */
static void stdio_hangup(Chardev *c)
{
    c->in_eof = true;
}

static void stdio_close(Chardev *c)
{
    int out = c->out_fd;

    stream_set(c, -1, -1);
    close(out);
    restore();
    user = NULL;
}

const CharBackend chardev_stdio = {
    .name = "stdio",
    .help = "signal=: standard input and output",
    .open = stdio_open,
    .close = stdio_close,
    .hangup = stdio_hangup,
};
