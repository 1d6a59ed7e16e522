/*
 * The translating engine: finds translations, runs them, links them. What it does not translate,
 * what is cold and whatever needs a look at each instruction is the reference's.
 */
#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "accel/accel.h"
#include "accel/icount.h"
#include "accel/interp/interp.h"
#include "accel/jit/jit.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "cpu/flags.h"

bool jit_strict;
unsigned jit_hot = 3;
static _Thread_local const CpuState *segment_of; /* whose state this thread's GS base is */

/* Where the jump cache sends to: code in two pages looks whether both are where they were. */
static uint64_t jump_code(const Jit *j, const Trans *t)
{
    return (uint64_t)(uintptr_t)jit_rx(j, t->guard[0] != NULL ? t->slot_entry : t->entry);
}

/* Nothing leads to @t any more but the return stacks. */
static void forget(CpuState *c, Trans *t)
{
    JitWays *w = &c->jit.ways[key_mmu(t->key)];
    unsigned way = jit_way_index(t->lin);
    uint64_t code = jump_code(c->jit.cpu, t);

    for (Site *s = t->incoming; s != NULL; s = s->next) {
        emit_set_jump(s->disp, s->stub);
        s->linked = NULL;
    }
    for (unsigned n = 0; n < 2; n++) {
        JitJump *e = &c->jit.jump[jit_jump_index(t->lin) ^ n];

        e->id = e->code == code ? PAGE_ID_NONE : e->id;
    }
    if (w->code[way] == code) {
        w->lin[way] = jit_way_none(way);
    }
    t->incoming = NULL;
    t->block = NULL;
}

/* Nor do these; and code is left at the next instruction. */
static void forget_returns(CpuState *c)
{
    c->jit.ret_stamp = 0;
    memset(c->jit.cpu->ret_stamps, 0, sizeof(c->jit.cpu->ret_stamps));
    c->jit.site = NULL;
    c->jit.leave = true;
}

static void dropped(CpuState *c, Block *b)
{
    for (Trans *t = b->trans; t != NULL; t = t->next) {
        forget(c, t);
    }
    b->trans = NULL;
    forget_returns(c);
}

/* ---- finding ---- */

static bool whole(const Segment *s, bool base)
{
    return (base || s->base == 0) && s->read_last == 0xffffffff && s->write_last == 0xffffffff;
}

/* The key of translations in the present mode; false: none are made in it. */
static bool present_key(const CpuState *c, uint32_t *key)
{
    const Segment *cs = &c->segs[SEG_CS];
    uint32_t segs = 0;

    if (c->in_smm) {
        return false;
    }
    if (c->code64) {
        *key = KEY_64 | (uint32_t)c->mmu << KEY_MMU_SHIFT | 31u << KEY_SEG_SHIFT |
               (c->cpl == 0 ? KEY_CPL0 : 0) | jit_vec_key(c);
        return true;
    }
    if ((c->mode_key & 7) != 5 || !c->stack32 || cs->base != 0 || cs->limit != 0xffffffff) {
        return false; /* not flat 32-bit code in protected mode */
    }
    segs |= whole(&c->segs[SEG_ES], false) ? 1u << 0 : 0;
    segs |= whole(&c->segs[SEG_SS], false) ? 1u << 1 : 0;
    segs |= whole(&c->segs[SEG_DS], false) ? 1u << 2 : 0;
    segs |= whole(&c->segs[SEG_FS], true) ? 1u << 3 : 0;
    segs |= whole(&c->segs[SEG_GS], true) ? 1u << 4 : 0;
    *key = (uint32_t)c->mmu << KEY_MMU_SHIFT | segs << KEY_SEG_SHIFT |
           (c->cpl == 0 ? KEY_CPL0 : 0) | jit_vec_key(c);
    return true;
}

/* The bit of Jit.starts for code at @host. */
static uint64_t *start_bits(Jit *j, const uint8_t *host, uint64_t *bit)
{
    uint64_t n = (uint64_t)(uintptr_t)host;

    n = (n ^ n >> 16) & (ARRAY_SIZE(j->starts) * 64 - 1);
    *bit = 1ull << n % 64;
    return &j->starts[n / 64];
}

bool jit_known(CpuState *c, const Block *b, unsigned off, vaddr lin)
{
    const Trans *t = NULL;
    const Block *other;
    uint64_t bit;

    if (*start_bits(c->jit.cpu, b->host + off, &bit) & bit) {
        other = block_at(c, b->host + off, b->key);
        t = other != NULL ? other->trans : NULL;
    }
    while (t != NULL && (t->lin != lin || t->key != c->jit.cpu->key || t->frameless)) {
        t = t->next;
    }
    return t != NULL && t->guard[0] == NULL;
}

/* A jump into another page is linked anew: it may be mapped to something else. */
static void site_leave(Site *s)
{
    Site **link = &s->linked->incoming;

    while (*link != NULL && *link != s) {
        link = &(*link)->next;
    }
    if (*link == s) {
        *link = s->next;
    }
}

/* The oldest region's code goes. */
static void evict(CpuState *c)
{
    Jit *j = c->jit.cpu;
    Region *r = &j->region[(j->now + 1) % j->regions];

    for (Trans *t = r->trans; t != NULL; t = t->region_next) {
        Trans **link;

        if (t->block == NULL) {
            continue;
        }
        for (link = &t->block->trans; *link != t; link = &(*link)->next) {
        }
        *link = t->next;
        forget(c, t);
    }
    for (Site *s = r->sites; s != NULL; s = s->region_next) {
        if (s->linked != NULL) {
            site_leave(s);
            s->linked = NULL;
        }
    }
    jit_cache_next(j);
    forget_returns(c);
    j->evictions++;
}

/* The translation of @b at @lin, made if it is time for it; NULL: the reference runs it. */
static Trans *find(CpuState *c, Block *b, vaddr lin)
{
    Jit *j = c->jit.cpu;
    const Site *s = c->jit.site;
    bool frameless = s != NULL && s->frameless && s->target == lin;
    uint64_t bit, start;
    Trans *t;

    for (t = b->trans; t != NULL; t = t->next) {
        if (t->lin == lin && t->key == j->key && t->frameless == frameless) {
            return t;
        }
    }
    if (b->runs < jit_hot && !j->counting) {
        b->runs++;
        return NULL;
    }
    if (jit_cache_full(j)) {
        evict(c);
        return NULL;
    }
    jit_cache_ahead(j);
    start = accel_ticks();
    t = jit_translate(c, b, lin, frameless);
    j->ticks += accel_ticks() - start;
    if (t != NULL) {
        j->translations++;
        t->next = b->trans;
        b->trans = t;
        *start_bits(j, b->host, &bit) |= bit;
    }
    return t;
}

static uint32_t page_number(Jit *j, vaddr page, const uint8_t *host, uint32_t key)
{
    uint64_t h = ((page >> PAGE_SHIFT) + key) * 0x9e3779b97f4a7c15ull ^ (uint64_t)(uintptr_t)host >> PAGE_SHIFT;
    PageId *p = &j->ids[(h ^ h >> 32) & (PAGE_ID_HASH - 1)];

    if (p->page != page || p->host != host || p->key != key || p->id == 0) {
        j->last_id = j->last_id + 1 == PAGE_ID_NONE ? 1 : j->last_id + 1;
        *p = (PageId){ page, host, key, j->last_id };
    }
    return p->id;
}

/* The number of the page that @t begins in. */
static uint32_t trans_number(Jit *j, const Block *b, const Trans *t)
{
    unsigned off = t->lin & (PAGE_SIZE - 1);

    return page_number(j, t->lin - off, b->host - off, t->key);
}

/* Code was left by a jump to @t. */
static void link_site(CpuState *c, const Block *b, Trans *t)
{
    Site *s = c->jit.site;
    const uint8_t *page = b->host - (t->lin & 0xfff);
    uint32_t id;

    if (s == NULL || !trick_on(s->id != NULL ? TRICK_CROSS_PAGE : TRICK_LINK) || s->target != t->lin ||
        s->key != t->key || (s->id == NULL && s->page != page)) {
        return;
    }
    if (s->id != NULL) {
        id = trans_number(c->jit.cpu, b, t);
        if (s->linked != NULL) {
            site_leave(s);
        }
        memcpy(s->id, &id, sizeof(id));
    }
    s->linked = t;
    s->next = t->incoming;
    t->incoming = s;
    emit_set_jump(s->disp, s->host_flags ? t->host_entry : t->slot_entry);
}

/* ---- running ---- */

static void take_segment(CpuState *c)
{
    if (segment_of != c) {
        syscall(SYS_arch_prctl, ARCH_SET_GS, c);
        segment_of = c;
    }
}

static void set_key(CpuState *c, uint32_t key)
{
    Jit *j = c->jit.cpu;

    if (j->table_key[c->mmu] != key) {
        memset(c->jit.page_id[c->mmu], 0, sizeof(c->jit.page_id[0]));
        jit_clear_ways(c, c->mmu);
        j->table_key[c->mmu] = key;
    }
    j->key = key;
    j->mode_key = c->mode_key;
    j->mmu = c->mmu;
    jit_set_stamp(c, key);
}

/* The page of @lin has the number @id. */
static void enter_page(CpuState *c, vaddr lin, uint32_t id)
{
    uint64_t bit;

    *jit_page_bits(c->jit.cpu, lin, &bit) |= bit;
    c->jit.page_id[c->jit.cpu->mmu][jit_page_slot(lin)] = id;
}

static const void *enter_jump(CpuState *c, const Block *b, const Trans *t)
{
    Jit *j = c->jit.cpu;
    JitJump *e = &c->jit.jump[jit_jump_index(t->lin)];
    uint32_t id = trans_number(j, b, t), id2;

    enter_page(c, t->lin, id);
    if (t->guard[0] != NULL) {
        vaddr next = (t->lin & ~0xfffull) + PAGE_SIZE;

        next = c->code64 ? next : (uint32_t)next;
        id2 = page_number(j, next, b->host2, t->key);
        enter_page(c, next, id2);
        memcpy(t->guard[0], &id, sizeof(id));
        memcpy(t->guard[1], &id2, sizeof(id2));
    }
    j->super_local |= !key_user(t->key) && !(jit_is_upper(t->lin) && block_global(c, t->lin));
    if (e->lin != t->lin && !t->frameless && jit_jump_good(c, e)) { /* the other of its pair takes what is here */
        c->jit.jump[jit_jump_index(t->lin) ^ 1] = *e;
    }
    if (t->frameless) {
        return jit_rx(j, t->entry);
    }
    e->lin = t->lin;
    e->slot = (uint32_t)sizeof(uint32_t) * jit_page_slot(t->lin);
    e->id = id;
    e->code = jump_code(j, t);
    e->two_pages = t->guard[0] != NULL;
    return jit_rx(j, t->entry);
}

/* Before translated code runs. */
static void prepare(CpuState *c)
{
    Jit *j = c->jit.cpu;
    MmuMode mmu = key_mmu(j->key), last = key_mmu(c->jit.ret_stamp);

    c->jit.site = NULL;
    c->jit.leave = false;
    if (c->jit.ret_stamp == c->jit.stamp) {
        return;
    }
    j->ret_saved[last] = c->jit.ret_sp;
    j->ret_stamps[last] = c->jit.ret_stamp;
    c->jit.ret_base = (uint64_t)(uintptr_t)jit_ret_base(j, mmu);
    c->jit.ret_limit = c->jit.ret_base - RET_BYTES + 1024;
    c->jit.ret_stamp = c->jit.stamp;
    c->jit.ret_sp = j->ret_stamps[mmu] == c->jit.stamp ? j->ret_saved[mmu] : c->jit.ret_base;
}

static void set_poll(CpuState *c)
{
    c->jit.poll = c->rflags & FLAG_IF ? ~0u : ~(uint32_t)REQ_INTR;
}

static void run_trans(CpuState *c, const Block *b, Trans *t)
{
    Jit *j = c->jit.cpu;
    const void *code = enter_jump(c, b, t);
    void (*enter)(const void *code) = (void (*)(const void *))jit_rx(j, j->enter);

    prepare(c);
    set_poll(c);
    c->jit.flags = slot_of_flags(flags_get(c));
    enter(code);
    j->leaves++;
    flags_set(c, flags_of_slot(c->jit.flags));
}

/* Translated code may run now; its key. */
static bool may_run(const CpuState *c, uint32_t *key)
{
    return (!icount_on || c->jit.cpu->counting) && accel_breakpoints == 0 && !log_on(LOG_EXEC | LOG_CPU) &&
           present_key(c, key);
}

const void *jit_find(CpuState *c)
{
    vaddr lin = linear_rip(c);
    const JitJump *e;
    const void *code;
    uint32_t key;
    Block *b;
    Trans *t;

    set_poll(c);
    if ((requests(c) & c->jit.poll) || c->careful || (c->jit.cpu->counting && c->jit.budget < 0) ||
        c->activity != CPU_RUNNING || c->jit.cpu->alone || !may_run(c, &key)) {
        return NULL;
    }
    set_key(c, key);
    e = &c->jit.jump[jit_jump_index(lin)];
    e = e->lin == lin ? e : &c->jit.jump[jit_jump_index(lin) ^ 1];
    if (e->lin == lin && jit_jump_good(c, e) && !e->two_pages && c->jit.site == NULL &&
        trick_on(TRICK_JUMP_CACHE)) {
        prepare(c);
        return (const void *)(uintptr_t)e->code;
    }
    flags_set(c, flags_of_slot(c->jit.flags)); /* for a fault */
    b = (Block *)block_find(c, lin);
    t = b == NULL ? NULL : find(c, b, lin);
    if (t == NULL) {
        return NULL;
    }
    link_site(c, b, t);
    code = enter_jump(c, b, t);
    prepare(c);
    return code;
}

static void step(CpuState *c)
{
    vaddr lin = linear_rip(c);
    Block *b = (Block *)block_find(c, lin);
    Trans *t = NULL;
    uint32_t key;

    if (b != NULL && may_run(c, &key)) {
        set_key(c, key);
        t = find(c, b, lin);
    }
    if (t == NULL) {
        c->jit.site = NULL;
        interp_block(c, lin, block_find(c, lin));
        return;
    }
    link_site(c, b, t);
    run_trans(c, b, t);
}

bool jit_run_once(CpuState *c, bool alone)
{
    vaddr lin = linear_rip(c);
    uint32_t key;
    Trans *t;
    Block *b;

    if (jit_cache_full(c->jit.cpu)) {
        evict(c);
    }
    b = (Block *)block_lookup(c, lin);
    c->jit.cpu->alone = alone;
    segment_of = NULL; /* the test uses it, too */
    take_segment(c);
    if (b == NULL || !present_key(c, &key)) {
        return false;
    }
    set_key(c, key);
    jit_new_generation(c, true); /* nothing is found in the jump cache but this, and that not from before */
    b->runs = (uint16_t)jit_hot;
    t = find(c, b, lin);
    if (t != NULL) {
        link_site(c, b, t);
        run_trans(c, b, t);
    }
    return t != NULL;
}

void jit_counting(CpuState *c)
{
    c->jit.cpu->counting = true;
}

bool jit_mode(const CpuState *c)
{
    uint32_t key;

    return may_run(c, &key);
}

bool jit_chain(CpuState *c, unsigned polls)
{
    vaddr lin = linear_rip(c);
    Block *b = (Block *)block_find(c, lin);
    uint32_t key;
    Trans *t;

    c->jit.site = NULL;
    take_segment(c);
    if (b == NULL || !may_run(c, &key)) {
        return false;
    }
    set_key(c, key);
    t = find(c, b, lin);
    if (t == NULL) {
        return false;
    }
    c->jit.budget = (int32_t)polls;
    run_trans(c, b, t);
    return true;
}

static __attribute__((noinline)) void loop(CpuState *c)
{
    for (;;) {
        if (__builtin_expect(requests(c) != 0, 0) && !interp_take_requests(c)) {
            return;
        }
        if (__builtin_expect(c->activity != CPU_RUNNING, 0)) {
            return;
        }
        if (!interp_event(c)) {
            step(c);
        }
    }
}

static void jit_run(CpuState *c)
{
    take_segment(c);
    c->jit.site = NULL;
    if (_setjmp(c->fault_env) == 0) {
        loop(c);
    } else {
        interp_after_fault(c);
        loop(c);
    }
}

/* ---- life ---- */

static bool jit_init(CpuState *c, Error **errp)
{
    if (!block_init(c, errp) || !jit_cache_init(c, errp)) {
        return false;
    }
    jit_clear_jumps(c);
    jit_new_generation(c, true);
    block_extend(c, trick_on(TRICK_SUPERBLOCK), dropped);
    return true;
}

static void jit_fini(CpuState *c)
{
    Jit *j = c->jit.cpu;

    block_fini(c);
    jit_cache_fini(j);
    c->jit.cpu = NULL;
    if (segment_of == c) {
        segment_of = NULL;
    }
}

const AccelOps accel_jit = {
    .name = "doppel",
    .cpu_init = jit_init,
    .cpu_fini = jit_fini,
    .run = jit_run,
    .drop_code = block_drop_all,
    .code_written = block_code_written,
    .queue_drop = block_queue_drop,
    .flush = jit_flush,
    .flush_page = jit_flush_page,
    .switch_space = jit_switch_space,
    .info = jit_info,
    .info_hot = jit_info_hot,
};
