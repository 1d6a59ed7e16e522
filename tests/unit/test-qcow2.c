/*
 * Images against a flat model: random reads, writes, zeros, discards, flushes, snapshots, commits, reopening and
 * growing, for several geometries of qcow2 and for raw, with and without an image behind; the image is consistent by
 * our own check all along and by qemu-img's at the end. QCOW2_OPS is the count of operations for each, QCOW2_SEED
 * which.
 */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "block/qcow2.h"
#include "tests/lib/faultio.h"
#include "tests/lib/new-disk.h"

#define MODEL_MAX (24u << 20)
#define PIECE (300u << 10)

static char dir[] = "/tmp/doppel-qcow2-XXXXXX";
static uint64_t seed = 88172645463325252ull;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static const char *format = "qcow2"; /* of what is opened */

static char data_path[64];

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

static BlockImage *must_open(const char *path, bool read_only)
{
    Error *err = NULL;
    BlockImage *img = image_open(path, format, read_only, BLK_WRITEBACK, &err);

    if (img == NULL) {
        fail_msg("%s", error_text(err));
    }
    return img;
}

static void must_create(const char *path, const Qcow2Options *o)
{
    Error *err = NULL;

    if (!qcow2_create(path, o, &err)) {
        fail_msg("%s", error_text(err));
    }
}

static void complain(void *opaque, const char *line)
{
    print_message("%s\n", line);
}

static void must_check(BlockImage *img)
{
    Qcow2Check c;

    if (img->fmt != &qcow2_format) {
        return;
    }
    assert_int_equal(image_flush(img), 0); /* what was given up is counted at a flush, */
    assert_int_equal(image_flush(img), 0); /* and that count is in the file at the next */
    assert_int_equal(qcow2_check(img, 0, &c, complain, NULL), 0);
    assert_int_equal(c.corruptions, 0);
    assert_int_equal(c.leaks, 0);
}

static void qemu_check(const char *path)
{
    autofree char *cmd = xasprintf("qemu-img check -q -f %s %s", format, path);

    if (strcmp(format, "qcow2") != 0 && strcmp(format, "vmdk") != 0 && strcmp(format, "vhdx") != 0) {
        return;
    }

    if (system("command -v qemu-img >/dev/null 2>&1") == 0) {
        assert_int_equal(system(cmd), 0);
    }
}

static void compare(BlockImage *img, const uint8_t *model, uint64_t at, uint32_t len)
{
    static uint8_t buf[MODEL_MAX];

    assert_int_equal(image_read(img, at, buf, len), 0);
    for (uint32_t n = 0; n < len && memcmp(buf, model + at, len) != 0; n++) {
        if (buf[n] != model[at + n]) {
            fail_msg("at 0x%llx: %02x instead of %02x", (unsigned long long)(at + n), buf[n], model[at + n]);
        }
    }
}

/* ---- snapshots ---- */

typedef struct Saved {
    char name[24];
    uint8_t *model; /* NULL: a free place */
    uint64_t size;
} Saved;

static Saved saved[5];

/* snapshot_op - make, apply or delete one. Narrow counts can refuse a new one, and nothing has changed then. */
static void snapshot_op(BlockImage *img, uint8_t *model)
{
    static unsigned serial;
    const Qcow2 *q = img->priv;
    Saved *s = &saved[rnd() % ARRAY_SIZE(saved)];

    if (q->data_file != NULL) {
        assert_int_equal(qcow2_snapshot_create(img, "none"), -ENOTSUP);
        return;
    }
    if (s->model == NULL) {
        int r;

        snprintf(s->name, sizeof(s->name), "s%u", serial++);
        r = qcow2_snapshot_create(img, s->name);
        if (r == -EINVAL && q->refcount_order < 3) {
            return;
        }
        assert_int_equal(r, 0);
        s->model = xnewn(uint8_t, MODEL_MAX);
        s->size = img->size;
        memcpy(s->model, model, MODEL_MAX);
    } else if (rnd() % 2 == 0) {
        int r = qcow2_snapshot_apply(img, s->name);

        if (r == -EINVAL && q->refcount_order < 3) {
            return;
        }
        assert_int_equal(r, 0);
        assert_int_equal(img->size, s->size);
        memcpy(model, s->model, MODEL_MAX);
    } else {
        assert_int_equal(qcow2_snapshot_delete(img, s->name), 0);
        assert_int_equal(qcow2_snapshot_delete(img, s->name), -ENOENT);
        free(s->model);
        s->model = NULL;
    }
}

static void snapshots_compare(const char *path)
{
    for (unsigned n = 0; n < ARRAY_SIZE(saved); n++) {
        if (saved[n].model != NULL) {
            BlockImage *img = must_open(path, true);

            assert_int_equal(qcow2_snapshot_view(img, saved[n].name), 0);
            assert_int_equal(img->size, saved[n].size);
            compare(img, saved[n].model, 0, (uint32_t)img->size);
            image_unref(img);
            free(saved[n].model);
            saved[n].model = NULL;
        }
    }
}

/* discard_op - each sector holds what it held, or zeros. */
static int discard_op(BlockImage *img, uint8_t *model, uint64_t at, uint32_t len)
{
    static const uint8_t zeros[512];
    static uint8_t buf[PIECE];
    int r = image_discard(img, at, len);

    r = r == 0 ? image_read(img, at, buf, len) : r;
    for (uint32_t n = 0; n < len && r == 0; n += 512) {
        if (memcmp(buf + n, model + at + n, 512) != 0) {
            assert_int_equal(memcmp(buf + n, zeros, 512), 0);
            memset(model + at + n, 0, 512);
        }
    }
    return r;
}

/* commit_op - to what is behind, as `commit` does; and the image holds nothing of its own then. */
static int commit_op(BlockImage *img)
{
    BlockImage *base = img->backing;
    Error *err = NULL;
    int r;

    if (base == NULL || ((Qcow2 *)img->priv)->snapshots != 0) {
        return 0; /* what is behind shows through snapshots too */
    }
    if (base->read_only && !image_make_writable(base, &err)) {
        fail_msg("%s", error_text(err));
    }
    r = image_commit(img, base, NULL, NULL);
    return r == 0 ? qcow2_make_empty(img) : r;
}

/* one_op - on image and model. */
static BlockImage *one_op(BlockImage *img, const char *path, uint8_t *model)
{
    unsigned what = rnd() % 100;
    uint32_t len = (uint32_t)(rnd() % 4 == 0 ? rnd() % PIECE : rnd() % 20000) & ~511u;
    uint64_t at = rnd() % img->size & ~511ull;
    int r = 0;

    len = (uint32_t)MIN(len, img->size - at);
    if (what < 45) {
        uint8_t *p = model + at;

        for (uint32_t n = 0; n < len; n++) {
            p[n] = (uint8_t)((at + n) / 512 * 31 + n + what);
        }
        r = image_write(img, at, p, len);
    } else if (what < 75) {
        compare(img, model, at, len);
    } else if (what < 86) {
        memset(model + at, 0, len);
        r = what < 82 ? image_zero(img, at, len) : image_zero_keep(img, at, len);
    } else if (what < 90) {
        r = discard_op(img, model, at, len);
    } else if (what < 96) {
        r = image_flush(img);
    } else if (what < 97) {
        image_unref(img);
        img = must_open(path, false);
    } else if (what < 99 && img->fmt == &qcow2_format) {
        if (rnd() % 3 == 0) {
            r = commit_op(img);
        } else {
            snapshot_op(img, model);
        }
    } else if (img->fmt->truncate != NULL && (img->fmt != &qcow2_format || ((const Qcow2 *)img->priv)->version >= 3) && img->size + (1 << 20) <= MODEL_MAX) {
        r = image_truncate(img, img->size + (1 << 20));
    }
    assert_int_equal(r, 0);
    return img;
}

/* data_compare - a raw data file is the disk; it goes. */
static void data_compare(const Qcow2Options *o, const uint8_t *model)
{
    uint8_t *data = xnewn(uint8_t, MODEL_MAX);
    int fd = open(data_path, O_RDONLY);
    ssize_t n = read(fd, data, MODEL_MAX);

    assert_true(n >= (ssize_t)o->size);
    assert_true(!o->data_raw || memcmp(data, model, (size_t)n) == 0);
    close(fd);
    free(data);
    unlink(data_path);
}

static void run(const Qcow2Options *o, unsigned ops, const char *behind)
{
    autofree char *path = path_of("x.qcow2");
    uint8_t *model = xnewn(uint8_t, MODEL_MAX);
    BlockImage *img;

    format = o->version != 0 ? "qcow2" : o->backing_format != NULL ? o->backing_format : "raw";
    if (new_disk(path, format, o->size, o->whole)) {
        /* it is there */
    } else if (o->version != 0) {
        must_create(path, o);
    } else {
        int fd = open(path, O_RDWR | O_CREAT, 0600);

        assert_int_equal(ftruncate(fd, (off_t)o->size), 0);
        close(fd);
    }
    img = must_open(path, false);
    if (behind != NULL) {
        BlockImage *b = must_open(behind, true);

        assert_non_null(img->backing);
        assert_int_equal(image_read(b, 0, model, (uint32_t)MIN(b->size, o->size)), 0);
        image_unref(b);
    }
    for (unsigned n = 0; n < ops; n++) {
        img = one_op(img, path, model);
        if (n % MAX(ops / 100, 100u) == 0) {
            compare(img, model, 0, (uint32_t)img->size);
            must_check(img);
        }
    }
    compare(img, model, 0, (uint32_t)img->size);
    must_check(img);
    image_unref(img);
    qemu_check(path);
    img = must_open(path, true);
    compare(img, model, 0, (uint32_t)img->size);
    image_unref(img);
    snapshots_compare(path);
    if (o->data_file != NULL) {
        data_compare(o, model);
    }
    free(model);
    unlink(path);
    format = "qcow2";
}

static unsigned op_count(void)
{
    const char *s = getenv("QCOW2_OPS");

    return s != NULL ? (unsigned)atoi(s) : 1700;
}

static void test_model(void **state)
{
    static const Qcow2Options kinds[] = {
        { 12 << 20, 3, 65536, 16, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL },
        { 12 << 20, 2, 65536, 16, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL },
        { 3 << 20, 3, 512, 16, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL },
        { 4 << 20, 3, 4096, 1, true, QCOW2_PREALLOC_OFF, 0, NULL, NULL },
        { 4 << 20, 3, 1024, 64, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL },
        { 12 << 20, 3, 2 << 20, 16, false, QCOW2_PREALLOC_METADATA, 0, NULL, NULL },
        { 6 << 20, 3, 8192, 2, false, QCOW2_PREALLOC_METADATA, 0, NULL, NULL },
        { 6 << 20, 3, 16384, 8, false, QCOW2_PREALLOC_FULL, 0, NULL, NULL },
        { 12 << 20, 3, 65536, 16, .extended_l2 = true },
        { 6 << 20, 3, 16384, 1, .extended_l2 = true, .preallocation = QCOW2_PREALLOC_METADATA },
        { 12 << 20, 3, 65536, 16, .data_file = data_path },
        { 6 << 20, 3, 4096, 16, .data_file = data_path, .data_raw = true },
        { 12 << 20, 3, 2 << 20, 64, .data_file = data_path, .extended_l2 = true },
        { 12 << 20, 3, 16384, 16, .data_file = data_path, .data_raw = true, .extended_l2 = true },
        { 12 << 20, 0 },
        { 12 << 20, 0, .backing_format = "vdi" },
        { 12 << 20, 0, .backing_format = "vpc" },
        { 12 << 20, 0, .backing_format = "vpc", .whole = true },
        { 12 << 20, 0, .backing_format = "vmdk" },
        { 3 << 20, 0, .backing_format = "vmdk", .whole = true },
        { 12 << 20, 0, .backing_format = "vhdx" },
        { 12 << 20, 0, .backing_format = "vhdx", .whole = true },
    };

    for (unsigned n = 0; n < ARRAY_SIZE(kinds); n++) {
        run(&kinds[n], op_count(), NULL);
    }
    print_message("done: %u operations on each of %zu kinds\n", op_count(), ARRAY_SIZE(kinds));
}

static void test_backing(void **state)
{
    autofree char *base = path_of("base.qcow2"), *raw = path_of("base.raw");
    Qcow2Options b = { 5 << 20, 3, 65536, 16, false, QCOW2_PREALLOC_OFF, 0, "base.raw", "raw" };
    Qcow2Options o = { 8 << 20, 3, 32768, 16, false, QCOW2_PREALLOC_OFF, 0, "base.qcow2", "qcow2" };
    uint8_t *junk = xnewn(uint8_t, 3 << 20);
    int fd = open(raw, O_RDWR | O_CREAT, 0600);
    BlockImage *img;

    for (unsigned n = 0; n < 3 << 20; n++) {
        junk[n] = (uint8_t)(n * 7 + n / 512);
    }
    assert_int_equal(pwrite(fd, junk, 3 << 20, 0), 3 << 20); /* shorter than what stands on it */
    close(fd);
    must_create(base, &b);
    img = must_open(base, false);
    assert_int_equal(image_write(img, 1 << 20, junk, 100000 & ~511), 0);
    assert_int_equal(image_zero(img, 2 << 20, 1 << 18), 0);
    image_unref(img);
    run(&o, op_count(), base);
    o.extended_l2 = true;
    run(&o, op_count(), base);
    o.data_file = data_path;
    run(&o, op_count(), base);
    o.extended_l2 = false;
    run(&o, op_count(), base);
    o.data_file = NULL;
    o.version = 2;
    run(&o, op_count(), base);
    free(junk);
    unlink(base);
    unlink(raw);
}

/* ---- several threads ---- */

typedef struct Worker {
    BlockImage *img;
    uint64_t base; /* its sectors: every fourth, so that clusters are shared */
    unsigned ops;
    int result;
} Worker;

static void *work(void *opaque)
{
    Worker *w = opaque;
    uint8_t buf[512];
    uint64_t s = w->base + 1;

    for (unsigned n = 0; n < w->ops && w->result == 0; n++) {
        uint64_t sector;

        s = s * 6364136223846793005ull + 1442695040888963407ull;
        sector = ((s >> 33) % 4096) * 4 + w->base;
        memset(buf, (int)(sector * 3 + 1), sizeof(buf));
        w->result = n % 50 == 49 ? image_flush(w->img) : image_write(w->img, sector * 512, buf, sizeof(buf));
        if (w->result == 0 && n % 50 != 49) {
            w->result = image_read(w->img, sector * 512, buf, sizeof(buf));
            if (buf[17] != (uint8_t)(sector * 3 + 1)) {
                w->result = -1000;
            }
        }
    }
    return NULL;
}

static void threads_on(const Qcow2Options *o)
{
    autofree char *path = path_of("threads.qcow2");
    pthread_t threads[4];
    Worker w[4];
    uint8_t buf[512];
    BlockImage *img;

    must_create(path, o);
    img = must_open(path, false);
    for (unsigned n = 0; n < 4; n++) {
        w[n] = (Worker){ img, n, 2000, 0 };
        assert_int_equal(pthread_create(&threads[n], NULL, work, &w[n]), 0);
    }
    for (unsigned n = 0; n < 4; n++) {
        pthread_join(threads[n], NULL);
        assert_int_equal(w[n].result, 0);
    }
    for (uint64_t sector = 0; sector < 16384; sector++) { /* what was written is there, the rest is zeros */
        assert_int_equal(image_read(img, sector * 512, buf, sizeof(buf)), 0);
        assert_true(buf[0] == 0 || buf[0] == (uint8_t)(sector * 3 + 1));
        assert_int_equal(buf[0], buf[511]);
    }
    must_check(img);
    image_unref(img);
    qemu_check(path);
    unlink(path);
}

static void test_threads(void **state)
{
    threads_on(&(Qcow2Options){ 8 << 20, 3, 65536, 16 });
    threads_on(&(Qcow2Options){ 8 << 20, 3, 65536, 16, .extended_l2 = true });
}

static int setup(void **state)
{
    bool ok = mkdtemp(dir) != NULL;

    snprintf(data_path, sizeof(data_path), "%s/x.data", dir);
    return ok ? 0 : -1;
}

static int teardown(void **state)
{
    return rmdir(dir);
}

int main(void)
{
    const char *s = getenv("QCOW2_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_backing),
        cmocka_unit_test(test_threads),
    };

    seed = s != NULL ? strtoull(s, NULL, 10) * 2 + 1 : seed;
    fault_disarm(); /* nobody waits for the disk */
    return cmocka_run_group_tests(tests, setup, teardown);
}
