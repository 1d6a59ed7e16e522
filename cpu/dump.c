/*
 * Register dump (`info registers`, -d cpu) and the table of saved fields.
 */
#include "cpu/cpu.h"

#include <inttypes.h>
#include "base/mem.h"
#include "cpu/flags.h"

static void dump_segment(FILE *out, const char *name, const Segment *s, bool wide)
{
    uint32_t flags = (uint32_t)s->attr << 8 & 0xf0ff00u;

    if (wide) {
        fprintf(out, "%-3s=%04x %016" PRIx64 " %08x %08x\n", name, s->selector, s->base, s->limit,
                flags);
    } else {
        fprintf(out, "%-3s=%04x %08" PRIx64 " %08x %08x\n", name, s->selector, s->base, s->limit,
                flags);
    }
}

static void dump_flags(FILE *out, uint64_t fl)
{
    static const struct {
        uint64_t bit;
        char c;
    } names[] = { { FLAG_DF, 'D' }, { FLAG_OF, 'O' }, { FLAG_SF, 'S' }, { FLAG_ZF, 'Z' },
                  { FLAG_AF, 'A' }, { FLAG_PF, 'P' }, { FLAG_CF, 'C' } };

    fputc('[', out);
    for (unsigned n = 0; n < ARRAY_SIZE(names); n++) {
        fputc(fl & names[n].bit ? names[n].c : '-', out);
    }
    fputc(']', out);
}

void cpu_dump(const CpuState *c, FILE *out)
{
    static const char *const r64[] = { "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI" };
    static const char *const segs[] = { "ES", "CS", "SS", "DS", "FS", "GS" };
    bool wide = (c->efer & EFER_LMA) != 0;
    uint64_t fl = rflags_get(c);

    if (wide) {
        static const unsigned order[] = { 0, 3, 1, 2, 6, 7, 5, 4 };

        for (unsigned n = 0; n < 8; n++) {
            fprintf(out, "%s=%016" PRIx64 "%c", r64[order[n]], c->regs[order[n]],
                    n % 4 == 3 ? '\n' : ' ');
        }
        for (unsigned n = 8; n < 16; n++) {
            fprintf(out, "R%-2u=%016" PRIx64 "%c", n, c->regs[n], n % 4 == 3 ? '\n' : ' ');
        }
        fprintf(out, "RIP=%016" PRIx64 " RFL=%08" PRIx64 " ", c->regs[GPR_RIP], fl);
    } else {
        static const unsigned order[] = { 0, 3, 1, 2, 6, 7, 5, 4 };

        for (unsigned n = 0; n < 8; n++) {
            fprintf(out, "E%s=%08x%c", r64[order[n]] + 1, (uint32_t)c->regs[order[n]],
                    n % 4 == 3 ? '\n' : ' ');
        }
        fprintf(out, "EIP=%08x EFL=%08" PRIx64 " ", (uint32_t)c->regs[GPR_RIP], fl);
    }
    dump_flags(out, fl);
    fprintf(out, " CPL=%u II=%u A20=%u SMM=%u HLT=%u\n", c->cpl, c->inhibit_irq,
            (c->a20_mask >> 20 & 1) != 0, c->in_smm, c->activity == CPU_HALTED);
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        dump_segment(out, segs[n], &c->segs[n], wide);
    }
    dump_segment(out, "LDT", &c->ldtr, wide);
    dump_segment(out, "TR", &c->tr, wide);
    fprintf(out, "GDT=     %0*" PRIx64 " %08x\n", wide ? 16 : 8, c->gdtr.base, c->gdtr.limit);
    fprintf(out, "IDT=     %0*" PRIx64 " %08x\n", wide ? 16 : 8, c->idtr.base, c->idtr.limit);
    fprintf(out, "CR0=%08x CR2=%0*" PRIx64 " CR3=%0*" PRIx64 " CR4=%08x\n", (uint32_t)c->cr0,
            wide ? 16 : 8, c->cr2, wide ? 16 : 8, c->cr3, (uint32_t)c->cr4);
    for (unsigned n = 0; n < 8; n++) {
        if (n != 4 && n != 5) {
            fprintf(out, "DR%u=%0*" PRIx64 "%c", n, wide ? 16 : 8, c->dr[n],
                    n == 3 || n == 7 ? '\n' : ' ');
        }
    }
    fprintf(out, "EFER=%016" PRIx64 "\n", c->efer);
    fprintf(out, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08x\n", c->fcw, c->fsw,
            c->fsw >> 11 & 7, c->fptag, c->mxcsr);
    for (unsigned n = 0; n < 8; n++) {
        fprintf(out, "FPR%u=%016" PRIx64 " %04x%c", n, c->fpr[n].frac, c->fpr[n].sexp,
                n & 1 ? '\n' : ' ');
    }
    for (unsigned n = 0; n < (wide ? 16u : 8u); n++) {
        fprintf(out, "XMM%02u=%016" PRIx64 "%016" PRIx64 "%c", n, c->xmm[n].q[1], c->xmm[n].q[0],
                n & 1 ? '\n' : ' ');
    }
}

static const StateField segment_fields[] = {
    STATE_U16(Segment, selector), STATE_U16(Segment, attr), STATE_U32(Segment, limit),
    STATE_U64(Segment, base), STATE_END,
};
static const StateField table_fields[] = { STATE_U64(DescTable, base), STATE_U16(DescTable, limit),
                                           STATE_END };
static const StateField f80_fields[] = { STATE_U64(Float80, frac), STATE_U16(Float80, sexp),
                                         STATE_END };

/* clang-format off */
const StateField cpu_fields[] = {
    STATE_BYTES(CpuState, regs), STATE_U64(CpuState, lf_result), STATE_U32(CpuState, lf_aux),
    STATE_U64(CpuState, rflags),
    STATE_ARRAY(CpuState, segs, segment_fields), STATE_STRUCT(CpuState, ldtr, segment_fields),
    STATE_STRUCT(CpuState, tr, segment_fields), STATE_STRUCT(CpuState, gdtr, table_fields),
    STATE_STRUCT(CpuState, idtr, table_fields),
    STATE_U64(CpuState, cr0), STATE_U64(CpuState, cr2), STATE_U64(CpuState, cr3), STATE_U64(CpuState, cr4),
    STATE_U64(CpuState, efer), STATE_U64(CpuState, xcr0), STATE_BYTES(CpuState, dr), STATE_U8(CpuState, cpl),
    STATE_ARRAY(CpuState, fpr, f80_fields), STATE_U16(CpuState, fcw), STATE_U16(CpuState, fsw),
    STATE_U8(CpuState, fptag), STATE_U16(CpuState, fop), STATE_U64(CpuState, fip), STATE_U64(CpuState, fdp),
    STATE_U16(CpuState, fcs), STATE_U16(CpuState, fds), STATE_BYTES(CpuState, xmm), STATE_U32(CpuState, mxcsr),
    STATE_U64(CpuState, msr_star), STATE_U64(CpuState, msr_lstar), STATE_U64(CpuState, msr_cstar),
    STATE_U64(CpuState, msr_fmask), STATE_U64(CpuState, msr_kernel_gs_base), STATE_U64(CpuState, msr_tsc_aux),
    STATE_U64(CpuState, msr_sysenter_cs), STATE_U64(CpuState, msr_sysenter_esp), STATE_U64(CpuState, msr_sysenter_eip),
    STATE_U64(CpuState, msr_pat), STATE_U64(CpuState, msr_misc_enable), STATE_U64(CpuState, msr_smbase),
    STATE_U64(CpuState, msr_bios_sign), STATE_U64(CpuState, msr_feature_control), STATE_U64(CpuState, msr_mtrr_def),
    STATE_BYTES(CpuState, msr_mtrr_fix), STATE_BYTES(CpuState, msr_mtrr_phys), STATE_U64(CpuState, msr_mcg_status),
    STATE_BYTES(CpuState, msr_mc), STATE_U64(CpuState, msr_spec_ctrl), STATE_U64(CpuState, msr_xss),
    STATE_U64(CpuState, msr_platform_info), STATE_U64(CpuState, msr_debugctl),
    STATE_U64(CpuState, kvm_wall), STATE_U64(CpuState, kvm_system),
    STATE_U64(CpuState, tsc_offset), STATE_U64(CpuState, tsc_adjust), STATE_U64(CpuState, a20_mask),
    STATE_BYTES(CpuState, pdpte), STATE_U32(CpuState, activity), STATE_BOOL(CpuState, inhibit_irq),
    STATE_BOOL(CpuState, inhibit_db), STATE_BOOL(CpuState, mid_repeat),
    STATE_BOOL(CpuState, nmi_blocked), STATE_BOOL(CpuState, in_smm),
    STATE_U32(CpuState, pending_db), STATE_U64(CpuState, insns), STATE_U64(CpuState, icount_last), STATE_U32(CpuState, requests),
    STATE_U8(CpuState, sipi_vector),
    STATE_END,
};
/* clang-format on */
