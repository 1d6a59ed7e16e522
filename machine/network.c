/*
 * The network's options: -netdev, -nic, -net, -object filter-dump.
 */
#include "machine/network.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "base/sandbox.h"
#include "base/text.h"
#include "bus/device.h"
#include "bus/lock.h"
#include "machine/internal.h"
#include "machine/pc.h"
#include "net/backend.h"
#include <config.h> /* the one made by ./configure */

/* What -nic and -net call models, and their classes. */
static const char *const models[][2] = { { "e1000", "e1000" }, { "e1000-82540em", "e1000" },
                                         { "e1000-82545em", "e1000-82545em" }, { "rtl8139", "rtl8139" },
                                         { "ne2k_pci", "ne2k_pci" }, { "ne2k_isa", "ne2k_isa" }, { "pcnet", "pcnet" },
                                         { "virtio", "virtio-net-pci" }, { "virtio-net-pci", "virtio-net-pci" } };
static const char *const absent_models[] = {
    "e1000e", "e1000-82544gc",
    "i82551", "i82557b", "i82559er", "vmxnet3", "tulip", "igb",
};

/* ---- handlers: kept now, opened by network_open() ---- */

enum { ARG_NETDEV = 'd', ARG_NIC = 'n', ARG_NET = 'o', ARG_DUMP = 'f' };

static void keep(Parser *p, char kind, const char *arg)
{
    autofree char *row = xasprintf("%c%s", kind, arg);

    str_list_add(&p->cfg->net_args, row);
}

bool opt_netdev(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    if (opt_is_help(arg)) {
        net_backend_help(stdout);
        p->done = true;
    } else if (arg[0] == '{') {
        error_set(errp, "the JSON form is not supported yet");
        return false;
    } else {
        keep(p, ARG_NETDEV, arg);
    }
    return true;
}

static void list_models(void)
{
    printf("Available NIC models:\n");
    for (size_t n = 0; n < ARRAY_SIZE(models); n++) {
        printf("%s\n", models[n][0]);
    }
}

/* opt_net - -nic and -net; def->user tells which. */
bool opt_net(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    if (opt_is_help(arg) || strcmp(arg, "nic,model=help") == 0 || strcmp(arg, "model=help") == 0) {
        if (strcmp(arg, "nic,model=help") != 0) {
            net_backend_help(stdout);
        }
        list_models();
        p->done = true;
        return true;
    }
    keep(p, def->user == NET_NIC ? ARG_NIC : ARG_NET, arg);
    return true;
}

bool opt_filter_dump(Parser *p, const char *arg)
{
    keep(p, ARG_DUMP, arg);
    return true;
}

/* ---- cards ---- */

static const char *model_class(const char *model, Error **errp)
{
    autofree char *hint = NULL;
    Nearest near;

    nearest_init(&near, model);
    for (size_t n = 0; n < ARRAY_SIZE(models); n++) {
        if (strcmp(models[n][0], model) == 0) {
            return models[n][1];
        }
        nearest_offer(&near, models[n][0]);
    }
    for (size_t n = 0; n < ARRAY_SIZE(absent_models); n++) {
        if (strcmp(absent_models[n], model) == 0) {
            error_set(errp, "model '%s' is not supported yet (model=help lists)", model);
            return NULL;
        }
    }
    hint = nearest_hint(&near);
    error_set(errp, "there is no network card '%s'%s", model, hint);
    return NULL;
}

/* add_card - what the list says of a card; the rest of it is for others. */
static bool add_card(MachineConfig *cfg, OptList *l, const char *netdev, const char *id, Error **errp)
{
    const char *cls = model_class(opt_get_str(l, "model", cfg->kind == PC_ISA ? "ne2k_isa" : "e1000"), errp);
    const char *mac = opt_get_str(l, "mac", opt_get_str(l, "macaddr", NULL));
    uint8_t bytes[6];
    NicSpec *s;

    if (cls == NULL || (mac != NULL && !net_mac(mac, bytes, errp))) {
        return false;
    }
    if (mac != NULL) {
        net_mac_release(bytes); /* that was only a check */
    }
    if (cfg->none) {
        error_set(errp, "-machine none has no place for a card");
        return false;
    }
    cfg->nics = xrealloc(cfg->nics, cfg->nic_count + 1, sizeof(*cfg->nics));
    s = &cfg->nics[cfg->nic_count++];
    *s = (NicSpec){ .model = xstrdup(cls), .mac = xstrdup(mac), .addr = xstrdup(opt_get_str(l, "addr", NULL)),
                    .id = xstrdup(id), .netdev = xstrdup(netdev) };
    return true;
}

/* set_place - of the @n-th card on the ISA bus: no two have the same ports and interrupt. */
static bool set_place(Device *dev, unsigned n, Error **errp)
{
    static const char *const places[][2] = { { "0x300", "9" }, { "0x320", "10" }, { "0x340", "11" },
                                             { "0x360", "3" }, { "0x280", "4" }, { "0x380", "5" } };

    if (n >= ARRAY_SIZE(places)) {
        error_set(errp, "the ISA bus has places for %zu cards", ARRAY_SIZE(places));
        return false;
    }
    return device_set(dev, "iobase", places[n][0], errp) && device_set(dev, "irq", places[n][1], errp);
}

bool network_plug(const MachineConfig *cfg, Error **errp)
{
    unsigned isa = 0;

    for (size_t n = 0; n < cfg->nic_count; n++) {
        const NicSpec *s = &cfg->nics[n];
        Device *dev = device_new(device_class_find(s->model), s->id);

        dev->board = pc_board();
        if ((dev->cls->bus == BUS_ISA && !set_place(dev, isa++, errp)) || (s->mac != NULL && !device_set(dev, "mac", s->mac, errp)) ||
            (s->addr != NULL && !device_set(dev, "addr", s->addr, errp)) ||
            (s->netdev != NULL && !device_set(dev, "netdev", s->netdev, errp)) || !device_realize(dev, errp)) {
            error_prepend(errp, "network card %s: ", s->model);
            device_free(dev);
            return false;
        }
    }
    return true;
}

void network_free(MachineConfig *cfg)
{
    for (size_t n = 0; n < cfg->nic_count; n++) {
        NicSpec *s = &cfg->nics[n];

        free(s->model);
        free(s->mac);
        free(s->addr);
        free(s->id);
        free(s->netdev);
    }
    free(cfg->nics);
    str_list_free(&cfg->net_args);
}

/* ---- opening ---- */

/* free_id - "user.0" and so on; freed by the caller. */
static char *free_id(const char *type)
{
    char *id = NULL;

    for (unsigned n = 0; id == NULL || net_backend_find(id) != NULL; n++) {
        free(id);
        id = xasprintf("%s.%u", type, n);
    }
    return id;
}

static bool open_nic(MachineConfig *cfg, OptList *l, Error **errp)
{
    const char *type = opt_get_str(l, "type", "user");
    autofree char *made = NULL;
    NetBackend *b;

    if (strcmp(type, "none") == 0) {
        return opt_done(l, errp);
    }
    if (!net_backend_type_known(type) && strcmp(type, "user") != 0) {
        net_backend_new(l, "", errp); /* says why not */
        return false;
    }
    made = free_id(type);
    if (!add_card(cfg, l, opt_get_str(l, "id", made), NULL, errp)) {
        return false;
    }
    if (!opt_has(l, "type")) {
        opt_set(l, "type", type);
    }
    b = net_backend_new(l, made, errp);
    return b != NULL;
}

/* on_hub - a port of a hub, whose number is the old vlan=. */
static NetBackend *on_hub(OptList *l, Error **errp)
{
    return net_hub_port((unsigned)opt_get_u64(l, "vlan", 255, 0), errp);
}

static bool open_net(MachineConfig *cfg, OptList *l, Error **errp)
{
    const char *type = opt_get_str(l, "type", ""), *netdev, *name;
    autofree char *made = NULL;
    NetBackend *hub, *b;

    if (strcmp(type, "none") == 0) {
        return opt_done(l, errp);
    }
    if (strcmp(type, "nic") == 0) {
        netdev = opt_get_str(l, "netdev", NULL);
        name = opt_get_str(l, "name", opt_get_str(l, "id", NULL));
        opt_get_u64(l, "vectors", 65535, 0); /* of MSI-X; the card decides */
        hub = netdev == NULL ? on_hub(l, errp) : NULL;
        return (netdev != NULL || hub != NULL) && add_card(cfg, l, netdev != NULL ? netdev : hub->id, name, errp) &&
               opt_done(l, errp);
    }
    if (strcmp(type, "dump") == 0) {
        error_set(errp, "use -object filter-dump,id=,netdev=,file=");
        return false;
    }
    if (strcmp(type, "hubport") == 0) {
        error_set(errp, "a hubport is a -netdev");
        return false;
    }
    made = free_id(type);
    hub = on_hub(l, errp);
    name = opt_get_str(l, "name", made);
    b = hub != NULL ? net_backend_new(l, name, errp) : NULL;
    if (b == NULL) {
        return false;
    }
    machine_lock();
    net_plug(&hub->port, &b->port);
    machine_unlock();
    return true;
}

static bool open_netdev(MachineConfig *cfg, OptList *l, Error **errp)
{
    return net_backend_new(l, NULL, errp) != NULL;
}

static bool open_dump(MachineConfig *cfg, OptList *l, Error **errp)
{
    opt_get_str(l, "qom-type", NULL);
    return net_dump_new(l, errp);
}

static bool open_row(MachineConfig *cfg, const char *row, Error **errp)
{
    static const struct {
        char kind;
        const char *option, *implied;
        bool (*open)(MachineConfig *cfg, OptList *l, Error **errp);
    } kinds[] = {
        { ARG_NETDEV, "netdev", "type", open_netdev },
        { ARG_NIC, "nic", "type", open_nic },
        { ARG_NET, "net", "type", open_net },
        { ARG_DUMP, "object", "qom-type", open_dump },
    };

    for (size_t n = 0; n < ARRAY_SIZE(kinds); n++) {
        OptList *l;
        bool ok;

        if (kinds[n].kind != *row) {
            continue;
        }
        l = opt_parse(row + 1, kinds[n].implied, errp);
        ok = l != NULL && kinds[n].open(cfg, l, errp);
        opt_free(l);
        if (!ok) {
            error_prepend(errp, "-%s %s: ", kinds[n].option, row + 1);
        }
        return ok;
    }
    return false;
}

/* network_default - without any option about networks there is a card on a user network, as QEMU has it. Not with
 * -icount, whose runs have no input that nobody asked for, nor where it would cost the confinement (net/user.c). */
static bool network_default(MachineConfig *cfg, Error **errp)
{
    for (size_t n = 0; n < cfg->net_args.count; n++) {
        if (*cfg->net_args.s[n] != ARG_DUMP) {
            return true;
        }
    }
    if (cfg->nodefaults || cfg->none || cfg->icount.on || !net_user_available() ||
        (cfg->sandbox != SANDBOX_OFF && !sandbox_has_land())) {
        return true;
    }
    return open_row(cfg, "onic", errp) && open_row(cfg, "ouser", errp);
}

bool network_open(MachineConfig *cfg, Error **errp)
{
    machine_lock();
    net_identity(cfg->name, cfg->have_uuid ? cfg->uuid : NULL);
    machine_unlock();
    if (!network_default(cfg, errp)) {
        return false;
    }
    for (size_t pass = 0; pass < 2; pass++) { /* dumps name back ends that may come behind them */
        for (size_t n = 0; n < cfg->net_args.count; n++) {
            if ((*cfg->net_args.s[n] == ARG_DUMP) == (pass == 1) && !open_row(cfg, cfg->net_args.s[n], errp)) {
                return false;
            }
        }
    }
    return true;
}
