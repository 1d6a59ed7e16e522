/*
 * Every call to the host fails once: each operation on an image, with the first call failing, the second, and so on
 * until none does; once, from then on, in the middle of a write, or for want of space. What comes of it is an error, or
 * nothing: the image is consistent, holds the old or the new in each sector, the new where that was said, and its
 * leaks are gone when it was opened for writing once more. For want of space, what failed works when it is tried again.
 * With FAULTS_ALL set each call fails; else some are left out behind the first ten.
 */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "block/qcow2.h"
#include "tests/lib/faultio.h"
#include "tests/lib/new-disk.h"

#define DISK (768u << 10)
#define BIGGER (1024u << 10)
#define SECTOR 512u

static char dir[] = "/tmp/doppel-faults-XXXXXX";

typedef struct Kind {
    const char *format;
    Qcow2Options o;
} Kind;

static const Kind kinds[] = {
    { "qcow2", { DISK, 3, 4096, 16, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL } },
    { "qcow2", { DISK, 3, 512, 16, true, QCOW2_PREALLOC_OFF, 0, NULL, NULL } }, /* tables grow and move */
    { "qcow2", { DISK, 3, 65536, 1, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL } },
    { "qcow2", { DISK, 2, 4096, 16, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL } },
    { "qcow2", { DISK, 3, 4096, 64, false, QCOW2_PREALLOC_OFF, 0, "base.raw", "raw" } },
    { "raw", { DISK, 0 } },
    { "vdi", { DISK, 0 } },
    { "vpc", { DISK, 0 } },
    { "vmdk", { DISK, 0 } },
    { "vmdk", { DISK, 0, .whole = true } },
    { "vhdx", { DISK, 0 } },
    { "qcow2", { DISK, 3, 16384, 16, .extended_l2 = true } },
    { "qcow2", { DISK, 3, 4096, 16, .data_file = "" } },
    { "qcow2", { DISK, 3, 16384, 16, .data_file = "", .extended_l2 = true, .data_raw = true } },
};

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

static void fill(uint8_t *buf, size_t len, unsigned seed)
{
    for (size_t n = 0; n < len; n++) {
        buf[n] = (uint8_t)(n / 7 * 13 + n / SECTOR + seed);
    }
}

/* ---- the operations ---- */

static int write_at(BlockImage *img, uint64_t at, uint32_t len, unsigned seed)
{
    uint8_t *buf = xnewn(uint8_t, len);
    int r;

    fill(buf, len, seed);
    r = image_write(img, at, buf, len);
    free(buf);
    return r;
}

static int op_write_again(BlockImage *img)
{
    return write_at(img, 1024, 3072, 1);
}

static int op_write_new(BlockImage *img)
{
    return write_at(img, 300 << 10, 1024, 2);
}

static int op_write_much(BlockImage *img)
{
    return write_at(img, 100 << 10, 150 << 10, 3);
}

static int op_zero(BlockImage *img)
{
    return image_zero(img, 6 << 10, 99 << 10);
}

static int op_flush_twice(BlockImage *img)
{
    int r = write_at(img, 400 << 10, 4096, 4);

    r = r == 0 ? image_flush(img) : r;
    r = r == 0 ? image_zero(img, 410 << 10, 2048) : r;
    return r == 0 ? image_flush(img) : r;
}

static int op_truncate(BlockImage *img)
{
    return img->size < BIGGER ? image_truncate(img, BIGGER) : 0;
}

static int op_snapshot(BlockImage *img)
{
    int r = qcow2_snapshot_create(img, "new");

    return r == -EINVAL || r == -ENOTSUP ? 0 : r; /* counts of one bit; a data file */
}

static int op_apply(BlockImage *img)
{
    int r = qcow2_snapshot_apply(img, "old");

    return r == -ENOENT || r == -ENOTSUP ? 0 : r;
}

static int op_delete(BlockImage *img)
{
    int r = qcow2_snapshot_delete(img, "old");

    return r == -ENOENT || r == -ENOTSUP ? 0 : r;
}

static int op_compress(BlockImage *img)
{
    const Qcow2 *q = img->priv;
    uint8_t *in = xnewn(uint8_t, q->cluster_size), *out = xnewn(uint8_t, q->cluster_size);
    Qcow2Packer *p = qcow2_packer_new();
    uint32_t len;
    int r = 0;

    for (uint64_t k = 0; k < 5 && r == 0; k++) {
        memset(in, (int)k + 1, q->cluster_size);
        if (qcow2_compress(q, p, in, out, &len) == 0) {
            r = qcow2_write_compressed(img, ((500ull << 10) & -(uint64_t)q->cluster_size) + k * q->cluster_size, out, len);
            r = r == -EEXIST || r == -ENOTSUP ? 0 : r;
        }
    }
    qcow2_packer_free(p);
    free(in);
    free(out);
    return r;
}

static int op_set_backing(BlockImage *img)
{
    int r = qcow2_set_backing(img, "base.raw", "raw");

    return r == -EINVAL ? 0 : r; /* a raw data file is all there is */
}

static int op_make_empty(BlockImage *img)
{
    return qcow2_make_empty(img);
}

static int op_check(BlockImage *img)
{
    Qcow2Check c;

    return qcow2_check(img, QCOW2_FIX_LEAKS | QCOW2_FIX_ERRORS, &c, NULL, NULL);
}

static const struct {
    const char *name;
    int (*run)(BlockImage *img);
    bool qcow2_only, whole; /* all at once, or not at all */
} ops[] = {
    { "write again", op_write_again, false, false }, { "write new", op_write_new, false, false },
    { "write much", op_write_much, false, false },   { "zero", op_zero, false, false },
    { "flush", op_flush_twice, false, false },       { "truncate", op_truncate, false, false },
    { "snapshot", op_snapshot, true, true },         { "apply", op_apply, true, true },
    { "delete", op_delete, true, true },             { "compress", op_compress, true, false },
    { "set backing", op_set_backing, true, true },   { "empty", op_make_empty, true, true },
    { "check", op_check, true, true },
};

/* ---- images ---- */

static char *data_of(const char *path, const Kind *k)
{
    return k->o.data_file != NULL ? xasprintf("%s.data", path) : NULL;
}

static BlockImage *try_open(const char *path, const Kind *k, bool read_only)
{
    autofree char *data = data_of(path, k);
    Error *err = NULL;
    BlockImage *img = image_open_split(path, k->format, read_only ? IMAGE_READ_ONLY : 0, BLK_WRITEBACK, data, &err);

    error_free(err);
    return img;
}

static BlockImage *must_open(const char *path, const Kind *k, bool read_only)
{
    BlockImage *img = try_open(path, k, read_only);

    assert_non_null(img);
    return img;
}

static bool is_qcow2(const BlockImage *img)
{
    return img->fmt == &qcow2_format;
}

/* read_disk - all of it; zeros behind it. */
static void read_disk(BlockImage *img, uint8_t *buf)
{
    memset(buf, 0, BIGGER);
    assert_in_range(img->size, DISK, BIGGER);
    assert_int_equal(image_read(img, 0, buf, (uint32_t)img->size), 0);
}

/* keeps_snapshots - there is one, called "old". */
static bool keeps_snapshots(const Kind *k)
{
    return k->o.version != 0 && k->o.refcount_bits > 1 && k->o.data_file == NULL;
}

static void make_base(const char *path, const Kind *k)
{
    autofree char *data = data_of(path, k);
    Qcow2Options o = k->o;
    Error *err = NULL;
    BlockImage *img;

    o.data_file = data;
    if (new_disk(path, k->format, k->o.size, k->o.whole)) {
        /* it is there */
    } else if (k->o.version == 0) {
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

        assert_int_equal(ftruncate(fd, DISK), 0);
        close(fd);
    } else if (!qcow2_create(path, &o, &err)) {
        fail_msg("%s", error_text(err));
    }
    if (k->o.version == 3 && k->o.cluster_size <= 4096) {
        new_bitmap(path);
    }
    img = must_open(path, k, false);
    assert_int_equal(write_at(img, 0, 120 << 10, 77), 0);
    if (keeps_snapshots(k)) {
        assert_int_equal(qcow2_snapshot_create(img, "old"), 0);
    }
    assert_int_equal(write_at(img, 60 << 10, 90 << 10, 88), 0);
    assert_int_equal(image_zero(img, 80 << 10, 20 << 10), 0);
    image_unref(img);
}

static void make_behind(void)
{
    autofree char *path = path_of("base.raw");
    uint8_t *buf = xnewn(uint8_t, DISK / 2);
    int fd = open(path, O_RDWR | O_CREAT, 0600);

    fill(buf, DISK / 2, 5);
    assert_int_equal(pwrite(fd, buf, DISK / 2, 0), DISK / 2);
    close(fd);
    free(buf);
}

static void copy_file(const char *from, const char *to)
{
    static uint8_t buf[8 << 20];
    int in = open(from, O_RDONLY), out = unlink(to) == 0 || errno == ENOENT ? open(to, O_RDWR | O_CREAT | O_TRUNC, 0600) : -1;
    ssize_t n = read(in, buf, sizeof(buf));

    assert_in_range(n, 1, sizeof(buf) - 1);
    assert_int_equal(write(out, buf, (size_t)n), n);
    close(in);
    close(out);
}

/* ---- one session, and what it left ---- */

/* copy_image - and its data file. */
static void copy_image(const char *from, const char *to, const Kind *k)
{
    autofree char *from_data = data_of(from, k), *to_data = data_of(to, k);

    copy_file(from, to);
    if (from_data != NULL) {
        copy_file(from_data, to_data);
    }
}

static uint8_t before[BIGGER], after[BIGGER], now[BIGGER], old_snapshot[BIGGER];

static void say_finding(void *opaque, const char *line)
{
    print_message("%s\n", line);
}

static void must_be_sound(BlockImage *img, bool leaks_too)
{
    Qcow2Check c;

    if (!is_qcow2(img)) {
        return;
    }
    assert_int_equal(qcow2_check(img, 0, &c, leaks_too ? say_finding : NULL, NULL), 0);
    if (c.corruptions != 0) {
        qcow2_check(img, 0, &c, say_finding, NULL);
    }
    assert_int_equal(c.corruptions, 0);
    assert_true(!leaks_too || c.leaks == 0 || ((Qcow2 *)img->priv)->version < 3);
}

/* must_hold - the old or the new; @done: the new. */
static void must_hold(BlockImage *img, bool whole, bool done)
{
    bool all_old = true, all_new = true;

    read_disk(img, now);
    for (uint32_t at = 0; at < BIGGER; at += SECTOR) {
        bool is_new = memcmp(now + at, after + at, SECTOR) == 0, is_old = memcmp(now + at, before + at, SECTOR) == 0;

        if (!is_new && (done || !is_old)) {
            fail_msg("sector at 0x%x: neither old nor new", at);
        }
        all_old &= is_old;
        all_new &= is_new;
    }
    assert_true(!whole || all_old || all_new);
}

static void snapshot_must_hold(const char *path, const Kind *k)
{
    BlockImage *img = must_open(path, k, true);

    if (is_qcow2(img) && qcow2_snapshot_view(img, "old") == 0) {
        read_disk(img, now);
        assert_int_equal(memcmp(now, old_snapshot, BIGGER), 0);
    }
    image_unref(img);
}

static void examine(const char *path, const Kind *k, size_t op, bool done)
{
    bool whole = ops[op].whole;

    BlockImage *img = must_open(path, k, true);

    must_be_sound(img, false);
    must_hold(img, whole, done);
    image_unref(img);
    if (ops[op].run != op_set_backing) { /* what is behind shows through a snapshot too */
        snapshot_must_hold(path, k);
    }
    img = must_open(path, k, false); /* gives leaks back */
    image_unref(img);
    img = must_open(path, k, true);
    must_be_sound(img, true);
    must_hold(img, whole, done);
    image_unref(img);
}

static char where[200]; /* for a failure's message */

/* session - open, operate, flush, close. *done: all of it was said to be well. */
static void session(const char *path, const Kind *k, size_t op, int error, bool again, bool *done)
{
    BlockImage *img = try_open(path, k, false);
    int r, f;

    *done = false;
    if (img == NULL) {
        return;
    }
    r = ops[op].run(img);
    f = image_flush(img);
    if (again && r != 0) { /* there is space again */
        r = ops[op].run(img);
        assert_int_equal(r, 0);
    }
    if (again) {
        f = image_flush(img);
        f = f != 0 ? image_flush(img) : 0; /* if that was the call */
        assert_int_equal(f, 0);
    }
    *done = r == 0 && f == 0;
    image_unref(img);
}

static void run(const Kind *k, size_t op)
{
    static const struct {
        int error;
        bool for_ever;
    } ways[] = { { EIO, false }, { EIO, true }, { 0, false }, { ENOSPC, false }, { ENOSPC, true } };
    autofree char *base = path_of("base.img"), *work = path_of("work.img");
    BlockImage *img;
    bool done;

    copy_image(base, work, k); /* what it should be */
    img = must_open(work, k, false);
    read_disk(img, before);
    assert_int_equal(ops[op].run(img), 0);
    image_unref(img);
    img = must_open(work, k, true);
    read_disk(img, after);
    image_unref(img);
    for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
        bool hit = true, again = ways[w].error == ENOSPC && !ways[w].for_ever;

        for (unsigned n = 1; hit; n += getenv("FAULTS_ALL") != NULL ? 1 : 1 + n / 10) {
            copy_image(base, work, k);
            snprintf(where, sizeof(where), "%s, way %zu, call %u", ops[op].name, w, n);
            fault_arm(n, ways[w].error, ways[w].for_ever);
            session(work, k, op, ways[w].error, again, &done);
            hit = fault_disarm();
            examine(work, k, op, done);
            assert_true(hit || done);
        }
    }
    unlink(work);
}

static void run_kind(void **state)
{
    const Kind *k = *state;
    autofree char *base = path_of("base.img");

    fault_disarm();
    unlink(base);
    make_behind();
    make_base(base, k);
    memset(old_snapshot, 0, BIGGER);
    where[0] = 0;
    if (keeps_snapshots(k)) {
        BlockImage *img = must_open(base, k, true);

        assert_int_equal(qcow2_snapshot_view(img, "old"), 0);
        read_disk(img, old_snapshot);
        image_unref(img);
    }
    for (size_t op = 0; op < ARRAY_SIZE(ops); op++) {
        bool can = k->o.version != 0 ? k->o.version >= 3 || ops[op].run != op_truncate : !ops[op].qcow2_only;

        can &= k->o.version != 0 || strcmp(k->format, "raw") == 0 || ops[op].run != op_truncate;

        if (can) {
            run(k, op);
        }
    }
    where[0] = 0;
    unlink(base);
}

static int say_where(void **state)
{
    if (where[0] != 0) {
        print_message("after: %s\n", where);
    }
    return 0;
}

static int setup(void **state)
{
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    autofree char *cmd = xasprintf("rm -rf %s", dir);

    return system(cmd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { "4 KiB clusters", run_kind, NULL, say_where, (void *)&kinds[0] },
        { "512-byte clusters", run_kind, NULL, say_where, (void *)&kinds[1] },
        { "64 KiB clusters, counts of 1 bit", run_kind, NULL, say_where, (void *)&kinds[2] },
        { "version 2", run_kind, NULL, say_where, (void *)&kinds[3] },
        { "with an image behind, counts of 64 bits", run_kind, NULL, say_where, (void *)&kinds[4] },
        { "16 KiB clusters in 32 parts", run_kind, NULL, say_where, (void *)&kinds[11] },
        { "raw", run_kind, NULL, say_where, (void *)&kinds[5] },
        { "VDI", run_kind, NULL, say_where, (void *)&kinds[6] },
        { "VPC", run_kind, NULL, say_where, (void *)&kinds[7] },
        { "VMDK", run_kind, NULL, say_where, (void *)&kinds[8] },
        { "VMDK, compressed", run_kind, NULL, say_where, (void *)&kinds[9] },
        { "VHDX", run_kind, NULL, say_where, (void *)&kinds[10] },
        { "4 KiB clusters in a data file", run_kind, NULL, say_where, (void *)&kinds[12] },
        { "16 KiB clusters in 32 parts, in a raw data file", run_kind, NULL, say_where, (void *)&kinds[13] },
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
