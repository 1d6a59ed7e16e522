/*
 * A disk and what it may hold. See disk-model.h.
 */
#include "tests/lib/disk-model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "tests/lib/new-disk.h"
#include "tests/test.h"

DiskModel *disk;
static const char *format;
static bool split; /* it has a data file */

uint64_t rnd(void)
{
    disk->seed ^= disk->seed << 13;
    disk->seed ^= disk->seed >> 7;
    disk->seed ^= disk->seed << 17;
    return disk->seed;
}


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
    Cell *c = &disk->cell[sector];

    assert_true(c->count < KEPT);
    c->value[c->count++] = value;
}

/* settled - all is on stable storage. */
void model_settled(void)
{
    for (uint32_t n = 0; n < SECTORS; n++) {
        disk->cell[n].value[0] = disk->cell[n].value[disk->cell[n].count - 1];
        disk->cell[n].count = 1;
    }
}

/* ---- after a crash ---- */

static void say_finding(void *opaque, const char *line)
{
    print_message("%s\n", line);
}

char *model_data(const char *path)
{
    return split ? xasprintf("%s.data", path) : NULL;
}

BlockImage *model_open(const char *path, bool read_only)
{
    autofree char *data = model_data(path);
    Error *err = NULL;
    BlockImage *img = image_open_split(path, format, read_only ? IMAGE_READ_ONLY : 0, BLK_WRITEBACK, data, &err);

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

    assert_true(sectors == disk->sectors || (disk->larger != 0 && sectors == disk->larger));
    assert_int_equal(image_read(img, 0, bytes, sectors * SECTOR), 0);
    for (uint32_t n = 0; n < sectors; n++) {
        const Cell *c = &disk->cell[n];
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
        const ModelSnapshot *sn = &disk->snapshot[s];
        BlockImage *img;
        int r;

        if (!sn->there) {
            continue;
        }
        img = model_open(path, true);
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
    autofree char *cmd = xasprintf(split ? "qemu-img check -q --image-opts driver=%s,file.filename=%s,data-file.driver=file,"
                                           "data-file.filename=%s.data >/dev/null 2>&1"
                                         : "qemu-img check -q -f %s %s >/dev/null 2>&1", format, path, path);
    static int have = -1;

    if (strcmp(format, "raw") == 0 || strcmp(format, "vpc") == 0) { /* it has no check for these */
        return;
    }
    have = have < 0 ? system("command -v qemu-img >/dev/null 2>&1") == 0 : have;
    if (have) {
        int r = system(cmd);

        assert_true(r == 0 || WEXITSTATUS(r) == 3);
    }
}

void model_check(const char *path, bool qemu)
{
    BlockImage *img = model_open(path, true);

    must_be_sound(img, false);
    compare_disk(img);
    image_unref(img);
    compare_snapshots(path);
    img = model_open(path, false);
    image_unref(img);
    img = model_open(path, true);
    must_be_sound(img, true);
    compare_disk(img);
    image_unref(img);
    if (qemu) {
        ask_qemu(path);
    }
}

void model_learn(const char *path)
{
    BlockImage *img = model_open(path, true);

    disk->sectors = (uint32_t)(img->size / SECTOR);
    disk->larger = 0;
    assert_int_equal(image_read(img, 0, bytes, disk->sectors * SECTOR), 0);
    for (uint32_t n = 0; n < disk->sectors; n++) {
        Cell *c = &disk->cell[n];
        unsigned k = c->count;

        while (k > 1 && !holds(bytes + n * SECTOR, n, c->value[k - 1])) {
            k--;
        }
        c->value[0] = c->value[k - 1];
        c->count = 1;
    }
    image_unref(img);
    for (unsigned s = 0; s < SNAPSHOTS; s++) {
        ModelSnapshot *sn = &disk->snapshot[s];

        if (sn->there && sn->going) {
            img = model_open(path, true);
            sn->there = qcow2_snapshot_view(img, sn->name) == 0;
            image_unref(img);
        }
        sn->going = false;
    }
}

/* ---- operations ---- */

static bool room(uint32_t at, uint32_t n)
{
    for (uint32_t k = at; k < at + n; k++) {
        if (disk->cell[k].count == KEPT) {
            return false;
        }
    }
    return true;
}

static int do_write(BlockImage *img, uint32_t at, uint32_t n, bool zero)
{
    static uint8_t out[200 * SECTOR];

    for (uint32_t k = 0; k < n; k++) {
        uint32_t value = zero ? 0 : ++disk->next;

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
        model_settled();
    }
    return r;
}

static int do_grow(BlockImage *img)
{
    int r;

    if (disk->sectors + 512 > SECTORS || img->fmt->truncate == NULL || (img->fmt == &qcow2_format && ((Qcow2 *)img->priv)->version < 3)) {
        return 0;
    }
    disk->larger = disk->sectors + 512;
    r = image_truncate(img, (uint64_t)disk->larger * SECTOR);
    if (r == 0 && img->fmt == &qcow2_format) { /* a raw file's size is the next flush's */
        disk->sectors = disk->larger;
        disk->larger = 0;
    } else if (r == 0) {
        r = image_flush(img);
        model_settled();
        disk->sectors = disk->larger;
        disk->larger = 0;
    }
    return r;
}

static int do_snapshot(BlockImage *img)
{
    ModelSnapshot *s = &disk->snapshot[rnd() % SNAPSHOTS];
    int r = 0;

    if (img->fmt != &qcow2_format || split) {
        return 0;
    }
    if (!s->there) {
        snprintf(s->name, sizeof(s->name), "s%u", disk->serial++);
        r = qcow2_snapshot_create(img, s->name);
        if (r == 0) {
            model_settled();
            s->sectors = disk->sectors;
            for (uint32_t n = 0; n < SECTORS; n++) {
                s->value[n] = disk->cell[n].value[0];
            }
            s->there = true;
        }
        return r == -EINVAL ? do_flush(img) : r; /* the counts are too narrow for one more */
    }
    if (rnd() % 2 == 0) {
        s->going = true;
        r = qcow2_snapshot_delete(img, s->name);
        s->there = s->going = false;
        model_settled();
        return r;
    }
    if (s->sectors != disk->sectors || !room(0, SECTORS)) {
        return 0;
    }
    for (uint32_t n = 0; n < SECTORS; n++) {
        may_hold(n, s->value[n]);
    }
    r = qcow2_snapshot_apply(img, s->name);
    assert_true(r == 0 || r == -EINVAL);
    if (r != 0) {
        for (uint32_t n = 0; n < SECTORS; n++) {
            disk->cell[n].count--;
        }
        r = image_flush(img);
    }
    model_settled();
    return r;
}

int model_op(BlockImage *img)
{
    unsigned what = rnd() % 100;
    uint32_t at = (uint32_t)(rnd() % disk->sectors), n = (uint32_t)(rnd() % 4 == 0 ? rnd() % 200 : rnd() % 12) + 1;

    n = MIN(n, disk->sectors - at);
    if (what < 75) {
        return room(at, n) ? do_write(img, at, n, what >= 55) : do_flush(img);
    }
    return what < 94 ? do_flush(img) : what < 98 ? do_snapshot(img) : do_grow(img);
}

void model_create(const char *path, const Qcow2Options *o)
{
    uint64_t keep = disk->seed;
    Error *err = NULL;

    memset(disk, 0, sizeof(*disk));
    disk->seed = keep;
    disk->sectors = (uint32_t)(o->size / SECTOR);
    for (uint32_t n = 0; n < SECTORS; n++) {
        disk->cell[n].count = 1;
    }
    format = o->version != 0 ? "qcow2" : o->backing_format != NULL ? o->backing_format : "raw";
    split = o->data_file != NULL;
    unlink(path);
    if (split) {
        unlink(o->data_file);
    }
    if (new_disk(path, format, o->size, o->whole)) {
        return;
    }
    if (o->version == 0) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        assert_int_equal(ftruncate(fd, (off_t)o->size), 0);
        close(fd);
    } else if (!qcow2_create(path, o, &err)) {
        fail_msg("%s", error_text(err));
    } else if (o->version == 3) {
        new_bitmap(path);
    }
}
