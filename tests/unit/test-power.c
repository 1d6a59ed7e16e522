/*
 * Images without power: random operations, and before each change or flush of the host file, perhaps, the power goes.
 * What the file could hold then opens, has no errors, and in each sector what the last flush left or what was written
 * since; snapshots are whole. Opened for writing it gives its leaks back. POWER_POINTS is how often in all, POWER_SEED
 * what to do. One in a hundred is shown to qemu-img too.
 */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "block/qcow2.h"
#include "tests/lib/faultio.h"

#define SECTOR 512u
#define SECTORS 4096u /* of the largest disk */
#define KEPT 12u      /* values of a sector since the last flush */
#define SNAPSHOTS 3u

static char dir[] = "/tmp/doppel-power-XXXXXX";
static uint64_t seed = 7777777;
static unsigned points, wanted;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* ---- what a disk may hold ---- */

typedef struct Cell {
    uint32_t value[KEPT]; /* [0] is flushed; 0 is zeros */
    unsigned count;
} Cell;

typedef struct Snapshot {
    char name[16];
    bool there, going; /* going: being deleted */
    uint32_t sectors, value[SECTORS];
} Snapshot;

typedef struct Disk {
    Cell cell[SECTORS];
    uint32_t sectors, larger; /* larger: it may have grown to that */
    uint32_t next;
    Snapshot snapshot[SNAPSHOTS];
} Disk;

static Disk disk;
static char *work, *cut;
static const char *format;

static void put_value(uint8_t *p, uint32_t sector, uint32_t value)
{
    for (uint32_t n = 0; n < SECTOR; n += 8) {
        uint32_t v[2] = { value, value != 0 ? sector * 2654435761u + n : 0 };

        memcpy(p + n, v, 8);
    }
}

static bool holds(const uint8_t *p, uint32_t sector, uint32_t value)
{
    uint8_t want[SECTOR];

    put_value(want, sector, value);
    return memcmp(p, want, SECTOR) == 0;
}

/* may_hold - it will, when the operation that begins now is done. */
static void may_hold(uint32_t sector, uint32_t value)
{
    Cell *c = &disk.cell[sector];

    assert_true(c->count < KEPT);
    c->value[c->count++] = value;
}

/* settled - all is on stable storage. */
static void settled(void)
{
    for (uint32_t n = 0; n < SECTORS; n++) {
        disk.cell[n].value[0] = disk.cell[n].value[disk.cell[n].count - 1];
        disk.cell[n].count = 1;
    }
}

/* ---- the power goes ---- */

static void say_finding(void *opaque, const char *line)
{
    print_message("%s\n", line);
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

static void must_be_sound(BlockImage *img, bool leaks_too)
{
    Qcow2Check c;

    if (img->fmt != &qcow2_format) {
        return;
    }
    assert_int_equal(qcow2_check(img, 0, &c, NULL, NULL), 0);
    leaks_too &= ((Qcow2 *)img->priv)->version >= 3;
    if (c.corruptions != 0 || (leaks_too && c.leaks != 0)) {
        qcow2_check(img, 0, &c, say_finding, NULL);
        fail_msg("%llu errors, %llu leaks", (unsigned long long)c.corruptions, (unsigned long long)c.leaks);
    }
}

static uint8_t bytes[SECTORS * SECTOR];

static void compare_disk(BlockImage *img)
{
    uint32_t sectors = (uint32_t)(img->size / SECTOR);

    assert_true(sectors == disk.sectors || (disk.larger != 0 && sectors == disk.larger));
    assert_int_equal(image_read(img, 0, bytes, sectors * SECTOR), 0);
    for (uint32_t n = 0; n < sectors; n++) {
        const Cell *c = &disk.cell[n];
        unsigned k = c->count;

        while (k > 0 && !holds(bytes + n * SECTOR, n, c->value[k - 1])) {
            k--;
        }
        if (k == 0) {
            fail_msg("sector %u holds %08x, and %u at first, of %u", n, ld_le32(bytes + n * SECTOR), c->value[0], c->count);
        }
    }
}

static void compare_snapshots(const char *path)
{
    for (unsigned s = 0; s < SNAPSHOTS; s++) {
        const Snapshot *sn = &disk.snapshot[s];
        BlockImage *img;
        int r;

        if (!sn->there) {
            continue;
        }
        img = must_open(path, true);
        r = qcow2_snapshot_view(img, sn->name);
        assert_true(r == 0 || (r == -ENOENT && sn->going));
        if (r == 0) {
            assert_int_equal(img->size, (uint64_t)sn->sectors * SECTOR);
            assert_int_equal(image_read(img, 0, bytes, sn->sectors * SECTOR), 0);
            for (uint32_t n = 0; n < sn->sectors; n++) {
                assert_true(holds(bytes + n * SECTOR, n, sn->value[n]));
            }
        }
        image_unref(img);
    }
}

/* ask_qemu - errors there would be 2; leaks, 3, are gone. */
static void ask_qemu(const char *path)
{
    autofree char *cmd = xasprintf("qemu-img check -q -f %s %s", format, path);
    static int have = -1;

    if (strcmp(format, "raw") == 0) {
        return;
    }
    have = have < 0 ? system("command -v qemu-img >/dev/null 2>&1") == 0 : have;
    if (have) {
        int r = system(cmd);

        assert_true(r == 0 || WEXITSTATUS(r) == 3);
    }
}

static void power_goes(void *opaque)
{
    BlockImage *img;

    if (points == 0 || rnd() % 4 != 0) {
        return;
    }
    points--;
    unlink(cut);
    power_cut(cut, rnd);
    img = must_open(cut, true);
    must_be_sound(img, false);
    compare_disk(img);
    image_unref(img);
    compare_snapshots(cut);
    img = must_open(cut, false);
    image_unref(img);
    img = must_open(cut, true);
    must_be_sound(img, true);
    compare_disk(img);
    image_unref(img);
    if (points % 100 == 0) {
        ask_qemu(cut);
    }
}

/* ---- operations ---- */

static bool room(uint32_t at, uint32_t n)
{
    for (uint32_t k = at; k < at + n; k++) {
        if (disk.cell[k].count == KEPT) {
            return false;
        }
    }
    return true;
}

static int do_write(BlockImage *img, uint32_t at, uint32_t n, bool zero)
{
    static uint8_t out[200 * SECTOR];

    for (uint32_t k = 0; k < n; k++) {
        uint32_t value = zero ? 0 : ++disk.next;

        may_hold(at + k, value);
        put_value(out + k * SECTOR, at + k, value);
    }
    return zero ? image_zero(img, (uint64_t)at * SECTOR, (uint64_t)n * SECTOR)
                : image_write(img, (uint64_t)at * SECTOR, out, n * SECTOR);
}

static int do_flush(BlockImage *img)
{
    int r = image_flush(img);

    if (r == 0) {
        settled();
    }
    return r;
}

static int do_grow(BlockImage *img)
{
    int r;

    if (disk.sectors + 512 > SECTORS || (img->fmt == &qcow2_format && ((Qcow2 *)img->priv)->version < 3)) {
        return 0;
    }
    disk.larger = disk.sectors + 512;
    r = image_truncate(img, (uint64_t)disk.larger * SECTOR);
    if (r == 0 && img->fmt == &qcow2_format) { /* a raw file's size is the next flush's */
        disk.sectors = disk.larger;
        disk.larger = 0;
    } else if (r == 0) {
        r = image_flush(img);
        settled();
        disk.sectors = disk.larger;
        disk.larger = 0;
    }
    return r;
}

static int do_snapshot(BlockImage *img)
{
    static unsigned serial;
    Snapshot *s = &disk.snapshot[rnd() % SNAPSHOTS];
    int r = 0;

    if (img->fmt != &qcow2_format) {
        return 0;
    }
    if (!s->there) {
        snprintf(s->name, sizeof(s->name), "s%u", serial++);
        r = qcow2_snapshot_create(img, s->name);
        if (r == 0) {
            settled();
            s->there = true;
            s->sectors = disk.sectors;
            for (uint32_t n = 0; n < SECTORS; n++) {
                s->value[n] = disk.cell[n].value[0];
            }
        }
        return r == -EINVAL ? do_flush(img) : r; /* the counts are too narrow for one more */
    }
    if (rnd() % 2 == 0) {
        s->going = true;
        r = qcow2_snapshot_delete(img, s->name);
        s->there = s->going = false;
        settled();
        return r;
    }
    if (s->sectors != disk.sectors || !room(0, SECTORS)) {
        return 0;
    }
    for (uint32_t n = 0; n < SECTORS; n++) {
        may_hold(n, s->value[n]);
    }
    r = qcow2_snapshot_apply(img, s->name);
    assert_true(r == 0 || r == -EINVAL);
    if (r != 0) {
        for (uint32_t n = 0; n < SECTORS; n++) {
            disk.cell[n].count--;
        }
        r = image_flush(img);
    }
    settled();
    return r;
}

static int one_op(BlockImage *img)
{
    unsigned what = rnd() % 100;
    uint32_t at = (uint32_t)(rnd() % disk.sectors), n = (uint32_t)(rnd() % 4 == 0 ? rnd() % 200 : rnd() % 12) + 1;

    n = MIN(n, disk.sectors - at);
    if (what < 75) {
        return room(at, n) ? do_write(img, at, n, what >= 55) : do_flush(img);
    }
    return what < 94 ? do_flush(img) : what < 98 ? do_snapshot(img) : do_grow(img);
}

static void run(const Qcow2Options *o)
{
    Error *err = NULL;
    BlockImage *img;

    memset(&disk, 0, sizeof(disk));
    disk.sectors = (uint32_t)(o->size / SECTOR);
    for (uint32_t n = 0; n < SECTORS; n++) {
        disk.cell[n].count = 1;
    }
    format = o->version != 0 ? "qcow2" : "raw";
    unlink(work);
    if (o->version == 0) {
        int fd = open(work, O_RDWR | O_CREAT, 0600);

        assert_int_equal(ftruncate(fd, (off_t)o->size), 0);
        close(fd);
    } else if (!qcow2_create(work, o, &err)) {
        fail_msg("%s", error_text(err));
    }
    power_begin(work, power_goes, NULL);
    img = must_open(work, false);
    for (unsigned n = 0; n < 400 && points > 0; n++) {
        assert_int_equal(one_op(img), 0);
        if (rnd() % 64 == 0) { /* closed: all is there */
            assert_int_equal(image_flush(img), 0); /* of a raw one that is its owner's matter */
            image_unref(img);
            settled();
            img = must_open(work, false);
        }
    }
    assert_int_equal(image_flush(img), 0);
    image_unref(img);
    settled();
    power_end();
    img = must_open(work, true);
    must_be_sound(img, true);
    compare_disk(img);
    image_unref(img);
    compare_snapshots(work);
    ask_qemu(work);
}

static void test_kind(void **state)
{
    const Qcow2Options *o = *state;

    points = wanted;
    while (points > 0) {
        run(o);
    }
}

static int setup(void **state)
{
    work = mkdtemp(dir) != NULL ? xasprintf("%s/work.img", dir) : NULL;
    cut = xasprintf("%s/cut.img", dir);
    return work != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    autofree char *cmd = xasprintf("rm -rf %s", dir);

    free(work);
    free(cut);
    return system(cmd);
}

int main(void)
{
    static const Qcow2Options kinds[] = {
        { 1 << 20, 3, 4096, 16, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL },
        { 512 << 10, 3, 512, 16, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL },
        { 1 << 20, 3, 65536, 16, true, QCOW2_PREALLOC_METADATA, 0, NULL, NULL },
        { 1 << 20, 3, 2048, 1, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL },
        { 1 << 20, 2, 4096, 16, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL },
        { 1 << 20, 0 },
    };
    const struct CMUnitTest tests[] = {
        { "4 KiB clusters", test_kind, NULL, NULL, (void *)&kinds[0] },
        { "512-byte clusters", test_kind, NULL, NULL, (void *)&kinds[1] },
        { "64 KiB clusters, preallocated", test_kind, NULL, NULL, (void *)&kinds[2] },
        { "2 KiB clusters, counts of 1 bit", test_kind, NULL, NULL, (void *)&kinds[3] },
        { "version 2", test_kind, NULL, NULL, (void *)&kinds[4] },
        { "raw", test_kind, NULL, NULL, (void *)&kinds[5] },
    };
    const char *s = getenv("POWER_SEED"), *n = getenv("POWER_POINTS");

    seed = s != NULL ? strtoull(s, NULL, 10) * 2 + 1 : seed;
    wanted = (n != NULL ? (unsigned)strtoul(n, NULL, 10) : 400) / (unsigned)ARRAY_SIZE(kinds) + 1;
    return cmocka_run_group_tests(tests, setup, teardown);
}
