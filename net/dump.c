/*
 * -object filter-dump: what passes a back end, as a file for tcpdump or wireshark.
 * Source: the libpcap file format, pcap-savefile(5).
 */
#include "net/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/mem.h"
#include "bus/lock.h"

enum { LINKTYPE_ETHERNET = 1, BUFFER = 256 << 10 };
#define FLUSH_AFTER (100 * NS_PER_MS)

typedef struct NetDump {
    char *id;
    struct NetDump *next; /* of the same port */
    FILE *f;
    uint32_t max;
    Timer flush;
} NetDump;

static void on_flush(void *opaque)
{
    NetDump *d = opaque;

    fflush(d->f);
}

bool net_dump_new(OptList *l, Error **errp)
{
    const char *id = opt_get_str(l, "id", NULL), *netdev = opt_get_str(l, "netdev", NULL);
    const char *file = opt_get_str(l, "file", NULL);
    uint64_t max = opt_get_u64(l, "maxlen", UINT32_MAX, 65536);
    NetBackend *b = netdev != NULL ? net_backend_find(netdev) : NULL;
    uint8_t head[24] = { 0 };
    NetDump *d;
    FILE *f;

    if (id == NULL || netdev == NULL || file == NULL || *file == '\0') {
        opt_bad(l, "id=, netdev= and file= are needed");
    } else if (b == NULL) {
        opt_bad(l, "there is no netdev '%s'", netdev);
    }
    if (!opt_done(l, errp)) {
        return false;
    }
    f = host_fopen(file, "wb");
    if (f == NULL) {
        error_set_errno(errp, errno, "cannot write %s", file);
        return false;
    }
    setvbuf(f, NULL, _IOFBF, BUFFER);
    st_le32(head, 0xa1b2c3d4);
    st_le16(head + 4, 2);
    st_le16(head + 6, 4);
    st_le32(head + 16, (uint32_t)max);
    st_le32(head + 20, LINKTYPE_ETHERNET);
    fwrite(head, 1, sizeof(head), f);
    fflush(f);
    d = xnew(NetDump);
    d->id = xstrdup(id);
    d->f = f;
    d->max = (uint32_t)max;
    timer_init(&d->flush, CLK_REAL, on_flush, d, &machine_lock_guard);
    machine_lock();
    d->next = b->port.dumps;
    b->port.dumps = d;
    machine_unlock();
    return true;
}

void net_dump_frame(NetDump *d, const uint8_t *frame, size_t len)
{
    int64_t now = clock_now(CLK_HOST);

    for (; d != NULL; d = d->next) {
        uint32_t kept = (uint32_t)MIN(len, d->max);
        uint8_t head[16];

        st_le32(head, (uint32_t)(now / NS_PER_SEC));
        st_le32(head + 4, (uint32_t)(now % NS_PER_SEC / NS_PER_US));
        st_le32(head + 8, kept);
        st_le32(head + 12, (uint32_t)len);
        fwrite(head, 1, sizeof(head), d->f);
        fwrite(frame, 1, kept, d->f);
        if (!timer_pending(&d->flush)) {
            timer_arm(&d->flush, clock_now(CLK_REAL) + FLUSH_AFTER);
        }
    }
}

static void close_first(NetDump **first)
{
    NetDump *d = *first;

    *first = d->next;
    timer_cancel(&d->flush);
    fclose(d->f);
    free(d->id);
    free(d);
}

bool net_dump_del(const char *id)
{
    bool found = false;

    machine_lock();
    for (NetBackend *b = net_backend_first(); b != NULL; b = b->next) {
        for (NetDump **d = &b->port.dumps; *d != NULL && !found; d = &(*d)->next) {
            if (strcmp((*d)->id, id) == 0) {
                close_first(d);
                found = true;
                break;
            }
        }
    }
    machine_unlock();
    return found;
}

void net_dumps_close(NetPort *p)
{
    while (p->dumps != NULL) {
        close_first(&p->dumps);
    }
}
