/*
 * A process that writes, zeros, flushes, grows and snapshots an image is killed, a hundred times and at any moment: the
 * image is consistent, nothing that was flushed is lost, and the next one to open it for writing gives its leaks back.
 * KILL_CYCLES is how often in all, KILL_SEED what is done.
 */
#include "tests/test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tests/lib/disk-model.h"
#include "tests/lib/faultio.h"

static char dir[] = "/tmp/doppel-kill-XXXXXX";
static unsigned cycles;
static char *work;

/* child - until it is killed; each message of cmocka's would be lost. */
static void child(void)
{
    BlockImage *img;

    if (rnd() % 2 == 0) {
        fault_disarm(); /* without waits for the disk: killed elsewhere than there */
    }
    img = model_open(work, false);
    for (unsigned n = 1;; n++) {
        if (model_op(img) != 0) {
            _exit(1);
        }
        if (n % 200 == 0) {
            if (image_flush(img) != 0) {
                _exit(2);
            }
            image_unref(img);
            model_settled();
            img = model_open(work, false);
        }
    }
}

static void one_cycle(bool qemu)
{
    struct timespec life = { .tv_nsec = (long)(rnd() % 15000000) };
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        child();
    }
    nanosleep(&life, NULL);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* else an operation failed */
    model_check(work, qemu);
    model_learn(work);
}

static void test_kind(void **state)
{
    autofree char *data = xasprintf("%s.data", work);
    Qcow2Options with_data = *(const Qcow2Options *)*state;
    const Qcow2Options *o = &with_data;

    with_data.data_file = o->data_file != NULL ? data : NULL;
    model_create(work, o);
    for (unsigned n = 0; n < cycles; n++) {
        if (n % 40 == 39) {
            model_create(work, o); /* snapshots that the model lost sight of would become many */
        }
        one_cycle(n % 10 == 9);
    }
}

static int setup(void **state)
{
    work = mkdtemp(dir) != NULL ? xasprintf("%s/work.img", dir) : NULL;
    return work != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    autofree char *cmd = xasprintf("rm -rf %s", dir);

    free(work);
    return system(cmd);
}

int main(void)
{
    static const Qcow2Options kinds[] = {
        { 1 << 20, 3, 65536, 16, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL },
        { 1 << 20, 3, 4096, 16, true, QCOW2_PREALLOC_OFF, 0, NULL, NULL },
        { 1 << 20, 3, 1024, 64, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL },
        { 1 << 20, 2, 4096, 16, false, QCOW2_PREALLOC_OFF, 0, NULL, NULL },
        { 1 << 20, 3, 16384, 16, .extended_l2 = true },
        { 1 << 20, 3, 4096, 16, .data_file = "" },
        { 1 << 20, 3, 16384, 16, .extended_l2 = true, .data_file = "", .data_raw = true },
    };
    const struct CMUnitTest tests[] = {
        { "64 KiB clusters", test_kind, NULL, NULL, (void *)&kinds[0] },
        { "4 KiB clusters, lazy counts", test_kind, NULL, NULL, (void *)&kinds[1] },
        { "1 KiB clusters, counts of 64 bits", test_kind, NULL, NULL, (void *)&kinds[2] },
        { "version 2", test_kind, NULL, NULL, (void *)&kinds[3] },
        { "16 KiB clusters in 32 parts", test_kind, NULL, NULL, (void *)&kinds[4] },
        { "4 KiB clusters in a data file", test_kind, NULL, NULL, (void *)&kinds[5] },
        { "16 KiB clusters in 32 parts, in a raw data file", test_kind, NULL, NULL, (void *)&kinds[6] },
    };
    const char *s = getenv("KILL_SEED"), *n = getenv("KILL_CYCLES");

    disk = mmap(NULL, sizeof(*disk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (disk == MAP_FAILED) {
        return 1;
    }
    disk->seed = s != NULL ? strtoull(s, NULL, 10) * 2 + 1 : 987654321;
    cycles = (n != NULL ? (unsigned)strtoul(n, NULL, 10) : 100) / (unsigned)ARRAY_SIZE(kinds) + 1;
    print_message("done: %u kills of each of %zu kinds\n", cycles, ARRAY_SIZE(kinds));
    return cmocka_run_group_tests(tests, setup, teardown);
}
