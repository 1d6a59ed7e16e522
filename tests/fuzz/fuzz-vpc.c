/*
 * Fuzz VPC (VHD): see image-file.h.
 */
#include "tests/fuzz/image-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_image(data, size, "vpc", false, NULL);
    return 0;
}
