/*
 * A processor as gdb sees it: numbered registers, linear memory. Source: GDB manual, appendix E
 * "GDB Remote Serial Protocol" and G "Target Descriptions" ("i386 Features").
 * All processors are parked while these run; loop thread.
 */
#ifndef MONITOR_GDB_TARGET_H
#define MONITOR_GDB_TARGET_H

#include "cpu/cpu.h"

/* gdb_xml - the target description for a processor; a constant string. */
const char *gdb_xml(const CpuState *c);
unsigned gdb_reg_count(const CpuState *c);
/* gdb_reg_read - register @n into @buf (at most 16 bytes); returns its size, 0 if there is none. */
unsigned gdb_reg_read(CpuState *c, unsigned n, uint8_t *buf);
/* gdb_reg_write - from @buf; returns the size used, 0 if there is none. */
unsigned gdb_reg_write(CpuState *c, unsigned n, const uint8_t *buf);
/* gdb_mem - @n bytes at a linear address; false when a page is not mapped. */
bool gdb_mem_read(CpuState *c, vaddr addr, uint8_t *buf, size_t n);
bool gdb_mem_write(CpuState *c, vaddr addr, const uint8_t *buf, size_t n);

#endif
