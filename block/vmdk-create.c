/*
 * VMDK: a new image, laid out as the tools of others lay it out. Source: "Virtual Disk Format 5.0".
 */
#include "block/vmdk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "block/image-lock.h"

enum { MONOLITHIC_SPARSE, MONOLITHIC_FLAT, TWO_GB_SPARSE, TWO_GB_FLAT, STREAM };
const char *const vmdk_subformats[] = { "monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat",
                                        "streamOptimized", NULL };
const char *const vmdk_adapters[] = { "ide", "lsilogic", "buslogic", "legacyESX", NULL };

enum { GRAIN = 128, PER_TABLE = 512, TEXT_AT = 1, TEXT_SECTORS = 20 }; /* in sectors */
#define TWO_GB (2ull << 30)

bool vmdk_is_flat(unsigned subformat)
{
    return subformat == MONOLITHIC_FLAT || subformat == TWO_GB_FLAT;
}

static bool is_split(unsigned subformat)
{
    return subformat == TWO_GB_SPARSE || subformat == TWO_GB_FLAT;
}

static uint64_t up(uint64_t v, uint64_t unit)
{
    return (v + unit - 1) / unit;
}

/* put_dir - a directory at sector @at, and its empty tables behind it; where that ends. */
static uint64_t put_dir(HostFile *f, uint64_t at, uint64_t tables, int *r)
{
    uint64_t sectors = up(tables * 4, VMDK_SECTOR), per = PER_TABLE * 4 / VMDK_SECTOR;
    uint32_t *dir = try_newn(uint32_t, sectors * VMDK_SECTOR / 4);

    *r = *r != 0 ? *r : dir == NULL ? -ENOMEM : 0;
    for (uint64_t n = 0; n < tables && *r == 0; n++) {
        st_le32(&dir[n], (uint32_t)(at + sectors + n * per));
    }
    *r = *r == 0 ? host_write(f, at * VMDK_SECTOR, dir, sectors * VMDK_SECTOR) : *r;
    free(dir);
    return at + sectors + tables * per;
}

static int write_sparse(HostFile *f, uint64_t sectors, const VmdkOptions *o)
{
    bool stream = o->subformat == STREAM;
    uint64_t tables = up(sectors, GRAIN * PER_TABLE), end;
    uint8_t h[MH_BYTES] = VMDK_MAGIC;
    int r = 0;

    st_le32(h + MH_VERSION, stream ? 3 : o->zeroed ? 2 : 1);
    st_le32(h + MH_FLAGS, MF_NEWLINES | MF_REDUNDANT | (o->zeroed ? MF_ZEROED : 0) | (stream ? MF_COMPRESSED | MF_MARKERS : 0));
    st_le64(h + MH_CAPACITY, sectors);
    st_le64(h + MH_GRAIN, GRAIN);
    st_le64(h + MH_TEXT, TEXT_AT);
    st_le64(h + MH_TEXT_SIZE, TEXT_SECTORS);
    st_le32(h + MH_PER_TABLE, PER_TABLE);
    st_le64(h + MH_RGD, TEXT_AT + TEXT_SECTORS);
    memcpy(h + MH_NEWLINES, "\n \r\n", 4);
    st_le16(h + MH_COMPRESS, stream);
    end = put_dir(f, TEXT_AT + TEXT_SECTORS, tables, &r);
    st_le64(h + MH_GD, end);
    end = up(put_dir(f, end, tables, &r), GRAIN) * GRAIN;
    st_le64(h + MH_OVERHEAD, end);
    r = r == 0 ? host_write(f, 0, h, sizeof(h)) : r;
    return r == 0 ? host_truncate(f, end * VMDK_SECTOR) : r;
}

/* ---- files ---- */

typedef struct NewFiles {
    char *name[VMDK_EXTENTS_MAX + 1];
    unsigned count;
} NewFiles;

static void files_fini(NewFiles *files, bool keep)
{
    for (unsigned n = 0; n < files->count; n++) {
        if (!keep) {
            unlink(files->name[n]);
        }
        free(files->name[n]);
    }
    free(files);
}

/* new_file - @path with what @fill writes to it, and @text at @text_at. */
static bool new_file(NewFiles *files, const char *path, uint64_t sectors, const VmdkOptions *o, const char *text, uint64_t text_at,
                     Error **errp)
{
    int fd = image_create_file(path, errp), r;
    HostFile f;

    if (fd < 0) {
        return false;
    }
    files->name[files->count++] = xstrdup(path);
    r = host_file_init(&f, fd, false);
    if (r == 0 && sectors != 0) {
        r = vmdk_is_flat(o->subformat) ? host_truncate(&f, sectors * VMDK_SECTOR) : write_sparse(&f, sectors, o);
    }
    r = r == 0 && text != NULL ? host_write(&f, text_at, text, strlen(text)) : r;
    r = r == 0 ? host_flush(&f) : r;
    host_file_fini(&f);
    if (r != 0) {
        error_set_errno(errp, -r, "%s: cannot make the image", path);
    }
    return r == 0;
}

/* extent_name - of extent @n (from 0): "disk-s001.vmdk", "disk-f001.vmdk", "disk-flat.vmdk" beside "disk.vmdk". */
static char *extent_name(const char *path, unsigned subformat, unsigned n)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash != NULL ? slash : path, '.');
    int len = (int)(dot != NULL ? (size_t)(dot - path) : strlen(path));
    const char *ext = path + len;

    return subformat == MONOLITHIC_FLAT ? xasprintf("%.*s-flat%s", len, path, ext)
                                        : xasprintf("%.*s-%c%03u%s", len, path, subformat == TWO_GB_FLAT ? 'f' : 's', n + 1, ext);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* extents - their files, where they have some, and their lines of the descriptor; NULL with @errp. */
static char *extents(NewFiles *files, const char *path, const VmdkOptions *o, Error **errp)
{
    uint64_t step = is_split(o->subformat) ? TWO_GB : o->size, left = o->size;
    char *lines = xstrdup("");

    for (unsigned n = 0; left > 0; n++) {
        uint64_t sectors = MIN(left, step) / VMDK_SECTOR;
        bool flat = vmdk_is_flat(o->subformat), own = flat || is_split(o->subformat);
        autofree char *name = own ? extent_name(path, o->subformat, n) : xstrdup(path), *before = lines;

        lines = xasprintf("%sRW %llu %s \"%s\"%s\n", before, (unsigned long long)sectors, flat ? "FLAT" : "SPARSE", last_part(name),
                          flat ? " 0" : "");
        if (own && !new_file(files, name, sectors, o, NULL, 0, errp)) {
            free(lines);
            return NULL;
        }
        left -= sectors * VMDK_SECTOR;
    }
    return lines;
}

/* parent_cid - the number of what will be behind. */
static bool parent_cid(const char *path, const VmdkOptions *o, uint32_t *cid, Error **errp)
{
    autofree char *full = NULL;
    BlockImage *img;

    *cid = VMDK_NO_PARENT;
    if (o->backing_file == NULL) {
        return true;
    }
    if (strpbrk(o->backing_file, "\"\n") != NULL) {
        error_set(errp, "%s: the name of a VMDK image's parent has no quotes", path);
        return false;
    }
    full = vmdk_beside(path, o->backing_file);
    img = image_open(full, "vmdk", true, BLK_WRITEBACK, errp);
    if (img != NULL) {
        *cid = ((const Vmdk *)img->priv)->text.cid;
        image_unref(img);
    }
    return img != NULL;
}

static char *descriptor(const char *path, const VmdkOptions *o, uint32_t parent, const char *lines)
{
    uint64_t heads = strcmp(o->adapter, "ide") == 0 ? 16 : 255;
    bool behind = o->backing_file != NULL;
    uint32_t cid;

    if (getrandom(&cid, sizeof(cid), 0) != sizeof(cid)) {
        return NULL;
    }
    return xasprintf("# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n%s%s%s\n# Extent description\n%s\n"
                     "# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"%s\"\nddb.geometry.cylinders = \"%llu\"\n"
                     "ddb.geometry.heads = \"%llu\"\nddb.geometry.sectors = \"63\"\nddb.adapterType = \"%s\"\n"
                     "ddb.toolsVersion = \"%s\"\n",
                     cid >> 1, parent, vmdk_subformats[o->subformat], behind ? "parentFileNameHint=\"" : "",
                     behind ? o->backing_file : "", behind ? "\"\n" : "", lines, o->hw_version,
                     (unsigned long long)(o->size / VMDK_SECTOR / heads / 63), (unsigned long long)heads, o->adapter,
                     o->tools_version);
}

static bool suits(const char *path, const VmdkOptions *o, Error **errp)
{
    uint64_t most = o->subformat == MONOLITHIC_FLAT ? 1ull << 60
                    : is_split(o->subformat)        ? VMDK_EXTENTS_MAX * TWO_GB
                                                    : (1ull << 41) - (1ull << 30); /* sectors of 32 bits, less the tables */

    if (o->size == 0 || o->size > most) {
        error_set(errp, "%s: an image of %llu bytes is too %s for VMDK (%s)", path, (unsigned long long)o->size,
                  o->size == 0 ? "small" : "large", vmdk_subformats[o->subformat]);
    } else if (strpbrk(last_part(path), "\"\n") != NULL) {
        error_set(errp, "%s: the name of a VMDK image has no quotes", path);
    } else {
        return true;
    }
    return false;
}

bool vmdk_create(const char *path, const VmdkOptions *o, Error **errp)
{
    bool own = vmdk_is_flat(o->subformat) || is_split(o->subformat), ok;
    autofree char *lines = NULL, *text = NULL;
    NewFiles *files;
    uint32_t parent;

    if (!suits(path, o, errp) || !parent_cid(path, o, &parent, errp)) {
        return false;
    }
    files = xnew(NewFiles);
    lines = extents(files, path, o, errp);
    text = lines != NULL ? descriptor(path, o, parent, lines) : NULL;
    ok = text != NULL;
    if (lines != NULL && !ok) {
        error_set(errp, "%s: no random numbers", path);
    } else if (ok && !own && strlen(text) > TEXT_SECTORS * VMDK_SECTOR) {
        error_set(errp, "%s: its descriptor is too long", path);
        ok = false;
    }
    ok = ok && new_file(files, path, own ? 0 : o->size / VMDK_SECTOR, o, text, own ? 0 : TEXT_AT * VMDK_SECTOR, errp);
    files_fini(files, ok);
    return ok;
}
