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
#include "tests/lib/disk-model.h"
#include "tests/lib/faultio.h"
#include "tests/lib/scratch.h"

static char *dir;
static DiskModel model = { .seed = 7777777 };
static unsigned points, wanted;
static char *work, *cut, *work_data, *cut_data;

static void power_goes(void *opaque)
{
    if (points == 0 || rnd() % 4 != 0) {
        return;
    }
    points--;
    unlink(cut);
    power_cut((const char *const[]){ cut, cut_data }, rnd);
    model_check(cut, points % 100 == 0);
}

static void run(const Qcow2Options *o)
{
    BlockImage *img;

    model_create(work, o);
    power_begin((const char *const[]){ work, work_data }, o->data_file != NULL ? 2 : 1, power_goes, NULL);
    img = model_open(work, false);
    for (unsigned n = 0; n < 400 && points > 0; n++) {
        assert_int_equal(model_op(img), 0);
        if (rnd() % 64 == 0) { /* closed: all is there */
            assert_int_equal(image_flush(img), 0); /* of a raw one that is its owner's matter */
            image_unref(img);
            model_settled();
            img = model_open(work, false);
        }
    }
    assert_int_equal(image_flush(img), 0);
    image_unref(img);
    model_settled();
    power_end();
    model_check(work, true);
}

static void test_kind(void **state)
{
    Qcow2Options o = *(const Qcow2Options *)*state;

    o.data_file = o.data_file != NULL ? work_data : NULL;
    points = wanted;
    while (points > 0) {
        run(&o);
    }
}

static int setup(void **state)
{
    dir = scratch_new("power");
    work = xasprintf("%s/work.img", dir);
    cut = xasprintf("%s/cut.img", dir);
    work_data = xasprintf("%s.data", work);
    cut_data = xasprintf("%s.data", cut);
    return 0;
}

static int teardown(void **state)
{
    free(work);
    free(cut);
    free(work_data);
    free(cut_data);
    scratch_free(dir);
    return 0;
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
        { 2 << 20, 0, .backing_format = "vdi" },
        { 2 << 20, 0, .backing_format = "vpc" },
        { 1 << 20, 0, .backing_format = "vmdk" },
        { 1 << 20, 0, .backing_format = "vmdk", .whole = true },
        { 2 << 20, 0, .backing_format = "vhdx" },
        { 1 << 20, 3, 16384, 16, .extended_l2 = true },
        { 1 << 20, 3, 4096, 16, .data_file = "" },
        { 1 << 20, 3, 16384, 16, .extended_l2 = true, .data_file = "", .data_raw = true },
    };
    const struct CMUnitTest tests[] = {
        { "4 KiB clusters", test_kind, NULL, NULL, (void *)&kinds[0] },
        { "512-byte clusters", test_kind, NULL, NULL, (void *)&kinds[1] },
        { "64 KiB clusters, preallocated", test_kind, NULL, NULL, (void *)&kinds[2] },
        { "16 KiB clusters in 32 parts", test_kind, NULL, NULL, (void *)&kinds[11] },
        { "2 KiB clusters, counts of 1 bit", test_kind, NULL, NULL, (void *)&kinds[3] },
        { "version 2", test_kind, NULL, NULL, (void *)&kinds[4] },
        { "raw", test_kind, NULL, NULL, (void *)&kinds[5] },
        { "VDI", test_kind, NULL, NULL, (void *)&kinds[6] },
        { "VPC", test_kind, NULL, NULL, (void *)&kinds[7] },
        { "VMDK", test_kind, NULL, NULL, (void *)&kinds[8] },
        { "VMDK, compressed", test_kind, NULL, NULL, (void *)&kinds[9] },
        { "VHDX", test_kind, NULL, NULL, (void *)&kinds[10] },
        { "4 KiB clusters in a data file", test_kind, NULL, NULL, (void *)&kinds[12] },
        { "16 KiB clusters in 32 parts, in a raw data file", test_kind, NULL, NULL, (void *)&kinds[13] },
    };
    const char *s = getenv("POWER_SEED"), *n = getenv("POWER_POINTS");

    disk = &model;
    disk->seed = s != NULL ? strtoull(s, NULL, 10) * 2 + 1 : disk->seed;
    wanted = (n != NULL ? (unsigned)strtoul(n, NULL, 10) : 400) / (unsigned)ARRAY_SIZE(kinds) + 1;
    print_message("done: %u points of each of %zu kinds\n", wanted, ARRAY_SIZE(kinds));
    return cmocka_run_group_tests(tests, setup, teardown);
}
