/*
 * The human monitor: disks and media. The shape of `info block` is QEMU's: tools read it.
 */
#include "monitor/hmp-internal.h"

#include <inttypes.h>
#include <string.h>
#include "base/error.h"
#include "base/text.h"
#include "block/block.h"
#include "bus/lock.h"

typedef struct BlockList {
    FILE *out;
    const char *name; /* NULL: all */
    bool verbose, any;
} BlockList;

static const char *cache_name(BlockCache cache)
{
    static const char *const names[] = { "writeback", "writethrough",
                                         "writeback, ignore flushes" };

    return names[cache];
}

static void print_image(FILE *out, const BlockInfo *i)
{
    char used[32], size[32];

    fprintf(out, "\nImages:\nimage: %s\nfile format: %s\nvirtual size: %s (%" PRIu64
                 " bytes)\ndisk size: %s\n",
            i->file, i->format, text_show_size(i->size, size), i->size,
            text_show_size(i->used, used));
}

static void print_block(void *opaque, BlockBackend *b)
{
    BlockList *l = opaque;
    FILE *out = l->out;
    BlockInfo i;

    blk_info(b, &i);
    if (l->name != NULL && strcmp(l->name, i.name) != 0) {
        return;
    }
    if (l->any) {
        fprintf(out, "\n");
    }
    l->any = true;
    if (i.file == NULL) {
        fprintf(out, "%s: [not inserted]\n", i.name);
    } else {
        fprintf(out, "%s: %s (%s%s)\n", i.name, i.file, i.format,
                i.read_only ? ", read-only" : "");
    }
    if (i.attached != NULL) {
        fprintf(out, "    Attached to:      %s\n", i.attached);
    }
    if (i.removable) {
        fprintf(out, "    Removable device: %slocked, tray %s\n", i.locked ? "" : "not ",
                i.tray_open ? "open" : "closed");
    }
    if (i.file != NULL) {
        fprintf(out, "    Cache mode:       %s\n", cache_name(i.cache));
        if (l->verbose) {
            print_image(out, &i);
        }
    }
}

void hmp_info_block(HmpSession *m, FILE *out, char *arg)
{
    BlockList l = { .out = out };

    while (*arg == '-') {
        const char *flag = hmp_word(&arg);

        if (strcmp(flag, "-v") != 0) {
            fprintf(out, "Error: info block %s: only -v is there yet\n", flag);
            return;
        }
        l.verbose = true;
    }
    l.name = *arg != 0 ? hmp_word(&arg) : NULL;
    if (l.name != NULL && blk_find(l.name) == NULL) {
        fprintf(out, "Error: Device '%s' not found\n", l.name);
        return;
    }
    machine_lock();
    blk_each(print_block, &l);
    machine_unlock();
}

/* take_force - "-f" in front of the device's name. */
static bool take_force(char **arg)
{
    if (strncmp(*arg, "-f ", 3) != 0) {
        return false;
    }
    hmp_word(arg);
    *arg += strspn(*arg, " \t");
    return true;
}

static BlockBackend *find(FILE *out, const char *name)
{
    BlockBackend *b = blk_find(name);

    if (b == NULL) {
        fprintf(out, "Error: Device '%s' not found\n", name);
    }
    return b;
}

void hmp_change(HmpSession *m, FILE *out, char *arg)
{
    bool force = take_force(&arg), read_only;
    const char *name = hmp_word(&arg), *file = hmp_word(&arg), *format = hmp_word(&arg);
    const char *mode = hmp_word(&arg);
    Error *err = NULL;
    BlockBackend *b;

    if (strcmp(name, "vnc") == 0) {
        hmp_change_vnc(m, out, file, format);
        return;
    }
    if (*name == 0 || *file == 0) {
        fprintf(out, "change: %s expected\nTry \"help change\" for more information\n",
                *name == 0 ? "block device name" : "filename");
        return;
    }
    b = find(out, name);
    if (b == NULL) {
        return;
    }
    machine_lock();
    read_only = blk_wants_read_only(b);
    machine_unlock();
    if (strcmp(mode, "read-only") == 0) {
        read_only = true;
    } else if (strcmp(mode, "read-write") == 0) {
        read_only = false;
    } else if (*mode != 0 && strcmp(mode, "retain") != 0) {
        fprintf(out, "Error: read-only-mode '%s' is not retain, read-only or read-write\n", mode);
        return;
    }
    if (!blk_change(b, file, *format != 0 ? format : NULL, read_only, force, &err)) {
        hmp_error(out, err);
    }
}

void hmp_eject(HmpSession *m, FILE *out, char *arg)
{
    bool force = take_force(&arg);
    const char *name = hmp_word(&arg);
    Error *err = NULL;
    BlockBackend *b;

    if (*name == 0) {
        fprintf(out, "eject: block device name expected\nTry \"help eject\" for more information\n");
        return;
    }
    b = find(out, name);
    if (b != NULL && !blk_eject(b, force, &err)) {
        hmp_error(out, err);
    }
}
