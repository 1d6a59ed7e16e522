/*
 * New images of the formats that have few options. See new-disk.h.
 */
#include "tests/lib/new-disk.h"

#include <string.h>
#include "block/qcow2-bitmap.h"
#include "block/vdi.h"
#include "block/vhdx.h"
#include "block/vmdk.h"
#include "block/vpc.h"
#include "tests/test.h"

bool new_disk(const char *path, const char *format, uint64_t size, bool whole)
{
    const VmdkOptions vmdk = { .size = size, .subformat = whole ? 4 : 0, .adapter = "ide", .hw_version = "4", .tools_version = "1" };
    const VpcOptions vpc = { .size = size, .exact_size = true, .fixed = whole };

    if (strcmp(format, "vdi") == 0) {
        assert_true(vdi_create(path, size, false, NULL));
    } else if (strcmp(format, "vpc") == 0) {
        assert_true(vpc_create(path, &vpc, NULL));
    } else if (strcmp(format, "vmdk") == 0) {
        assert_true(vmdk_create(path, &vmdk, NULL));
    } else if (strcmp(format, "vhdx") == 0) {
        assert_true(vhdx_create(path, &(VhdxOptions){ .size = size, .block_size = 1 << 20, .fixed = whole }, NULL));
    } else {
        return false;
    }
    return true;
}

void new_bitmap(const char *path)
{
    BlockImage *img = image_open(path, "qcow2", false, BLK_WRITEBACK, NULL);

    assert_non_null(img);
    assert_true(qcow2_bitmap_add(img, "kept", 512, NULL));
    assert_int_equal(qcow2_bitmaps_sync(img), 0);
    image_unref(img);
}
