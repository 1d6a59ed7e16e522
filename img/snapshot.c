/*
 * doppel-img snapshot: internal snapshots of an image.
 */
#include "img/img.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "block/qcow2.h"

void img_print_snapshots(const Qcow2Snapshot *list, uint32_t count)
{
    if (count != 0) {
        printf("Snapshot list:\n%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
    }
    for (uint32_t n = 0; n < count; n++) {
        const Qcow2Snapshot *sn = &list[n];
        uint64_t ms = sn->clock_ns / 1000000;
        time_t when = sn->sec;
        char date[32], clock[40], size[32], icount[24] = "";
        struct tm tm;

        localtime_r(&when, &tm);
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
        snprintf(clock, sizeof(clock), "%02" PRIu64 ":%02u:%02u.%03u", ms / 3600000, (unsigned)(ms / 60000 % 60),
                 (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000));
        if (sn->icount != UINT64_MAX) {
            snprintf(icount, sizeof(icount), "%" PRIu64, sn->icount);
        }
        printf("%-9s %-16s %8s%20s%13s%11s\n", sn->id, sn->name, img_human(sn->state_bytes, size), date, clock,
               icount);
    }
}

typedef struct SnapshotArgs {
    const char *format, *name;
    unsigned share;
    char what; /* l, a, c or d */
    bool bad, mixed;
} SnapshotArgs;

static void snapshot_args(SnapshotArgs *a, int argc, char **argv)
{
    int c;

    optind = 1;
    while ((c = getopt(argc, argv, ":f:qUla:c:d:")) != -1) {
        switch (c) {
        case 'f': a->format = optarg; break;
        case 'q': break;
        case 'U': a->share = IMAGE_FORCE_SHARE; break;
        case 'l':
        case 'a':
        case 'c':
        case 'd':
            a->mixed |= a->what != 0;
            a->what = (char)c;
            a->name = optarg;
            break;
        default: a->bad = true; return;
        }
    }
    a->what = a->what != 0 ? a->what : 'l';
    a->bad = argc - optind != 1;
}

static int list_snapshots(BlockImage *img)
{
    Qcow2Snapshot *list;
    uint32_t count;
    uint64_t bytes;
    int r = img->fmt == &qcow2_format ? qcow2_snapshots_read(img->priv, &list, &count, &bytes) : 0;

    if (r == 0 && img->fmt == &qcow2_format) {
        img_print_snapshots(list, count);
        qcow2_snapshots_free(list, count);
    } else if (r != 0) {
        report("%s: cannot read its snapshots: %s", img->file, strerror(-r));
    }
    return r != 0;
}

/* change - the errors in qemu-img's words. */
static int change(BlockImage *img, const SnapshotArgs *a)
{
    bool none = img->fmt != &qcow2_format;
    int r;

    if (a->what == 'c') {
        r = none ? -ENOTSUP : qcow2_snapshot_create(img, a->name);
        if (r != 0) {
            report("Could not create snapshot '%s': %d (%s)", a->name, r, strerror(-r));
        }
    } else if (a->what == 'a') {
        r = none ? -ENOTSUP : qcow2_snapshot_apply(img, a->name);
        if (none) {
            report("Could not apply snapshot '%s': Block driver does not support snapshots", a->name);
        } else if (r != 0) {
            report("Could not apply snapshot '%s': Failed to load snapshot: %s", a->name, strerror(-r));
        }
    } else {
        r = none ? -ENOENT : qcow2_snapshot_delete(img, a->name);
        if (r == -ENOENT) {
            report("Could not delete snapshot '%s': snapshot not found", a->name);
        } else if (r != 0) {
            report("Could not delete snapshot '%s': %s", a->name, strerror(-r));
        }
    }
    return r != 0;
}

int cmd_snapshot(int argc, char **argv)
{
    SnapshotArgs a = { 0 };
    Error *err = NULL;
    BlockImage *img;
    int code;

    snapshot_args(&a, argc, argv);
    if (a.mixed) {
        return img_usage("snapshot", "Cannot mix '-l', '-a', '-c', '-d'");
    }
    if (a.bad) {
        return img_usage("snapshot", "Expecting one image file name");
    }
    img = img_open(argv[optind], a.format, a.what == 'l' ? IMAGE_READ_ONLY | a.share : 0, BLK_WRITEBACK, &err);
    if (img == NULL) {
        return img_fail(err);
    }
    code = a.what == 'l' ? list_snapshots(img) : change(img, &a);
    image_unref(img);
    return code;
}
