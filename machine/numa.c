/*
 * -numa: see numa.h.
 */
#include "machine/numa.h"

#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "base/text.h"
#include "machine/boot.h"
#include "machine/config.h"
#include "machine/memdev.h"

#define NOWHERE UINT32_MAX

/* What is collected. */
typedef struct Making {
    MachineConfig *cfg;
    NumaConfig *n;
    unsigned node; /* of the -numa node at hand */
    bool given[NUMA_NODES][NUMA_NODES]; /* distances */
} Making;

/* ---- -numa node ---- */

static bool assign(Making *m, unsigned cpu, unsigned node, Error **errp)
{
    if (m->n->cpu_node[cpu] != NOWHERE && m->n->cpu_node[cpu] != node) {
        error_set(errp, "CPU is already assigned to node-id: %u", m->n->cpu_node[cpu]);
        return false;
    }
    m->n->cpu_node[cpu] = node;
    return true;
}

/* node_cpus - "2" or "2-3"; the key may be given more than once. */
static bool node_cpus(void *opaque, const char *key, const char *value, Error **errp)
{
    Making *m = opaque;
    const char *dash = strchr(value, '-');
    autofree char *low = xstrndup(value, dash != NULL ? (size_t)(dash - value) : strlen(value));
    uint64_t first, last;

    if (!text_name_eq(key, "cpus")) {
        error_set(errp, "Invalid parameter '%s'", key);
        return false;
    }
    if (!text_u64(low, UINT32_MAX, &first) || !text_u64(dash != NULL ? dash + 1 : low, UINT32_MAX, &last) || last < first) {
        error_set(errp, "cpus=%s: neither a number nor a range such as 0-3", value);
        return false;
    }
    for (uint64_t cpu = first; cpu <= last; cpu++) {
        if (cpu >= m->cfg->maxcpus) {
            error_set(errp, "CPU index (%llu) should be smaller than maxcpus (%u)", (unsigned long long)cpu, m->cfg->maxcpus);
            return false;
        }
        if (!assign(m, (unsigned)cpu, m->node, errp)) {
            return false;
        }
    }
    return true;
}

static bool node_memory(Making *m, NumaNode *node, OptList *l, Error **errp)
{
    const char *memdev = opt_get_str(l, "memdev", NULL);

    node->has_mem = opt_has(l, "mem");
    node->size = opt_get_size(l, "mem", 1 << 20, 0);
    opt_get_str(l, "initiator", NULL);
    if (opt_has(l, "initiator")) {
        error_set(errp, "initiator=: HMAT is not supported yet");
        return false;
    }
    for (unsigned n = 0; n < NUMA_NODES; n++) {
        const NumaNode *other = &m->n->node[n];

        if (other->there && ((memdev != NULL && other->has_mem) || (node->has_mem && other->memdev != NULL))) {
            error_set(errp, "numa configuration should use either mem= or memdev=,mixing both is not allowed");
            return false;
        }
    }
    if (memdev == NULL) {
        return true;
    }
    if (node->has_mem) {
        error_set(errp, "numa configuration should use either mem= or memdev=,mixing both is not allowed");
        return false;
    }
    node->memdev = memdev_find(memdev);
    if (node->memdev == NULL) {
        error_set(errp, "memdev=%s: there is no memory backend of that name", memdev);
        return false;
    }
    node->size = memdev_size(node->memdev);
    return memdev_take(node->memdev, errp);
}

static bool add_node(Making *m, OptList *l, Error **errp)
{
    uint64_t id = opt_get_u64(l, "nodeid", UINT16_MAX, m->n->count);
    NumaNode node = { .there = true };

    if (id >= NUMA_NODES) {
        error_set(errp, "Max number of NUMA nodes reached: %llu", (unsigned long long)id);
        return false;
    }
    if (m->n->node[id].there) {
        error_set(errp, "Duplicate NUMA nodeid: %llu", (unsigned long long)id);
        return false;
    }
    if (!node_memory(m, &node, l, errp)) {
        return false;
    }
    m->node = (unsigned)id;
    m->n->node[id] = node;
    m->n->count++;
    return opt_each_unused(l, node_cpus, m, errp);
}

/* ---- -numa dist, -numa cpu ---- */

static bool add_dist(Making *m, OptList *l, Error **errp)
{
    uint64_t src = opt_get_u64(l, "src", UINT16_MAX, UINT16_MAX), dst = opt_get_u64(l, "dst", UINT16_MAX, UINT16_MAX);
    uint64_t val = opt_get_u64(l, "val", UINT8_MAX, 0);

    if (src >= NUMA_NODES || dst >= NUMA_NODES) {
        error_set(errp, "Parameter '%s' expects an integer between 0 and %d", src >= NUMA_NODES ? "src" : "dst",
                  NUMA_NODES - 1);
    } else if (!m->n->node[src].there || !m->n->node[dst].there) {
        error_set(errp, "Source/Destination NUMA node is missing. Please use '-numa node' option to declare it first.");
    } else if (val < NUMA_NEAR) {
        error_set(errp, "NUMA distance (%u) is invalid, it shouldn't be less than %d.", (unsigned)val, NUMA_NEAR);
    } else if (src == dst && val != NUMA_NEAR) {
        error_set(errp, "Local distance of node %u should be %d.", (unsigned)src, NUMA_NEAR);
    } else {
        m->n->distance[src * NUMA_NODES + dst] = (uint8_t)val;
        m->given[src][dst] = m->n->have_distance = true;
        return opt_done(l, errp);
    }
    return false;
}

/* add_cpu - all processors of that place. */
static bool add_cpu(Making *m, OptList *l, Error **errp)
{
    static const char *const keys[] = { "thread-id", "core-id", "die-id", "socket-id" };
    const MachineConfig *c = m->cfg;
    const unsigned sizes[] = { c->threads, c->cores, c->dies, c->sockets };
    uint64_t node = opt_get_u64(l, "node-id", UINT32_MAX, NOWHERE), want[4];
    bool found = false;

    for (unsigned k = 0; k < 4; k++) {
        want[k] = opt_get_u64(l, keys[k], UINT32_MAX, NOWHERE);
    }
    if (!opt_has(l, "node-id")) {
        error_set(errp, "Missing mandatory node-id property");
        return false;
    }
    if (node >= NUMA_NODES || !m->n->node[node].there) {
        error_set(errp, "Invalid node-id=%llu, NUMA node must be defined with -numa node,nodeid=ID before it's used with "
                  "-numa cpu,node-id=ID", (unsigned long long)node);
        return false;
    }
    for (unsigned cpu = 0; cpu < c->maxcpus; cpu++) {
        unsigned rest = cpu;
        bool match = true;

        for (unsigned k = 0; k < 4; k++) {
            match = match && (want[k] == NOWHERE || want[k] == rest % sizes[k]);
            rest /= sizes[k];
        }
        if (match && !assign(m, cpu, (unsigned)node, errp)) {
            return false;
        }
        found |= match;
    }
    if (!found) {
        error_set(errp, "no match found");
        return false;
    }
    return opt_done(l, errp);
}

static bool add_one(Making *m, const char *arg, Error **errp)
{
    static const struct {
        const char *type;
        bool (*add)(Making *m, OptList *l, Error **errp);
    } types[] = { { "node", add_node }, { "dist", add_dist }, { "cpu", add_cpu } };
    OptList *l = opt_parse(arg, "type", errp);
    const char *type = l != NULL ? opt_get_str(l, "type", "") : "";
    bool ok = false, known = false;

    for (size_t n = 0; l != NULL && n < ARRAY_SIZE(types) && !known; n++) {
        known = strcmp(type, types[n].type) == 0;
        ok = known && types[n].add(m, l, errp);
    }
    if (l != NULL && !known) {
        error_set(errp, strncmp(type, "hmat-", 5) == 0 ? "%s is not supported yet" :
                  "type '%s' is not there (node, dist and cpu are)", type);
    }
    opt_free(l);
    return ok;
}

/* ---- the whole ---- */

/* fill_distance - what was given one way counts both ways, unless somewhere both ways differ. */
static bool fill_distance(Making *m, Error **errp)
{
    unsigned count = m->n->count;
    uint8_t *d = m->n->distance;
    bool asymmetric = false;

    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < count; k++) {
            if (i != k && !m->given[i][k] && !m->given[k][i]) {
                error_set(errp, "The distance between node %u and %u is missing, at least one distance value between each "
                          "nodes should be provided.", i, k);
                return false;
            }
            asymmetric |= m->given[i][k] && m->given[k][i] && d[i * NUMA_NODES + k] != d[k * NUMA_NODES + i];
        }
    }
    for (unsigned i = 0; i < count; i++) {
        d[i * NUMA_NODES + i] = NUMA_NEAR;
        for (unsigned k = 0; k < count; k++) {
            if (i != k && !m->given[i][k] && asymmetric) {
                error_set(errp, "At least one asymmetrical pair of distances is given, please provide distances for both "
                          "directions of all node pairs.");
                return false;
            }
            if (i != k && !m->given[i][k]) {
                d[i * NUMA_NODES + k] = d[k * NUMA_NODES + i];
            }
        }
    }
    for (unsigned i = 0; i < count; i++) { /* rows as long as there are nodes */
        memmove(d + (size_t)i * count, d + (size_t)i * NUMA_NODES, count);
    }
    return true;
}

/* place_cpus - nothing said of any: a package a node, in turns; of some: the rest is near node 0. */
static void place_cpus(Making *m)
{
    const MachineConfig *c = m->cfg;
    unsigned per_socket = c->dies * c->cores * c->threads, none = 0;

    for (unsigned n = 0; n < c->maxcpus; n++) {
        none += m->n->cpu_node[n] == NOWHERE;
    }
    for (unsigned n = 0; n < c->maxcpus; n++) {
        if (m->n->cpu_node[n] == NOWHERE) {
            m->n->cpu_node[n] = none == c->maxcpus ? n / per_socket % m->n->count : 0;
        }
    }
    if (none != 0 && none != c->maxcpus) {
        report("warning: -numa: %u processors are on no node; they are near node 0", none);
    }
}

static bool check_memory(const NumaConfig *n, const MachineConfig *c, Error **errp)
{
    uint64_t sum = 0;
    unsigned with = 0;

    for (unsigned i = 0; i < n->count; i++) {
        if (!n->node[i].there) {
            error_set(errp, "numa: Node ID missing: %u", i);
            return false;
        }
        sum += n->node[i].size;
        with += n->node[i].memdev != NULL;
    }
    if (with != 0 && c->memory_backend != NULL) {
        error_set(errp, "'-machine memory-backend' and '-numa memdev' properties are mutually exclusive");
        return false;
    }
    if (sum != c->ram_size) {
        error_set(errp, "total memory for NUMA nodes (0x%llx) should equal RAM size (0x%llx)", (unsigned long long)sum,
                  (unsigned long long)c->ram_size);
        return false;
    }
    return true;
}

bool numa_finish(MachineConfig *cfg, Error **errp)
{
    Making m = { .cfg = cfg };

    if (cfg->numa_args.count == 0) {
        return true;
    }
    m.n = cfg->numa = xnew(NumaConfig);
    memset(m.n, 0, sizeof(*m.n));
    for (unsigned n = 0; n < NUMA_CPUS; n++) {
        m.n->cpu_node[n] = NOWHERE;
    }
    for (size_t n = 0; n < cfg->numa_args.count; n++) {
        if (!add_one(&m, cfg->numa_args.s[n], errp)) {
            error_prepend(errp, "-numa %s: ", cfg->numa_args.s[n]);
            return false;
        }
    }
    if (!check_memory(m.n, cfg, errp) || (m.n->have_distance && !fill_distance(&m, errp))) {
        return false;
    }
    place_cpus(&m);
    return true;
}

bool numa_install(const NumaConfig *n, Error **errp)
{
    uint64_t at = 0;

    for (unsigned i = 0; i < n->count; i++) {
        if (n->node[i].memdev != NULL && !memdev_install(n->node[i].memdev, at, errp)) {
            return false;
        }
        at += n->node[i].size;
    }
    return true;
}

unsigned numa_ranges(const NumaConfig *n, uint64_t below_4g, NumaRange out[NUMA_RANGES])
{
    const struct {
        uint64_t from, to, base; /* of RAM; where the guest has it */
    } pieces[] = {
        { 0, 0xa0000, 0 }, { BOOT_HIGH, below_4g, BOOT_HIGH }, { below_4g, UINT64_MAX, 0x100000000ull },
    };
    uint64_t at = 0;
    unsigned count = 0;

    for (unsigned i = 0; i < n->count; i++) {
        uint64_t end = at + n->node[i].size;

        for (unsigned k = 0; k < ARRAY_SIZE(pieces); k++) {
            uint64_t from = MAX(at, pieces[k].from), to = MIN(end, pieces[k].to);

            if (from < to) {
                out[count++] = (NumaRange){ pieces[k].base + (from - pieces[k].from), to - from, i };
            }
        }
        at = end;
    }
    return count;
}

void numa_print(const NumaConfig *n, unsigned cpus, FILE *out)
{
    fprintf(out, "%u nodes\n", n != NULL ? n->count : 0);
    for (unsigned i = 0; n != NULL && i < n->count; i++) {
        fprintf(out, "node %u cpus:", i);
        for (unsigned c = 0; c < cpus; c++) {
            if (n->cpu_node[c] == i) {
                fprintf(out, " %u", c);
            }
        }
        fprintf(out, "\nnode %u size: %llu MB\nnode %u plugged: 0 MB\n", i, (unsigned long long)(n->node[i].size >> 20), i);
    }
}
