/*
 * libslirp, loaded when the first user network is made. Its functions are called by their own names.
 */
#ifndef NET_SLIRP_LIBRARY_H
#define NET_SLIRP_LIBRARY_H

#include <stdbool.h>
#include <slirp/libslirp.h>

struct Error;

#define SLIRP_LIBRARY(F)                                                                           \
    F(slirp_new) F(slirp_cleanup) F(slirp_pollfds_fill) F(slirp_pollfds_poll) F(slirp_input)       \
    F(slirp_handle_timer) F(slirp_add_hostxfwd) F(slirp_remove_hostxfwd) F(slirp_add_guestfwd)     \
    F(slirp_remove_guestfwd) F(slirp_socket_can_recv) F(slirp_socket_recv) F(slirp_connection_info)

typedef struct SlirpLibrary {
#define MEMBER(name) __typeof__(name) *name;
    SLIRP_LIBRARY(MEMBER)
#undef MEMBER
} SlirpLibrary;
extern SlirpLibrary slirp_lib;

bool slirp_library_load(struct Error **errp);

#endif
