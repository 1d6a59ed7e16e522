/*
 * The board "q35": 82P35 (MCH), ICH9 with LPC bridge, AHCI, SMBus.
 *
 * PIRQA to PIRQH are pins 16 to 23 of the I/O APIC, and go where the LPC bridge routes them at the PIC: firmware, and the
 * board in its place, puts two each on IRQ 10 and 11.
 */
#include "machine/pc-internal.h"

#include "base/error.h"
#include "base/mem.h"
#include "hw/ide/ide.h"
#include "hw/intc/ioapic.h"
#include "hw/pci/ich9-lpc.h"
#include "hw/pci/q35-mch.h"
#include "hw/smbus/smbus.h"

#define Q35_LOW 0xb0000000u  /* the configuration window follows */
#define Q35_LOW_ROUND 0x80000000u /* of a guest that has more: on a boundary of huge pages */
#define GSI_PIRQ 16

static const uint8_t q35_pirq[4] = { PC_PIRQ_AB, PC_PIRQ_AB, PC_PIRQ_CD, PC_PIRQ_CD };

static uint64_t q35_below_4g(uint64_t ram)
{
    return ram >= Q35_LOW ? Q35_LOW_ROUND : ram;
}

static bool q35_make(Pc *p, Error **errp)
{
    IrqLine irq[16], gsi[PCI_PIRQS];
    Device *smb = pc_device(p, &ich9_smb_class, NULL);

    if (!pc_make_pci(p, errp)) {
        return false;
    }
    p->host = pc_device(p, &q35_mch_class, NULL);
    mch_connect(p->host, p->pci, p->rom, p->below_4g);
    p->lpc = pc_device(p, &ich9_lpc_class, NULL);
    for (unsigned n = 0; n < 16; n++) {
        irq[n] = pc_irq(p, n);
        p->board.isa_irq[n] = n != 2 ? ich9_lpc_isa_input(p->lpc, n) : (IrqLine){ 0 };
    }
    for (unsigned n = 0; n < PCI_PIRQS; n++) {
        gsi[n] = ioapic_input(p->ioapic, GSI_PIRQ + n);
    }
    ich9_lpc_connect(p->lpc, p->pci, irq, gsi, pc_smi(p));
    pci_bus_set_route(p->pci, ich9_pirq);
    p->ide = pc_device(p, &ich9_ahci_class, NULL);
    ich9_smb_connect(smb, p->pci);
    return device_realize(p->host, errp) && device_realize(p->lpc, errp) &&
           device_set(p->ide, "addr", "1f.2", errp) && device_realize(p->ide, errp) && device_realize(smb, errp) &&
           smbus_eeproms(ich9_smb_host(smb), &p->board, p->cfg.ram_size, errp);
}

static void q35_acpi(Pc *p, AcpiConfig *a)
{
    uint64_t size, base = mch_ecam(p->host, &size);

    memcpy(a->pirq, q35_pirq, sizeof(a->pirq));
    a->route = ich9_pirq;
    a->gsi_first = GSI_PIRQ;
    a->ecam_base = (uint32_t)(base != 0 && base < PC_GIB4 ? base : MCH_ECAM_DEFAULT);
    a->ecam_size = (uint32_t)(base != 0 && base < PC_GIB4 ? size : MCH_ECAM_SIZE);
    a->pm_base = ICH9_PM_BASE;
    a->gpe_base = ICH9_PM_BASE + ICH9_GPE0;
    a->gpe_len = 16;
    a->acpi_enable = ICH9_ACPI_ENABLE;
    a->acpi_disable = ICH9_ACPI_DISABLE;
}

static uint8_t q35_int_line(unsigned devfn, unsigned pin)
{
    return q35_pirq[ich9_pirq(devfn, pin) & 3];
}

static void q35_firmware(Pc *p)
{
    PciDevice *bridge = pci_bus_find(p->pci, PCI_DEVFN(31, 0));

    for (unsigned n = 0; n < 8; n++) {
        pci_config_write(bridge, (n < 4 ? 0x60 : 0x68) + (n & 3), q35_pirq[n & 3], 1);
    }
    mch_firmware(p->host);
    ich9_lpc_firmware(p->lpc);
}

static void q35_power_button(Pc *p)
{
    ich9_lpc_power_button(p->lpc);
}

static void q35_gpe(Pc *p, unsigned n)
{
    ich9_lpc_gpe(p->lpc, n);
}

const Chipset chipset_q35 = {
    .ecam_base = MCH_ECAM_DEFAULT,
    .ecam_size = MCH_ECAM_SIZE,
    .below_4g = q35_below_4g,
    .make = q35_make,
    .acpi = q35_acpi,
    .int_line = q35_int_line,
    .firmware = q35_firmware,
    .power_button = q35_power_button,
    .gpe = q35_gpe,
};
