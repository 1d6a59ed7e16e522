/*
 * Fuzz VMDK: see image-file.h. The image is checked as well.
 */
#include "tests/fuzz/image-file.h"

#include "block/vmdk.h"

static void more(BlockImage *img, unsigned how)
{
    uint64_t errors;

    vmdk_check(img, &errors, NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_image(data, size, "vmdk", false, more);
    return 0;
}
