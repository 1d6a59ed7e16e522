/* NUMA as ACPI tells of it: which processors and which memory are near each other, and how far nodes are apart. */
#ifndef HW_ACPI_NUMA_H
#define HW_ACPI_NUMA_H

#include <stdint.h>
#include "hw/acpi/aml.h"

enum { NUMA_NODES = 128, NUMA_RANGES = 3 * NUMA_NODES, NUMA_NEAR = 10, NUMA_DEFAULT = 20, NUMA_UNREACHABLE = 255 };

typedef struct NumaRange {
    uint64_t base, len; /* of guest-physical memory */
    uint32_t node;
} NumaRange;

typedef struct NumaMap {
    unsigned nodes; /* 0: not told of */
    const uint32_t *cpu_node; /* of each processor */
    const NumaRange *ranges;
    unsigned range_count;
    const uint8_t *distance; /* @nodes rows of @nodes; NULL: no SLIT */
} NumaMap;

/* numa_srat, numa_slit - the bodies of the tables. */
void numa_srat(Aml *a, const NumaMap *map, const uint32_t *apic_ids, unsigned cpus);
void numa_slit(Aml *a, const NumaMap *map);

#endif
