/*
 * The program: reads the command line, builds a board, runs it.
 */
#include <stdio.h>
#include "config.h"

int main(int argc, char **argv)
{
    printf("doppel %s (QEMU emulator version %s compatible)\n", DOPPEL_VERSION,
           QEMU_COMPAT_VERSION);
    return 0;
}
