/*
 * Inside -netdev user: its sub-options (user-options.c) and the network itself (user.c).
 */
#ifndef NET_USER_H
#define NET_USER_H

#include <netinet/in.h>
#include <sys/socket.h>
#include "net/backend.h"
#include "net/slirp-library.h"

enum { USER_RULES_MAX = 256 };

/* hostfwd=: a port of the host's that leads into the guest. */
typedef struct HostForward {
    bool udp;
    struct sockaddr_storage host, guest;
} HostForward;

/* guestfwd=: a port of a made-up host that leads to a character device. */
typedef struct GuestForward {
    struct in_addr addr;
    uint16_t port;
    char *chardev;
} GuestForward;

typedef struct UserOptions {
    SlirpConfig cfg; /* its texts point into the option list */
    const char *dnssearch[USER_RULES_MAX + 1];
    HostForward host[USER_RULES_MAX];
    GuestForward guest[USER_RULES_MAX];
    unsigned dnssearch_count, host_count, guest_count;
} UserOptions;

/* user_options_take - all of @l. user_options_free - and the struct. */
bool user_options_take(UserOptions *o, OptList *l, struct Error **errp);
void user_options_free(UserOptions *o);

/* user_rule_parse - "tcp:127.0.0.1:2222-10.0.2.15:22", "udp:[::1]:53-[fec0::15]:53"; without @guest only what
 * stands before the '-'. Empty addresses: any of the host's, the first that DHCP gives of the guest's. */
bool user_rule_parse(const char *text, bool guest, const SlirpConfig *cfg, HostForward *f, struct Error **errp);

#endif
