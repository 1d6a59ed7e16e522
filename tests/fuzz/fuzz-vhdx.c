/*
 * Fuzz VHDX: the input is the parts of a file that say something, put to their places with their sums made right, in
 * memory: else nearly nothing would be looked at. It is opened, read, written to and closed, and opened again.
 *
 *   how (1 byte), header (80), regions (16 + 3 * 32), metadata (32 + 7 * 32), items (64), table (256), the log
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "block/vhdx.h"
#include "machine/board.h"
#include "tests/fuzz/image-use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The program's end belongs to machine/main.c, which is not here. */
void machine_exit(int code)
{
}

typedef struct Input {
    const uint8_t *p;
    size_t left;
} Input;

/* take - the next @n bytes of the input, zeros behind its end. */
static void take(Input *in, uint8_t *to, size_t n)
{
    size_t have = MIN(n, in->left);

    memcpy(to, in->p, have);
    in->p += have;
    in->left -= have;
}

static void put(int fd, const void *p, size_t n, off_t at)
{
    if (pwrite(fd, p, n, at) != (ssize_t)n) {
        abort();
    }
}

/* put_log - entries one behind the other, each as long as it says, if the input has as much. */
static void put_log(int fd, Input *in, const uint8_t *guid)
{
    static uint8_t log[1 << 20];
    uint32_t len;

    memset(log, 0, sizeof(log));
    take(in, log, sizeof(log));
    for (uint32_t at = 0; at + VHDX_PAGE <= sizeof(log); at += len) {
        len = ld_le32(log + at + 8);
        if (memcmp(log + at, "loge", 4) != 0 || len == 0 || len % VHDX_PAGE != 0 || len > sizeof(log) - at) {
            len = VHDX_PAGE;
            continue;
        }
        memcpy(log + at + 32, guid, 16);
        st_le32(log + at + 4, vhdx_crc(log + at, len, 4));
    }
    put(fd, log, sizeof(log), VHDX_MIB);
}

static void build(int fd, Input *in)
{
    static uint8_t regions[VHDX_REGIONS_BYTES];
    uint8_t h[XH_BYTES] = { 0 }, buf[256] = { 0 };

    if (ftruncate(fd, 0) != 0 || ftruncate(fd, 6 << 20) != 0) {
        abort();
    }
    put(fd, "vhdxfile", 8, 0);
    take(in, h, 80);
    memcpy(h, "head", 4);
    st_le32(h + XH_SUM, vhdx_crc(h, XH_BYTES, XH_SUM));
    put(fd, h, XH_BYTES, VHDX_HEADER_1);
    memset(regions, 0, sizeof(regions));
    take(in, regions, 16 + 3 * 32);
    memcpy(regions, "regi", 4);
    st_le32(regions + 4, vhdx_crc(regions, sizeof(regions), 4));
    put(fd, regions, sizeof(regions), VHDX_REGIONS_1);
    take(in, buf, sizeof(buf));
    put(fd, buf, sizeof(buf), 3 << 20);
    memset(buf, 0, sizeof(buf));
    take(in, buf, 64);
    put(fd, buf, 64, (3 << 20) + (64 << 10));
    memset(buf, 0, sizeof(buf));
    take(in, buf, sizeof(buf));
    put(fd, buf, sizeof(buf), 2 << 20);
    put_log(fd, in, h + XH_LOG_GUID);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[32];
    Input in = { data + 1, size - 1 };

    if (fd < 0) {
        fd = memfd_create("image", 0);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    if (size < 100) {
        return 0;
    }
    build(fd, &in);
    for (unsigned n = 0; n < 2; n++) { /* the second time without a log */
        Error *err = NULL;
        BlockImage *img = image_open(path, "vhdx", n == 0 && (data[0] & 1), data[0] & 2 ? BLK_UNSAFE : BLK_WRITEBACK, &err);

        error_free(err);
        if (img != NULL) {
            image_use(img);
            image_unref(img);
        }
    }
    return 0;
}
