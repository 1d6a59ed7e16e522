/*
 * A PCI bus: configuration space by mechanism #1, base address registers, INTx.
 *
 * Source: PCI Local Bus Specification 3.0. PCI-to-PCI Bridge Architecture Specification 1.2, for bridges
 * (hw/pci/pci-bridge.h). MSI and MSI-X: hw/pci/msi.h.
 */
#ifndef HW_PCI_PCI_H
#define HW_PCI_PCI_H

#include <stdbool.h>
#include <stdint.h>
#include "bus/device.h"
#include "bus/irq.h"
#include "bus/memory.h"
#include "bus/state.h"

typedef struct PciBus PciBus;
typedef struct PciDevice PciDevice;
struct Msix;

#define PCI_DEVFN(slot, fn) ((slot) << 3 | (fn))

enum { PCI_VENDOR = 0x00, PCI_DEVICE = 0x02, PCI_COMMAND = 0x04, PCI_STATUS = 0x06,
       PCI_REVISION = 0x08, PCI_CLASS = 0x0a, PCI_HEADER = 0x0e, PCI_BAR0 = 0x10,
       PCI_SUBSYS_VENDOR = 0x2c, PCI_SUBSYS = 0x2e, PCI_ROM = 0x30, PCI_CAPS = 0x34, PCI_INT_LINE = 0x3c,
       PCI_INT_PIN = 0x3d };
/* of a bridge, type 1 header */
enum { PCI_PRIMARY = 0x18, PCI_SECONDARY = 0x19, PCI_SUBORDINATE = 0x1a, PCI_IO_BASE = 0x1c, PCI_IO_LIMIT = 0x1d,
       PCI_SEC_STATUS = 0x1e, PCI_MEM_BASE = 0x20, PCI_MEM_LIMIT = 0x22, PCI_PREF_BASE = 0x24, PCI_PREF_LIMIT = 0x26,
       PCI_PREF_BASE_HIGH = 0x28, PCI_PREF_LIMIT_HIGH = 0x2c, PCI_IO_BASE_HIGH = 0x30, PCI_IO_LIMIT_HIGH = 0x32,
       PCI_BRIDGE_CONTROL = 0x3e };
#define PCI_CMD_IO 0x1u
#define PCI_CMD_MEMORY 0x2u
#define PCI_CMD_MASTER 0x4u
#define PCI_CMD_INTX_OFF 0x400u
#define PCI_BAR_IO 0x1u
#define PCI_BAR_64 0x4u
#define PCI_BAR_PREFETCH 0x8u

enum { PCI_BAR_ROM = 6, PCI_BARS = 7 }; /* the expansion ROM is the last BAR */

typedef struct PciBar {
    IoRegion *region; /* NULL: none */
    uint8_t type;     /* PCI_BAR_* */
    uint64_t base;    /* where it is mapped, while `mapped` */
    bool mapped;
} PciBar;

struct PciDevice {
    Device dev; /* first member */
    PciBus *bus;
    PciBus *below; /* a bridge's secondary bus; else NULL */
    uint8_t devfn;
    uint8_t config[256];
    uint8_t wmask[256]; /* writable bits; constant after realize */
    uint8_t w1c[256];   /* bits that a 1 clears; constant after realize */
    uint8_t initial[256]; /* after reset; constant after realize */
    PciBar bars[PCI_BARS];
    /* constant after realize */
    uint8_t cap_end;            /* where the next capability has room */
    uint8_t msi_cap, msi_flags; /* offset of the MSI capability (0: none), MSI_* */
    struct Msix *msix;          /* NULL: none */
    /* properties (PCI_PROPS) */
    char *bus_name, *addr, *romfile;
    bool multifunction;
    bool rom_own; /* romfile is not the user's; set before pci_plug() */
    uint32_t rombar;
    uint8_t *rom;        /* the expansion ROM's bytes, or NULL */
    IoRegion rom_region;
    bool intx; /* level of the INTx pin */
    bool counted; /* in the bus's count of asserted pins; not saved */
    /* After the guest wrote [offset, offset + len); may be NULL. */
    void (*config_written)(PciDevice *d, unsigned offset, unsigned len);
    /* Before it reads them; may be NULL. */
    void (*config_reading)(PciDevice *d, unsigned offset, unsigned len);
};
extern const StateField pci_fields[]; /* of PciDevice: STATE_STRUCT(X, pci, pci_fields) */

/* pci_bus_new - @set_pirq is told the level of a PIRQ when it changes. */
PciBus *pci_bus_new(void (*set_pirq)(void *opaque, unsigned pirq, int level), void *opaque);
void pci_bus_free(PciBus *bus);
/* pci_bus_set_pirq - the same, when the router comes later than its bus. */
void pci_bus_set_pirq(PciBus *bus, void (*set_pirq)(void *opaque, unsigned pirq, int level),
                      void *opaque);
/* pci_bus_set_route - where a function's pin (0..3) goes, 0 to PCI_PIRQS - 1, on a board that does not go one further
 * with each slot, over four. */
#define PCI_PIRQS 8u
void pci_bus_set_route(PciBus *bus, unsigned (*route)(unsigned devfn, unsigned pin));
/* pci_bus_set_msi - who takes the messages of the bus's devices (the local APICs). */
void pci_bus_set_msi(PciBus *bus, void (*msi)(void *opaque, uint64_t addr, uint32_t data),
                     void *opaque);
/* pci_message - for msi.c: a memory write to the interrupt window; anywhere else it is dropped with
 * a note for -d guest_errors, as no guest means to store its messages in RAM. */
void pci_message(PciDevice *d, uint64_t addr, uint32_t data);
/* pci_bus_map/unmap - ports CF8h-CFFh. Byte accesses of CF9h go to the reset control register of
 * whoever called pci_bus_set_cf9(). */
bool pci_bus_map(PciBus *bus, struct Error **errp);
void pci_bus_unmap(PciBus *bus);
void pci_bus_set_cf9(PciBus *bus, uint8_t (*read)(void *opaque),
                     void (*write)(void *opaque, uint8_t val), void *opaque);
void pci_bus_reset(PciBus *bus);
PciDevice *pci_bus_find(PciBus *bus, unsigned devfn);
/* pci_function - the one that a configuration transaction below root @bus with these numbers reaches, or NULL. */
PciDevice *pci_function(PciBus *bus, unsigned number, unsigned devfn);

/* pci_bus_below - a bus behind @bridge, called @name (borrowed), for cards in slots @first to @last. */
PciBus *pci_bus_below(PciDevice *bridge, const char *name, unsigned first, unsigned last);
/* pci_bus_name - as bus= has it; NULL: a root. pci_bus_slots - where cards may be. */
const char *pci_bus_name(const PciBus *bus);
void pci_bus_slots(const PciBus *bus, unsigned *first, unsigned *last);
/* pci_bus_reset_cards - RST# of a bus behind a bridge. */
void pci_bus_reset_cards(PciBus *bus);
/* pci_bus_moved - its bridge's windows changed: BARs behind it are mapped, or not, as they say. */
void pci_bus_moved(PciBus *bus);
/* How cards of the bus come and go while the machine runs: @added: there is one more; @request: the guest is asked to
 * let go of @d. NULL: they do not. */
typedef struct PciBusPlug {
    void (*added)(void *opaque, PciDevice *d);
    bool (*request)(void *opaque, PciDevice *d, struct Error **errp);
} PciBusPlug;
void pci_bus_set_plug(PciBus *bus, const PciBusPlug *plug, void *opaque);
const PciBusPlug *pci_bus_plug(const PciBus *bus, void **opaque);
/* pci_class_name - of class and subclass, "IDE controller"; NULL when it has no name here. */
const char *pci_class_name(uint16_t code);
/* pci_bus_print - for info pci. */
void pci_bus_print(PciBus *bus, FILE *out);

/* pci_add - put a device on the bus, with a type 0 header. @class_code: class, subclass, interface.
 * @pin: 0 for none, 1..4 for INTA..INTD. Fails when the place is taken. Then set up config[],
 * wmask[] and BARs, and call pci_ready(). */
bool pci_add(PciDevice *d, PciBus *bus, unsigned devfn, uint16_t vendor, uint16_t device,
             uint32_t class_code, uint8_t revision, uint8_t pin, struct Error **errp);
void pci_remove(PciDevice *d);
/* pci_hide - the device was pulled out: it is reset and answers no more, and its place is free; pci_remove() follows,
 * when no processor can be about to call it. */
void pci_hide(PciDevice *d);

/* PCI_PROPS - properties of a card that is plugged in; S.pci (S.@member) is its PciDevice, @rom the usual
 * ROM file or NULL. pci_plug - pci_add() at the place that addr= names, else in the first free slot, with the
 * ROM that romfile= names (a ROM that is not found is an error that names the package). */
#define PCI_PROPS(S, rom) PCI_PROPS_AT(S, pci, rom)
#define PCI_PROPS_AT(S, member, rom)                                                               \
    PROP_STR("bus", S, member.bus_name, NULL, "the bus: pci.0, pcie.0, or a bridge's id"),         \
    PROP_STR("addr", S, member.addr, NULL, "slot, or slot.function, in hexadecimal"),              \
    PROP_BOOL("multifunction", S, member.multifunction, false, "function 0: there are others"),    \
    PROP_STR("romfile", S, member.romfile, (rom), "file of the expansion ROM; empty: none"),       \
    PROP_U32("rombar", S, member.rombar, 1, "0: the ROM is handed to the firmware by fw_cfg")
bool pci_plug(PciDevice *d, uint16_t vendor, uint16_t device, uint32_t class_code, uint8_t revision,
              uint8_t pin, struct Error **errp);
/* pci_bar - BAR @n is @region, whose size is a power of two (>= 16 bytes memory, >= 4 ports). */
void pci_bar(PciDevice *d, unsigned n, IoRegion *region, uint8_t type);
/* pci_add_cap - "Capabilities List": @size bytes for capability @id at @offset (a multiple of 4 from
 * 40h on; 0: behind those that are there). Returns the offset. All but its header is still 0 and
 * read-only. Between pci_add() and pci_ready(). */
uint8_t pci_add_cap(PciDevice *d, uint8_t id, uint8_t offset, uint8_t size);
/* pci_ready - the config space as it stands is what a reset restores. */
void pci_ready(PciDevice *d);
/* pci_reset - for the class's reset. */
void pci_reset(PciDevice *d);
/* pci_post_load - for the class's post_load: maps BARs as the loaded registers say. */
void pci_post_load(PciDevice *d);
/* pci_set_irq - drive the device's INTx. */
void pci_set_irq(PciDevice *d, int level);

/* pci_config_read/write - as if the guest did; @size 1, 2 or 4. */
uint32_t pci_config_read(PciDevice *d, unsigned offset, unsigned size);
void pci_config_write(PciDevice *d, unsigned offset, uint32_t val, unsigned size);

#endif
