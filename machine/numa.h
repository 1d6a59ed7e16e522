/* -numa: nodes of memory and processors, and how far they are apart. */
#ifndef MACHINE_NUMA_H
#define MACHINE_NUMA_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "hw/acpi/numa.h"

struct Error;
struct MachineConfig;
struct Memdev;

enum { NUMA_CPUS = 255 };

typedef struct NumaNode {
    bool there, has_mem;
    struct Memdev *memdev; /* or NULL */
    uint64_t size;
} NumaNode;

typedef struct NumaConfig {
    unsigned count;
    NumaNode node[NUMA_NODES];
    uint32_t cpu_node[NUMA_CPUS];
    uint8_t distance[NUMA_NODES * NUMA_NODES]; /* @count rows of @count, once numa_finish() is through */
    bool have_distance;
} NumaConfig;

/* numa_finish - make @cfg->numa of -numa's arguments, when memory, processors and objects are known. */
bool numa_finish(struct MachineConfig *cfg, struct Error **errp);
/* numa_install - guest RAM is made of the nodes' backends. After ram_create(). */
bool numa_install(const NumaConfig *n, struct Error **errp);
/* numa_ranges - guest-physical memory by nodes, of a board with @below_4g bytes of it there, less the hole below 1 MiB.
 * Returns their count. */
unsigned numa_ranges(const NumaConfig *n, uint64_t below_4g, NumaRange out[NUMA_RANGES]);
/* numa_print - for info numa. */
void numa_print(const NumaConfig *n, unsigned cpus, FILE *out);

#endif
