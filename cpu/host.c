/*
 * What the host's processor has. Source: Intel SDM vol. 2A, "CPUID".
 */
#include "cpu/cpuid.h"

#include <cpuid.h>

static uint64_t hidden[2]; /* constant once a processor runs */

void cpu_host_hide(unsigned feature, bool hide)
{
    uint64_t bit = 1ull << (feature % 64);

    hidden[feature / 64] = hide ? hidden[feature / 64] | bit : hidden[feature / 64] & ~bit;
}

bool cpu_host_has(unsigned feature)
{
    static const struct {
        uint32_t leaf, sub;
        uint8_t reg, bit;
    } where[] = {
        { 0 },
#define EAX 0
#define EBX 1
#define ECX 2
#define EDX 3
#define FEAT(id, name, leaf, sub, reg, bit) { leaf, sub, reg, bit },
#include "cpu/features.inc"
#undef FEAT
    };
    static uint64_t have[2], known[2]; /* the same whoever computes it */
    uint64_t bit = 1ull << (feature % 64);

    if (!(__atomic_load_n(&known[feature / 64], __ATOMIC_ACQUIRE) & bit)) {
        uint32_t r[4] = { 0 };

        __get_cpuid_count(where[feature].leaf, where[feature].sub, &r[0], &r[1], &r[2], &r[3]);
        if (r[where[feature].reg] >> where[feature].bit & 1) {
            __atomic_or_fetch(&have[feature / 64], bit, __ATOMIC_RELAXED);
        }
        __atomic_or_fetch(&known[feature / 64], bit, __ATOMIC_RELEASE);
    }
    return (__atomic_load_n(&have[feature / 64], __ATOMIC_RELAXED) & ~hidden[feature / 64]) & bit;
}
