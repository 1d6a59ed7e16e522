/*
 * What -o takes for new images, in words.
 */
#include "img/create.h"

#include <stdio.h>
#include <string.h>

typedef struct OptionHelp {
    const char *formats; /* that have it, each with a space behind; NULL: all */
    const char *key, *value, *help;
} OptionHelp;

static const OptionHelp options[] = {
    { "vmdk ", "adapter_type", "ide|lsilogic|buslogic|legacyESX", "the controller that the disk is for" },
    { "qcow2 vmdk ", "backing_file", "file", "the image behind it" },
    { "qcow2 vmdk ", "backing_fmt", "format", "the format of that" },
    { "vhdx ", "block_size", "size", "of a block: 1M to 256M (default: by the size of the disk)" },
    { "vhdx ", "block_state_zero", "on|off", "blocks that are not there read as zeros (default: on)" },
    { "qcow2 ", "cluster_size", "size", "of a cluster: 512 to 2M (default: 64k)" },
    { "qcow2 ", "compat", "0.10|v2|1.1|v3", "the version of the format (default: 1.1)" },
    { "vmdk ", "compat6", "on|off", "version 6 of the virtual hardware" },
    { "qcow2 ", "compression_type", "zlib|zstd", "how clusters are compressed (default: zlib)" },
    { "qcow2 ", "data_file", "file", "another file that has the data" },
    { "qcow2 ", "data_file_raw", "on|off", "which is a raw image by itself" },
    { "qcow2 ", "extended_l2", "on|off", "clusters in 32 parts" },
    { NULL, "extent_size_hint", "size", "how much XFS places at a time" },
    { "vpc ", "force_size", "on|off", "just this size, not one that has a geometry" },
    { "vmdk ", "hwversion", "number", "of the virtual hardware (default: 4)" },
    { "qcow2 ", "lazy_refcounts", "on|off", "counts may be written late" },
    { "vhdx ", "log_size", "size", "of its log: 1M and more" },
    { NULL, "nocow", "on|off", "Btrfs does not copy the file's blocks when they are written" },
    { "raw ", "preallocation", "off|falloc|full", "places in the file from the start" },
    { "qcow2 ", "preallocation", "off|metadata|falloc|full", "places in the file from the start" },
    { "vdi ", "preallocation", "off|metadata", "places in the file from the start" },
    { "qcow2 ", "refcount_bits", "number", "width of a count: 1 to 64 (default: 16)" },
    { NULL, "size", "size", "of the disk" },
    { "vdi ", "static", "on|off", "all blocks are there from the start" },
    { "vmdk ", "subformat", "monolithicSparse|monolithicFlat|twoGbMaxExtentSparse|twoGbMaxExtentFlat|streamOptimized",
      "(default: monolithicSparse)" },
    { "vpc vhdx ", "subformat", "dynamic|fixed", "(default: dynamic)" },
    { "vmdk ", "toolsversion", "number", "of VMware's tools" },
    { "vmdk ", "zeroed_grain", "on|off", "places that are known to be zeros" },
};

/* has - is the name @format, with its space, among @formats? None is a part of another's end. */
static bool has(const char *formats, const char *format)
{
    autofree char *word = xasprintf("%s ", format);

    return formats == NULL || strstr(formats, word) != NULL;
}

bool new_image_help(const char *format, Error **errp)
{
    if (image_format_find(format, errp) == NULL) {
        return false;
    }
    printf("Supported %s options:\n", format);
    for (const OptionHelp *o = options; o < options + ARRAY_SIZE(options); o++) {
        if (has(o->formats, format)) {
            printf("  %s=<%s> - %s\n", o->key, o->value, o->help);
        }
    }
    return true;
}
