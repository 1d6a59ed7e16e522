/*
 * The boards "pc", "q35" and "isapc": the only place that knows which chip stands where, with the tables of the
 * chipsets in pc-piix.c, pc-q35.c and pc-isa.c.
 *
 * Wiring: an ISA device drives Board.isa_irq[n], which the bridge to ISA joins with the PIRQs and the SCI;
 * the result goes to the PIC's IRQ n and to the I/O APIC's pin n (IRQ 0: pin 2, as the MADT says). Without PCI there
 * is no bridge and no I/O APIC: the PIC has the line.
 * The PIC's INTR goes to LINT0 of the boot processor.
 *
 * Without firmware (-kernel alone) the board does what firmware would have done: interrupt routes,
 * power management ports, MTRRs, the virtual-wire APIC, ACPI tables, the memory map.
 */
#include "machine/pc-internal.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/device.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "cpu/cpu.h"
#include "hw/acpi/acpi.h"
#include "hw/acpi/pci-hotplug.h"
#include "hw/board.h"
#include "hw/block/fdc.h"
#include "hw/block/pflash.h"
#include "hw/char/parallel.h"
#include "hw/char/serial-isa.h"
#include "hw/dma/i8237.h"
#include "hw/input/i8042.h"
#include "hw/input/vmmouse.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"
#include "hw/misc/fw_cfg.h"
#include "hw/misc/port92.h"
#include "hw/misc/vmgenid.h"
#include "hw/misc/vmport.h"
#include "hw/pci/pci.h"
#include "hw/rtc/mc146818.h"
#include "hw/timer/hpet.h"
#include "hw/timer/i8254.h"
#include "machine/boot.h"
#include "machine/plug.h"
#include "machine/run.h"

static Pc *pc; /* the board of this process; under the machine lock */

/*
 * Our own "firmware", at F000:FFF0 when there is no other: what a jump to the reset vector runs
 * (Linux' reboot=b). It resets the board through port 92h, which all boards have.
 */
static const uint8_t reset_rom[16] = {
    0x30, 0xc0, /* xor al, al: the reset is where bit 0 rises */
    0xe6, 0x92, /* out 92h, al */
    0xb0, 0x01, /* mov al, 1 */
    0xe6, 0x92, /* out 92h, al */
    0xfa,       /* cli */
    0xf4,       /* hlt */
    0xeb, 0xfd, /* jmp to the hlt */
};

Board *pc_board(void)
{
    return &pc->board;
}

/* ---- interrupts ---- */

/* pc_set_irq - a joined ISA interrupt, to both controllers. */
static void pc_set_irq(void *opaque, unsigned n, int level)
{
    Pc *p = opaque;
    IrqLine pic = pic_input(p->pic, n);

    irq_set(&pic, level);
    if (p->ioapic != NULL) {
        IrqLine apic = ioapic_input(p->ioapic, n == 0 ? 2 : n);

        irq_set(&apic, level);
    }
}

static void pc_hpet_legacy(void *opaque, bool on)
{
    Pc *p = opaque;

    pit_disable_irq(p->pit, on);
    rtc_set_irq_off(p->rtc, on);
}

static void pc_shutdown(CpuState *c)
{
    machine_reset_request();
}

/* pc_set_smi - SMI# reaches the boot processor, which is where firmware installs its handler. */
static void pc_set_smi(void *opaque, unsigned n, int level)
{
    Pc *p = opaque;

    if (level && p->cfg.cpus > 0) {
        cpu_request(p->cfg.cpu[0], REQ_SMI);
    }
}

IrqLine pc_smi(Pc *p)
{
    return (IrqLine){ pc_set_smi, p, 0 };
}

IrqLine pc_irq(Pc *p, unsigned n)
{
    return (IrqLine){ pc_set_irq, p, n };
}

/* pc_a20 - the gate opens or closes for all processors. */
static void pc_a20(void *opaque, bool on)
{
    Pc *p = opaque;

    for (unsigned i = 0; i < p->cfg.cpus; i++) {
        cpu_set_a20(p->cfg.cpu[i], on);
    }
}

/* pc_ferr - FERR# of the processor, on IRQ 13. */
static void pc_ferr(CpuState *c, bool on)
{
    bool lock = !machine_lock_held();

    if (lock) {
        machine_lock();
    }
    irq_set(&pc->board.isa_irq[13], on);
    if (lock) {
        machine_unlock();
    }
}

/* ---- memory ---- */

static bool pc_make_ram(Pc *p, Error **errp)
{
    uint64_t max = p->cfg.max_ram_below_4g != 0 ? p->cfg.max_ram_below_4g : p->chipset->below_4g(p->cfg.ram_size);

    if (p->cfg.ram_size < BOOT_HIGH || p->cfg.ram_size % PAGE_SIZE != 0) {
        error_set(errp, "memory size 0x%llx is not a multiple of 4096 from 1 MiB on",
                  (unsigned long long)p->cfg.ram_size);
        return false;
    }
    if (max < BOOT_HIGH || max > PC_RAM_BELOW_4G || max % PAGE_SIZE != 0) {
        error_set(errp, "max-ram-below-4g 0x%llx is not between 1 MiB and 3.5 GiB",
                  (unsigned long long)max);
        return false;
    }
    if (ram_host() == NULL && !ram_create(p->cfg.ram_size, errp)) {
        return false;
    }
    p->below_4g = MIN(p->cfg.ram_size, max);
    p->above_4g = p->cfg.ram_size - p->below_4g;
    ram_region_init(&p->ram_low, "ram-low", 0, 0xa0000);
    if (!mem_map(&p->ram_low, 0, 0, false, errp)) {
        return false;
    }
    if (p->below_4g > BOOT_HIGH) {
        ram_region_init(&p->ram_high, "ram-below-4g", BOOT_HIGH, p->below_4g - BOOT_HIGH);
        if (!mem_map(&p->ram_high, BOOT_HIGH, 0, false, errp)) {
            return false;
        }
    }
    if (p->above_4g > 0) {
        ram_region_init(&p->ram_4g, "ram-above-4g", p->below_4g, p->above_4g);
        return mem_map(&p->ram_4g, PC_GIB4, 0, false, errp);
    }
    return true;
}

/* pc_make_rom - the firmware's image ends at 4 GiB, its last 128 KiB also at 1 MiB. */
static bool pc_make_rom(Pc *p, Error **errp)
{
    autofree uint8_t *file = NULL;
    size_t len = 0, low;

    p->rom = xalloc_pages(PC_ROM_SIZE); /* an engine may map it */
    memset(p->rom, 0xff, PC_ROM_SIZE);
    if (p->cfg.flash[0] != NULL) {
        return true; /* pc_make_flash() */
    }
    if (p->cfg.bios == NULL) {
        memcpy(p->rom + PC_ROM_SIZE - sizeof(reset_rom), reset_rom, sizeof(reset_rom));
        rom_region_init(&p->rom_top, "pc.bios", p->rom + PC_ROM_SIZE - 0x20000, 0x20000);
        return mem_map(&p->rom_top, PC_GIB4 - 0x20000, 0, false, errp);
    }
    file = boot_read_file(p->cfg.bios, "bios", &len, errp);
    if (file == NULL) {
        return false;
    }
    if (len == 0 || len > PC_BIOS_MAX || len % 0x10000 != 0) {
        error_set(errp, "could not load PC BIOS '%s': %zu bytes are not 64 KiB to 8 MiB",
                  p->cfg.bios, len);
        return false;
    }
    p->bios = memcpy(xalloc_pages(len), file, len);
    low = MIN(len, 0x20000u);
    memcpy(p->rom + PC_ROM_SIZE - low, p->bios + len - low, low);
    rom_region_init(&p->rom_top, "pc.bios", p->bios, len);
    return mem_map(&p->rom_top, PC_GIB4 - len, 0, false, errp);
}

/* ---- devices ---- */

Device *pc_device(Pc *p, const DeviceClass *cls, const char *id)
{
    Device *dev = device_new(cls, id);

    dev->board = &p->board;
    return dev;
}

/* pc_make_flash - the first chip ends at 4 GiB, the second is below it; the first's last 128 KiB are at 1 MiB too, as
 * a ROM has them. */
static bool pc_make_flash(Pc *p, Error **errp)
{
    hwaddr end = PC_GIB4;

    for (unsigned n = 0; n < ARRAY_SIZE(p->flash) && p->cfg.flash[n] != NULL; n++) {
        autofree char *id = xasprintf("system.flash%u", n);
        Device *dev = pc_device(p, &pflash_class, id);

        pflash_connect(dev, end);
        if (!device_set(dev, "drive", p->cfg.flash[n], errp) || !device_realize(dev, errp)) {
            error_prepend(errp, "flash %u: ", n);
            device_free(dev);
            return false;
        }
        p->flash[n] = dev;
        end -= pflash_size(dev);
        if (end < PC_GIB4 - PC_FLASH_MAX) {
            error_set(errp, "flash %u: combined size of system firmware exceeds %u bytes", n, PC_FLASH_MAX);
            return false;
        }
    }
    if (p->flash[0] != NULL) {
        uint64_t size = pflash_size(p->flash[0]), low = MIN(size, 0x20000u);

        memcpy(p->rom + PC_ROM_SIZE - low, pflash_bytes(p->flash[0]) + size - low, low);
    }
    return true;
}

bool pc_writes_late(void)
{
    return pc->flash[0] != NULL;
}

static int64_t pc_wall_ns(void)
{
    int64_t ns;

    machine_lock_guard.lock(); /* the lockstep engine has it already */
    ns = rtc_wall_ns(pc->rtc);
    machine_lock_guard.unlock();
    return ns;
}

static bool pc_make_lapics(Pc *p, Error **errp)
{
    p->lapics = lapic_bus_new(p->cfg.cpus);
    p->lapic = xnewn(Device *, p->cfg.cpus);
    for (unsigned i = 0; i < p->cfg.cpus; i++) {
        autofree char *id = xasprintf("apic%u", i);

        p->lapic[i] = pc_device(p, &lapic_class, id);
        lapic_connect(p->lapic[i], p->lapics, p->cfg.cpu[i]);
        p->cfg.cpu[i]->hooks.shutdown = pc_shutdown;
        p->cfg.cpu[i]->hooks.ferr = pc_ferr;
        p->cfg.cpu[i]->hooks.wall_ns = pc_wall_ns;
        if (!device_realize(p->lapic[i], errp)) {
            return false;
        }
    }
    return lapic_bus_map(p->lapics, errp);
}

static void pc_msi(void *opaque, uint64_t addr, uint32_t data)
{
    lapic_msi(opaque, addr, data);
}

/* pc_make_bridges - the interrupt controllers, and the bridges that lead to them. */
static bool pc_make_bridges(Pc *p, Error **errp)
{
    p->pic = pc_device(p, &i8259_class, "pic");
    if (p->cfg.cpus > 0) {
        pic_connect(p->pic, lapic_lint0(p->lapic[0]));
    }
    lapic_bus_set_pic(p->lapics, pic_ack, p->pic);
    p->board.cpus = p->cfg.cpus;
    return device_realize(p->pic, errp) && p->chipset->make(p, errp);
}

bool pc_make_pci(Pc *p, Error **errp)
{
    p->ioapic = pc_device(p, &ioapic_class, "ioapic");
    ioapic_connect(p->ioapic, p->lapics);
    p->pci = pci_bus_new(NULL, NULL);
    pci_bus_set_msi(p->pci, pc_msi, p->lapics);
    p->board.pci = p->pci;
    return device_realize(p->ioapic, errp);
}

/* ---- hot-plug ---- */

static void pc_ejected(void *opaque, PciDevice *d)
{
    unplug_soon(&d->dev);
}

static void pc_hotplug_event(void *opaque)
{
    Pc *p = opaque;

    p->chipset->gpe(p, PCIHP_GPE);
}

static bool pc_make_hotplug(Pc *p, Error **errp)
{
    if (!p->cfg.acpi || !p->chipset->acpi_hotplug) {
        return true; /* nothing would tell the guest of the ports */
    }
    p->hotplug = pc_device(p, &pci_hotplug_class, NULL);
    p->hotplug_ops = (PciHotplugOps){ .event = pc_hotplug_event, .ejected = pc_ejected };
    pci_hotplug_connect(p->hotplug, p->pci, &p->hotplug_ops, p);
    return device_realize(p->hotplug, errp);
}

Device *pc_hotplug(void)
{
    return pc->hotplug;
}

static bool pc_make_hpet(Pc *p, Error **errp)
{
    IrqLine gsi[IOAPIC_PINS];

    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        gsi[n] = ioapic_input(p->ioapic, n);
    }
    p->hpet = pc_device(p, &hpet_class, "hpet");
    hpet_connect(p->hpet, gsi, p->board.isa_irq[0], p->board.isa_irq[8], pc_hpet_legacy, p);
    return device_realize(p->hpet, errp);
}

static bool pc_make_serial(Pc *p, Error **errp)
{
    static const char index[PC_SERIAL_MAX][2] = { "0", "1", "2", "3" };

    for (unsigned i = 0; i < PC_SERIAL_MAX; i++) {
        if (p->cfg.serial_port[i]) {
            autofree char *id = xasprintf("serial%u", i);
            Device *dev = pc_device(p, &serial_isa_class, id);

            serial_isa_set_chardev(dev, p->cfg.serial[i]);
            if (!device_set(dev, "index", index[i], errp) || !device_realize(dev, errp)) {
                return false;
            }
        }
    }
    return true;
}

static bool pc_make_parallel(Pc *p, Error **errp)
{
    static const char index[PC_PARALLEL_MAX][2] = { "0", "1", "2" };

    for (unsigned i = 0; i < PC_PARALLEL_MAX; i++) {
        if (p->cfg.parallel_port[i]) {
            autofree char *id = xasprintf("parallel%u", i);
            Device *dev = pc_device(p, &parallel_class, id);

            parallel_set_chardev(dev, p->cfg.parallel[i]);
            if (!device_set(dev, "index", index[i], errp) || !device_realize(dev, errp)) {
                return false;
            }
        }
    }
    return true;
}

static bool pc_make_fdc(Pc *p, Error **errp)
{
    if (p->cfg.kind == PC_Q35 && p->cfg.floppy[0] == NULL && p->cfg.floppy[1] == NULL) {
        return true;
    }
    p->fdc = pc_device(p, &fdc_class, "fdc");
    for (unsigned n = 0; n < ARRAY_SIZE(p->cfg.floppy); n++) {
        fdc_set_drive(p->fdc, n, p->cfg.floppy[n]);
    }
    return device_realize(p->fdc, errp);
}

static bool pc_set_rtc(Pc *p, Error **errp)
{
    const char *base = p->cfg.rtc_base, *clock = p->cfg.rtc_clock;

    return device_set(p->rtc, "base", base != NULL ? base : "utc", errp) &&
           device_set(p->rtc, "clock", clock != NULL ? clock : "host", errp) &&
           (!p->cfg.rtc_slew || device_set(p->rtc, "lost_tick_policy", "slew", errp));
}

/* pc_make_vmport - VMware's port; its mouse needs the 8042 for interrupts. */
static void pc_make_vmport(Pc *p)
{
    p->vmport = pc_device(p, &vmport_class, NULL);
    if (p->kbd != NULL) {
        p->vmmouse = pc_device(p, &vmmouse_class, NULL);
        vmmouse_connect(p->vmmouse, p->kbd);
        vmport_connect(p->vmport, vmmouse_call, p->vmmouse);
    }
}

/* pc_make_isa - timers, clock, keyboard controller, ports. */
static bool pc_make_isa(Pc *p, Error **errp)
{
    p->pit = pc_device(p, &i8254_class, "pit");
    pit_connect(p->pit, p->board.isa_irq[0]);
    p->rtc = pc_device(p, &mc146818_class, "rtc");
    rtc_connect(p->rtc, p->board.isa_irq[8]);
    if (!pc_set_rtc(p, errp)) {
        return false;
    }
    p->port92 = pc_device(p, &port92_class, NULL);
    port92_connect(p->port92, pc_a20, p);
    if (!p->cfg.no_i8042) {
        p->kbd = pc_device(p, &i8042_class, NULL);
        i8042_connect(p->kbd, port92_set_a20, port92_a20, p->port92);
    }
    if (p->cfg.vmport) {
        pc_make_vmport(p);
    }
    p->dma = pc_device(p, &i8237_class, "dma");
    p->board.isa_dma = i8237_dma(p->dma);
    p->fw_cfg = pc_device(p, &fw_cfg_class, NULL);
    p->board.fw_cfg = fw_cfg_of(p->fw_cfg);
    return device_realize(p->pit, errp) && device_realize(p->rtc, errp) &&
           device_realize(p->port92, errp) && device_realize(p->dma, errp) &&
           (p->kbd == NULL || device_realize(p->kbd, errp)) &&
           (p->vmmouse == NULL || device_realize(p->vmmouse, errp)) &&
           (p->vmport == NULL || device_realize(p->vmport, errp)) && device_realize(p->fw_cfg, errp) &&
           pc_make_hotplug(p, errp) && (!p->cfg.hpet || pc_make_hpet(p, errp)) && pc_make_fdc(p, errp) &&
           pc_make_serial(p, errp) && pc_make_parallel(p, errp);
}

static void pc_boot_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Pc *p = opaque;

    boot_place(&p->boot);
    boot_place_start(&p->boot);
}

static const IoOps pc_boot_ops = { .write = pc_boot_write, .max_size = 1 };

static bool pc_load_kernel(Pc *p, Error **errp)
{
    uint8_t rom[BOOT_ROM_SIZE];
    BootInput in = {
        .kernel = p->cfg.kernel,
        .initrd = p->cfg.initrd,
        .append = p->cfg.append,
        .high_end = p->high_end,
        .e820 = p->e820,
        .e820_count = p->e820_count,
        .rsdp = p->acpi != NULL ? PC_RSDP : 0,
        .firmware = !p->direct,
        .long_mode = p->cfg.cpus > 0 && cpu_has(p->cfg.cpu[0], FEAT_LM),
    };

    if (!boot_load(&p->boot, &in, errp)) {
        return false;
    }
    if (p->direct) {
        return true;
    }
    boot_rom(rom);
    io_region_init(&p->boot_io, &pc_boot_ops, p, "linuxboot", 1);
    return fw_cfg_add_file(p->board.fw_cfg, "genroms/linuxboot.bin", rom, sizeof(rom), errp) &&
           port_map(&p->boot_io, BOOT_ROM_PORT, errp);
}

bool pc_build(const PcConfig *cfg, Error **errp)
{
    static const Chipset *const chipsets[] = { [PC_I440FX] = &chipset_piix, [PC_Q35] = &chipset_q35,
                                               [PC_ISA] = &chipset_isa };
    Pc *p = xnew(Pc);

    pc = p;
    p->cfg = *cfg;
    p->board.pci_name = cfg->kind == PC_Q35 ? "pcie.0" : NULL;
    p->chipset = chipsets[cfg->kind];
    p->direct = cfg->kernel != NULL && cfg->flash[0] == NULL && (!cfg->kernel_bios || cfg->bios == NULL) &&
                !boot_needs_bios(cfg->kernel);
    if (p->direct) {
        p->cfg.bios = NULL;
    }
    p->firmware = p->cfg.bios != NULL || cfg->flash[0] != NULL;
    if (!p->direct && !p->firmware && cfg->kernel != NULL) {
        error_set(errp, "%s: a kernel this old needs a BIOS", cfg->kernel);
        return false;
    }
    for (unsigned i = 0; i < PC_SERIAL_MAX; i++) {
        p->cfg.serial_port[i] |= cfg->serial[i] != NULL;
    }
    p->board.exit_request = machine_exit_request;
    p->board.reset_request = machine_reset_request;
    p->board.shutdown_request = machine_shutdown_request;
    p->board.watchdog_expired = machine_watchdog_expired;
    p->board.ejected = unplug_soon;
    p->board.guest_panicked = machine_guest_panicked;
    return pc_make_ram(p, errp) && pc_make_rom(p, errp) && pc_make_lapics(p, errp) &&
           pc_make_bridges(p, errp) && pc_make_isa(p, errp) && pc_make_flash(p, errp);
}

bool pc_complete(Error **errp)
{
    pc->board.complete = true;
    return pc_tables(pc, errp) && (pc->cfg.kernel == NULL || pc_load_kernel(pc, errp));
}

/* ---- reset ---- */

void pc_reset(void)
{
    Pc *p = pc;

    if (p->hotplug != NULL) {
        pci_hotplug_reset_cards(p->hotplug);
    }
    devices_reset();
    pc_reset_boot_order(p);
    for (unsigned i = 0; i < p->cfg.cpus; i++) {
        cpu_reset(p->cfg.cpu[i], false);
    }
    if (p->chipset->reset != NULL) {
        p->chipset->reset(p);
    }
    if (!p->firmware) {
        pc_firmware(p);
    }
    if (p->direct && p->cfg.cpus > 0) {
        boot_reset(&p->boot, p->cfg.cpu[0]);
    }
}

void pc_loaded(void)
{
    Device *vmgenid = pc != NULL ? pc_plugged(&vmgenid_class) : NULL;

    if (vmgenid != NULL && vmgenid_loaded(vmgenid) && pc->chipset->gpe != NULL) {
        pc->chipset->gpe(pc, VMGENID_GPE);
    }
}

const uint8_t *pc_generation_id(void)
{
    Device *vmgenid = pc != NULL ? pc_plugged(&vmgenid_class) : NULL;

    return vmgenid != NULL ? vmgenid_guid(vmgenid) : NULL;
}

const struct NumaConfig *pc_numa(unsigned *cpus)
{
    *cpus = pc->cfg.cpus;
    return pc->cfg.numa;
}

void pc_power_button(void)
{
    if (pc->chipset->power_button != NULL) { /* else the switch is the only one */
        pc->chipset->power_button(pc);
    }
}

void pc_boot_set(const char *letters)
{
    pc->once = pc->once_used = false;
    pc_set_order(pc, letters);
}

void pc_nmi(void)
{
    for (unsigned i = 0; i < pc->cfg.cpus; i++) {
        lapic_nmi(pc->lapic[i]);
    }
}

static void pc_unmap(IoRegion *r)
{
    if (r->mapped) {
        mem_unmap(r);
    }
}

void pc_free(void)
{
    Pc *p = pc;

    devices_free_all();
    if (p->lapics != NULL) {
        lapic_bus_unmap(p->lapics);
    }
    pc_unmap(&p->rom_top);
    pc_unmap(&p->ram_rom);
    pc_unmap(&p->ram_4g);
    pc_unmap(&p->ram_high);
    pc_unmap(&p->ram_low);
    port_unmap(&p->boot_io);
    lapic_bus_free(p->lapics);
    pci_bus_free(p->pci);
    boot_free(&p->boot);
    free(p->lapic);
    free(p->acpi);
    free(p->bios);
    free(p->rom);
    free(p);
    pc = NULL;
}
