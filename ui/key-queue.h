/*
 * Keys on their way to the guest's keyboard, with pauses between them: a viewer that pastes a text, or
 * sendkey that holds a key, is faster than the guest reads. Machine lock held for all of it.
 */
#ifndef UI_KEY_QUEUE_H
#define UI_KEY_QUEUE_H

#include <stdbool.h>

enum { KEY_QUEUE_MAX = 1024 };

/* key_queue_put - a key goes down or up once all before it went and their pauses are over; at once
 * when nothing waits. Dropped when the queue is full (see key_queue_room()). */
void key_queue_put(unsigned key, bool down);
/* key_queue_pause - @ms milliseconds of CLK_VIRTUAL until the next key. */
void key_queue_pause(unsigned ms);
/* key_queue_room - how many more entries (keys and pauses) fit. */
unsigned key_queue_room(void);

#endif
