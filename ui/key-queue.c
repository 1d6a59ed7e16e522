/*
 * Keys on their way to the guest: see key-queue.h.
 */
#include "ui/key-queue.h"

#include <stddef.h>
#include <stdint.h>
#include "base/clock.h"
#include "bus/lock.h"
#include "hw/input/input.h"

/* A key, with bit 15 set when it goes down; or a pause in milliseconds with bit 31 set. */
#define ENTRY_DOWN 0x8000u
#define ENTRY_PAUSE 0x80000000u

#define WAIT_NS (2 * NS_PER_MS)
enum { WAIT_MAX = 100 };

static uint32_t queue[KEY_QUEUE_MAX]; /* machine lock, as all here */
static unsigned head, count;
static unsigned waited; /* times for the guest's keyboard; WAIT_MAX: no more */
static Timer timer;
static bool have_timer;

/* must_wait - a guest that is slow gets its time; one that does not read at all does not block the rest. */
static bool must_wait(void)
{
    if (input_key_ready()) {
        waited = 0;
        return false;
    }
    waited += waited < WAIT_MAX;
    return waited < WAIT_MAX;
}

static void run(void *opaque)
{
    while (count > 0) {
        uint32_t e = queue[head];

        if (!(e & ENTRY_PAUSE) && must_wait()) {
            timer_arm(&timer, clock_now(CLK_VIRTUAL) + WAIT_NS);
            return;
        }
        head = (head + 1) % KEY_QUEUE_MAX;
        count--;
        if (e & ENTRY_PAUSE) {
            timer_arm(&timer, clock_now(CLK_VIRTUAL) + (int64_t)(e & ~ENTRY_PAUSE) * NS_PER_MS);
            return;
        }
        input_key(e & (ENTRY_DOWN - 1), (e & ENTRY_DOWN) != 0);
    }
}

static void append(uint32_t e)
{
    if (!have_timer) {
        timer_init(&timer, CLK_VIRTUAL, run, NULL, &machine_lock_guard);
        have_timer = true;
    }
    if (count < KEY_QUEUE_MAX) {
        queue[(head + count++) % KEY_QUEUE_MAX] = e;
    }
    if (!timer_pending(&timer)) {
        run(NULL);
    }
}

void key_queue_put(unsigned key, bool down)
{
    append(key | (down ? ENTRY_DOWN : 0));
}

void key_queue_pause(unsigned ms)
{
    if (ms > 0) {
        append(ENTRY_PAUSE | (ms & ~ENTRY_PAUSE));
    }
}

unsigned key_queue_room(void)
{
    return KEY_QUEUE_MAX - count;
}
