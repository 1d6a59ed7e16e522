/*
 * The calls that reach the host's files, made to fail or to lose what was not flushed: in place of host_calls.
 *
 *   fault_*  the n-th call fails, once or from then on
 *   power_*  what a file could hold had the power gone at this moment
 *
 * A file without power keeps what was flushed; of what was written since, each 512-byte sector may have come to the
 * disk or not, in any order, whole. For one thread.
 */
#ifndef TESTS_LIB_FAULTIO_H
#define TESTS_LIB_FAULTIO_H

#include <stdbool.h>
#include <stdint.h>

/* fault_arm - the @n-th call from now (1 is the next) fails with @error, 0: writes half of what it should and then
 * fails with EIO; all after it too, with @for_ever. fault_disarm - calls work again, and none waits for
 * the disk; true when one had failed. */
void fault_arm(uint64_t n, int error, bool for_ever);
bool fault_disarm(void);

/* power_begin - watch the @count files at @paths, POWER_FILES at most. @before is called before each call that changes or
 * flushes one, when files work but do not wait for the disk. power_end - no longer. */
enum { POWER_FILES = 2 };
void power_begin(const char *const *paths, unsigned count, void (*before)(void *opaque), void *opaque);
void power_end(void);
/* power_cut - what they could hold now, to @paths, one for each; which of all possibilities, @random says. */
void power_cut(const char *const *paths, uint64_t (*random)(void));

#endif
