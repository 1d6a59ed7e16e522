/* See image-gate.h. */
#include "block/image-gate.h"

#include <pthread.h>

/* the loop's thread does not wait behind clients that come and come */
static pthread_rwlock_t gate = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

void image_gate_enter(void)
{
    pthread_rwlock_rdlock(&gate);
}

void image_gate_leave(void)
{
    pthread_rwlock_unlock(&gate);
}

void image_gate_shut(void)
{
    pthread_rwlock_wrlock(&gate);
}

void image_gate_open(void)
{
    pthread_rwlock_unlock(&gate);
}
