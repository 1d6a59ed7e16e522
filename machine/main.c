/*
 * The program: reads the command line, builds a board, runs it until somebody ends it.
 *
 * Parts that another room provides are weak here: a build without them refuses by name what needs
 * them.
 */
#include "machine/board.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/event.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "block/block.h"
#include "block/node.h"
#include "block/image-holder.h"
#include "bus/device.h"
#include "bus/lock.h"
#include "chardev/address.h"
#include "chardev/chardev.h"
#include "machine/daemon.h"
#include "machine/drives.h"
#include "machine/drop.h"
#include "machine/network.h"
#include "machine/run.h"
#include "monitor/gdbstub.h"
#include "net/backend.h"
#include "ui/sdl.h"
#include "ui/vnc.h"

#pragma weak board_build
#pragma weak board_none
#pragma weak board_start
#pragma weak board_destroy
#pragma weak monitor_open
#pragma weak gdb_open

static int exit_code = -1; /* atomic; -1: nobody has said */
static bool board_built;

void machine_exit(int code)
{
    int nobody = -1;

    __atomic_compare_exchange_n(&exit_code, &nobody, code, false, __ATOMIC_RELAXED,
                                __ATOMIC_RELAXED);
    loop_quit();
}

static void quit(void)
{
    machine_exit(0);
}

static void on_signal(void *opaque)
{
    const EventField fields[] = { EV_BOOL("guest", false), EV_STR("reason", "host-signal"), EV_END };

    report("terminating on signal %d", (int)(intptr_t)opaque);
    event_emit("SHUTDOWN", fields);
    quit();
}

static void *resolve_chardev(const char *id, Error **errp)
{
    Chardev *c = chardev_find(id);

    if (c == NULL) {
        error_set(errp, "there is no chardev '%s'", id);
    }
    return c;
}

static void *resolve_drive(const char *id, Error **errp)
{
    BlockBackend *b = blk_find(id);

    if (b == NULL && node_known(id)) {
        return node_drive(id, errp);
    }
    if (b == NULL) {
        error_set(errp, "there is no drive '%s'", id);
    }
    return b;
}

static bool setup_loop(Error **errp)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    int r = loop_init();

    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(signals); i++) {
        r = loop_signal(signals[i], on_signal, (void *)(intptr_t)signals[i]);
    }
    if (r < 0) {
        error_set_errno(errp, -r, "cannot set up the event loop");
        return false;
    }
    return true;
}

static bool open_monitors(const MachineConfig *cfg, Error **errp)
{
    for (unsigned i = 0; i < cfg->monitor_count && monitor_open != NULL; i++) {
        if (!monitor_open(cfg->monitors[i], cfg->monitor_kind[i], errp)) {
            return false;
        }
    }
    if (cfg->gdb != NULL && gdb_open == NULL) {
        error_set(errp, "-gdb %s: not supported yet", cfg->gdb);
        return false;
    }
    return cfg->gdb == NULL || gdb_open(cfg->gdb, errp);
}

/* Without any display option and without a window the screen is on the loopback. */
static bool open_displays(const MachineConfig *cfg, Error **errp)
{
    static const VncPowerOps power = { machine_powerdown_request, machine_reset_request };
    const SdlHooks hooks = { .close = quit, .drop = drop_file };

    vnc_setup(cfg->name, cfg->keymap, &power);
    for (size_t i = 0; i < cfg->vnc.count; i++) {
        if (!vnc_open(cfg->vnc.s[i], errp)) {
            error_prepend(errp, "-vnc %s: ", cfg->vnc.s[i]);
            return false;
        }
    }
    if (cfg->sdl.on) {
        sdl_open(cfg->name, cfg->keymap, &hooks);
    }
    return cfg->sdl.on || cfg->vnc.count > 0 || cfg->no_display || cfg->none || vnc_open_default(errp);
}

static void note_medium(void *opaque, BlockBackend *b)
{
    *(bool *)opaque |= blk_present(b);
}

/* confine - from here on. Where the kernel cannot, the default does without and says so. */
static bool confine(const MachineConfig *cfg, Error **errp)
{
    bool media = false;
    Error *err = NULL;

    if (!sandbox_enter(&err)) {
        if (cfg->sandbox == SANDBOX_ON) {
            error_move(errp, err);
            return false;
        }
        report("not confined: %s (-sandbox off says that you know)", error_text(err));
        error_free(err);
        return true;
    }
    machine_lock();
    blk_each(note_medium, &media);
    machine_unlock();
    if (media) {
        block_workers();
    }
    return true;
}

/* Everything up to the first guest instruction. */
static bool start(MachineConfig *cfg, Error **errp)
{
    if (!setup_loop(errp)) {
        return false;
    }
    chardev_setup(&machine_lock_guard, quit);
    block_setup(&machine_lock_guard, cfg->icount.on);
    device_set_resolver(resolve_chardev);
    device_set_drive_resolver(resolve_drive);
    if (cfg->pidfile != NULL && !pidfile_make(cfg->pidfile, errp)) {
        return false;
    }
    if (!config_open(cfg, errp)) {
        return false;
    }
    if (!network_open(cfg, errp)) {
        return false;
    }
    if (!drives_open(cfg, errp)) {
        return false;
    }
    if (!cfg->none) {
        if (board_build == NULL) {
            error_set(errp, "this build has no board but -machine none");
            return false;
        }
        if (!board_build(cfg, errp)) {
            return false;
        }
        board_built = true;
    }
    if (cfg->none && board_none != NULL) {
        board_none(cfg);
    }
    return open_monitors(cfg, errp) && open_displays(cfg, errp) && daemon_ready(errp) && (cfg->sandbox == SANDBOX_OFF || confine(cfg, errp));
}

/* machine_main - from start() to the last descriptor; the process's exit code. */
static int machine_main(void *opaque)
{
    MachineConfig *cfg = opaque;
    Error *err = NULL;
    bool ok = start(cfg, &err), flushed;

    if (ok) {
        if ((board_built || cfg->none) && !cfg->stopped && board_start != NULL) {
            board_start();
        }
        loop_run();
    }
    if (cfg->sdl.on) {
        sdl_close();
    }
    vnc_close_all();
    if (board_built && board_destroy != NULL) {
        board_destroy();
    }
    net_close_all();
    chardevs_close_all();
    flushed = block_close_all();
    pidfile_remove();
    if (!ok) {
        error_report(err); /* the terminal is in order again */
        return 1;
    }
    config_free(cfg);
    loop_fini();
    return exit_code > 0 ? exit_code : flushed ? 0 : 1;
}

/* open_window - what has to be on the process's first thread. False: it was asked for by name and cannot be. */
static bool open_window(MachineConfig *cfg, Error **errp)
{
    Error *err = NULL;

    if (!cfg->sdl.on || sdl_init(&cfg->sdl, &err)) {
        return true;
    }
    if (cfg->sdl.asked) {
        error_move(errp, err);
        return false;
    }
    error_free(err);
    cfg->sdl.on = false;
    return true;
}

int main(int argc, char **argv)
{
    MachineConfig *cfg = config_new();
    Error *err = NULL;
    bool done;

    if (!config_parse(cfg, argc, argv, &done, &err)) {
        error_report(err);
        return 1;
    }
    if (done) {
        return 0;
    }
    addr_setup();
    image_holder_setup();
    if ((cfg->daemonize && !daemon_fork(&err)) || (cfg->sandbox != SANDBOX_OFF && !broker_start(&err)) ||
        !open_window(cfg, &err)) {
        error_report(err);
        return 1;
    }
    if (cfg->process != NULL) {
        prctl(PR_SET_NAME, cfg->process);
    }
    return cfg->sdl.on ? sdl_main(machine_main, cfg) : machine_main(cfg);
}
