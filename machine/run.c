/*
 * Starting, stopping, resetting and ending the machine.
 */
#include "machine/run.h"

#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include "accel/accel.h"
#include "accel/icount.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/event.h"
#include "base/loop.h"
#include "base/uuid.h"
#include "block/block.h"
#include "bus/lock.h"

enum { SETTLE_TRIES = 2000 };

static RunConfig run;                     /* constant after run_setup(), but for its actions: loop thread */
static RunState state = RUN_PRELAUNCH;    /* loop thread */

static void io_error(void *opaque)
{
    if (state == RUN_RUNNING) {
        vm_stop(RUN_IO_ERROR);
    }
}

static void io_error_soon(void)
{
    loop_post(io_error, NULL);
}

static void engine_failed(void *opaque)
{
    if (state == RUN_RUNNING) {
        vm_stop(RUN_INTERNAL_ERROR);
    }
}

static void engine_failed_soon(void)
{
    loop_post(engine_failed, NULL);
}

void run_setup(const RunConfig *cfg)
{
    run = *cfg;
    accel_fail_handler(engine_failed_soon);
    block_on_stop(io_error_soon);
}

Actions *vm_actions(void)
{
    return &run.actions;
}

const char *vm_name(void)
{
    return run.name;
}

const uint8_t *vm_uuid(void)
{
    return run.uuid;
}

RunState vm_state(void)
{
    return state;
}

const char *vm_state_name(RunState s)
{
    static const char *const names[] = { "paused (prelaunch)", "running", "paused",
                                         "paused (shutdown)", "paused (debug)", "paused (io-error)",
                                         "paused (watchdog)", "paused (guest-panicked)", "paused (internal-error)" };

    return names[s];
}

void vm_uuid_text(char text[UUID_TEXT])
{
    uuid_text(run.uuid, text);
}

/* tell - SHUTDOWN or RESET, and whose doing it is. */
static void tell(const char *event, bool guest, const char *reason)
{
    const EventField fields[] = { EV_BOOL("guest", guest), EV_STR("reason", reason), EV_END };

    event_emit(event, fields);
}

void vm_start(void)
{
    if (state == RUN_RUNNING) {
        return;
    }
    if (state == RUN_SHUTDOWN || state == RUN_INTERNAL_ERROR) {
        accel_release();
    }
    state = RUN_RUNNING;
    machine_lock();
    clock_run(true);
    icount_run(true);
    block_retry();
    machine_unlock();
    accel_resume();
    event_emit("RESUME", NULL);
}

/* settle - with -icount a request completes at its own moment of the guest's time; ended early by
 * block_drain() it would change the run. So stop at an instant at which there is none. The last one of a guest
 * that always has another under way is ended early all the same. Processors paused, before and after. */
static void settle(void)
{
    const struct timespec moment = { .tv_nsec = 100000 };

    for (unsigned tries = 0; tries < SETTLE_TRIES && block_timed_busy(); tries++) {
        accel_resume();
        nanosleep(&moment, NULL);
        accel_pause();
    }
}

void vm_stop(RunState why)
{
    if (state != RUN_RUNNING) {
        state = state == RUN_SHUTDOWN || state == RUN_IO_ERROR || state == RUN_PANICKED ? state : why;
        return;
    }
    accel_pause();
    settle();
    block_drain(); /* the guest finds complete what it asked for, also in a saved state */
    machine_lock();
    icount_run(false);
    clock_run(false);
    machine_unlock();
    state = why;
    event_emit("STOP", NULL);
}

void machine_quit(const char *reason)
{
    tell("SHUTDOWN", false, reason);
    run.exit(0);
}

static void exit_now(void *opaque)
{
    run.exit((int)(intptr_t)opaque);
}

void machine_exit_request(int code)
{
    loop_post(exit_now, (void *)(intptr_t)code);
}

/* The machine is off; @code is the program's. */
static void ended(bool guest, const char *reason, int code)
{
    tell("SHUTDOWN", guest, reason);
    if (run.actions.on[ON_SHUTDOWN] == SHUTDOWN_PAUSE) {
        vm_stop(RUN_SHUTDOWN);
    } else {
        run.exit(code);
    }
}

/* @opaque: NULL when the guest wants it, else the reason. */
static void reset_now(void *opaque)
{
    const char *reason = opaque != NULL ? opaque : "guest-reset";

    if (run.actions.on[ON_REBOOT] == REBOOT_SHUTDOWN) {
        ended(opaque == NULL, reason, 0);
        return;
    }
    accel_pause();
    block_drain();
    machine_lock();
    run.board_reset();
    machine_unlock();
    accel_release();
    accel_resume();
    if (state != RUN_RUNNING) {
        state = RUN_PRELAUNCH; /* as if just made with -S */
    }
    tell("RESET", opaque == NULL, reason);
}

void machine_reset_user(void)
{
    static char reason[] = "host-qmp-system-reset";

    loop_post(reset_now, reason);
}

void machine_reset_request(void)
{
    accel_hold();
    loop_post(reset_now, NULL);
}

static void shutdown_now(void *opaque)
{
    ended(true, "guest-shutdown", 0);
}

void machine_shutdown_request(void)
{
    accel_hold();
    loop_post(shutdown_now, NULL);
}

static void powerdown_now(void *opaque)
{
    event_emit("POWERDOWN", NULL);
    if (run.board_powerdown != NULL) {
        machine_lock();
        run.board_powerdown();
        machine_unlock();
    }
}

void machine_powerdown_request(void)
{
    loop_post(powerdown_now, NULL);
}

static void watchdog_now(void *opaque)
{
    char name[ACTION_NAME];
    const EventField fields[] = { EV_STR("action", name), EV_END };

    action_name(&run.actions, ON_WATCHDOG, name);
    event_emit("WATCHDOG", fields);
    switch (run.actions.on[ON_WATCHDOG]) {
    case WATCHDOG_RESET:
        reset_now(NULL);
        break;
    case WATCHDOG_SHUTDOWN:
        powerdown_now(NULL);
        break;
    case WATCHDOG_POWEROFF:
        run.exit(0);
        break;
    case WATCHDOG_PAUSE:
        vm_stop(RUN_WATCHDOG);
        break;
    case WATCHDOG_DEBUG:
        report("the watchdog was not fed");
        break;
    case WATCHDOG_NMI:
        machine_lock();
        run.board_nmi();
        machine_unlock();
        break;
    default:
        break;
    }
}

void machine_watchdog_expired(void)
{
    loop_post(watchdog_now, NULL);
}

/* ---- pvpanic ---- */

static void tell_panic(const char *event, const char *action)
{
    const EventField fields[] = { EV_STR("action", action), EV_END };

    event_emit(event, fields);
}

static void crash_loaded_now(void *opaque)
{
    tell_panic("GUEST_CRASHLOADED", "run");
}

static void panicked_now(void *opaque)
{
    uint8_t what = run.actions.on[ON_PANIC];

    if (what == PANIC_SHUTDOWN && run.actions.on[ON_SHUTDOWN] == SHUTDOWN_PAUSE) {
        what = PANIC_PAUSE;
    }
    tell_panic("GUEST_PANICKED", what == PANIC_NONE ? "run" : what == PANIC_PAUSE ? "pause" : "poweroff");
    if (what == PANIC_PAUSE) {
        vm_stop(RUN_PANICKED);
    } else if (what != PANIC_NONE) {
        ended(true, "guest-panic", what == PANIC_EXIT);
    }
}

void machine_guest_panicked(bool crash_loaded)
{
    loop_post(crash_loaded ? crash_loaded_now : panicked_now, NULL);
}
