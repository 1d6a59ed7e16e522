/*
 * Fuzz VDI: see image-file.h.
 */
#include "tests/fuzz/image-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 100 && size <= FILE_MAX) {
        fuzz_image(data, size, "vdi", false, NULL);
    }
    return 0;
}
