/*
 * The board "pc": i440FX, PIIX3, PIIX4 power management and SMBus, IDE.
 */
#include "machine/pc-internal.h"

#include "base/error.h"
#include "base/mem.h"
#include "hw/ide/ide.h"
#include "hw/ide/piix3-ide.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/piix3.h"
#include "hw/pci/piix4-pm.h"
#include "hw/smbus/smbus.h"

static const uint8_t piix_pirq[4] = { PC_PIRQ_AB, PC_PIRQ_AB, PC_PIRQ_CD, PC_PIRQ_CD };

static uint64_t piix_below_4g(uint64_t ram)
{
    return ram >= PC_RAM_BELOW_4G ? 0xc0000000u : ram; /* a guest that has more: on a boundary of huge pages */
}

static bool piix_make(Pc *p, Error **errp)
{
    Device *host = pc_device(p, &i440fx_class, NULL);
    IrqLine irq[16];

    if (!pc_make_pci(p, errp)) {
        return false;
    }
    i440fx_connect(host, p->pci, p->rom);
    p->lpc = pc_device(p, &piix3_class, NULL);
    for (unsigned n = 0; n < 16; n++) {
        irq[n] = pc_irq(p, n);
        p->board.isa_irq[n] = n != 2 ? piix3_isa_input(p->lpc, n) : (IrqLine){ 0 };
    }
    piix3_connect(p->lpc, p->pci, irq);
    p->ide = pc_device(p, &piix3_ide_class, NULL);
    piix3_ide_connect(p->ide, p->pci, p->board.isa_irq[14], p->board.isa_irq[15]);
    p->pm = pc_device(p, &piix4_pm_class, NULL);
    piix4_pm_connect(p->pm, p->pci, piix3_sci_input(p->lpc), piix3_isa_input(p->lpc, 9), pc_smi(p));
    return device_realize(host, errp) && device_realize(p->lpc, errp) && device_realize(p->ide, errp) &&
           device_realize(p->pm, errp) && smbus_eeproms(piix4_pm_smbus(p->pm), &p->board, p->cfg.ram_size, errp);
}

static void piix_acpi(Pc *p, AcpiConfig *a)
{
    uint16_t base = piix4_pm_base(p->pm);

    memcpy(a->pirq, piix_pirq, sizeof(a->pirq));
    a->pm_base = base != 0 ? base : PIIX4_PM_DEFAULT_BASE; /* EDK2 has a place of its own for them */
    a->gpe_base = PIIX4_GPE0_BASE;
    a->gpe_len = 4;
    a->acpi_enable = PIIX4_ACPI_ENABLE;
    a->acpi_disable = PIIX4_ACPI_DISABLE;
}

static uint8_t piix_int_line(unsigned devfn, unsigned pin)
{
    return piix_pirq[((devfn >> 3) + 3 + pin) & 3];
}

static void piix_firmware(Pc *p)
{
    PciDevice *bridge = pci_bus_find(p->pci, PCI_DEVFN(1, 0));

    for (unsigned n = 0; n < 4; n++) {
        pci_config_write(bridge, 0x60 + n, piix_pirq[n], 1);
    }
    piix4_pm_firmware(p->pm);
}

static void piix_firmware_late(Pc *p)
{
    piix3_ide_firmware(p->ide);
}

static void piix_power_button(Pc *p)
{
    piix4_pm_power_button(p->pm);
}

static void piix_gpe(Pc *p, unsigned n)
{
    piix4_pm_gpe(p->pm, n);
}

const Chipset chipset_piix = {
    .below_4g = piix_below_4g,
    .make = piix_make,
    .acpi = piix_acpi,
    .int_line = piix_int_line,
    .firmware = piix_firmware,
    .firmware_late = piix_firmware_late,
    .power_button = piix_power_button,
    .gpe = piix_gpe,
    .acpi_hotplug = true,
};
