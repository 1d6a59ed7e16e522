/*
 * The event loop. Each turn: wait (epoll, with the earliest timer in a timerfd), then descriptors,
 * then signals and posted calls, then timers.
 *
 * A regular file or /dev/null cannot be watched by epoll (EPERM); such a descriptor counts as
 * always ready, as poll(2) has it.
 */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"

enum { EVENTS_PER_TURN = 64 };

/* One registered descriptor. Loop thread only. */
typedef struct Watch {
    LoopFdFn *fn; /* NULL: free */
    void *opaque;
    uint32_t gen; /* tells a re-used descriptor number from the one an event was for */
    unsigned events;
    bool always; /* not watchable: ready whenever it is asked for */
} Watch;

typedef struct Call {
    LoopFn *fn;
    void *opaque;
    bool always; /* loop_fini() calls it too */
} Call;

static int epoll_fd = -1, timer_fd = -1, wake_fd = -1, signal_fd = -1;
static pthread_t owner; /* atomic */
static Watch *watches;  /* by descriptor number */
static int watch_count;
static unsigned always_count;
static uint32_t next_gen = 1;
static bool quit_flag; /* atomic */

static pthread_mutex_t post_mutex = PTHREAD_MUTEX_INITIALIZER;
static Call *posted; /* with the two below: under post_mutex */
static size_t posted_count, posted_cap;

static sigset_t signal_mask;
static Call signal_calls[NSIG]; /* loop thread, after start-up */

/* ---- waking ---- */

bool loop_thread(void)
{
    return epoll_fd >= 0 && pthread_self() == __atomic_load_n(&owner, __ATOMIC_RELAXED);
}

static void kick(void)
{
    uint64_t one = 1;

    /* it only fails when the counter is full, and then the loop wakes anyway */
    if (wake_fd >= 0 && write(wake_fd, &one, sizeof(one)) < 0) {
        return;
    }
}

void loop_wake(void)
{
    if (!loop_thread()) {
        kick();
    }
}

static void timer_wake(void *opaque)
{
    loop_wake();
}

static void drain(int fd)
{
    uint64_t count;

    if (read(fd, &count, sizeof(count)) < 0) {
        return; /* nothing there */
    }
}

/* ---- descriptors ---- */

static int epoll_set(int op, int fd, unsigned events, uint32_t gen)
{
    struct epoll_event ev = { .data.u64 = (uint64_t)gen << 32 | (uint32_t)fd };

    ev.events = ((events & LOOP_READ) ? EPOLLIN : 0) | ((events & LOOP_WRITE) ? EPOLLOUT : 0);
    return epoll_ctl(epoll_fd, op, fd, &ev) < 0 ? -errno : 0;
}

int loop_fd_set(int fd, unsigned events, LoopFdFn *fn, void *opaque)
{
    Watch *w;
    int r;

    if (fd < 0) {
        return -EBADF;
    }
    if (fd >= watch_count) {
        int n = MAX(fd + 1, MAX(64, watch_count * 2));
        watches = xrealloc(watches, (size_t)n, sizeof(*watches));
        memset(watches + watch_count, 0, (size_t)(n - watch_count) * sizeof(*watches));
        watch_count = n;
    }
    w = &watches[fd];
    if (w->fn == NULL) {
        w->gen = next_gen++;
        w->always = false;
        r = epoll_set(EPOLL_CTL_ADD, fd, events, w->gen);
        if (r == -EPERM) {
            w->always = true;
            always_count++;
        } else if (r < 0) {
            return r;
        }
    } else if (!w->always && w->events != events) {
        r = epoll_set(EPOLL_CTL_MOD, fd, events, w->gen);
        if (r < 0) {
            return r;
        }
    }
    w->events = events;
    w->fn = fn;
    w->opaque = opaque;
    return 0;
}

void loop_fd_remove(int fd)
{
    if (fd < 0 || fd >= watch_count || watches[fd].fn == NULL) {
        return;
    }
    if (watches[fd].always) {
        always_count--;
    } else {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    }
    watches[fd] = (Watch){ .fn = NULL };
}

static void serve_event(const struct epoll_event *ev)
{
    int fd = (int)(uint32_t)ev->data.u64;
    unsigned got = 0;
    Watch *w;

    if (fd >= watch_count) {
        return;
    }
    w = &watches[fd];
    if (w->fn == NULL || w->gen != (uint32_t)(ev->data.u64 >> 32)) {
        return; /* removed, perhaps re-used, earlier in this turn */
    }
    got |= (ev->events & EPOLLIN) ? LOOP_READ : 0;
    got |= (ev->events & EPOLLOUT) ? LOOP_WRITE : 0;
    got |= (ev->events & (EPOLLHUP | EPOLLERR)) ? LOOP_HANGUP : 0;
    got &= w->events | LOOP_HANGUP;
    if (got != 0) {
        w->fn(w->opaque, fd, got);
    }
}

static bool always_ready(void)
{
    for (int fd = 0; always_count > 0 && fd < watch_count; fd++) {
        if (watches[fd].fn != NULL && watches[fd].always && watches[fd].events != 0) {
            return true;
        }
    }
    return false;
}

static void serve_always(void)
{
    for (int fd = 0; always_count > 0 && fd < watch_count; fd++) {
        Watch *w = &watches[fd];
        if (w->fn != NULL && w->always && w->events != 0) {
            w->fn(w->opaque, fd, w->events);
        }
    }
}

/* ---- posted calls and signals ---- */

static void post(LoopFn *fn, void *opaque, bool always)
{
    pthread_mutex_lock(&post_mutex);
    if (posted_count == posted_cap) {
        posted_cap = MAX(16, posted_cap * 2);
        posted = xrealloc(posted, posted_cap, sizeof(*posted));
    }
    posted[posted_count++] = (Call){ fn, opaque, always };
    pthread_mutex_unlock(&post_mutex);
    kick();
}

void loop_post(LoopFn *fn, void *opaque)
{
    post(fn, opaque, false);
}

void loop_post_always(LoopFn *fn, void *opaque)
{
    post(fn, opaque, true);
}

/* Calls posted by these calls wait for the next turn. */
static void serve_posted(bool ending)
{
    Call *calls;
    size_t n;

    pthread_mutex_lock(&post_mutex);
    calls = posted;
    n = posted_count;
    posted = NULL;
    posted_count = posted_cap = 0;
    pthread_mutex_unlock(&post_mutex);
    for (size_t i = 0; i < n; i++) {
        if (calls[i].always || !ending) {
            calls[i].fn(calls[i].opaque);
        }
    }
    free(calls);
}

static void signal_ready(void *opaque, int fd, unsigned events)
{
    struct signalfd_siginfo si;

    while (read(fd, &si, sizeof(si)) == sizeof(si)) {
        if (si.ssi_signo < NSIG && signal_calls[si.ssi_signo].fn != NULL) {
            signal_calls[si.ssi_signo].fn(signal_calls[si.ssi_signo].opaque);
        }
    }
}

int loop_signal(int signo, LoopFn *fn, void *opaque)
{
    sigset_t one;
    int fd, r;

    if (signo <= 0 || signo >= NSIG) {
        return -EINVAL;
    }
    sigemptyset(&one);
    sigaddset(&one, signo);
    r = pthread_sigmask(SIG_BLOCK, &one, NULL);
    if (r != 0) {
        return -r;
    }
    sigaddset(&signal_mask, signo);
    fd = signalfd(signal_fd, &signal_mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    signal_calls[signo] = (Call){ fn, opaque };
    if (signal_fd < 0) {
        signal_fd = fd;
        return loop_fd_set(fd, LOOP_READ, signal_ready, NULL);
    }
    return 0;
}

/* ---- the loop ---- */

static void drain_ready(void *opaque, int fd, unsigned events)
{
    drain(fd);
}

int loop_init(void)
{
    int r;

    __atomic_store_n(&owner, pthread_self(), __ATOMIC_RELAXED);
    sigemptyset(&signal_mask);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (epoll_fd < 0 || timer_fd < 0 || wake_fd < 0) {
        r = -errno;
        loop_fini();
        return r;
    }
    r = loop_fd_set(timer_fd, LOOP_READ, drain_ready, NULL);
    if (r == 0) {
        r = loop_fd_set(wake_fd, LOOP_READ, drain_ready, NULL);
    }
    if (r < 0) {
        loop_fini();
        return r;
    }
    timers_set_wake(timer_wake, &epoll_fd);
    return 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void loop_fini(void)
{
    timers_set_wake(NULL, &epoll_fd);
    close_fd(&signal_fd);
    close_fd(&timer_fd);
    close_fd(&wake_fd);
    close_fd(&epoll_fd);
    free(watches);
    watches = NULL;
    watch_count = 0;
    always_count = 0;
    serve_posted(true);
    memset(signal_calls, 0, sizeof(signal_calls));
}

static void set_timerfd(int64_t ns)
{
    struct itimerspec its = { .it_value = { .tv_sec = 0 } };

    if (ns > 0) {
        its.it_value.tv_sec = ns / NS_PER_SEC;
        its.it_value.tv_nsec = ns % NS_PER_SEC;
    }
    timerfd_settime(timer_fd, 0, &its, NULL);
}

void loop_turn(int64_t timeout_ns)
{
    struct epoll_event evs[EVENTS_PER_TURN];
    static int64_t armed = -1; /* what the timerfd holds; loop thread only */
    int64_t wait = timers_wait();
    int n;

    assert(epoll_fd >= 0);
    if (timeout_ns >= 0 && (wait < 0 || timeout_ns < wait)) {
        wait = timeout_ns;
    }
    if (always_ready()) {
        wait = 0;
    }
    if (wait > 0 || armed > 0) {
        set_timerfd(wait);
        armed = wait;
    }
    n = epoll_wait(epoll_fd, evs, EVENTS_PER_TURN, wait == 0 ? 0 : -1);
    for (int i = 0; i < n; i++) {
        serve_event(&evs[i]);
    }
    serve_always();
    serve_posted(false);
    timers_run();
}

void loop_run(void)
{
    __atomic_store_n(&owner, pthread_self(), __ATOMIC_RELAXED);
    while (!__atomic_load_n(&quit_flag, __ATOMIC_ACQUIRE)) {
        loop_turn(-1);
    }
    __atomic_store_n(&quit_flag, false, __ATOMIC_RELAXED);
}

void loop_quit(void)
{
    __atomic_store_n(&quit_flag, true, __ATOMIC_RELEASE);
    kick();
}

bool loop_quit_asked(void)
{
    return __atomic_load_n(&quit_flag, __ATOMIC_ACQUIRE);
}
