/*
 * The table of all options: the parser and -help come from it. Then what is settled once all
 * words were seen: defaults, and files that must exist.
 */
#include "machine/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/trace.h"
#include "machine/drives.h"
#include <config.h> /* the one made by ./configure */
#include "machine/network.h"
#include "machine/options.inc"
#include "ui/keymap.h"

/* ---- simple handlers ---- */

/* -help, -version */
static bool opt_show(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    if (def->user == SHOW_HELP) {
        config_usage(p->cfg, stdout);
    } else {
        config_version(p->cfg, stdout);
    }
    p->done = true;
    return true;
}

static bool opt_flag(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    MachineConfig *c = p->cfg;

    switch (def->user) {
    case FLAG_NO_REBOOT:
        c->actions.on[ON_REBOOT] = REBOOT_SHUTDOWN;
        break;
    case FLAG_SNAPSHOT:
        c->snapshot = true;
        break;
    case FLAG_NO_SHUTDOWN:
        c->actions.on[ON_SHUTDOWN] = SHUTDOWN_PAUSE;
        break;
    case FLAG_STOPPED:
        c->stopped = true;
        break;
    case FLAG_NOGRAPHIC:
        c->nographic = c->no_display = true;
        break;
    case FLAG_DAEMONIZE:
        c->daemonize = true;
        break;
    case FLAG_NODEFAULTS:
        c->nodefaults = true;
        break;
    case FLAG_NO_HPET:
        c->hpet = false;
        break;
    case FLAG_NO_ACPI:
        c->acpi = false;
        break;
    case FLAG_PERF_MAP:
        c->accel_options.perf_map = true;
        break;
    case FLAG_USB:
        c->usb = true;
        break;
    case FLAG_MEM_PREALLOC:
        c->mem_prealloc = true;
        break;
    case FLAG_GDB_DEFAULT:
        free(c->gdb);
        c->gdb = xstrdup("tcp::1234");
        break;
    case FLAG_SDL:
        c->sdl.on = c->sdl.asked = true;
        c->no_display = false;
        break;
    case FLAG_FULL_SCREEN:
        c->sdl.full_screen = true;
        break;
    case FLAG_NO_QUIT:
        c->sdl.keep_open = true;
        break;
    default:
        break; /* FLAG_NOTHING: already so */
    }
    return true;
}

static bool opt_string(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    MachineConfig *c = p->cfg;
    char **const where[] = {
        [STR_KERNEL] = &c->kernel, [STR_INITRD] = &c->initrd, [STR_APPEND] = &c->append,
        [STR_BIOS] = &p->bios,     [STR_GDB] = &c->gdb,       [STR_PIDFILE] = &c->pidfile,
        [STR_INCOMING] = &c->incoming, [STR_MEM_PATH] = &c->mem_path,
    };

    free(*where[def->user]);
    *where[def->user] = xstrdup(arg);
    if (def->user == STR_GDB && strcmp(arg, "none") == 0) {
        free(c->gdb);
        c->gdb = NULL;
    }
    return true;
}

static bool opt_rom_dir(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    if (opt_is_help(arg)) {
        rom_dirs_print(p->cfg, stdout);
        p->done = true;
    } else {
        str_list_add(&p->cfg->rom_dirs, arg);
    }
    return true;
}

/* -d items: ours, and trace:PATTERN among them. */
static bool opt_debug(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    autofree char *copy = xstrdup(arg);

    if (opt_is_help(arg)) {
        log_help(stdout);
        p->done = true;
        return true;
    }
    for (char *save, *w = strtok_r(copy, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) {
        unsigned bits;
        if (strncmp(w, "trace:", 6) == 0) {
            if (!trace_enable(w + 6, true, errp)) {
                return false;
            }
        } else if (!log_parse(w, &bits, errp)) {
            return false;
        } else {
            log_mask_bits |= bits;
        }
    }
    return true;
}

static bool opt_log_file(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    return log_open(arg, errp);
}

static bool opt_trace(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    if (opt_is_help(arg)) {
        trace_list(stdout);
        p->done = true;
        return true;
    }
    return trace_option(arg, errp);
}

/* Known to others and not yet here. */
static bool opt_not_yet(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    error_set(errp, "not supported yet");
    return false;
}

const OptionDef machine_options[] = { MACHINE_OPTIONS };

/* ---- the whole ---- */

MachineConfig *config_new(void)
{
    MachineConfig *c = xnew(MachineConfig);

    c->program = "doppel";
    actions_init(&c->actions);
    c->hpet = c->acpi = c->graphics = c->i8042 = true;
    c->ram_size = 128ull << 20;
    c->cpus = c->maxcpus = c->sockets = c->dies = c->cores = c->threads = 1;
    firmware_config_init(&c->firmware);
    c->keymap = keymap_find("en-us");
    return c;
}

void config_free(MachineConfig *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < c->device_count; i++) {
        opt_free(c->devices[i]);
    }
    free(c->devices);
    drives_free(c);
    network_free(c);
    free(c->cpu);
    free(c->kernel);
    free(c->initrd);
    free(c->append);
    free(c->bios);
    free(c->pflash[0]);
    free(c->pflash[1]);
    firmware_config_fini(&c->firmware);
    free(c->gdb);
    free(c->name);
    free(c->process);
    free(c->pidfile);
    free(c->memory_backend);
    free(c->mem_path);
    free(c->numa);
    str_list_free(&c->numa_args);
    str_list_free(&c->rom_dirs);
    str_list_free(&c->vnc);
    str_list_free(&c->chardev_args);
    str_list_free(&c->serial_args);
    str_list_free(&c->parallel_args);
    str_list_free(&c->monitor_args);
    str_list_free(&c->mon_args);
    free(c);
}

/* A file that is to be loaded: there, readable, no folder, @min to @max bytes. */
static bool check_file(const char *what, const char *path, uint64_t min, uint64_t max, Error **errp)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) < 0) {
        error_set_errno(errp, errno, "cannot read %s %s", what, path);
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    close(fd);
    if (S_ISDIR(st.st_mode)) {
        error_set(errp, "cannot read %s %s: it is a directory", what, path);
        return false;
    }
    if (S_ISREG(st.st_mode) && ((uint64_t)st.st_size < min || (uint64_t)st.st_size > max)) {
        error_set(errp, "%s %s has %lld bytes; %llu to %llu are possible", what, path,
                  (long long)st.st_size, (unsigned long long)min, (unsigned long long)max);
        return false;
    }
    return true;
}

static bool boot_finish(Parser *p, Error **errp)
{
    MachineConfig *c = p->cfg;
    /* where the board has no PAM, all of the BIOS is below 1 MiB, beside the option ROMs */
    const char *bios = p->bios != NULL ? p->bios : c->kind == PC_ISA ? "bios.bin" : "bios-256k.bin";

    if (c->kernel == NULL && (c->initrd != NULL || c->append != NULL)) {
        error_set(errp, "%s has no meaning without -kernel",
                  c->initrd != NULL ? "-initrd" : "-append");
        return false;
    }
    if (c->kernel != NULL && !check_file("kernel", c->kernel, 1, UINT64_MAX, errp)) {
        return false;
    }
    if (c->initrd != NULL && !check_file("initrd", c->initrd, 0, UINT64_MAX, errp)) {
        return false;
    }
    if (c->none && p->bios == NULL) {
        return true;
    }
    if (drive_flash(c, 0) != NULL) {
        if (p->bios != NULL) {
            error_set(errp, "-bios and a flash cannot be given together: both are the firmware");
            return false;
        }
        return true;
    }
    if (drive_flash(c, 1) != NULL) {
        error_set(errp, "flash 1 goes below flash 0, which is not there");
        return false;
    }
    c->bios = rom_find(c, bios);
    if (c->bios == NULL) {
        struct stat st;
        if (p->bios != NULL && stat(bios, &st) == 0 && S_ISDIR(st.st_mode)) {
            error_set(errp, "cannot read BIOS %s: it is a directory", bios);
            return false;
        }
        error_set(errp, "there is no BIOS %s, neither here nor in the folders of -L help%s", bios,
                  p->bios == NULL ? " (Debian: apt-get install seabios)" : "");
        return false;
    }
    return check_file("BIOS", c->bios, 1, 16 << 20, errp);
}

/* Where there is a display, text consoles behind the graphics card's: monitor, serial and parallel port. */
static void consoles_finish(Parser *p)
{
    static const char vc[] = "vc:80Cx24C";
    MachineConfig *c = p->cfg;

    if (!p->monitor_given) {
        str_list_add(&c->monitor_args, vc);
    }
    if (!p->serial_given && !c->none) {
        str_list_add(&c->serial_args, vc);
    }
    if (!c->parallel_given && !c->none) {
        str_list_add(&c->parallel_args, vc);
    }
}

/* -nographic puts the first serial port and the monitor on the terminal, unless they were given. */
static void lines_finish(Parser *p)
{
    MachineConfig *c = p->cfg;
    bool serial = !p->serial_given && !c->nodefaults, monitor = !p->monitor_given && !c->nodefaults;
    bool shown = (c->vnc.count > 0 || (!c->no_display && !c->none)) && !c->nographic && !c->nodefaults;

    if (c->nographic && serial && monitor) {
        str_list_add(&c->serial_args, "mon:stdio");
    } else if (c->nographic && serial) {
        str_list_add(&c->serial_args, "stdio");
    } else if (c->nographic && monitor) {
        str_list_add(&c->monitor_args, "stdio");
    } else if (serial && !shown) {
        str_list_add(&c->serial_args, "null");
    }
    if (shown) {
        consoles_finish(p);
    }
}

/* -summa: the tablet is on COM2, and COM1 is what it would be without. */
static bool summa_finish(Parser *p, Error **errp)
{
    StrList *serial = &p->cfg->serial_args;

    if (serial->count > 1) {
        error_set(errp, "-summa: the second serial port is taken by -serial %s", serial->s[1]);
        return false;
    }
    if (serial->count == 0) {
        str_list_add(serial, "none");
    }
    str_list_add(serial, "summa");
    return true;
}

/* display_finish - where nothing was said of a display, a window is tried. */
static void display_finish(MachineConfig *c)
{
    bool desktop = getenv("DISPLAY") != NULL || getenv("WAYLAND_DISPLAY") != NULL;

    if (desktop && c->vnc.count == 0 && !c->no_display && !c->none && !c->daemonize) {
        c->sdl.on = true;
    }
}

static bool finish(Parser *p, Error **errp)
{
    MachineConfig *c = p->cfg;

    if (p->machine_accel && p->option_accel) {
        error_set(errp, "-accel and -machine accel= cannot be given together");
        return false;
    }
    if (c->daemonize && c->nographic) {
        error_set(errp, "-nographic needs the terminal that -daemonize leaves; use -display none");
        return false;
    }
    if (!board_finish(p, errp) || !accel_finish(p, errp) || !memory_finish(p, errp) || !boot_finish(p, errp)) {
        return false;
    }
    display_finish(c);
    lines_finish(p);
    return !p->summa || summa_finish(p, errp);
}

bool config_parse(MachineConfig *cfg, int argc, char **argv, bool *done, Error **errp)
{
    Parser p = { .cfg = cfg };
    OptList **const lists[] = { &p.machine, &p.memory, &p.smp,       &p.name,
                                &p.msg,     &p.rtc,    &p.overcommit, &p.boot };
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    bool ok;

    cfg->program = argc < 1 ? "doppel" : slash != NULL ? slash + 1 : argv[0];
    report_setup(cfg->program, false, false);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        *lists[i] = opt_new();
    }
    machine_look_ahead(cfg, argc, argv);
    ok = options_parse(machine_options, argc, argv, &p, opt_disk_word, errp);
    if (ok && !p.done) {
        if (p.accels.count == 0 &&
            (strcmp(cfg->program, "kvm") == 0 || strcmp(cfg->program, "qemu-kvm") == 0)) {
            str_list_add(&p.accels, "kvm:tcg");
        }
        ok = finish(&p, errp);
    }
    *done = p.done;
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        opt_free(*lists[i]);
    }
    str_list_free(&p.accels);
    free(p.bios);
    return ok;
}

static bool is_qemu_name(const char *program)
{
    return strncmp(program, "qemu", 4) == 0 || strcmp(program, "kvm") == 0;
}

void config_version(const MachineConfig *cfg, FILE *out)
{
    if (is_qemu_name(cfg->program)) {
        fprintf(out, "QEMU emulator version %s (doppel %s)\n", QEMU_COMPAT_VERSION, DOPPEL_VERSION);
    } else {
        fprintf(out, "doppel %s (QEMU emulator version %s compatible)\n", DOPPEL_VERSION,
                QEMU_COMPAT_VERSION);
    }
}

void config_usage(const MachineConfig *cfg, FILE *out)
{
    config_version(cfg, out);
    fprintf(out, "usage: %s [options] [disk_image]\n", cfg->program);
    options_help(machine_options, out);
}
