/*
 * -netdev tap and bridge: a network interface of the host.
 *
 * Sources: Linux's Documentation/networking/tuntap.rst; virtio's header of packets (VIRTIO 1.2, 5.1.6), which the kernel
 * puts in front where IFF_VNET_HDR is set. bridge(8), ioctl SIOCBRADDIF.
 *
 * Everything is opened, and scripts are run, before the process confines itself. The script for the end waits in a
 * process of its own, whose parent's end it notices: it runs also when this process is killed.
 */
#include "net/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/error.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "base/text.h"
#include "bus/lock.h"

#define UP_SCRIPT "/etc/qemu-ifup"
#define DOWN_SCRIPT "/etc/qemu-ifdown"
#define BRIDGE_HELPER "/usr/lib/qemu/qemu-bridge-helper"
enum { READS_PER_TURN = 64, VNET_HEADER_MAX = 64 };

typedef struct Tap {
    NetBackend b; /* first member */
    int fd[NET_QUEUES_MAX]; /* one for each queue */
    unsigned queues;
    int down; /* a pipe; the script for the end runs when it closes; -1: none */
    size_t header; /* bytes of virtio's header in front of each packet */
    char name[IFNAMSIZ];
    char *how; /* for info network */
    /* loop thread */
    bool paused, closed;
    uint8_t in[VNET_HEADER_MAX + NET_FRAME_MAX];
    /* under the machine lock */
    bool posted;
    int offload; /* TUN_F_*, of what the card takes; -1: not to be changed */
} Tap;

static void watch(Tap *t);

/* ---- frames ---- */

/* out - by the queue that the card sends with. */
static int out(const Tap *t)
{
    return t->fd[t->b.port.peer != NULL ? t->b.port.peer->queue % t->queues : 0];
}

static void tap_receive(void *opaque, const uint8_t *frame, size_t len)
{
    static const uint8_t none[VNET_HEADER_MAX];
    Tap *t = opaque;
    struct iovec v[2] = { { (void *)none, t->header }, { (void *)frame, len } };

    if (writev(out(t), v + (t->header == 0), 2 - (t->header == 0)) < 0) {
        t->b.port.dropped++;
    }
}

/* tap_receive_vnet - the kernel makes sums and segments, as virtio's header @h of 10 bytes says. */
static bool tap_receive_vnet(void *opaque, const uint8_t *h, const uint8_t *frame, size_t len)
{
    static const uint8_t none[VNET_HEADER_MAX];
    Tap *t = opaque;
    struct iovec v[3] = { { (void *)h, 10 }, { (void *)none, t->header - 10 }, { (void *)frame, len } };

    if (t->header < 10) {
        return false;
    }
    if (writev(out(t), v, 3) < 0) {
        t->b.port.dropped++;
    }
    return true;
}

static void on_posted(void *opaque)
{
    Tap *t = opaque;

    int offload;

    machine_lock();
    t->posted = false;
    offload = t->offload;
    t->offload = -1;
    machine_unlock();
    if (t->closed) {
        return;
    }
    for (unsigned n = 0; n < t->queues && offload >= 0; n++) {
        ioctl(t->fd[n], TUNSETOFFLOAD, offload);
    }
    watch(t);
}

static void tap_can_send(void *opaque)
{
    Tap *t = opaque;

    if (!t->posted) {
        t->posted = true;
        loop_post_always(on_posted, t);
    }
}

/* tap_set_offload - packets of the old kind that wait in the kernel are dropped by who does not take them. */
static bool tap_set_offload(void *opaque, unsigned offload)
{
    static const int flag[5] = { TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN, TUN_F_UFO };
    Tap *t = opaque;

    if (t->header < NET_VNET_HEADER) {
        return false;
    }
    t->offload = 0;
    for (unsigned n = 0; n < ARRAY_SIZE(flag); n++) {
        t->offload |= offload & 1u << n ? flag[n] : 0;
    }
    tap_can_send(t);
    return true;
}

/* arrived - a packet of queue @n, with its header if there is one. */
static void arrived(Tap *t, unsigned n, size_t len)
{
    NetPort *p = &t->b.port;

    p->queue = n;
    if (t->header >= NET_VNET_HEADER && ((t->in[0] & 1) | t->in[1]) != 0) {
        if (!net_send_vnet(p, t->in, t->in + t->header, len - t->header)) {
            p->dropped++;
        }
    } else {
        net_send(p, t->in + t->header, len - t->header);
    }
}

static void on_fd(void *opaque, int fd, unsigned events)
{
    Tap *t = opaque;
    unsigned queue = 0;

    while (queue + 1 < t->queues && t->fd[queue] != fd) {
        queue++;
    }
    for (unsigned n = 0; n < READS_PER_TURN && !t->paused; n++) {
        ssize_t len = read(fd, t->in, sizeof(t->in));

        if (len < 0 && errno != EAGAIN && errno != EINTR) { /* the interface is gone, or down */
            report("%s: %s: %s", t->b.id, t->name, strerror(errno));
            loop_fd_remove(fd);
            return;
        }
        if (len <= (ssize_t)t->header) {
            break;
        }
        machine_lock();
        arrived(t, queue, (size_t)len);
        t->paused = !net_can_send(&t->b.port);
        machine_unlock();
    }
    watch(t);
}

static void watch(Tap *t)
{
    machine_lock();
    t->paused = !net_can_send(&t->b.port);
    machine_unlock();
    for (unsigned n = 0; n < t->queues; n++) {
        loop_fd_set(t->fd[n], t->paused ? 0 : LOOP_READ, on_fd, t);
    }
}

static void tap_describe(void *opaque, FILE *out)
{
    Tap *t = opaque;

    fprintf(out, "type=%s,%s", t->b.type->name, t->how);
}

static const NetPortOps tap_ops = {
    .receive = tap_receive, .receive_vnet = tap_receive_vnet, .set_offload = tap_set_offload,
    .can_send = tap_can_send, .describe = tap_describe,
};

/* ---- the interface ---- */

static bool fail(Error **errp, const char *what, const char *name)
{
    error_set_errno(errp, errno, "%s %s", what, name);
    return false;
}

/* attach_queue - one more queue of the interface called t->name, which is made if it is not there. */
static bool attach_queue(Tap *t, bool vnet, bool multi, Error **errp)
{
    struct ifreq r = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (multi ? IFF_MULTI_QUEUE : 0)) };
    unsigned features = 0;
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return fail(errp, "cannot open", "/dev/net/tun");
    }
    t->fd[t->queues++] = fd;
    if (vnet && ioctl(fd, TUNGETFEATURES, &features) == 0 && (features & IFF_VNET_HDR)) {
        r.ifr_flags |= IFF_VNET_HDR;
        t->header = 10;
    }
    memcpy(r.ifr_name, t->name, IFNAMSIZ);
    if (ioctl(fd, TUNSETIFF, &r) < 0) {
        return fail(errp, "cannot attach to interface", r.ifr_name);
    }
    memcpy(t->name, r.ifr_name, IFNAMSIZ);
    ioctl(fd, TUNSETOFFLOAD, 0); /* what comes in has its sums and is no larger than the MTU, until a card wants more */
    return true;
}

/* attach - @queues of the interface called @ifname; "" or NULL: a new one. */
static bool attach(Tap *t, const char *ifname, unsigned queues, bool vnet, Error **errp)
{
    if (ifname != NULL && strlen(ifname) >= IFNAMSIZ) {
        error_set(errp, "ifname=%s: too long", ifname);
        return false;
    }
    strcpy(t->name, ifname != NULL && *ifname != '\0' ? ifname : "tap%d");
    for (unsigned n = 0; n < queues; n++) {
        if (!attach_queue(t, vnet, queues > 1, errp)) {
            return false;
        }
    }
    return true;
}

/* adopt - a descriptor of somebody who has attached it. */
static bool adopt(Tap *t, const char *text, Error **errp)
{
    struct ifreq r = { 0 };
    uint64_t fd;
    int size = NET_VNET_HEADER;
    size_t header = 0;

    if (t->queues == NET_QUEUES_MAX) {
        error_set(errp, "fds=: at most %d", NET_QUEUES_MAX);
        return false;
    }
    if (!text_u64(text, INT32_MAX, &fd) || fcntl((int)fd, F_GETFD) < 0) {
        error_set(errp, "fd=%s is not an open descriptor", text);
        return false;
    }
    if (ioctl((int)fd, TUNGETIFF, &r) < 0 || !(r.ifr_flags & IFF_TAP)) {
        error_set(errp, "fd=%s is no tap", text);
        return false;
    }
    fcntl((int)fd, F_SETFL, fcntl((int)fd, F_GETFL) | O_NONBLOCK);
    fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    if (r.ifr_flags & IFF_VNET_HDR) {
        ioctl((int)fd, TUNGETVNETHDRSZ, &size);
        if (size < NET_VNET_HEADER || size > VNET_HEADER_MAX) {
            error_set(errp, "fd=%s has headers of %d bytes", text, size);
            return false;
        }
        header = (size_t)size;
        ioctl((int)fd, TUNSETOFFLOAD, 0);
    }
    if (t->queues > 0 && (header != t->header || memcmp(t->name, r.ifr_name, IFNAMSIZ) != 0)) {
        error_set(errp, "fd=%s is of another interface, or has other headers", text);
        return false;
    }
    t->header = header;
    t->fd[t->queues++] = (int)fd;
    memcpy(t->name, r.ifr_name, IFNAMSIZ);
    return true;
}

/* ---- programs ---- */

/* run - @file with one argument, in a child that has only the standard descriptors and @keep. Its status. */
static int run(const char *file, const char *const args[], int keep)
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (keep >= 0) {
            fcntl(keep, F_SETFD, 0);
        }
        execv(file, (char *const *)args);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return pid > 0 ? status : -1;
}

static bool script_up(const Tap *t, const char *script, Error **errp)
{
    int status = run(script, (const char *const[]){ script, t->name, NULL }, -1);

    if (status != 0) {
        error_set(errp, "network script %s failed with status %d", script,
                  WIFEXITED(status) ? WEXITSTATUS(status) : status);
        return false;
    }
    return true;
}

/* script_down - a process that runs @script when this one has ended, or closed the pipe. */
static bool script_down(Tap *t, const char *script, Error **errp)
{
    int pipe_fd[2];
    pid_t pid;
    char byte;

    if (pipe2(pipe_fd, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
        return fail(errp, "cannot prepare", script);
    }
    if (pid == 0) {
        setsid(); /* the terminal's Ctrl-C is for the machine */
        signal(SIGPIPE, SIG_IGN);
        if (dup2(pipe_fd[0], 3) != 3) {
            _exit(1);
        }
        close_range(4, ~0u, 0);
        while (read(3, &byte, 1) < 0 && errno == EINTR) {
        }
        execl(script, script, t->name, (char *)NULL);
        _exit(127);
    }
    close(pipe_fd[0]);
    t->down = pipe_fd[1];
    return true;
}

/* take_fd - what the helper sends; -1 for none. */
static int take_fd(int sock)
{
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec v = { &byte, 1 };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    struct cmsghdr *c;
    int fd = -1;

    if (recvmsg(sock, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) <= 0) {
        return -1;
    }
    c = CMSG_FIRSTHDR(&m);
    if (c != NULL && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(&fd, CMSG_DATA(c), sizeof(int));
    }
    return fd;
}

/* by_helper - a program with more rights makes the interface, puts it into bridge @br and sends its descriptor. */
static bool by_helper(Tap *t, const char *helper, const char *br, Error **errp)
{
    autofree char *fd_arg = NULL, *br_arg = xasprintf("--br=%s", br), *shell = NULL, *text = NULL;
    int pair[2], status, fd;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return fail(errp, "cannot call", helper);
    }
    fd_arg = xasprintf("--fd=%d", pair[1]);
    shell = xasprintf("%s --use-vnet %s %s", helper, fd_arg, br_arg);
    status = strpbrk(helper, " \t") != NULL
                 ? run("/bin/sh", (const char *const[]){ "sh", "-c", shell, NULL }, pair[1])
                 : run(helper, (const char *const[]){ helper, "--use-vnet", fd_arg, br_arg, NULL }, pair[1]);
    fd = status == 0 ? take_fd(pair[0]) : -1;
    close(pair[0]);
    close(pair[1]);
    if (fd < 0) {
        error_set(errp, "bridge helper %s failed", helper);
        return false;
    }
    text = xasprintf("%d", fd);
    return adopt(t, text, errp);
}

/* into_bridge - and up; for who may. */
static bool into_bridge(Tap *t, const char *br, Error **errp)
{
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq r = { 0 };
    bool ok = false;

    if (strlen(br) >= IFNAMSIZ) {
        error_set(errp, "br=%s: too long", br);
    } else {
        strcpy(r.ifr_name, br);
        r.ifr_ifindex = (int)if_nametoindex(t->name);
        if (ioctl(sock, SIOCBRADDIF, &r) < 0) {
            fail(errp, "cannot add an interface to bridge", br);
        } else {
            memcpy(r.ifr_name, t->name, IFNAMSIZ);
            ok = ioctl(sock, SIOCGIFFLAGS, &r) == 0;
            r.ifr_flags |= IFF_UP;
            ok = (ok && ioctl(sock, SIOCSIFFLAGS, &r) == 0) || fail(errp, "cannot start", t->name);
        }
    }
    close(sock);
    return ok;
}

static bool open_in_bridge(Tap *t, const char *helper, const char *br, bool vnet, Error **errp)
{
    if (helper == NULL && geteuid() != 0 && access(BRIDGE_HELPER, X_OK) == 0) {
        helper = BRIDGE_HELPER;
    }
    t->how = xasprintf("%s%s,br=%s", helper != NULL ? "helper=" : "", helper != NULL ? helper : "", br);
    return helper != NULL ? by_helper(t, helper, br, errp) : attach(t, NULL, 1, vnet, errp) && into_bridge(t, br, errp);
}

/* ---- opening ---- */

static bool begin(Tap *t, Error **errp)
{
    t->down = t->offload = -1;
    if (sandbox_on()) {
        error_set(errp, "a tap cannot be added to a machine that is confined: give it at the start, or -sandbox off");
        return false;
    }
    return true;
}

/* undo - closing the pipe runs the script for the end. */
static void undo(Tap *t)
{
    for (unsigned n = 0; n < t->queues; n++) {
        loop_fd_remove(t->fd[n]);
        close(t->fd[n]);
    }
    if (t->down >= 0) {
        close(t->down);
    }
    free(t->how);
}

static bool start(Tap *t)
{
    machine_lock();
    net_port_init(&t->b.port, t->b.id, &tap_ops, t, false);
    t->b.port.queues = t->queues;
    machine_unlock();
    watch(t);
    return true;
}

/* script_of - "no" and "" are none. */
static const char *script_of(OptList *l, const char *key, const char *usual)
{
    const char *s = opt_get_str(l, key, usual);

    return *s == '\0' || strcmp(s, "no") == 0 ? NULL : s;
}

/* adopt_all - "3:4:5". */
static bool adopt_all(Tap *t, const char *text, Error **errp)
{
    autofree char *copy = xstrdup(text);

    for (char *rest = copy, *one; (one = strsep(&rest, ":")) != NULL;) {
        if (!adopt(t, one, errp)) {
            return false;
        }
    }
    return true;
}

static bool open_by_name(Tap *t, const char *ifname, unsigned queues, const char *up, const char *down, bool vnet,
                         Error **errp)
{
    if (!attach(t, ifname, queues, vnet, errp) || (up != NULL && !script_up(t, up, errp)) ||
        (down != NULL && !script_down(t, down, errp))) {
        return false;
    }
    t->how = xasprintf("ifname=%s,script=%s,downscript=%s", t->name, up != NULL ? up : "no", down != NULL ? down : "no");
    return true;
}

static void note_vhost(const char *id, OptList *l)
{
    if (opt_get_bool(l, "vhost", false) | opt_get_bool(l, "vhostforce", false)) {
        report("%s: vhost=on has no effect: packets are moved by this process", id);
    }
}

static bool tap_open(NetBackend *b, OptList *l, Error **errp)
{
    static const char *const own[] = { "ifname", "script", "downscript", "br", "helper", "vnet_hdr" };
    Tap *t = container_of(b, Tap, b);
    const char *fd = opt_get_str(l, "fd", opt_get_str(l, "fds", NULL)), *ifname = opt_get_str(l, "ifname", NULL);
    const char *helper = opt_get_str(l, "helper", NULL), *br = opt_get_str(l, "br", "br0");
    const char *up = script_of(l, "script", UP_SCRIPT), *down = script_of(l, "downscript", DOWN_SCRIPT);
    bool vnet = opt_get_bool(l, "vnet_hdr", true), ok;
    uint64_t sndbuf = opt_get_size(l, "sndbuf", 1, 0);
    unsigned queues = (unsigned)opt_get_u64(l, "queues", NET_QUEUES_MAX, 1);

    down = !opt_has(l, "downscript") && access(DOWN_SCRIPT, X_OK) != 0 ? NULL : down;
    if (queues == 0 || (queues > 1 && (fd != NULL || helper != NULL))) {
        opt_bad(l, queues == 0 ? "queues=0: at least 1" : "queues= is not for fd=, fds= or helper=");
    }
    if (opt_get_u64(l, "poll-us", UINT32_MAX, 0) != 0) {
        opt_bad(l, "poll-us= is vhost's");
    }
    for (size_t n = 0; fd != NULL && n < ARRAY_SIZE(own); n++) {
        if (opt_has(l, own[n])) {
            opt_bad(l, "%s= is not for fd=", own[n]);
        }
    }
    if (helper != NULL && (opt_has(l, "ifname") || opt_has(l, "script") || opt_has(l, "downscript"))) {
        opt_bad(l, "ifname=, script= and downscript= are not for helper=");
    }
    note_vhost(b->id, l);
    if (!begin(t, errp) || !opt_done(l, errp)) {
        return false;
    }
    if (fd != NULL) {
        t->how = xasprintf("fd=%s", fd);
        ok = adopt_all(t, fd, errp);
    } else {
        ok = helper != NULL ? open_in_bridge(t, helper, br, vnet, errp) : open_by_name(t, ifname, queues, up, down, vnet, errp);
    }
    for (unsigned n = 0; ok && sndbuf != 0 && n < t->queues; n++) {
        if (ioctl(t->fd[n], TUNSETSNDBUF, &(int){ (int)MIN(sndbuf, (uint64_t)INT32_MAX) }) < 0) {
            ok = fail(errp, "cannot set sndbuf= of", t->name);
        }
    }
    if (!ok) {
        undo(t);
        return false;
    }
    return start(t);
}

static bool bridge_open(NetBackend *b, OptList *l, Error **errp)
{
    Tap *t = container_of(b, Tap, b);
    const char *br = opt_get_str(l, "br", "br0"), *helper = opt_get_str(l, "helper", NULL);

    if (!begin(t, errp) || !opt_done(l, errp)) {
        return false;
    }
    if (!open_in_bridge(t, helper, br, true, errp)) {
        undo(t);
        return false;
    }
    return start(t);
}

static void tap_close(NetBackend *b)
{
    Tap *t = container_of(b, Tap, b);

    t->closed = true;
    undo(t);
}

const NetBackendType net_tap = {
    .name = "tap", .help = "an interface of the host: ifname=, script=, downscript=, or fd=, or br= and helper=",
    .size = sizeof(Tap), .open = tap_open, .close = tap_close, .lingers = true,
};
const NetBackendType net_bridge = {
    .name = "bridge", .help = "an interface of the host in a bridge: br=, helper=",
    .size = sizeof(Tap), .open = bridge_open, .close = tap_close, .lingers = true,
};
