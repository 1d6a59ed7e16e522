/*
 * Opening images, and the raw format on host files and block devices.
 */
#include "block/image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"

#define SECTOR 512u

/* Formats that others write, by what stands at the start of the file. */
static const struct {
    const char *format, *magic;
} headers[] = {
    { "qcow2", "QFI\xfb" },      { "vmdk", "KDMV" },     { "vmdk", "COWD" },
    { "vmdk", "# Disk Descript" }, { "vdi", "<<< " },      { "vhdx", "vhdxfile" },
    { "vpc", "conectix" },       { "qed", "QED" },       { "luks", "LUKS\xba\xbe" },
    { "parallels", "WithoutFreeSpace" }, { "parallels", "WithouFreSpacExt" },
};
static const char *const other_formats[] = {
    "qcow2", "qcow", "vmdk", "vdi", "vpc", "vhdx", "qed", "luks", "dmg", "bochs", "cloop",
    "parallels", "vvfat", "blkdebug", "blkverify", "null-co", "null-aio", "nbd", "quorum",
    "throttle", "copy-on-read",
};
static const char *const protocols[] = {
    "nbd", "http", "https", "ftp", "ftps", "ssh", "iscsi", "rbd", "fat", "json", "nfs", "gluster",
    "nvme", "host_device", "host_cdrom", "blkdebug", "null-co",
};

static bool listed(const char *const *list, size_t n, const char *name, size_t len)
{
    for (size_t i = 0; i < n; i++) {
        if (strlen(list[i]) == len && strncmp(list[i], name, len) == 0) {
            return true;
        }
    }
    return false;
}

/* header_format - what the first sector looks like, or NULL. */
static const char *header_format(const uint8_t sector[SECTOR])
{
    for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
        if (memcmp(sector, headers[i].magic, strlen(headers[i].magic)) == 0) {
            return headers[i].format;
        }
    }
    return NULL;
}

/* file_path - without "file:"; NULL with errp for another protocol. */
static const char *file_path(const char *file, Error **errp)
{
    size_t n = strcspn(file, ":/");

    if (file[n] != ':') {
        return file;
    }
    if (n == 4 && strncmp(file, "file", 4) == 0) {
        return file + 5;
    }
    if (listed(protocols, ARRAY_SIZE(protocols), file, n)) {
        error_set(errp, "Could not open '%s': protocol '%.*s' is not supported yet", file, (int)n,
                  file);
    } else {
        error_set(errp, "Unknown protocol '%.*s'", (int)n, file);
    }
    return NULL;
}

static bool format_known(const char *format, Error **errp)
{
    if (format == NULL || strcmp(format, "raw") == 0) {
        return true;
    }
    if (listed(other_formats, ARRAY_SIZE(other_formats), format, strlen(format))) {
        error_set(errp, "format '%s' is not supported yet (only raw)", format);
    } else {
        error_set(errp, "Unknown driver '%s'", format);
    }
    return false;
}

/* image_size - of a file or block device; -errno. */
static int image_size(int fd, const char *file, uint64_t *size, Error **errp)
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return -errno;
    }
    if (S_ISBLK(st.st_mode)) {
        return ioctl(fd, BLKGETSIZE64, size) != 0 ? -errno : 0;
    }
    if (S_ISDIR(st.st_mode)) {
        return -EISDIR;
    }
    if (!S_ISREG(st.st_mode)) {
        error_set(errp, "Could not open '%s': it is neither a regular file nor a block device", file);
        return 1;
    }
    *size = (uint64_t)st.st_size;
    return 0;
}

/* image_guess - no format was given: it is raw unless it looks like something else. */
static bool image_guess(BlockImage *img, Error **errp)
{
    uint8_t sector[SECTOR];
    const char *format;
    int r = img->size != 0 ? image_read(img, 0, sector, SECTOR) : 0;

    if (r < 0) {
        error_set_errno(errp, -r, "Could not read '%s'", img->file);
        return false;
    }
    format = img->size != 0 ? header_format(sector) : NULL;
    if (format != NULL) {
        error_set(errp, "Could not open '%s': format '%s' is not supported yet (format=raw would "
                  "show the guest the file as it is)", img->file, format);
        return false;
    }
    img->guessed = true;
    return true;
}

BlockImage *image_open(const char *file, const char *format, bool read_only, BlockCache cache,
                       Error **errp)
{
    const char *path = file_path(file, errp);
    BlockImage *img;
    uint64_t size = 0;
    int fd, r;

    if (path == NULL || !format_known(format, errp)) {
        return NULL;
    }
    /* not to wait for the other end of a pipe; regular files and disks ignore it */
    fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    r = fd < 0 ? -errno : image_size(fd, file, &size, errp);
    if (r != 0) {
        if (r < 0) {
            error_set_errno(errp, -r, "Could not open '%s'", file);
        }
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    img = xnew(BlockImage);
    *img = (BlockImage){ .refs = 1, .fd = fd, .file = xstrdup(file), .format = "raw",
                         .size = (size + SECTOR - 1) & ~(uint64_t)(SECTOR - 1),
                         .read_only = read_only, .cache = cache };
    if (format == NULL && !image_guess(img, errp)) {
        image_unref(img);
        return NULL;
    }
    return img;
}

BlockImage *image_ref(BlockImage *img)
{
    __atomic_add_fetch(&img->refs, 1, __ATOMIC_RELAXED);
    return img;
}

void image_unref(BlockImage *img)
{
    if (img != NULL && __atomic_sub_fetch(&img->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        close(img->fd);
        free(img->file);
        free(img);
    }
}

/* ---- raw ---- */

int image_read(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len)
{
    while (len > 0) {
        ssize_t n = pread(img->fd, buf, len, (off_t)offset);

        if (n == 0) { /* the file ends inside its last sector, or was cut */
            memset(buf, 0, len);
            return 0;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n > 0) {
            buf += n;
            offset += (uint64_t)n;
            len -= (uint32_t)n;
        }
    }
    return 0;
}

/* guards_header - a guest that wrote another format's header to sector 0 of a guessed image would
 * choose what the next start makes of it. */
static bool guards_header(const BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    uint8_t sector[SECTOR] = { 0 };

    if (!img->guessed || offset >= 16 || len == 0) {
        return false;
    }
    if (offset != 0) {
        return true; /* devices write whole sectors */
    }
    memcpy(sector, buf, MIN(len, SECTOR));
    return header_format(sector) != NULL;
}

int image_write(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    if (img->read_only) {
        return -EROFS;
    }
    if (guards_header(img, offset, buf, len)) {
        return -EPERM;
    }
    while (len > 0) {
        ssize_t n = pwrite(img->fd, buf, len, (off_t)offset);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return n == 0 ? -EIO : -errno;
        }
        if (n > 0) {
            buf += n;
            offset += (uint64_t)n;
            len -= (uint32_t)n;
        }
    }
    return img->cache == BLK_WRITETHROUGH ? image_flush(img) : 0;
}

int image_flush(BlockImage *img)
{
    int r;

    if (img->read_only || img->cache == BLK_UNSAFE) {
        return 0;
    }
    do {
        r = fdatasync(img->fd);
    } while (r != 0 && errno == EINTR);
    return r != 0 ? -errno : 0;
}
