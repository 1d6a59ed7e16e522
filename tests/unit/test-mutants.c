/*
 * Images with bytes changed in their tables, through what the tools do with one: opened, described, checked and repaired,
 * mapped, read as convert reads, written to. Nothing but errors comes of it: no crash, 2 s of processor time at most, 256 MiB (not counted where a sanitizer takes them).
 * MUTANTS is how many of each kind, MUTANTS_SEED which.
 */
#include "tests/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "block/big-endian.h"
#include "block/internal.h"
#include "block/qcow2.h"
#include "block/vhdx.h"
#include "block/vmdk.h"
#include "tests/lib/faultio.h"
#include "tests/lib/new-disk.h"
#include "tests/lib/scratch.h"
#include "tests/lib/sanitized.h"

#define DISK (4u << 20)
#define FILE_MAX (16u << 20)
#define BLOCK 512u
#define CONTENT 0xa7 /* each byte of data: what is something else is a table */

enum { SECONDS_MAX = 2, KIB_MAX = 256 << 10 };

typedef struct Kind {
    const char *format;
    bool whole;
    Qcow2Options o;
    void (*seal)(uint8_t *file, size_t size); /* makes its sums right; or NULL */
} Kind;

static char *dir;
static uint64_t seed = 0x2545f4914f6cdd1dull;
static unsigned wanted;
static char *path, *data_path;
static uint8_t good[FILE_MAX], bad[FILE_MAX];
static uint32_t tables[FILE_MAX / BLOCK]; /* blocks of the file that hold more than content */
static unsigned table_count;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* seal_vhdx - headers and lists of regions ([MS-VHDX], "Header Section"): else nothing behind them would be looked at. */
static void seal_vhdx(uint8_t *file, size_t size)
{
    for (uint32_t at = VHDX_HEADER_1; at <= 2 * VHDX_HEADER_1; at += VHDX_HEADER_1) {
        st_le32(file + at + XH_SUM, vhdx_crc(file + at, XH_BYTES, XH_SUM));
    }
    for (uint32_t at = VHDX_REGIONS_1; at <= VHDX_REGIONS_1 + VHDX_REGIONS_BYTES; at += VHDX_REGIONS_BYTES) {
        st_le32(file + at + 4, vhdx_crc(file + at, VHDX_REGIONS_BYTES, 4));
    }
}

/* vhd_sum - all bytes added and turned round, without the sum itself (Virtual Hard Disk Image Format Specification,
 * "Checksum"). */
static void vhd_sum(uint8_t *p, size_t len, size_t where)
{
    uint32_t sum = 0;

    st_be32(p + where, 0);
    for (size_t n = 0; n < len; n++) {
        sum += p[n];
    }
    st_be32(p + where, ~sum);
}

/* seal_vhd - the footer, its copy, and the header behind that, where the disk grows. */
static void seal_vhd(uint8_t *file, size_t size)
{
    vhd_sum(file + size - 512, 512, 64);
    if (memcmp(file, "conectix", 8) == 0) {
        vhd_sum(file, 512, 64);
        vhd_sum(file + 512, 1024, 36);
    }
}

/* ---- one image ---- */

/* make - with data, zeros and, where it can, a snapshot and a bitmap. The bytes of its file; sets `good` and `tables`. */
static size_t make(const Kind *k)
{
    static uint8_t content[64 << 10], nothing[BLOCK];
    Qcow2Options o = k->o;
    Error *err = NULL;
    BlockImage *img;
    ssize_t size;
    int fd;

    memset(content, CONTENT, sizeof(content));
    o.data_file = o.data_file != NULL ? data_path : NULL;
    unlink(path);
    if (!new_disk(path, k->format, DISK, k->whole) && !qcow2_create(path, &o, &err)) {
        fail_msg("%s", error_text(err));
    }
    if (o.version >= 3) {
        new_bitmap(path);
    }
    img = image_open(path, k->format, false, BLK_WRITEBACK, NULL);
    assert_non_null(img);
    for (unsigned n = 0; n < 5; n++) {
        assert_int_equal(image_write(img, n * 700u << 10, content, sizeof(content)), 0);
    }
    if (o.version != 0 && o.data_file == NULL) {
        assert_int_equal(qcow2_snapshot_create(img, "first"), 0);
    }
    assert_int_equal(image_zero(img, 690u << 10, 128 << 10), 0);
    assert_int_equal(image_flush(img), 0);
    image_unref(img);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    size = pread(fd, good, sizeof(good), 0);
    assert_in_range(size, 1, FILE_MAX - 1);
    close(fd);
    table_count = 0;
    for (uint32_t n = 0; n < (size_t)size / BLOCK; n++) {
        if (memcmp(good + n * BLOCK, nothing, BLOCK) != 0 && memcmp(good + n * BLOCK, content, BLOCK) != 0) {
            tables[table_count++] = n;
        }
    }
    assert_true(table_count > 0);
    return (size_t)size;
}

/* mutate - `bad` from `good`. */
static void mutate(const Kind *k, size_t size)
{
    memcpy(bad, good, size);
    for (unsigned n = rnd() % 8 + 1; n > 0; n--) {
        size_t at = rnd() % 8 != 0 ? (size_t)tables[rnd() % table_count] * BLOCK + rnd() % BLOCK : rnd() % size;
        unsigned how = rnd() % 4;

        bad[at] = how == 0 ? (uint8_t)rnd() : how == 1 ? (uint8_t)(bad[at] ^ 1u << rnd() % 8) : how == 2 ? 0xff : (uint8_t)(rnd() % 4);
    }
    if (k->seal != NULL && rnd() % 8 != 0) {
        k->seal(bad, size);
    }
}

/* look - info, map, convert. */
static void look(BlockImage *img)
{
    static uint8_t buf[1 << 20];
    BlockInfo info = { 0 };
    uint64_t step;

    blk_image_info(img, &info);
    for (uint64_t at = 0, n = 0; at < img->size && n < 2000; n++) {
        ImageRange r = { 0 };

        if (image_status(img, at, img->size - at, true, &r) != 0) {
            break;
        }
        assert_in_range(r.len, 1, img->size - at);
        at += r.len;
    }
    step = MAX(sizeof(buf), img->size / 16 & ~(uint64_t)(BLOCK - 1));
    for (uint64_t at = 0; at < img->size; at += step) {
        image_read(img, at, buf, (uint32_t)MIN(sizeof(buf), img->size - at));
    }
}

static void check(BlockImage *img, bool repair)
{
    Qcow2Check c;
    uint64_t errors;

    if (img->fmt == &qcow2_format) {
        qcow2_check(img, repair ? QCOW2_FIX_LEAKS | QCOW2_FIX_ERRORS : 0, &c, NULL, NULL);
    } else if (img->fmt == &vmdk_format) {
        vmdk_check(img, &errors, NULL, NULL);
    }
}

static void change(BlockImage *img)
{
    static uint8_t buf[8192];

    for (unsigned n = 0; n < 8 && img->size >= sizeof(buf); n++) {
        uint64_t at = rnd() % (img->size - sizeof(buf) + 1) & ~(uint64_t)(BLOCK - 1);

        if (n % 3 == 2) {
            image_zero(img, at, sizeof(buf));
        } else {
            image_write(img, at, buf, sizeof(buf));
        }
    }
    image_flush(img);
}

/* use - true: it opened. */
static bool use(const Kind *k, unsigned flags)
{
    Error *err = NULL;
    BlockImage *img = image_open_split(path, k->format, flags, BLK_WRITEBACK, k->o.data_file != NULL ? data_path : NULL, &err);

    error_free(err);
    if (img == NULL) {
        return false;
    }
    look(img);
    check(img, false);
    if (!(flags & IMAGE_READ_ONLY)) {
        check(img, rnd() % 2);
        change(img);
    }
    image_unref(img);
    return true;
}

/* ---- many ---- */

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* keep - what was found, to look at. */
static void keep(size_t size)
{
    int fd = open("/tmp/doppel-mutant", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd >= 0 && write(fd, bad, size) == (ssize_t)size) {
        print_message("it is in /tmp/doppel-mutant\n");
    }
    close(fd);
}

static void test_kind(void **state)
{
    static const unsigned ways[] = { IMAGE_READ_ONLY, 0, IMAGE_AS_IT_IS };
    const Kind *k = *state;
    size_t size = make(k);
    unsigned opened = 0;
    struct rusage u;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    for (unsigned n = 0; n < wanted; n++) {
        double begun = seconds();

        mutate(k, size);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
        for (uint32_t b = 0; b < size / BLOCK; b++) { /* content stays a hole, which reads as zeros */
            if (bad[b * BLOCK] != CONTENT && (bad[b * BLOCK] != 0 || memcmp(bad + b * BLOCK, bad + b * BLOCK + 1, BLOCK - 1) != 0)) {
                assert_int_equal(pwrite(fd, bad + b * BLOCK, BLOCK, b * BLOCK), BLOCK);
            }
        }
        opened += use(k, ways[n % ARRAY_SIZE(ways)]);
        getrusage(RUSAGE_SELF, &u);
        if (seconds() - begun > SECONDS_MAX || (!SANITIZED && u.ru_maxrss > KIB_MAX)) {
            keep(size);
            fail_msg("mutant %u: %.1f s, %ld KiB in all", n, seconds() - begun, u.ru_maxrss);
        }
    }
    assert_true(opened > wanted / 20);
    print_message("done: %s: %u mutants, %u opened, %ld MiB at most\n", k->format, wanted, opened, u.ru_maxrss >> 10);
    close(fd);
}

static int setup(void **state)
{
    dir = scratch_new("mutants");
    path = xasprintf("%s/x.img", dir);
    data_path = xasprintf("%s/x.data", dir);
    return 0;
}

static int teardown(void **state)
{
    free(path);
    free(data_path);
    scratch_free(dir);
    return 0;
}

int main(void)
{
    static const Kind kinds[] = {
        { "qcow2", .o = { DISK, 3, 4096, 16 } },
        { "qcow2", .o = { DISK, 2, 65536, 16 } },
        { "qcow2", .o = { DISK, 3, 16384, 16, .extended_l2 = true } },
        { "qcow2", .o = { DISK, 3, 4096, 16, .data_file = "" } },
        { "vdi" },
        { "vpc", .seal = seal_vhd },
        { "vpc", .whole = true, .seal = seal_vhd },
        { "vmdk" },
        { "vmdk", .whole = true },
        { "vhdx", .seal = seal_vhdx },
    };
    const struct CMUnitTest tests[] = {
        { "qcow2", test_kind, NULL, NULL, (void *)&kinds[0] },
        { "qcow2, version 2", test_kind, NULL, NULL, (void *)&kinds[1] },
        { "qcow2, clusters in 32 parts", test_kind, NULL, NULL, (void *)&kinds[2] },
        { "qcow2, a data file", test_kind, NULL, NULL, (void *)&kinds[3] },
        { "VDI", test_kind, NULL, NULL, (void *)&kinds[4] },
        { "VPC", test_kind, NULL, NULL, (void *)&kinds[5] },
        { "VPC, fixed", test_kind, NULL, NULL, (void *)&kinds[6] },
        { "VMDK", test_kind, NULL, NULL, (void *)&kinds[7] },
        { "VMDK, compressed", test_kind, NULL, NULL, (void *)&kinds[8] },
        { "VHDX", test_kind, NULL, NULL, (void *)&kinds[9] },
    };
    const char *s = getenv("MUTANTS_SEED"), *n = getenv("MUTANTS");

    seed = s != NULL ? strtoull(s, NULL, 10) * 2 + 1 : seed;
    wanted = n != NULL ? (unsigned)strtoul(n, NULL, 10) : 400;
    fault_disarm(); /* nobody waits for the disk */
    return cmocka_run_group_tests(tests, setup, teardown);
}
