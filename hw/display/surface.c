/*
 * A picture in memory, shared by reference.
 */
#include "hw/display/surface.h"

#include <stdlib.h>
#include "base/mem.h"

Surface *surface_new(unsigned width, unsigned height)
{
    Surface *s;

    if (width == 0 || height == 0 || width > SURFACE_MAX || height > SURFACE_MAX) {
        return NULL;
    }
    s = try_newn(Surface, 1);
    if (s == NULL) {
        return NULL;
    }
    s->width = width;
    s->height = height;
    s->stride = (width + 3) & ~3u;
    s->pixels = try_newn(uint32_t, (size_t)s->stride * height);
    if (s->pixels == NULL) {
        free(s);
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    s->refs = 1;
    return s;
}

Surface *surface_ref(Surface *s)
{
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void surface_unref(Surface *s)
{
    if (s == NULL || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    pthread_mutex_destroy(&s->lock);
    free(s->pixels);
    free(s);
}

void surface_lock(Surface *s)
{
    pthread_mutex_lock(&s->lock);
}

void surface_unlock(Surface *s)
{
    pthread_mutex_unlock(&s->lock);
}

void surface_copy(Surface *s, uint32_t *dst, unsigned dst_stride, unsigned x, unsigned y, unsigned w,
                  unsigned h)
{
    if (x >= s->width || y >= s->height) {
        return;
    }
    w = MIN(w, s->width - x);
    h = MIN(h, s->height - y);
    surface_lock(s);
    for (unsigned line = y; line < y + h; line++) {
        memcpy(dst + (size_t)line * dst_stride + x, s->pixels + (size_t)line * s->stride + x,
               (size_t)w * 4);
    }
    surface_unlock(s);
}
