/*
 * Who uses images outside of the request path (exports) passes here for each piece of work, so that what changes an image as
 * a whole (its size, what is behind it) has it for itself: block_drain() waits for requests alone.
 */
#ifndef BLOCK_IMAGE_GATE_H
#define BLOCK_IMAGE_GATE_H

/* image_gate_enter, image_gate_leave - around some reading or writing; any thread but the loop's. Nothing is waited for
 * in between but the image's own file. image_gate_shut, image_gate_open - the loop's thread: nobody is inside meanwhile. */
void image_gate_enter(void);
void image_gate_leave(void);
void image_gate_shut(void);
void image_gate_open(void);

#endif
