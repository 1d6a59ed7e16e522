/*
 * The machine lock. Every device callback (ports, MMIO, timers, DMA completion) runs under it.
 * Nothing under it may block or wait for a virtual processor.
 *
 * Order of all locks, outermost first:
 *   1. machine lock                      (bus/lock.c)
 *   2. locks of back ends                (in each back end: chardev, the pool of block/request.c)
 *   3. a local APIC's timer_lock         (hw/intc/lapic-timer.c)
 *   4. a VNC client's lock               (ui/vnc-internal.h)
 *      a surface's lock                  (hw/display/surface.h)
 *   5. timer queue, loop's posted calls  (base/clock.c, base/loop.c)
 *   6. log                               (base/log.c)
 * The other registers of a local APIC are atomics and need none. A processor drops the machine lock before
 * it asks for or joins a stop-the-world section (accel/accel.h).
 */
#ifndef BUS_LOCK_H
#define BUS_LOCK_H

#include <stdbool.h>
#include "base/clock.h"

void machine_lock(void);
void machine_unlock(void);
bool machine_lock_held(void); /* by this thread */
/* machine_lock_patient - this thread takes it again and again (a processor that does nothing but device accesses): it lets
 * others that wait go first. */
void machine_lock_patient(void);
extern const TimerGuard machine_lock_guard;

#endif
