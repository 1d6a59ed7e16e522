/*
 * The decoder on any bytes: never reads past what it was given, and what it says of an instruction
 * holds together.
 */
#include <stdlib.h>
#include <string.h>
#include "cpu/disas.h"
#include "cpu/insn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t bits[3] = { 16, 32, 64 };
    uint64_t features[2] = { ~0ull, ~0ull };
    DecodeMode m;
    DecodeResult res;
    uint8_t *copy;
    Insn i;

    if (size < 2) {
        return 0;
    }
    decode_init();
    m = (DecodeMode){ bits[data[0] % 3], (data[0] & 4) != 0, features };
    features[0] ^= data[0] & 8 ? 0x5555555555555555ull : 0;
    size = size - 1 > 20 ? 20 : size - 1;
    copy = malloc(size); /* its own allocation: the sanitizer sees a byte too far */
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data + 1, size);
    res = decode_insn(&m, copy, (unsigned)size, &i);
    if (i.len == 0 || i.len > 15 || i.exec == NULL || (res != DECODE_MORE && i.len > size) ||
        (res == DECODE_MORE && size >= 15)) {
        abort();
    }
    if (res == DECODE_OK && (i.base >= GPR_COUNT || i.index >= GPR_COUNT || i.seg >= SEG_COUNT ||
                             i.reg > 15 || i.rm > 15 || i.vvvv > 15 || i.scale > 3)) {
        abort();
    }
    free(copy);
    return 0;
}
