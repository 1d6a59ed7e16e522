/*
 * Files that are opened with O_DIRECT: requests of any alignment, writers side by side in one block and into holes, an
 * end inside a block. A flush that failed.
 */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include "block/host-file.h"
#include "block/image.h"
#include "tests/lib/faultio.h"

#define PIECE 700u /* of one thread, beside the next one's */
#define THREADS 4u
#define ROUNDS 300u

static char path[] = "/var/tmp/doppel-host-XXXXXX";

static bool open_direct(HostFile *f, uint64_t size)
{
    int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);

    if (fd < 0 || truncate(path, (off_t)size) != 0 || host_file_init(f, fd, true) != 0) {
        return false;
    }
    f->align = 4096; /* the largest: most requests have to go through the buffer */
    return true;
}

static void test_any_alignment(void **state)
{
    static uint8_t model[200000], buf[200000 + 1];
    HostFile f;

    if (!open_direct(&f, sizeof(model))) {
        SKIP_TEST("no O_DIRECT in /var/tmp");
    }
    f.end = sizeof(model);
    srand(1);
    for (unsigned n = 0; n < 2000; n++) {
        size_t at = (size_t)rand() % sizeof(model), len = (size_t)rand() % 9000;

        len = MIN(len, sizeof(model) - at);
        if (n % 2 == 0) {
            for (size_t k = 0; k < len; k++) {
                model[at + k] = (uint8_t)rand();
            }
            assert_int_equal(n % 20 == 0 ? host_zero(&f, at, len, true) : host_write(&f, at, model + at, len), 0);
            if (n % 20 == 0) {
                memset(model + at, 0, len);
            }
        } else {
            assert_int_equal(host_read(&f, at, buf + n % 3, len), 0);
            assert_int_equal(memcmp(buf + n % 3, model + at, len), 0);
        }
    }
    assert_int_equal(lseek(f.fd, 0, SEEK_END), sizeof(model)); /* the last block is not whole, and stays so */
    assert_int_equal(host_read(&f, 0, buf, sizeof(buf)), 0);
    assert_int_equal(memcmp(buf, model, sizeof(model)), 0);
    host_file_fini(&f);
}

typedef struct Writer {
    HostFile *f;
    unsigned n;
    int result;
} Writer;

static void *write_pieces(void *opaque)
{
    Writer *w = opaque;
    uint8_t piece[PIECE];

    memset(piece, (int)w->n + 1, sizeof(piece));
    for (unsigned k = 0; k < ROUNDS && w->result == 0; k++) {
        w->result = host_write(w->f, ((uint64_t)k * THREADS + w->n) * PIECE, piece, sizeof(piece));
    }
    return NULL;
}

static void test_side_by_side(void **state)
{
    pthread_t threads[THREADS];
    Writer w[THREADS];
    uint8_t buf[PIECE];
    HostFile f;

    if (!open_direct(&f, 0)) {
        SKIP_TEST("no O_DIRECT in /var/tmp");
    }
    assert_int_equal(host_truncate(&f, 4096 * 1024), 0); /* one hole */
    for (unsigned n = 0; n < THREADS; n++) {
        w[n] = (Writer){ &f, n, 0 };
        assert_int_equal(pthread_create(&threads[n], NULL, write_pieces, &w[n]), 0);
    }
    for (unsigned n = 0; n < THREADS; n++) {
        pthread_join(threads[n], NULL);
        assert_int_equal(w[n].result, 0);
    }
    for (unsigned k = 0; k < ROUNDS * THREADS; k++) {
        assert_int_equal(host_read(&f, (uint64_t)k * PIECE, buf, sizeof(buf)), 0);
        for (unsigned n = 0; n < PIECE; n++) {
            assert_int_equal(buf[n], k % THREADS + 1);
        }
    }
    host_file_fini(&f);
}

/* What the host said of the data once it may not take back. */
static void test_failed_flush(void **state)
{
    Error *err = NULL;
    BlockImage *img;
    uint8_t data[512] = { 1 };

    assert_int_equal(truncate(path, 4096), 0);
    img = image_open(path, "raw", false, BLK_WRITEBACK, &err);
    assert_non_null(img);
    assert_int_equal(image_write(img, 0, data, sizeof(data)), 0);
    fault_arm(1, EIO, false);
    assert_int_equal(image_flush(img), -EIO);
    assert_int_equal(image_flush(img), -EIO);
    fault_disarm();
    assert_int_equal(image_flush(img), -EIO);
    image_unref(img);
    img = image_open(path, "raw", false, BLK_WRITEBACK, &err);
    assert_int_equal(image_flush(img), 0);
    image_unref(img);
}

static int setup(void **state)
{
    int fd = mkstemp(path);

    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_alignment),
        cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_failed_flush),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
