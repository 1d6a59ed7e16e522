/*
 * Fuzz the NBD server: the input is what a client says, negotiation and requests, to a server with two exports in memory.
 * Its answers are read as a client would, so that each is whole and of a known kind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "block/big-endian.h"
#include "block/nbd-server.h"
#include "block/nbd.h"
#include "block/qcow2.h"
#include "machine/board.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define IMAGE_BYTES (4u << 20)

/* The program's end belongs to machine/main.c, which is not here. */
void machine_exit(int code)
{
}

static NbdServer *server;

typedef struct Peer {
    Input in;
    bool ended;
    unsigned answers;
} Peer;

static ssize_t peer_recv(void *opaque, void *buf, size_t len)
{
    Peer *p = opaque;
    size_t n = MIN(len, p->in.left);

    memcpy(buf, p->in.p, n);
    p->in.p += n;
    p->in.left -= n;
    return (ssize_t)n;
}

/* An answer is sent in one piece: its length must be what its head says. */
static int peer_send(void *opaque, struct iovec *iov, unsigned count)
{
    Peer *p = opaque;
    const uint8_t *h = iov[0].iov_base;
    size_t len = iov[0].iov_len + (count > 1 ? iov[1].iov_len : 0);
    bool ok;

    if (p->answers++ > 4096) { /* the client has read enough */
        return -1;
    }
    if (iov[0].iov_len >= 20 && ld_be32(h) == NBD_CHUNK_MAGIC) {
        ok = len == 20 + (size_t)ld_be32(h + 16) && len <= NBD_PAYLOAD_MAX + 28;
    } else if (len >= 20 && ld_be64(h) == NBD_REP_MAGIC) {
        ok = len == 20 + (size_t)ld_be32(h + 16);
    } else {
        ok = ld_be32(h) == NBD_SIMPLE_MAGIC ? len >= 16 && (len == 16 || ld_be32(h + 4) == 0) : len == 18 || len == 10 || len == 134;
    }
    if (!ok) {
        abort();
    }
    return p->ended ? -1 : 0;
}

static void peer_cut(void *opaque)
{
    Peer *p = opaque;

    p->ended = true;
}

static BlockImage *image(const char *format)
{
    int fd = memfd_create("image", 0);
    autofree char *path = xasprintf("/proc/self/fd/%d", fd);
    const Qcow2Options o = { .size = IMAGE_BYTES, .version = 3, .cluster_size = 4096, .refcount_bits = 16 };
    Error *err = NULL;
    BlockImage *img;

    if (strcmp(format, "qcow2") == 0 ? !qcow2_create(path, &o, &err) : ftruncate(fd, IMAGE_BYTES) != 0) {
        abort();
    }
    img = image_open_with(path, format, 0, BLK_UNSAFE, &err);
    if (img == NULL) {
        error_report(err);
        abort();
    }
    return img;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const NbdServerParams p = { 0 };
    const NbdExportParams all = { .name = "", .description = "d", .discard = true, .shared = true, .depth = true,
                                  .detect_zeroes = BLK_DETECT_UNMAP };
    const NbdExportParams part = { .name = "r", .read_only = true, .offset = 512 };
    BlockImage *a = image("qcow2"), *b = image("raw");

    server = nbd_server_new(&p);
    if (!nbd_server_add(server, &all, a, NULL) || !nbd_server_add(server, &part, b, NULL)) {
        abort();
    }
    image_unref(a);
    image_unref(b);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Peer p = { .in = { data, size } };
    const NbdStream stream = { .recv = peer_recv, .send = peer_send, .cut = peer_cut, .opaque = &p };

    nbd_serve(server, &stream, 1);
    return 0;
}
