/*
 * Files that fail, and files without power. See faultio.h.
 */
#include "tests/lib/faultio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/mem.h"
#include "block/host-file.h"

#define SECTOR 512u

/* ---- the n-th call ---- */

static struct {
    uint64_t left; /* calls that still work */
    int error;
    bool armed, for_ever, hit;
} fault;

/* fails - with errno set. */
static bool fails(void)
{
    if (!fault.armed || (fault.hit && !fault.for_ever)) {
        return false;
    }
    if (fault.left > 1) {
        fault.left--;
        return false;
    }
    fault.hit = true;
    errno = fault.error != 0 ? fault.error : EIO;
    return true;
}

static ssize_t fault_pread(int fd, void *buf, size_t len, off_t at)
{
    return fault.error != ENOSPC && fails() ? -1 : pread(fd, buf, len, at); /* a disk that is full can be read */
}

static ssize_t fault_pwrite(int fd, const void *buf, size_t len, off_t at)
{
    if (fails()) {
        size_t half = fault.error == 0 ? len / 2 / SECTOR * SECTOR : 0;

        if (half > 0 && pwrite(fd, buf, half, at) != (ssize_t)half) {
            abort();
        }
        return -1;
    }
    return pwrite(fd, buf, len, at);
}

static int fault_fdatasync(int fd)
{
    return fault.error != ENOSPC && fails() ? -1 : 0; /* the power stays: nothing has to be waited for */
}

/* allocate - a file system in memory has no ranges of zeros, and to who reads a hole is the same. */
static int allocate(int fd, int mode, off_t at, off_t len)
{
    int r = fallocate(fd, mode, at, len);

    if (r != 0 && errno == EOPNOTSUPP && (mode & FALLOC_FL_ZERO_RANGE)) {
        r = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len);
    }
    return r;
}

static int fault_fallocate(int fd, int mode, off_t at, off_t len)
{
    return fails() ? -1 : allocate(fd, mode, at, len);
}

static int fault_ftruncate(int fd, off_t size)
{
    return fails() ? -1 : ftruncate(fd, size);
}

static const HostCalls fault_calls = {
    .pread = fault_pread, .pwrite = fault_pwrite, .fdatasync = fault_fdatasync, .fallocate = fault_fallocate,
    .ftruncate = fault_ftruncate,
};

void fault_arm(uint64_t n, int error, bool for_ever)
{
    fault.left = n;
    fault.error = error;
    fault.for_ever = for_ever;
    fault.armed = true;
    fault.hit = false;
    host_calls = &fault_calls;
}

bool fault_disarm(void)
{
    fault.armed = false;
    host_calls = &fault_calls; /* which do not wait for the disk */
    return fault.hit;
}

/* ---- power ---- */

typedef struct Change {
    uint64_t at, len;
    uint8_t *data; /* NULL: zeros, or the new size `at` */
    bool size;
} Change;

typedef struct Watched {
    dev_t dev;
    ino_t ino;
    uint8_t *disk; /* what is on stable storage */
    uint64_t size, room;
    Change *log;   /* since the last flush */
    size_t count;
} Watched;

static struct {
    Watched file[POWER_FILES];
    unsigned files;
    void (*before)(void *opaque);
    void *opaque;
} power;

static Watched *watched(int fd)
{
    struct stat st;
    Watched *w = power.file, *end = power.file + power.files;

    if (fstat(fd, &st) != 0) {
        return NULL;
    }
    while (w < end && (st.st_dev != w->dev || st.st_ino != w->ino)) {
        w++;
    }
    return w < end ? w : NULL;
}

static void about_to(int fd)
{
    if (watched(fd) != NULL && power.before != NULL) {
        const HostCalls *mine = host_calls;

        fault_disarm();
        power.before(power.opaque);
        host_calls = mine;
    }
}

static void note(int fd, Change c)
{
    Watched *w = watched(fd);

    if (w != NULL) {
        if ((w->count & (w->count - 1)) == 0) {
            w->log = xrealloc(w->log, MAX(w->count * 2, 1u), sizeof(*w->log));
        }
        w->log[w->count++] = c;
    }
}

static ssize_t power_pwrite(int fd, const void *buf, size_t len, off_t at)
{
    ssize_t n;

    about_to(fd);
    n = pwrite(fd, buf, len, at);
    if (n > 0) {
        uint8_t *copy = xnewn(uint8_t, (size_t)n);

        memcpy(copy, buf, (size_t)n);
        note(fd, (Change){ .at = (uint64_t)at, .len = (uint64_t)n, .data = copy });
    }
    return n;
}

static int power_fallocate(int fd, int mode, off_t at, off_t len)
{
    int r;

    about_to(fd);
    r = allocate(fd, mode, at, len);
    if (r == 0 && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))) {
        note(fd, (Change){ .at = (uint64_t)at, .len = (uint64_t)len });
    }
    return r;
}

static int power_ftruncate(int fd, off_t size)
{
    int r;

    about_to(fd);
    r = ftruncate(fd, size);
    if (r == 0) {
        note(fd, (Change){ .at = (uint64_t)size, .size = true });
    }
    return r;
}

static void set_size(uint8_t **disk, uint64_t *size, uint64_t *room, uint64_t to)
{
    if (to > *room) {
        uint64_t more = to + (1 << 20);

        *disk = xrealloc(*disk, more, 1);
        memset(*disk + *room, 0, more - *room);
        *room = more;
    }
    if (to < *size) {
        memset(*disk + to, 0, *size - to);
    }
    *size = to;
}

/* apply - the part [@from, @to) of @c. */
static void apply(uint8_t **disk, uint64_t *size, uint64_t *room, const Change *c, uint64_t from, uint64_t to)
{
    if (c->size) {
        set_size(disk, size, room, c->at);
        return;
    }
    if (c->data == NULL) { /* a hole does not make the file longer */
        to = MIN(to, *size);
        if (from < to) {
            memset(*disk + from, 0, to - from);
        }
        return;
    }
    if (to > *size) {
        set_size(disk, size, room, to);
    }
    memcpy(*disk + from, c->data + (from - c->at), to - from);
}

static int power_fdatasync(int fd)
{
    Watched *w;

    about_to(fd);
    w = watched(fd);
    for (size_t n = 0; w != NULL && n < w->count; n++) {
        Change *c = &w->log[n];

        apply(&w->disk, &w->size, &w->room, c, c->at, c->at + c->len);
        free(c->data);
    }
    if (w != NULL) {
        w->count = 0;
    }
    return 0; /* the file itself is in the page cache of a host that lives on */
}

static const HostCalls power_calls = {
    .pread = pread, .pwrite = power_pwrite, .fdatasync = power_fdatasync, .fallocate = power_fallocate,
    .ftruncate = power_ftruncate,
};

static void watch(Watched *w, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0) {
        abort();
    }
    w->dev = st.st_dev;
    w->ino = st.st_ino;
    set_size(&w->disk, &w->size, &w->room, (uint64_t)st.st_size);
    if (pread(fd, w->disk, (size_t)st.st_size, 0) != st.st_size) {
        abort();
    }
    close(fd);
}

void power_begin(const char *const *paths, unsigned count, void (*before)(void *opaque), void *opaque)
{
    for (power.files = 0; power.files < count; power.files++) {
        watch(&power.file[power.files], paths[power.files]);
    }
    power.before = before;
    power.opaque = opaque;
    host_calls = &power_calls;
}

void power_end(void)
{
    host_calls = &host_system_calls;
    for (Watched *w = power.file; w < power.file + power.files; w++) {
        for (size_t n = 0; n < w->count; n++) {
            free(w->log[n].data);
        }
        free(w->log);
        free(w->disk);
    }
    memset(&power, 0, sizeof(power));
}

/* put_file - but for zeros, which stay holes. */
static void put_file(const char *path, const uint8_t *disk, uint64_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, (off_t)size) != 0) {
        abort();
    }
    for (uint64_t at = 0; at < size; at += 4096) {
        size_t n = MIN(4096, size - at);

        if ((disk[at] != 0 || memcmp(disk + at, disk + at + 1, n - 1) != 0) && pwrite(fd, disk + at, n, (off_t)at) != (ssize_t)n) {
            abort();
        }
    }
    close(fd);
}

static void cut_one(const Watched *w, const char *path, uint64_t (*random)(void))
{
    uint64_t size = w->size, room = w->room, kind = random() % 3, odds = random() % 7 + 1;
    size_t upto = kind == 0 ? random() % (w->count + 1) : w->count;
    uint8_t *disk = xnewn(uint8_t, MAX(room, 1u));

    memcpy(disk, w->disk, room);
    for (size_t n = 0; n < upto; n++) { /* kinds: up to one; some, whole; some sectors of each */
        const Change *c = &w->log[n];
        uint64_t step = kind == 2 && !c->size ? SECTOR - c->at % SECTOR : MAX(c->len, 1u);

        for (uint64_t at = c->at; at < c->at + MAX(c->len, 1u); at += step, step = kind == 2 ? SECTOR : step) {
            if (kind == 0 || random() % 8 < odds) {
                apply(&disk, &size, &room, c, at, MIN(at + step, c->at + c->len));
            }
        }
    }
    put_file(path, disk, size);
    free(disk);
}

void power_cut(const char *const *paths, uint64_t (*random)(void))
{
    for (unsigned n = 0; n < power.files; n++) {
        cut_one(&power.file[n], paths[n], random);
    }
}
