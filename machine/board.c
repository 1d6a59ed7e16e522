/*
 * From the command line to a machine: processors on an engine, the pc board, plugged devices, the
 * gdb stub, and what a reset and a power button do.
 */
#include "machine/board.h"

#include <stdlib.h>
#include "accel/accel.h"
#include "accel/icount.h"
#include "accel/kvm/kvm.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "bus/device.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "chardev/chardev.h"
#include "cpu/cpuid.h"
#include "hw/board.h"
#include "hw/display/vga.h"
#include "machine/drives.h"
#include "machine/memdev.h"
#include "machine/network.h"
#include "machine/numa.h"
#include "machine/pc.h"
#include "machine/plug.h"
#include "machine/run.h"
#include "machine/snapshot.h"
#include "monitor/hmp.h"
#include "monitor/ops.h"
#include "monitor/qmp.h"

static CpuModel model;       /* constant once processors are made */
static CpuState **cpus;
static unsigned cpu_count;

static bool make_cpus(const MachineConfig *cfg, Error **errp)
{
    bool long_mode = strstr(cfg->program, "i386") == NULL;

    if (cfg->maxcpus > cfg->cpus) {
        error_set(errp, "-smp maxcpus=%u: processors cannot be added to a running machine yet; "
                  "give cpus=%u", cfg->maxcpus, cfg->maxcpus);
        return false;
    }
    if (cfg->accel == ACCEL_KVM) {
        cpu_model_allow_host();
    }
    if (!cpu_model_parse(cfg->cpu, long_mode, &model, errp)) {
        error_prepend(errp, "-cpu: ");
        return false;
    }
    if (cfg->accel == ACCEL_KVM && !kvm_limit_model(&model, errp)) {
        error_prepend(errp, "-cpu: ");
        return false;
    }
    cpu_topology(cfg->cpus, cfg->cores, cfg->threads);
    cpu_count = cfg->cpus;
    cpus = xnewn(CpuState *, cpu_count);
    for (unsigned n = 0; n < cpu_count; n++) {
        cpus[n] = cpu_new(n, &model);
    }
    return true;
}

/* What is counted or listed by instructions and blocks that KVM runs unseen. */
static bool make_kvm(const MachineConfig *cfg, Error **errp)
{
    const unsigned unseen = LOG_IN_ASM | LOG_OUT_ASM | LOG_EXEC | LOG_CPU | LOG_INT | LOG_MMU;

    if (cfg->icount.on) {
        error_set(errp, "-icount: not with -accel kvm");
        return false;
    }
    for (const LogItem *i = log_items; i->name != NULL; i++) {
        if (log_mask_bits & unseen & i->bit) {
            error_set(errp, "-d %s: not with -accel kvm", i->name);
            return false;
        }
    }
    log_without(unseen, "not with -accel kvm");
    kvm_setup(&cfg->kvm);
    return accel_init(&accel_kvm, cpus, cpu_count, errp);
}

static bool make_accel(const MachineConfig *cfg, Error **errp)
{
    accel_options = cfg->accel_options;
    if (cfg->accel == ACCEL_KVM) {
        return make_kvm(cfg, errp);
    }
    clock_catch_up(true); /* KVM's guests read a counter of the host's */
    if (cfg->icount.on) {
        if (cpu_count > 1) {
            error_set(errp, "-icount: not with more than one processor");
            return false;
        }
        icount_init(&cfg->icount);
        cpu_random_seed(1);
    }
    /* -icount looks around after each block: the reference's, whose runs are then the same */
    bool reference = cfg->accel == ACCEL_INTERP || cfg->icount.on;

    if (cfg->accel_options.lockstep != 0) {
        return accel_init(&accel_lockstep, cpus, cpu_count, errp);
    }
    return accel_init(reference ? &accel_interp : &accel_jit, cpus, cpu_count, errp);
}

/* The RTC's start as pc_build() takes it; freed by the caller. */
static char *rtc_base(const MachineConfig *cfg)
{
    switch (cfg->rtc_base) {
    case RTC_LOCALTIME:
        return xstrdup("localtime");
    case RTC_DATE:
        return xasprintf("@%lld", (long long)cfg->rtc_start);
    default:
        return xstrdup("utc");
    }
}

/* ---- the graphics card ---- */

static const MachineConfig *config; /* for find_rom(); of the whole run */

static char *find_rom(const char *name)
{
    return rom_find(config, name);
}

/* Was a card asked for by -device? */
static bool card_plugged(const MachineConfig *cfg)
{
    bool found = false;

    for (size_t n = 0; n < cfg->device_count; n++) {
        const DeviceClass *cls = device_class_find(opt_get_str(cfg->devices[n], "driver", ""));

        found = found || cls == &vga_pci_class || cls == &vga_isa_class;
    }
    return found;
}

/* The BIOS is what sets a VGA up, but it takes a moment, and a kernel on a serial line does without:
 * a kernel starts through it where there is a card, and it was asked for or is shown. */
static bool kernel_bios(const MachineConfig *cfg)
{
    bool shown = !cfg->no_display && cfg->vga != VGA_CHOICE_NONE && !cfg->nodefaults;

    return !cfg->nographic && cfg->graphics &&
           (cfg->vga == VGA_CHOICE_STD || card_plugged(cfg) || shown);
}

/* What -vga says; without it a standard VGA, unless there is a card already or -nodefaults. */
static bool make_vga(const MachineConfig *cfg, Error **errp)
{
    bool asked = cfg->vga == VGA_CHOICE_STD, isa = cfg->kind == PC_ISA;
    autofree char *rom = find_rom(isa ? "vgabios.bin" : "vgabios-stdvga.bin");
    Device *dev;

    if (cfg->vga == VGA_CHOICE_NONE || (!asked && (cfg->nodefaults || card_plugged(cfg)))) {
        return true;
    }
    dev = device_new(isa ? &vga_isa_class : &vga_pci_class, NULL);
    dev->board = pc_board();
    if ((rom == NULL && cfg->kernel != NULL && !asked && /* nobody would run it */
         !device_set(dev, "romfile", "", errp)) || !device_realize(dev, errp)) {
        error_prepend(errp, "-vga std: ");
        device_free(dev);
        return false;
    }
    return true;
}

static bool make_uhci(const char *name, const char *addr, bool first_of_more, Error **errp)
{
    Device *dev = device_new(device_class_find(name), NULL);

    dev->board = pc_board();
    if (!device_set(dev, "addr", addr, errp) || (first_of_more && !device_set(dev, "multifunction", "on", errp)) ||
        !device_realize(dev, errp)) {
        error_prepend(errp, "-usb: ");
        device_free(dev);
        return false;
    }
    return true;
}

/* -usb: the PIIX3's third function; the ICH9's full-speed controllers (an EHCI is not there). */
static bool make_usb(const MachineConfig *cfg, Error **errp)
{
    if (!cfg->usb) {
        return true;
    }
    if (cfg->kind == PC_ISA) {
        error_set(errp, "-usb: the board isapc has no PCI bus for a USB controller");
        return false;
    }
    if (cfg->kind == PC_Q35) {
        return make_uhci("ich9-usb-uhci1", "1d.0", true, errp) && make_uhci("ich9-usb-uhci2", "1d.1", false, errp) &&
               make_uhci("ich9-usb-uhci3", "1d.2", false, errp);
    }
    return make_uhci("piix3-usb-uhci", "1.2", false, errp);
}

/* make_ram - where it is made of objects; else the board makes it. */
static bool make_ram(const MachineConfig *cfg, Error **errp)
{
    if (cfg->numa == NULL && cfg->memory_backend == NULL) {
        return true;
    }
    return ram_create(cfg->ram_size, errp) &&
           (cfg->numa != NULL ? numa_install(cfg->numa, errp) : memdev_install(memdev_find(cfg->memory_backend), 0, errp));
}

static bool make_pc(const MachineConfig *cfg, Error **errp)
{
    autofree char *rtc = rtc_base(cfg);
    PcConfig pc = {
        .ram_size = cfg->ram_size,
        .max_ram_below_4g = cfg->max_ram_below_4g,
        .numa = cfg->numa,
        .cpus = cpu_count,
        .cpu = cpus,
        .kernel = cfg->kernel,
        .initrd = cfg->initrd,
        .append = cfg->append,
        .bios = cfg->bios,
        .hpet = cfg->hpet,
        .acpi = cfg->acpi,
        .kind = cfg->kind,
        .graphics = cfg->graphics && !cfg->nographic,
        .kernel_bios = kernel_bios(cfg),
        .firmware = &cfg->firmware,
        .sockets = cfg->sockets * cfg->dies,
        .cores = cfg->cores,
        .threads = cfg->threads,
        .model = &model,
        .no_i8042 = !cfg->i8042,
        .vmport = cfg->vmport != OOA_OFF,
        .uuid = cfg->uuid,
        .rtc_base = rtc,
        .rtc_clock = cfg->rtc_vm ? "vm" : cfg->rtc_rt ? "rt" : "host",
        .rtc_slew = cfg->rtc_slew,
    };

    for (unsigned n = 0; n < ARRAY_SIZE(pc.floppy); n++) {
        const Drive *d = drive_find(cfg, DRIVE_FLOPPY, 0, n);

        pc.floppy[n] = d != NULL ? blk_find(d->id) : NULL;
    }
    for (unsigned n = 0; n < PC_SERIAL_MAX; n++) {
        pc.serial[n] = cfg->serial[n];
        pc.serial_port[n] = cfg->serial_port[n];
    }
    for (unsigned n = 0; n < PC_PARALLEL_MAX; n++) {
        pc.parallel[n] = cfg->parallel[n];
        pc.parallel_port[n] = cfg->parallel_port[n];
    }
    for (unsigned n = 0; n < ARRAY_SIZE(pc.flash); n++) {
        if (cfg->pflash[n] != NULL && drive_find(cfg, DRIVE_PFLASH, 0, n) != NULL) {
            error_set(errp, "flash %u was given twice: by -machine pflash%u= and as a drive", n, n);
            return false;
        }
        pc.flash[n] = drive_flash(cfg, n);
    }
    if (!make_ram(cfg, errp) || !pc_build(&pc, errp)) {
        return false;
    }
    config = cfg;
    pc_board()->rom_find = find_rom;
    return make_usb(cfg, errp) && make_vga(cfg, errp);
}

static void board_reset(void)
{
    pc_reset();
    for (unsigned n = 0; n < cpu_count; n++) {
        cpu_update_mode(cpus[n]);
    }
}

static bool load_state(const char *from, Error **errp)
{
    if (strncmp(from, "file:", 5) != 0) {
        error_set(errp, "-incoming %s: only file:PATH is there yet", from);
        return false;
    }
    if (!snapshot_from_file(from + 5, errp)) {
        error_prepend(errp, "-incoming: ");
        return false;
    }
    return true;
}

static void setup_run(const MachineConfig *cfg)
{
    RunConfig run = {
        .name = cfg->name,
        .actions = cfg->actions,
        .board_reset = cfg->none ? NULL : board_reset,
        .board_powerdown = cfg->none ? NULL : pc_power_button,
        .board_nmi = cfg->none ? NULL : pc_nmi,
        .exit = machine_exit,
    };

    memcpy(run.uuid, cfg->uuid, sizeof(run.uuid));
    run_setup(&run);
    op_setup(cfg->keymap);
}

/* No processor, but what runs none of them can be started and stopped. */
void board_none(const MachineConfig *cfg)
{
    setup_run(cfg);
    if (cfg->accel == ACCEL_KVM) {
        kvm_setup(&cfg->kvm); /* as query-kvm says to who looks for engines */
    }
    accel_init(&accel_interp, NULL, 0, NULL);
}

bool board_build(const MachineConfig *cfg, Error **errp)
{
    bool ok;

    setup_run(cfg);
    if (!make_cpus(cfg, errp)) {
        return false;
    }
    machine_lock();
    ok = make_pc(cfg, errp) && network_plug(cfg, errp) && drives_plug(cfg, errp);
    for (size_t n = 0; ok && n < cfg->device_count; n++) {
        ok = plug_device(cfg->devices[n], errp);
    }
    ok = ok && pc_complete(errp);
    machine_unlock();
    if (!ok || !make_accel(cfg, errp)) {
        return false;
    }
    machine_lock();
    board_reset();
    machine_unlock();
    return cfg->incoming == NULL || load_state(cfg->incoming, errp);
}

void board_start(void)
{
    vm_start();
}

void board_destroy(void)
{
    accel_fini();
    if (pc_writes_late()) {
        block_drain(); /* the guest takes for done what it has written there */
    }
    machine_lock();
    pc_free();
    machine_unlock();
    for (unsigned n = 0; n < cpu_count; n++) {
        cpu_free(cpus[n]);
    }
    free(cpus);
    cpus = NULL;
    cpu_count = 0;
}

bool monitor_open(Chardev *c, MonitorKind kind, Error **errp)
{
    return kind == MONITOR_HUMAN ? hmp_open(c, errp) : qmp_open(c, kind == MONITOR_QMP_PRETTY, errp);
}
