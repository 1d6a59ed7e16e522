/*
 * A picture in memory, shared by reference: what a graphics card draws and what the user interface
 * sends out. Its geometry never changes; a new mode makes a new one.
 */
#ifndef HW_DISPLAY_SURFACE_H
#define HW_DISPLAY_SURFACE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { SURFACE_MAX = 16384 }; /* pixels a side */

typedef struct Surface {
    unsigned width, height; /* pixels; constant */
    unsigned stride;        /* pixels from line to line, a multiple of 4; constant */
    uint32_t *pixels;       /* 0x00RRGGBB (PIXMAN_x8r8g8b8), under `lock` */
    pthread_mutex_t lock;   /* held for as long as a copy takes, never while one waits for anything */
    unsigned refs;          /* atomic */
} Surface;

/* surface_new - a black one with one reference. NULL when a side is 0 or above SURFACE_MAX, or the
 * host has no memory for it. */
Surface *surface_new(unsigned width, unsigned height);
Surface *surface_ref(Surface *s);
void surface_unref(Surface *s); /* NULL is fine; the last one frees it. Any thread. */

/* surface_lock/unlock - around every access to the pixels. Lock order: bus/lock.h. */
void surface_lock(Surface *s);
void surface_unlock(Surface *s);

/* surface_copy - the pixels of a rectangle (clipped to the surface) to the same place of @dst, whose lines are
 * @dst_stride pixels apart and which is as large as the surface. Takes the lock. Any thread. */
void surface_copy(Surface *s, uint32_t *dst, unsigned dst_stride, unsigned x, unsigned y, unsigned w,
                  unsigned h);

#endif
