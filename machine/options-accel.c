/*
 * Options about what runs the processors.
 */
#include "machine/internal.h"

#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "cpu/cpuid.h"

/* ---- names ---- */

static const char *const elsewhere[] = { "hvf", "whpx", "hax", "nvmm", "xen", "qtest" };

static bool accel_name(const char *name, AccelKind *kind, Error **errp)
{
    static const struct {
        const char *name;
        AccelKind kind;
    } known[] = {
        { "interp", ACCEL_INTERP },
        { "tcg", ACCEL_JIT },
        { "doppel", ACCEL_JIT },
        { "auto", ACCEL_DEFAULT },
        { "kvm", ACCEL_KVM },
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strcmp(name, known[i].name) == 0) {
            *kind = known[i].kind;
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++) {
        if (strcmp(name, elsewhere[i]) == 0) {
            error_set(errp, "accelerator '%s' does not exist on this host", name);
            return false;
        }
    }
    error_set(errp, "unknown accelerator '%s' (there are tcg, doppel, interp and kvm)", name);
    return false;
}

/* ---- tcg's sub-options ---- */

static const char *const threads[] = { "single", "multi", NULL };

/* The sub-options beside the tricks, for help. */
static const char *const prop_help[][2] = {
    { "tb-size=<int>", "MiB of translated code, at most, of all processors together (default: 64 each)" },
    { "one-insn-per-tb=<bool>", "an instruction a block (default: off)" },
    { "split-wx=<bool>", "accepted: code is always mapped twice, and never writable and executable at once" },
    { "thread=<enum>", "single or multi: one processor at a time, in turns of 10 ms, or all at once (default: multi)" },
};

/* "x-NAME" of trick @t. */
static void trick_key(Trick t, char key[32])
{
    snprintf(key, 32, "x-%s", trick_info[t].name);
}

static void accel_props(const char *name, FILE *out)
{
    char key[32];

    if (strcmp(name, "kvm") == 0) {
        fprintf(out, "-accel kvm options:\n  %-24s %s\n", "kernel-irqchip=<enum>",
                "off: the interrupt chips are doppel's; on and split are not built (default: off)");
        return;
    }
    fprintf(out, "-accel tcg (or doppel) options:\n");
    for (size_t n = 0; n < ARRAY_SIZE(prop_help); n++) {
        fprintf(out, "  %-24s %s\n", prop_help[n][0], prop_help[n][1]);
    }
    fprintf(out, "for the search of a mistake:\n");
    fprintf(out, "  %-24s %s\n", "x-lockstep=<int>", "all that is translated is compared with the reference (one processor); a seed");
    fprintf(out, "  %-24s %s\n", "x-count=<bool>", "runs of translations are counted, for 'info jit -v' (default: off)");
    fprintf(out, "  %-24s %s\n", "x-host-without=<a:b..>", "the translator does without these features of the host");
    fprintf(out, "  %-24s %s\n", "x-lockstep-sample=<int>", "of old code, only one stretch in so many (default: 1)");
    for (Trick t = 0; t < TRICKS; t++) {
        trick_key(t, key);
        fprintf(out, "  %s=<bool>%*s %s\n", key, 17 - (int)strlen(key), "", trick_info[t].help);
    }
}

/* x-host-without=a:b */
static void host_without(OptList *l)
{
    const char *names = opt_get_str(l, "x-host-without", NULL);
    autofree char *copy = names != NULL ? xstrdup(names) : NULL;
    char *save, *name = copy != NULL ? strtok_r(copy, ":", &save) : NULL;

    for (; name != NULL; name = strtok_r(NULL, ":", &save)) {
        unsigned f = cpu_feature_find(name, strlen(name));

        if (f == FEAT_NONE) {
            opt_bad(l, "x-host-without=%s: there is no feature '%s'", names, name);
            return;
        }
        cpu_host_hide(f, true);
    }
}

static void accel_values(OptList *l, AccelOptions *o)
{
    char key[32];

    for (Trick t = 0; t < TRICKS; t++) {
        trick_key(t, key);
        o->off &= ~(1u << t);
        o->off |= opt_get_bool(l, key, true) ? 0 : 1u << t;
    }
    o->lockstep = opt_get_u64(l, "x-lockstep", UINT64_MAX, 0);
    o->lockstep_sample = (unsigned)opt_get_u64(l, "x-lockstep-sample", UINT32_MAX, 1);
    o->count = opt_get_bool(l, "x-count", false);
    host_without(l);
    o->single = opt_get_choice(l, "thread", threads, 1) == 0;
    o->tb_size = opt_get_u64(l, "tb-size", 65536, 0) << 20;
    o->one_insn = opt_get_bool(l, "one-insn-per-tb", false);
    opt_get_bool(l, "split-wx", true); /* see prop_help */
}

/* As opt_done(); where an x-NAME is the mistake, it says which there are. */
static bool accel_done(OptList *l, Error **errp)
{
    char names[1024] = "";
    Error *err = NULL;

    if (opt_done(l, &err)) {
        return true;
    }
    if (strstr(error_text(err), "unknown sub-option 'x-") == NULL) {
        error_move(errp, err);
        return false;
    }
    for (Trick t = 0; t < TRICKS; t++) {
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s x-%s", t > 0 ? "," : "",
                 trick_info[t].name);
    }
    error_set(errp, "%s (tcg has%s)", error_text(err), names);
    error_free(err);
    return false;
}

/* The translator is among "a:b:c". */
static bool has_tcg(const char *names)
{
    autofree char *copy = xstrdup(names);
    AccelKind kind;
    bool has = false;

    for (char *save, *name = strtok_r(copy, ":", &save); name != NULL; name = strtok_r(NULL, ":", &save)) {
        has |= accel_name(name, &kind, NULL) && kind == ACCEL_JIT;
    }
    return has;
}

bool opt_accel(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    OptList *l = opt_parse(arg, "accel", errp);
    const char *name;
    bool ok;

    if (l == NULL) {
        return false;
    }
    name = opt_get_str(l, "accel", "");
    if (opt_is_help(name)) {
        printf("Accelerators supported in QEMU binary:\ntcg\ndoppel\ninterp\nkvm\n");
        p->done = true;
    } else if (opt_wants_help(l)) {
        accel_props(name, stdout);
        p->done = true;
    } else {
        str_list_add(&p->accels, name);
        p->option_accel |= def != NULL;
    }
    if (has_tcg(name)) {
        accel_values(l, &p->cfg->accel_options);
    }
    accel_irqchip(p, l);
    ok = accel_done(l, errp);
    opt_free(l);
    return ok;
}

bool opt_enable_kvm(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    return opt_accel(opaque, def, "kvm", errp);
}

void accel_irqchip(Parser *p, OptList *l)
{
    static const char *const kinds[] = { "off", "on", "split", NULL };
    int kind = opt_get_choice(l, "kernel-irqchip", kinds, -1);

    if (kind >= 0) {
        p->irqchip_kernel = kind == 1;
        p->irqchip_split = kind == 2;
    }
}

/* ---- which engine ---- */

/* try_kvm - look what the host's is. @whole: only one that runs everything will do. */
static bool try_kvm(Parser *p, bool whole, Error **errp)
{
    KvmHost *h = &p->cfg->kvm;
    char lacks[160];

    if (!p->cfg->none && (p->irqchip_kernel || p->irqchip_split)) {
        error_set(errp, "kvm: kernel-irqchip=%s is not built; off works", p->irqchip_kernel ? "on" : "split");
        return false;
    }
    if (!kvm_host_check(errp) || !kvm_host_probe(h, errp)) {
        return false;
    }
    kvm_host_lacks(h, lacks, sizeof(lacks));
    if (kvm_host_whole(h)) {
        return true;
    }
    if (whole) {
        error_set(errp, "kvm: /dev/kvm here %s", lacks);
        return false;
    }
    report("kvm: /dev/kvm here %s; what it refuses runs on the reference", lacks);
    return true;
}

/* One name of the list. KVM that others may stand in for has to be whole. */
static bool try_accel(Parser *p, const char *name, bool others, Error **errp)
{
    AccelKind kind;

    if (!accel_name(name, &kind, errp) || (kind == ACCEL_KVM && !try_kvm(p, others, errp))) {
        return false;
    }
    p->cfg->accel = kind;
    return true;
}

/* split - the names of all options, in order. */
static void split(const Parser *p, StrList *names)
{
    for (size_t i = 0; i < p->accels.count; i++) {
        autofree char *copy = xstrdup(p->accels.s[i]);

        for (char *save, *name = strtok_r(copy, ":", &save); name != NULL; name = strtok_r(NULL, ":", &save)) {
            bool best = strcmp(name, "auto") == 0;

            str_list_add(names, best ? "kvm" : name);
            if (best) {
                str_list_add(names, "tcg");
            }
        }
    }
}

/* The first of the list that can be had, and on a line why none before it; the reason of the last one when none can. */
bool accel_finish(Parser *p, Error **errp)
{
    StrList names = { NULL, 0 };
    Error *err = NULL, *first = NULL;
    size_t n = 0;

    for (split(p, &names); n < names.count; n++) {
        error_free(err);
        err = NULL;
        if (try_accel(p, names.s[n], names.count > 1, &err)) {
            break;
        }
        if (first == NULL && strcmp(names.s[n], "kvm") == 0) {
            error_set(&first, "%s", error_text(err));
        }
    }
    if (first != NULL && n < names.count) {
        report("%s; running on %s", error_text(first), names.s[n]);
    }
    error_free(first);
    if (n < names.count || names.count == 0) {
        str_list_free(&names);
        return true;
    }
    str_list_free(&names);
    error_prepend(&err, p->machine_accel ? "-machine accel=: " : "-accel: ");
    error_move(errp, err);
    return false;
}
