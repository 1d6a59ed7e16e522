/*
 * fat:FOLDER. See fat.h.
 *
 * A disk's first sector, 62 sectors of nothing (on a floppy, none of these), then the volume: boot sector, two tables, the root's
 * folder, clusters. Source: Microsoft, "FAT: General Overview of On-Disk Format" (version 1.03): "Boot Sector and BPB Structure",
 * "FAT Data Structure", "FAT Type Determination".
 */
#include "block/fat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "base/sandbox.h"
#include "block/fat-tree.h"

enum { SECTOR = 512 };

typedef struct Shape {
    bool floppy;
    unsigned asked;   /* what stands in the name; the first of its kind is taken where nothing does */
    unsigned bits;    /* of an entry of the table */
    uint32_t sectors; /* of the whole disk */
    uint16_t first, heads, track; /* first: of the volume; track: sectors on one */
    uint8_t cluster, media;
    uint16_t root;    /* slots of the root's folder */
} Shape;

static const Shape shapes[] = {
    { false, 16, 16, 1024 * 16 * 63, 63, 16, 63, 16, 0xf8, 512 },
    { false, 12, 12, 64 * 16 * 63, 63, 16, 63, 16, 0xf8, 512 },
    { true, 0, 12, 80 * 2 * 36, 0, 2, 36, 2, 0xf0, 240 },
    { true, 12, 12, 80 * 2 * 18, 0, 2, 18, 1, 0xf0, 224 },
};

typedef struct FatFile {
    RemoteFile remote; /* first member */
    const Shape *shape;
    FatTree tree;
    uint8_t *head;       /* all before the clusters */
    uint64_t head_bytes;
    pthread_mutex_t lock;
    const FatItem *open; /* under `lock`, as the next: the file that was read last; or NULL */
    int fd;
} FatFile;

/* ---- what stands before the clusters ---- */

/* The volume's numbers: "FAT Type Determination" has how they hang together. */
typedef struct Numbers {
    uint32_t sectors, table, root, clusters; /* table, root: sectors */
} Numbers;

static Numbers numbers_of(const Shape *s)
{
    Numbers n = { .sectors = s->sectors - s->first, .root = s->root * FAT_ENTRY / SECTOR };
    uint32_t need = 1;

    while (n.table < need) { /* for as many clusters as there is room for beside the tables */
        n.table = need;
        n.clusters = (n.sectors - 1 - 2 * n.table - n.root) / s->cluster;
        need = ((n.clusters + 2) * s->bits + SECTOR * 8 - 1) / (SECTOR * 8);
    }
    return n;
}

/* put_chs - as a partition table has it: head, sector, cylinder. */
static void put_chs(uint8_t *p, const Shape *s, uint32_t sector)
{
    uint32_t cylinder = sector / s->track / s->heads;

    p[0] = (uint8_t)(sector / s->track % s->heads);
    p[1] = (uint8_t)(sector % s->track + 1 + (cylinder >> 8 << 6));
    p[2] = (uint8_t)cylinder;
}

static void put_partition(uint8_t *mbr, const Shape *s)
{
    uint8_t *p = mbr + 446;

    p[0] = 0x80;
    put_chs(p + 1, s, s->first);
    p[4] = s->bits == 16 ? 6 : 1;
    put_chs(p + 5, s, s->sectors - 1);
    st_le32(p + 8, s->first);
    st_le32(p + 12, s->sectors - s->first);
    st_le16(mbr + 510, 0xaa55);
}

/* put_boot - "Boot Sector and BPB Structure". Nothing starts from it: "int 18h" gives the turn back. */
static void put_boot(uint8_t *b, const Shape *s, const Numbers *n)
{
    static const uint8_t begin[] = { 0xeb, 0x3c, 0x90, 'D', 'O', 'P', 'P', 'E', 'L', ' ', ' ' };

    memcpy(b, begin, sizeof(begin));
    st_le16(b + 11, SECTOR);
    b[13] = s->cluster;
    st_le16(b + 14, 1); /* the boot sector is all that is reserved */
    b[16] = 2;          /* tables */
    st_le16(b + 17, s->root);
    st_le16(b + 19, (uint16_t)(n->sectors < 65536 ? n->sectors : 0));
    b[21] = s->media;
    st_le16(b + 22, (uint16_t)n->table);
    st_le16(b + 24, s->track);
    st_le16(b + 26, s->heads);
    st_le32(b + 28, s->first);
    st_le32(b + 32, n->sectors < 65536 ? 0 : n->sectors);
    b[36] = s->floppy ? 0 : 0x80;
    b[38] = 0x29;
    st_le32(b + 39, 0xfabe1afd);
    memcpy(b + 43, "QEMU VVFAT ", 11);
    memcpy(b + 54, s->bits == 16 ? "FAT16   " : "FAT12   ", 8);
    b[62] = 0xcd;
    b[63] = 0x18;
    st_le16(b + 510, 0xaa55);
}

/* put_entry - "FAT Data Structure". */
static void put_entry(uint8_t *table, const Shape *s, uint32_t cluster, uint16_t v)
{
    uint8_t *p = table + cluster * 3 / 2;

    if (s->bits == 16) {
        st_le16(table + 2 * cluster, v);
    } else if (cluster & 1) {
        st_le16(p, (uint16_t)((ld_le16(p) & 0x000f) | v << 4));
    } else {
        st_le16(p, (uint16_t)((ld_le16(p) & 0xf000) | (v & 0xfff)));
    }
}

static void put_table(uint8_t *table, const FatFile *f)
{
    put_entry(table, f->shape, 0, (uint16_t)(0xff00 | f->shape->media));
    put_entry(table, f->shape, 1, 0xffff);
    for (uint32_t n = 0; n < f->tree.count; n++) {
        const FatItem *i = &f->tree.items[n];
        uint32_t end = n + 1 < f->tree.count ? f->tree.items[n + 1].first : f->tree.used + 2;

        for (uint32_t c = i->first; c < end; c++) {
            put_entry(table, f->shape, c, (uint16_t)(c + 1 < end ? c + 1 : 0xffff));
        }
    }
}

static void put_head(FatFile *f, const Numbers *n)
{
    uint8_t *volume, *tables;

    f->head_bytes = ((uint64_t)f->shape->first + 1 + 2 * n->table + n->root) * SECTOR;
    f->head = xnewn(uint8_t, f->head_bytes);
    volume = f->head + (size_t)f->shape->first * SECTOR;
    tables = volume + SECTOR;
    if (!f->shape->floppy) {
        put_partition(f->head, f->shape);
    }
    put_boot(volume, f->shape, n);
    put_table(tables, f);
    memcpy(tables + (size_t)n->table * SECTOR, tables, (size_t)n->table * SECTOR);
    memcpy(tables + 2 * (size_t)n->table * SECTOR, f->tree.root, (size_t)n->root * SECTOR);
}

/* ---- requests ---- */

/* item_at - who has the cluster, or the next one that somebody has; NULL: none behind it has an owner. */
static const FatItem *item_at(const FatFile *f, uint32_t cluster)
{
    uint32_t low = 0, high = f->tree.count;

    if (cluster >= f->tree.used + 2) {
        return NULL;
    }
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;

        if (f->tree.items[mid].first <= cluster) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return &f->tree.items[low];
}

/* read_file - under f->lock. A file that is gone: -EIO. */
static int read_file(FatFile *f, const FatItem *i, uint64_t at, uint8_t *buf, size_t len)
{
    if (f->open != i) {
        if (f->open != NULL) {
            close(f->fd);
        }
        f->fd = host_open(i->path, O_RDONLY | O_NONBLOCK, 0);
        f->open = f->fd >= 0 ? i : NULL;
    }
    while (len > 0 && f->open != NULL) {
        ssize_t n = host_calls->pread(f->fd, buf, len, (off_t)at);

        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n > 0) {
            buf += n;
            at += (uint64_t)n;
            len -= (size_t)n;
        }
    }
    memset(buf, 0, len);
    return f->open != NULL ? 0 : -EIO;
}

/* read_clusters - at most @len bytes at @at behind the first cluster, *got of them: to the end of who has them. */
static int read_clusters(FatFile *f, uint64_t at, uint8_t *buf, size_t len, size_t *got)
{
    uint32_t bytes = f->tree.cluster_bytes;
    const FatItem *i = item_at(f, (uint32_t)(at / bytes) + 2);
    uint64_t start = i != NULL ? (uint64_t)(i->first - 2) * bytes : 0;
    uint64_t end = i != NULL ? start + ((uint64_t)i->size + bytes - 1) / bytes * bytes : UINT64_MAX;
    size_t held;
    int r = 0;

    *got = (size_t)MIN(len, end - at);
    held = i != NULL && at - start < i->size ? (size_t)MIN(*got, i->size - (at - start)) : 0;
    if (held > 0 && i->data != NULL) {
        memcpy(buf, i->data + (at - start), held);
    } else if (held > 0) {
        pthread_mutex_lock(&f->lock);
        r = read_file(f, i, at - start, buf, held);
        pthread_mutex_unlock(&f->lock);
    }
    memset(buf + held, 0, *got - held);
    return r;
}

static int fat_read(RemoteFile *remote, uint64_t offset, void *buf, size_t len)
{
    FatFile *f = container_of(remote, FatFile, remote);
    uint8_t *p = buf;
    int r = 0;

    if (offset < f->head_bytes) {
        size_t n = (size_t)MIN(len, f->head_bytes - offset);

        memcpy(p, f->head + offset, n);
        offset += n;
        p += n;
        len -= n;
    }
    while (len > 0 && r == 0) {
        size_t n;

        r = read_clusters(f, offset - f->head_bytes, p, len, &n);
        offset += n;
        p += n;
        len -= n;
    }
    return r;
}

static int fat_write(RemoteFile *remote, uint64_t offset, const void *buf, size_t len)
{
    return -EROFS;
}

static int fat_flush(RemoteFile *remote)
{
    return 0;
}

static int fat_zero(RemoteFile *remote, uint64_t offset, uint64_t len, bool unmap)
{
    return -EROFS;
}

static int fat_discard(RemoteFile *remote, uint64_t offset, uint64_t len)
{
    return -EROFS;
}

static uint64_t fat_extent(RemoteFile *remote, uint64_t offset, uint64_t len, bool *hole)
{
    const FatFile *f = container_of(remote, FatFile, remote);
    uint64_t end = f->head_bytes + (uint64_t)f->tree.used * f->tree.cluster_bytes;

    *hole = offset >= end;
    return *hole ? len : MIN(len, end - offset);
}

static void fat_close(RemoteFile *remote)
{
    FatFile *f = container_of(remote, FatFile, remote);

    if (f->open != NULL) {
        close(f->fd);
    }
    fat_tree_free(&f->tree);
    pthread_mutex_destroy(&f->lock);
    free(f->head);
    free(f);
}

static const RemoteOps fat_ops = {
    .read = fat_read, .write = fat_write, .flush = fat_flush, .zero = fat_zero, .discard = fat_discard, .extent = fat_extent,
    .close = fat_close,
};

/* ---- names ---- */

bool fat_is_address(const char *name)
{
    return strncmp(name, "fat:", 4) == 0;
}

/* take_word - *name begins with @word, which is passed. */
static bool take_word(const char **name, const char *word)
{
    bool yes = strncmp(*name, word, strlen(word)) == 0;

    *name += yes ? strlen(word) : 0;
    return yes;
}

/* shape_of - by what stands before the folder, which *name is then; NULL with errp. */
static const Shape *shape_of(const char **name, Error **errp)
{
    static const struct {
        const char *word;
        unsigned bits;
    } widths[] = { { "12:", 12 }, { "16:", 16 }, { "32:", 32 } };
    const char *whole = *name;
    bool floppy = false, writable = false;
    unsigned bits = 0;

    take_word(name, "fat:");
    for (const char *before = NULL; before != *name;) {
        before = *name;
        floppy |= take_word(name, "floppy:");
        writable |= take_word(name, "rw:");
        for (size_t n = 0; n < ARRAY_SIZE(widths); n++) {
            bits = take_word(name, widths[n].word) ? widths[n].bits : bits;
        }
    }
    for (size_t n = 0; n < ARRAY_SIZE(shapes) && !writable; n++) {
        if (shapes[n].floppy == floppy && (bits == 0 || shapes[n].asked == bits)) {
            return &shapes[n];
        }
    }
    error_set(errp, "Could not open '%s': %s", whole, writable ? "a folder can only be read (fat:rw: is not supported)"
              : floppy ? "floppies have FAT12 only" : "only FAT12 and FAT16 are supported");
    return NULL;
}

RemoteFile *fat_open(const char *name, Error **errp)
{
    const char *folder = name;
    const Shape *s = shape_of(&folder, errp);
    autofree char *full = NULL;
    FatFile *f;
    Numbers n;

    if (s == NULL) {
        return NULL;
    }
    /* files are opened later, when the process may be elsewhere */
    full = *folder == '/' ? xstrdup(folder) : !sandbox_on() ? realpath(folder, NULL) : NULL;
    if (full == NULL) {
        error_set_errno(errp, sandbox_on() ? EINVAL : errno, "Could not open '%s'%s", name, sandbox_on() ? " (the folder's whole path is wanted)" : "");
        return NULL;
    }
    n = numbers_of(s);
    f = xnew(FatFile);
    *f = (FatFile){ .remote = { .ops = &fat_ops, .size = (uint64_t)s->sectors * SECTOR, .align = 1 }, .shape = s };
    f->tree = (FatTree){ .cluster_bytes = (uint32_t)s->cluster * SECTOR, .clusters = n.clusters, .root_entries = s->root };
    pthread_mutex_init(&f->lock, NULL);
    if (!fat_tree_read(&f->tree, full, errp)) {
        error_prepend(errp, "Could not open '%s': ", name);
        fat_close(&f->remote);
        return NULL;
    }
    put_head(f, &n);
    return &f->remote;
}

char *fat_address(OptList *l, const char *prefix, Error **errp)
{
    static const char *const widths[] = { "0", "12", "16", "32", NULL };
    static const char *const words[] = { "", "12:", "16:", "32:" };
    autofree char *dir_key = xasprintf("%sdir", prefix), *width_key = xasprintf("%sfat-type", prefix);
    autofree char *floppy_key = xasprintf("%sfloppy", prefix), *rw_key = xasprintf("%srw", prefix);
    const char *dir = opt_get_str(l, dir_key, NULL);
    const char *width = words[opt_get_choice(l, width_key, widths, 0)];
    bool floppy = opt_get_bool(l, floppy_key, false), rw = opt_get_bool(l, rw_key, false);

    if (dir == NULL) {
        error_set(errp, "Parameter '%s' is missing", dir_key);
        return NULL;
    }
    return xasprintf("fat:%s%s%s%s", floppy ? "floppy:" : "", width, rw ? "rw:" : "", dir);
}
