/* New images of the formats that have few options, for tests that do the same with each. */
#ifndef TESTS_LIB_NEW_DISK_H
#define TESTS_LIB_NEW_DISK_H

#include <stdbool.h>
#include <stdint.h>

/* new_disk - false: @format is none of these (vdi, vpc, vmdk, vhdx). @whole: all places are there from the start (vpc, vhdx), or the
 * subformat is another (vmdk: compressed). */
bool new_disk(const char *path, const char *format, uint64_t size, bool whole);
/* new_bitmap - the qcow2 image has a bitmap called "kept", which whoever writes keeps up. */
void new_bitmap(const char *path);

#endif
