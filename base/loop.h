/*
 * The event loop: file descriptors (epoll), timers (timerfd), posted calls (eventfd), signals
 * (signalfd). One loop for the process; it runs on the thread that calls loop_run().
 * Callbacks run with no lock of base/ held.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LOOP_READ = 1,
    LOOP_WRITE = 2,
    LOOP_HANGUP = 4, /* always reported, need not be asked for */
};

typedef void LoopFdFn(void *opaque, int fd, unsigned events);
typedef void LoopFn(void *opaque);

/* loop_init - create the descriptors; call once, before any other thread exists. 0 or -errno. */
int loop_init(void);
void loop_fini(void);

/* loop_fd_set - call @fn when @fd shows one of @events (LOOP_*); replaces an earlier registration
 * of the same fd; events 0 keeps only hang-up. Loop thread, or before loop_run(). 0 or -errno. */
int loop_fd_set(int fd, unsigned events, LoopFdFn *fn, void *opaque);
/* loop_fd_remove - forget @fd; its callback is not called again, also not in this turn. */
void loop_fd_remove(int fd);

/* loop_post - have @fn called on the loop thread soon. Any thread; calls keep their order. Calls that
 * the loop has not come to when it ends are dropped, since what they are about is gone by then;
 * loop_post_always() is for the one that frees something: loop_fini() calls it. */
void loop_post(LoopFn *fn, void *opaque);
void loop_post_always(LoopFn *fn, void *opaque);

/* loop_signal - call @fn(opaque) on the loop thread when @signo arrives. Blocks the signal for the
 * calling thread and those it creates, so call it before any thread is made. 0 or -errno. */
int loop_signal(int signo, LoopFn *fn, void *opaque);

/* loop_run - serve until loop_quit(). loop_turn - serve once, waiting at most @timeout_ns
 * (-1: for ever). */
void loop_run(void);
void loop_turn(int64_t timeout_ns);
/* loop_quit - make loop_run() return after the current turn. Any thread, or a callback. */
void loop_quit(void);
/* loop_quit_asked - loop_quit() was called and loop_run() has not yet returned for it. */
bool loop_quit_asked(void);

/* loop_wake - end a wait of the loop early. Any thread; nothing on the loop thread itself. */
void loop_wake(void);

/* loop_thread - true on the thread that called loop_init() or runs loop_run(). */
bool loop_thread(void);

#endif
