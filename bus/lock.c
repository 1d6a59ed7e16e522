/*
 * The machine lock: a plain mutex, and a note in the thread that it holds it.
 */
#include "bus/lock.h"

#include <assert.h>
#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static __thread bool held;
static unsigned waiting; /* threads; atomic */
static __thread unsigned guard_depth; /* guards entered while the lock was held already */

void machine_lock(void)
{
    assert(!held);
    if (pthread_mutex_trylock(&mutex) != 0) {
        __atomic_add_fetch(&waiting, 1, __ATOMIC_RELAXED);
        pthread_mutex_lock(&mutex);
        __atomic_sub_fetch(&waiting, 1, __ATOMIC_RELAXED);
    }
    held = true;
}

void machine_unlock(void)
{
    assert(held);
    held = false;
    pthread_mutex_unlock(&mutex);
}

bool machine_lock_wanted(void)
{
    return __atomic_load_n(&waiting, __ATOMIC_RELAXED) != 0;
}

bool machine_lock_held(void)
{
    return held;
}

/* Timers fire on the loop thread, which holds nothing; clock_step() in a test may run them under
 * a lock that the test took. */
static void guard_lock(void)
{
    if (held) {
        guard_depth++;
    } else {
        machine_lock();
    }
}

static void guard_unlock(void)
{
    if (guard_depth > 0) {
        guard_depth--;
    } else {
        machine_unlock();
    }
}

const TimerGuard machine_lock_guard = { .lock = guard_lock, .unlock = guard_unlock };
