/*
 * SRAT and SLIT. Source: ACPI specification 6.4, "System Resource Affinity Table (SRAT)" and "System Locality Information
 * Table (SLIT)".
 */
#include "hw/acpi/numa.h"

#include "base/mem.h"

enum { ENABLED = 1 };

/* "Processor Local APIC/SAPIC Affinity Structure", or the x2APIC one for IDs from 255 on. */
static void srat_cpu(Aml *a, uint32_t id, uint32_t node)
{
    uint8_t e[24] = { 0 };

    if (id < 255) {
        e[0] = 0;
        e[1] = 16;
        e[2] = (uint8_t)node;
        e[3] = (uint8_t)id;
        st_le32(e + 4, ENABLED);
        for (unsigned n = 0; n < 3; n++) {
            e[9 + n] = (uint8_t)(node >> (8 + 8 * n));
        }
    } else {
        e[0] = 2;
        e[1] = 24;
        st_le32(e + 4, node);
        st_le32(e + 8, id);
        st_le32(e + 12, ENABLED);
    }
    aml_bytes(a, e, e[1]);
}

/* "Memory Affinity Structure" */
static void srat_memory(Aml *a, const NumaRange *r)
{
    uint8_t e[40] = { 1, sizeof(e) };

    st_le32(e + 2, r->node);
    st_le64(e + 8, r->base);
    st_le64(e + 16, r->len);
    st_le32(e + 28, ENABLED);
    aml_bytes(a, e, sizeof(e));
}

void numa_srat(Aml *a, const NumaMap *map, const uint32_t *apic_ids, unsigned cpus)
{
    static const uint8_t reserved[12] = { 1 }; /* "Reserved to be 1 for backward compatibility" */

    aml_bytes(a, reserved, sizeof(reserved));
    for (unsigned n = 0; n < cpus; n++) {
        srat_cpu(a, apic_ids[n], map->cpu_node[n]);
    }
    for (unsigned n = 0; n < map->range_count; n++) {
        srat_memory(a, &map->ranges[n]);
    }
}

void numa_slit(Aml *a, const NumaMap *map)
{
    uint8_t count[8];

    st_le64(count, map->nodes);
    aml_bytes(a, count, sizeof(count));
    aml_bytes(a, map->distance, (size_t)map->nodes * map->nodes);
}
