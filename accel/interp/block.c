/*
 * Finding and building decoded blocks.
 */
#include "accel/interp/code-page.h"

#include <stdlib.h>
#include "accel/accel.h"
#include "accel/options.h"
#include "base/error.h"
#include "base/huge.h"
#include "base/log.h"
#include "base/mem.h"
#include "cpu/disas.h"
#include "cpu/mmu.h"

#define ARENA_BYTES (48u << 20)
#define MAX_JUMPS 6u

static JumpEntry *jump_slot(Engine *e, vaddr lin)
{
    return &e->quick.entry[jump_index(lin)];
}

bool block_init(CpuState *c, struct Error **errp)
{
    Engine *e = xnew(Engine);

    e->arena = huge_try_low(ARENA_BYTES); /* translated code names instructions by their addresses */
    if (e->arena == NULL) {
        free(e);
        error_set(errp, "no memory for decoded code (%u MiB)", ARENA_BYTES >> 20);
        return false;
    }
    e->quick.gen[0] = e->quick.gen[1] = 1;
    e->limit = accel_options.one_insn ? 1 : BLOCK_INSNS;
    pthread_mutex_init(&e->queue_lock, NULL);
    c->engine = e;
    return true;
}

void block_limit(CpuState *c, unsigned insns)
{
    c->engine->limit = insns;
}

void block_extend(CpuState *c, bool far, void (*dropped)(CpuState *c, Block *b))
{
    c->engine->extended = far;
    c->engine->dropped = dropped;
}

void block_fini(CpuState *c)
{
    if (c->engine != NULL) {
        block_drop_all(c);
        pthread_mutex_destroy(&c->engine->queue_lock);
        huge_free(c->engine->arena, ARENA_BYTES);
        free(c->engine);
        c->engine = NULL;
    }
}

void block_flush(CpuState *c, bool global)
{
    if (c->engine != NULL) {
        c->engine->quick.gen[0] += global;
        c->engine->quick.gen[1]++;
    }
}

void block_flush_page(CpuState *c, vaddr page)
{
    Engine *e = c->engine;

    /* a block that starts in the page before may reach into this one */
    for (unsigned k = 0; k < 2; k++, page -= PAGE_SIZE) {
        memset(&e->quick.entry[(page >> PAGE_SHIFT & (JUMP_PAGES - 1)) * JUMP_WAYS], 0,
               JUMP_WAYS * sizeof(JumpEntry));
        e->fetch[page >> PAGE_SHIFT & 63].gen = 0;
    }
}

/* ---- building ---- */

const uint8_t *block_fetch(CpuState *c, vaddr lin)
{
    Engine *e = c->engine;
    FetchEntry *f = &e->fetch[lin >> PAGE_SHIFT & 63];
    vaddr page = lin & ~0xfffull;
    hwaddr pa;

    if (f->gen != e->quick.gen[!f->global] || f->page != page || f->key != c->mode_key) {
        bool global;
        const uint8_t *host = mmu_fetch(c, page, &pa, &global);

        if (host == NULL) {
            return NULL;
        }
        f->page = page;
        f->key = c->mode_key;
        f->global = global;
        f->gen = e->quick.gen[!global];
        f->host = host;
    }
    return f->host + (lin & 0xfff);
}

bool block_global(CpuState *c, vaddr lin)
{
    const JumpEntry *j = jump_slot(c->engine, lin);

    return j->lin == lin && j->global;
}

static vaddr next_page_lin(const CpuState *c, vaddr lin)
{
    vaddr next = (lin & ~0xfffull) + PAGE_SIZE;

    return c->efer & EFER_LMA ? next : (uint32_t)next;
}

/* Decode one instruction at @lin whose offset in CS is @rip. @host2 is set when it takes bytes of
 * the next page. Raises #GP(0) past the CS limit and fetch faults. */
static void decode_at(CpuState *c, vaddr lin, uint64_t rip, const uint8_t *host,
                      const uint8_t **host2, Insn *i)
{
    DecodeMode m = { c->mode_bits, (c->cr0 & CR0_PE) && !(c->rflags & FLAG_VM), c->features };
    unsigned room = PAGE_SIZE - (lin & 0xfff), avail = MIN(room, 15u);
    uint64_t limit_room = 15;
    uint8_t buf[15];
    DecodeResult res;

    if (c->mode_bits != 64) {
        uint32_t limit = c->segs[SEG_CS].limit;

        limit_room = rip > limit ? 0 : MIN((uint64_t)limit - rip + 1, 15ull);
        avail = (unsigned)MIN((uint64_t)avail, limit_room);
    }
    *host2 = NULL;
    res = decode_insn(&m, host, avail, i);
    if (res != DECODE_MORE) {
        return;
    }
    if (avail == limit_room) {
        cpu_gp0(c);
    }
    memcpy(buf, host, avail);
    *host2 = block_fetch(c, next_page_lin(c, lin));
    if (*host2 == NULL) {
        cpu_gp0(c);
    }
    memcpy(buf + avail, *host2, 15 - avail);
    res = decode_insn(&m, buf, (unsigned)limit_room, i);
    if (res == DECODE_MORE) {
        cpu_gp0(c);
    }
}

/* Before a block is built at @host, which goes on at @host2: there is room for it, and its pages are
 * tracked. No block is being executed now. */
static void prepare(CpuState *c, const uint8_t *host, const uint8_t *host2)
{
    Engine *e = c->engine;

    if (e->used + sizeof(Block) + (BLOCK_INSNS + 1) * sizeof(Insn) > ARENA_BYTES) {
        block_drop_all(c);
    }
    code_page_ready(c, host, host2);
    if (e->quick.full) {
        e->quick.full = false;
        e->used = 0;
        accel_count(&accel_stats.resets, 1);
    }
}

/* Where the second page of an instruction at @lin is that crosses, else NULL. Raises fetch faults. */
static const uint8_t *second_page(CpuState *c, vaddr lin, const uint8_t *host)
{
    const uint8_t *second = NULL;
    Insn i;

    if ((lin & 0xfff) > PAGE_SIZE - 15) {
        decode_at(c, lin, c->regs[GPR_RIP], host, &second, &i);
    }
    return second;
}

/* @jumps: conditional ones in the block. Code behind one is likely to be translated again from the
 * target of another, so that their number is bounded. */
static bool ends_block(const Engine *e, const Insn *i, const OpRow *row, unsigned *jumps)
{
    if (e->extended && (row->flags & (OP_CC | OP_END)) == (OP_CC | OP_END)) {
        return ++*jumps == MAX_JUMPS;
    }
    if (e->extended && (row->flags & OP_IO) && row->map == MAP_1 && row->op >= 0xa4 && row->op <= 0xaf) {
        return false; /* a string instruction */
    }
    if (e->extended && row->map == MAP_1 && row->op == 0xfb) {
        return false; /* STI: the next instruction belongs to it */
    }
    return (row->flags & (OP_END | OP_IO)) != 0;
}

/* An instruction that crosses into another page stands alone in its block, which is listed under both
 * pages; by linear address it is found again while the second page is where it was. ROM is not tracked. */
static bool same_code(CpuState *c, const Block *b, vaddr lin)
{
    if (b->host2 == NULL) {
        return true;
    }
    return block_fetch(c, next_page_lin(c, lin)) == b->host2 && b->insns[0].len == b->bytes &&
           memcmp(b->insns + 1, b->host2, b->bytes - (PAGE_SIZE - (lin & 0xfff))) == 0;
}

static Block *build(CpuState *c, vaddr lin, const uint8_t *host, uint32_t key)
{
    Engine *e = c->engine;
    Block *b = (Block *)(e->arena + e->used);
    vaddr at = lin;
    uint64_t rip = c->regs[GPR_RIP];
    unsigned jumps = 0;

    b->host = host;
    b->host2 = NULL;
    b->key = key;
    b->count = 0;
    b->bytes = 0;
    b->runs = 0;
    b->dead = false;
    b->trans = NULL;
    while (b->count < e->limit) {
        Insn *i = &b->insns[b->count];
        const uint8_t *second;

        if (b->count > 0 && (((at ^ lin) & ~0xfffull) || (lin & 0xfff) + b->bytes > PAGE_SIZE - 15 ||
                             (accel_breakpoints && accel_breakpoint_offset(at & 0xfff)))) {
            break;
        }
        decode_at(c, at, rip, host + b->bytes, &second, i);
        b->host2 = second;
        b->bytes = (uint16_t)(b->bytes + i->len);
        i->end = b->bytes;
        b->count++;
        at += i->len;
        rip += i->len;
        if (second != NULL || ends_block(e, i, opcode_row(i), &jumps)) {
            break;
        }
    }
    if (b->host2 != NULL) { /* keep the second page's bytes behind the record, for same_code() */
        memcpy(b->insns + 1, b->host2, b->bytes - (PAGE_SIZE - (lin & 0xfff)));
    }
    e->used += sizeof(Block) + (b->count + (b->host2 != NULL)) * sizeof(Insn);
    e->used = (e->used + 15) & ~15ull;
    b->hash_next = e->hash[host_hash(host, key)];
    e->hash[host_hash(host, key)] = b;
    code_page_enter(c, b);
    accel_count(&accel_stats.blocks, 1);
    accel_count(&accel_stats.decoded, b->count);
    if (log_on(LOG_IN_ASM)) {
        disas_log(c, lin, host, b->host2 != NULL ? 0 : b->bytes);
    }
    return b;
}

#define KEY_DECODE 7u /* the part of mode_key that decoding depends on */

const Block *block_lookup(CpuState *c, vaddr lin)
{
    Engine *e = c->engine;
    JumpEntry *j = jump_slot(e, lin);
    const uint8_t *host;
    bool global;
    Block *b;

    host = block_fetch(c, lin);
    if (host == NULL) {
        return NULL;
    }
    global = e->fetch[lin >> PAGE_SHIFT & 63].global;
    for (b = e->hash[host_hash(host, c->mode_key & KEY_DECODE)]; b != NULL; b = b->hash_next) {
        if (b->host == host && b->key == (c->mode_key & KEY_DECODE) && same_code(c, b, lin)) {
            break;
        }
    }
    if (b == NULL) {
        uint64_t start = accel_ticks();

        prepare(c, host, second_page(c, lin, host));
        b = build(c, lin, host, c->mode_key & KEY_DECODE);
        accel_count(&accel_stats.decode_ticks, accel_ticks() - start);
        accel_count(&accel_stats.decoded_bytes, b->bytes);
    }
    j->lin = lin;
    j->key = c->mode_key;
    j->local = !global || b->host2 != NULL;
    j->global = global && (b->host2 == NULL || e->fetch[next_page_lin(c, lin) >> PAGE_SHIFT & 63].global);
    j->gen = e->quick.gen[j->local];
    j->block = b;
    return b;
}

const Block *block_at(const CpuState *c, const uint8_t *host, uint32_t key)
{
    const Block *b = c->engine->hash[host_hash(host, key)];

    while (b != NULL && (b->host != host || b->key != key)) {
        b = b->hash_next;
    }
    return b;
}

const Insn *block_single(CpuState *c, vaddr lin)
{
    Insn *i = &c->engine->single;
    const uint8_t *host = block_fetch(c, lin), *second;
    uint8_t buf[15];
    bool global;
    hwaddr pa;

    if (host != NULL) {
        decode_at(c, lin, c->regs[GPR_RIP], host, &second, i);
        return i;
    }
    mmu_fetch(c, lin, &pa, &global);
    for (unsigned n = 0; n < 15; n++) {
        buf[n] = (uint8_t)phys_ld(c, (pa & ~0xfffull) | ((pa + n) & 0xfff), 1);
    }
    DecodeMode m = { c->mode_bits, (c->cr0 & CR0_PE) && !(c->rflags & FLAG_VM), c->features };
    if (decode_insn(&m, buf, 15, i) == DECODE_MORE) {
        cpu_gp0(c);
    }
    return i;
}
