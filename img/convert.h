/* The copying part of convert. */
#ifndef IMG_CONVERT_H
#define IMG_CONVERT_H

#include <pthread.h>
#include <time.h>
#include "img/img.h"

enum { CONVERT_THREADS = 8, CONVERT_THREADS_MAX = 16 };

typedef struct Convert {
    /* constant while it copies */
    BlockImage *out, **in;
    int count;
    uint64_t sparse;   /* runs of zeros of at least so many bytes are left out; 0: none */
    uint64_t rate;     /* bytes a second at most; 0: as fast as it goes */
    bool dirty_target; /* what is not written there is not zero */
    bool offload;      /* the host may copy from file to file */
    bool salvage, quiet; /* what cannot be read is zeros */
    uint32_t cluster; /* pieces are whole ones of the target, or 1 */
    bool compressed, own, any_order; /* own: only what the source itself holds; the rest is behind the target */
    bool one_writes; /* at a time, under `writing`: the host has others spin until a cached file's writer is done */
    pthread_mutex_t writing;
    /* under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t turn[CONVERT_THREADS_MAX]; /* of the piece with this number, modulo: no more are under way */
    int current;       /* the source */
    uint64_t at, base; /* in it; where it starts in the target */
    ImageRange range;  /* what is known from there on */
    uint64_t taken, written; /* pieces */
    uint64_t paced;    /* bytes of those taken */
    struct timespec begun;
    int error;
    Progress progress;
} Convert;

/* convert_copy - all sources to the target, by so many threads. 0 or -errno. */
int convert_copy(Convert *c, unsigned threads);

#endif
