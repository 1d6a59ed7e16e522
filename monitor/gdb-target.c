/*
 * Registers and memory for the gdb stub.
 */
#include "monitor/gdb-target.h"

#include "base/mem.h"
#include "bus/lock.h"
#include "cpu/flags.h"
#include "cpu/mmu.h"
#include "cpu/segment.h"

enum RegKind { K_GPR, K_RIP, K_FLAGS, K_SEG, K_ST, K_FPU, K_XMM, K_MXCSR, K_BASE, K_CR };

/* Runs of registers in gdb's numbering. */
typedef struct RegRun {
    uint8_t kind, count, size;
    const uint8_t *map; /* GPR or segment numbers, or NULL: 0, 1, 2... */
} RegRun;

static const uint8_t gpr64[] = { GPR_RAX, GPR_RBX, GPR_RCX, GPR_RDX, GPR_RSI, GPR_RDI, GPR_RBP,
                                 GPR_RSP, 8, 9, 10, 11, 12, 13, 14, 15 };
static const uint8_t gpr32[] = { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX,
                                 GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI };
static const uint8_t segs[] = { SEG_CS, SEG_SS, SEG_DS, SEG_ES, SEG_FS, SEG_GS };

static const RegRun runs64[] = {
    { K_GPR, 16, 8, gpr64 }, { K_RIP, 1, 8, NULL },  { K_FLAGS, 1, 4, NULL }, { K_SEG, 6, 4, segs },
    { K_ST, 8, 10, NULL },   { K_FPU, 8, 4, NULL },  { K_XMM, 16, 16, NULL }, { K_MXCSR, 1, 4, NULL },
    { K_BASE, 3, 8, NULL },  { K_CR, 6, 8, NULL },
};
static const RegRun runs32[] = {
    { K_GPR, 8, 4, gpr32 }, { K_RIP, 1, 4, NULL }, { K_FLAGS, 1, 4, NULL }, { K_SEG, 6, 4, segs },
    { K_ST, 8, 10, NULL },  { K_FPU, 8, 4, NULL }, { K_XMM, 8, 16, NULL },  { K_MXCSR, 1, 4, NULL },
    { K_BASE, 3, 4, NULL }, { K_CR, 6, 4, NULL },
};

#define XML_HEAD(arch)                                                                             \
    "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target><architecture>" arch \
    "</architecture>"
#define R(n, b, t) "<reg name=\"" n "\" bitsize=\"" b "\" type=\"" t "\"/>"
#define FLAGS_TYPE                                                                                 \
    "<flags id=\"i386_eflags\" size=\"4\"><field name=\"CF\" start=\"0\" end=\"0\"/>"             \
    "<field name=\"PF\" start=\"2\" end=\"2\"/><field name=\"AF\" start=\"4\" end=\"4\"/>"         \
    "<field name=\"ZF\" start=\"6\" end=\"6\"/><field name=\"SF\" start=\"7\" end=\"7\"/>"         \
    "<field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"IF\" start=\"9\" end=\"9\"/>"         \
    "<field name=\"DF\" start=\"10\" end=\"10\"/><field name=\"OF\" start=\"11\" end=\"11\"/>"     \
    "<field name=\"NT\" start=\"14\" end=\"14\"/><field name=\"RF\" start=\"16\" end=\"16\"/>"     \
    "<field name=\"VM\" start=\"17\" end=\"17\"/><field name=\"AC\" start=\"18\" end=\"18\"/>"     \
    "<field name=\"ID\" start=\"21\" end=\"21\"/></flags>"
#define SEG_REGS                                                                                   \
    R("cs", "32", "int32") R("ss", "32", "int32") R("ds", "32", "int32") R("es", "32", "int32")     \
        R("fs", "32", "int32") R("gs", "32", "int32")
#define FPU_REGS                                                                                   \
    R("st0", "80", "i387_ext") R("st1", "80", "i387_ext") R("st2", "80", "i387_ext")                \
        R("st3", "80", "i387_ext") R("st4", "80", "i387_ext") R("st5", "80", "i387_ext")            \
            R("st6", "80", "i387_ext") R("st7", "80", "i387_ext") R("fctrl", "32", "int")           \
                R("fstat", "32", "int") R("ftag", "32", "int") R("fiseg", "32", "int")              \
                    R("fioff", "32", "int") R("foseg", "32", "int") R("fooff", "32", "int")         \
                        R("fop", "32", "int")
#define VEC_TYPE                                                                                   \
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" "                     \
    "type=\"ieee_double\" count=\"2\"/><vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector "  \
    "id=\"v8i16\" type=\"int16\" count=\"8\"/><vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"   \
    "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/><union id=\"vec128\"><field "                \
    "name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/><field "              \
    "name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/><field "           \
    "name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/><field "           \
    "name=\"uint128\" type=\"uint128\"/></union>"
#define X(n) R("xmm" n, "128", "vec128")
#define SYS_REGS(b)                                                                                \
    "<feature name=\"org.doppel.system\">"            \
    R("fs_base", b, "int") R("gs_base", b, "int") R("k_gs_base", b, "int") R("cr0", b, "int")       \
    R("cr2", b, "int") R("cr3", b, "int") R("cr4", b, "int") R("cr8", b, "int")                     \
    R("efer", b, "int") "</feature></target>"

static const char xml64[] =
    XML_HEAD("i386:x86-64") "<feature name=\"org.gnu.gdb.i386.core\">" FLAGS_TYPE
    R("rax", "64", "int64") R("rbx", "64", "int64") R("rcx", "64", "int64") R("rdx", "64", "int64")
    R("rsi", "64", "int64") R("rdi", "64", "int64") R("rbp", "64", "data_ptr")
    R("rsp", "64", "data_ptr") R("r8", "64", "int64") R("r9", "64", "int64") R("r10", "64", "int64")
    R("r11", "64", "int64") R("r12", "64", "int64") R("r13", "64", "int64") R("r14", "64", "int64")
    R("r15", "64", "int64") R("rip", "64", "code_ptr") R("eflags", "32", "i386_eflags")
    SEG_REGS FPU_REGS "</feature><feature name=\"org.gnu.gdb.i386.sse\">" VEC_TYPE
    X("0") X("1") X("2") X("3") X("4") X("5") X("6") X("7") X("8") X("9") X("10") X("11") X("12")
    X("13") X("14") X("15") R("mxcsr", "32", "int") "</feature>" SYS_REGS("64");

static const char xml32[] =
    XML_HEAD("i386") "<feature name=\"org.gnu.gdb.i386.core\">" FLAGS_TYPE
    R("eax", "32", "int32") R("ecx", "32", "int32") R("edx", "32", "int32") R("ebx", "32", "int32")
    R("esp", "32", "data_ptr") R("ebp", "32", "data_ptr") R("esi", "32", "int32")
    R("edi", "32", "int32") R("eip", "32", "code_ptr") R("eflags", "32", "i386_eflags")
    SEG_REGS FPU_REGS "</feature><feature name=\"org.gnu.gdb.i386.sse\">" VEC_TYPE
    X("0") X("1") X("2") X("3") X("4") X("5") X("6") X("7") R("mxcsr", "32", "int") "</feature>"
    SYS_REGS("32");

static bool wide(const CpuState *c)
{
    return cpu_has(c, FEAT_LM);
}

const char *gdb_xml(const CpuState *c)
{
    return wide(c) ? xml64 : xml32;
}

static const RegRun *find_run(const CpuState *c, unsigned *n)
{
    const RegRun *r = wide(c) ? runs64 : runs32;

    for (unsigned k = 0; k < ARRAY_SIZE(runs64); k++) {
        if (*n < r[k].count) {
            return &r[k];
        }
        *n -= r[k].count;
    }
    return NULL;
}

unsigned gdb_reg_count(const CpuState *c)
{
    const RegRun *r = wide(c) ? runs64 : runs32;
    unsigned n = 0;

    for (unsigned k = 0; k < ARRAY_SIZE(runs64); k++) {
        n += r[k].count;
    }
    return n;
}

static uint64_t fpu_control(const CpuState *c, unsigned n)
{
    uint32_t tags = 0;

    switch (n) {
    case 0: return c->fcw;
    case 1: return c->fsw;
    case 2:
        for (unsigned k = 0; k < 8; k++) {
            tags |= (c->fptag >> k & 1 ? 0u : 3u) << (2 * k);
        }
        return tags;
    case 3: return c->fcs;
    case 4: return (uint32_t)c->fip;
    case 5: return c->fds;
    case 6: return (uint32_t)c->fdp;
    default: return c->fop;
    }
}

static uint64_t *base_or_cr(CpuState *c, const RegRun *r, unsigned n)
{
    uint64_t *const bases[] = { &c->segs[SEG_FS].base, &c->segs[SEG_GS].base,
                                &c->msr_kernel_gs_base };
    uint64_t *const crs[] = { &c->cr0, &c->cr2, &c->cr3, &c->cr4, NULL, &c->efer };

    return r->kind == K_BASE ? bases[n] : crs[n];
}

unsigned gdb_reg_read(CpuState *c, unsigned n, uint8_t *buf)
{
    const RegRun *r = find_run(c, &n);
    uint64_t v = 0;

    if (r == NULL) {
        return 0;
    }
    switch (r->kind) {
    case K_GPR: v = c->regs[r->map[n]]; break;
    case K_RIP: v = c->regs[GPR_RIP]; break;
    case K_FLAGS: v = rflags_get(c); break;
    case K_SEG: v = c->segs[r->map[n]].selector; break;
    case K_FPU: v = fpu_control(c, n); break;
    case K_MXCSR: v = c->mxcsr; break;
    case K_ST: {
        const Float80 *f = &c->fpr[((c->fsw >> 11) + n) & 7];

        st_le64(buf, f->frac);
        st_le16(buf + 8, f->sexp);
        return 10;
    }
    case K_XMM:
        memcpy(buf, &c->xmm[n], 16);
        return 16;
    default: {
        uint64_t *p = base_or_cr(c, r, n);

        v = p != NULL ? *p : c->hooks.get_cr8 != NULL ? c->hooks.get_cr8(c) : 0;
    }
    }
    memcpy(buf, &v, r->size);
    return r->size;
}

/* A selector written by gdb: in real and virtual-8086 mode the base follows, in protected mode the
 * descriptor is read where it is a plain data or code one. */
static void write_selector(CpuState *c, unsigned seg, uint16_t sel)
{
    Segment *s = &c->segs[seg];

    if (s->selector == sel) {
        return;
    }
    if (real_or_vm86(c)) {
        s->selector = sel;
        s->base = (uint32_t)sel << 4;
    } else {
        uint32_t limit = c->gdtr.limit;
        uint8_t raw[8];
        Desc d;

        s->selector = sel;
        if (!(sel & 4) && (sel | 7u) <= limit &&
            gdb_mem_read(c, c->gdtr.base + (sel & ~7u), raw, 8)) {
            d = (Desc){ ld_le32(raw), ld_le32(raw + 4), 0, 0 };
            if (desc_s(&d) && desc_present(&d)) {
                *s = desc_segment(sel, &d);
            }
        }
    }
    seg_update(s);
}

unsigned gdb_reg_write(CpuState *c, unsigned n, const uint8_t *buf)
{
    const RegRun *r = find_run(c, &n);
    uint64_t v = 0;

    if (r == NULL) {
        return 0;
    }
    memcpy(&v, buf, MIN(r->size, 8));
    switch (r->kind) {
    case K_GPR: c->regs[r->map[n]] = v; break;
    case K_RIP: c->regs[GPR_RIP] = v; break;
    case K_FLAGS: rflags_put(c, v & 0x3f7fd7); break;
    case K_SEG: write_selector(c, r->map[n], (uint16_t)v); break;
    case K_MXCSR: c->mxcsr = (uint32_t)v & 0xffff; break;
    case K_FPU:
        if (n == 0) {
            c->fcw = (uint16_t)v;
        } else if (n == 1) {
            c->fsw = (uint16_t)v;
        }
        break;
    case K_ST: {
        Float80 *f = &c->fpr[((c->fsw >> 11) + n) & 7];

        f->frac = ld_le64(buf);
        f->sexp = ld_le16(buf + 8);
        break;
    }
    case K_XMM: memcpy(&c->xmm[n], buf, 16); break;
    default: {
        uint64_t *p = base_or_cr(c, r, n);

        if (p != NULL) {
            *p = v;
        }
    }
    }
    cpu_update_mode(c);
    tlb_flush(c, true);
    return r->size;
}

static bool gdb_mem(CpuState *c, vaddr addr, uint8_t *rd, const uint8_t *wr, size_t n)
{
    while (n > 0) {
        size_t k = MIN(n, PAGE_SIZE - (addr & 0xfff));
        hwaddr pa;
        bool ok;

        if (!mmu_peek(c, addr, &pa)) {
            return false;
        }
        machine_lock();
        ok = rd != NULL ? mem_peek(pa, rd, k, c->in_smm) : mem_poke(pa, wr, k, c->in_smm);
        machine_unlock();
        if (!ok) {
            return false;
        }
        addr += k;
        n -= k;
        rd = rd != NULL ? rd + k : NULL;
        wr = wr != NULL ? wr + k : NULL;
    }
    return true;
}

bool gdb_mem_read(CpuState *c, vaddr addr, uint8_t *buf, size_t n)
{
    return gdb_mem(c, addr, buf, NULL, n);
}

bool gdb_mem_write(CpuState *c, vaddr addr, const uint8_t *buf, size_t n)
{
    return gdb_mem(c, addr, NULL, buf, n);
}
