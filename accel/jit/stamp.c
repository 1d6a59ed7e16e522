/*
 * What the entries of the jump cache, the return stacks and the links between pages are worth: stamps.
 *
 * Supervisor code is taken to be in global pages and in the upper half of the address space; where that was ever
 * untrue, it goes whenever user code does.
 */
#include "accel/jit/jit.h"

#include "base/mem.h"

void jit_clear_ways(CpuState *c, MmuMode mmu)
{
    JitWays *w = &c->jit.ways[mmu];
    bool all = w->used == WAY_LOG;

    for (unsigned n = 0; n < (all ? WAY_SIZE : w->used); n++) {
        unsigned k = all ? n : w->log[n];

        w->lin[k] = jit_way_none(k);
    }
    w->used = 0;
}

void jit_clear_jumps(CpuState *c)
{
    for (unsigned n = 0; n < JUMP_SIZE; n++) {
        c->jit.jump[n] = (JitJump){ .id = PAGE_ID_NONE };
    }
    for (unsigned n = 0; n < MMU_MODES; n++) {
        c->jit.ways[n].used = WAY_LOG;
        jit_clear_ways(c, (MmuMode)n);
    }
}

void jit_set_stamp(CpuState *c, uint32_t key)
{
    c->jit.stamp = c->jit.cpu->gen[key_user(key)] << KEY_BITS | key;
}

/* The numbers of pages as user code, or as supervisor code. */
static void forget_pages(CpuState *c, bool user)
{
    static const MmuMode modes[2][2] = { { MMU_SUPER, MMU_SUPER_SMAP }, { MMU_USER, MMU_USER_AC } };

    for (unsigned n = 0; n < 2; n++) {
        MmuMode m = modes[user][n];

        if (c->jit.cpu->table_key[m] != KEY_NONE) {
            memset(c->jit.page_id[m], 0, sizeof(c->jit.page_id[m]));
            jit_clear_ways(c, m);
            c->jit.cpu->table_key[m] = KEY_NONE;
        }
    }
}

/* Nothing of user code (and @all: of supervisor code) that was entered in the jump cache or on the return
 * stack is valid any more. */
void jit_new_generation(CpuState *c, bool all)
{
    Jit *j = c->jit.cpu;
    uint32_t old = c->jit.stamp;

    if (j->last_gen >> (32 - KEY_BITS - 1)) {
        j->last_gen = 0;
        jit_clear_jumps(c);
        memset(j->ret_stamps, 0, sizeof(j->ret_stamps));
        c->jit.ret_stamp = 0;
        all = true;
    }
    forget_pages(c, true);
    for (unsigned n = 0; n < SPACES; n++) {
        j->spaces[n].gen = 0;
    }
    j->gen[1] = ++j->last_gen;
    if (all) {
        j->gen[0] = j->last_gen;
        forget_pages(c, false);
        j->super_local = false;
        memset(j->pages, 0, sizeof(j->pages));
    } else {
        memset(j->pages, 0, sizeof(j->pages) / 2);
    }
    jit_set_stamp(c, j->key);
    c->jit.leave |= c->jit.stamp != old;
}

void jit_flush(CpuState *c, bool global)
{
    block_flush(c, global);
    if (c->jit.cpu != NULL) {
        c->jit.cpu->last_range = NULL; /* the view may be another */
        jit_new_generation(c, global || c->jit.cpu->super_local || !trick_on(TRICK_GLOBAL_CODE));
    }
}

/* The record of @space, else one that may become it. */
static Space *space_record(Jit *j, uint64_t cr3)
{
    Space *s = &j->spaces[0];

    for (unsigned n = 0; n < SPACES; n++) {
        Space *k = &j->spaces[n];

        if (k->gen != 0 && k->cr3 == cr3) {
            return k;
        }
        if (k->gen == 0 || (s->gen != 0 && k->used < s->used)) {
            s = k;
        }
    }
    return s;
}

static void leave_space(CpuState *c, Jit *j)
{
    Space *s = space_record(j, j->space);

    s->cr3 = j->space;
    s->used = ++j->space_turns;
    s->gen = j->gen[1];
    s->key = j->table_key[MMU_USER];
    if (s->key != KEY_NONE) {
        memcpy(s->ids, c->jit.page_id[MMU_USER], sizeof(s->ids));
    }
    forget_pages(c, true);
}

/* All that is known of this PCID. */
static void forget_pcid(Jit *j, uint64_t space)
{
    for (unsigned n = 0; n < SPACES; n++) {
        if (((j->spaces[n].cr3 ^ space) & CR3_PCID) == 0) {
            j->spaces[n].gen = 0;
        }
    }
}

void jit_switch_space(CpuState *c, uint64_t space, bool keep)
{
    Jit *j = c->jit.cpu;
    Space *s;

    if (j == NULL || j->super_local || !trick_on(TRICK_SPACES) || !trick_on(TRICK_GLOBAL_CODE) ||
        j->last_gen >> (32 - KEY_BITS - 1)) {
        jit_flush(c, false);
    } else {
        block_flush(c, false);
        leave_space(c, j);
        if (!keep) {
            forget_pcid(j, space);
        }
        s = space_record(j, space);
        if (s->gen != 0 && s->cr3 == space) {
            j->gen[1] = s->gen;
            j->table_key[MMU_USER] = s->key;
            if (s->key != KEY_NONE) {
                memcpy(c->jit.page_id[MMU_USER], s->ids, sizeof(s->ids));
            }
        } else {
            j->gen[1] = ++j->last_gen;
        }
        jit_set_stamp(c, j->key);
    }
    if (j != NULL) {
        j->space = space;
    }
}

/* Where kernels use to be, with 64-bit addresses and with 32-bit ones. */
bool jit_is_upper(vaddr lin)
{
    return lin >> 63 || lin >> 31 == 1;
}

/* The bit of Jit.pages that stands for a page, among others. */
uint64_t *jit_page_bits(Jit *j, vaddr lin, uint64_t *bit)
{
    unsigned half = ARRAY_SIZE(j->pages) / 2;
    unsigned n = (unsigned)(lin >> PAGE_SHIFT ^ lin >> 25) & (half * 64 - 1);

    *bit = 1ull << (n & 63);
    return &j->pages[(jit_is_upper(lin) ? half : 0) + n / 64];
}

void jit_flush_page(CpuState *c, vaddr page)
{
    Jit *j = c->jit.cpu;
    uint64_t bit;

    block_flush_page(c, page);
    if (j != NULL && (*jit_page_bits(j, page, &bit) & bit)) {
        jit_new_generation(c, jit_is_upper(page) || j->super_local || !trick_on(TRICK_GLOBAL_CODE));
    }
}
