/*
 * The machine lock: a plain mutex, and a note in the thread that it holds it.
 *
 * Who unlocks a mutex and locks it again at once has it before one that waits has woken up, and a processor in a storm of
 * port accesses would starve the loop. So a thread that is not a processor's waits in a second mutex, the turn, and
 * processors go through that while one does. They do not among each other: that would be a switch for each access.
 */
#include "bus/lock.h"

#include <assert.h>
#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, turn = PTHREAD_MUTEX_INITIALIZER;
static __thread bool held;
static __thread bool patient;
static unsigned waiting; /* threads that are not patient; atomic */
static __thread unsigned guard_depth; /* guards entered while the lock was held already */

static void lock_contended(void)
{
    bool queue = !patient || __atomic_load_n(&waiting, __ATOMIC_RELAXED) != 0;

    __atomic_add_fetch(&waiting, !patient, __ATOMIC_RELAXED);
    if (queue) {
        pthread_mutex_lock(&turn);
    }
    pthread_mutex_lock(&mutex);
    if (queue) {
        pthread_mutex_unlock(&turn);
    }
    __atomic_sub_fetch(&waiting, !patient, __ATOMIC_RELAXED);
}

void machine_lock_patient(void)
{
    patient = true;
}

void machine_lock(void)
{
    assert(!held);
    if (pthread_mutex_trylock(&mutex) != 0) {
        lock_contended();
    } else if (patient && __atomic_load_n(&waiting, __ATOMIC_RELAXED) != 0) {
        pthread_mutex_unlock(&mutex);
        lock_contended();
    }
    held = true;
}

void machine_unlock(void)
{
    assert(held);
    held = false;
    pthread_mutex_unlock(&mutex);
}

bool machine_lock_held(void)
{
    return held;
}

/* Timers fire on the loop thread, which holds nothing; clock_step() in a test may run them under
 * a lock that the test took. The lockstep engine holds it while a processor runs. */
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
