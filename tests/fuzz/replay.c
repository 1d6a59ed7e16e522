/*
 * Runs a fuzzer's inputs without libFuzzer: replay-NAME PACK. A pack is the corpus in one file, each
 * input behind its length in two little-endian bytes (scripts/corpus makes and opens them).
 * Speaks like a cmocka program, for tests/run.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
#pragma weak LLVMFuzzerInitialize

int main(int argc, char **argv)
{
    unsigned n = 0;
    uint8_t head[2];
    FILE *f;

    if (argc != 2 || (f = fopen(argv[1], "rb")) == NULL) {
        fprintf(stderr, "usage: %s PACK\n", argv[0]);
        return 1;
    }
    if (LLVMFuzzerInitialize != NULL) {
        LLVMFuzzerInitialize(&argc, &argv);
    }
    while (fread(head, 1, 2, f) == 2) {
        size_t size = head[0] | (size_t)head[1] << 8;
        uint8_t *data = malloc(size + 1); /* its own: a sanitizer sees the end */

        if (data == NULL || fread(data, 1, size, f) != size) {
            fprintf(stderr, "%s: cut short after %u inputs\n", argv[1], n);
            return 1;
        }
        LLVMFuzzerTestOneInput(data, size);
        free(data);
        n++;
    }
    fclose(f);
    printf("%u inputs\n[  PASSED  ] 1 test(s).\n", n);
    return n == 0;
}
