/*
 * The state of one x86 processor, as every engine sees it.
 *
 * Sources: Intel 64 and IA-32 Architectures Software Developer's Manual (SDM), AMD64 Architecture
 * Programmer's Manual (APM). Names are theirs.
 *
 * A fault leaves an instruction handler by longjmp to the engine's loop (cpu_raise()): a handler
 * therefore commits nothing before its last possible fault. docs/decisions/001 says why.
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "bus/memory.h"
#include "bus/state.h"

typedef uint64_t vaddr; /* linear address or offset within a segment */

enum { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI,
       GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15,
       GPR_ZERO, /* reads as 0: "no base" and "no index" */
       GPR_RIP,  /* while a handler runs: address of the next instruction (offset in CS) */
       GPR_COUNT };

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };

/* Exception vectors: SDM vol. 3, "Exception and Interrupt Reference". */
enum { EXC_DE = 0, EXC_DB = 1, EXC_NMI = 2, EXC_BP = 3, EXC_OF = 4, EXC_BR = 5, EXC_UD = 6,
       EXC_NM = 7, EXC_DF = 8, EXC_TS = 10, EXC_NP = 11, EXC_SS = 12, EXC_GP = 13, EXC_PF = 14,
       EXC_MF = 16, EXC_AC = 17, EXC_MC = 18, EXC_XM = 19 };

/* RFLAGS */
#define FLAG_CF 0x1ull
#define FLAG_PF 0x4ull
#define FLAG_AF 0x10ull
#define FLAG_ZF 0x40ull
#define FLAG_SF 0x80ull
#define FLAG_TF 0x100ull
#define FLAG_IF 0x200ull
#define FLAG_DF 0x400ull
#define FLAG_OF 0x800ull
#define FLAG_IOPL 0x3000ull
#define FLAG_NT 0x4000ull
#define FLAG_RF 0x10000ull
#define FLAG_VM 0x20000ull
#define FLAG_AC 0x40000ull
#define FLAG_VIF 0x80000ull
#define FLAG_VIP 0x100000ull
#define FLAG_ID 0x200000ull
#define FLAGS_ARITH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* CR0, CR4, EFER, XCR0 */
#define CR0_PE 0x1ull
#define CR0_MP 0x2ull
#define CR0_EM 0x4ull
#define CR0_TS 0x8ull
#define CR0_ET 0x10ull
#define CR0_NE 0x20ull
#define CR0_WP 0x10000ull
#define CR0_AM 0x40000ull
#define CR0_NW 0x20000000ull
#define CR0_CD 0x40000000ull
#define CR0_PG 0x80000000ull
#define CR4_VME 0x1ull
#define CR4_PVI 0x2ull
#define CR4_TSD 0x4ull
#define CR4_DE 0x8ull
#define CR4_PSE 0x10ull
#define CR4_PAE 0x20ull
#define CR4_MCE 0x40ull
#define CR4_PGE 0x80ull
#define CR4_PCE 0x100ull
#define CR4_OSFXSR 0x200ull
#define CR4_OSXMMEXCPT 0x400ull
#define CR4_UMIP 0x800ull
#define CR4_FSGSBASE 0x10000ull
#define CR4_PCIDE 0x20000ull
#define CR4_OSXSAVE 0x40000ull
#define CR4_SMEP 0x100000ull
#define CR4_SMAP 0x200000ull
#define CR3_PCID 0xfffull /* where CR4.PCIDE is set */
#define EFER_SCE 0x1ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull
#define EFER_NXE 0x800ull
#define XCR0_X87 1ull
#define XCR0_SSE 2ull
#define XCR0_AVX 4ull

/* Descriptor attributes as in bytes 5 and 6 of a descriptor: SDM vol. 3, "Segment Descriptors". */
enum {
    ATTR_TYPE = 0x000f,
    ATTR_ACCESSED = 0x0001,
    ATTR_WRITE = 0x0002, /* data: writable; code: readable */
    ATTR_DOWN = 0x0004,  /* data: expand-down; code: conforming */
    ATTR_CODE = 0x0008,
    ATTR_S = 0x0010, /* code or data, not system */
    ATTR_DPL = 0x0060,
    ATTR_P = 0x0080,
    ATTR_AVL = 0x1000,
    ATTR_L = 0x2000,
    ATTR_DB = 0x4000,
    ATTR_G = 0x8000,
};
#define ATTR_DPL_SHIFT 5

typedef struct Segment {
    uint16_t selector;
    uint16_t attr;  /* ATTR_*; 0: unusable (null selector) */
    uint32_t limit; /* in bytes, granularity applied */
    uint64_t base;
    /* Derived by seg_update(): the last offset that may be read (written) without a closer look,
     * -1 when every access takes the slow check. */
    int64_t read_last, write_last;
} Segment;

typedef struct DescTable {
    uint64_t base;
    uint16_t limit;
} DescTable;

/* An x87 register: sign and exponent, and the 64-bit significand with its explicit integer bit. */
typedef struct Float80 {
    uint64_t frac;
    uint16_t sexp;
} Float80;

typedef union VecReg { /* a YMM register; the low half is the XMM one */
    uint8_t b[32];
    uint16_t w[16];
    uint32_t d[8];
    uint64_t q[4];
} VecReg;

/* Feature flags as small numbers. */
enum CpuFeature {
    FEAT_NONE,
#define FEAT(id, name, leaf, sub, reg, bit) FEAT_##id,
#include "cpu/features.inc"
#undef FEAT
    FEAT_COUNT
};

/* Requests to a processor from other threads: CpuState.requests, atomic. */
enum {
    REQ_INTR = 1 << 0,      /* the interrupt input is raised (level, by the local APIC or PIC) */
    REQ_NMI = 1 << 1,       /* edge */
    REQ_SMI = 1 << 2,       /* edge */
    REQ_INIT = 1 << 3,      /* edge */
    REQ_SIPI = 1 << 4,      /* edge; vector in sipi_vector */
    REQ_STOP = 1 << 5,      /* leave guest code: machine stops, or a stop-the-world section */
    REQ_MAP_CHANGED = 1 << 6, /* take the new flat view, drop the TLB */
    REQ_TLB_FLUSH = 1 << 7,
    REQ_PROTECT = 1 << 8,   /* drop the fast write paths to pages that are tracked now */
    REQ_CODE_DROP = 1 << 9, /* drop decoded code named in the engine's list */
    REQ_A20 = 1 << 11,      /* the A20M# input changed: see cpu_set_a20() */
};

/* Why the processor does not execute. */
typedef enum CpuActivity {
    CPU_RUNNING,
    CPU_HALTED,       /* HLT, until an interrupt */
    CPU_WAIT_SIPI,    /* application processor after INIT */
    CPU_SHUTDOWN,     /* triple fault */
} CpuActivity;

/*
 * Software TLB. One table a mode; a tag is the linear address of the page and an access of `size`
 * bytes at `a` hits when (a ^ tag) <= 4096 - size, unsigned: one compare rejects a miss, an access
 * that leaves the page and a non-canonical address. tlb_clear() puts 0x1000 into every slot but
 * slot 1, which gets 0: no address that can index a slot matches these.
 */
#define TLB_BITS 12
#define TLB_SIZE (1u << TLB_BITS)
#define TLB_LOG 512u
typedef enum MmuMode {
    MMU_USER,        /* CPL 3 */
    MMU_SUPER,       /* CPL 0-2 where user pages may be touched (no SMAP, or AC=1) */
    MMU_SUPER_SMAP,  /* CPL 0-2 under SMAP, and implicit supervisor accesses */
    MMU_USER_AC,     /* CPL 3 with alignment checks: never filled, every access takes the slow path */
    MMU_MODES
} MmuMode;
typedef struct TlbEntry {
    uint64_t rtag;
    uint64_t wtag; /* valid only where the page's tracker word is 0 and its dirty bit is set */
    uint64_t host; /* host address of the page - nothing else; add (a ^ tag) */
    uint64_t info; /* bit 0: global; bits 6:1 log2 of the page's size; bit 11 TLB_PLAIN; bits 63:12
                      guest-physical page */
} TlbEntry;

/* The page that the stack pointer was last in, where the TLB has it writable: translated code looks here
 * first. It goes whenever any entry of the TLB does. */
typedef struct TlbStack {
    uint64_t tag; /* STACK_NONE: none; a page that no canonical address is in */
    uint64_t host, delta; /* host address, and what makes it of a linear one */
} TlbStack;
#define STACK_NONE 0x5bd1e995a7c0d000ull

/* Where translated code goes on at a linear address: accel/jit. */
#define JUMP_BITS 13
#define JUMP_SIZE (1u << JUMP_BITS)
typedef struct JitJump {
    vaddr lin;
    uint32_t slot; /* offset in JitState.page_id[mode] of the number of the page that @lin is in; */
    uint32_t id;   /* what that must be, PAGE_ID_NONE: no entry */
    uint64_t code; /* host address */
    uint64_t two_pages; /* the instruction there is in two pages, which @code will look at */
} JitJump;

#define PAGE_IDS 2048u

/* What of it was found since anything was mapped anew, by MMU mode and a hash of the linear address. */
#define WAY_BITS 12
#define WAY_SIZE (1u << WAY_BITS)
#define WAY_LOG 256u
typedef struct JitWays {
    vaddr lin[WAY_SIZE];
    uint64_t code[WAY_SIZE];
    uint32_t used;         /* entries of the log; WAY_LOG: there may be more than are listed */
    uint16_t log[WAY_LOG]; /* which were filled */
} JitWays;

/* The translator's part of a processor: its code reaches all of CpuState by one segment register. */
typedef struct JitState {
    uint64_t tmp[2];   /* scratch within one instruction */
    uint64_t delta[4]; /* within one translation: accel/jit/trans-frame.c */
    uint64_t count;    /* instructions begun, and looks around until code is left: accel/lockstep */
    int32_t budget;
    void *site;        /* the jump by which code was left, to be linked; NULL for none */
    uint64_t host_rsp; /* of the frame that entered code */
    /* The return stack: pairs of host and guest return address, see accel/jit/stubs.c. */
    uint64_t ret_sp, ret_base, ret_limit;
    uint32_t ret_stamp; /* the pairs are valid while this is the stamp */
    uint64_t once[2];  /* jit_fill(): what an access is to use that the TLB may not hold: host page, offset */
    uint32_t poll;     /* requests for which code is left */
    uint32_t stamp;    /* what translations mean now: mode and generation */
    uint32_t mxcsr_host;
    uint16_t flags;    /* arithmetic flags: AL = OF, AH as LAHF gives it */
    bool vec_held;     /* the vector registers and MXCSR are in the host's, not here; */
    bool x87_held;     /* the x87 registers likewise */
    bool leave;        /* code was dropped, or the mode changed: leave at the next instruction */
    uint8_t x87[108];  /* image for FRSTOR and of FNSAVE */
    uint8_t bytes[64]; /* of a load that crosses pages */
    struct Jit *cpu;   /* the rest of it */
    /* Numbers of the code pages that linear pages are mapped to now, by slot; 0: not known.
     * A number is of one mode, and a table of the MMU's holds those of one mode at a time. */
    uint32_t page_id[MMU_MODES][PAGE_IDS];
    JitJump jump[JUMP_SIZE];
    JitWays ways[MMU_MODES];
} JitState;

struct CpuState;
/* What is outside of the processor and declared here: filled in by hw/intc and the board. */
typedef struct CpuHooks {
    void *opaque; /* usually the local APIC */
    /* The vector to deliver now, -1 for none (spurious withdrawal); acknowledges it. */
    int (*ack_interrupt)(struct CpuState *c);
    uint8_t (*get_cr8)(struct CpuState *c); /* TPR[7:4] */
    void (*set_cr8)(struct CpuState *c, uint8_t val);
    /* Local APIC MSRs: IA32_APIC_BASE 1Bh, IA32_TSC_DEADLINE 6E0h, x2APIC 800h-8FFh.
     * False: #GP(0). */
    bool (*apic_rdmsr)(struct CpuState *c, uint32_t msr, uint64_t *val);
    bool (*apic_wrmsr)(struct CpuState *c, uint32_t msr, uint64_t val);
    void (*ferr)(struct CpuState *c, bool on);     /* FERR# for CR0.NE=0, IRQ 13 */
    void (*shutdown)(struct CpuState *c);          /* triple fault: the board resets */
    void (*init_done)(struct CpuState *c);         /* INIT was taken: reset the local APIC */
    int64_t (*wall_ns)(void);                      /* the time of day by the board's clock, ns since 1970 */
    int64_t (*tsc_now)(struct CpuState *c);        /* raw counter before offset; NULL: CLK_VIRTUAL's multiple */
} CpuHooks;

typedef struct CpuState {
    /* -- vcpu thread only, unless said otherwise -- */
    uint64_t regs[GPR_COUNT]; /* general registers, zero, RIP */
    /* Arithmetic flags, lazily: see cpu/flags.h. */
    uint64_t lf_result;
    uint32_t lf_aux;
    uint64_t rflags; /* all others; the arithmetic bits here are 0, bit 1 is 1 */
    Segment segs[SEG_COUNT];
    Segment ldtr, tr;
    DescTable gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
    uint64_t dr[8]; /* 4 and 5 unused */

    /* Derived by cpu_update_mode(). */
    uint8_t cpl;
    bool code64;       /* CS.L in long mode */
    uint8_t mode_bits; /* default operand/address size: 16, 32 or 64 */
    bool stack64, stack32;
    MmuMode mmu;
    uint32_t mode_key; /* what decoded code depends on besides its address */

    /* x87 (SDM vol. 1, chapter 8), MMX in fpr[].frac by physical number */
    Float80 fpr[8];   /* physical registers; ST(i) is fpr[(TOP + i) & 7] */
    uint16_t fcw;
    uint16_t fsw;     /* with TOP in bits 13:11, ES (7) and B (15) kept in step with the flags */
    uint8_t fptag;    /* bit n: physical register n is not empty (FXSAVE's abridged tag) */
    uint16_t fop;     /* last non-control opcode, 11 bits */
    uint64_t fip, fdp; /* last instruction and operand pointer */
    uint16_t fcs, fds;
    VecReg xmm[16];
    uint32_t mxcsr;

    /* model-specific registers */
    uint64_t msr_star, msr_lstar, msr_cstar, msr_fmask, msr_kernel_gs_base, msr_tsc_aux;
    uint64_t msr_sysenter_cs, msr_sysenter_esp, msr_sysenter_eip;
    uint64_t msr_pat, msr_misc_enable, msr_smbase, msr_bios_sign, msr_feature_control;
    uint64_t msr_mtrr_def, msr_mtrr_fix[11], msr_mtrr_phys[16];
    uint64_t msr_mcg_status, msr_mc[40], msr_spec_ctrl, msr_xss;
    uint64_t msr_platform_info, msr_debugctl;
    uint64_t kvm_wall, kvm_system; /* cpu/kvmclock.c: the MSRs */
    int64_t tsc_offset; /* guest TSC = raw + offset; IA32_TSC_ADJUST in tsc_adjust */
    uint64_t tsc_adjust;
    uint64_t a20_mask; /* and-mask on physical addresses: all ones, or bit 20 clear */
    uint64_t pdpte[4]; /* PAE page-directory-pointer entries, loaded with CR3 */

    _Atomic CpuActivity activity; /* the processor's thread writes it; others look (info cpus) */
    bool inhibit_irq;  /* one instruction after STI or MOV SS */
    bool inhibit_db;   /* after MOV SS/POP SS also debug traps */
    bool mid_repeat;   /* RIP is at a repeated string instruction that has begun: an event that comes
                          now pushes RF=1, and its code breakpoint has been passed */
    bool nmi_blocked;  /* between NMI delivery and IRET */
    bool in_smm;
    uint32_t pending_db; /* DR6 bits of a trap to deliver after this instruction */
    vaddr watch_addr;    /* of the debugger's watchpoint that was hit */
    uint64_t insns;    /* instructions retired, counted at the end of each block */
    uint64_t icount_last; /* insns when the virtual clock moved last (-icount) */

    bool careful;      /* TF, debug registers, an interrupt shadow or a debugger: one instruction
                          at a time, looking at everything in between */
    bool debug_pass;   /* leave the breakpoint at RIP alone once: execution goes on from it */
    bool debug_step;   /* the debugger asked for one instruction */
    bool watching;     /* data breakpoints in DR7 or of the debugger: accesses are compared */

    /* fault in flight */
    int exc_vector;    /* of cpu_raise() */
    uint32_t exc_error;
    bool exc_has_error;
    int delivering;   /* vector whose delivery is under way, -1 for none */
    bool delivering_soft; /* it is INT n, external or NMI: its faults do not escalate */
    bool insn_faults_here; /* a task switch committed: RIP is already what a fault pushes */
    bool ext_event;   /* EXT bit of selector error codes */
    const struct Insn *insn; /* the instruction being executed */
    jmp_buf fault_env; /* _setjmp() target of the loop that runs this processor */

    /* constant after creation */
    unsigned index;     /* 0.. */
    uint32_t apic_id;
    const struct CpuModel *model;
    uint64_t features[2]; /* bit per enum CpuFeature */
    uint8_t phys_bits;
    CpuHooks hooks;
    struct Engine *engine; /* the engine's own data of this processor */
    struct KvmCpu *kvm;    /* and accel/kvm's; NULL on other engines */
    struct CpuTape *tape;  /* cpu/tape.h; NULL but in tests of engines */

    /* log2 of the largest page that was cached since the last flush of its kind, 0 for none: INVLPG looks
     * for all parts of one. By what it held, data or code; global; half of the address space. */
    uint8_t large_data[2][2], large_code[2][2];
    /* Which large pages these were, among others: a filter by large_bit(), of data and of code. */
    uint64_t large_seen[2][64];

    /* Slots (mode << TLB_BITS | slot) that were filled by pages that are not global since the last flush
     * of those; tlb_logged > TLB_LOG: more than are listed. */
    uint16_t tlb_log[TLB_LOG];
    unsigned tlb_logged;
    struct TlbSpaces *tlb_spaces; /* cpu/tlb-space.c; NULL until one was left */
    uint32_t tlb_drops; /* how often entries were dropped: what code knows of the TLB may be untrue */
    bool tlb_used[MMU_MODES]; /* entries were filled since everything was dropped */

    FlatView *view, *view_smm; /* references of this thread */

    /* any thread, atomic */
    uint32_t requests; /* REQ_* */
    uint8_t sipi_vector;
    bool a20_masked; /* level of A20M#; becomes a20_mask where REQ_A20 is taken */

    JitState jit; /* accel/jit, vcpu thread only */
    TlbStack tlb_stack[MMU_MODES];

    TlbEntry tlb[MMU_MODES][TLB_SIZE];
} CpuState;

static inline bool cpu_has(const CpuState *c, enum CpuFeature f)
{
    return f == FEAT_NONE || (c->features[f / 64] >> (f % 64) & 1);
}

/* cpu_raise - the current instruction faults (or traps, for #DB/#BP/#OF by their own paths) with
 * @vector. Never returns. cpu_raise_err() for those that push an error code. */
_Noreturn void cpu_raise(CpuState *c, int vector);
_Noreturn void cpu_raise_err(CpuState *c, int vector, uint32_t error);
#define cpu_gp0(c) cpu_raise_err((c), EXC_GP, 0)
#define cpu_ud(c) cpu_raise((c), EXC_UD)

/* cpu_request - set REQ_* bits and wake the processor. Any thread. cpu_unrequest clears bits. */
void cpu_request(CpuState *c, uint32_t bits);
void cpu_unrequest(CpuState *c, uint32_t bits);
/* cpu_request_init - REQ_INIT; a SIPI from before it is forgotten, one that comes after it is not. Any thread. */
void cpu_request_init(CpuState *c);

/* cpu_set_a20 - drive A20M#: address line 20 follows the address (@on), or is 0. @c takes it before
 * its next block, so that the OUT which did it is the last to see the old state. Any thread. */
void cpu_set_a20(CpuState *c, bool on);
/* cpu_take_a20 - for engines, when REQ_A20 is set. Own thread. */
void cpu_take_a20(CpuState *c);

/* cpu_new - processor @index of @model in its power-up state; the caller owns it. */
struct Error;
CpuState *cpu_new(unsigned index, const struct CpuModel *model);
void cpu_free(CpuState *c);
/* cpu_reset - SDM vol. 3, "Processor State After Reset" (@init: INIT only). Its own thread, or
 * stopped. */
void cpu_reset(CpuState *c, bool init);
/* cpu_set_cr0, cpu_set_cr3, cpu_set_cr4 - MOV to a control register, all checks and flushes done;
 * raise #GP(0). cpu_set_efer returns false where WRMSR must raise #GP. */
void cpu_set_cr0(CpuState *c, uint64_t val);
void cpu_set_cr3(CpuState *c, uint64_t val);
void cpu_set_cr4(CpuState *c, uint64_t val);
bool cpu_set_efer(CpuState *c, uint64_t val);
/* cpu_update_mode - recompute what is derived from CR0, CR4, EFER, CS, SS and RFLAGS. */
void cpu_update_mode(CpuState *c);
/* seg_update - recompute a segment's derived limits. */
void seg_update(Segment *s);
/* cpu_update_careful - recompute CpuState.careful and .watching. */
void cpu_update_careful(CpuState *c);
/* cpu_dump - registers in the shape of `info registers`. */
void cpu_dump(const CpuState *c, FILE *out);
/* cpu_tsc - the guest's time-stamp counter now. cpu_read_tsc - the same, for an instruction. */
uint64_t cpu_tsc(CpuState *c);
uint64_t cpu_read_tsc(CpuState *c);

extern const StateField cpu_fields[]; /* saved state of CpuState */

#endif
