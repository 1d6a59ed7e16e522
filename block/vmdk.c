/*
 * VMware's disk images: monolithicSparse, streamOptimized, monolithicFlat, twoGbMaxExtentSparse, twoGbMaxExtentFlat.
 *
 * Source: VMware, "Virtual Disk Format 5.0" (technical note, 2011), sections "The Descriptor File", "Simple Extents",
 * "Hosted Sparse Extents", "Compressed Grains". An image is a descriptor, alone in a text file or inside of its one
 * sparse extent, and extents, each of which is a piece of the disk. What stands behind the image shows through where a
 * sparse one has no grain.
 *
 * The names of extents come from the image, whoever made that: they lie in its folder, or below it, and nowhere else.
 * Not there: ESX's sparse extents (COWD, SESPARSE), raw devices, another size.
 */
#include "block/vmdk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"
#include "block/image-lock.h"

static bool vmdk_probe(const uint8_t *head, size_t len)
{
    return len >= 21 && (memcmp(head, VMDK_MAGIC, 4) == 0 || memcmp(head, "# Disk DescriptorFile", 21) == 0);
}

char *vmdk_beside(const char *file, const char *name)
{
    const char *slash;

    file += strncmp(file, "file:", 5) == 0 ? 5 : 0;
    name += strncmp(name, "file:", 5) == 0 ? 5 : 0;
    slash = strrchr(file, '/');
    return *name == '/' || slash == NULL ? xstrdup(name) : xasprintf("%.*s/%s", (int)(slash - file), file, name);
}

/* ---- opening ---- */

/* may_follow - "disk-s001.vmdk", "folder/disk.vmdk". */
static bool may_follow(const char *name)
{
    for (const char *p = name; p != NULL; p = strchr(p, '/')) {
        p += *p == '/';
        if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == 0)) {
            return false;
        }
    }
    return *name != '/' && *name != 0;
}

/* open_own - the file of an extent; its size, or -1 with @errp. */
static int64_t open_own(const BlockImage *img, VmdkExtent *e, bool write, Error **errp)
{
    int fd = host_open(e->file, (write ? O_RDWR : O_RDONLY) | O_NONBLOCK | (img->flags & IMAGE_DIRECT ? O_DIRECT : 0), 0);
    struct stat st;

    if (fd < 0) {
        error_set_errno(errp, -fd, "Could not open '%s'", e->file);
        return -1;
    }
    if (e->host != NULL && !(img->flags & IMAGE_NO_LOCK)) {
        image_unlock(e->own.fd); /* our own would be in the way */
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        error_set(errp, "Could not open '%s': an extent that is not a regular file", e->file);
    } else if ((img->flags & IMAGE_NO_LOCK) || image_lock(fd, e->file, write, img->flags & IMAGE_FORCE_SHARE, errp)) {
        if (e->host == NULL) {
            if (host_file_init(&e->own, fd, img->flags & IMAGE_DIRECT) == 0) {
                e->host = &e->own;
                return st.st_size;
            }
            host_file_fini(&e->own);
            error_set(errp, "Could not find working O_DIRECT alignment");
            return -1;
        }
        close(e->own.fd);
        e->own.fd = fd;
        return st.st_size;
    }
    close(fd);
    return -1;
}

/* add_extent - a line of the descriptor, in front of which there are @start bytes. */
static bool add_extent(BlockImage *img, VmdkExtent *e, const VmdkLine *l, uint64_t start, Error **errp)
{
    bool flat = strcmp(l->type, "FLAT") == 0 || strcmp(l->type, "VMFS") == 0, sparse = strcmp(l->type, "SPARSE") == 0;
    const char *why = NULL;
    int64_t size;

    *e = (VmdkExtent){ .kind = flat ? VMDK_FLAT : sparse ? VMDK_SPARSE : VMDK_ZERO, .type = l->type, .start = start,
                       .size = l->sectors * VMDK_SECTOR, .flat_at = l->offset * VMDK_SECTOR };
    e->read_only = strcmp(l->access, "RW") != 0;
    if (strcmp(l->access, "NOACCESS") == 0 || (!flat && !sparse && strcmp(l->type, "ZERO") != 0)) {
        error_set(errp, "Could not open '%s': extents of the kind '%s %s' are not supported yet", img->file, l->access, l->type);
        return false;
    }
    if (e->kind == VMDK_ZERO) {
        e->read_only = true;
        return true;
    }
    if (l->name == NULL || !may_follow(l->name)) {
        error_set(errp, "Could not open '%s': its extent '%s' is not in its folder", img->file, l->name != NULL ? l->name : "");
        return false;
    }
    e->file = vmdk_beside(img->file, l->name);
    size = open_own(img, e, !img->read_only && !e->read_only, errp);
    if (size < 0) {
        return false;
    }
    if (sparse) {
        why = vmdk_sparse_open(e, (uint64_t)size, !img->read_only && !e->read_only);
    } else if (e->flat_at > (uint64_t)size || e->size > (uint64_t)size - e->flat_at) {
        why = "an extent that is smaller than the descriptor says";
    }
    if (why != NULL) {
        error_set(errp, "Could not open '%s': %s", e->file, why);
    }
    return why == NULL;
}

static void free_private(Vmdk *v)
{
    for (unsigned n = 0; n < v->extents; n++) {
        VmdkExtent *e = &v->extent[n];

        vmdk_sparse_fini(e);
        if (e->host == &e->own) {
            host_file_fini(&e->own);
        }
        free(e->file);
    }
    free(v->extent);
    vmdk_text_fini(&v->text);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

/* read_text - the descriptor: the whole file, or where the header of the sparse extent says. */
static const char *read_text(BlockImage *img, Vmdk *v, bool sparse, const uint8_t *h)
{
    uint64_t at = sparse ? ld_le64(h + MH_TEXT) : 0, bytes = sparse ? ld_le64(h + MH_TEXT_SIZE) : img->file_size;
    char *text;
    int r;

    if (sparse) {
        if (at == 0 || at > UINT32_MAX || bytes == 0 || bytes > VMDK_TEXT_MAX / VMDK_SECTOR) {
            return "it has no descriptor: an extent of another image?";
        }
        at *= VMDK_SECTOR;
        bytes *= VMDK_SECTOR;
    }
    if (bytes > VMDK_TEXT_MAX) {
        return "its descriptor is too large";
    }
    text = try_newn(char, bytes + 1);
    if (text == NULL) {
        return strerror(ENOMEM);
    }
    r = host_read(&img->host, at, text, bytes);
    if (r != 0) {
        free(text);
        return strerror(-r);
    }
    v->text_at = at;
    return vmdk_text_parse(&v->text, text);
}

static bool open_behind(BlockImage *img, Vmdk *v, Error **errp)
{
    autofree char *path = NULL;
    const Vmdk *behind;

    if (v->text.parent_cid == VMDK_NO_PARENT || v->text.parent == NULL || (img->flags & IMAGE_NO_BACKING)) {
        return true;
    }
    path = vmdk_beside(img->file, v->text.parent);
    img->backing = image_open_chain(path, "vmdk", 0, errp);
    if (img->backing == NULL) {
        error_prepend(errp, "Could not open backing file: ");
        return false;
    }
    behind = img->backing->priv;
    if (behind->text.cid != v->text.parent_cid) {
        error_set(errp, "Could not open '%s': what is behind it has changed (the CID of '%s' is %08x, not %08x)", img->file, path,
                  behind->text.cid, v->text.parent_cid);
        return false;
    }
    return true;
}

static bool open_extents(BlockImage *img, Vmdk *v, bool sparse, Error **errp)
{
    uint64_t start = 0;

    if (!sparse && v->text.lines == 0) {
        error_set(errp, "Could not open '%s': its descriptor has no extents", img->file);
        return false;
    }
    v->extent = xnewn(VmdkExtent, sparse ? 1 : v->text.lines);
    if (sparse) { /* it is its own extent, whatever its name was when the descriptor was written */
        VmdkExtent *e = &v->extent[0];
        const char *why;

        *e = (VmdkExtent){ .kind = VMDK_SPARSE, .type = "", .file = xstrdup(img->file), .host = &img->host };
        v->extents = 1;
        why = vmdk_sparse_open(e, img->file_size, !img->read_only);
        if (why != NULL) {
            error_set(errp, "Could not open '%s': %s", img->file, why);
        }
        img->size = e->size;
        return why == NULL;
    }
    while (v->extents < v->text.lines) {
        VmdkExtent *e = &v->extent[v->extents];

        v->extents++;
        if (!add_extent(img, e, &v->text.line[v->extents - 1], start, errp)) {
            return false;
        }
        if (e->size > INT64_MAX - start) {
            error_set(errp, "Could not open '%s': its descriptor does not make sense", img->file);
            return false;
        }
        start += e->size;
    }
    img->size = start;
    return true;
}

static bool vmdk_open(BlockImage *img, Error **errp)
{
    uint8_t h[MH_BYTES];
    int r = host_read(&img->host, 0, h, sizeof(h));
    bool sparse = r == 0 && memcmp(h, VMDK_MAGIC, 4) == 0;
    const char *why = r != 0                            ? strerror(-r)
                      : memcmp(h, "COWD", 4) == 0        ? "ESX's sparse extents (COWD) are not supported yet"
                      : !vmdk_probe(h, sizeof(h))        ? "Image not in VMDK format"
                                                         : NULL;
    Vmdk *v;

    if (why != NULL) {
        error_set(errp, "Could not open '%s': %s", img->file, why);
        return false;
    }
    v = xnew(Vmdk);
    pthread_mutex_init(&v->lock, NULL);
    why = read_text(img, v, sparse, h);
    if (why != NULL) {
        error_set(errp, "Could not open '%s': %s", img->file, why);
    }
    if (why != NULL || !open_extents(img, v, sparse, errp) || !open_behind(img, v, errp)) {
        free_private(v);
        return false;
    }
    img->priv = v;
    return true;
}

/* vmdk_writable - for commit: what the image in front shows stays as it is, and so does the number by which it knows its
 * parent. */
static bool vmdk_writable(BlockImage *img, Error **errp)
{
    Vmdk *v = img->priv;

    for (unsigned n = 0; n < v->extents; n++) {
        VmdkExtent *e = &v->extent[n];
        int64_t size = e->host == &e->own && !e->read_only ? open_own(img, e, true, errp) : 0;

        if (size < 0) {
            return false;
        }
        if (e->kind == VMDK_SPARSE) {
            const char *why;

            vmdk_sparse_fini(e);
            why = vmdk_sparse_open(e, e->host == &e->own ? (uint64_t)size : img->file_size, !e->read_only);
            if (why != NULL) {
                error_set(errp, "Could not open '%s': %s", e->file, why);
                return false;
            }
        }
    }
    v->touched = true;
    return true;
}

/* ---- requests ---- */

/* extent_at - the one that has @offset of the disk; *len: no more than it has behind that. */
static VmdkExtent *extent_at(const Vmdk *v, uint64_t offset, uint64_t *len)
{
    unsigned low = 0, high = v->extents;
    VmdkExtent *e;

    while (high - low > 1) {
        unsigned mid = low + (high - low) / 2;

        if (v->extent[mid].start <= offset) {
            low = mid;
        } else {
            high = mid;
        }
    }
    e = &v->extent[low];
    *len = MIN(*len, e->start + e->size - offset);
    return e;
}

static int vmdk_read(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len)
{
    int r = 0;

    while (len > 0 && r == 0) {
        uint64_t n = len;
        VmdkExtent *e = extent_at(img->priv, offset, &n);
        uint64_t at = offset - e->start;

        if (e->kind == VMDK_SPARSE) {
            r = vmdk_sparse_read(img, e, at, buf, (uint32_t)n);
        } else if (e->kind == VMDK_FLAT) {
            r = host_read(e->host, e->flat_at + at, buf, n);
        } else {
            memset(buf, 0, n);
        }
        offset += n;
        buf += n;
        len -= (uint32_t)n;
    }
    return r;
}

/* touch - "CID": the number of the content is another one when it is written to for the first time, so that images in
 * front of it can tell. */
static int touch(BlockImage *img)
{
    Vmdk *v = img->priv;
    char text[9];
    uint32_t cid;
    int r = 0;

    pthread_mutex_lock(&v->lock);
    if (!v->touched) {
        do {
            r = getrandom(&cid, sizeof(cid), 0) == sizeof(cid) ? 0 : -EIO;
            cid >>= 32 - 4 * v->text.cid_digits; /* as many digits as there are */
        } while (r == 0 && (cid == v->text.cid || cid == VMDK_NO_PARENT));
        snprintf(text, sizeof(text), "%0*x", (int)v->text.cid_digits, cid);
        r = r == 0 ? host_write(&img->host, v->text_at + v->text.cid_at, text, v->text.cid_digits) : r;
        if (r == 0) {
            v->text.cid = cid;
            v->touched = true;
        }
    }
    pthread_mutex_unlock(&v->lock);
    return r;
}

/* put - @buf NULL: zeros. */
static int put(BlockImage *img, uint64_t offset, const uint8_t *buf, uint64_t len, bool unmap)
{
    int r = touch(img);

    while (len > 0 && r == 0) {
        uint64_t n = len;
        VmdkExtent *e = extent_at(img->priv, offset, &n);
        uint64_t at = offset - e->start;

        if (e->read_only) {
            r = -EROFS;
        } else if (e->kind == VMDK_SPARSE) {
            r = vmdk_sparse_write(img, e, at, buf, n, unmap);
        } else if (buf != NULL) {
            r = host_write(e->host, e->flat_at + at, buf, n);
        } else {
            r = host_zero(e->host, e->flat_at + at, n, unmap);
        }
        offset += n;
        buf = buf != NULL ? buf + n : NULL;
        len -= n;
    }
    return r;
}

static int vmdk_write(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    return put(img, offset, buf, len, false);
}

static int vmdk_zero(BlockImage *img, uint64_t offset, uint64_t len, bool unmap)
{
    return put(img, offset, NULL, len, unmap);
}

static int vmdk_discard(BlockImage *img, uint64_t offset, uint64_t len)
{
    int r = touch(img);

    while (len > 0 && r == 0) {
        uint64_t n = len;
        VmdkExtent *e = extent_at(img->priv, offset, &n);
        uint64_t at = offset - e->start;

        if (e->kind == VMDK_SPARSE && !e->read_only) {
            r = vmdk_sparse_discard(e, at, n);
        } else if (e->kind == VMDK_FLAT && !e->read_only) {
            r = host_zero(e->host, e->flat_at + at, n, true);
        }
        offset += n;
        len -= n;
    }
    return r;
}

/* flush - @sync: else only what has not been written yet. */
static int flush(BlockImage *img, bool sync)
{
    const Vmdk *v = img->priv;
    int r = sync ? host_flush(&img->host) : 0; /* the descriptor, if it has a file of its own */

    for (unsigned n = 0; n < v->extents && r == 0; n++) {
        VmdkExtent *e = &v->extent[n];

        if (e->read_only) {
            continue;
        }
        r = sync && e->host != &img->host ? host_flush(e->host) : 0;
        if (r == 0 && e->kind == VMDK_SPARSE) {
            r = vmdk_sparse_flush(e, sync);
        }
    }
    return r;
}

static int vmdk_flush(BlockImage *img)
{
    return flush(img, true);
}

static void vmdk_close(BlockImage *img)
{
    Vmdk *v = img->priv;
    bool dirty = false;
    int r;

    for (unsigned n = 0; n < v->extents; n++) {
        dirty |= v->extent[n].dirty;
    }
    r = img->read_only || !dirty ? 0 : flush(img, img->cache != BLK_UNSAFE);
    if (r != 0) {
        report("%s: cannot write the image's tables: %s", img->file, strerror(-r));
    }
    free_private(v);
}

static int vmdk_status(BlockImage *img, uint64_t offset, uint64_t len, ImageRange *r)
{
    VmdkExtent *e = extent_at(img->priv, offset, &len);
    uint64_t at = offset - e->start;
    bool hole;
    int ret = 0;

    if (e->kind == VMDK_SPARSE) {
        ret = vmdk_sparse_status(img, e, at, len, r);
    } else if (e->kind == VMDK_FLAT) {
        *r = (ImageRange){ .offset = e->flat_at + at };
        r->len = host_extent(e->host, r->offset, len, &hole);
        r->flags = IMAGE_DATA | IMAGE_ALLOCATED | IMAGE_OFFSET | (hole ? IMAGE_ZERO : 0);
    } else {
        *r = (ImageRange){ .len = len, .flags = IMAGE_ZERO | IMAGE_ALLOCATED };
    }
    r->file = e->file;
    return ret;
}

const ImageFormat vmdk_format = {
    .name = "vmdk", .probe = vmdk_probe, .open = vmdk_open, .writable = vmdk_writable, .close = vmdk_close, .read = vmdk_read,
    .write = vmdk_write, .zero = vmdk_zero, .discard = vmdk_discard, .flush = vmdk_flush, .status = vmdk_status,
};

/* ---- for the tools ---- */

const char *vmdk_parent(const BlockImage *img)
{
    const Vmdk *v = img->priv;

    return img->fmt == &vmdk_format && v->text.parent_cid != VMDK_NO_PARENT ? v->text.parent : NULL;
}

uint32_t vmdk_grain(const BlockImage *img)
{
    return img->fmt == &vmdk_format ? ((const Vmdk *)img->priv)->extent[0].grain : 0;
}

bool vmdk_compressed(const BlockImage *img)
{
    return img->fmt == &vmdk_format && ((const Vmdk *)img->priv)->extent[0].compressed;
}

int vmdk_check(BlockImage *img, uint64_t *errors, void (*say)(void *opaque, const char *line), void *opaque)
{
    Vmdk *v = img->priv;
    int r = 0;

    *errors = 0;
    for (unsigned n = 0; n < v->extents && r == 0; n++) {
        r = v->extent[n].kind == VMDK_SPARSE ? vmdk_sparse_check(&v->extent[n], errors, say, opaque) : 0;
    }
    return r;
}
