/*
 * What network cards share: see nic.h.
 */
#include "hw/net/nic.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "hw/board.h"
#include "hw/boot-order.h"
#include "net/backend.h"

bool nic_init(Nic *nic, Device *dev, const char *path, const NetPortOps *ops, void *opaque, Error **errp)
{
    NetBackend *b = NULL;
    autofree char *name = NULL;

    if (nic->netdev != NULL && *nic->netdev != '\0') {
        b = net_backend_find(nic->netdev);
        if (b == NULL || b->port.peer != NULL) {
            error_set(errp, b == NULL ? "there is no -netdev with id '%s'" : "netdev '%s' is in use", nic->netdev);
            return false;
        }
    }
    if (nic->bootindex != NIC_BOOT_NONE && nic->bootindex > INT32_MAX) {
        error_set(errp, "bootindex=%u: too large", nic->bootindex);
        return false;
    }
    if (!net_mac(nic->mac_text, nic->mac, errp)) {
        return false;
    }
    if (!boot_order_add(dev, (int32_t)nic->bootindex, path, errp)) {
        net_mac_release(nic->mac);
        return false;
    }
    if (nic->mac_text == NULL || *nic->mac_text == '\0') { /* shown by info qtree */
        free(nic->mac_text);
        nic->mac_text = xnewn(char, 18);
        net_mac_text(nic->mac, nic->mac_text);
    }
    name = xstrdup(dev->id);
    for (unsigned n = 0; !dev->named && n < 256; n++) {
        free(name);
        name = xasprintf("%s.%u", dev->cls->name, n);
        if (net_find_card(name) == NULL) {
            break;
        }
    }
    net_port_init(&nic->port, name, ops, opaque, true);
    if (b != NULL) {
        net_plug(&nic->port, &b->port);
    }
    return true;
}

void nic_fini(Nic *nic, Device *dev)
{
    net_port_fini(&nic->port);
    net_mac_release(nic->mac);
    boot_order_remove(dev);
}

bool nic_plug(Nic *nic, PciDevice *d, uint16_t vendor, uint16_t device, uint8_t revision, const char *rom,
              const NetPortOps *ops, void *opaque, Error **errp)
{
    const Board *board = d->dev.board;
    char path[40];

    d->rom_own = d->romfile != NULL && strcmp(d->romfile, rom) == 0;
    if (d->rom_own) {
        autofree char *file = board != NULL && board->rom_find != NULL ? board->rom_find(rom) : NULL;

        if (file == NULL) { /* the package is not installed: no boot from this card */
            *d->romfile = '\0';
        }
    }
    if (!pci_plug(d, vendor, device, 0x020000, revision, 1, errp)) {
        return false;
    }
    snprintf(path, sizeof(path), (d->devfn & 7) != 0 ? "/pci@i0cf8/ethernet@%x,%x" : "/pci@i0cf8/ethernet@%x",
             d->devfn >> 3, d->devfn & 7);
    if (!nic_init(nic, &d->dev, path, ops, opaque, errp)) {
        pci_remove(d);
        return false;
    }
    return true;
}

void nic_unplug(Nic *nic, PciDevice *d)
{
    nic_fini(nic, &d->dev);
    pci_remove(d);
}

unsigned nic_hash(const uint8_t mac[6])
{
    uint32_t hash = 0xffffffff;

    for (unsigned n = 0; n < 48; n++) {
        bool bit = (mac[n / 8] >> n % 8 & 1) != hash >> 31;

        hash = hash << 1 ^ (bit ? 0x04c11db7 : 0);
    }
    return hash >> 26;
}

void nic_describe(const Nic *nic, const char *model, FILE *out)
{
    char mac[18];

    net_mac_text(nic->mac, mac);
    fprintf(out, "type=nic,model=%s,macaddr=%s", model, mac);
}
