/*
 * Images against a flat model: random reads, writes, zeros, discards, flushes, snapshots, commits, reopening and
 * resizing, for several geometries of qcow2, with and without an image behind, and for the other formats that can be
 * written; the image is consistent by our own check all along and by qemu-img's at the end. QCOW2_OPS is the count of
 * operations on each format, shared by its kinds, QCOW2_SEED which; QCOW2_FORMATS names the formats, else all.
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
#include "tests/lib/scratch.h"

#define MODEL_MAX (24u << 20)
#define SIZE_MIN (1u << 20)
#define PIECE (300u << 10)
#define POOL (2u << 20)

static char *dir;
static char data_path[64];
static uint64_t seed = 88172645463325252ull;
static uint8_t pool[POOL]; /* what is written is a piece of it */

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static const char *format = "qcow2"; /* of what is opened */

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

static void use_folder(char *name)
{
    dir = name;
    snprintf(data_path, sizeof(data_path), "%s/x.data", dir);
}

/* leave_folder - nothing is left in it. */
static int leave_folder(void)
{
    int r = rmdir(dir);

    free(dir);
    return r;
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

/* resize_op - what is cut off is zeros when the disk grows again. */
static int resize_op(BlockImage *img, uint8_t *model)
{
    const Qcow2 *q = img->fmt == &qcow2_format ? img->priv : NULL;
    uint64_t old = img->size, size = (SIZE_MIN + rnd() % (MODEL_MAX - SIZE_MIN)) & ~511ull;

    if (img->fmt->truncate == NULL) {
        return 0;
    }
    if (q != NULL && q->version < 3 && q->snapshots != 0) {
        assert_int_equal(image_truncate(img, size), -ENOTSUP);
        return 0;
    }
    if (size < old) {
        memset(model + size, 0, old - size);
    }
    return image_truncate(img, size);
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
        memcpy(model + at, pool + rnd() % (POOL - PIECE), len);
        r = image_write(img, at, model + at, len);
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
    } else {
        r = resize_op(img, model);
    }
    assert_int_equal(r, 0);
    return img;
}

/* data_compare - a raw data file is the disk of @size bytes; it goes. */
static void data_compare(const Qcow2Options *o, const uint8_t *model, uint64_t size)
{
    uint8_t *data = xnewn(uint8_t, MODEL_MAX);
    int fd = open(data_path, O_RDONLY);
    ssize_t n = read(fd, data, MODEL_MAX);

    assert_true(n >= (ssize_t)size);
    assert_true(!o->data_raw || memcmp(data, model, (size_t)n) == 0);
    close(fd);
    free(data);
    unlink(data_path);
}

/* format_of - "qcow2" has a version; the others are told by their name. */
static const char *format_of(const Qcow2Options *o)
{
    return o->version != 0 ? "qcow2" : o->backing_format != NULL ? o->backing_format : "raw";
}

static void run(const Qcow2Options *o, unsigned ops, const char *behind)
{
    autofree char *path = path_of("x.qcow2");
    uint8_t *model = xnewn(uint8_t, MODEL_MAX);
    BlockImage *img;
    uint64_t size;

    format = format_of(o);
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
    size = img->size;
    image_unref(img);
    snapshots_compare(path);
    if (o->data_file != NULL) {
        data_compare(o, model, size);
    }
    free(model);
    unlink(path);
    format = "qcow2";
}

/* ---- the kinds ---- */

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

/* with an image behind, which is smaller */
static const Qcow2Options overlays[] = {
    { 8 << 20, 3, 32768, 16, false, QCOW2_PREALLOC_OFF, 0, "base.qcow2", "qcow2" },
    { 8 << 20, 3, 32768, 16, false, QCOW2_PREALLOC_OFF, 0, "base.qcow2", "qcow2", .extended_l2 = true },
    { 8 << 20, 3, 32768, 16, false, QCOW2_PREALLOC_OFF, 0, "base.qcow2", "qcow2", data_path, .extended_l2 = true },
    { 8 << 20, 3, 32768, 16, false, QCOW2_PREALLOC_OFF, 0, "base.qcow2", "qcow2", data_path },
    { 8 << 20, 2, 32768, 16, false, QCOW2_PREALLOC_OFF, 0, "base.qcow2", "qcow2" },
};

typedef struct Choice {
    const char *format;
    bool wanted;
    unsigned runs, ops; /* kinds of it; operations on each */
} Choice;

static Choice choices[] = { { "qcow2" }, { "raw" }, { "vdi" }, { "vpc" }, { "vmdk" }, { "vhdx" } };

static Choice *choice_of(const char *name)
{
    unsigned n = 0;

    while (n < ARRAY_SIZE(choices) && strcmp(choices[n].format, name) != 0) {
        n++;
    }
    return n < ARRAY_SIZE(choices) ? &choices[n] : NULL;
}

/* choose - by the environment; false: a format is not one of these. */
static bool choose(void)
{
    const char *ops = getenv("QCOW2_OPS"), *names = getenv("QCOW2_FORMATS");
    autofree char *copy = xstrdup(names != NULL ? names : "qcow2 raw vdi vpc vmdk vhdx");

    for (char *name = strtok(copy, " "); name != NULL; name = strtok(NULL, " ")) {
        Choice *c = choice_of(name);

        if (c == NULL) {
            print_error("QCOW2_FORMATS: no %s is written here\n", name);
            return false;
        }
        c->runs = c == choices ? ARRAY_SIZE(overlays) : 0;
        for (unsigned n = 0; n < ARRAY_SIZE(kinds); n++) {
            c->runs += choice_of(format_of(&kinds[n])) == c;
        }
        c->wanted = true;
        c->ops = ((ops != NULL ? (unsigned)atoi(ops) : 20000) + c->runs - 1) / c->runs;
    }
    return true;
}

static void test_model(void **state)
{
    for (unsigned n = 0; n < ARRAY_SIZE(kinds); n++) {
        const Choice *c = choice_of(format_of(&kinds[n]));

        if (c->wanted) {
            run(&kinds[n], c->ops, NULL);
        }
    }
}

/* first_of - a format's first kind. */
static const Qcow2Options *first_of(const Choice *c)
{
    unsigned n = 0;

    while (choice_of(format_of(&kinds[n])) != c) {
        n++;
    }
    return &kinds[n];
}

/* test_on_disk - a hundredth, where holes and zeros are made by the file system of a disk. */
static void test_on_disk(void **state)
{
    char *memory = dir;

    use_folder(scratch_on_disk("qcow2"));
    for (const Choice *c = choices; c < choices + ARRAY_SIZE(choices); c++) {
        if (c->wanted) {
            run(first_of(c), c->ops / 100 + 100, NULL);
        }
    }
    assert_int_equal(leave_folder(), 0);
    use_folder(memory);
}

static void test_backing(void **state)
{
    autofree char *base = path_of("base.qcow2"), *raw = path_of("base.raw");
    Qcow2Options b = { 5 << 20, 3, 65536, 16, false, QCOW2_PREALLOC_OFF, 0, "base.raw", "raw" };
    const Choice *c = choice_of("qcow2");
    uint8_t *junk;
    BlockImage *img;
    int fd;

    if (!c->wanted) {
        return;
    }
    junk = xnewn(uint8_t, 3 << 20);
    fd = open(raw, O_RDWR | O_CREAT, 0600);
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
    for (unsigned n = 0; n < ARRAY_SIZE(overlays); n++) {
        run(&overlays[n], c->ops, base);
    }
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
    if (!choice_of("qcow2")->wanted) {
        return;
    }
    threads_on(&(Qcow2Options){ 8 << 20, 3, 65536, 16 });
    threads_on(&(Qcow2Options){ 8 << 20, 3, 65536, 16, .extended_l2 = true });
}

/* What reaches the host's disk. */
static uint64_t host_flushes, host_bytes;

static ssize_t counting_pwrite(int fd, const void *buf, size_t len, off_t at)
{
    host_bytes += len;
    return pwrite(fd, buf, len, at);
}

static int counting_fdatasync(int fd)
{
    host_flushes++;
    return 0;
}

/* synced_on - each of 500 writes of 4 KiB fills a new cluster and is flushed: with one flush of the host's, but for a few, and
 * with a page each of data, map and counts, however large the tables are. */
static void synced_on(const Qcow2Options *o, unsigned extra)
{
    autofree char *path = path_of("synced.qcow2");
    const HostCalls *old = host_calls;
    HostCalls counting = host_system_calls;
    BlockImage *img;

    counting.pwrite = counting_pwrite;
    counting.fdatasync = counting_fdatasync;
    must_create(path, o);
    img = must_open(path, false);
    assert_int_equal(image_write(img, 0, pool, 4096), 0); /* the first table is made */
    assert_int_equal(image_flush(img), 0);
    host_flushes = host_bytes = 0;
    host_calls = &counting;
    for (uint64_t n = 1; n <= 500; n++) {
        assert_int_equal(image_write(img, n * o->cluster_size, pool, 4096), 0);
        assert_int_equal(image_flush(img), 0);
    }
    host_calls = old;
    assert_in_range(host_flushes, 500, 500 + extra);
    assert_in_range(host_bytes, 500 * 4096, 500 * 4096 * 3);
    must_check(img);
    image_unref(img);
    qemu_check(path);
    unlink(path);
}

static void test_synced(void **state)
{
    if (!choice_of("qcow2")->wanted) {
        return;
    }
    synced_on(&(Qcow2Options){ 1u << 30, 3, 65536, 16 }, 20);
    synced_on(&(Qcow2Options){ 2ull << 30, 3, 2u << 20, 16 }, 20);
    synced_on(&(Qcow2Options){ 1u << 30, 2, 65536, 16 }, 520); /* it has no dirty bit: its counts come first each time */
}

static int setup(void **state)
{
    for (uint32_t n = 0; n < POOL; n++) { /* the second half can be compressed */
        pool[n] = (uint8_t)(n < POOL / 2 ? rnd() : n % 256 == 0 ? rnd() & 3 : pool[n - 1]);
    }
    use_folder(scratch_new("qcow2"));
    return choose() ? 0 : -1;
}

static int teardown(void **state)
{
    for (const Choice *c = choices; c < choices + ARRAY_SIZE(choices); c++) {
        if (c->wanted) {
            print_message("done: %s: %u operations on each of %u kinds\n", c->format, c->ops, c->runs);
        }
    }
    return leave_folder();
}

int main(void)
{
    const char *s = getenv("QCOW2_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_on_disk),
        cmocka_unit_test(test_backing),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_synced),
    };

    seed = s != NULL ? strtoull(s, NULL, 10) * 2 + 1 : seed;
    fault_disarm(); /* nobody waits for the disk */
    return cmocka_run_group_tests(tests, setup, teardown);
}
