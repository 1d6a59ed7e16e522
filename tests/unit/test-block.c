/* Images, requests and media: block/. */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/error.h"
#include "base/loop.h"
#include "base/mem.h"
#include "block/block.h"
#include "block/image.h"
#include "block/qcow2.h"
#include "base/event.h"
#include "bus/lock.h"
#include "tests/lib/faultio.h"

static char dir[64];

static char *path(const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

static void make_file(const char *name, size_t size, uint8_t fill)
{
    autofree char *p = path(name);
    autofree uint8_t *data = xnewn(uint8_t, size + 1);
    int fd = open(p, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    memset(data, fill, size);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

static BlockBackend *open_as(const char *name, const char *file, const char *format, Error **errp)
{
    autofree char *p = file != NULL ? path(file) : NULL;
    BlockParams params = { .name = name, .file = p, .format = format };

    return blk_new(&params, errp);
}

static void refused(const char *file, const char *format, const char *text)
{
    Error *err = NULL;

    assert_null(open_as("bad", file, format, &err));
    if (strstr(error_text(err), text) == NULL) {
        print_error("%s\n", error_text(err));
        fail();
    }
    error_free(err);
}

static int setup(void **state)
{
    strcpy(dir, "/tmp/doppel-block-XXXXXX");
    assert_non_null(mkdtemp(dir));
    block_setup(&machine_lock_guard, false);
    return loop_init();
}

static int teardown(void **state)
{
    autofree char *cmd = xasprintf("rm -rf %s", dir);

    assert_true(block_close_all());
    loop_fini();
    return system(cmd);
}

static unsigned done_count;
static int last_ret;
static uint8_t got[4096];

static void done(void *opaque, int ret, const uint8_t *data)
{
    assert_true(machine_lock_held());
    done_count++;
    last_ret = ret;
    if (data != NULL) {
        memcpy(got, data, (size_t)(uintptr_t)opaque);
    }
}

static void test_open(void **state)
{
    autofree char *sub = path("folder");

    make_file("raw", 1000, 7);
    make_file("alien", 512, 0);
    {
        autofree char *p = path("alien");
        int fd = open(p, O_WRONLY);
        assert_int_equal(pwrite(fd, "QFI\xfb", 4, 0), 4);
        close(fd);
    }
    assert_int_equal(mkdir(sub, 0700), 0);
    refused("missing", NULL, "No such file or directory");
    refused("folder", "raw", "Is a directory");
    refused("raw", "qed", "not supported yet");
    refused("raw", "qcow2", "not in qcow2 format");
    refused("raw", "nonsense", "Unknown driver 'nonsense'");
    refused("alien", NULL, "qcow2");
    assert_non_null(open_as("a", "raw", NULL, NULL));
}

/* The file's end lies inside a sector: the rest reads as zeros. */
static void test_read_write(void **state)
{
    BlockBackend *b;
    uint8_t data[600];

    make_file("raw", 1000, 7);
    b = open_as("a", "raw", "raw", NULL);
    assert_int_equal(blk_size(b), 1024);
    machine_lock();
    done_count = 0;
    blk_read(b, 512, 512, done, (void *)512);
    assert_int_equal(done_count, 0);
    machine_unlock();
    block_drain();
    assert_int_equal(done_count, 1);
    assert_int_equal(last_ret, 0);
    assert_int_equal(got[487], 7);
    assert_int_equal(got[488], 0);

    machine_lock();
    memset(data, 9, sizeof(data));
    blk_write(b, 100, data, sizeof(data), done, NULL);
    memset(data, 1, sizeof(data)); /* was copied */
    blk_read(b, 0, 1024, done, (void *)1024); /* sees the write */
    machine_unlock();
    block_drain();
    assert_int_equal(done_count, 3);
    assert_true(got[99] == 7 && got[100] == 9 && got[699] == 9 && got[700] == 7);
    machine_lock();
    blk_flush(b, done, NULL);
    blk_read(b, 1024, 1, done, NULL);
    machine_unlock();
    block_drain();
    assert_int_equal(done_count, 5);
    machine_lock();
    blk_read(b, UINT64_MAX - 100, 512, done, NULL);
    machine_unlock();
    block_drain();
    assert_int_equal(last_ret, -EINVAL);
}

/* ---- engines ---- */

enum { AIO_BYTES = 1 << 20, AIO_ROUNDS = 60, AIO_BURST = 200 };

typedef struct AioRead {
    uint8_t want[9000];
    uint32_t len;
} AioRead;

static void aio_done(void *opaque, int ret, const uint8_t *data)
{
    AioRead *r = opaque;

    assert_int_equal(ret, 0);
    if (r != NULL) {
        assert_memory_equal(data, r->want, r->len);
        free(r);
    }
    done_count++;
}

/* aio_churn - requests of all alignments, many at a time, against a model. */
static void aio_churn(BlockBackend *b, uint8_t *model, uint32_t end)
{
    uint8_t data[9000];

    for (unsigned n = 0; n < AIO_ROUNDS; n++) {
        machine_lock();
        for (unsigned k = 0; k < AIO_BURST; k++) {
            uint32_t unit = n % 2 == 0 ? 4096 : 1, at = (uint32_t)rand() % end & ~(unit - 1);
            uint32_t len = (uint32_t)rand() % (sizeof(data) - 1) + 1;

            len = MIN(n % 2 == 0 ? (len & ~4095u) + 4096 : len, MIN(end - at, (uint32_t)sizeof(data)));
            len = n % 2 == 0 && len > 8192 ? 8192 : len;
            if (rand() % 3 != 0) {
                memset(data, rand(), len);
                memcpy(model + at, data, len);
                blk_write(b, at, data, len, aio_done, NULL);
            } else {
                AioRead *r = xnew(AioRead);

                memcpy(r->want, model + at, len);
                r->len = len;
                blk_read(b, at, len, aio_done, r);
            }
        }
        blk_flush(b, aio_done, NULL);
        machine_unlock();
        block_drain();
    }
}

static void aio_one(HostAio aio, bool direct, const char *format)
{
    autofree char *name = xasprintf("aio%d%d%s", aio, direct, format), *file = xasprintf("/var/tmp/doppel-%s-%d", name, getpid());
    autofree uint8_t *model = xnewn(uint8_t, AIO_BYTES);
    BlockParams p = { .name = name, .file = file, .format = format, .direct = direct, .aio = aio };
    uint32_t end = AIO_BYTES - 512; /* the last block is not a whole one */
    uint64_t before = host_aio_count(aio);
    Error *err = NULL;
    BlockBackend *b;
    bool skip;

    if (strcmp(format, "qcow2") == 0) {
        Qcow2Options o = { .size = end, .version = 3, .cluster_size = 65536, .refcount_bits = 16 };

        assert_true(qcow2_create(file, &o, NULL));
    } else {
        int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        assert_int_equal(ftruncate(fd, end), 0);
        close(fd);
    }
    b = blk_new(&p, &err);
    skip = b == NULL && (strstr(error_text(err), "O_DIRECT") != NULL || strstr(error_text(err), "in this build") != NULL ||
                         strstr(error_text(err), "the kernel refuses it") != NULL);
    error_free(err);
    unlink(file);
    if (skip) {
        return;
    }
    assert_non_null(b);
    done_count = 0;
    aio_churn(b, model, end);
    assert_int_equal(done_count, AIO_ROUNDS * (AIO_BURST + 1));
    assert_true(host_aio_count(aio) - before > AIO_ROUNDS * AIO_BURST / 4); /* it was not the workers */
    blk_free(b);
}

static void test_aio(void **state)
{
    srand(7);
    aio_one(HOST_AIO_NATIVE, true, "raw");
    aio_one(HOST_AIO_NATIVE, true, "qcow2");
    for (unsigned direct = 0; direct < 2; direct++) {
        aio_one(HOST_AIO_URING, direct, "raw");
        aio_one(HOST_AIO_URING, direct, "qcow2");
    }
}

/* What an engine cannot do wholly is done by a worker, which says why: a host that fails. */
static void test_aio_fails(void **state)
{
    BlockParams p = { .name = "full", .file = "/dev/full-is-no-disk", .format = "raw", .aio = HOST_AIO_URING };
    Error *err = NULL;

    assert_null(blk_new(&p, &err));
    error_free(err);
    make_file("short", 5000, 7); /* the file ends inside a sector */
    p.file = path("short");
    err = NULL;
    BlockBackend *b = blk_new(&p, &err);
    if (b != NULL) {
        machine_lock();
        blk_read(b, 4608, 512, done, (void *)512);
        machine_unlock();
        block_drain();
        assert_int_equal(last_ret, 0);
        assert_true(got[391] == 7 && got[392] == 0 && got[511] == 0);
    }
    error_free(err);
    free((char *)p.file);
}

/* What is read from behind is in the image afterwards, and nothing else: a write in between stays. */
static void test_copy_on_read(void **state)
{
    autofree char *base = path("behind"), *file = path("front.qcow2");
    Qcow2Options o = { .size = 256 << 10, .version = 3, .cluster_size = 16384, .refcount_bits = 16, .extended_l2 = true,
                       .backing_file = base, .backing_format = "raw" };
    BlockParams p = { .name = "cor", .file = file, .format = "qcow2", .copy_on_read = true };
    uint8_t data[4096];
    Error *err = NULL;
    BlockBackend *b;
    BlockImage *img;

    make_file("behind", 128 << 10, 7);
    assert_true(qcow2_create(file, &o, NULL));
    b = blk_new(&p, &err);
    assert_non_null(b);
    memset(data, 9, sizeof(data));
    machine_lock();
    done_count = 0;
    for (unsigned n = 0; n < 8; n++) {
        blk_read(b, 20000, 4096, done, (void *)4096); /* beside each other, and over each other */
        blk_read(b, 20000 + 512 * n, 512, done, (void *)512);
    }
    blk_write(b, 20480, data, 1024, done, NULL);
    blk_read(b, 20000, 4096, done, (void *)4096);
    blk_read(b, 140 << 10, 4096, done, (void *)4096); /* nothing is there: zeros */
    machine_unlock();
    block_drain();
    assert_int_equal(done_count, 19);
    blk_free(b);
    make_file("behind", 128 << 10, 1); /* does not show where it was read */
    img = image_open(file, "qcow2", true, BLK_WRITEBACK, &err);
    assert_non_null(img);
    assert_int_equal(image_read(img, 20000, data, 4096), 0);
    assert_true(data[0] == 7 && data[479] == 7 && data[480] == 9 && data[480 + 1023] == 9 && data[480 + 1024] == 7 && data[4095] == 7);
    assert_int_equal(image_read(img, 19456 + 5 * 1024, data, 4096), 0);
    assert_true(data[4095] == 1);
    image_unref(img);
}

/* By the loop; many that overlap keep their order, also behind a cancelled one. */
static void test_order(void **state)
{
    BlockBackend *b;
    uint8_t data[4096];

    make_file("raw", 65536, 0);
    b = open_as("a", "raw", "raw", NULL);
    machine_lock();
    done_count = 0;
    for (unsigned n = 1; n <= 200; n++) {
        memset(data, (int)n, sizeof(data));
        BlockReq *r = blk_write(b, n % 3 * 100, data, sizeof(data), done, NULL);
        if (n % 2 == 0) {
            blk_cancel(r);
        }
    }
    memset(data, 0xee, sizeof(data));
    blk_write(b, 0, data, sizeof(data), done, NULL);
    machine_unlock();
    while (done_count < 101) {
        loop_turn(-1);
    }
    machine_lock();
    blk_read(b, 0, 4096, done, (void *)4096);
    machine_unlock();
    while (done_count < 102) {
        loop_turn(-1);
    }
    assert_int_equal(got[0], 0xee);
    assert_int_equal(got[4095], 0xee);
}

static void test_guess_guards_header(void **state)
{
    BlockBackend *b;
    uint8_t sector[512] = "QFI\xfb";

    make_file("raw", 1024, 0);
    b = open_as("a", "raw", NULL, NULL);
    machine_lock();
    blk_write(b, 0, sector, 512, done, NULL);
    machine_unlock();
    block_drain();
    assert_int_equal(last_ret, -EPERM);
    memcpy(sector, "\xeb\x3c\x90", 4);
    machine_lock();
    blk_write(b, 0, sector, 512, done, NULL);
    machine_unlock();
    block_drain();
    assert_int_equal(last_ret, 0);
}

/* ---- media ---- */

typedef struct Drive {
    BlockBackend *b;
    bool open, locked;
    unsigned changes, requests, moves;
} Drive;

static void drive_changed(void *opaque)
{
    ((Drive *)opaque)->changes++;
}
static void drive_set_tray(void *opaque, bool open)
{
    ((Drive *)opaque)->open = open;
    ((Drive *)opaque)->moves++;
}
static bool drive_open(void *opaque)
{
    return ((Drive *)opaque)->open;
}
static bool drive_locked(void *opaque)
{
    return ((Drive *)opaque)->locked;
}
static void drive_request(void *opaque)
{
    ((Drive *)opaque)->requests++;
}
static const BlockDevOps drive_ops = {
    .medium_changed = drive_changed, .set_tray = drive_set_tray, .tray_open = drive_open,
    .locked = drive_locked, .eject_request = drive_request,
};
static const BlockDevOps fixed_ops = { 0 };

static void test_media(void **state)
{
    Drive d = { 0 };
    autofree char *file = NULL;
    Error *err = NULL;
    BlockInfo info;

    make_file("raw", 2048, 3);
    file = path("raw");
    d.b = open_as("cd", NULL, NULL, NULL);
    assert_false(blk_present(d.b));
    assert_true(blk_attach(d.b, "dev", &drive_ops, &d, NULL));
    assert_false(blk_attach(d.b, "dev2", &drive_ops, &d, NULL));
    assert_true(blk_change(d.b, file, "raw", true, false, NULL));
    assert_int_equal(d.changes, 1);
    assert_int_equal(d.moves, 2);
    assert_false(d.open);
    d.locked = true;
    assert_false(blk_eject(d.b, false, &err));
    assert_string_equal(error_text(err), "Device 'cd' is locked and force was not specified, wait "
                                         "for tray to open and try again");
    error_free(err);
    assert_int_equal(d.requests, 1);
    assert_true(blk_present(d.b));
    assert_true(blk_eject(d.b, true, NULL));
    assert_false(blk_present(d.b));
    assert_true(d.open);
    machine_lock();
    blk_info(d.b, &info);
    machine_unlock();
    assert_true(info.removable && info.has_tray && info.tray_open && info.locked);
    /* a request outlives its medium */
    assert_true(blk_change(d.b, file, "raw", true, true, NULL));
    machine_lock();
    blk_read(d.b, 0, 512, done, (void *)512);
    machine_unlock();
    assert_true(blk_eject(d.b, true, NULL));
    block_drain();
    assert_int_equal(last_ret, 0);
    machine_lock();
    blk_read(d.b, 0, 512, done, NULL);
    machine_unlock();
    block_drain();
    assert_int_equal(last_ret, -ENOMEDIUM);
    blk_detach(d.b);
    assert_true(blk_attach(d.b, "disk", &fixed_ops, &d, NULL));
    err = NULL;
    assert_false(blk_change(d.b, file, "raw", true, true, &err));
    assert_string_equal(error_text(err), "Device 'cd' is not removable");
    error_free(err);
}

/* ---- the host fails ---- */

static unsigned stops;

static void stop(void)
{
    stops++;
}

static BlockBackend *open_on_error(const char *name, BlockOnError write_error, BlockOnError read_error)
{
    autofree char *p = path("raw");
    BlockParams params = { .name = name, .file = p, .format = "raw", .write_error = write_error,
                           .read_error = read_error };
    BlockBackend *b = blk_new(&params, NULL);

    assert_non_null(b);
    return b;
}

static BlockIoStatus status_of(BlockBackend *b)
{
    BlockInfo info;

    machine_lock();
    blk_info(b, &info);
    machine_unlock();
    return info.io_status;
}

static void write_some(BlockBackend *b, uint8_t what)
{
    uint8_t data[512];

    memset(data, what, sizeof(data));
    machine_lock();
    blk_write(b, 0, data, sizeof(data), done, NULL);
    machine_unlock();
}

static void read_some(BlockBackend *b)
{
    machine_lock();
    blk_read(b, 0, 512, done, (void *)512);
    machine_unlock();
    block_drain();
}

static bool is_held(void)
{
    bool yes;

    machine_lock();
    yes = block_held();
    machine_unlock();
    return yes;
}

static void retry(void)
{
    machine_lock();
    block_retry();
    machine_unlock();
    block_drain();
}

/* A request that is held back: the device hears nothing, what overlaps waits, what does not goes on; tried again it
 * fails again or is done. */
static void test_stop(void **state)
{
    BlockBackend *b;

    make_file("raw", 8192, 1);
    block_on_stop(stop);
    b = open_on_error("a", BLK_ENOSPC, BLK_STOP);
    stops = done_count = 0;
    fault_arm(1, ENOSPC, true);
    write_some(b, 2);
    block_drain();
    assert_int_equal(done_count, 0);
    assert_int_equal(stops, 1);
    assert_true(is_held());
    assert_int_equal(status_of(b), BLK_NO_SPACE);
    write_some(b, 3); /* behind it */
    machine_lock();
    blk_read(b, 4096, 512, done, (void *)512);
    machine_unlock();
    block_drain();
    assert_int_equal(done_count, 1);
    assert_int_equal(got[0], 1);
    retry();
    assert_int_equal(done_count, 1);
    assert_int_equal(stops, 2);
    fault_disarm();
    retry();
    assert_int_equal(done_count, 3);
    assert_int_equal(last_ret, 0);
    assert_false(is_held());
    assert_int_equal(status_of(b), BLK_OK);
    read_some(b);
    assert_int_equal(got[0], 3);
    /* enospc is not for other errors */
    fault_arm(1, EIO, false);
    write_some(b, 4);
    block_drain();
    assert_int_equal(done_count, 5);
    assert_int_equal(last_ret, -EIO);
    assert_int_equal(stops, 2);
    /* a read */
    fault_arm(1, EIO, false);
    read_some(b);
    assert_int_equal(done_count, 5);
    assert_int_equal(status_of(b), BLK_FAILED);
    retry();
    assert_int_equal(done_count, 6);
    assert_int_equal(got[0], 3);
    fault_disarm();
}

/* One that is held back and then not wanted any more, by the device or at the end, holds nothing up. */
static void test_stop_cancel(void **state)
{
    BlockBackend *b;
    BlockReq *req;
    uint8_t data[512] = { 9 };

    make_file("raw", 8192, 1);
    block_on_stop(stop);
    b = open_on_error("a", BLK_STOP, BLK_REPORT);
    stops = done_count = 0;
    fault_arm(1, EIO, true);
    machine_lock();
    req = blk_write(b, 0, data, 512, done, NULL);
    machine_unlock();
    block_drain();
    assert_true(is_held());
    machine_lock();
    blk_cancel(req);
    machine_unlock();
    block_drain();
    assert_false(is_held());
    write_some(b, 4);
    block_drain();
    assert_true(is_held()); /* and the machine ends: teardown */
    assert_int_equal(done_count, 0);
    assert_int_equal(stops, 2);
    fault_disarm();
}

static void test_ignore_and_report(void **state)
{
    BlockBackend *a, *b;

    make_file("raw", 8192, 1);
    block_on_stop(stop);
    stops = done_count = 0;
    a = open_on_error("a", BLK_IGNORE, BLK_IGNORE);
    fault_arm(1, EIO, true);
    write_some(a, 2);
    block_drain();
    assert_int_equal(done_count, 1);
    assert_int_equal(last_ret, 0);
    got[0] = 77;
    read_some(a);
    assert_int_equal(last_ret, 0);
    assert_int_equal(got[0], 0);
    fault_disarm();
    assert_true(blk_eject(a, true, NULL));
    b = open_on_error("b", BLK_REPORT, BLK_REPORT);
    fault_arm(1, ENOSPC, true);
    write_some(b, 2);
    block_drain();
    assert_int_equal(last_ret, -ENOSPC);
    fault_arm(1, EIO, true);
    read_some(b);
    assert_int_equal(last_ret, -EIO);
    assert_int_equal(done_count, 4);
    assert_int_equal(stops, 0);
    fault_disarm();
}

/* Last: the manual clock stays. */
static void test_deterministic(void **state)
{
    BlockBackend *b;

    clock_manual();
    block_setup(&machine_lock_guard, true);
    make_file("raw", 1024, 5);
    b = open_as("a", "raw", "raw", NULL);
    done_count = 0;
    machine_lock();
    blk_cancel(blk_read(b, 0, 512, done, NULL));
    blk_read(b, 0, 512, done, (void *)512);
    machine_unlock();
    clock_step(99999);
    assert_int_equal(done_count, 0);
    clock_step(1);
    assert_int_equal(done_count, 1);
    assert_int_equal(got[0], 5);
    machine_lock();
    blk_read(b, 0, 512, done, (void *)512);
    machine_unlock();
    block_drain();
    assert_int_equal(done_count, 2);
}

/* ---- limits, on the manual clock ---- */

static BlockBackend *open_limited(const char *name, unsigned which, uint64_t average, uint64_t max, const char *group)
{
    autofree char *p = path("raw");
    BlockParams params = { .name = name, .file = p, .format = "raw", .read_only = true, .group = group };
    BlockBackend *b;

    for (unsigned n = 0; n < LIMITS; n++) {
        params.limits.of[n].length = 1;
    }
    params.limits.of[which].average = average;
    params.limits.of[which].max = max;
    b = blk_new(&params, NULL);
    assert_non_null(b);
    return b;
}

static void ask(BlockBackend *b, unsigned n, uint32_t len)
{
    machine_lock();
    while (n-- > 0) {
        blk_read(b, 0, len, done, (void *)16);
    }
    machine_unlock();
}

static void test_limits(void **state)
{
    static const BlockLimits none;
    BlockBackend *a, *b, *c;

    clock_manual();
    block_setup(&machine_lock_guard, true);
    make_file("raw", 8192, 5);
    a = open_limited("a", LIMIT_IOPS, 100, 0, NULL);
    done_count = 0;
    ask(a, 100, 512);
    for (unsigned ms = 0; ms < 500; ms++) {
        clock_step(1000000);
    }
    assert_in_range(done_count, 58, 62); /* 50 in half a second, and what may come at once */
    block_drain(); /* waits for nobody's time */
    assert_int_equal(done_count, 100);

    b = open_limited("b", LIMIT_BPS_READ, 8192, 81920, "two"); /* two of one group, with a burst of 80 KiB */
    c = open_limited("c", LIMIT_BPS_READ, 8192, 81920, "two");
    clock_step(1000000000);
    done_count = 0;
    ask(b, 20, 4096);
    ask(c, 20, 4096);
    clock_step(1000000);
    assert_in_range(done_count, 19, 22);
    for (unsigned s = 0; s < 30; s++) {
        clock_step(100000000);
    }
    assert_in_range(done_count, 24, 28);
    machine_lock();
    assert_true(blk_set_limits(b, &none, NULL, NULL));
    assert_non_null(blk_limits(c, NULL));
    assert_true(blk_set_limits(c, &none, NULL, NULL)); /* of its last: all begin */
    assert_null(blk_limits(c, NULL));
    machine_unlock();
    clock_step(1000000);
    assert_int_equal(done_count, 40);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_open), T(test_read_write), T(test_order), T(test_aio), T(test_aio_fails), T(test_copy_on_read), T(test_guess_guards_header),
        T(test_media), T(test_stop), T(test_stop_cancel), T(test_ignore_and_report), T(test_deterministic), T(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
