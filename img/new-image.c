/*
 * New images: what -o says of them, the file, the line that front ends expect. One row a format.
 */
#include "img/create.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "block/image-lock.h"
#include "block/nbd-client.h"
#include "block/vdi.h"
#include "block/vpc.h"

static const char *const preallocations[] = { "off", "metadata", "falloc", "full", NULL };
static const char *const compressions[] = { "zlib", "zstd", NULL };
static const char *const compats[] = { "0.10", "1.1", "v2", "v3", NULL };

static const char *onoff(bool b)
{
    return b ? "on" : "off";
}

/* ---- raw ---- */

static void take_raw(OptList *l, NewImage *image)
{
    if (image->q.preallocation == QCOW2_PREALLOC_METADATA) {
        opt_bad(l, "preallocation=metadata is not for raw images (off, falloc and full are)");
    }
}

static int preallocate_raw(HostFile *f, uint64_t from, uint64_t to, unsigned how)
{
    static const uint8_t zeros[1 << 20];
    int r = 0;

    if (how == QCOW2_PREALLOC_FALLOC && to > from) {
        r = host_allocate(f, from, to - from);
    }
    for (uint64_t at = from; how == QCOW2_PREALLOC_FULL && r == 0 && at < to; at += sizeof(zeros)) {
        r = host_write(f, at, zeros, (size_t)MIN(sizeof(zeros), to - at));
    }
    return r;
}

bool img_preallocation(const char *text, unsigned *how, Error **errp)
{
    for (*how = 0; preallocations[*how] != NULL; ++*how) {
        if (strcmp(preallocations[*how], text) == 0) {
            return true;
        }
    }
    error_set(errp, "Invalid preallocation mode '%s'", text);
    return false;
}

bool img_preallocate(BlockImage *img, uint64_t from, unsigned how, Error **errp)
{
    bool raw = img->fmt == &raw_format;
    int r;

    if (how == QCOW2_PREALLOC_OFF || !img_preallocates(img, how, errp)) {
        return how == QCOW2_PREALLOC_OFF;
    }
    r = raw ? preallocate_raw(&img->host, from, img->size, how) : qcow2_preallocate(img, from, how);
    if (r != 0) {
        error_set_errno(errp, -r, "%s: cannot preallocate", img->file);
    }
    return r == 0;
}

bool img_preallocates(const BlockImage *img, unsigned how, Error **errp)
{
    bool raw = img->fmt == &raw_format;

    if (how == QCOW2_PREALLOC_OFF || img->fmt == &qcow2_format || (raw && how != QCOW2_PREALLOC_METADATA)) {
        return true;
    }
    error_set(errp, "Unsupported preallocation mode: %s", preallocations[how]);
    return false;
}

static bool create_raw(const char *path, const NewImage *image, Error **errp)
{
    int fd = image_create_file(path, errp), r;
    const Qcow2Options *o = &image->q;
    HostFile f;

    if (fd < 0) {
        return false;
    }
    r = host_file_init(&f, fd, false);
    r = r == 0 ? host_truncate(&f, o->size) : r;
    r = r == 0 ? preallocate_raw(&f, 0, o->size, o->preallocation) : r;
    host_file_fini(&f);
    if (r != 0) {
        error_set_errno(errp, -r, "%s: cannot make the image", path);
        unlink(path);
    }
    return r == 0;
}

static void print_raw(const NewImage *image)
{
    const Qcow2Options *o = &image->q;

    printf(" size=%llu%s%s", (unsigned long long)o->size, o->preallocation ? " preallocation=" : "",
           o->preallocation ? preallocations[o->preallocation] : "");
}

/* ---- qcow2 ---- */

static bool power(uint64_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

static void take_qcow2(OptList *l, NewImage *image)
{
    Qcow2Options *o = &image->q;
    uint64_t cluster = opt_get_size(l, "cluster_size", 1, 65536);
    uint64_t bits = opt_get_u64(l, "refcount_bits", 64, 16);

    o->version = opt_get_choice(l, "compat", compats, 1) % 2 == 0 ? 2 : 3;
    o->compat = opt_get_str(l, "compat", NULL);
    o->cluster_size = (uint32_t)MIN(cluster, UINT32_MAX);
    if (!power(cluster) || cluster < 512 || cluster > 2 << 20) {
        opt_bad(l, "Cluster size must be a power of two between 512 and 2048k");
    }
    o->refcount_bits = (unsigned)bits;
    if (!power(bits)) {
        opt_bad(l, "Refcount width must be a power of two and may not exceed 64 bits");
    } else if (o->version == 2 && bits != 16) {
        opt_bad(l, "Different refcount widths than 16 bits require compatibility level 1.1 or above");
    }
    o->lazy_refcounts = opt_get_bool(l, "lazy_refcounts", false);
    if (o->lazy_refcounts && o->version == 2) {
        opt_bad(l, "Lazy refcounts only supported with compatibility level 1.1 and above");
    }
    o->compression = (unsigned)opt_get_choice(l, "compression_type", compressions, 0);
    if (o->compression != 0 && o->version == 2) {
        opt_bad(l, "Non-zlib compression type is only supported with compatibility level 1.1 and above");
    }
    o->extended_l2 = opt_get_bool(l, "extended_l2", false);
    if (o->extended_l2 && o->version == 2) {
        opt_bad(l, "Extended L2 entries are only supported with compatibility level 1.1 and above (use version=v3 or greater)");
    } else if (o->extended_l2 && o->cluster_size < 1u << QCOW2_EXTENDED_BITS_MIN) {
        opt_bad(l, "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes");
    }
    o->data_file = opt_get_str(l, "data_file", NULL);
    o->data_raw = opt_get_bool(l, "data_file_raw", false);
    if (o->data_file != NULL && o->version == 2) {
        opt_bad(l, "External data files are only supported with compatibility level 1.1 and above (use version=v3 or greater)");
    } else if (o->data_raw && o->data_file == NULL) {
        opt_bad(l, "data-file-raw requires data-file");
    } else if (o->data_raw && o->backing_file != NULL) {
        opt_bad(l, "Backing file and data-file-raw cannot be used at the same time");
    }
    if (o->backing_file != NULL && o->preallocation != QCOW2_PREALLOC_OFF) {
        opt_bad(l, "Backing file and preallocation cannot be used at the same time");
    }
}

static bool create_qcow2(const char *path, const NewImage *image, Error **errp)
{
    return qcow2_create(path, &image->q, errp);
}

static void print_qcow2(const NewImage *image)
{
    const Qcow2Options *o = &image->q;

    printf(" cluster_size=%u extended_l2=%s%s%s compression_type=%s size=%llu", o->cluster_size, onoff(o->extended_l2),
           o->preallocation ? " preallocation=" : "", o->preallocation ? preallocations[o->preallocation] : "",
           compressions[o->compression], (unsigned long long)o->size);
    if (o->backing_file != NULL) {
        printf(" backing_file=%s backing_fmt=%s", o->backing_file, o->backing_format);
    }
    if (o->compat != NULL) {
        printf(" compat=%s", o->compat);
    }
    if (o->data_file != NULL) {
        printf(" data_file=%s", o->data_file);
    }
    if (o->data_raw) {
        printf(" data_file_raw=on");
    }
    printf(" lazy_refcounts=%s refcount_bits=%u", onoff(o->lazy_refcounts), o->refcount_bits);
}

/* ---- VDI and VPC ---- */

static void no_preallocation(OptList *l, const NewImage *image)
{
    if (image->q.preallocation != QCOW2_PREALLOC_OFF) {
        opt_bad(l, "Preallocation mode '%s' unsupported", preallocations[image->q.preallocation]);
    }
}

static void take_vdi(OptList *l, NewImage *image)
{
    image->q.whole = opt_get_bool(l, "static", false);
    if (image->q.preallocation == QCOW2_PREALLOC_METADATA) {
        image->q.whole = true;
    } else {
        no_preallocation(l, image);
    }
}

static bool create_vdi(const char *path, const NewImage *image, Error **errp)
{
    return vdi_create(path, image->q.size, image->q.whole, errp);
}

static void print_vdi(const NewImage *image)
{
    printf(" size=%llu static=%s", (unsigned long long)image->q.size, onoff(image->q.whole));
}

static void take_vpc(OptList *l, NewImage *image)
{
    static const char *const kinds[] = { "dynamic", "fixed", NULL };

    image->q.whole = opt_get_choice(l, "subformat", kinds, 0) == 1;
    image->q.exact_size = opt_get_bool(l, "force_size", false);
    no_preallocation(l, image);
}

static bool create_vpc(const char *path, const NewImage *image, Error **errp)
{
    const Qcow2Options *o = &image->q;

    return vpc_create(path, &(VpcOptions){ .size = o->size, .fixed = o->whole, .exact_size = o->exact_size }, errp);
}

static void print_vpc(const NewImage *image)
{
    printf(" size=%llu%s%s", (unsigned long long)image->q.size, image->q.whole ? " subformat=fixed" : "",
           image->q.exact_size ? " force_size=on" : "");
}

/* ---- VMDK ---- */

/* Only shown, in this order. */
enum { SAYS_ADAPTER, SAYS_FORMAT, SAYS_COMPAT6, SAYS_HW, SAYS_TOOLS, SAYS_SUBFORMAT, SAYS_ZEROED };

static bool digits(const char *s)
{
    return *s != 0 && strspn(s, "0123456789") == strlen(s);
}

static void take_vmdk(OptList *l, NewImage *image)
{
    VmdkOptions *o = &image->vmdk;
    bool compat6 = opt_get_bool(l, "compat6", false);
    const char *hw = opt_get_str(l, "hwversion", "undefined"), *tools = opt_get_str(l, "toolsversion", NULL);

    o->subformat = (unsigned)opt_get_choice(l, "subformat", vmdk_subformats, 0);
    o->adapter = vmdk_adapters[opt_get_choice(l, "adapter_type", vmdk_adapters, 0)];
    o->zeroed = opt_get_bool(l, "zeroed_grain", false);
    o->hw_version = strcmp(hw, "undefined") != 0 ? hw : compat6 ? "6" : "4";
    o->tools_version = tools != NULL ? tools : "2147483647";
    o->backing_file = image->q.backing_file;
    if (compat6 && strcmp(hw, "undefined") != 0) {
        opt_bad(l, "compat6 cannot be enabled with hwversion set");
    } else if (!digits(o->hw_version) || !digits(o->tools_version)) {
        opt_bad(l, "hwversion and toolsversion are numbers");
    } else if (vmdk_is_flat(o->subformat) && (o->backing_file != NULL || o->zeroed)) {
        opt_bad(l, o->zeroed ? "Flat image can't enable zeroed grain" : "Flat image can't have backing file");
    } else if (o->backing_file != NULL && image->q.backing_format != NULL && strcmp(image->q.backing_format, "vmdk") != 0) {
        opt_bad(l, "backing_file must be a vmdk image");
    }
    no_preallocation(l, image);
    image->text[SAYS_ADAPTER] = opt_get_str(l, "adapter_type", NULL);
    image->text[SAYS_COMPAT6] = onoff(compat6);
    image->text[SAYS_HW] = hw;
    image->text[SAYS_SUBFORMAT] = opt_get_str(l, "subformat", NULL);
    image->text[SAYS_TOOLS] = tools;
    image->text[SAYS_ZEROED] = opt_has(l, "zeroed_grain") ? onoff(o->zeroed) : NULL;
}

static bool create_vmdk(const char *path, const NewImage *image, Error **errp)
{
    VmdkOptions o = image->vmdk;

    o.size = image->q.size;
    return vmdk_create(path, &o, errp);
}

static void print_vmdk(const NewImage *image)
{
    static const char *const keys[] = { "adapter_type", NULL, "compat6", "hwversion", "toolsversion", "subformat", "zeroed_grain" };
    const Qcow2Options *o = &image->q;

    printf(" size=%llu", (unsigned long long)o->size);
    for (unsigned n = 0; n < ARRAY_SIZE(keys); n++) {
        if (n == SAYS_FORMAT && o->backing_file != NULL) {
            printf(" backing_file=%s", o->backing_file);
            if (o->backing_format != NULL) {
                printf(" backing_fmt=%s", o->backing_format);
            }
        } else if (image->text[n] != NULL) {
            printf(" %s=%s", keys[n], image->text[n]);
        }
    }
}

/* ---- VHDX ---- */

static void take_vhdx(OptList *l, NewImage *image)
{
    static const char *const kinds[] = { "dynamic", "fixed", NULL };
    VhdxOptions *o = &image->vhdx;
    uint64_t block = opt_get_size(l, "block_size", 1, 0), log = opt_get_size(l, "log_size", 1, 1 << 20);

    o->block_size = (uint32_t)MIN(block, UINT32_MAX);
    o->log_size = (uint32_t)MIN(log, UINT32_MAX);
    o->fixed = opt_get_choice(l, "subformat", kinds, 0) == 1;
    o->not_zero = !opt_get_bool(l, "block_state_zero", true);
    no_preallocation(l, image);
    image->text[0] = opt_get_str(l, "subformat", NULL);
    image->text[1] = opt_has(l, "block_state_zero") ? onoff(!o->not_zero) : NULL;
}

static bool create_vhdx(const char *path, const NewImage *image, Error **errp)
{
    VhdxOptions o = image->vhdx;

    o.size = image->q.size;
    return vhdx_create(path, &o, errp);
}

static void print_vhdx(const NewImage *image)
{
    const char *sub = image->text[0], *zero = image->text[1];

    printf(" size=%llu log_size=%u block_size=%u%s%s%s%s", (unsigned long long)image->q.size, image->vhdx.log_size,
           image->vhdx.block_size, sub != NULL ? " subformat=" : "", sub != NULL ? sub : "",
           zero != NULL ? " block_state_zero=" : "", zero != NULL ? zero : "");
}

/* ---- all ---- */

static const struct {
    const char *name;
    void (*take)(OptList *l, NewImage *image);
    bool (*create)(const char *path, const NewImage *image, Error **errp);
    void (*print)(const NewImage *image);
} kinds[] = {
    { "raw", take_raw, create_raw, print_raw }, { "qcow2", take_qcow2, create_qcow2, print_qcow2 },
    { "vdi", take_vdi, create_vdi, print_vdi }, { "vpc", take_vpc, create_vpc, print_vpc },
    { "vmdk", take_vmdk, create_vmdk, print_vmdk }, { "vhdx", take_vhdx, create_vhdx, print_vhdx },
};

static size_t kind_of(const char *format)
{
    size_t n = 0;

    while (n + 1 < ARRAY_SIZE(kinds) && strcmp(kinds[n].name, format) != 0) {
        n++;
    }
    return n;
}

static const char *const encryption[] = { "encryption", "encrypt.format", "encrypt.key-secret" };

bool new_image_options(const char *format, OptList *l, NewImage *image, Error **errp)
{
    image->q.preallocation = (unsigned)opt_get_choice(l, "preallocation", preallocations, 0);
    image->q.cluster_size = 65536;
    image->no_cow = opt_get_bool(l, "nocow", false);
    image->extent_size_hint = opt_get_size(l, "extent_size_hint", 1, 0);
    for (size_t n = 0; n < ARRAY_SIZE(encryption); n++) {
        if (opt_has(l, encryption[n])) {
            opt_bad(l, "%s=: encrypted images are not supported", encryption[n]);
        }
    }
    if (image->extent_size_hint > UINT32_MAX) {
        opt_bad(l, "extent_size_hint is at most 4G");
    }
    kinds[kind_of(format)].take(l, image);
    return opt_done(l, errp);
}

/* tell_file_system - hints to the file that will be there. One that has no use for them says no, which is no harm. */
static bool tell_file_system(const char *path, const NewImage *image, Error **errp)
{
    int fd = image_create_file(path, errp), flags = 0;
    struct fsxattr x = { 0 };

    if (fd < 0) {
        return false;
    }
    if (image->no_cow && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_NOCOW_FL;
        (void)!ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    if (image->extent_size_hint != 0 && ioctl(fd, FS_IOC_FSGETXATTR, &x) == 0) {
        x.fsx_xflags |= FS_XFLAG_EXTSIZE;
        x.fsx_extsize = (uint32_t)image->extent_size_hint;
        (void)!ioctl(fd, FS_IOC_FSSETXATTR, &x);
    }
    close(fd);
    return true;
}

bool new_image(const char *path, const char *format, const NewImage *image, Error **errp)
{
    if (nbd_is_address(path)) {
        error_set(errp, "%s: Protocol driver 'nbd' does not support image creation (convert -n writes to what is there)", path);
        return false;
    }
    if ((image->no_cow || image->extent_size_hint != 0) && !tell_file_system(path, image, errp)) {
        return false;
    }
    return kinds[kind_of(format)].create(path, image, errp);
}

void new_image_print(const char *path, const char *format, const NewImage *image)
{
    printf("Formatting '%s', fmt=%s", path, format);
    kinds[kind_of(format)].print(image);
    if (image->no_cow) {
        printf(" nocow=on");
    }
    if (image->extent_size_hint != 0) {
        printf(" extent_size_hint=%llu", (unsigned long long)image->extent_size_hint);
    }
    printf("\n");
}

bool new_image_behind(const char *format)
{
    return strcmp(format, "qcow2") == 0 || strcmp(format, "vmdk") == 0;
}
