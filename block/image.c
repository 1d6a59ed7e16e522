/*
 * Opening images on host files and block devices, and what all formats share.
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
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"
#include "block/fat.h"
#include "block/host-file.h"
#include "block/image-lock.h"
#include "block/nbd-client.h"
#include "block/null.h"
#include "block/probe.h"
#include "block/vdi.h"
#include "block/vhdx.h"
#include "block/vmdk.h"
#include "block/vpc.h"

#define HEAD 4096u /* bytes that are looked at to guess a format */
enum { CHAIN_MAX = 200 };

static const ImageFormat *const formats[] = { &raw_format, &qcow2_format, &vdi_format, &vpc_format, &vmdk_format, &vhdx_format };

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
    "qcow", "qed", "luks", "dmg", "bochs", "cloop",
    "parallels", "vvfat", "blkdebug", "blkverify", "null-co", "null-aio", "nbd", "quorum",
    "throttle", "copy-on-read",
};
static const char *const protocols[] = {
    "nbds", "nbds+unix", "http", "https", "ftp", "ftps", "ssh", "iscsi", "rbd", "json", "nfs", "gluster",
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

const char *image_probe(const uint8_t *head, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
        size_t n = strlen(headers[i].magic);

        if (len >= n && memcmp(head, headers[i].magic, n) == 0) {
            return headers[i].format;
        }
    }
    return NULL;
}

/* is_remote - a name of what open_remote() opens. */
static bool is_remote(const char *name)
{
    return nbd_is_address(name) || null_is_address(name) || fat_is_address(name);
}

/* file_path - without "file:"; NULL with errp for another protocol. */
static const char *file_path(const char *file, Error **errp)
{
    size_t n = strcspn(file, ":/");

    if (file[n] != ':' || is_remote(file)) {
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

const ImageFormat *image_format_find(const char *name, Error **errp)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        if (strcmp(formats[i]->name, name) == 0) {
            return formats[i];
        }
    }
    if (listed(other_formats, ARRAY_SIZE(other_formats), name, strlen(name))) {
        error_set(errp, "format '%s' is not supported yet (raw, qcow2, vdi, vhdx, vmdk and vpc are)", name);
    } else {
        error_set(errp, "Unknown driver '%s'", name);
    }
    return NULL;
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

/* image_guess - no format was given: what the file looks like, else raw. */
static const ImageFormat *image_guess(BlockImage *img, Error **errp)
{
    uint8_t head[HEAD];
    const char *name = NULL;
    int r = img->file_size != 0 ? host_read(&img->host, 0, head, HEAD) : 0;

    if (r < 0) {
        error_set_errno(errp, -r, "Could not read '%s'", img->file);
        return NULL;
    }
    if (img->file_size != 0) {
        name = image_probe(head, HEAD);
    }
    if (name == NULL) {
        img->guessed = true;
        return &raw_format;
    }
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        if (strcmp(formats[i]->name, name) == 0) {
            return formats[i];
        }
    }
    error_set(errp, "Could not open '%s': format '%s' is not supported yet (format=raw would "
              "show the guest the file as it is)", img->file, name);
    return NULL;
}

/* The depth of a chain that is being opened: each image opens the next from inside its own open(). */
static _Thread_local unsigned chain_depth;
static _Thread_local unsigned chain_flags; /* that go for the whole chain */

static void image_free(BlockImage *img)
{
    image_unref(img->backing);
    host_file_fini(&img->host);
    free(img->file);
    free(img);
}

/* open_host - a descriptor, or -1 with @errp. */
static int open_host(const char *path, const char *file, unsigned flags, Error **errp)
{
    /* not to wait for the other end of a pipe; regular files and disks ignore it */
    int how = ((flags & IMAGE_READ_ONLY) ? O_RDONLY : O_RDWR) | O_NONBLOCK | (flags & IMAGE_DIRECT ? O_DIRECT : 0);
    int fd = host_open(path, how, 0);

    if (fd == -EINVAL && (flags & IMAGE_DIRECT)) {
        error_set(errp, "Could not open '%s': filesystem does not support O_DIRECT", file);
    } else if (fd < 0) {
        error_set_errno(errp, -fd, "Could not open '%s'", file);
    }
    return fd < 0 ? -1 : fd;
}

/* with_format - the image of a host file that is open; NULL: it is closed again. */
static BlockImage *with_format(BlockImage *img, const ImageFormat *fmt, Error **errp)
{
    img->fmt = fmt != NULL ? fmt : image_guess(img, errp);
    if (img->fmt != NULL) {
        img->format = img->fmt->name;
    }
    if (img->fmt == NULL || !img->fmt->open(img, errp)) {
        image_free(img);
        return NULL;
    }
    return img;
}

/* open_remote - an export of an NBD server, a disk that forgets, or a folder. Locks are that server's matter. */
static BlockImage *open_remote(const char *name, const ImageFormat *fmt, unsigned flags, BlockCache cache,
                               const char *data, Error **errp)
{
    bool read_only = fat_is_address(name);
    RemoteFile *f = null_is_address(name) ? null_open(name, errp)
                    : read_only           ? fat_open(name, errp)
                                          : nbd_client_open(name, &read_only, errp);
    BlockImage *img;

    if (f == NULL) {
        return NULL;
    }
    if (read_only && !(flags & IMAGE_READ_ONLY)) {
        error_set(errp, "Could not open '%s': %s", name, fat_is_address(name) ? "a folder can only be read (readonly=on)" : "the export is read-only");
        f->ops->close(f);
        return NULL;
    }
    img = xnew(BlockImage);
    *img = (BlockImage){ .refs = 1, .file = xstrdup(name), .file_size = f->size, .flags = flags,
                         .read_only = flags & IMAGE_READ_ONLY, .cache = cache, .data = data };
    host_file_init_remote(&img->host, f);
    return with_format(img, fmt, errp);
}

static HostAio aio_of(unsigned flags)
{
    return flags & IMAGE_NATIVE ? HOST_AIO_NATIVE : flags & IMAGE_URING ? HOST_AIO_URING : HOST_AIO_THREADS;
}

/* open_path - @file is what the user calls it. */
static BlockImage *open_path(const char *path, const char *file, const ImageFormat *fmt, unsigned flags,
                             BlockCache cache, const char *data, Error **errp)
{
    bool read_only = flags & IMAGE_READ_ONLY;
    BlockImage *img;
    uint64_t size = 0;
    int fd, r;

    if (!host_aio_want(aio_of(flags), errp)) {
        error_prepend(errp, "Could not open '%s': ", file);
        return NULL;
    }
    fd = open_host(path, file, flags, errp);
    if (fd < 0) {
        return NULL;
    }
    r = image_size(fd, file, &size, errp);
    if (r < 0) {
        error_set_errno(errp, -r, "Could not open '%s'", file);
    }
    if (r != 0 || (!(flags & IMAGE_NO_LOCK) && !image_lock(fd, file, !read_only, flags & IMAGE_FORCE_SHARE, errp))) {
        close(fd);
        return NULL;
    }
    img = xnew(BlockImage);
    *img = (BlockImage){ .refs = 1, .file = xstrdup(file), .file_size = size, .flags = flags,
                         .read_only = read_only, .cache = cache, .data = data };
    r = host_file_init(&img->host, fd, flags & IMAGE_DIRECT);
    if (r != 0) {
        error_set(errp, "Could not find working O_DIRECT alignment");
        image_free(img);
        return NULL;
    }
    return with_format(img, fmt, errp);
}

BlockImage *image_open_split(const char *file, const char *format, unsigned flags, BlockCache cache, const char *data,
                             Error **errp)
{
    const char *path = file_path(file, errp);
    const ImageFormat *fmt = NULL;

    if (path == NULL || (format != NULL && (fmt = image_format_find(format, errp)) == NULL)) {
        return NULL;
    }
    chain_flags = flags & (IMAGE_FORCE_SHARE | IMAGE_NO_LOCK | IMAGE_DIRECT);
    return is_remote(path) ? open_remote(path, fmt, flags, cache, data, errp)
                           : open_path(path, file, fmt, flags, cache, data, errp);
}

BlockImage *image_open_with(const char *file, const char *format, unsigned flags, BlockCache cache, Error **errp)
{
    return image_open_split(file, format, flags, cache, NULL, errp);
}

BlockImage *image_open(const char *file, const char *format, bool read_only, BlockCache cache,
                       Error **errp)
{
    return image_open_with(file, format, read_only ? IMAGE_READ_ONLY : 0, cache, errp);
}

bool image_make_writable(BlockImage *img, Error **errp)
{
    const char *path = file_path(img->file, errp);
    int fd;

    if (path == NULL || !img->read_only) {
        return path != NULL;
    }
    if (img->host.remote != NULL) {
        error_set(errp, "'%s' was opened read-only", img->file);
        return false;
    }
    fd = open_host(path, img->file, img->flags & ~(unsigned)IMAGE_READ_ONLY, errp);
    if (fd < 0) {
        return false;
    }
    if (!(img->flags & IMAGE_NO_LOCK)) {
        image_unlock(img->host.fd);
        if (!image_lock(fd, img->file, true, false, errp)) {
            Error *again = NULL;

            if (!image_lock(img->host.fd, img->file, false, false, &again)) {
                error_free(again); /* a writer has come; the first error says who */
            }
            close(fd);
            return false;
        }
    }
    close(img->host.fd);
    img->host.fd = fd;
    img->read_only = false;
    img->read_only = img->fmt->writable != NULL && !img->fmt->writable(img, errp);
    return !img->read_only;
}

BlockImage *image_open_chain(const char *path, const char *format, unsigned flags, Error **errp)
{
    const ImageFormat *fmt = NULL;
    BlockImage *img;

    if (chain_depth >= CHAIN_MAX) {
        error_set(errp, "'%s': more than %d images behind each other, or a circle", path, CHAIN_MAX);
        return NULL;
    }
    if (format != NULL && (fmt = image_format_find(format, errp)) == NULL) {
        return NULL;
    }
    chain_depth++;
    img = open_path(path, path, fmt, IMAGE_READ_ONLY | chain_flags | flags, BLK_WRITEBACK, NULL, errp);
    chain_depth--;
    return img;
}

BlockImage *image_open_data(const BlockImage *img, const char *path, Error **errp)
{
    unsigned keep = IMAGE_READ_ONLY | IMAGE_FORCE_SHARE | IMAGE_NO_LOCK | IMAGE_DIRECT | IMAGE_NATIVE | IMAGE_URING;
    BlockImage *data = open_path(path, path, &raw_format, img->flags & keep, BLK_WRITEBACK, NULL, errp);

    if (data == NULL) {
        error_prepend(errp, "Could not open '%s': its data file: ", img->file);
    }
    return data;
}

BlockImage *image_ref(BlockImage *img)
{
    __atomic_add_fetch(&img->refs, 1, __ATOMIC_RELAXED);
    return img;
}

void image_unref(BlockImage *img)
{
    if (img != NULL && __atomic_sub_fetch(&img->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        if (img->fmt->close != NULL) {
            img->fmt->close(img);
        }
        image_free(img);
    }
}

/* ---- requests ---- */

int image_read(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len)
{
    return img->fmt->read(img, offset, buf, len);
}

bool image_map(BlockImage *img, uint64_t offset, AioPiece *p)
{
    const HostFile *file;

    if (img->fmt->map == NULL || (p->write && (img->read_only || img->cache == BLK_WRITETHROUGH)) ||
        !img->fmt->map(img, offset, p->len, p->write, &p->offset, &file)) {
        return false;
    }
    p->fd = file->fd;
    if (file->remote != NULL || !host_suits(file, p->offset, p->buf, p->len)) {
        image_unmap(img);
        return false;
    }
    return true;
}

void image_unmap(BlockImage *img)
{
    if (img->fmt->unmap != NULL) {
        img->fmt->unmap(img);
    }
}

HostAio image_aio(const BlockImage *img)
{
    return aio_of(img->flags);
}

unsigned image_aio_flags(HostAio aio)
{
    return aio == HOST_AIO_NATIVE ? IMAGE_NATIVE : aio == HOST_AIO_URING ? IMAGE_URING : 0;
}

static int written(BlockImage *img, int r)
{
    return r == 0 && img->cache == BLK_WRITETHROUGH ? image_flush(img) : r;
}

int image_write(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    return img->read_only ? -EROFS : written(img, img->fmt->write(img, offset, buf, len));
}

int image_zero(BlockImage *img, uint64_t offset, uint64_t len)
{
    return img->read_only ? -EROFS : written(img, img->fmt->zero(img, offset, len, true));
}

int image_zero_keep(BlockImage *img, uint64_t offset, uint64_t len)
{
    return img->read_only ? -EROFS : written(img, img->fmt->zero(img, offset, len, false));
}

int image_discard(BlockImage *img, uint64_t offset, uint64_t len)
{
    return img->read_only ? -EROFS : img->fmt->discard != NULL ? written(img, img->fmt->discard(img, offset, len)) : 0;
}

int image_flush(BlockImage *img)
{
    return img->read_only || img->cache == BLK_UNSAFE ? 0 : img->fmt->flush(img);
}

int image_status(BlockImage *img, uint64_t offset, uint64_t len, bool chain, ImageRange *r)
{
    BlockImage *back = img->backing;
    int ret;

    if (offset < img->size) {
        len = MIN(len, img->size - offset);
    }
    ret = img->fmt->status(img, offset, len, r);
    if (ret != 0 || !chain || (r->flags & IMAGE_ALLOCATED)) {
        return ret;
    }
    if (back == NULL || offset >= back->size) {
        r->flags = IMAGE_ZERO;
        return 0;
    }
    return image_status(back, offset, MIN(r->len, back->size - offset), true, r);
}

int image_truncate(BlockImage *img, uint64_t size)
{
    uint64_t old = img->size, behind = img->backing != NULL ? MIN(img->backing->size, size) : 0;
    bool fixed = img->fmt->truncate == NULL || (img->host.remote != NULL && img->fmt == &raw_format);
    int r = img->read_only ? -EROFS : fixed ? -ENOTSUP : 0;

    r = r == 0 ? img->fmt->truncate(img, size) : r;
    if (r == 0 && behind > old) { /* what was hidden by the end of the disk does not come to light */
        r = image_zero(img, old, behind - old);
        r = r == 0 ? image_flush(img) : r;
    }
    return r;
}
